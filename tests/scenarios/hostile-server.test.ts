/**
 * A server that has been taken over, against the real binary: it tries to write, delete and read
 * outside the folder, to empty it, and to use up this machine. Each try ends in a named halt, and a
 * sound server afterwards goes on. Rules: L7, G2-G4, C9, D1, D21, H1. `SYNCED_TEST_WAYS` tries only
 * those whose name has that text.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { sha256 } from "../../src/core/digest.ts";
import { type NodeId, PARKING_ID, ROOT_ID } from "../../src/core/identifier.ts";
import { encodeManifestObject } from "../../src/core/manifest.ts";
import type { Content, FileContent } from "../../src/core/node.ts";
import { encodePack } from "../../src/protocol/pack.ts";
import { DIRECTORY, fileOf, hexId, type LogWriter } from "../generate/logs.ts";
import { ensureBinary, runSynced, Scratch } from "./binary.ts";
import { type Lie, LyingServer } from "./lying-server.ts";

const TOKEN = "a-token-that-must-never-be-told";
/** Within which each try must have come to an end, or said that it waits. */
const ENDS_WITHIN_MS = 10_000;
/** What loads this machine beside may double it. */
const PATIENCE_MS = 3 * ENDS_WITHIN_MS;
const FILES = 60;

interface Way {
  readonly what: string;
  /** Exit codes with which `sync --once` may end; never 1. */
  readonly exits: readonly number[];
  readonly lie: (server: LyingServer) => Lie | Promise<Lie>;
  /** Part of what it says. */
  readonly says?: string;
  /** What the user does before. */
  readonly first?: (folder: Folder) => void;
}

const json = (value: unknown, init?: ResponseInit) => Response.json(value, init);
const problem = (status: number, code: string, detail = "no") =>
  Response.json({ code, detail, status }, { status, headers: PROBLEM });
const PROBLEM = { "content-type": "application/problem+json" };
const isEvents = (route: string) => route.startsWith("/folders/default/events?");

/** Answers one route with its true answer, changed. */
function changed(
  server: LyingServer,
  isMeant: (route: string) => boolean,
  change: (truth: Record<string, unknown>) => unknown,
): Lie {
  return async (request, route) =>
    isMeant(route) ? json(change(await server.truth(request))) : undefined;
}

const atHello = (change: (truth: Record<string, unknown>) => unknown) => (server: LyingServer) =>
  changed(server, (route) => route === "/hello", change);
const atFolder = (change: (truth: Record<string, unknown>) => unknown) => (server: LyingServer) =>
  changed(server, (route) => route === "/folders/default", change);
const instead = (isMeant: (route: string) => boolean, answer: () => Response) => () => {
  return (_: Request, route: string) => (isMeant(route) ? answer() : undefined);
};

/** Serves forged events behind the true ones, changed by `spoil` after they were chained. */
const forged =
  (write: (log: LogWriter) => void, spoil: (page: Record<string, unknown>) => unknown = same) =>
  async (server: LyingServer): Promise<Lie> => {
    const log = await server.forger();
    write(log);
    const { epoch, seq } = log.cursor;
    const { events } = log;
    const start = (events[0]?.seq ?? seq) - 1;
    return (_, route) => {
      if (!isEvents(route)) return undefined;
      const after = Number(new URLSearchParams(route.split("?")[1]).get("after"));
      const rest = events.filter((event) => event.seq > Math.max(after, start));
      return json(spoil({ epoch, head: seq, events: rest, next: seq }));
    };
  };

const same = (page: Record<string, unknown>): unknown => page;
const node = (number: number): NodeId => hexId<NodeId>(0xabc000 + number);
const firstFile = (log: LogWriter): NodeId =>
  [...log.rows.values()].find(({ content }) => content.kind === "file")?.id ?? ROOT_ID;
const files = (log: LogWriter): NodeId[] =>
  [...log.rows.values()].filter(({ content }) => content.kind === "file").map(({ id }) => id);
const idOf = (log: LogWriter, name: string): NodeId =>
  [...log.rows.values()].find((row) => row.name === name)?.id ?? ROOT_ID;

const fresh = (name: string, content: Content = fileOf("x")) =>
  forged((log) => log.create(node(1), ROOT_ID, name, content));
