/**
 * A server that answers, but not as it should: streams that do not hold, logs that do not fit.
 * Rules: Y3, Y4, H6, L2, G5.
 */
import { describe, expect, test } from "bun:test";
import { OPS_PER_BATCH_MAX } from "../../src/core/limits.ts";
import { FOLDER_URL, LoopWorld } from "./loop-world.ts";

const MINUTE_MS = 60_000;
/** Every 10 s at most, jittered: a greeting, the folder, a page, a stream. */
const REQUESTS_PER_MINUTE_MAX = 4 * 14;

type Answer = () => Promise<Response> | Response;

const STREAM_TYPE = { "content-type": "text/event-stream" };

function problem(status: number, headers: Record<string, string> = {}): Response {
  const body = { code: "too_many_streams", title: "No", detail: "No", status };
  const type = { "content-type": "application/problem+json" };
  return new Response(JSON.stringify(body), { status, headers: { ...type, ...headers } });
}

const STREAM_TROUBLES: readonly [string, Answer][] = [
  ["is refused: too many", () => problem(429)],
  ["is refused by a proxy's page", () => new Response("<h1>Bad gateway</h1>", { status: 502 })],
  ["ends at once", () => new Response("", { headers: STREAM_TYPE })],
  ["ends after its greeting", () => new Response(": synced\n\n", { headers: STREAM_TYPE })],
  ["is reset", () => Promise.reject(new TypeError("reset"))],
  ["is of another type", () => Response.json({})],
  ["is held back for ever", () => new Response(new ReadableStream(), { headers: STREAM_TYPE })],
  ["says nonsense", () => new Response(": synced\n\ndata: {}\n\n", { headers: STREAM_TYPE })],
];

function isStream(request: Request): boolean {
  return request.headers.get("accept")?.includes("event-stream") === true;
}

async function joined(answer: LoopWorld["answer"]): Promise<LoopWorld> {
  const world = new LoopWorld();
  world.answer = answer;
  world.make("a");
  world.start();
  await world.pass(MINUTE_MS);
  return world;
}

describe("an event stream that", () => {
  test.each(STREAM_TROUBLES)(
    "%s is tried now and then; news comes all the same, online [Y15, H6]",
    async (_, answer) => {
      const world = await joined((request) => (isStream(request) ? answer() : undefined));
      expect(world.status.state).toBe("in_sync");
      const { requests, streams } = await world.pass(MINUTE_MS);
      expect(requests).toBeLessThanOrEqual(REQUESTS_PER_MINUTE_MAX);
      expect(streams).toBeGreaterThanOrEqual(1);
      await world.remote("news", "text");
      await world.pass(16_000);
      expect(world.folder.disk.at("news")?.kind).toBe("file");
      expect(world.said("offline")).toEqual([]);
      world.answer = () => undefined;
      await world.pass(MINUTE_MS);
      const asked: string[] = [];
      world.answer = ({ url }) => {
        asked.push(new URL(url).pathname);
        return undefined;
      };
      await world.pass(10 * MINUTE_MS);
      // Once after each full scan: what the server lost (U11).
      expect(asked).toEqual([`/v1/folders/default/chunks/wanted`]);
      await world.stop();
    },
  );

  test("is refused for a time is left alone for it [Y3]", async () => {
    const refuse = () => problem(429, { "retry-after": "40" });
    const world = await joined((request) => (isStream(request) ? refuse() : undefined));
    const { streams } = await world.pass(2 * MINUTE_MS);
    expect(streams).toBeLessThanOrEqual(3);
    expect(streams).toBeGreaterThanOrEqual(2);
    await world.stop();
  });

  test("is cut every minute is opened anew at once [Y15]", async () => {
    const world = await joined(() => undefined);
    for (let count = 0; count < 5; count++) {
      await world.pass(MINUTE_MS);
      world.breakStreams();
      await world.remote(`news${count}`, "text");
      await world.pass(500);
      expect(world.folder.disk.at(`news${count}`)?.kind).toBe("file");
    }
    await world.stop();
  });
});

test("a server that asks to be left alone is, up to a minute [Y3]", async () => {
  let untilMs = 0;
  const world = await joined(() => undefined);
  const unavailable = () => problem(503, { "retry-after": "86400" });
  untilMs = world.scheduler.now + 5_000;
  world.answer = () => (world.scheduler.now < untilMs ? unavailable() : undefined);
  world.breakStreams();
  expect((await world.pass(50_000)).requests).toBeLessThanOrEqual(2);
  await world.pass(15_000);
  expect(world.status.state).toBe("in_sync");
  await world.stop();
});

