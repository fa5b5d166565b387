/** The event log over HTTP: pages, live streams, heartbeats, slow readers. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { createRouter } from "../../src/http/router.ts";
import { parseEventPage, parseTreePage } from "../../src/protocol/parse-answer.ts";
import type { Sequencer } from "../../src/server/sequencer.ts";
import { failureOf } from "../failure.ts";
import { BASE, type Fixture, FOLDER, id, openFixture, problemOf } from "./fixture.ts";

let fixture: Fixture;

beforeEach(async () => {
  fixture = await openFixture();
});

afterEach(async () => {
  expect(fixture.errors).toEqual([]);
  await fixture.close();
});

let opCount = 0;

/** Commits groups of directories; each number is a group's size. */
async function commit(...groupSizes: number[]): Promise<void> {
  const { epoch, head, hash } = await fixture.sequencer.folder(FOLDER);
  const groups = groupSizes.map((size) =>
    Array.from({ length: size }, () => {
      const name = `entry-${opCount++}`;
      return {
        kind: "create",
        opId: id(`o${opCount}`),
        node: id(`n${opCount}`),
        parent: "0".repeat(32),
        name,
        content: { kind: "directory" },
        base: 0,
      };
    }),
  );
  const cursor = { epoch, seq: head, hash };
  const json = { device: id("device"), batch: id("batch"), cursor, groups };
  const response = await fixture.call("POST", `${BASE}/ops`, { json });
  expect(response.status).toBe(200);
  const { results } = (await response.json()) as { results: { status: string }[] };
  expect(results.every(({ status }) => status === "accepted")).toBe(true);
}

interface Page {
  readonly events: { readonly seq: number; readonly groupEnd: boolean; readonly path: string }[];
  readonly head: number;
  readonly next: number;
}

/** Somebody commits a group after the first look at the log or tree that the answer needs. */
async function answerWhile(route: string, groupSize: number): Promise<unknown> {
  let looks = 0;
  const look = async () => {
    looks += 1;
    if (looks === 2) await commit(groupSize);
  };
  const { events, tree } = fixture.sequencer;
  const sequencer: Sequencer = {
    ...fixture.sequencer,
    events: async (...request) => {
      await look();
      return await events(...request);
    },
    tree: async (...request) => {
      await look();
      return await tree(...request);
    },
  };
  const router = createRouter({ ...fixture.options, sequencer });
  const answer = await router.fetch(new Request(`http://localhost${BASE}/${route}`));
  expect(looks).toBeGreaterThan(1);
  return await answer.json();
}

async function page(query: string): Promise<Page> {
  return (await (await fixture.call("GET", `${BASE}/events?${query}`)).json()) as Page;
}

const STREAM = { accept: "text/event-stream" };

/** Reads a live stream's text until it holds `wanted`. */
async function readUntil(
  reader: ReadableStreamDefaultReader<Uint8Array>,
  wanted: string,
): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  while (!text.includes(wanted)) {
    const { done, value } = await reader.read();
    if (done) throw new Error(`The stream ended after ${JSON.stringify(text)}`);
    text += decoder.decode(value, { stream: true });
  }
  return text;
}

async function openStream(query = "after=0", headers: Record<string, string> = {}) {
  const response = await fixture.call("GET", `${BASE}/events?${query}`, {
    headers: { ...STREAM, ...headers },
  });
  expect(response.status).toBe(200);
  expect(response.headers.get("content-type")).toBe("text/event-stream");
  if (response.body === null) throw new Error("No body");
  return response.body.getReader();
}

function idsOf(text: string): number[] {
  return [...text.matchAll(/^id: (\d+)$/gm)].map(([, seq]) => Number(seq));
}

