/**
 * Decides which node an entry is if it is not the node of its place: a moved node, the node whose
 * place it has, a node that was held as deleted, or a new one. Rules: A1, A8, A9, A11, A21,
 * F39-F43, F48.
 */
import type { NodeId } from "../../core/identifier.ts";
import { IGNORE_FILE } from "../../core/ignore.ts";
import { TEMPORARY_AGE_MS_MIN } from "../../core/limits.ts";
import {
  type Content,
  type LocalNode,
  type RemoteNode,
  sameBytes,
  samePlace,
} from "../../core/node.ts";
import { checkName, joinPath, looksTemporary } from "../../core/path.ts";
import { pathOf } from "../../core/tree.ts";
import { FileSystemError, type Listing, type Stat } from "../../ports/filesystem.ts";
import { statExactly } from "../folder/spelling.ts";
import { readContent } from "./content.ts";
import type { IsReceived } from "./ignore-files.ts";
import type { Emptied, Entry, ScanRun, Task } from "./run.ts";

/** Equals no stamp of a file system. */
const UNREAD_STAMP = "";

/**
 * Overlays the node that the entry is. If that is one of the directory's missing nodes, it is taken
 * out of `missing`. A node that lost its place to another one stays in it.
 */
export async function placeEntry(
  run: ScanRun,
  task: Task,
  entry: Entry,
  missing: Map<string, LocalNode>,
): Promise<void> {
  const { kind, identity } = entry.stat;
  // It is known here that no node of this identity has this place, and that the entry may be
  // synced.
  const occupant = missing.get(entry.name);
  const heir = occupant?.content.kind === kind ? occupant : undefined;
  const mover = [run.overlay.byIdentity(identity), hardLink(entry, missing)].find(
    (node) => node?.content.kind === kind && hasLeft(run, node, entry),
  );

  if (mover !== undefined && heir !== undefined && isAtomicSave(run, mover)) {
    // The file that was written beside it was only ever the next version of the file that it
    // replaces, so this is an edit.
    run.disappearances.delete(mover.id);
    run.overlay.remove(mover.id);
    missing.delete(entry.name);
    await inherit(run, task, entry, heir, mover.content);
  } else if (mover !== undefined) {
    if (!isBackup(run, entry, mover)) await move(run, task, entry, mover);
  } else if (heir !== undefined) {
    missing.delete(entry.name);
    await inherit(run, task, entry, heir);
  } else {
    await create(run, task, entry);
  }
}

/** The identity leads to one of several hard links. Another one, in this directory, is missing. */
function hardLink({ stat }: Entry, missing: ReadonlyMap<string, LocalNode>): LocalNode | undefined {
  if (stat.links === 1) return undefined;
  return [...missing.values()].find(({ identity }) => identity === stat.identity);
}

/**
 * True if a known node is no longer at its old place, so that the entry with its identity is this
 * node. If the node is still there, the entry is a second hard link. If something unknown of its
 * kind is there, an atomic save left it, and the entry is a backup of the former file. If nobody
 * can look there, an entry of a single name has left it all the same.
 */
function hasLeft(run: ScanRun, node: LocalNode, entry: Entry): boolean {
  const path = pathOf(run.overlay, node.id);
  if (path === undefined || path === entry.path) return true;
  const stat = look(run, path);
  if (stat === "unknown") return entry.stat.kind === "directory" || entry.stat.links === 1;
  if (stat === "absent" || stat.kind !== node.content.kind) return true;
  if (stat.identity === node.identity) return false;
  if (!stat.sameDevice) return false;
  if (run.isIgnored(path, stat.kind === "directory")) return true;
  const occupant = run.overlay.byIdentity(stat.identity);
  if (occupant !== undefined && !isAtomicSave(run, occupant)) return true;
  // The node's new identity has to be recorded, or two nodes would have the old one.
  run.hint(path);
  return false;
}

function look(run: ScanRun, path: string): Stat | "absent" | "unknown" {
  try {
    return statExactly(run.ports.fs, path) ?? "absent";
  } catch (error) {
    if (!(error instanceof FileSystemError)) throw error;
    return error.code === "not_directory" ? "absent" : "unknown";
  }
}

/**
 * True for a file that was written to be renamed over another one, or has such a name. One that
 * others know by an ordinary name only passes through a temporary one, as where two trade names.
 */
