/** What people and programs are told while a client runs. */
import { describe, expect, test } from "bun:test";
import { openStateStore } from "../../src/adapters/state/store.ts";
import { KEPT, type StatusValue, writeKept } from "../../src/client/folder/kept-values.ts";
import type { Output } from "../../src/commands/output.ts";
import { createProgress } from "../../src/commands/progress.ts";
import { formatBytes, renderProgress } from "../../src/commands/progress-bar.ts";
import { readStatus } from "../../src/commands/status.ts";
import { printable, printableName } from "../../src/core/printable.ts";
import type { ClientEvent } from "../../src/ports/observer.ts";

/** An output that keeps what it is told. */
function recorder() {
  const people: string[] = [];
  const machines: Record<string, unknown>[] = [];
  const keep = (text: string) => {
    people.push(text);
  };
  const output: Output = {
    isJson: false,
    event: (event, fields) => {
      machines.push({ event, ...fields });
    },
    result: (_fields, line) => keep(line),
    say: keep,
    detail: keep,
    warn: keep,
    error: keep,
  };
  return { output, people, machines };
}

function told(...events: ClientEvent[]) {
  const { output, people, machines } = recorder();
  const progress = createProgress({ output, folder: "/home/me/synced", terminal: undefined });
  for (const event of events) progress.emit(event);
  progress.finish();
  return { people, machines };
}

describe("createProgress()", () => {
  test("passes every event on to programs as it is", () => {
    const events: ClientEvent[] = [
      { event: "online" },
      { event: "conflict", path: "a (conflict).txt", of: "a.txt" },
      { event: "in_sync", seq: 7, files: 3 },
    ];
    const machines: unknown[] = told(...events).machines;
    expect(machines).toEqual(events);
  });

  test("says in sync once for one state", () => {
    const { people } = told(
      { event: "in_sync", seq: 7, files: 1 },
      { event: "in_sync", seq: 7, files: 1 },
      { event: "in_sync", seq: 8, files: 2 },
    );
    expect(people).toEqual(["In sync: 1 file, event 7", "In sync: 2 files, event 8"]);
  });

  test("a held change comes with the command that lets it through [G2]", () => {
    const { people } = told({
      event: "held",
      id: "x",
      kinds: [],
      reason: "delete 60 files",
      count: 60,
    });
    expect(people[0]).toContain("delete 60 files (60 changes)");
    expect(people[0]).toContain('synced approve "/home/me/synced"');
  });

  test("a halt has nothing to approve [G1]", () => {
    const { people } = told({
      event: "held",
      id: "root",
      kinds: [],
      reason: "The folder is gone",
      count: 0,
    });
    expect(people).toEqual(["Halted: The folder is gone"]);
  });

  test("names from other devices cannot write to the terminal [N3]", () => {
    const { people } = told({
      event: "problem",
      path: "\u001b]0;owned\u0007\nIn sync",
      code: "unsupported_name",
      message: "no",
    });
    expect(people).toEqual(['Left alone: "\\x1b]0;owned\\x07\\nIn sync": no']);
  });
});

describe("printable()", () => {
  test("escapes control and bidirectional characters and leaves the rest [N3]", () => {
    expect(printable("über 日本 👩‍👩‍👧 é\n")).toBe("über 日本 👩‍👩‍👧 é\n");
    expect(printable("\u009b31m\u202e\u2066\ud800\u2028")).toBe(
      "\\x9b31m\\u{202e}\\u{2066}\\u{d800}\\u{2028}",
    );
    expect(printableName("a\nb\tc")).toBe("a\\nb\\x09c");
  });
});

describe("renderProgress()", () => {
  test("shows share, counts, rate and time left", () => {
    const line = renderProgress(
      {
        event: "progress",
        phase: "upload",
        done: 400,
        total: 1000,
        bytesDone: 64 * 1024 * 1024,
        bytesTotal: 256 * 1024 * 1024,
      },
      10_000,
    );
    expect(line).toBe("Uploading 25 %, 400 of 1,000, 64.0 MiB of 256.0 MiB, 6.4 MiB/s, 0:30 left");
  });

  test("counts things where there are no bytes, and never says infinite", () => {
    const none = { phase: "scan", bytesDone: 0, bytesTotal: 0, event: "progress" } as const;
    expect(renderProgress({ ...none, done: 5000, total: 20_000 }, 2_000)).toBe(
      "Scanning 25 %, 5,000 of 20,000, 2,500/s, 0:06 left",
    );
    expect(renderProgress({ ...none, done: 0, total: 10 }, 2_000)).toBe(
      "Scanning 0 %, 0 of 10, 0/s",
    );
  });

  test("formatBytes() keeps to binary units", () => {
    const sizes = [0, 1023, 1024, 5 * 1024 ** 3].map(formatBytes);
    expect(sizes).toEqual(["0 B", "1023 B", "1.0 KiB", "5.0 GiB"]);
  });
});

describe("readStatus()", () => {
  const change = {
    id: "1f3a",
    direction: "up",
    nodes: [],
    reason: "it deletes",
    count: 60,
  } as const;

  function read(kept: Pick<StatusValue, "state" | "reason">, isHeld: boolean, running = true) {
    const store = openStateStore(":memory:");
    writeKept(store, KEPT.status, { ...kept, head: 7, lastSyncMs: null });
    if (isHeld) writeKept(store, KEPT.held, change);
    const { state, held } = readStatus(store, running);
    store.close();
    return [state, held?.id];
  }

  test("a halt comes first, then a pause, then what a guard holds, also of a stopped client [Y21]", () => {
    const paused = { state: "paused", reason: "until 17:00" } as const;
    const halted = { state: "held", reason: "the root is gone" } as const;
    expect(read(halted, true)).toEqual(["held", "root"]);
    expect(read(paused, true)).toEqual(["paused", change.id]);
    expect(read(paused, true, false)).toEqual(["held", change.id]);
    expect(read({ state: "syncing", reason: null }, true)).toEqual(["held", change.id]);
    expect(read(halted, false, false)).toEqual(["stopped", undefined]);
  });
});