describe("of two servers", () => {
  async function joinedBoth() {
    const world = new LoopWorld();
    world.serverUrl = "http://server.test,http://other.test";
    const dead = new Set<string>();
    world.answer = ({ url }) => {
      const isDead = dead.has(new URL(url).host);
      return isDead ? Promise.reject(new TypeError("refused")) : undefined;
    };
    world.make("a");
    world.start();
    await world.pass(MINUTE_MS);
    return { world, dead };
  }

  test("one that fails is left for the other, and nobody says offline [Y22]", async () => {
    const { world, dead } = await joinedBoth();
    for (const host of ["server.test", "other.test", "server.test"]) {
      dead.clear();
      dead.add(host);
      world.breakStreams();
      await world.remote(`news-${host}`, "text");
      world.make(`own-${host}`);
      await world.pass(15_000);
      expect(world.folder.disk.at(`news-${host}`)?.kind).toBe("file");
      expect(world.status.state).toBe("in_sync");
    }
    expect(world.said("offline")).toEqual([]);
    await world.stop();
  });

  test("none answers: that is offline, said once, until one does [Y22, Y3]", async () => {
    const { world, dead } = await joinedBoth();
    dead.add("server.test").add("other.test");
    world.breakStreams();
    await world.pass(MINUTE_MS);
    expect(world.status.state).toBe("offline");
    expect(world.said("offline")).toHaveLength(1);
    dead.delete("other.test");
    await world.pass(15_000);
    expect(world.status.state).toBe("in_sync");
    expect(world.said("online")).toHaveLength(1);
    await world.stop();
  });

  test("each that greets and then refuses is no way out: offline, asked rarely [Y22, Y3]", async () => {
    const { world } = await joinedBoth();
    world.answer = ({ url }) => (url.endsWith("/hello") ? undefined : problem(503));
    world.breakStreams();
    await world.pass(MINUTE_MS);
    expect(world.said("offline")).toHaveLength(1);
    expect((await world.pass(MINUTE_MS)).requests).toBeLessThanOrEqual(REQUESTS_PER_MINUTE_MAX);
    await world.stop();
  });
});

/** Changes the JSON of answers to some requests. */
function altered(
  world: LoopWorld,
  path: string,
  change: (text: string) => string,
): LoopWorld["answer"] {
  return async (request) => {
    const { pathname } = new URL(request.url);
    if (!pathname.endsWith(path)) return undefined;
    if (isStream(request)) return problem(429);
    const response = await world.pure(request);
    const { status, headers } = response;
    return new Response(change(await response.text()), { status, headers });
  };
}

