/**
 * Decides which node an entry is that is not where it was: a moved one, the one whose place it has,
 * one that was held as deleted, or a new one. Rules: A1, A8, A9, A11, F39-F43, F48.
 */
import type { NodeId } from "../../core/identifier.ts";
import { IGNORE_FILE } from "../../core/ignore.ts";
import { TEMPORARY_AGE_MS_MIN } from "../../core/limits.ts";
import type { Content, LocalNode } from "../../core/node.ts";
import { checkName, joinPath, looksTemporary } from "../../core/path.ts";
import { pathOf } from "../../core/tree.ts";
import { FileSystemError, type Listing, type Stat } from "../../ports/filesystem.ts";
import { statExactly } from "../folder/spelling.ts";
import { readContent } from "./content.ts";
import type { Emptied, Entry, ScanRun, Task } from "./run.ts";

/** Equals no stamp that a file system gives. */
const UNREAD_STAMP = "";

/**
 * Drafts the node that the entry is. What is found of the directory's missing nodes is taken out of
 * `missing`; a node that lost its place to another one stays in it.
 */
export async function placeEntry(
  run: ScanRun,
  task: Task,
  entry: Entry,
  missing: Map<string, LocalNode>,
): Promise<void> {
  const { kind, identity } = entry.stat;
  // Known: nobody who is known by this identity is in this place, and the entry may be synced.
  const occupant = missing.get(entry.name);
  const heir = occupant?.content.kind === kind ? occupant : undefined;
  const mover = [run.overlay.byIdentity(identity), hardLink(entry, missing)].find(
    (node) => node?.content.kind === kind && hasLeft(run, node, entry),
  );

  if (mover !== undefined && heir !== undefined && isAtomicSave(run, mover)) {
    // The file that was written beside was never more than the next version of the one that it
    // replaces: this is an edit.
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

/** Of several hard links the identity is known by one; another one of this directory is missing. */
function hardLink({ stat }: Entry, missing: ReadonlyMap<string, LocalNode>): LocalNode | undefined {
  if (stat.links === 1) return undefined;
  return [...missing.values()].find(({ identity }) => identity === stat.identity);
}

/**
 * True where a known node is no longer at its old place, so that the entry with its identity is
 * this node. Where it is still there, the entry is a second hard link; where something unknown of
 * its kind is there, that is what an atomic save leaves, and the entry is a backup of what was
 * there before.
 */
function hasLeft(run: ScanRun, node: LocalNode, entry: Entry): boolean {
  const path = pathOf(run.overlay, node.id);
  if (path === undefined || path === entry.path) return true;
  const stat = look(run, path);
  if (stat === "unknown") return false;
  if (stat === "absent" || stat.kind !== node.content.kind) return true;
  if (stat.identity === node.identity) return false;
  if (!stat.sameDevice) return false;
  if (run.isIgnored(path, stat.kind === "directory")) return true;
  const occupant = run.overlay.byIdentity(stat.identity);
  if (occupant !== undefined && !isAtomicSave(run, occupant)) return true;
  // The node's new identity has to be recorded, or two nodes would go by the old one.
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

/** True for a file that was written to be renamed over another one, or is named so. */
function isAtomicSave(run: ScanRun, { id, name, content }: LocalNode): boolean {
  return content.kind === "file" && (run.overlay.isOnlyLocal(id) || looksTemporary(name));
}

async function move(run: ScanRun, task: Task, entry: Entry, node: LocalNode): Promise<void> {
  const read = await readContent(run, entry, node.content, node.content);
  if (run.pace.isStopped) return;
  // Unread, it keeps its old stamp: its bytes are looked at as soon as they can be.
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
  // Unread, its bytes are looked at as soon as they can be. Whatever has the old identity by now, a
  // backup say, is another node.
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
    // Rules that cannot be used may forbid it; what is known was offered already.
    if (run.ignoreFiles.isUnknown(task.path) || mayVanish(run, entry)) return;
  }
  const read = await readContent(run, entry, former?.content);
  if (read === undefined) return;
  const { content, stamp, objects } = read;
  const id = former?.id ?? random.id<NodeId>();
  const { identity } = stat;
  const node = { id, parent: task.id, name, content, identity, stamp };
  run.overlay.put({ node, under: task.under, objects, isFresh: true });
  descend(run, entry, id);
}

/** A11: true for what was just renamed to make room for a file of its name, as it seems. */
function isBackup(run: ScanRun, entry: Entry, { name }: LocalNode): boolean {
  return !looksTemporary(name) && mayVanish(run, entry);
}

/** A11: true for what was just written to be renamed over another file, as it seems. */
function mayVanish({ ports, revisits, startedMs }: ScanRun, { name, path, stat }: Entry): boolean {
  if (stat.kind === "directory" || !looksTemporary(name)) return false;
  if (stat.changedMs <= startedMs - TEMPORARY_AGE_MS_MIN) return false;
  const waitMs = { next: TEMPORARY_AGE_MS_MIN, last: TEMPORARY_AGE_MS_MIN };
  return revisits.waitsFor(path, stat.identity, ports.clock.monotonic(), waitMs);
}

/** A9: the base's node of that place and kind, where nothing on disk is it. */
function formerNode(run: ScanRun, parent: NodeId, { name, stat }: Entry): LocalNode | undefined {
  const former = run.ports.store.base.child(parent, name);
  if (former?.content.kind !== stat.kind) return undefined;
  return run.overlay.get(former.id) === undefined ? former : undefined;
}

/** What is in a directory that was not here before is looked at, however deep. */
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
  /** A8: something syncable is in it, or in one left over within it. */
  readonly holdsSyncable: boolean;
  /** Nothing is in it but left-over directories of which the same is true. */
  readonly isEmpty: boolean;
  /** Itself, and what is left over within it. */
  readonly directories: readonly Emptied[];
}

function lookInto(run: ScanRun, { path, stat: { identity } }: Entry): Leftover {
  const directories = [{ path, identity }];
  let isEmpty = true;
  for (const next of directories) {
    const listing = listingOf(run, next.path);
    const entries = listing?.entries ?? [];
    if (listing === undefined || listing.illegible.length > 0) isEmpty = false;
    // Nobody scans it, so that its rules are looked at here: they may be others by now, or gone.
    run.ignoreFiles.load(next.path, entries.find(({ name }) => name === IGNORE_FILE)?.stat);
    for (const { name, stat } of entries) {
      const inner = joinPath(next.path, name);
      const isDirectory = stat.kind === "directory";
      const isLeftover = isDirectory && run.ports.store.isLeftover(stat.identity);
      const isOutside = stat.kind === "other" || !stat.sameDevice || checkName(name) !== undefined;
      const isLeft = isOutside || run.isIgnored(inner, isDirectory);
      if (!isLeft && !isLeftover) return { holdsSyncable: true, isEmpty: false, directories };
      if (isLeftover && stat.sameDevice) directories.push({ path: inner, identity: stat.identity });
      else isEmpty = false;
    }
  }
  return { holdsSyncable: false, isEmpty, directories };
}

/** Whoever emptied it may be about to fill it again. */
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
