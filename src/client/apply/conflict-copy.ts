/**
 * Conflict copies: gives a name of their own to a user's bytes that lost their place or that no
 * scan had seen. It moves them without replacing anything, never copies, and never unlinks. Rules:
 * D2, I3, R4, R13.
 */

import { Chunker } from "../../core/chunker.ts";
import { conflictName } from "../../core/conflict.ts";
import { sha256 } from "../../core/digest.ts";
import { type NodeId, PARKING_ID, ROOT_ID } from "../../core/identifier.ts";
import {
  CHUNK_SIZE_BYTES_AVERAGE,
  CHUNK_SIZE_BYTES_MAX,
  CHUNK_SIZE_BYTES_MIN,
} from "../../core/limits.ts";
import type { EncodedManifestObject } from "../../core/manifest.ts";
import {
  type ConflictOrigin,
  type Content,
  isEmptyFile,
  type Place,
  sameBytes,
} from "../../core/node.ts";
import { joinPath } from "../../core/path.ts";
import { PARKING_DIRECTORY, STATE_DIRECTORY } from "../../core/state-directory.ts";
import { FileSystemError, type Stat } from "../../ports/filesystem.ts";
import { digestFile } from "../scan/digest-file.ts";
import type { ApplyBatch } from "./batch.ts";
import { type FormerPlace, moveToQuarantine } from "./displaced.ts";
import { formerCopy, retireCopy } from "./quarrel.ts";

/** An entry below the state directory that holds a user's bytes. */
export interface LostEntry {
  readonly from: string;
  /** Its id in the journal and in quarantine. */
  readonly id: string;
  readonly node: NodeId;
  /**
   * The directory where it stood; its id is undefined if the tree does not know the directory (any
   * more).
   */
  readonly directory: string;
  readonly parent: NodeId | undefined;
  readonly name: string;
  readonly of: ConflictOrigin;
  /** The name that reconcile chose. */
  readonly firstName?: string;
}

interface Sight {
  readonly stat: Stat;
  /** undefined if it cannot be synced or is changing. */
  readonly content: Content | undefined;
  readonly objects: readonly EncodedManifestObject[];
}

/** More taken names than this in one directory look like an attack. */
const ATTEMPTS_MAX = 1_000;
/** How often a file is looked at while somebody is still writing to it. */
const LOOKS_MAX = 3;

/**
 * Gives the entry a conflict name beside its old place, or in the root if that directory is gone.
 * If a live sibling already holds these bytes, the entry goes to quarantine instead.
 *
 * @throws {FileSystemError} if no name could be given. The entry then still is where it was.
 */
export async function saveConflictCopy(batch: ApplyBatch, entry: LostEntry): Promise<void> {
  const lost = inSight(batch, entry);
  const sight = await lookAt(batch, lost.from);
  if (sight === undefined) return;
  const { stat, content } = sight;
  if (content?.kind === "file" && isHeldBySibling(batch, lost, content)) {
    const path = joinPath(lost.directory, lost.name);
    const { id, node } = lost;
    moveToQuarantine(batch, lost.from, { id, node, path, digest: content.sha256 });
    return;
  }
  const id = batch.ports.random.id<NodeId>();
  const mtimeNs = stat.kind === "file" ? stat.mtimeNs : undefined;
  const source = { name: lost.name, device: batch.deviceName, mtimeNs, hash6Source: id };
  const { from, directory, parent: home } = lost;
  const isNext = content?.kind === "file" && !isEmptyFile(content);
  const former = isNext ? formerCopy(batch, lost) : undefined;
  const named = moveToFreeName(batch, {
    from,
    directory,
    parent: home,
    nameOf: (attempt) => {
      if (attempt === 0 && lost.firstName !== undefined) return lost.firstName;
      return conflictName({ ...source, hash6Source: hashOf(content) ?? id, attempt });
    },
    isFree: (place) => batch.overlay.child(place.parent, place.name) === undefined,
  });
  if (named === undefined) return;
  const { path, name, parent } = named;
  const of = joinPath(lost.directory, lost.name);
  batch.touch(lost.from);
  batch.touch(path);
  if (parent === undefined || content === undefined) {
    batch.rescan.add(path);
    batch.putConflict({ node: id, path, of, ofNode: lost.node });
    return;
  }
  if (content.kind === "directory") batch.rescan.add(path);
  const { identity } = stat;
  const isRetired = former !== undefined && (await retireCopy(batch, former));
  const node = isRetired ? former.node.id : id;
  const origin = isRetired ? {} : { conflictOf: lost.of };
  batch.putManifests(sight.objects);
  batch.putPlaced({ id: node, parent, name, content, identity, ...origin }, path, stat);
  batch.putConflict({ node, path, of, ofNode: lost.node });
}

/** Nobody would see a copy in the parking, so it goes where the parked node stood before. */
function inSight(batch: ApplyBatch, lost: LostEntry): LostEntry {
  if (lost.parent !== PARKING_ID && lost.directory !== PARKING_DIRECTORY) return lost;
  const { base, remote } = batch.ports.store;
  const former = base.get(lost.node) ?? remote.get(lost.node);
  const directory = former === undefined ? undefined : batch.path(former.parent);
  const name = former?.name ?? lost.name;
  if (former === undefined || directory === undefined || directory.startsWith(STATE_DIRECTORY)) {
    return { ...lost, directory: "", parent: ROOT_ID, name };
  }
  return { ...lost, directory, parent: former.parent, name };
}

