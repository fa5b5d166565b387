/**
 * Damage on a server's disk: `synced verify` names the versions that it hurts, and devices that
 * have the bytes give them back. `SYNCED_TEST_ROUNDS` sets how many bits are flipped.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { ensureBinary, runSynced } from "./binary.ts";
import { type Device, Lab, waitFor } from "./lab.ts";

const FLIPS = Number(process.env["SYNCED_TEST_ROUNDS"] ?? 3);

beforeAll(ensureBinary, 180_000);

const labs: Lab[] = [];
afterAll(async () => {
  for (const lab of labs) await lab.close();
});

interface Finding {
  readonly code: string;
  readonly where: string;
  readonly message: string;
}

async function verify(lab: Lab, ...more: readonly string[]) {
  const args = ["verify", "--data", lab.data, "--json", ...more];
  const { exitCode, stdout } = await runSynced(args);
  const lines = stdout.split("\n").filter((line) => line.includes('"finding"'));
  return { exitCode, findings: lines.map((line): Finding => JSON.parse(line)) };
}

interface Place {
  readonly digest: Uint8Array;
  readonly segment: number;
  readonly offset: number;
  readonly size: number;
}

/** Flips one bit of the nth object that is in use, small ones first. */
function flipBit(lab: Lab, nth: number): void {
  const database = new DatabaseSync(join(lab.data, "objects.db"));
  const small = database.prepare("SELECT digest, bytes FROM objects ORDER BY digest").all();
  const placed = database.prepare("SELECT * FROM places ORDER BY digest").all();
  const at = nth % (small.length + placed.length);
  const row = small[at];
  if (row !== undefined) {
    const bytes = row["bytes"] as Uint8Array;
    bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 16;
    const sql = "UPDATE objects SET bytes = ? WHERE digest = ?";
    database.prepare(sql).run(bytes, row["digest"] as Uint8Array);
  } else {
    const { segment, offset, size } = placed[at - small.length] as unknown as Place;
    const path = join(lab.data, "objects", "segments", "0", String(segment));
    const bytes = readFileSync(path);
    bytes[offset + size - 1] = (bytes[offset + size - 1] ?? 0) ^ 1;
    writeFileSync(path, bytes);
  }
  database.close();
}

async function openLab(count: number): Promise<{ lab: Lab; devices: readonly Device[] }> {
  const lab = await Lab.open();
  labs.push(lab);
  const devices = Array.from({ length: count }, (_, n) => lab.device(`device-${n}`));
  for (const device of devices) device.start();
  devices[0]?.write("large", crypto.getRandomValues(new Uint8Array(900_000)));
  devices[0]?.write("dir/small", "some text");
  await lab.settled(devices);
  return { lab, devices };
}

test("flipped bits are found, with the paths that they hurt, and healed by devices [U11, I37]", async () => {
  const { lab, devices } = await openLab(2);
  await devices[1]?.stop();
  for (let round = 0; round < FLIPS; round += 1) {
    await lab.stopServer();
    flipBit(lab, round);
    const { exitCode, findings } = await verify(lab);
    expect(exitCode).toBe(4);
    const hurt = findings.filter(({ code }) => code === "version_hurt");
    expect(hurt.length).toBeGreaterThan(0);
    expect(hurt[0]?.message).toMatch(/"(?:large|dir\/small)"/);
    await lab.startServer();
    const path = hurt[0]?.message.includes("large") ? "large" : "dir/small";
    await waitFor(`round ${round}: ${path} is healed`, async () => {
      const { status } = await fetch(`${lab.folderUrl}/files?path=${encodeURIComponent(path)}`);
      return status === 200;
    });
    await waitFor("nothing is wanted", async () => {
      const { wanted } = await lab.get<{ wanted: readonly string[] }>("chunks/wanted");
      return wanted.length === 0;
    });
  }
  await lab.stopServer();
  expect(await verify(lab)).toEqual({ exitCode: 0, findings: [] });
}, 120_000);

test("a lost segment is given back, and what no device has stays named [U11]", async () => {
  const { lab, devices } = await openLab(1);
  const [device] = devices;
  device?.write("large", crypto.getRandomValues(new Uint8Array(500_000)));
  await lab.settled(devices);
  await lab.stopServer();
  const directory = join(lab.data, "objects", "segments", "0");
  for (const name of readdirSync(directory)) writeFileSync(join(directory, name), "");
  const before = await verify(lab);
  const hurt = before.findings.filter(({ code }) => code === "version_hurt");
  expect(hurt.length).toBeGreaterThan(1);
  await lab.startServer();
  for (const path of ["large", "dir/small"]) {
    await waitFor(`${path} is healed`, async () => {
      const response = await fetch(`${lab.folderUrl}/files?path=${encodeURIComponent(path)}`);
      return response.status === 200 && (await response.bytes()).length > 0;
    });
  }
  await lab.stopServer();
  const { exitCode, findings } = await verify(lab);
  expect(exitCode).toBe(4);
  const left = findings.filter(({ code }) => code === "version_hurt");
  expect(left.length).toBeGreaterThan(0);
  const target = lab.scratch.join("present");
  expect((await runSynced(["export", target, "--data", lab.data])).exitCode).toBe(0);
  expect((await verify(lab, "--read-data", "1/30")).exitCode).toBe(4);
  expect((await verify(lab, "--read-data", "half")).exitCode).toBe(2);
}, 120_000);
