/**
 * Recover: decides, from the journal and the bytes themselves, about everything that a crash left
 * below the state directory. Nothing that may be a user's only copy is unlinked: it is put back,
 * gets a conflict name, or goes to quarantine. Recovery may itself crash anywhere and be run again.
 * Rules: D7, D14-D16, I14, I3.
 */

import { recoveredName } from "../../core/conflict.ts";
import type { Digest } from "../../core/digest.ts";
import { type NodeId, PARKING_ID, parseId, ROOT_ID } from "../../core/identifier.ts";
import { mergeNode } from "../../core/merge.ts";
import { type LocalNode, samePlace } from "../../core/node.ts";
import { baseName, joinPath, parentPath } from "../../core/path.ts";
import {
  NAMES_DIRECTORY,
  PARKING_DIRECTORY,
  QUARANTINE_DIRECTORY,
  STAGING_DIRECTORY,
  STATE_DIRECTORY,
} from "../../core/state-directory.ts";
import { pathOf } from "../../core/tree.ts";
import { type FileSystem, FileSystemError, type Stat } from "../../ports/filesystem.ts";
import type { JournalEntry, StateStore } from "../../ports/state-store.ts";
import { digestOfPartial, idOfStaged } from "../stage/plan.ts";
import { ApplyBatch, type ApplyPorts } from "./batch.ts";
import { moveToFreeName, saveConflictCopy } from "./conflict-copy.ts";
import { digestOf, moveToQuarantine } from "./displaced.ts";
import { formerPath, sweepNames } from "./former-names.ts";
import { putPartsBack } from "./move-by-parts.ts";
import { dropUndone, placedByNote } from "./placing.ts";
import { unpark } from "./unpark.ts";

/** Makes the directories below the state directory that are missing. */
export function prepareStateDirectories(fs: FileSystem): void {
  fs.makeDirectory(STATE_DIRECTORY);
  const kept = [STAGING_DIRECTORY, QUARANTINE_DIRECTORY, PARKING_DIRECTORY, NAMES_DIRECTORY];
  for (const directory of kept) fs.makeDirectory(directory);
}

export interface RecoverOptions {
  readonly deviceName: string;
  /**
   * True after the database was set aside (S8). Its journal is gone, so nobody knows whose bytes
   * are here.
   */
  readonly isStateLost?: boolean;
  /** Tells whether the folder's history has a file's bytes. @default nobody can be asked */
  readonly isInHistory?: (digest: Digest) => Promise<boolean>;
}

/**
 * Finishes or undoes the steps under way, and removes files that were only staged. Idempotent. If
 * an entry cannot be dealt with now, its note is kept for the next time.
 *
 * @returns paths to scan; a full scan covers them all.
 * @throws {FileSystemError} if directories cannot be made durable
 */
export async function recoverJournal(
  ports: ApplyPorts,
  options: RecoverOptions,
): Promise<ReadonlySet<string>> {
  prepareStateDirectories(ports.fs);
  const batch = new ApplyBatch(ports, options.deviceName);
  dropUndone(ports);
  for (const entry of ports.store.journal()) {
    try {
      if (entry.kind === "delete") await recoverDelete(batch, entry);
      else await recoverReplace(batch, entry);
      batch.resolve(entry.id);
    } catch (error) {
      if (!(error instanceof FileSystemError)) throw error;
    }
  }
  await recoverParked(batch, options);
  await recoverQuarantine(batch, options);
  await sweepStaging(batch, options);
  await batch.commit();
  sweepNames(ports.fs, ports.store);
  return batch.rescan;
}

/** The displaced file stands in staging (exchange) or in quarantine (D6, or one step later). */
async function recoverReplace(batch: ApplyBatch, entry: JournalEntry): Promise<void> {
  const staged = joinPath(STAGING_DIRECTORY, entry.id);
  const displaced = joinPath(QUARANTINE_DIRECTORY, entry.id);
  const { fs } = batch.ports;
  if (fs.stat(displaced) !== undefined) await recoverDisplaced(batch, entry, displaced);
  await recoverPlaced(batch, entry);
  if (fs.stat(staged) === undefined) return;
  const digest = await readDigest(batch, staged);
  // It equals the new content, so the exchange was not done, or it displaced the same bytes.
  if (digest !== undefined && digest === entry.newDigest) batch.discard(staged);
  else await recoverBytes(batch, entry, staged, digest);
}

/**
 * If the place is empty, D6 got as far as moving the old file out, which then belongs there; or the
 * new file was put there, and its user took it away.
 */
