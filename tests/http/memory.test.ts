/** What strangers send and never read may not fill the server's memory. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  MEMORY_BYTES_MAX,
  MEMORY_RESERVE_BYTES,
  MEMORY_WAITERS_MAX,
} from "../../src/core/limits.ts";
import { DOWNLOAD_BYTES } from "../../src/http/file-routes.ts";
import { PackMemory } from "../../src/http/pack-memory.ts";
import { BASE, expectProblem, type Fixture, FOLDER, id, openFixture } from "./fixture.ts";

let fixture: Fixture;
beforeEach(async () => {
  fixture = await openFixture();
});
afterEach(async () => {
  expect(fixture.errors).toEqual([]);
  await fixture.close();
});

const MIB = 1024 * 1024;
const PACK = "application/vnd.synced.pack";

/** A body that sends some bytes and then stands still, until it is let go. */
function standing(sentBytes: number): ReadableStream<Uint8Array> {
  let left = sentBytes;
  return new ReadableStream({
    pull(controller) {
      const size = Math.min(left, 64 * 1024);
      left -= size;
      if (size === 0) return new Promise(() => undefined);
      controller.enqueue(new Uint8Array(size));
      return undefined;
    },
  });
}

function upload(lengthBytes: number, sentBytes: number): Promise<Response> {
  const headers = { "content-type": PACK, "content-length": String(lengthBytes) };
  return fixture.call("POST", `${BASE}/chunks`, { headers, body: standing(sentBytes) });
}

async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn++) await fixture.clock.advance(0);
}

/** Commits symlinks with long targets, in one group. */
async function commitLong(count: number): Promise<void> {
  const { epoch, head, hash } = await fixture.sequencer.folder(FOLDER);
  const group = Array.from({ length: count }, (_, index) => ({
    kind: "create",
    opId: id(`o${head + index}`),
    node: id(`n${head + index}`),
    parent: "0".repeat(32),
    name: `link-${head + index}`,
    content: { kind: "symlink", target: "t".repeat(4000) },
    base: 0,
  }));
  const json = {
    device: id("device"),
    batch: id("batch"),
    cursor: { epoch, seq: head, hash },
    groups: [group],
  };
  expect((await fixture.call("POST", `${BASE}/ops`, { json })).status).toBe(200);
}

describe("bodies under way", () => {
  const FITTING = Math.floor((MEMORY_BYTES_MAX - MEMORY_RESERVE_BYTES) / (32 * MIB));

  test("those that stand still give way to one that waits for memory [H21]", async () => {
    const held = Array.from({ length: FITTING }, () => upload(32 * MIB, MIB));
    await turns(20);
    const late = upload(32 * MIB, MIB);
    await turns(5);
    // Small requests pass meanwhile.
    const headers = { "content-length": "5" };
    const put = { body: "small", headers };
    const small = await fixture.call("PUT", `${BASE}/files?path=small`, put);
    expect(small.status).toBe(201);
    await fixture.clock.advance(2_000);
    await fixture.clock.advance(2_000);
    for (const one of held) await expectProblem(await one, 408, "request_timeout");
    for (let second = 0; second < 60; second += 2) await fixture.clock.advance(2_000);
    await expectProblem(await late, 408, "request_timeout");
  });

  test("when a crowd waits, more are told to come later, and nothing of them is read [H21]", async () => {
    const count = FITTING + MEMORY_WAITERS_MAX;
    const crowd = Array.from({ length: count }, () => upload(32 * MIB, 0));
    await turns(5);
    let readCount = 0;
    const body = new ReadableStream<Uint8Array>(
      {
        pull(controller) {
          readCount += 1;
          controller.enqueue(new Uint8Array(1));
        },
      },
      { highWaterMark: 0 },
    );
    const headers = { "content-type": PACK, "content-length": String(32 * MIB) };
    const refused = await fixture.call("POST", `${BASE}/chunks`, { headers, body });
    expect(refused.headers.get("retry-after")).toBe("1");
    expect(refused.headers.get("connection")).toBe("close");
    await expectProblem(refused, 503, "temporarily_unavailable");
    expect(readCount).toBe(0);
    for (let second = 0; second < 60; second += 2) await fixture.clock.advance(2_000);
    for (const one of crowd) expect([408, 503]).toContain((await one).status);
    expect(fixture.clock.sleepCount).toBe(0);
  });

  test("bytes sent at once earn no hours of silence (B50) [H21]", async () => {
    const answer = upload(32 * MIB, 31 * MIB);
    await turns(600);
    for (let second = 0; second < 32; second += 2) await fixture.clock.advance(2_000);
    await expectProblem(await answer, 408, "request_timeout");
  });
});

describe("a server that stops", () => {
  test("waits for no body, and lets nobody wait for memory [H25]", async () => {
    const held = Array.from({ length: 3 }, () => upload(32 * MIB, MIB));
    const small = fixture.call("PUT", `${BASE}/files?path=small`, {
      body: standing(3),
      headers: { "content-length": "5" },
    });
    const waiting = upload(32 * MIB, MIB);
    await turns(20);
    fixture.stopping.abort();
    const late = fixture.call("GET", BASE);
    for (const one of [...held, small, waiting, late]) {
      const answer = await one;
      expect(answer.headers.get("connection")).toBe("close");
      await expectProblem(answer, 503, "temporarily_unavailable");
    }
    expect(fixture.clock.sleepCount).toBe(0);
  });
});

