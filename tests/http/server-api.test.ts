/** The typed client against the real router, and against servers that lie. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { parseDigest, sha256 } from "../../src/core/digest.ts";
import { SyncedError } from "../../src/core/error.ts";
import type { Cursor, ServedEvent } from "../../src/core/event.ts";
import {
  type BatchId,
  type DeviceId,
  type NodeId,
  type OpId,
  parseId,
  ROOT_ID,
} from "../../src/core/identifier.ts";
import { EVENTS_PER_PAGE_MAX } from "../../src/core/limits.ts";
import type { Batch, CreateOp } from "../../src/core/op.ts";
import type { Transport } from "../../src/ports/transport.ts";
import type { PackObject } from "../../src/protocol/messages.ts";
import { encodePack } from "../../src/protocol/pack.ts";
import type { ServerApi } from "../../src/protocol/server-api.ts";
import { createServerApi } from "../../src/protocol/server-api-client.ts";
import { failureOf } from "../failure.ts";
import { type Fixture, FOLDER, HandClock, id, openFixture, TOKEN } from "./fixture.ts";

let fixture: Fixture;
let api: ServerApi;
const requests: Request[] = [];
const { signal } = new AbortController();

beforeAll(async () => {
  fixture = await openFixture({ token: TOKEN });
  api = createServerApi({
    transport: async (request) => {
      requests.push(request);
      return await fixture.router.fetch(request);
    },
    clock: fixture.clock,
    serverUrl: "http://localhost/",
    folder: FOLDER,
    token: TOKEN,
  });
});

afterAll(async () => {
  expect(fixture.errors).toEqual([]);
  expect(fixture.clock.sleepCount).toBe(0);
  await fixture.close();
});

function create(name: string): CreateOp {
  return {
    kind: "create",
    opId: parseId<OpId>(id(`o-${name}`)),
    node: parseId<NodeId>(id(`n-${name}`)),
    parent: ROOT_ID,
    name,
    content: { kind: "directory" },
    base: 0,
  };
}

async function batchOf(...ops: CreateOp[]): Promise<Batch> {
  const { epoch, head, hash } = await api.createFolder(signal);
  return {
    device: parseId<DeviceId>(id("device")),
    batch: parseId<BatchId>(id("batch")),
    cursor: { epoch, seq: head, hash },
    groups: ops.map((op) => [op]),
  };
}

function objectOf(text: string): PackObject {
  const bytes = new TextEncoder().encode(text);
  return { depth: 0, digest: sha256(bytes), bytes };
}

async function collect<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const all: Item[] = [];
  for await (const item of items) all.push(item);
  return all;
}

describe("createServerApi()", () => {
  test("hello() sends no token [G5]", async () => {
    const hello = await api.hello(signal);
    expect(hello.serverId).toBe(fixture.sequencer.serverId);
    expect(requests.at(-1)?.headers.get("authorization")).toBeNull();
  });

  test("createFolder() is idempotent [H4]", async () => {
    const first = await api.createFolder(signal);
    expect(first.created).toBe(false);
    expect(await api.createFolder(signal)).toEqual(first);
  });

  test("postOps(), events() and tree() agree with each other [L1, O1]", async () => {
    const batch = await batchOf(create("a"), create("b"), { ...create("c"), name: "a" });
    const result = await api.postOps(batch, signal);
    expect(result.results.map(({ status }) => status)).toEqual(["accepted", "accepted", "refused"]);
    expect(await api.postOps(batch, signal)).toEqual(result);
    const page = await api.events({ after: batch.cursor, limit: 100 }, signal);
    expect(page.events.map(({ path }) => path)).toEqual(["a", "b"]);
    const tree = await api.tree({ limit: 1 }, signal);
    expect(tree.nodes).toHaveLength(1);
    const rest = await api.tree({ limit: 5, ...(tree.next && { after: tree.next }) }, signal);
    expect([...tree.nodes, ...rest.nodes].map(({ name }) => name).sort()).toEqual(["a", "b"]);
    expect(rest.next).toBeUndefined();
  });

  test("objects go there and come back in the order asked [C5, C6]", async () => {
    const objects = ["one", "two", "three"].map(objectOf);
    const digests = objects.map(({ digest }) => digest);
    expect(await api.missing(digests, signal)).toEqual(digests);
    await api.putObjects(objects, signal);
    expect(await api.missing(digests, signal)).toEqual([]);
    const backwards = [...digests].reverse();
    const fetched = await collect(api.fetchObjects(backwards, signal));
    expect(fetched.map(({ digest }) => digest)).toEqual(backwards);
    expect(fetched.map(({ bytes }) => new TextDecoder().decode(bytes))).toEqual([
      "three",
      "two",
      "one",
    ]);
    expect(await collect(api.fetchObjects([], signal))).toEqual([]);
  });

  test("hasContent() knows what any version of a file held [H7, D15]", async () => {
    const url = "http://localhost/v1/folders/default/files?path=versions";
    for (const body of ["first", "second"]) {
      const headers = { authorization: `Bearer ${TOKEN}` };
      await fixture.router.fetch(new Request(url, { method: "PUT", headers, body }));
    }
    const texts = ["first", "second", "never"];
    const known = await Promise.all(texts.map((text) => api.hasContent(sha256(text), signal)));
    expect(known).toEqual([true, true, false]);
  });

  test("hadVersion() knows what stood at a path, page by page [H14, R16]", async () => {
    const headers = { authorization: `Bearer ${TOKEN}` };
    const put = (path: string, body: string) => {
      const url = `http://localhost/v1/folders/default/files?path=${path}`;
      return fixture.router.fetch(new Request(url, { method: "PUT", headers, body }));
    };
    await put("other", "elsewhere");
    for (let version = 0; version <= EVENTS_PER_PAGE_MAX; version += 1) {
      await put("dir/often", `version ${version}`);
    }
    const had = (path: string, text: string) => api.hadVersion(path, sha256(text), signal);
    expect(await had("dir/often", `version ${EVENTS_PER_PAGE_MAX}`)).toBe(true);
    expect(await had("dir/often", "version 0")).toBe(true);
    expect(await had("dir/often", "elsewhere")).toBe(false);
    expect(await had("nothing", "elsewhere")).toBe(false);
  }, 60_000);

  test("fetchObjects() may be left early [C6]", async () => {
    const objects = ["one", "two", "three"].map(objectOf);
    await api.putObjects(objects, signal);
    for await (const object of api.fetchObjects(
      objects.map(({ digest }) => digest),
      signal,
    )) {
      expect(object.digest).toBe(sha256("one"));
      break;
    }
    expect(fixture.clock.sleepCount).toBe(0);
  });

  test("stream() yields what comes, heartbeats too, and ends when aborted [H6]", async () => {
    const batch = await batchOf(create("live"));
    const ending = new AbortController();
    const messages = api.stream({ after: batch.cursor }, ending.signal)[Symbol.asyncIterator]();
    expect((await messages.next()).value).toEqual({ kind: "heartbeat" });
    await api.postOps(batch, signal);
    const { value } = await messages.next();
    expect(value).toMatchObject({ kind: "event", event: { path: "live" } });
    const beat = messages.next();
    await fixture.clock.advance(15_000);
    expect((await beat).value).toEqual({ kind: "heartbeat" });
    const end = messages.next();
    ending.abort();
    expect(await end).toEqual({ done: true, value: undefined });
    await fixture.clock.advance(0);
    expect(fixture.clock.sleepCount).toBe(0);
  });

  test("a reader's own events are passed over, and foreseen from the answer [H9, H15]", async () => {
    const batch = await batchOf(create("mine"), create("too"));
    const ending = new AbortController();
    const request = { after: batch.cursor, device: batch.device };
    const messages = api.stream(request, ending.signal)[Symbol.asyncIterator]();
    expect((await messages.next()).value).toEqual({ kind: "heartbeat" });
    const answer = await api.postOps(batch, signal);
    expect((await messages.next()).value).toEqual({ kind: "passed", seq: answer.head });
    const page = await api.events({ ...request, limit: 10 }, signal);
    expect(page.events.map(({ path }) => path)).toEqual(["mine", "too"]);
    expect(page.events.at(-1)).toMatchObject({ hash: answer.hash, time: answer.time });
    ending.abort();
    expect((await messages.next()).done).toBe(true);
  });

  test("reportDevice() reaches the server [H4]", async () => {
    const { cursor } = await batchOf();
    await api.reportDevice(
      parseId<DeviceId>(id("device")),
      { name: "mine", applied: cursor },
      signal,
    );
    const devices = await fixture.sequencer.devices(FOLDER, { limit: 10 });
    expect(devices).toMatchObject([{ name: "mine", applied: cursor }]);
  });

  test("the server's own code comes through [H1]", async () => {
    const { cursor } = await batchOf();
    const ahead = { ...cursor, seq: cursor.seq + 1 };
    expect(await failureOf(api.events({ after: ahead, limit: 1 }, signal))).toMatchObject({
      code: "cursor_ahead",
    });
    const other = { ...cursor, hash: sha256("other") };
    expect(await failureOf(api.events({ after: other, limit: 1 }, signal))).toMatchObject({
      code: "log_diverged",
    });
    expect(await failureOf(collect(api.stream({ after: other }, signal)))).toMatchObject({
      code: "log_diverged",
    });
    const digests = [sha256("never")];
    expect(await failureOf(collect(api.fetchObjects(digests, signal)))).toMatchObject({
      code: "chunk_missing",
    });
  });

  test("an aborted call rejects with an AbortError [H1]", async () => {
    const aborted = AbortSignal.abort();
    expect(await failureOf(api.hello(aborted))).toMatchObject({ name: "AbortError" });
  });
});

const json = (value: unknown, init: ResponseInit = {}) =>
  new Response(JSON.stringify(value), { headers: { "content-type": "application/json" }, ...init });

function apiOver(transport: Transport, clock = new HandClock()): ServerApi {
  return createServerApi({ transport, clock, serverUrl: "http://localhost", folder: FOLDER });
}

const CURSOR: Cursor = { epoch: parseId(id("epoch")), seq: 0, hash: sha256("genesis") };

/** A sound event, which each case spoils. */
function eventOf(seq: number): ServedEvent {
  return {
    seq,
    time: "2026-01-01T00:00:00.000Z",
    device: parseId(id("device")),
    opId: parseId(id(`op${seq}`)),
    batch: parseId(id("batch")),
    groupEnd: true,
    kind: "create",
    node: parseId(id(`node${seq}`)),
    parent: ROOT_ID,
    name: `name${seq}`,
    content: { kind: "directory" },
    baseContent: 0,
    basePlace: 0,
    previousHash: sha256("previous"),
    hash: sha256("hash"),
    path: `name${seq}`,
  };
}