async function recoverDisplaced(
  batch: ApplyBatch,
  entry: JournalEntry,
  path: string,
): Promise<void> {
  const isPlaced = placedByNote(batch.ports).files.has(entry.node);
  if (!isPlaced && putBack(batch, entry, path)) return;
  await recoverBytes(batch, entry, path, await readDigest(batch, path));
}

/**
 * If the new content is in place already, the node is there, whatever name its old inode has by
 * now. Without this the scan would take a conflict copy that was made just before the crash for the
 * node itself.
 */
async function recoverPlaced(batch: ApplyBatch, entry: JournalEntry): Promise<void> {
  const { fs, store } = batch.ports;
  const node = store.local.get(entry.node);
  const remote = store.remote.get(entry.node);
  const stat = batch.look(entry.path);
  if (node === undefined || remote === undefined || stat === undefined) return;
  if (stat.identity === node.identity || stat.kind !== remote.content.kind) return;
  if (pathOf(store.local, node.id) !== entry.path) return;
  // Its user may have written to it since.
  const isKnown = placedByNote(batch.ports).files.get(entry.node) === stat.identity;
  if (!isKnown && (await readDigest(batch, entry.path)) !== entry.newDigest) return;
  if (remote.content.kind === "file" && remote.content.sha256 !== entry.newDigest) return;
  const { id, parent, name } = node;
  const { identity } = stat;
  const placed = { id, parent, name, content: remote.content, identity, stamp: "" };
  batch.putUnknown(placed, entry.path);
  const directory = parentPath(entry.path);
  const copy = fs.list(directory)?.entries.find((one) => one.stat.identity === node.identity);
  if (copy === undefined || batch.overlay.child(parent, copy.name) !== undefined) return;
  const of = { node: id, version: remote.contentVersion };
  const copyId = batch.ports.random.id<NodeId>();
  const path = joinPath(directory, copy.name);
  batch.putUnknown({ ...node, id: copyId, name: copy.name, conflictOf: of }, path);
  batch.putConflict({ node: copyId, path, of: entry.path, ofNode: id });
}

/** @returns undefined if it cannot be read, because then nobody can say that it is not needed. */
async function readDigest(batch: ApplyBatch, path: string): Promise<Digest | undefined> {
  try {
    return await digestOf(batch.ports.fs, path, batch.pace);
  } catch (error) {
    if (error instanceof FileSystemError && error.code !== "exhausted") return undefined;
    throw error;
  }
}

/** The base's bytes go to quarantine; a user's bytes get a name. */
async function recoverBytes(
  batch: ApplyBatch,
  entry: JournalEntry,
  from: string,
  digest: Digest | undefined,
): Promise<void> {
  const isBase = digest !== undefined && digest === entry.oldDigest && entry.kind !== "conflict";
  if (isBase) await quarantine(batch, entry, from, digest);
  else await rescue(batch, entry, from);
}

async function recoverDelete(batch: ApplyBatch, entry: JournalEntry): Promise<void> {
  const path = joinPath(QUARANTINE_DIRECTORY, entry.id);
  const { fs, store } = batch.ports;
  const stat = fs.stat(path);
  if (stat === undefined) return;
  const digest = await readDigest(batch, path);
  if (digest !== undefined && digest === entry.oldDigest) {
    await quarantine(batch, entry, path, digest);
    // Not recorded, it would pass for a deletion by this device's user.
    const isIts = store.local.get(entry.node)?.identity === stat.identity;
    if (isIts && store.remote.get(entry.node) === undefined) batch.overlay.remove(entry.node);
  } else if (!putBack(batch, entry, path)) await rescue(batch, entry, path);
}

function putBack(batch: ApplyBatch, entry: JournalEntry, from: string): boolean {
  try {
    if (batch.ports.fs.moveNoReplace(from, entry.path) !== "moved") return false;
  } catch (error) {
    if (error instanceof FileSystemError && error.code === "not_directory") return false;
    throw error;
  }
  batch.touch(from);
  batch.touch(entry.path);
  return true;
}

async function quarantine(
  batch: ApplyBatch,
  { id, node, path }: JournalEntry,
  from: string,
  digest: Digest,
): Promise<void> {
  const { fs } = batch.ports;
  if (fs.stat(from)?.kind !== "file") {
    // A symlink cannot be written to, and no link stays here (I23).
    batch.discard(from);
    return;
  }
  moveToQuarantine(batch, from, { id, node, path, digest });
}