const content = (change: object) => fresh("f", { ...fileOf("x"), ...change } as Content);
const event = (change: Record<string, unknown>) =>
  forged(
    (log) => log.create(node(1), ROOT_ID, "f", fileOf("x")),
    (page) => ({
      ...page,
      events: [{ ...(page["events"] as object[])[0], ...change }],
    }),
  );

/** A file whose root object is served, and which claims what it likes. */
function claiming(depth: number, children: readonly { digest: string; size: number }[]) {
  const object = encodeManifestObject({ depth, children: children as never });
  const size = children.reduce((sum, child) => sum + child.size, 0);
  const claim: FileContent = {
    kind: "file",
    manifest: object.digest,
    depth,
    sha256: sha256("what nobody has"),
    size,
    executable: false,
    mtimeNs: "0",
  };
  return async (server: LyingServer): Promise<Lie> => {
    const events = await forged((log) => log.create(node(1), ROOT_ID, "f", claim))(server);
    const body = encodePack([{ ...object, depth: 1 }]);
    const headers = { "content-type": "application/vnd.synced.pack" };
    return async (request, route) =>
      route.endsWith("/chunks/fetch")
        ? new Response(body, { headers })
        : await events(request, route);
  };
}

const many = (count: number, size: number) =>
  Array.from({ length: count }, () => ({ digest: sha256("1"), size }));
const pack = (bytes: Uint8Array) => async (server: LyingServer) => {
  const large = { ...fileOf("x"), sha256: sha256("y"), manifest: sha256("y"), size: 9_000 };
  const events = await fresh("f", large as Content)(server);
  const headers = { "content-type": "application/vnd.synced.pack" };
  const lie: Lie = async (request, route) =>
    route.endsWith("/chunks/fetch")
      ? new Response(new Uint8Array(bytes), { headers })
      : await events(request, route);
  return lie;
};

const GREETING: readonly Way[] = [
  {
    what: "another server",
    exits: [12],
    lie: atHello((t) => ({ ...t, serverId: "f".repeat(32) })),
  },
  { what: "another protocol", exits: [12], lie: atHello((t) => ({ ...t, protocol: 99 })) },
  { what: "no greeting", exits: [12], lie: atHello(() => ({})) },
  { what: "a list as greeting", exits: [12], lie: atHello(() => []) },
  {
    what: "a greeting of 2 MB",
    exits: [12],
    lie: atHello((t) => ({ ...t, features: ["x".repeat(2_000_000)] })),
  },
  {
    what: "a greeting that nests 10,000 deep",
    exits: [12],
    lie: instead(
      (route) => route === "/hello",
      () =>
        new Response("[".repeat(10_000) + "]".repeat(10_000), {
          headers: { "content-type": "application/json" },
        }),
    ),
  },
  {
    what: "a greeting with a prototype",
    exits: [12],
    lie: instead(
      (route) => route === "/hello",
      () =>
        new Response('{"__proto__": {"serverId": "1"}}', {
          headers: { "content-type": "application/json" },
        }),
    ),
  },
  {
    what: "a redirect to elsewhere",
    exits: [12],
    lie: instead(
      () => true,
      () => Response.redirect("http://127.0.0.1:9/", 302),
    ),
  },
  {
    what: "a compressed bomb",
    exits: [12],
    lie: instead(
      () => true,
      () =>
        new Response(new Uint8Array(gzipSync(new Uint8Array(50_000_000))), {
          headers: { "content-type": "application/json", "content-encoding": "gzip" },
        }),
    ),
  },
  {
    what: "a page of HTML",
    exits: [12],
    lie: instead(
      () => true,
      () => new Response("<html>", { headers: { "content-type": "text/html" } }),
    ),
  },
  {
    what: "a refusal of the token, with a line that is none of ours",
    exits: [13],
    lie: instead(
      (route) => route !== "/hello",
      () => problem(401, "unauthenticated", "no\n2026-01-01 FORGED all is well"),
    ),
  },
  {
    what: "words with line feeds",
    exits: [12, 13],
    lie: instead(
      (route) => route !== "/hello",
      () => problem(403, "forbidden", "no\nFORGED\r\nFORGED\u2028FORGED"),
    ),
  },
  {
    what: "a code that does not exist",
    exits: [12],
    lie: instead(
      (route) => route !== "/hello",
      () => problem(418, "teapot"),
    ),
  },
];

