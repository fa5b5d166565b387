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
  for (const name of readdirSync(join(root, directory)).sort()) {
    if (name === ".synced") continue;
    const path = directory === "" ? name : `${directory}/${name}`;
    const place = `${root}/${path}`;
    const stat = lstatSync(place, { bigint: true });
    if (stat.isDirectory()) {
      found.set(path, "directory");
      collect(root, path, found);
    } else if (stat.isSymbolicLink()) {
      found.set(path, `symlink to ${readlinkSync(place)}`);
    } else if (stat.isFile()) {
      const isExecutable = (stat.mode & 0o100n) !== 0n;
      const mark = isExecutable ? " executable" : "";
      found.set(path, `file ${digestOf(readFileSync(place))}${mark} ${stat.mtimeNs}`);
    } else {
      found.set(path, "something else");
    }
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
