/** A folder with a quota: a client lists what does not fit, and goes on with all else. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ensureBinary, type RunningSynced, runSynced, Scratch, startServer } from "./binary.ts";

const MIB = 1024 * 1024;
const scratch = new Scratch();
const folder = scratch.join("folder");
let server: RunningSynced;
let url = "";

beforeAll(async () => {
  await ensureBinary();
  const args = ["--quota", "3MiB,roomy=none"];
  ({ url, server } = await startServer(scratch.join("storage"), { args }));
}, 180_000);
afterAll(async () => {
  await server.stop();
  scratch.remove();
});

const sync = (...args: string[]) => runSynced(["sync", folder, "--server", url, "--once", ...args]);

async function usage(name = "default"): Promise<Record<string, number>> {
  return (await (await fetch(`${url}/v1/folders/${name}/usage`)).json()) as Record<string, number>;
}

test("what does not fit is listed, and all else goes on [O14, D8]", async () => {
  mkdirSync(folder);
  writeFileSync(join(folder, "first.bin"), randomBytes(2 * MIB));
  expect((await sync()).exitCode).toBe(0);
  writeFileSync(join(folder, "large.bin"), randomBytes(2 * MIB));
  writeFileSync(join(folder, "small.txt"), "small");
  expect((await sync()).exitCode).toBe(3);
  const status = JSON.parse((await runSynced(["status", folder, "--json"])).stdout);
  expect(status.problems).toMatchObject([{ path: "large.bin", code: "quota_exceeded" }]);
  expect(status.problems[0].message).toContain("the folder's quota leaves 1048571");
  expect(await usage()).toMatchObject({ files: 2, bytes: 2 * MIB + 5, quotaBytes: 3 * MIB });
  const page = await (await fetch(`${url}/metrics`)).text();
  expect(page).toMatch(/^synced_store_room_bytes [1-9]/m);
  expect(page).toContain(`synced_folder_quota_bytes{folder="default"} ${3 * MIB}`);
});

test("what fits again once something went is sent [O14]", async () => {
  rmSync(join(folder, "first.bin"));
  expect((await sync("--guard", "off")).exitCode).toBe(0);
  expect(await usage()).toMatchObject({ files: 2, bytes: 2 * MIB + 5 });
});

test("a stranger's PUT is refused, and a smaller one taken [O14, H7]", async () => {
  const put = async (bytes: number): Promise<unknown> => {
    const body = new Uint8Array(bytes);
    const answer = await fetch(`${url}/v1/folders/default/files?path=x`, { method: "PUT", body });
    return [answer.status, ((await answer.json()) as { code?: string }).code];
  };
  expect(await put(1.5 * MIB)).toEqual([507, "quota_exceeded"]);
  expect(await put(0.5 * MIB)).toEqual([201, undefined]);
  expect(await put(0.25 * MIB)).toEqual([200, undefined]);
});

test("another folder may have another quota, or none [O14]", async () => {
  await fetch(`${url}/v1/folders/roomy`, { method: "PUT" });
  const body = new Uint8Array(4 * MIB);
  const answer = await fetch(`${url}/v1/folders/roomy/files?path=x`, { method: "PUT", body });
  expect(answer.status).toBe(201);
  expect(await usage("roomy")).not.toHaveProperty("quotaBytes");
});

test("a quota that is none is refused at the start [O14]", async () => {
  for (const quota of ["0", "1GB", "a b=1GiB", "photos=", ""]) {
    const args = ["serve", "--data", scratch.join("other"), "--quota", quota];
    expect((await runSynced(args)).exitCode).toBe(2);
  }
});