const FOLDER: readonly Way[] = [
  { what: "a folder of another name", exits: [12], lie: atFolder((t) => ({ ...t, name: "evil" })) },
  {
    what: "chunks of one byte",
    exits: [12],
    lie: atFolder((t) => ({
      ...t,
      chunker: { minBytes: 1, averageBytes: 2, maxBytes: 3 },
    })),
  },
  {
    what: "chunks beyond all bounds",
    exits: [12],
    lie: atFolder((t) => ({
      ...t,
      chunker: { minBytes: 65_536, averageBytes: 2 ** 40, maxBytes: 2 ** 53 - 1 },
    })),
  },
  { what: "no chunks", exits: [12], lie: atFolder((t) => ({ ...t, chunker: null })) },
  { what: "an epoch that is none", exits: [12], lie: atFolder((t) => ({ ...t, epoch: "../.." })) },
  { what: "a head beyond 2^53", exits: [12], lie: atFolder((t) => ({ ...t, head: 2 ** 60 })) },
];

const NAMES: readonly Way[] = [
  ..."..|.|../evil|/etc/evil|a/b|a\0b||.synced|.SYNCED|.sy\u200bnced|SYNCED~1"
    .split("|")
    .map((name) => ({ what: `the name ${JSON.stringify(name)}`, exits: [12], lie: fresh(name) })),
  { what: "a name of 300 bytes", exits: [12], lie: fresh("n".repeat(300)) },
  { what: "a name that is no text", exits: [12], lie: event({ name: 7 }) },
  { what: "a name of half a character", exits: [12], lie: event({ name: "\ud800" }) },
];

const EVENTS: readonly Way[] = [
  { what: "an id that is a path", exits: [12], lie: event({ node: "../../etc/passwd" }) },
  { what: "a kind that is none", exits: [12], lie: event({ kind: "chmod" }) },
  { what: "a sequence beyond 2^53", exits: [12], lie: event({ seq: 2 ** 60 }) },
  { what: "an event twice", exits: [12], lie: event({ seq: 1 }) },
  { what: "a hash that does not fit", exits: [12], lie: event({ hash: "0".repeat(64) }) },
  { what: "an event without its group's end", exits: [12], lie: event({ groupEnd: false }) },
  { what: "bytes that are no base64", exits: [12], lie: event({ inline: "%%%%" }) },
  { what: "more bytes than the file has", exits: [12], lie: event({ inline: "QUJDRA==" }) },
  { what: "a path of a megabyte", exits: [12], lie: event({ path: "p".repeat(1_000_000) }) },
  {
    what: "a head with nothing before it",
    exits: [12],
    lie: forged(
      (log) => log.create(node(1), ROOT_ID, "f"),
      (page) => ({ ...page, events: [], next: Number(page["head"]) - 1 }),
    ),
  },
  {
    what: "another epoch in each answer",
    exits: [11, 12],
    lie: forged(
      (log) => log.create(node(1), ROOT_ID, "f"),
      (page) => ({ ...page, epoch: crypto.randomUUID().replaceAll("-", "") }),
    ),
  },
  {
    what: "3,000 events in a page",
    exits: [12],
    lie: forged((log) => {
      for (let at = 0; at < 3_000; at += 1) log.create(node(at), ROOT_ID, `n${at}`);
    }),
  },
  {
    what: "a parent that is unknown",
    exits: [12],
    lie: forged((log) => log.create(node(1), node(2), "f")),
  },
  {
    what: "a parent in the parking",
    exits: [12],
    lie: forged((log) => log.create(node(1), PARKING_ID, "f")),
  },
  {
    what: "the root in itself",
    exits: [12],
    lie: forged((log) => log.create(ROOT_ID, ROOT_ID, "f")),
  },
  {
    what: "directories in a circle",
    exits: [12],
    lie: forged((log) => {
      log.create(node(1), ROOT_ID, "a");
      log.create(node(2), node(1), "b");
      log.change("move", node(1), { parent: node(2) });
    }),
  },
  {
    what: "one name twice",
    exits: [12],
    lie: forged((log) => {
      log.create(node(1), ROOT_ID, "a");
      log.create(node(2), ROOT_ID, "a");
    }),
  },
  {
    what: "a file that turns into a directory",
    exits: [12],
    lie: forged((log) => log.change("modify", firstFile(log), { content: DIRECTORY })),
  },
  {
    what: "a directory deleted with what is in it",
    exits: [12],
    lie: forged((log) => log.change("delete", idOf(log, "d"))),
  },
  {
    what: "a file below a symlink that leads outside",
    exits: [12],
    lie: forged((log) => {
      log.create(node(1), ROOT_ID, "link", { kind: "symlink", target: "../outside" });
      log.create(node(2), node(1), "evil", fileOf("x"));
    }),
  },
  { what: "a file of minus one bytes", exits: [12], lie: content({ size: -1 }) },
  { what: "one chunk of 2^53 bytes", exits: [12], lie: content({ size: 2 ** 53 - 1 }) },
  { what: "nine levels of chunks", exits: [12], lie: content({ depth: 9 }) },
  { what: "a time beyond all clocks", exits: [12], lie: content({ mtimeNs: "9".repeat(40) }) },
  {
    what: "a link to a NUL",
    exits: [12],
    lie: fresh("link", { kind: "symlink", target: "a\0b" }),
  },
];

