/** Rows in which something happens in A, and B becomes the same. */
import * as fs from "node:fs";
import { join } from "node:path";
import { SimRandom } from "../sim/sim-random.ts";
import { makeTree, pathOf, SeededBytes } from "./data.ts";
import { requireSame } from "./identity.ts";
import { type Row, type SampleOptions, scaled } from "./row.ts";
import type { Figures } from "./usage.ts";

const SEED = 1;
const KIB = 1024;
const GIB = 2 ** 30;
const LARGE = "large";

export interface CarryRow {
  readonly name: string;
  readonly title: string;
  readonly shortScale: number;
  readonly sendsParts?: boolean;
  /** Of the content of A before all else. */
  fill(a: string, scale: number): void;
  /**
   * In the measured part: the first sync of what `fill` made to a B that is there and empty, or to
   * one that holds the same; else `act`, after that first sync.
   */
  readonly measures: "a first sync" | "a first sync of equals" | "act";
  act?(a: string, scale: number): void;
}

/** @throws {Error} if B is not as A is in the end */
export async function carried(row: CarryRow, options: SampleOptions): Promise<Figures> {
  const { carrier, root, scale } = options;
  const session = await carrier.open({ root, sendsParts: row.sendsParts ?? false });
  try {
    row.fill(session.a, scale);
    if (row.measures === "a first sync of equals") {
      Bun.spawnSync(["cp", "-a", `${session.a}/.`, session.b]);
    } else await session.wait();
    if (row.measures === "act") await session.carry();
    settleDisk();
    session.begin();
    const actSeconds = secondsOf(() => row.act?.(session.a, scale));
    await session.carry({ untilBoth: row.measures === "a first sync of equals" });
    requireSame(session.a, session.b, carrier.timeGrainNs);
    return { ...session.figures(), ...(row.act && { "act s": actSeconds }) };
  } finally {
    await session.close();
  }
}

/** What was filled is on the disk before it is measured; others may never let it rest. */
export function settleDisk(): void {
  Bun.spawnSync(["timeout", "20", "sync"]);
}

function secondsOf(act: () => void): number {
  const startMs = performance.now();
  act();
  return (performance.now() - startMs) / 1000;
}

function manySmall(a: string, scale: number): void {
  const files = scaled(10_000, scale);
  makeTree(a, { seed: SEED, files, directories: 100, medianBytes: 4 * KIB, sigma: 1 });
}

function manyMiddling(root: string, scale: number): void {
  const files = scaled(10_000, scale);
  makeTree(root, { seed: SEED, files, directories: 100, medianBytes: 100 * KIB, sigma: 0 });
}

function oneLarge(a: string, scale: number): void {
  new SeededBytes(SEED).writeFile(join(a, LARGE), Math.round(GIB * scale));
}

/** So many files, flat in few directories, of which random ones are then changed. */
const CHANGED = { files: 2_000, directories: 20 };

function changeAtRandom(a: string, scale: number): void {
  const random = new SimRandom(SEED, "changes");
  const bytes = new SeededBytes(SEED + 1);
  const { directories } = CHANGED;
  let made = scaled(CHANGED.files, scale);
  const paths = Array.from({ length: made }, (_, index) => pathOf(index, directories));
  for (let left = scaled(2_000, scale); left > 0; left -= 1) {
    const index = random.below(paths.length);
    const path = join(a, paths[index] ?? "");
    const fresh = pathOf(made, directories);
    switch (random.pick(["create", "edit", "rename", "delete"])) {
      case "create":
        bytes.writeFile(join(a, fresh), 1 + random.below(8 * KIB));
        paths.push(fresh);
        made += 1;
        break;
      case "edit":
        bytes.writeFile(path, 1 + random.below(8 * KIB));
        break;
      case "rename":
        fs.renameSync(path, join(a, fresh));
        paths[index] = fresh;
        made += 1;
        break;
      case "delete":
        fs.rmSync(path);
        paths.splice(index, 1);
    }
  }
}

/** One byte in the middle, in place. */
function editMiddle(a: string): void {
  const fd = fs.openSync(join(a, LARGE), "r+");
  const [middle, byte] = [fs.fstatSync(fd).size >> 1, Buffer.alloc(1)];
  fs.readSync(fd, byte, 0, 1, middle);
  fs.writeSync(fd, Buffer.of((byte[0] ?? 0) ^ 1), 0, 1, middle);
  fs.closeSync(fd);
}

/** One byte in front of all, as a new file that is renamed over the old one. */
function putInFront(a: string): void {
  const aside = join(a, "..", "aside");
  fs.writeFileSync(aside, "x");
  Bun.spawnSync(["sh", "-c", `cat "$1" >> "$2"`, "sh", join(a, LARGE), aside]);
  fs.renameSync(aside, join(a, LARGE));
}

export const MANY_SMALL: CarryRow = {
  name: "W1",
  title: "10,000 files, log-normal around 4 KiB, 100 directories",
  shortScale: 0.2,
  fill: manySmall,
  measures: "a first sync",
};

export const ONE_LARGE: CarryRow = {
  name: "W2",
  title: "1 GiB that cannot be compressed",
  shortScale: 0.1,
  fill: oneLarge,
  measures: "a first sync",
};

const ROWS: readonly CarryRow[] = [
  MANY_SMALL,
  ONE_LARGE,
  {
    name: "W3a",
    title: "1 byte in the middle of 1 GiB, in place",
    shortScale: 0.1,
    sendsParts: true,
    fill: oneLarge,
    measures: "act",
    act: editMiddle,
  },
  {
    name: "W3b",
    title: "1 byte in front of 1 GiB, a new file renamed over it",
    shortScale: 0.1,
    sendsParts: true,
    fill: oneLarge,
    measures: "act",
    act: putInFront,
  },
  {
    name: "W5s",
    title: "first join of two machines that both hold the same 100,000 files",
    shortScale: 0.03,
    fill: (a, scale) => {
      const sizes = { medianBytes: KIB, sigma: 1 };
      makeTree(a, { seed: SEED, files: scaled(100_000, scale), directories: 1_000, ...sizes });
    },
    measures: "a first sync of equals",
  },
  {
    name: "W6i",
    title: "10,000 files of 100 KiB",
    shortScale: 0.1,
    fill: manyMiddling,
    measures: "a first sync",
  },
  {
    name: "W6",
    title: "rename of the directory of 10,000 files of 100 KiB",
    shortScale: 0.1,
    fill: (a, scale) => manyMiddling(join(a, "before"), scale),
    measures: "act",
    act: (a) => fs.renameSync(join(a, "before"), join(a, "after")),
  },
  {
    name: "W7",
    title: "delete of 10,000 files, approved at once",
    shortScale: 0.2,
    fill: (a, scale) => manySmall(join(a, "many"), scale),
    measures: "act",
    act: (a) => fs.rmSync(join(a, "many"), { recursive: true }),
  },
  {
    name: "W8",
    title: "2,000 random creates, edits, renames, deletes as fast as possible",
    shortScale: 0.25,
    fill: (a, scale) => {
      const files = scaled(CHANGED.files, scale);
      makeTree(a, { ...CHANGED, seed: SEED, files, medianBytes: 4 * KIB, sigma: 1 });
    },
    measures: "act",
    act: changeAtRandom,
  },
];

export const CARRY_ROWS: readonly Row[] = ROWS.map((row) => ({
  name: row.name,
  title: row.title,
  shortScale: row.shortScale,
  kinds: ["synced", "watches", "runs"],
  sample: (options) => carried(row, options),
}));