describe("a log that", () => {
  test("does not fit its own hashes is an error that is said once and asked for rarely [L2, Y3]", async () => {
    const world = await joined(() => undefined);
    world.answer = altered(world, "/events", (text) =>
      text.replaceAll(/"hash":"[0-9a-f]{8}/g, '"hash":"00000000'),
    );
    world.breakStreams();
    await world.remote("news", "text");
    await world.pass(MINUTE_MS);
    expect(world.status.state).toBe("offline");
    expect((await world.pass(MINUTE_MS)).requests).toBeLessThanOrEqual(REQUESTS_PER_MINUTE_MAX);
    expect(world.said("error")).toHaveLength(1);
    // Nothing is joined anew for it, which would bring back what others deleted.
    expect(world.said("notice")).toEqual([]);
    world.answer = () => undefined;
    await world.pass(MINUTE_MS);
    expect(world.status.state).toBe("in_sync");
    await world.stop();
  });

  test("does not have what was accepted is an error that is asked for rarely [Y4, O7]", async () => {
    const world = await joined(() => undefined);
    world.answer = async (request) => {
      if (!request.url.endsWith("/ops")) return undefined;
      const { groups } = (await request.json()) as { groups: unknown[][] };
      const results = groups.map((group) => ({ status: "accepted", seqs: group.map(() => 2) }));
      return Response.json({ results, head: 2 });
    };
    world.make("b");
    await world.pass(MINUTE_MS);
    expect(world.status.state).toBe("offline");
    expect((await world.pass(MINUTE_MS)).requests).toBeLessThanOrEqual(2 * REQUESTS_PER_MINUTE_MAX);
    world.answer = () => undefined;
    await world.pass(MINUTE_MS);
    expect(world.status.state).toBe("in_sync");
    await world.stop();
  });
});

test("ops that come back otherwise are posted again rarely, and not given up [Y4, Y3]", async () => {
  const world = await joined(() => undefined);
  world.answer = async (request) => {
    if (!request.url.endsWith("/ops")) return undefined;
    const body = (await request.text()).replaceAll(/"name":"(b+)"/g, '"name":"$1b"');
    const { url, method, headers, signal } = request;
    return await world.pure(new Request(url, { method, headers, body, signal }));
  };
  world.make("b");
  await world.pass(MINUTE_MS);
  expect((await world.pass(MINUTE_MS)).requests).toBeLessThanOrEqual(2 * REQUESTS_PER_MINUTE_MAX);
  world.answer = () => undefined;
  await world.pass(MINUTE_MS);
  expect(world.status.state).toBe("in_sync");
  expect(world.folder.disk.at("b")?.kind).toBe("file");
  await world.stop();
});

test("events that come while a client is busy do not pile up: the gap is filled by pages [H16, H5]", async () => {
  const world = await joined(() => undefined);
  const busy = Promise.withResolvers<void>();
  let pages = 0;
  /** Of each stream. */
  const begunAfter: number[] = [];
  world.answer = async (request) => {
    const { pathname, searchParams } = new URL(request.url);
    if (isStream(request)) begunAfter.push(Number(searchParams.get("after")));
    else if (pathname.endsWith("/events")) pages += 1;
    if (pathname.endsWith("/ops")) await busy.promise;
    return undefined;
  };
  world.make("b");
  await world.pass(1_000);
  for (let batch = 0; batch < 3; batch++) {
    const names = Array.from({ length: OPS_PER_BATCH_MAX }, (_, index) => `d${batch}-${index}`);
    await makeDirectories(world, batch, names);
  }
  await world.pass(1_000);
  expect(world.folder.disk.at("d2-999")).toBeUndefined();
  busy.resolve();
  await world.pass(20_000);
  expect(world.status.state).toBe("in_sync");
  expect(world.folder.disk.at("d0-0")?.kind).toBe("directory");
  expect(world.folder.disk.at("d2-999")?.kind).toBe("directory");
  expect(pages).toBeGreaterThanOrEqual(3);
  // What the pages brought comes by no stream.
  expect(begunAfter).toHaveLength(1);
  expect(begunAfter[0]).toBeGreaterThan(3 * OPS_PER_BATCH_MAX);
  await world.stop();
});

test("a device leaves to another one what that is about to make [Y23, R9]", async () => {
  const world = await joined(() => undefined);
  const held = Promise.withResolvers<void>();
  const posted: string[][] = [];
  world.answer = async (request) => {
    if (!new URL(request.url).pathname.endsWith("/ops")) return undefined;
    const { groups } = JSON.parse(await request.clone().text());
    posted.push(groups.flat().map(({ name }: { name: string }) => name));
    await held.promise;
    return undefined;
  };
  const names = Array.from({ length: OPS_PER_BATCH_MAX + 20 }, (_, index) => `d${index}`);
  world.make(...names.map((name) => `${name}/`));
  await world.pass(1_000);
  const [first = []] = posted;
  expect(first).toHaveLength(OPS_PER_BATCH_MAX);
  await makeDirectories(world, 0, first);
  held.resolve();
  const rest = names.filter((name) => !first.includes(name));
  await world.pass(500);
  await makeDirectories(world, 1, rest.slice(10));
  await world.pass(1_000);
  await makeDirectories(world, 2, rest.slice(0, 10));
  await world.pass(20_000);
  expect(world.status.state).toBe("in_sync");
  expect(world.said("conflict")).toEqual([]);
  expect(posted).toHaveLength(1);
  await world.stop();
});

function id(text: string): string {
  return text.padStart(32, "0");
}

async function makeDirectories(
  world: LoopWorld,
  batch: number,
  names: readonly string[],
): Promise<void> {
  const { epoch, head, hash } = JSON.parse(await world.call(FOLDER_URL)) as Record<string, unknown>;
  const groups = names.map((name, index) => [
    {
      kind: "create",
      opId: id(`a${batch}${index}`),
      node: id(`b${batch}000${index}`),
      parent: id(""),
      name,
      content: { kind: "directory" },
      base: 0,
    },
  ]);
  const cursor = { epoch, seq: head, hash };
  const json = { device: id("d"), batch: id(`c${batch}`), cursor, groups };
  const headers = { "content-type": "application/json" };
  const body = JSON.stringify(json);
  await world.call(`${FOLDER_URL}/ops`, { method: "POST", headers, body });
}
