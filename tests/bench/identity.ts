/**
 * Whether two folders are the same, by a walk that shares nothing with the product: kinds, names,
 * bytes, executable bits, modification times of files, targets of symlinks.
 */
import * as fs from "node:fs";
import { join } from "node:path";

const BLOCK_BYTES = 4 * 2 ** 20;
/** Those of the programs that are measured. */
const STATES: ReadonlySet<string> = new Set([".synced", ".stfolder"]);

/** By path: all but the bytes. */
export type Shape = ReadonlyMap<string, string>;

/** @param timeGrainNs times are rounded down to a multiple of it */
export function shapeOf(root: string, timeGrainNs = 1n): Shape {
  const found = new Map<string, string>();
  collect({ root, timeGrainNs, found }, "");
  return found;
}

interface Walk {
  readonly root: string;
  readonly timeGrainNs: bigint;
  readonly found: Map<string, string>;
}

function collect(walk: Walk, directory: string): void {
  const { root, timeGrainNs, found } = walk;
  for (const name of unlessGone(() => fs.readdirSync(join(root, directory))) ?? []) {
    if (directory === "" && STATES.has(name)) continue;
    const path = directory === "" ? name : `${directory}/${name}`;
    const what = unlessGone(() => describe(`${root}/${path}`, timeGrainNs));
    if (what === undefined) continue;
    found.set(path, what);
    if (what === "directory") collect(walk, path);
  }
}

function describe(place: string, timeGrainNs: bigint): string {
  const stat = fs.lstatSync(place, { bigint: true });
  if (stat.isDirectory()) return "directory";
  if (stat.isSymbolicLink()) return `symlink to ${fs.readlinkSync(place)}`;
  if (!stat.isFile()) return "something else";
  const time = stat.mtimeNs - (stat.mtimeNs % timeGrainNs);
  return `file ${stat.size} ${time} ${(stat.mode & 0o100n) === 0n ? "" : "executable"}`;
}

export function isSameShape(left: Shape, right: Shape): boolean {
  if (left.size !== right.size) return false;
  for (const [path, what] of left) if (right.get(path) !== what) return false;
  return true;
}

/** @throws {Error} with the first path that differs */
export function requireSame(left: string, right: string, timeGrainNs = 1n): void {
  const [shape, other] = [shapeOf(left, timeGrainNs), shapeOf(right, timeGrainNs)];
  for (const path of new Set([...shape.keys(), ...other.keys()])) {
    const [is, shouldBe] = [other.get(path), shape.get(path)];
    if (is !== shouldBe) throw new Error(`"${path}" is ${is} instead of ${shouldBe}`);
    if (is?.startsWith("file") && !hasSameBytes(join(left, path), join(right, path))) {
      throw new Error(`"${path}" has other bytes`);
    }
  }
}

const blocks = [Buffer.alloc(BLOCK_BYTES), Buffer.alloc(BLOCK_BYTES)] as const;

function hasSameBytes(left: string, right: string): boolean {
  const fds = [fs.openSync(left, "r"), fs.openSync(right, "r")] as const;
  try {
    for (;;) {
      const count = fs.readSync(fds[0], blocks[0]);
      if (count !== fs.readSync(fds[1], blocks[1])) return false;
      if (count === 0) return true;
      if (blocks[0].compare(blocks[1], 0, count, 0, count) !== 0) return false;
    }
  } finally {
    for (const fd of fds) fs.closeSync(fd);
  }
}

/** Something may go while the folder is looked at: what is gone by then is not there. */
function unlessGone<Result>(look: () => Result): Result | undefined {
  try {
    return look();
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw error;
  }
}