function pageOf(...events: unknown[]) {
  return { epoch: id("epoch"), head: events.length, events, next: events.length };
}

describe("a server that lies (B60-B68)", () => {
  const pages: [name: string, page: unknown][] = [
    ["no page", { hello: 1 }],
    ["a name that climbs up", pageOf({ ...eventOf(1), name: "../x" })],
    ["an absolute name", pageOf({ ...eventOf(1), name: "/etc/passwd" })],
    ["a reserved name", pageOf({ ...eventOf(1), name: ".synced" })],
    ["a name with NUL", pageOf({ ...eventOf(1), name: "a\0" })],
    ["a malformed id", pageOf({ ...eventOf(1), node: "../../x" })],
    ["a gap", pageOf(eventOf(1), eventOf(3))],
    ["a repeat", pageOf(eventOf(1), eventOf(1))],
    ["a seq beyond 2^53", pageOf({ ...eventOf(1), seq: 2 ** 53 })],
    ["a group cut in two", pageOf({ ...eventOf(1), groupEnd: false })],
    [
      "a size of -1",
      pageOf({
        ...eventOf(1),
        content: {
          kind: "file",
          manifest: sha256("x"),
          depth: 1,
          sha256: sha256("x"),
          size: -1,
          executable: false,
          mtimeNs: "0",
        },
      }),
    ],
    [
      "an mtime that is a number",
      pageOf({
        ...eventOf(1),
        content: {
          kind: "file",
          manifest: sha256("x"),
          depth: 0,
          sha256: sha256("x"),
          size: 1,
          executable: false,
          mtimeNs: 1,
        },
      }),
    ],
    ["an unknown kind of content", pageOf({ ...eventOf(1), content: { kind: "device" } })],
    ["a next that goes back", { ...pageOf(eventOf(1)), next: 0 }],
    ["a next beyond the events", { ...pageOf(eventOf(1)), next: 9, head: 9 }],
    ["a million events", { ...pageOf(), events: Array.from({ length: 5000 }, () => 0) }],
    ["an inlined file too large", pageOf({ ...eventOf(1), inline: "A".repeat(20_000) })],
    ["a time that is none", pageOf({ ...eventOf(1), time: "\x1b[2J" })],
  ];
  test.each(pages)("%s is a protocol violation [H8]", async (_name, page) => {
    const liar = apiOver(async () => json(page));
    expect(await failureOf(liar.events({ after: CURSOR, limit: 10 }, signal))).toMatchObject({
      code: "protocol_violation",
    });
  });

  test("fields of a newer server are passed over [H8]", async () => {
    const kind = apiOver(async () => json({ ...pageOf({ ...eventOf(1), mood: "new" }), more: 1 }));
    const page = await kind.events({ after: CURSOR, limit: 10 }, signal);
    expect(page.events).toEqual([eventOf(1)]);
  });

  const answers: [name: string, answer: () => Response, code: string][] = [
    [
      "a captive portal's page",
      () => new Response("<html>", { headers: { "content-type": "text/html" } }),
      "not_a_synced_server",
    ],
    [
      "a proxy's 502",
      () => new Response("<html>", { status: 502, headers: { "content-type": "text/html" } }),
      "server_unreachable",
    ],
    ["a bare 404", () => new Response("no", { status: 404 }), "not_a_synced_server"],
    ["511", () => new Response("login", { status: 511 }), "server_unreachable"],
    ["another program's JSON", () => json({ name: "other" }), "not_a_synced_server"],
    [
      "a compressed answer",
      () =>
        json({}, { headers: { "content-type": "application/json", "content-encoding": "gzip" } }),
      "protocol_violation",
    ],
    [
      "JSON that is cut",
      () => new Response('{"a":', { headers: { "content-type": "application/json" } }),
      "protocol_violation",
    ],
    [
      "an answer that is too long",
      () => json({ pad: "x".repeat(2_000_000) }),
      "protocol_violation",
    ],
    [
      "a problem with an unknown code",
      () =>
        json(
          { code: "of_the_future" },
          { status: 400, headers: { "content-type": "application/problem+json" } },
        ),
      "not_a_synced_server",
    ],
    [
      "internal trouble",
      () =>
        json(
          { code: "internal" },
          { status: 500, headers: { "content-type": "application/problem+json" } },
        ),
      "server_unreachable",
    ],
    [
      "401",
      () =>
        json(
          { code: "unauthenticated" },
          { status: 401, headers: { "content-type": "application/problem+json" } },
        ),
      "unauthenticated",
    ],
  ];
  test.each(answers)("%s [H1]", async (_name, answer, code) => {
    expect(await failureOf(apiOver(async () => answer()).hello(signal))).toMatchObject({ code });
  });

  const HTML = { headers: { "content-type": "text/html" } };
  const calls: readonly (readonly [string, (api: ServerApi) => Promise<unknown>])[] = [
    ["POST chunks", (api) => api.putObjects([objectOf("x")], signal)],
    ["POST chunks/missing", (api) => api.missing([sha256("x")], signal)],
    ["POST chunks/fetch", (api) => collect(api.fetchObjects([sha256("x")], signal))],
    ["POST ops", async (api) => api.postOps(await batchOf(create("refused")), signal)],
  ];
  for (const [name, call] of calls) {
    for (const status of [200, 302, 400, 403, 404, 408, 413, 502, 503, 504]) {
      test(`${status} to ${name} is about its body where the server is well [H11]`, async () => {
        const seen: string[] = [];
        const proxied = createServerApi({
          transport: async (request) => {
            seen.push(request.method);
            return request.method === "POST"
              ? new Response("<html>", { ...HTML, status })
              : await fixture.router.fetch(request);
          },
          clock: fixture.clock,
          serverUrl: "http://localhost",
          folder: FOLDER,
          token: TOKEN,
        });
        expect(await failureOf(call(proxied))).toMatchObject({
          code: "body_refused",
          extensions: { status },
          message: expect.stringMatching(new RegExp(`http://localhost .*\\(${status}\\); `)),
        });
        // What was too large once is too large again; anything else may have been a bad moment.
        const tries = status === 413 ? 1 : 2;
        expect(seen.filter((method) => method === "POST").length).toBe(tries);
      });
    }

    test(`a bad moment of a proxy at ${name} is passed over [H18]`, async () => {
      let refusals = 0;
      const proxied = createServerApi({
        transport: async (request) => {
          if (request.method === "POST" && refusals++ === 0) {
            return new Response("<html>", { ...HTML, status: 502 });
          }
          return await fixture.router.fetch(request);
        },
        clock: fixture.clock,
        serverUrl: "http://localhost",
        folder: FOLDER,
        token: TOKEN,
      });
      const failure = await call(proxied).then(
        () => undefined,
        (error: unknown) => (error instanceof SyncedError ? error.code : error),
      );
      expect(failure).not.toBe("body_refused");
      expect(refusals).toBe(2);
    });

    test(`${name} does not blame its body for a server that is away [H11, Y3]`, async () => {
      for (const status of [502, 404]) {
        const away = apiOver(async () => new Response("<html>", { ...HTML, status }));
        expect(await failureOf(call(away))).toMatchObject({
          code: status === 502 ? "server_unreachable" : "not_a_synced_server",
        });
      }
      const busy = apiOver(async () => new Response("<html>", { ...HTML, status: 429 }));
      expect(await failureOf(call(busy))).toMatchObject({ code: "server_unreachable" });
    });
  }

  test("no answer within 10 s is an unreachable server [H1]", async () => {
    const clock = new HandClock();
    const aborted: boolean[] = [];
    const silent = apiOver((request) => {
      request.signal.addEventListener("abort", () => aborted.push(true));
      return new Promise(() => undefined);
    }, clock);
    const hello = silent.hello(signal);
    hello.catch(() => undefined);
    await clock.advance(9_000);
    expect(aborted).toEqual([]);
    await clock.advance(2_000);
    expect(await failureOf(hello)).toMatchObject({ code: "server_unreachable" });
    expect(aborted).toEqual([true]);
    expect(clock.sleepCount).toBe(0);
  });

  test("an answer that drips is given up after 20 s, and one that only pauses is not [H19]", async () => {
    const clock = new HandClock();
    const headers = { "content-type": "application/json" };
    const drip = new TransformStream<Uint8Array, Uint8Array>();
    const drops = drip.writable.getWriter();
    const hello = apiOver(async () => new Response(drip.readable, { headers }), clock).hello(
      signal,
    );
    hello.catch(() => undefined);
    for (let second = 0; second < 22; second += 1) {
      drops.write(new TextEncoder().encode("[")).catch(() => undefined);
      await clock.advance(1_000);
    }
    expect(await failureOf(hello)).toMatchObject({ code: "server_unreachable" });
    expect(clock.sleepCount).toBe(0);
  });

  test("a server's words become one line [H19, B69]", async () => {
    const problem = { code: "forbidden", detail: "no\nFORGED\r\n\u2028FORGED", status: 403 };
    const headers = { "content-type": "application/problem+json" };
    const liar = apiOver(async () => json(problem, { status: 403, headers }));
    expect(await failureOf(liar.hello(signal))).toMatchObject({ message: "no FORGED FORGED" });
  });

  test("a stream that is silent for 45 s is given up [H6]", async () => {
    const clock = new HandClock();
    const silent = apiOver(
      async () =>
        new Response(new ReadableStream(), { headers: { "content-type": "text/event-stream" } }),
      clock,
    );
    const messages = collect(silent.stream({ after: CURSOR }, signal));
    messages.catch(() => undefined);
    await clock.advance(44_000);
    await clock.advance(2_000);
    expect(await failureOf(messages)).toMatchObject({ code: "server_unreachable" });
  });

  test("each piece of a stream gives it another 45 s [H6]", async () => {
    const clock = new HandClock();
    const pieces = new TransformStream<Uint8Array, Uint8Array>();
    const beats = pieces.writable.getWriter();
    const slow = apiOver(
      async () =>
        new Response(pieces.readable, { headers: { "content-type": "text/event-stream" } }),
      clock,
    );
    let end: unknown;
    const messages = collect(slow.stream({ after: CURSOR }, signal)).catch((error: unknown) => {
      end = error;
    });
    for (let beat = 0; beat < 3; beat++) {
      await clock.advance(40_000);
      await beats.write(new TextEncoder().encode(": beat\n"));
    }
    await clock.advance(44_000);
    expect(end).toBeUndefined();
    await clock.advance(2_000);
    await messages;
    expect(end).toMatchObject({ code: "server_unreachable" });
    expect(clock.sleepCount).toBe(0);
  });

  const stream = (text: string) => () =>
    new Response(text, { headers: { "content-type": "text/event-stream" } });
  const data = (event: ServedEvent) => `id: ${event.seq}\r\ndata: ${JSON.stringify(event)}\r\n\r\n`;
  const streams: [name: string, answer: () => Response, code: string][] = [
    ["ends", stream(data(eventOf(1))), "server_unreachable"],
    ["leaves one out", stream(data(eventOf(2))), "protocol_violation"],
    ["repeats one", stream(data(eventOf(1)) + data(eventOf(1))), "protocol_violation"],
    ["never ends a line", stream(`data: ${"x".repeat(2_000_000)}`), "protocol_violation"],
    [
      "never ends an event",
      stream(`data: ${"x".repeat(1000)}\n`.repeat(2000)),
      "protocol_violation",
    ],
    ["is no JSON", stream("data: hello\n\n"), "protocol_violation"],
  ];
  test.each(streams)("a stream that %s [H6]", async (_name, answer, code) => {
    const liar = apiOver(async () => answer());
    expect(await failureOf(collect(liar.stream({ after: CURSOR }, signal)))).toMatchObject({
      code,
    });
  });

  const [one, two] = [objectOf("one"), objectOf("two")];
  const spoiled = { ...one, digest: parseDigest(two.digest) };
  const packs: [name: string, pack: Uint8Array<ArrayBuffer>, code: string][] = [
    ["another object", encodePack([two]), "protocol_violation"],
    ["an object too many", encodePack([one, two]), "protocol_violation"],
    ["bytes of another digest", encodePack([spoiled]), "protocol_violation"],
    ["nothing", new Uint8Array(), "server_unreachable"],
    ["half an object", encodePack([one]).slice(0, 39), "server_unreachable"],
    ["an object of 4 GiB", new Uint8Array(40).fill(255, 33).fill(0, 0, 1), "protocol_violation"],
  ];
  test.each(packs)("a pack with %s [C5]", async (_name, pack, code) => {
    const headers = { "content-type": "application/vnd.synced.pack" };
    const liar = apiOver(async () => new Response(pack, { headers }));
    expect(await failureOf(collect(liar.fetchObjects([one.digest], signal)))).toMatchObject({
      code,
    });
  });

  test("a list of missing objects that asks for more than was offered (B68) [O6]", async () => {
    const liar = apiOver(async () => json({ missing: [two.digest] }));
    expect(await failureOf(liar.missing([one.digest], signal))).toMatchObject({
      code: "protocol_violation",
    });
  });

  test("results for another number of groups [O4]", async () => {
    const liar = apiOver(async () => json({ results: [], head: 1 }));
    const batch = {
      device: parseId<DeviceId>(id("d")),
      batch: parseId<BatchId>(id("b")),
      cursor: CURSOR,
      groups: [[create("x")]],
    };
    expect(await failureOf(liar.postOps(batch, signal))).toMatchObject({
      code: "protocol_violation",
    });
  });
});