const CONTENTS: readonly Way[] = [
  { what: "a manifest bomb", exits: [3], lie: claiming(1, many(4_096, 1)), says: "than is ever" },
  { what: "a petabyte of holes", exits: [3], lie: claiming(3, many(4_096, 2 ** 40)), says: "room" },
  { what: "a manifest that its sizes deny", exits: [3], lie: claiming(1, many(40, 900_000)) },
  { what: "a pack of other bytes", exits: [3, 12], lie: pack(new Uint8Array(50_000)) },
  {
    what: "a pack with another object",
    exits: [3, 12],
    lie: pack(
      encodePack([{ depth: 0, digest: sha256("z"), bytes: new TextEncoder().encode("z") }]),
    ),
  },
];

/** These are legal logs. They end in what a guard holds, or in what may be done. */
const LEGAL: readonly Way[] = [
  {
    what: "the deletion of everything, approved by itself",
    exits: [10],
    lie: forged((log) => {
      for (const id of files(log)) log.change("delete", id, { approval: "anything" });
    }),
    says: "Held",
  },
  {
    what: "everything overwritten, approved by itself",
    exits: [10],
    lie: forged((log) => {
      for (const id of files(log)) {
        log.change("modify", id, { content: fileOf("evil"), approval: "anything" });
      }
    }),
  },
  {
    what: "everything cut to nothing",
    exits: [10],
    lie: forged((log) => {
      for (const id of files(log)) log.change("modify", id, { content: fileOf("") });
    }),
  },
  {
    what: "one new extension for all",
    exits: [10],
    lie: forged((log) => {
      for (const id of files(log)) log.change("move", id, { name: `${id.slice(20)}.locked` });
    }),
  },
  {
    what: "everything moved into one directory, which goes",
    exits: [10],
    lie: forged((log) => {
      log.create(node(1), ROOT_ID, "trash");
      for (const id of files(log)) log.change("move", id, { parent: node(1), name: id });
      for (const id of files(log)) log.change("delete", id);
      log.change("delete", node(1));
    }),
  },
  {
    what: "a symlink that leads outside in a directory's place",
    exits: [0],
    lie: forged(
      (log) => {
        log.change("move", idOf(log, "d"), { name: "moved" });
        log.create(node(1), ROOT_ID, "d", { kind: "symlink", target: "../outside" });
        log.create(node(2), idOf(log, "moved"), "canary", fileOf("evil"));
      },
      (page) => ({
        ...page,
        events: (page["events"] as { node: string }[]).map((one) =>
          one.node === node(2) ? { ...one, inline: btoa("evil") } : one,
        ),
      }),
    ),
  },
];

/** The user has something to send: a file of two chunks at least, beside one that is ignored. */
const withNews = (folder: Folder) => {
  writeFileSync(`${folder.path}/.syncedignore`, "secret\n");
  writeFileSync(`${folder.path}/secret`, SECRET);
  writeFileSync(`${folder.path}/news`, "news ".repeat(100_000));
};
const SECRET = "what is sent to nobody";
const isOps = (route: string) => route === "/folders/default/ops";
const groupsOf = async (request: Request) =>
  ((await request.clone().json()) as { groups: { opId: string }[][] }).groups;
