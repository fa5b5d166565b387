/** The log goes on while a client posts: what it planned before is planned anew. Rules: Y9, R3, R7. */
import { afterAll, expect, test } from "bun:test";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createServer, type Server } from "../../server.ts";
import type { RunOutcome } from "../../src/client/folder/options.ts";
import { runClient } from "../../src/client/run.ts";
import { openClientWorld } from "../../src/commands/client-world.ts";
import { parseFolderName } from "../../src/core/identifier.ts";
import { failureOf } from "../failure.ts";

const scratch = mkdtempSync(join(tmpdir(), "synced-test-busy-"));
const servers: Server[] = [];
afterAll(async () => {
  for (const server of servers) await server.close();
  rmSync(scratch, { recursive: true, force: true });
});

class Folder {
  readonly path: string;
  readonly #server: Server;
  /** Batches of ops that it posted. */
  posts = 0;
  /** Runs once, before the next batch of ops reaches the server. */
  beforePost: () => Promise<unknown> = async () => undefined;
  /** Runs once, while the server reads the next page of the tree. */
  amidTree: (() => Promise<unknown>) | undefined;

  constructor(name: string, server: Server) {
    this.path = join(scratch, name);
    this.#server = server;
    mkdirSync(this.path);
  }

  write(name: string, text: string): void {
    writeFileSync(join(this.path, name), text);
  }

  names(): string[] {
    return readdirSync(this.path).filter((name) => name !== ".synced");
  }

  async sync(): Promise<RunOutcome> {
    const observer = { emit: () => undefined };
    const { path: folderPath } = this;
    const opened = openClientWorld({ folderPath, observer, poll: false, isDryRun: false });
    const transport = async (request: Request): Promise<Response> => {
      if (request.url.endsWith("/ops")) {
        this.posts += 1;
        const { beforePost } = this;
        this.beforePost = async () => undefined;
        await beforePost();
      }
      return request.url.includes("/tree?")
        ? await this.#tree(request)
        : await this.#server.handle(request);
    };
    const options = {
      serverUrl: "http://127.0.0.1",
      folder: parseFolderName("default"),
      deviceName: "laptop",
      once: true,
      fullScanIntervalMs: 600_000,
    };
    try {
      return await runClient({ ...opened.world, transport }, options, new AbortController().signal);
    } finally {
      opened.close();
    }
  }

  /** As a server that reads a page in two steps. */
  async #tree(request: Request): Promise<Response> {
    const { amidTree } = this;
    if (amidTree === undefined) return await this.#server.handle(request);
    this.amidTree = undefined;
    const step = async (query: string) =>
      await (await this.#server.handle(new Request(`${BASE}/tree?${query}`))).json();
    const first = await step("limit=1");
    await amidTree();
    const { through, nodes } = await step(`limit=5000&after=${first.next}`);
    const { next: _, ...head } = first;
    return Response.json({ ...head, through, nodes: [...first.nodes, ...nodes] });
  }
}

const BASE = "http://127.0.0.1/v1/folders/default";

async function call(server: Server, method: string, name: string, body?: string): Promise<void> {
  const url = `${BASE}/files?path=${name}`;
  const request = new Request(url, body === undefined ? { method } : { method, body });
  const { ok, status } = await server.handle(request);
  if (!ok) throw new Error(`${method} ${name} answered ${status}`);
}

/** More than one batch of ops. */
const MANY = 1_001;

for (const [title, directory] of [
  ["in a directory", "d"],
  ["beside each other", "."],
] as const) {
  test(`files ${title} that another device makes first are not posted [Y9, O2, R9]`, async () => {
    const data = join(scratch, `${title}-data`);
    const server = await createServer({ data });
    servers.push(server);
    const first = new Folder(`${title}-first`, server);
    const second = new Folder(`${title}-second`, server);
    mkdirSync(join(first.path, directory), { recursive: true });
    for (let index = 0; index < MANY; index += 1) {
      first.write(join(directory, `file-${index}`), `${index}`);
    }
    cpSync(first.path, second.path, { recursive: true, preserveTimestamps: true });
    second.beforePost = () => first.sync();
    expect(await second.sync()).toMatchObject({ end: "in_sync", conflicts: 0, problems: 0 });
    expect(second.posts).toBe(1);
    expect(await call(server, "GET", join(directory, `file-${MANY - 1}`))).toBeUndefined();
  });
}

