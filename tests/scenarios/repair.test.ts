/**
 * Damage on a server's disk: `synced verify` names the versions that it hurts, and devices that
 * have the bytes give them back. `SYNCED_TEST_ROUNDS` sets how many bits are flipped,
 * `SYNCED_TEST_SEED` which ones.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openDataReader } from "../../src/adapters/data-directory.ts";
import type { Digest } from "../../src/core/digest.ts";
import { parseFolderName } from "../../src/core/identifier.ts";
import { parseManifestObject } from "../../src/core/manifest.ts";
import { noise } from "../generate/contents.ts";
import { SimRandom } from "../sim/sim-random.ts";
import { ensureBinary, runSynced } from "./binary.ts";
import { type Flip, flipBit } from "./bit-flip.ts";
import { type Device, Lab, waitFor } from "./lab.ts";

const FLIPS = Number(process.env["SYNCED_TEST_ROUNDS"] ?? 6);
const SEED = Number(process.env["SYNCED_TEST_SEED"] ?? 1);

beforeAll(ensureBinary, 180_000);

const labs: Lab[] = [];
afterAll(async () => {
  for (const lab of labs) await lab.close();
});

interface Finding {
  readonly code: string;
  readonly where: string;
  readonly path?: string;
  readonly message: string;
}

async function verify(lab: Lab, ...more: readonly string[]) {
  const args = ["verify", "--data", lab.data, "--json", ...more];
  const { exitCode, stdout } = await runSynced(args);
  const lines = stdout.split("\n").filter((line) => line.includes('"finding"'));
  return { exitCode, findings: lines.map((line): Finding => JSON.parse(line)) };
}

async function openLab(count: number): Promise<{ lab: Lab; devices: readonly Device[] }> {
  const lab = await Lab.open();
  labs.push(lab);
  const devices = Array.from({ length: count }, (_, n) => lab.device(`device-${n}`));
  for (const device of devices) device.start();
  await lab.settled(devices);
  return { lab, devices };
}

/** By digest: the paths of the versions that need it, and whether one of them is there now. */
type Owners = ReadonlyMap<string, { readonly paths: Set<string>; isLive: boolean }>;

async function ownersIn(lab: Lab): Promise<Owners> {
  const reader = openDataReader(lab.data);
  const owners = new Map<string, { readonly paths: Set<string>; isLive: boolean }>();
  const own = async (digest: Digest, depth: number, path: string, isLive: boolean) => {
    const known = owners.get(digest) ?? { paths: new Set<string>(), isLive: false };
    owners.set(digest, { paths: known.paths.add(path), isLive: known.isLive || isLive });
    const bytes = depth === 0 ? undefined : await reader.objects.get(digest);
    for (const child of bytes === undefined ? [] : parseManifestObject(bytes).children) {
      await own(child.digest, depth - 1, path, isLive);
    }
  };
  const folder = parseFolderName("default");
  const { events } = await reader.metadata.events(folder, { after: 0, limit: 10_000 });
  for (const { node, path, content } of events) {
    if (content.kind !== "file" || content.size === 0) continue;
    const now = await reader.metadata.node(folder, node);
    const isLive =
      now?.deleted === false &&
      now.content.kind === "file" &&
      now.content.sha256 === content.sha256;
    await own(content.manifest, content.depth, path, isLive);
  }
  await reader.close();
  return owners;
}

/** The same bytes in each run, so that a flip hits the same objects. */
async function fillWithHistory({ lab, devices }: Awaited<ReturnType<typeof openLab>>) {
  const [device] = devices;
  device?.write("large", noise(1, 900_000));
  device?.write("dir/a", noise(2, 300));
  device?.write("dir/b", noise(3, 40_000));
  device?.write("dir/deep/c", noise(4, 300_000));
  symlinkSync("dir/a", device?.join("link") ?? "");
  await lab.settled(devices);
  renameSync(device?.join("dir") ?? "", device?.join("moved") ?? "");
  device?.write("moved/b", noise(5, 41_000));
  await lab.settled(devices);
  rmSync(device?.join("moved/a") ?? "");
  device?.write("large", noise(6, 800_000));
  await lab.settled(devices);
}

function isAffected(finding: Finding, flip: Flip, owners: Owners): boolean {
  const { path, message } = finding;
  if (path === undefined) return message.includes(flip.digest ?? JSON.stringify(flip.path));
  if (flip.path !== undefined) return `/${path}`.endsWith(`/${flip.path}`);
  return owners.get(flip.digest ?? "")?.paths.has(path) === true;
}

test(
  "flipped bits are found, with the paths that they hurt, and healed by devices [U11, U12, I37]",
  async () => {
    const world = await openLab(3);
    const { lab, devices } = world;
    await fillWithHistory(world);
    await devices[2]?.stop();
    const chance = new SimRandom(SEED, "flips");
    const owners = await ownersIn(lab);
    for (let round = 0; round < FLIPS; round += 1) {
      await lab.stopServer();
      const flip = flipBit(lab.data, round, (bound) => chance.below(bound));
      const story = `seed ${SEED}, flip ${round}: ${flip.what}`;
      const { exitCode, findings } = await verify(lab);
      expect([story, exitCode]).toEqual([story, 4]);
      const paths = findings.filter((finding) => isAffected(finding, flip, owners));
      expect([story, paths.length, findings]).not.toEqual([story, 0, findings]);
      await verify(lab, "--repair");
      const isHurt = (await verify(lab)).exitCode === 4;
      if (isHurt && owners.get(flip.digest ?? "")?.isLive === false) {
        flip.undo();
        await verify(lab);
      }
      await lab.startServer();
      await waitFor(`${story}: nothing is wanted`, async () => {
        const { wanted } = await lab.get<{ wanted: readonly string[] }>("chunks/wanted");
        return wanted.length === 0;
      });
      await lab.stopServer();
      expect([story, await verify(lab)]).toEqual([story, { exitCode: 0, findings: [] }]);
      await lab.startServer();
    }
    devices[2]?.start();
    await lab.settled(devices);
  },
  60_000 + FLIPS * 10_000,
);

test("a lost segment is given back by a single run, and what no device has stays named [U11]", async () => {
  const { lab, devices } = await openLab(1);
  const [device] = devices;
  // A lone device is at rest too before it has seen what was written.
  const holds = (events: number) =>
    waitFor("the log has it", async () => (await lab.head()) === events);
  device?.write("large", noise(1, 900_000));
  device?.write("dir/small", "some text");
  await holds(3);
  device?.write("large", noise(2, 500_000));
  await holds(4);
  await lab.stopServer();
  const directory = join(lab.data, "objects", "segments", "0");
  for (const name of readdirSync(directory)) writeFileSync(join(directory, name), "");
  const before = await verify(lab);
  const hurt = before.findings.filter(({ code }) => code === "version_hurt");
  expect(hurt.length).toBeGreaterThan(1);
  await device?.stop();
  await lab.startServer();
  await device?.once();
  for (const path of ["large", "dir/small"]) {
    const response = await fetch(`${lab.folderUrl}/files?path=${encodeURIComponent(path)}`);
    expect([path, response.status]).toEqual([path, 200]);
    expect((await response.bytes()).length).toBeGreaterThan(0);
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