async function rescue(batch: ApplyBatch, entry: JournalEntry, from: string): Promise<void> {
  const { id, node, path } = entry;
  const version = batch.ports.store.remoteRow(node)?.contentVersion ?? 0;
  const directory = parentPath(path);
  const parent = nodeAt(batch.ports.store, directory);
  const name = baseName(path);
  await saveConflictCopy(batch, {
    from,
    id,
    node,
    directory,
    parent,
    name,
    of: { node, version },
  });
}

/** The directory that the local tree has at that path. */
export function nodeAt({ local }: Pick<StateStore, "local">, path: string): NodeId | undefined {
  let current = ROOT_ID;
  if (path === "") return current;
  for (const name of path.split("/")) {
    const child = local.child(current, name);
    // A crash may have kept renames from being recorded, so another node may be known by that name.
    if (child?.content.kind !== "directory") return undefined;
    current = child.id;
  }
  return current;
}

/** A parked node carries its id as its name. */
async function recoverParked(batch: ApplyBatch, options: RecoverOptions): Promise<void> {
  const { fs, store } = batch.ports;
  for (const { name, stat } of fs.list(PARKING_DIRECTORY)?.entries ?? []) {
    const path = joinPath(PARKING_DIRECTORY, name);
    const node = isId(name) ? store.local.get(parseId<NodeId>(name)) : undefined;
    const former = node === undefined ? undefined : placeOfParts(batch, node, stat);
    if (former !== undefined) {
      putPartsBack(batch, path, former);
    } else if (node === undefined || node.identity !== stat.identity) {
      await rescueUnknown(batch, path, options);
    } else if (node.parent === PARKING_ID) unpark(batch, node, store.base.get(node.id));
    else if (!putWhereWanted(batch, node, path)) unpark(batch, node, node);
  }
}

/**
 * Keeps a user's rename that the log has not heard of, if something has that place by now (R6): the
 * node goes on to where it was to go, and the one that came to its place is recorded there.
 *
 * @returns false if its place is free, nobody renamed it, or it cannot go on.
 */
function putWhereWanted(batch: ApplyBatch, node: LocalNode, from: string): boolean {
  const { fs, store } = batch.ports;
  const [base, remote] = [store.base.get(node.id), store.remote.get(node.id)];
  const path = batch.path(node.id);
  const there = path === undefined ? undefined : batch.look(path);
  if (path === undefined || there === undefined) return false;
  if (base === undefined || remote === undefined || samePlace(base, node)) return false;
  const wanted = mergeNode({ base, local: node, remote }).state;
  const to = wanted === undefined ? undefined : batch.pathOfPlace(wanted);
  if (wanted === undefined || to === undefined || samePlace(wanted, node)) return false;
  const comer = store.localByIdentity(there.identity);
  const occupant = batch.overlay.child(wanted.parent, wanted.name);
  if (occupant !== undefined && occupant.id !== comer?.id) return false;
  const comersPlace = comer === undefined ? undefined : store.remote.get(comer.id);
  if (comer !== undefined && (comersPlace === undefined || !samePlace(comersPlace, node)))
    return false;
  if (fs.moveNoReplace(from, to) !== "moved") return false;
  for (const touched of [from, path, to]) batch.touch(touched);
  const { parent, name } = node;
  if (comer !== undefined) batch.putUnknown({ ...comer, parent, name }, path);
  batch.putUnknown({ ...node, parent: wanted.parent, name: wanted.name }, to);
  return true;
}

/**
 * Where the move by parts that was under way began. The rest of the directory stands there, or
 * nothing.
 */
function placeOfParts(
  batch: ApplyBatch,
  node: LocalNode,
  { kind, identity }: Stat,
): string | undefined {
  const { fs, store } = batch.ports;
  if (node.content.kind !== "directory" || kind !== "directory") return undefined;
  if (node.identity === identity || node.parent === PARKING_ID) return undefined;
  const former = pathOf(store.local, node.id);
  const standing = former === undefined ? undefined : fs.stat(former);
  return standing === undefined || standing.identity === node.identity ? former : undefined;
}

/** Displaced files of a state that was lost. Nobody can say any more that they are not needed. */
async function recoverQuarantine(batch: ApplyBatch, options: RecoverOptions): Promise<void> {
  const { fs, store } = batch.ports;
  const known = new Set([...store.quarantine(), ...store.journal()].map(({ id }) => id));
  for (const { name } of fs.list(QUARANTINE_DIRECTORY)?.entries ?? []) {
    if (known.has(name)) continue;
    await rescueUnknown(batch, joinPath(QUARANTINE_DIRECTORY, name), options);
  }
}

