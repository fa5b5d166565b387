/** `synced backup` and `synced export` with the built binary, beside a server at work. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import {
  chmodSync,
  cpSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
} from "node:fs";
import { ensureBinary, runSynced } from "./binary.ts";
import { Lab, waitFor } from "./lab.ts";
import { snapshotOf } from "./snapshot.ts";

beforeAll(ensureBinary, 180_000);

const labs: Lab[] = [];
afterAll(async () => {
  for (const lab of labs) await lab.close();
});

async function openLab(): Promise<Lab> {
  const lab = await Lab.open();
  labs.push(lab);
  return lab;
}

async function run(lab: Lab, ...args: readonly string[]) {
  const ended = await runSynced([...args, "--data", lab.data, "--json"]);
  const line: unknown = JSON.parse(ended.stdout.split("\n")[0] ?? "{}");
  return { ...ended, line };
}

test("a backup of a server at work verifies, and clients go on with it [U9, S5]", async () => {
  const lab = await openLab();
  const pair = await lab.pair();
  const target = lab.scratch.join("backup");
  for (let n = 0; n < 20; n += 1) {
    pair[0].write(`early/${n}`, crypto.getRandomValues(new Uint8Array(n * 3_000 + 1)));
  }
  await lab.settled(pair);
  let isOver = false;
  const working = (async () => {
    for (let n = 0; !isOver; n += 1) {
      pair[n % 2]?.write(`busy/${n % 7}`, crypto.getRandomValues(new Uint8Array(40_000)));
      await Bun.sleep(15);
    }
  })();
  for (let round = 0; round < 2; round += 1) {
    const { exitCode, line } = await run(lab, "backup", target);
    expect([exitCode, line]).toEqual([0, expect.objectContaining({ damaged: [] })]);
    const { stdout, exitCode: verified } = await runSynced(["verify", "--data", target, "--json"]);
    expect([verified, stdout]).toEqual([0, expect.stringContaining('"findings":0')]);
  }
  isOver = true;
  await working;
  pair[1].write("later.txt", "after the last backup");
  await lab.settled(pair);
  const before = pair[0].snapshot();
  await lab.stopServer();
  renameSync(lab.data, `${lab.data}-lost`);
  cpSync(target, lab.data, { recursive: true });
  await lab.startServer();
  await lab.settled(pair);
  expect(pair[0].snapshot()).toEqual(before);
  await lab.stopServer();
  await lab.verify();
}, 120_000);

test("a second backup copies what is new, and drops what is gone [U9]", async () => {
  const lab = await openLab();
  const device = lab.device("alpha");
  device.start();
  const target = lab.scratch.join("backup");
  device.write("a", crypto.getRandomValues(new Uint8Array(900_000)));
  await lab.settled([device]);
  const first = await run(lab, "backup", target);
  expect(first.line).toMatchObject({ event: "backed_up", deleted: 0 });
  device.write("b", "small");
  await lab.settled([device]);
  expect((await run(lab, "backup", target)).line).toMatchObject({ copied: 1, copiedBytes: 5 });
  await lab.stopServer();
  const { exitCode } = await run(lab, "folder", "delete", "default", "--yes");
  expect(exitCode).toBe(0);
  const last = await run(lab, "backup", target);
  expect(last.line).toMatchObject({ copied: 0 });
  expect(last.line).not.toMatchObject({ deleted: 0 });
  const elsewhere = lab.scratch.join("not-empty");
  cpSync(device.path, elsewhere, { recursive: true });
  expect((await run(lab, "backup", elsewhere)).exitCode).toBe(2);
}, 60_000);

test("an export equals what a client had at that event, in every respect [U10]", async () => {
  const lab = await openLab();
  const device = lab.device("alpha");
  device.start();
  device.write("dir/script", "#!/bin/sh\n");
  chmodSync(device.join("dir/script"), 0o755);
  utimesSync(device.join("dir/script"), 1_700_000_000.123456, 1_700_000_000.123456);
  device.write("large", crypto.getRandomValues(new Uint8Array(700_000)));
  device.write("empty", "");
  symlinkSync("dir/script", device.join("link"));
  await lab.settled([device]);
  const then = await lab.head();
  const before = device.snapshot();
  rmSync(device.join("large"));
  device.write("dir/script", "changed");
  await waitFor("both are in the log", async () => (await lab.head()) === then + 2);
  await lab.settled([device]);
  const target = lab.scratch.join("old");
  const { exitCode, line } = await run(lab, "export", target, "--at", String(then));
  expect([exitCode, line]).toEqual([
    0,
    expect.objectContaining({ seq: then, files: 3, missing: [] }),
  ]);
  expect(snapshotOf(target)).toEqual(before);
  const now = lab.scratch.join("now");
  const time = new Date().toISOString();
  expect((await run(lab, "export", now, "--at", time)).exitCode).toBe(0);
  expect(snapshotOf(now)).toEqual(device.snapshot());
  expect((await run(lab, "export", now)).exitCode).toBe(2);
  expect((await run(lab, "export", lab.scratch.join("x"), "--at", "noon")).exitCode).toBe(2);
  expect(readdirSync(now).sort()).toEqual(["dir", "empty", "link"]);
}, 60_000);