function isAtomicSave(run: ScanRun, { id, name, content }: LocalNode): boolean {
  const known = run.ports.store.base.get(id)?.name ?? name;
  return content.kind === "file" && (run.overlay.isOnlyLocal(id) || looksTemporary(known));
}

async function move(run: ScanRun, task: Task, entry: Entry, node: LocalNode): Promise<void> {
  const read = await readContent(run, entry, node.content, node.content);
  if (run.pace.isStopped) return;
  // If it could not be read, it keeps its old stamp, so its bytes are looked at as soon as
  // possible.
  const { content, stamp } = read ?? node;
  const moved = { ...node, parent: task.id, name: entry.name, content, stamp };
  run.overlay.put({ node: moved, under: task.under, objects: read?.objects ?? [] });
  descend(run, entry, node.id);
}

/** The entry takes over the node whose place it has. */
async function inherit(
  run: ScanRun,
  task: Task,
  entry: Entry,
  node: LocalNode,
  guess?: Content,
): Promise<void> {
  const read = await readContent(run, entry, node.content, guess);
  if (run.pace.isStopped) return;
  // If it could not be read, its bytes are looked at as soon as possible. An entry that has the old
  // identity by now, such as a backup, is another node.
  const { content, stamp } = read ?? { content: node.content, stamp: UNREAD_STAMP };
  const heir = { ...node, content, identity: entry.stat.identity, stamp };
  run.overlay.put({ node: heir, under: task.under, objects: read?.objects ?? [] });
  descend(run, entry, node.id);
}

async function create(run: ScanRun, task: Task, entry: Entry): Promise<void> {
  const { name, stat } = entry;
  const { store, random } = run.ports;
  if (stat.kind === "directory" && store.isLeftover(stat.identity)) {
    const leftover = lookInto(run, entry);
    if (!leftover.holdsSyncable) {
      if (leftover.isEmpty) lookAtEmptied(run, entry, leftover.directories);
      return;
    }
    store.setLeftover(stat.identity, false);
  }
  const former = formerNode(run, task.id, entry);
  if (former === undefined) {
    // Rules that cannot be used may exclude it. A known node was offered already.
    if (run.ignoreFiles.isUnknown(task.path) || mayVanish(run, entry)) return;
  }
  const twin = former === undefined ? twinInLog(run, task.id, entry) : undefined;
  const isWithheld = wasIgnored(run, entry) && !isSyncedPlace(run, task.id, entry);
  if (isWithheld && twin === undefined) return withhold(run, entry);
  const read = await readContent(run, entry, (former ?? twin)?.content);
  if (read === undefined) return;
  const { content, stamp, objects } = read;
  const adopted = twin !== undefined && sameBytes(content, twin.content) ? twin.id : undefined;
  // Nothing is given away by bytes that the log has there.
  if (isWithheld && adopted === undefined) return withhold(run, entry);
  const id = former?.id ?? adopted ?? random.id<NodeId>();
  const { identity } = stat;
  const node = { id, parent: task.id, name, content, identity, stamp };
  run.overlay.put({ node, under: task.under, objects, isFresh: true });
  descend(run, entry, id);
}

function wasIgnored({ ignoreFiles }: ScanRun, { path, stat }: Entry): boolean {
  return ignoreFiles.wasIgnored(path, stat.kind === "directory");
}

/** True if log and disk agreed on a node there which stands nowhere else, whatever its kind. */
function isSyncedPlace(run: ScanRun, parent: NodeId, { name }: Entry): boolean {
  const former = run.ports.store.base.child(parent, name);
  const now = former === undefined ? undefined : run.overlay.get(former.id);
  return former !== undefined && (now === undefined || samePlace(now, former));
}

/** A21: it is not offered until a person of this device agrees to the rules. */
function withhold(run: ScanRun, { path }: Entry): void {
  const message =
    "It is not sent, because it was ignored here until another device changed the rules, " +
    "or renamed a directory";
  run.problems.report(path, "formerly_ignored", message);
}

/**
 * A11: true if the file seems to have been renamed just now, to make room for a file of its name.
 */
function isBackup(run: ScanRun, entry: Entry, { name }: LocalNode): boolean {
  return !looksTemporary(name) && mayVanish(run, entry);
}

