/**
 * SIGTERM ends server and client within 2 s, whatever they are doing, and the next run goes on. A
 * machine that does other things too gets some more tries. Rules: D7, H25.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { bestOf, timeOf } from "../timing.ts";
import { ensureBinary, RunningSynced, runSynced, Scratch } from "./binary.ts";

const TRIES = 5;
const WITHIN_MS = 2_000;
const scratch = new Scratch();

beforeAll(ensureBinary);
afterAll(() => scratch.remove(), 60_000);

async function startServer(data: string): Promise<{ server: RunningSynced; url: string }> {
  const server = new RunningSynced(["serve", "--data", data, "--port", "0"]);
  const { url } = await server.event("listening");
  return { server, url: String(url) };
}

async function terminate(running: RunningSynced): Promise<number> {
  return await timeOf(async () => {
    const { exitCode, stderr } = await running.stop("SIGTERM");
    expect({ exitCode, stderr }).toMatchObject({ exitCode: 143 });
    expect(stderr).not.toContain("bug in synced");
  });
}

for (const [what, files, bytes] of [
  ["the first join of many files", 1_500, 500],
  ["one large upload", 1, 60_000_000],
] as const) {
  test(`SIGTERM ends server and client amid ${what} [D7, H25]`, async () => {
    const path = scratch.join(what);
    mkdirSync(path);
    for (let file = 0; file < files; file += 1) {
      writeFileSync(join(path, `file-${file}`), randomBytes(bytes));
    }
    let data = "";
    const ms = await bestOf(TRIES, WITHIN_MS, async () => {
      rmSync(join(path, ".synced"), { recursive: true, force: true });
      data = scratch.join(`data-${crypto.randomUUID()}`);
      const { server, url } = await startServer(data);
      const client = new RunningSynced(["sync", path, "--server", url]);
      await client.event("progress");
      return Math.max(...(await Promise.all([server, client].map(terminate))));
    });
    expect(ms).toBeLessThan(WITHIN_MS);

    const { server, url } = await startServer(data);
    const { exitCode } = await runSynced(["sync", path, "--server", url, "--once"]);
    expect(exitCode).toBe(0);
    await server.stop();
  }, 120_000);
}

test("SIGTERM ends a server amid forty uploads without an end [D7, H25]", async () => {
  const ms = await bestOf(TRIES, WITHIN_MS, async () => {
    const { server, url } = await startServer(scratch.join(`data-${crypto.randomUUID()}`));
    await fetch(`${url}/v1/folders/default`, { method: "PUT" });
    const hangUp = new AbortController();
    const uploads = Array.from({ length: 40 }, async (_, index) => {
      const body = new ReadableStream({
        async pull(controller) {
          await Bun.sleep(20);
          controller.enqueue(new Uint8Array(64 * 1024).fill(index));
        },
      });
      const { signal } = hangUp;
      const file = `${url}/v1/folders/default/files?path=${index}`;
      await fetch(file, { method: "PUT", body, signal }).catch(() => undefined);
    });
    await Bun.sleep(1_000);
    const tookMs = await terminate(server);
    hangUp.abort();
    await Promise.all(uploads);
    return tookMs;
  });
  expect(ms).toBeLessThan(WITHIN_MS);
}, 120_000);
