/** Trouble of the disk under the client's state is told as such, and is no bug. Rules: F21, F27, I41. */
import { describe, expect, test } from "bun:test";
import { toStat } from "../../src/adapters/disk/calls.ts";
import { stateTrouble } from "../../src/adapters/state/trouble.ts";
import { FileSystemError } from "../../src/ports/filesystem.ts";

describe("stateTrouble()", () => {
  for (const [text, code] of [
    ["database or disk is full", "full"],
    ["attempt to write a readonly database", "denied"],
    ["unable to open database file", "io"],
    ["disk I/O error", "io"],
    ["database disk image is malformed", "io"],
    ["out of memory", "exhausted"],
  ] as const) {
    test(`takes "${text}" for trouble with our own files [F21]`, () => {
      const trouble = stateTrouble(new Error(text));
      expect(trouble).toBeInstanceOf(FileSystemError);
      expect(trouble).toMatchObject({ code, path: ".synced/state.db" });
    });
  }

  test("leaves a bug a bug [F21]", () => {
    const bug = new Error("Broken invariant: transactions do not nest");
    expect(stateTrouble(bug)).toBe(bug);
  });
});

describe("toStat()", () => {
  const raw = {
    ...{ mode: 0o100644, inode: 1, device: "1", birthSeconds: 1, birthNs: 0, size: 0, links: 1 },
    ...{ mtimeNs: 5, ctimeSeconds: 1, ctimeNs: 0, sameDevice: true },
  };

  test("gives times beyond 64 bits of nanoseconds as they are [N7, F60]", () => {
    expect(toStat({ ...raw, mtimeSeconds: 15_032_385_535 }).mtimeNs).toBe("15032385535000000005");
    expect(toStat({ ...raw, mtimeSeconds: -9_300_000_000 }).mtimeNs).toBe("-9299999999999999995");
    expect(toStat({ ...raw, mtimeSeconds: -1 }).mtimeNs).toBe("-999999995");
    const most = 2n ** 63n - 1n;
    expect(toStat({ ...raw, mtimeSeconds: most }).mtimeNs).toBe("9223372036854775807000000005");
  });
});