/** In a folder with "f", whose next version is known and not yet on the disk when `meanwhile` runs. */
async function syncWhile(
  name: string,
  meanwhile: (server: Server) => Promise<void>,
): Promise<{ folder: Folder; outcome: RunOutcome; server: Server }> {
  const server = await createServer({ data: join(scratch, `${name}-data`) });
  servers.push(server);
  const folder = new Folder(name, server);
  folder.write("f", "first");
  await folder.sync();
  await call(server, "PUT", "f", "second");
  folder.write("mine", "something to be posted");
  folder.beforePost = () => meanwhile(server);
  return { folder, outcome: await folder.sync(), server };
}

test("a file that is deleted while its new version is on its way stays deleted [Y9, R3, R7]", async () => {
  const { folder, outcome, server } = await syncWhile("deleted", (server) =>
    call(server, "DELETE", "f"),
  );
  expect(outcome).toMatchObject({ end: "in_sync", conflicts: 0 });
  expect(folder.names()).toEqual(["mine"]);
  expect(String(await failureOf(call(server, "GET", "f")))).toContain("404");
  expect(existsSync(join(folder.path, "f"))).toBe(false);
});

test("a file that is changed again while its new version is on its way has no conflict [Y9, R3]", async () => {
  const { folder, outcome } = await syncWhile("changed", (server) =>
    call(server, "PUT", "f", "third"),
  );
  expect(outcome).toMatchObject({ end: "in_sync", conflicts: 0 });
  expect(folder.names().toSorted()).toEqual(["f", "mine"]);
  expect(readFileSync(join(folder.path, "f"), "utf8")).toBe("third");
});

test("what this device deletes while others write is known to be deleted [Y4, I43]", async () => {
  const server = await createServer({ data: join(scratch, "deletes-data") });
  servers.push(server);
  const folder = new Folder("deletes", server);
  folder.write("f", "first");
  folder.write("g", "second");
  await folder.sync();
  rmSync(join(folder.path, "f"));
  folder.beforePost = () => call(server, "PUT", "h", "of somebody else");
  expect(await folder.sync()).toMatchObject({ end: "in_sync", conflicts: 0 });
  expect(folder.names().toSorted()).toEqual(["g", "h"]);
  expect(String(await failureOf(call(server, "GET", "f")))).toContain("404");
});

test("a tree that changes while a new device reads it is whole with the events of that time [L7]", async () => {
  const server = await createServer({ data: join(scratch, "joins-data") });
  servers.push(server);
  await server.handle(new Request(BASE, { method: "PUT" }));
  await call(server, "PUT", "a", "first");
  await call(server, "PUT", "b", "second");
  const folder = new Folder("joins", server);
  folder.amidTree = async () => {
    // The directory's id is before all that was read, the ids of what is in it are not.
    const { epoch, head, hash } = await (await server.handle(new Request(BASE))).json();
    const made = { node: `${"0".repeat(31)}1`, parent: "0".repeat(32), name: "early" };
    const op = { kind: "create", opId: "1".repeat(32), ...made, content: { kind: "directory" } };
    const batch = {
      device: "2".repeat(32),
      batch: "3".repeat(32),
      cursor: { epoch, seq: head, hash },
      groups: [[{ ...op, base: 0 }]],
    };
    const headers = { "content-type": "application/json" };
    const body = JSON.stringify(batch);
    await server.handle(new Request(`${BASE}/ops`, { method: "POST", headers, body }));
    await call(server, "PUT", "early/late", "third");
  };
  expect(await folder.sync()).toMatchObject({ end: "in_sync", conflicts: 0 });
  expect(folder.names().toSorted()).toEqual(["a", "b", "early"]);
  expect(readFileSync(join(folder.path, "early/late"), "utf8")).toBe("third");
});
