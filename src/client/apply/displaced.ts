/**
 * Displaced entries: looks at an entry in its place before it is swapped out, and judges the entry
 * that came out. Rules: D3, D4, D10, A2, I3.
 */

import { type Digest, Sha256, sha256 } from "../../core/digest.ts";
import type { Content, LocalNode } from "../../core/node.ts";
import { joinPath } from "../../core/path.ts";
import { QUARANTINE_DIRECTORY } from "../../core/state-directory.ts";
import { type FileSystem, FileSystemError, type Stat } from "../../ports/filesystem.ts";
import type { Pace } from "../folder/pace.ts";
import { RACY_MARK } from "../scan/content.ts";
import { type ApplyBatch, type DisplacedEntry, isSameSight } from "./batch.ts";

/** A file or symlink that stood in its place as the last scan saw it, a moment ago. */
export interface Sighting {
  readonly stat: Stat;
  readonly content: Content;
  /** True if its stamp was taken too early to be trusted, so that only its bytes tell. */
  readonly isRacy: boolean;
}

/** @returns undefined if anything else stands there by now, or nothing. */
export function sight(fs: FileSystem, path: string, known: LocalNode): Sighting | undefined {
  const stat = fs.stat(path);
  if (stat === undefined || stat.identity !== known.identity) return undefined;
  const isRacy = known.stamp === stat.stamp + RACY_MARK;
  if (!isRacy && known.stamp !== stat.stamp) return undefined;
  return { stat, content: known.content, isRacy };
}

/**
 * True if the displaced entry holds what was seen. Its bytes decide, unless it looks just the same.
 * A write between the look and the step, with the time put back, is still found by quarantine (D3).
 */
export async function isUntouched(
  batch: ApplyBatch,
  path: string,
  seen: Sighting,
): Promise<boolean> {
  const { fs } = batch.ports;
  const { content } = seen;
  const now = fs.stat(path);
  if (now === undefined || now.kind !== content.kind) return false;
  if (content.kind === "symlink") return fs.readLink(path) === content.target;
  if (content.kind !== "file" || now.size !== content.size) return false;
  if (isSameSight(now, seen.stat) && !seen.isRacy) return true;
  return (await digestOf(fs, path, batch.pace)) === content.sha256;
}

const BLOCK_BYTES = 256 * 1024;

/**
 * SHA-256 of a file as it is now, or of a symlink's target. @returns undefined for an entry without
 * bytes.
 */
export async function digestOf(
  fs: FileSystem,
  path: string,
  pace: Pace,
): Promise<Digest | undefined> {
  const reader = fs.open(path);
  if (reader === undefined) {
    const target = fs.readLink(path);
    return target === undefined ? undefined : sha256(target);
  }
  try {
    const hash = new Sha256();
    const buffer = new Uint8Array(Math.min(BLOCK_BYTES, Math.max(1, reader.stat().size)));
    let position = 0;
    for (;;) {
      const count = reader.read(buffer, position);
      if (count === 0) return hash.digest();
      hash.update(buffer.subarray(0, count));
      position += count;
      if (pace.block(count)) await pace.rest();
    }
  } finally {
    reader.close();
  }
}

/** Where a node stood when it was displaced. */
export interface FormerPlace {
  readonly node: LocalNode;
  readonly directory: string;
}

/**
 * Puts bytes that the server has too into quarantine, until it is certain that nobody writes to
 * them late. A symlink cannot be written to, so no link ever stays in quarantine (I23).
 */
export function setDisplacedAside(
  batch: ApplyBatch,
  from: string,
  id: string,
  { node, directory }: FormerPlace,
): void {
  if (node.content.kind !== "file") {
    batch.discard(from);
    return;
  }
  const { content } = node;
  const path = joinPath(directory, node.name);
  moveToQuarantine(batch, from, { id, node: node.id, path, digest: content.sha256 });
  batch.displaced.push({ id, node: node.id, content });
}

/**
 * @param from where the file is now, which may be its place in quarantine. If nothing is there any
 *   more, nothing happens.
 * @throws {FileSystemError} if another file has its place there. It then still is where it was.
 */
export function moveToQuarantine(batch: ApplyBatch, from: string, entry: DisplacedEntry): void {
  const target = joinPath(QUARANTINE_DIRECTORY, entry.id);
  const moved = from === target ? "moved" : batch.ports.fs.moveNoReplace(from, target);
  if (moved === "exists") throw new FileSystemError("io", from, `"${target}" is there already`);
  if (moved === "moved") batch.putQuarantine(entry);
}