/** Answers posted ops without having looked at them. */
const ops = (result: (group: number, head: number) => unknown) => (server: LyingServer) => {
  const lie: Lie = async (request, route) => {
    if (!isOps(route)) return undefined;
    const head = await server.head();
    const groups = await groupsOf(request);
    return json({
      results: groups.map((_, index) => result(index, head)),
      head: head + groups.length,
      hash: "0".repeat(64),
    });
  };
  return lie;
};
/** A body that goes on for ever. */
const endless = (head: string, piece: string, type: string) => () => {
  let isFirst = true;
  const bytes = new TextEncoder().encode(piece.repeat(4_096));
  const body = new ReadableStream({
    pull(controller) {
      controller.enqueue(isFirst ? new TextEncoder().encode(head) : bytes);
      isFirst = false;
    },
  });
  return new Response(body, { headers: { "content-type": type } });
};

/** Lies to a device that has something to send. */
const ANSWERS: readonly Way[] = [
  {
    what: "that it misses objects of files that nobody sends",
    exits: [0, 3, 12],
    first: withNews,
    lie: () => async (request, route) => {
      if (!route.endsWith("/chunks/missing")) return undefined;
      const { digests } = (await request.clone().json()) as { digests: string[] };
      return json({ missing: [...digests, sha256(SECRET), sha256("text 1")] });
    },
  },
  {
    what: "that it wants objects of files that are ignored",
    exits: [0],
    first: withNews,
    lie: () => (_, route) =>
      route.endsWith("/chunks/wanted") ? json({ wanted: [sha256(SECRET)] }) : undefined,
  },
  {
    what: "that each op lacks its objects, for ever",
    exits: [3, 11, 12],
    first: withNews,
    lie: ops(() => ({ status: "refused", code: "chunk_missing", detail: "no", op: 0 })),
  },
  {
    what: "results for no op",
    exits: [12],
    first: withNews,
    lie: () => (_, route) => (isOps(route) ? json({ results: [], head: {} }) : undefined),
  },
  {
    what: "that ops became events that are not in its log",
    exits: [3, 11, 12],
    first: withNews,
    lie: ops((index, head) => ({ status: "accepted", seqs: [head + 1 + index] })),
  },
  {
    what: "that ops became events of long ago",
    exits: [3, 11, 12],
    first: withNews,
    lie: ops(() => ({ status: "accepted", seqs: [1] })),
  },
  {
    what: "that each version is another one",
    exits: [3, 11, 12],
    first: withNews,
    lie: ops(() => ({ status: "refused", code: "version_conflict", detail: "no", op: 0 })),
  },
  {
    what: "limits that let nothing through",
    exits: [0, 3, 12],
    first: withNews,
    lie: atHello((t) => ({
      ...t,
      limits: { packBytesMax: 0, opsPerBatchMax: 0, fileBytesMax: 0 },
    })),
  },
  {
    what: "a page of events that never ends",
    exits: [11, 12],
    lie: instead(isEvents, endless('{"epoch":"', "e", "application/json")),
  },
  {
    what: "a list of what is missing that never ends",
    exits: [3, 11, 12],
    first: withNews,
    lie: instead(
      (route) => route.endsWith("/chunks/missing"),
      endless('{"missing":[', `"${"0".repeat(64)}",`, "application/json"),
    ),
  },
  {
    what: "the deletion of everything, with orders to approve it",
    exits: [10],
    lie: async (server) => {
      const events = await forged((log) => {
        for (const id of files(log)) log.change("delete", id);
      })(server);
      return async (request, route) => {
        if (!/\/orders$/.test(route)) return await events(request, route);
        const held = [...server.heldIds].map((id, at) => ({
          id: hexId(0xdef000 + at),
          time: "2026-01-01T00:00:00.000Z",
          order: { kind: "approve", held: id },
        }));
        return json({ orders: held });
      };
    },
    says: "Held",
  },
];

class Folder {
  readonly scratch = new Scratch();
  readonly path = this.scratch.join("folder");
  readonly #outside = this.scratch.join("outside");

