/** Reading the lines of a snapshot: the harness's own walk, and the server's index in its words. */
import type { Snapshot } from "../scenarios/snapshot.ts";

export const DIRECTORY = "directory";

/** @returns the digest of a file's bytes, a symlink's target in words, undefined for a directory. */
export function contentIn(what: string | undefined): string | undefined {
  if (what === undefined || what === DIRECTORY) return undefined;
  return /^file ([0-9a-f]{64})/.exec(what)?.[1] ?? what;
}

export function isExecutableIn(what: string): boolean {
  return what.includes(" executable ");
}

export function timeIn(what: string): string {
  return what.slice(what.lastIndexOf(" ") + 1);
}

export function linkContent(target: string): string {
  return `symlink to ${target}`;
}

export function contentsIn(snapshot: Snapshot): Set<string> {
  const found = new Set<string>();
  for (const what of snapshot.values()) {
    const content = contentIn(what);
    if (content !== undefined) found.add(content);
  }
  return found;
}

/** A conflict copy, a recovered file, or what lies in such a directory. */
export function isCopy(path: string): boolean {
  return path.split("/").some((name) => /\((?:conflict|recovered) |^recovered\b/.test(name));
}

/** An entry of `GET index`. */
export interface IndexEntry {
  readonly path: string;
  readonly kind: string;
  readonly sha256?: string;
  readonly executable?: boolean;
  readonly mtimeNs?: string;
  readonly target?: string;
}

export function describeEntry(entry: IndexEntry): string {
  switch (entry.kind) {
    case "file":
      return `file ${entry.sha256}${entry.executable === true ? " executable" : ""} ${entry.mtimeNs}`;
    case "symlink":
      return linkContent(entry.target ?? "");
    default:
      return entry.kind;
  }
}
