/** `synced folder` and `synced gc` with the built binary, on a real server's data. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { ensureBinary, runSynced } from "./binary.ts";
import { Lab, waitFor } from "./lab.ts";

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
  const lines = ended.stdout.split("\n").filter((line) => line !== "");
  return { ...ended, lines: lines.map((line): unknown => JSON.parse(line)) };
}

test("a renamed folder's devices go on as before, and new ones use the new name [U5]", async () => {
  const lab = await openLab();
  const pair = await lab.pair();
  pair[0].write("a.txt", "one");
  await lab.settled(pair);
  expect((await run(lab, "folder", "rename", "default", "notes")).exitCode).toBe(14);
  await lab.stopServer();
  expect((await run(lab, "folder", "rename", "default", "notes")).exitCode).toBe(0);
  await lab.startServer();
  pair[1].write("b.txt", "two");
  await lab.settled(pair);
  const third = lab.device("gamma", "--folder", "notes");
  third.start();
  await lab.settled([...pair, third]);
  third.write("c.txt", "three");
  await lab.settled([...pair, third]);
  const { lines } = await run(lab, "folder", "list");
  expect(lines).toMatchObject([{ event: "folder", name: "notes", head: 3, files: 3, devices: 3 }]);
  await lab.stopServer();
  await lab.verify();
}, 60_000);

test("a deleted folder goes with its bytes; its devices stop and keep their files [U6]", async () => {
  const lab = await openLab();
  const device = lab.device("alpha");
  device.start();
  device.write("large", crypto.getRandomValues(new Uint8Array(60_000)));
  device.write("small", "text");
  await lab.settled([device]);
  await lab.stopServer();
  const refused = await run(lab, "folder", "delete", "default");
  expect([refused.exitCode, refused.stderr]).toEqual([2, expect.stringContaining("2 files")]);
  const { lines } = await run(lab, "folder", "delete", "default", "--yes");
  expect(lines).toMatchObject([{ event: "deleted", folder: "default", bytes: expect.any(Number) }]);
  await lab.startServer();
  await waitFor("the client stops", () => device.running.hasEnded);
  const { exitCode, stderr } = await device.once();
  expect([exitCode, stderr]).toEqual([14, expect.stringContaining("deleted on the server")]);
  expect(device.read("small")).toBe("text");
  expect((await fetch(`${lab.folderUrl}/files?path=small`)).status).toBe(410);
  expect((await run(lab, "folder", "list")).lines).toEqual([]);
  await lab.stopServer();
  await lab.verify();
}, 60_000);
