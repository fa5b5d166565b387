/**
 * What must not get worse, as ratios against other work in the same run: no absolute times. The
 * rows themselves are for `bun run bench`; this shows that they work, too.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import * as fs from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { BINARY, ensureBinary, Scratch } from "../scenarios/binary.ts";
import { carried, MANY_SMALL, ONE_LARGE } from "./carry-rows.ts";
import { makeTree } from "./data.ts";
import { requireSame, shapeOf } from "./identity.ts";
import { syncedCarrier } from "./synced.ts";
import { costOfOne } from "./watch-rows.ts";

const isLinux = process.platform === "linux";
const hasStrace = Bun.which("strace") !== null;
const synced = syncedCarrier("synced", [BINARY]);

/** Processors, of all three processes, against a loop that does two hops' least work. */
const JOIN_RATIO_MAX = 15;
/**
 * Peak memory with a file of 1 GiB against one of 128 MiB. If a process held the file, it would be
 * five times as much.
 */
const MEMORY_RATIO_MAX = 2;
const MANY = 10_000;
const FEW = 500;
const COST_RATIO_MAX = 2;

const scratch = new Scratch();
beforeAll(ensureBinary, 180_000);
afterAll(() => scratch.remove());

function root(): string {
  return fs.mkdtempSync(scratch.join("root-"));
}

/** Each file read, hashed, written beside, made durable, and renamed into its place. */
function copyAll(from: string, to: string): void {
  for (const [path, what] of shapeOf(from)) {
    if (what === "directory") {
      fs.mkdirSync(join(to, path), { recursive: true });
      continue;
    }
    const bytes = fs.readFileSync(join(from, path));
    createHash("sha256").update(bytes).digest();
    fs.writeFileSync(join(to, `${path}.new`), bytes, { flush: true });
    const { atimeMs, mtimeMs } = fs.statSync(join(from, path));
    fs.utimesSync(join(to, `${path}.new`), atimeMs / 1000, mtimeMs / 1000);
    fs.renameSync(join(to, `${path}.new`), join(to, path));
  }
}

function copySeconds(scale: number): number {
  const place = root();
  const [a, middle, b] = ["a", "middle", "b"].map((name) => join(place, name));
  if (a === undefined || middle === undefined || b === undefined) throw new Error("No places");
  for (const path of [a, middle, b]) fs.mkdirSync(path);
  MANY_SMALL.fill(a, scale);
  const before = process.cpuUsage();
  copyAll(a, middle);
  copyAll(middle, b);
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1e6;
}

test.skipIf(!isLinux)(
  "a first sync of many files takes processors as a loop of copies does, times so many",
  async () => {
    const scale = 0.2;
    const figures = await carried(MANY_SMALL, { carrier: synced, root: root(), scale });
    const ratio = (figures["CPU s"] ?? Number.NaN) / copySeconds(scale);
    console.log(`first sync: ${ratio.toFixed(1)} x the loop's processors`);
    expect(ratio).toBeLessThan(JOIN_RATIO_MAX);
  },
  180_000,
);

test.skipIf(!isLinux || !hasStrace)(
  "what one change costs does not follow the number of files",
  async () => {
    const options = { carrier: synced, root: root(), scale: 1 };
    const [few, many] = [await costOfOne(options, FEW), await costOfOne(options, MANY)];
    console.log(`one change: ${JSON.stringify({ few, many })}`);
    expect(many.calls / few.calls).toBeLessThan(COST_RATIO_MAX);
    expect(many.cpuMs / few.cpuMs).toBeLessThan(COST_RATIO_MAX);
  },
  300_000,
);

test.skipIf(!isLinux)(
  "memory does not follow the size of a file",
  async () => {
    const peaks = async (scale: number) => {
      const figures = await carried(ONE_LARGE, { carrier: synced, root: root(), scale });
      return ["a", "b", "server"].map((name) => figures[`peak MB, ${name}`] ?? Number.NaN);
    };
    // From here on buffers and caches are as full as they get.
    const [small, large] = [await peaks(1 / 8), await peaks(1)];
    const ratios = large.map((peak, index) => peak / (small[index] ?? Number.NaN));
    console.log(`memory: ${JSON.stringify({ small, large })}`);
    expect(Math.max(...ratios)).toBeLessThan(MEMORY_RATIO_MAX);
  },
  180_000,
);

test("the walk that compares two folders sees each difference", () => {
  const place = root();
  const [left, right] = [join(place, "left"), join(place, "right")];
  const sizes = { directories: 2, medianBytes: 100, sigma: 1 };
  makeTree(left, { seed: 1, files: 10, ...sizes });
  Bun.spawnSync(["cp", "-a", left, right]);
  requireSame(left, right);
  const path = join(right, "directory-0/file-0");
  const { atime, mtime, size } = fs.statSync(path);
  const acts: readonly (() => void)[] = [
    () => fs.writeFileSync(path, Buffer.alloc(size)),
    () => fs.chmodSync(path, 0o755),
    () => fs.utimesSync(path, 1, 1),
    () => fs.rmSync(path),
    () => fs.writeFileSync(join(right, "more"), ""),
    () => fs.symlinkSync("x", join(right, "link")),
  ];
  for (const act of acts) {
    act();
    if (fs.existsSync(path) && act !== acts[2]) fs.utimesSync(path, atime, mtime);
    expect(() => requireSame(left, right)).toThrow();
    fs.rmSync(right, { recursive: true });
    Bun.spawnSync(["cp", "-a", left, right]);
  }
});
