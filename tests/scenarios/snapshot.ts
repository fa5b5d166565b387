/** What a person sees in a folder: kinds, bytes, executable bits, times and targets, by path. */
import { lstatSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";

export type Snapshot = ReadonlyMap<string, string>;

/** `.synced` is not a person's and is left out. */
export function snapshotOf(root: string): Snapshot {
  const found = new Map<string, string>();
  collect(root, "", found);
  return found;
}

function collect(root: string, directory: string, found: Map<string, string>): void {
  const names = unlessGone(() => readdirSync(join(root, directory))) ?? [];
  for (const name of names.sort()) {
    if (name === ".synced") continue;
    const path = directory === "" ? name : `${directory}/${name}`;
    const what = unlessGone(() => describe(`${root}/${path}`));
    if (what === undefined) continue;
    found.set(path, what);
    if (what === DIRECTORY) collect(root, path, found);
  }
}

const DIRECTORY = "directory";

function describe(place: string): string {
  const stat = lstatSync(place, { bigint: true });
  if (stat.isDirectory()) return DIRECTORY;
  if (stat.isSymbolicLink()) return `symlink to ${readlinkSync(place)}`;
  if (!stat.isFile()) return "something else";
  const mark = (stat.mode & 0o100n) === 0n ? "" : " executable";
  return `file ${digestOf(readFileSync(place))}${mark} ${stat.mtimeNs}`;
}

/** A client may delete in the folder while it is looked at: what is gone by then is not there. */
function unlessGone<Result>(look: () => Result): Result | undefined {
  try {
    return look();
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw error;
  }
}

export function digestOf(bytes: Uint8Array | string): string {
  return new Bun.CryptoHasher("sha256").update(bytes).digest("hex");
}

/** SHA-256 of each file's bytes, by path. */
export function digestsIn(snapshot: Snapshot): ReadonlyMap<string, string> {
  const digests = new Map<string, string>();
  for (const [path, what] of snapshot) {
    const digest = /^file ([0-9a-f]{64})/.exec(what)?.[1];
    if (digest !== undefined) digests.set(path, digest);
  }
  return digests;
}

/** One line for each path that differs; empty where both are the same. */
export function differences(left: Snapshot, right: Snapshot): string[] {
  const paths = [...new Set([...left.keys(), ...right.keys()])].sort();
  return paths
    .filter((path) => left.get(path) !== right.get(path))
    .map((path) => `${JSON.stringify(path)}: ${left.get(path)} | ${right.get(path)}`);
}