/**
 * Bytes of unknown origin. If the server has them, they wait in quarantine. Otherwise they get a
 * name in the folder, and the scan makes them a node.
 */
async function rescueUnknown(
  batch: ApplyBatch,
  path: string,
  { isInHistory = async () => false }: RecoverOptions,
): Promise<void> {
  const { fs, store } = batch.ports;
  const digest = await readDigest(batch, path);
  const id = idOfStaged(baseName(path));
  const former = formerPath(fs, id);
  const stat = fs.stat(path);
  if (digest !== undefined && isId(id) && stat?.kind === "file") {
    const isKnown = stat.size === 0 || isOnServer(store, id, stat.identity, digest);
    if (isKnown || (await isInHistory(digest))) {
      const place = former ?? RESCUED_NAME;
      try {
        moveToQuarantine(batch, path, { id, node: ROOT_ID, path: place, digest });
        return;
      } catch (error) {
        // Another file waits there under this id. This one gets a name.
        if (!(error instanceof FileSystemError)) throw error;
      }
    }
  }
  putBackByName(batch, path, former, { mtimeNs: fileTimeOf(stat), hash6Source: digest ?? id });
}

function fileTimeOf(stat: Stat | undefined): string | undefined {
  return stat?.kind === "file" ? stat.mtimeNs : undefined;
}

/**
 * Puts the entry back beside its old place; in the root if that is not known or not there any more.
 */
function putBackByName(
  batch: ApplyBatch,
  from: string,
  former: string | undefined,
  source: { readonly mtimeNs: string | undefined; readonly hash6Source: string },
): void {
  const { store } = batch.ports;
  const parent = former === undefined ? "" : parentPath(former);
  const directory = batch.look(parent)?.kind === "directory" ? parent : "";
  const node = nodeAt(store, directory);
  const named = moveToFreeName(batch, {
    from,
    directory,
    parent: node,
    nameOf: (attempt) => {
      if (former !== undefined) {
        return recoveredName({ ...source, name: baseName(former), attempt });
      }
      return attempt === 0 ? RESCUED_NAME : `${RESCUED_NAME} ${attempt + 1}`;
    },
    isFree: (place) => store.local.child(place.parent, place.name) === undefined,
  });
  if (named === undefined) return;
  batch.touch(from);
  batch.touch(named.path);
  batch.rescan.add(named.path);
}

/**
 * True if the records of this entry say that the server has its bytes. They do not tell about bytes
 * of earlier versions.
 */
function isOnServer(store: StateStore, id: string, identity: string, digest: Digest): boolean {
  if (store.quarantine().some((entry) => entry.id === id && entry.digest === digest)) return true;
  const placed = store.localByIdentity(identity);
  const nodes = placed === undefined ? store.dirty() : [placed.id, ...store.dirty()];
  return nodes.some((node) => {
    const content = store.remote.get(node)?.content;
    return content?.kind === "file" && content.sha256 === digest;
  });
}

const RESCUED_NAME = "recovered";

function isId(name: string): boolean {
  return /^[0-9a-f]{32}$/.test(name);
}

/**
 * Removes files that were staged and never put in place. Partial downloads that are still wanted
 * stay.
 */
async function sweepStaging(batch: ApplyBatch, options: RecoverOptions): Promise<void> {
  const { fs, store } = batch.ports;
  const entries = fs.list(STAGING_DIRECTORY)?.entries ?? [];
  if (entries.length === 0) return;
  const journal = new Set(store.journal().map(({ id }) => id));
  const displaced = new Set(store.quarantine().map(({ id }) => id));
  const wanted = new Set<string>();
  for (const id of store.dirty()) {
    const content = store.remote.get(id)?.content;
    if (content?.kind === "file" && content.depth > 0) wanted.add(content.sha256);
  }
  for (const { name, stat } of entries) {
    if (journal.has(name)) continue;
    const path = joinPath(STAGING_DIRECTORY, name);
    const partial = digestOfPartial(name);
    if (partial !== undefined) {
      if (!wanted.has(partial)) batch.discard(path);
      continue;
    }
    // If names are less durable than the database, a file that was displaced or put in place
    // appears here again.
    const wasInPlace = displaced.has(name) || store.localByIdentity(stat.identity) !== undefined;
    const mayBeUsers = wasInPlace || (options.isStateLost === true && isId(name));
    if (stat.kind === "directory" || mayBeUsers) await rescueUnknown(batch, path, options);
    else batch.discard(path);
  }
}