describe("GET events as JSON", () => {
  test("goes through the log in pages without gap [H5, L1]", async () => {
    await commit(...Array.from({ length: 25 }, () => 1));
    const seqs: number[] = [];
    let after = 0;
    for (;;) {
      const { events, next, head } = await page(`after=${after}&limit=10`);
      expect(head).toBe(25);
      seqs.push(...events.map(({ seq }) => seq));
      if (events.length === 0) break;
      expect(next).toBe(seqs.at(-1) ?? 0);
      after = next;
    }
    expect(seqs).toEqual(Array.from({ length: 25 }, (_, index) => index + 1));
    expect(await page("after=25")).toMatchObject({ events: [], next: 25 });
  });

  test("never splits a group [H5]", async () => {
    await commit(1, 7, 1);
    const { events, next } = await page("after=0&limit=2");
    expect(events.map(({ seq }) => seq)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    expect(events.at(-1)?.groupEnd).toBe(true);
    expect(next).toBe(8);
  });

  test("events that are committed while a page is read are not beyond its head [H5]", async () => {
    await commit(40);
    const found = await answerWhile("events?after=0", 3);
    const page = parseEventPage(found, { after: 0, limit: 1000 });
    expect([page.head, page.next]).toEqual([43, 43]);
  });

  test("a page of the tree says up to which event others changed it meanwhile [L7]", async () => {
    await commit(40);
    const page = parseTreePage(await answerWhile("tree", 3), { limit: 5000 });
    expect([page.seq, page.through]).toEqual([40, 43]);
  });

  test("inlines small files when asked to [L4]", async () => {
    await fixture.call("PUT", `${BASE}/files?path=small`, { body: "tiny" });
    await fixture.call("PUT", `${BASE}/files?path=large`, { body: "x".repeat(10_000) });
    const inlined = await page("after=0&inline=1");
    expect(inlined.events.map((event) => "inline" in event && event.inline)).toEqual([
      btoa("tiny"),
      false,
    ]);
    const plain = await page("after=0");
    expect(plain.events.some((event) => "inline" in event)).toBe(false);
  });
});

describe("GET events as a stream", () => {
  test("sends what is there, then what comes [H6]", async () => {
    await commit(1, 1);
    const reader = await openStream();
    expect(idsOf(await readUntil(reader, "id: 2\n"))).toEqual([1, 2]);
    await commit(1);
    const text = await readUntil(reader, "\n\n");
    expect(idsOf(text)).toEqual([3]);
    const [, data] = /^data: (.*)$/m.exec(text) ?? [];
    expect(JSON.parse(data ?? "")).toEqual((await page("after=2")).events[0]);
    await reader.cancel();
  });

  test("resumes after Last-Event-ID, also where the URL has an older cursor [H6]", async () => {
    await commit(1, 1, 1);
    const { hash } = (await (await fixture.call("GET", BASE)).json()) as { hash: string };
    expect(hash).toMatch(/^[0-9a-f]{64}$/);
    const genesis = (await fixture.sequencer.events(FOLDER, { after: 0, limit: 1 })).events[0];
    const query = `after=0&hash=${genesis?.previousHash}`;
    const reader = await openStream(query, { "last-event-id": "2" });
    expect(idsOf(await readUntil(reader, "id: 3\n"))).toEqual([3]);
    await reader.cancel();
  });

  test("sends a large group in pieces, so that no reader makes it hold much [H6]", async () => {
    const reader = await openStream();
    await readUntil(reader, ": synced\n\n");
    await commit(150);
    const seqs: number[] = [];
    while (seqs.length < 150) {
      const { value } = await reader.read();
      expect(value?.length).toBeLessThan(64 * 1024);
      seqs.push(...idsOf(new TextDecoder().decode(value)));
    }
    expect(seqs).toEqual(Array.from({ length: 150 }, (_, index) => index + 1));
  });

  test("streams that share a look at the log each get what is theirs [H13, H9]", async () => {
    const author = "0".repeat(32);
    const own = await openStream(`after=0&inline=1&device=${author}`);
    const other = await openStream(`after=0&inline=1&device=${id("other")}`);
    const plain = await openStream("after=0");
    await fixture.call("PUT", `${BASE}/files?path=small`, { body: "tiny" });
    expect(await readUntil(own, "id: 1\n")).toEndWith('id: 1\ndata: {"passed":1}\n\n');
    expect(await readUntil(other, "id: 1\n")).toContain(`"inline":"${btoa("tiny")}"`);
    const text = await readUntil(plain, "id: 1\n");
    expect(text).toContain('"path":"small"');
    expect(text).not.toContain("inline");
    await commit(1);
    for (const reader of [own, other, plain]) {
      expect(await readUntil(reader, "id: 2\n")).toContain('"kind":"create"');
      await reader.cancel();
    }
  });

  test("a commit that wakes many streams is read once [H13]", async () => {
    let looks = 0;
    const { events } = fixture.sequencer;
    const sequencer: Sequencer = {
      ...fixture.sequencer,
      events(...request) {
        looks++;
        return events(...request);
      },
    };
    const router = createRouter({ ...fixture.options, sequencer });
    const readers = [];
    for (let count = 0; count < 40; count += 1) {
      const url = `http://localhost${BASE}/events?after=0&inline=1&device=${id(`d${count}`)}`;
      const response = await router.fetch(new Request(url, { headers: STREAM }));
      const reader = response.body?.getReader();
      if (reader === undefined) throw new Error("No body");
      readers.push(reader);
    }
    for (const reader of readers) await readUntil(reader, "synced");
    while (fixture.clock.sleepCount < readers.length) await fixture.clock.yield();
    looks = 0;
    await commit(1);
    for (const reader of readers) await readUntil(reader, "id: 1\n");
    expect(looks).toBe(1);
    for (const reader of readers) await reader.cancel();
  });

  test("no stream misses an event while many commit and readers come and go [H6, L1]", async () => {
    const wanted = Array.from({ length: 300 }, (_, index) => index + 1);
    const readers = Array.from({ length: 20 }, async (_, number) => {
      let text = "";
      while (!text.includes("id: 300\n")) {
        const after = idsOf(text).at(-1) ?? 0;
        const reader = await openStream(`after=${after}&limit=${5 + number}`);
        // Half of them come back from time to time.
        for (let pieces = 0; pieces < (number % 2 ? 10 : Number.POSITIVE_INFINITY); pieces++) {
          const { value } = await reader.read();
          text += new TextDecoder().decode(value);
          if (text.includes("id: 300\n")) break;
          if (pieces % 3 === 0) await new Promise((resolve) => setImmediate(resolve));
        }
        await reader.cancel();
      }
      expect(idsOf(text)).toEqual(wanted);
    });
    for (let count = 0; count < 300; count += 1) await commit(1);
    await Promise.all(readers);
  }, 60_000);

  test("sends a heartbeat every 15 s of silence [H6]", async () => {
    const reader = await openStream();
    await readUntil(reader, ": synced\n\n");
    for (let beat = 0; beat < 3; beat++) {
      const next = readUntil(reader, ": heartbeat\n\n");
      await fixture.clock.advance(15_000);
      expect(await next).toBe(": heartbeat\n\n");
    }
    await reader.cancel();
  });

  test("lets go of everything when its reader leaves [H6]", async () => {
    const readers = await Promise.all(Array.from({ length: 5 }, () => openStream()));
    for (const reader of readers) await readUntil(reader, ": synced\n\n");
    for (const reader of readers) await reader.cancel();
    await fixture.clock.advance(0);
    expect(fixture.clock.sleepCount).toBe(0);
  });

  test("drops a reader that leaves a piece for 15 s [H6]", async () => {
    const reader = await openStream();
    await readUntil(reader, ": synced\n\n");
    for (let batch = 0; batch < 6; batch++) {
      await commit(...Array.from({ length: 500 }, () => 1));
    }
    await fixture.clock.advance(0);
    await fixture.clock.advance(16_000);
    const drain = async () => {
      let byteCount = 0;
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return byteCount;
        byteCount += value.length;
      }
    };
    expect(await failureOf(drain())).toMatchObject({ code: "request_timeout" });
    await fixture.clock.advance(0);
    expect(fixture.clock.sleepCount).toBe(0);
  });

  test("does not drop a slow reader that goes on [H6]", async () => {
    for (let batch = 0; batch < 6; batch++) {
      await commit(...Array.from({ length: 500 }, () => 1));
    }
    const reader = await openStream();
    const decoder = new TextDecoder();
    let text = "";
    while (!text.includes("id: 3000\n")) {
      const { done, value } = await reader.read();
      if (done) throw new Error("The stream ended");
      text += decoder.decode(value, { stream: true });
      await fixture.clock.advance(10_000);
    }
    expect(idsOf(text)).toEqual(Array.from({ length: 3000 }, (_, index) => index + 1));
    await reader.cancel();
  });

  test("ends when the server stops [H6]", async () => {
    const reader = await openStream();
    await readUntil(reader, ": synced\n\n");
    const end = reader.read();
    fixture.stopping.abort();
    expect(await end).toEqual({ done: true, value: undefined });
  });

  test("an unacceptable cursor is an error before the stream [H6]", async () => {
    const response = await fixture.call("GET", `${BASE}/events?after=1`, { headers: STREAM });
    expect(await problemOf(response)).toMatchObject({ status: 409, code: "cursor_ahead" });
  });

  test("callers of this process have streams of their own [V7, H13]", async () => {
    const inside = createRouter({ ...fixture.options, streamsMax: 2 });
    const stream = async () => {
      const url = `http://localhost${BASE}/events?after=0`;
      return await inside.fetch(new Request(url, { headers: STREAM }));
    };
    const open = [await stream(), await stream()];
    expect((await stream()).status).toBe(429);
    await (await openStream()).cancel();
    for (const response of open) await response.body?.cancel();
  });

  test("1,000 streams are served, the next is refused [H4]", async () => {
    const readers: ReadableStreamDefaultReader<Uint8Array>[] = [];
    for (let count = 0; count < 1000; count++) readers.push(await openStream());
    const refused = await fixture.call("GET", `${BASE}/events?after=0`, { headers: STREAM });
    expect(await problemOf(refused)).toMatchObject({ status: 429, code: "too_many_streams" });
    await readers[0]?.cancel();
    await (await openStream()).cancel();
    for (const reader of readers) await reader.cancel();
  });
});