  constructor() {
    mkdirSync(`${this.path}/d`, { recursive: true });
    mkdirSync(this.#outside);
    writeFileSync(`${this.#outside}/canary`, "sings");
    writeFileSync(`${this.path}/d/canary-inside`, "inside");
    for (let at = 0; at < FILES; at += 1) writeFileSync(`${this.path}/file-${at}`, `text ${at}`);
  }

  once(server: LyingServer) {
    const env = { SYNCED_TOKEN: TOKEN };
    return runSynced(["sync", this.path, "--server", server.url, "--once"], { env });
  }

  /** Names and sizes of what a user sees, and of all that lies beside the folder. */
  get looks(): readonly string[] {
    const inside = readdirSync(this.path).filter((name) => name !== ".synced");
    const sizes = inside.map((name) => `${name} ${statSync(`${this.path}/${name}`).size}`);
    return [...sizes.sort(), ...readdirSync(this.scratch.path).sort(), this.canary];
  }

  get canary(): string {
    return `${readdirSync(this.#outside)} ${readFileSync(`${this.#outside}/canary`, "utf8")}`;
  }
}

async function expectHalt(folder: Folder, server: LyingServer, way: Way): Promise<void> {
  server.lie = await way.lie(server);
  const startMs = performance.now();
  const { exitCode, stdout, stderr } = await folder.once(server);
  const tookMs = performance.now() - startMs;
  server.lie = () => undefined;
  expect({ what: way.what, stderr, isKnown: way.exits.includes(exitCode), exitCode }).toMatchObject(
    {
      isKnown: true,
    },
  );
  expect(tookMs).toBeLessThan(PATIENCE_MS);
  expect(stderr).not.toMatch(/bug in synced|^FORGED|^2026-01-01/m);
  expect(`${stdout}${stderr}`).not.toContain(TOKEN);
  if (way.exits.every((exit) => exit !== 0)) expect(stderr.length).toBeGreaterThan(20);
  if (way.says !== undefined) expect(stderr).toContain(way.says);
}

const isWanted = ({ what }: Way) => what.includes(process.env["SYNCED_TEST_WAYS"] ?? "");

describe("a hostile server", () => {
  let server: LyingServer;
  let folder: Folder;
  beforeAll(async () => {
    await ensureBinary();
    server = await LyingServer.open();
    folder = new Folder();
    expect((await folder.once(server)).exitCode).toBe(0);
  }, 180_000);
  afterAll(async () => {
    await server.close();
    folder.scratch.remove();
  });

  for (const way of [...GREETING, ...FOLDER, ...NAMES, ...EVENTS].filter(isWanted)) {
    test(`that tells ${way.what} is told so, and changes nothing [L7, B60, B86]`, async () => {
      const before = folder.looks;
      await expectHalt(folder, server, way);
      expect(folder.looks).toEqual(before);
    });
  }

  test("leaves a folder that goes on with a sound one where it was [L7]", async () => {
    await server.put("after", "that");
    const { exitCode, stderr } = await folder.once(server);
    expect({ exitCode, stderr }).toMatchObject({ exitCode: 0 });
    expect(readFileSync(`${folder.path}/after`, "utf8")).toBe("that");
    expect(stderr).not.toContain("older copy");
  });
});

describe("a hostile server with a legal log", () => {
  for (const way of [...CONTENTS, ...LEGAL, ...ANSWERS].filter(isWanted)) {
    test(`that tells ${way.what} loses nobody's file, and a sound one goes on [B61, B87, B88]`, async () => {
      const server = await LyingServer.open();
      const folder = new Folder();
      try {
        expect((await folder.once(server)).exitCode).toBe(0);
        const { canary } = folder;
        way.first?.(folder);
        await expectHalt(folder, server, way);
        const texts = readdirSync(folder.path, { recursive: true, withFileTypes: true })
          .filter((entry) => entry.isFile() && !entry.parentPath.includes(".synced"))
          .map((entry) => readFileSync(`${entry.parentPath}/${entry.name}`, "utf8"));
        for (let at = 0; at < FILES; at += 1) expect(texts).toContain(`text ${at}`);
        expect(folder.canary).toBe(canary);
        expect(server.sent.some((body) => body.includes(SECRET))).toBe(false);
        await server.put("after", "that");
        expect([0, 3]).toContain((await folder.once(server)).exitCode);
        expect(readFileSync(`${folder.path}/after`, "utf8")).toBe("that");
      } finally {
        await server.close();
        folder.scratch.remove();
      }
    });
  }
});