test("the memory of large packs is given back at once, or used again while others wait [I42]", () => {
  const packs = new PackMemory();
  const large = packs.take(32 * MIB);
  packs.giveBack(large);
  expect(large.length).toBe(0);
  // While others wait, the next one takes it.
  const first = packs.take(20 * MIB);
  packs.giveBack(first, true);
  expect(packs.take(32 * MIB)).toBe(first);
  packs.giveBack(first, true);
  const held = Array.from({ length: 5 }, () => packs.take(32 * MIB));
  for (const one of held) packs.giveBack(one, true);
  expect(held.filter(({ length }) => length > 0)).toHaveLength(3);
  // When nobody waits any more, none is kept.
  packs.giveBack(packs.take(32 * MIB));
  expect(held.filter(({ length }) => length > 0)).toEqual([]);
  const usual = packs.take(MIB);
  packs.giveBack(usual);
  expect(packs.take(MIB)).toBe(usual);
});

describe("archives", () => {
  test("one of names that are too long together is refused before it is sent [E12, I42]", async () => {
    for (let thousand = 0; thousand < 4; thousand++) await commitLong(1000);
    const fits = await fixture.call("GET", `${BASE}/archive`);
    expect(fits.status).toBe(200);
    await fits.body?.cancel();
    await commitLong(1000);
    await expectProblem(await fixture.call("GET", `${BASE}/archive`), 422, "archive_too_large");
  });

  test("those that are not read hold what there is, and no more [H21]", async () => {
    await commitLong(1000);
    const answers = Array.from({ length: 40 }, () => fixture.call("GET", `${BASE}/archive`));
    await fixture.clock.advance(5_000);
    const statuses = (await Promise.all(answers)).map(({ status }) => status);
    const sentCount = statuses.filter((status) => status === 200).length;
    expect(new Set(statuses)).toEqual(new Set([200, 503]));
    expect(sentCount * DOWNLOAD_BYTES).toBeLessThan(MEMORY_BYTES_MAX);
    for (const answer of answers) await (await answer).body?.cancel();
    expect((await fixture.call("HEAD", `${BASE}/archive`)).status).toBe(200);
  });
});

test("nobody works for those who left while they waited [H22]", async () => {
  const left = { signal: AbortSignal.abort(), headers: { host: "localhost" } };
  for (const route of ["archive", "log", "list?path="]) {
    const answer = await fixture.router.fetch(
      new Request(`http://localhost${BASE}/${route}`, left),
    );
    await expectProblem(answer, 408, "request_timeout");
  }
});

describe("pages", () => {
  test("an events page of long paths ends early, with a whole group [H4, H5, H21]", async () => {
    for (let batch = 0; batch < 4; batch++) await commitLong(500);
    const seqs: number[] = [];
    for (let after = 0; after < 2000; ) {
      const response = await fixture.call("GET", `${BASE}/events?after=${after}&limit=1000`);
      const text = await response.text();
      const { events, next, head } = JSON.parse(text) as {
        events: { seq: number; groupEnd: boolean }[];
        next: number;
        head: number;
      };
      expect(text.length).toBeLessThan(9 * MIB);
      expect(events.at(-1)).toMatchObject({ seq: next, groupEnd: true });
      expect(head).toBe(2000);
      seqs.push(...events.map(({ seq }) => seq));
      after = next;
    }
    expect(seqs).toEqual(Array.from({ length: 2000 }, (_, index) => index + 1));
  });

  test.each(["tree", "index"])("a page of %s ends early, and goes on [H4, H21]", async (route) => {
    for (let batch = 0; batch < 3; batch++) await commitLong(500);
    const seen = new Set<string>();
    let [pages, after] = [0, ""];
    do {
      const start = after === "" ? "" : `&after=${after}`;
      const response = await fixture.call("GET", `${BASE}/${route}?limit=5000${start}`);
      const page = (await response.json()) as Record<string, unknown> & { next?: string };
      const list = page[route === "tree" ? "nodes" : "entries"] as { id: string }[];
      for (const item of list) seen.add(item.id);
      expect(page["seq"]).toBe(1500);
      after = page.next ?? "";
      pages += 1;
    } while (after !== "");
    expect(seen.size).toBe(1500);
    expect(pages).toBe(2);
  });

  test("an index is of one moment, whatever is committed between its steps [H4]", async () => {
    await commitLong(400);
    const reading = fixture.call("GET", `${BASE}/index?limit=5000`);
    for (let turn = 0; turn < 3; turn++) await fixture.clock.yield();
    await commitLong(400);
    const { seq, entries } = (await (await reading).json()) as { seq: number; entries: unknown[] };
    expect(entries).toHaveLength(seq);
  });
});

test("a thousand streams at a thousand events hold a piece each [H6, H22]", async () => {
  for (let batch = 0; batch < 2; batch++) await commitLong(500);
  const readers: ReadableStreamDefaultReader<Uint8Array>[] = [];
  for (let after = 0; after < 1000; after++) {
    const headers = { accept: "text/event-stream" };
    const response = await fixture.call("GET", `${BASE}/events?after=${after}`, { headers });
    const reader = response.body?.getReader();
    if (reader !== undefined) readers.push(reader);
  }
  for (const reader of readers) {
    let bytes = 0;
    for (let read = 0; read < 2; read++) bytes += (await reader.read()).value?.length ?? 0;
    expect(bytes).toBeLessThan(64 * 1024);
  }
  for (const reader of readers) await reader.cancel();
}, 60_000);