/** A11: true if the file seems to have been written just now, to be renamed over another file. */
function mayVanish({ ports, revisits, startedMs }: ScanRun, { name, path, stat }: Entry): boolean {
  if (stat.kind === "directory" || !looksTemporary(name)) return false;
  if (stat.changedMs <= startedMs - TEMPORARY_AGE_MS_MIN) return false;
  const waitMs = { next: TEMPORARY_AGE_MS_MIN, last: TEMPORARY_AGE_MS_MIN };
  return revisits.waitsFor(path, stat.identity, ports.clock.monotonic(), waitMs);
}

/** A9: the base's node of that place and kind, if nothing on the disk is that node. */
function formerNode(run: ScanRun, parent: NodeId, { name, stat }: Entry): LocalNode | undefined {
  const former = run.ports.store.base.child(parent, name);
  if (former?.content.kind !== stat.kind) return undefined;
  return run.overlay.get(former.id) === undefined ? former : undefined;
}

/**
 * R9: the node that the log has there and this device never had. Reconcile would adopt it, one
 * level of directories at a time; where a machine joins with all of a folder, that would write each
 * row twice.
 */
function twinInLog(run: ScanRun, parent: NodeId, { name, stat }: Entry): RemoteNode | undefined {
  const { store } = run.ports;
  const twin = store.remote.child(parent, name);
  if (twin?.content.kind !== stat.kind) return undefined;
  const isKnown = store.local.get(twin.id) ?? store.base.get(twin.id) ?? run.overlay.get(twin.id);
  return isKnown === undefined ? twin : undefined;
}

/** A directory that was not here before is looked at in full depth. */
function descend(run: ScanRun, { path, stat }: Entry, id: NodeId): void {
  if (stat.kind !== "directory") return;
  run.add({
    id,
    path,
    names: undefined,
    deep: true,
    under: run.overlay.has(id) ? id : undefined,
  });
}

interface Leftover {
  /** A8: something in it, or in a left-over directory within it, can be synced. */
  readonly holdsSyncable: boolean;
  /** It holds nothing but left-over directories of which the same is true. */
  readonly isEmpty: boolean;
  /** Itself, and the left-over directories within it. */
  readonly directories: readonly Emptied[];
}

function lookInto(run: ScanRun, { path, stat: { identity } }: Entry): Leftover {
  const directories = [{ path, identity }];
  let isEmpty = true;
  for (const next of directories) {
    const listing = listingOf(run, next.path);
    const entries = listing?.entries ?? [];
    if (listing === undefined || listing.illegible.length > 0) isEmpty = false;
    // No scan reads this directory, so its rules are read here. They may have changed, or be gone.
    const rulesFile = entries.find(({ name }) => name === IGNORE_FILE);
    const isReceived: IsReceived = (digest) => {
      return digest === undefined && run.ignoreFiles.former.covers(next.path);
    };
    run.ignoreFiles.load(next.path, rulesFile?.stat, isReceived);
    for (const { name, stat } of entries) {
      const inner = joinPath(next.path, name);
      const isDirectory = stat.kind === "directory";
      const isLeftover = isDirectory && run.ports.store.isLeftover(stat.identity);
      const isOutside = stat.kind === "other" || !stat.sameDevice || checkName(name) !== undefined;
      const wasLeft = run.ignoreFiles.wasIgnored(inner, isDirectory);
      const isLeft = isOutside || wasLeft || run.isIgnored(inner, isDirectory);
      if (!isLeft && !isLeftover) return { holdsSyncable: true, isEmpty: false, directories };
      if (isLeftover && stat.sameDevice) directories.push({ path: inner, identity: stat.identity });
      else isEmpty = false;
    }
  }
  return { holdsSyncable: false, isEmpty, directories };
}

/** The program that emptied it may be about to fill it again. */
function lookAtEmptied(run: ScanRun, { path, stat }: Entry, emptied: readonly Emptied[]): void {
  run.problems.clearBelow(path);
  if (run.isYoung(stat)) {
    run.revisits.racy(path, stat.stamp, run.ports.clock.monotonic());
    return;
  }
  for (const directory of emptied.toReversed()) run.emptied.push(directory);
}

function listingOf(run: ScanRun, path: string): Listing | undefined {
  try {
    return run.ports.fs.list(path);
  } catch (error) {
    if (error instanceof FileSystemError) return undefined;
    throw error;
  }
}