/** Gives an edit that no scan has seen and that came out of `node`'s place a name of its own. */
export async function rescueEdit(
  batch: ApplyBatch,
  from: string,
  id: string,
  { node, directory }: FormerPlace,
  chosen?: { readonly name: string; readonly version: number },
): Promise<void> {
  const version = chosen?.version ?? batch.ports.store.remoteRow(node.id)?.contentVersion ?? 0;
  await saveConflictCopy(batch, {
    from,
    id,
    node: node.id,
    directory,
    parent: node.parent,
    name: node.name,
    of: { node: node.id, version },
    ...(chosen === undefined ? {} : { firstName: chosen.name }),
  });
}

async function lookAt(batch: ApplyBatch, path: string): Promise<Sight | undefined> {
  const { fs } = batch.ports;
  const stat = fs.stat(path);
  if (stat === undefined) return undefined;
  switch (stat.kind) {
    case "file":
      return (await lookAtFile(batch, path, stat)) ?? { stat, content: undefined, objects: [] };
    case "directory":
      return { stat, content: { kind: "directory" }, objects: [] };
    case "symlink": {
      const target = fs.readLink(path);
      const content: Content | undefined =
        target === undefined ? undefined : { kind: "symlink", target };
      return { stat, content, objects: [] };
    }
    case "other":
      return { stat, content: undefined, objects: [] };
  }
}

/**
 * @returns undefined for a file that is changing or cannot be read. It gets a name all the same.
 */
async function lookAtFile(
  batch: ApplyBatch,
  path: string,
  first: Stat,
): Promise<Sight | undefined> {
  const { fs } = batch.ports;
  let stat = first;
  try {
    for (let look = 1; look <= LOOKS_MAX; look += 1) {
      const result = await digestFile(fs, { path, expected: stat }, STANDARD_CHUNKER, batch.pace);
      if (result.kind === "digested") {
        const { objects, ...digest } = result.digest;
        const { executable, mtimeNs } = stat;
        return { stat, content: { kind: "file", ...digest, executable, mtimeNs }, objects };
      }
      stat = fs.stat(path) ?? stat;
    }
  } catch (error) {
    if (!(error instanceof FileSystemError)) throw error;
  }
  return undefined;
}

/**
 * Conflict copies are rare. With another profile than the folder's they only share fewer chunks.
 */
const STANDARD_CHUNKER = new Chunker({
  minBytes: CHUNK_SIZE_BYTES_MIN,
  averageBytes: CHUNK_SIZE_BYTES_AVERAGE,
  maxBytes: CHUNK_SIZE_BYTES_MAX,
});

function hashOf(content: Content | undefined) {
  if (content?.kind === "file") return content.sha256;
  return content?.kind === "symlink" ? sha256(content.target) : undefined;
}

/** True if a file beside it, which still looks as it last did, holds the same bytes (R18). */
function isHeldBySibling(batch: ApplyBatch, lost: LostEntry, content: Content): boolean {
  if (lost.parent === undefined) return false;
  for (const sibling of batch.overlay.children(lost.parent)) {
    if (!sameBytes(sibling.content, content)) continue;
    const stat = batch.ports.fs.stat(joinPath(lost.directory, sibling.name));
    if (stat?.identity === sibling.identity && stat.stamp === sibling.stamp) return true;
  }
  return false;
}

/** An entry that is to be moved to a free name, and the places where that name may be. */
interface Homeless {
  readonly from: string;
  readonly directory: string;
  readonly parent: NodeId | undefined;
  readonly nameOf: (attempt: number) => string;
  /**
   * Tells whether a place is free in the tree. A place whose node vanished only just now is not.
   */
  readonly isFree: (place: Place) => boolean;
}

/**
 * Moves an entry to the first of its names that is free on disk and in the tree.
 *
 * @returns undefined if there is nothing at `from`.
 * @throws {FileSystemError}
 */
export function moveToFreeName(
  batch: ApplyBatch,
  homeless: Homeless,
): { path: string; name: string; parent: NodeId | undefined } | undefined {
  const { from, directory, parent, nameOf, isFree } = homeless;
  const { fs } = batch.ports;
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt += 1) {
    const name = nameOf(attempt);
    if (parent !== undefined && !isFree({ parent, name })) continue;
    const path = joinPath(directory, name);
    const moved = moveUnlessBlocked(batch, from, path);
    if (moved === "moved") return { path, name, parent };
    if (moved === "exists") continue;
    if (fs.stat(from) === undefined) return undefined;
    // A user moved or removed the directory, but the root is always there.
    if (directory === "") break;
    return moveToFreeName(batch, { ...homeless, directory: "", parent: ROOT_ID });
  }
  throw new FileSystemError("io", from, `Cannot find a free name for "${from}" in "${directory}"`);
}

function moveUnlessBlocked(batch: ApplyBatch, from: string, to: string) {
  try {
    return batch.ports.fs.moveNoReplace(from, to);
  } catch (error) {
    // The directory has become a file or a symlink.
    if (error instanceof FileSystemError && error.code === "not_directory") return "absent";
    throw error;
  }
}
