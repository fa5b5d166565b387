/** A server that takes no large files: what a client, and a stranger with curl, is told. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { chmodSync, mkdirSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ensureBinary, type RunningSynced, runSynced, Scratch, startServer } from "./binary.ts";

const MIB = 1024 * 1024;
const scratch = new Scratch();
const data = scratch.join("storage");
const folder = scratch.join("folder");
let server: RunningSynced | undefined;
let url = "";

beforeAll(ensureBinary, 180_000);
afterAll(async () => {
  await server?.stop();
  scratch.remove();
});

async function serve(...args: string[]): Promise<void> {
  await server?.stop();
  ({ url, server } = await startServer(data, { args }));
}

async function sync() {
  return await runSynced(["sync", folder, "--server", url, "--once"]);
}

async function sizesOnServer(): Promise<Record<string, number>> {
  const answer = await fetch(`${url}/v1/folders/default/index?limit=100`);
  const { entries } = (await answer.json()) as { entries: { path: string; size: number }[] };
  return Object.fromEntries(entries.map(({ path, size }) => [path, size]));
}

async function stored(): Promise<number> {
  const page = await (await fetch(`${url}/metrics`)).text();
  return Number(/^synced_received_bytes_total (\S+)$/m.exec(page)?.[1] ?? Number.NaN);
}

test("a larger file is listed, and none of its bytes is sent; all else goes on [O13, D8]", async () => {
  mkdirSync(folder);
  writeFileSync(join(folder, "old.bin"), randomBytes(3 * MIB));
  await serve();
  expect((await sync()).exitCode).toBe(0);

  await serve("--file-size-max", "1MiB");
  writeFileSync(join(folder, "large.bin"), randomBytes(2 * MIB));
  mkdirSync(join(folder, "d"));
  writeFileSync(join(folder, "d/small.txt"), "small");
  writeFileSync(join(folder, "exact.bin"), randomBytes(MIB));
  renameSync(join(folder, "old.bin"), join(folder, "d/moved.bin"));
  chmodSync(join(folder, "d/moved.bin"), 0o755);
  const ended = await sync();
  expect(ended.exitCode).toBe(3);
  expect(await sizesOnServer()).toMatchObject({
    "d/small.txt": 5,
    "exact.bin": MIB,
    "d/moved.bin": 3 * MIB,
  });
  expect(await sizesOnServer()).not.toHaveProperty(["large.bin"]);
  expect(await stored()).toBeLessThan(1.2 * MIB);
  const status = JSON.parse((await runSynced(["status", folder, "--json"])).stdout);
  expect(status.problems).toMatchObject([{ path: "large.bin", code: "file_too_large" }]);

  await serve("--file-size-max", "2MiB");
  expect((await sync()).exitCode).toBe(0);
  expect(await sizesOnServer()).toHaveProperty(["large.bin"], 2 * MIB);
}, 60_000);

test("a stranger's PUT is refused, with a length and without [O13, H7]", async () => {
  await serve("--file-size-max", "1000");
  const put = async (body: BodyInit): Promise<unknown> => {
    const answer = await fetch(`${url}/v1/folders/default/files?path=x`, { method: "PUT", body });
    return [answer.status, ((await answer.json()) as { code?: string }).code];
  };
  const stream = (bytes: number): ReadableStream =>
    new ReadableStream({
      start(controller) {
        controller.enqueue(new Uint8Array(bytes));
        controller.close();
      },
    });
  expect(await put(new Uint8Array(1001))).toEqual([413, "file_too_large"]);
  expect(await put(stream(1001))).toEqual([413, "file_too_large"]);
  expect(await put(stream(1000))).toEqual([201, undefined]);
  const { limits } = (await (await fetch(`${url}/v1/hello`)).json()) as { limits: object };
  expect(limits).toHaveProperty("fileBytes", 1000);
});

test("a size that is none is refused at the start [O13]", async () => {
  for (const size of ["0", "1e9", "10GB", "-1", "99999999TiB"]) {
    const args = ["serve", "--data", scratch.join("other"), "--file-size-max", size];
    expect((await runSynced(args)).exitCode).toBe(2);
  }
});
