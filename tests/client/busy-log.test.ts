/** The log goes on while a client posts: what it planned before is planned anew. Rules: Y9, R3, R7. */
import { afterAll, expect, test } from "bun:test";
import {
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

const scratch = mkdtempSync(join(tmpdir(), "synced-test-busy-"));
const servers: Server[] = [];
afterAll(async () => {
  for (const server of servers) await server.close();
  rmSync(scratch, { recursive: true, force: true });
});

class Folder {
  readonly path: string;
  readonly #server: Server;
  /** Runs once, before the next batch of ops reaches the server. */
  beforePost: () => Promise<unknown> = async () => undefined;

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
        const { beforePost } = this;
        this.beforePost = async () => undefined;
        await beforePost();
      }
      return await this.#server.handle(request);
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
}

async function call(server: Server, method: string, name: string, body?: string): Promise<void> {
  const url = `http://127.0.0.1/v1/folders/default/files?path=${name}`;
  const request = new Request(url, body === undefined ? { method } : { method, body });
  const { ok, status } = await server.handle(request);
  if (!ok) throw new Error(`${method} ${name} answered ${status}`);
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
  await expect(call(server, "GET", "f")).rejects.toThrow("404");
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
