/**
 * One step of a plan on the disk: create, replace, metadata, delete. Moves are in move.ts.
 * Rules: D1, D2, D4, D6, A8, I3, I12, I13.
 *
 * The proof of each step: it looks at the entry in place. If that is not what the last scan saw, it
 * does nothing, and the path is scanned again. Otherwise it displaces the entry in one atomic step
 * and looks at it again. Either it is the entry that was seen, whose bytes the server has (or which
 * gets a conflict name), or a user was faster and it gets a name of its own. At no moment are bytes
 * only in a place that is about to be unlinked.
 */

import { assert } from "../../core/error.ts";
import { type NodeId, PARKING_ID } from "../../core/identifier.ts";
import type { ConflictOrigin, LocalNode, NodeState, Place } from "../../core/node.ts";
import { checkName, joinPath, parentPath } from "../../core/path.ts";
import {
  PARKING_DIRECTORY,
  QUARANTINE_DIRECTORY,
  STAGING_DIRECTORY,
} from "../../core/state-directory.ts";
import type { Transition } from "../../core/transition.ts";
import type { FileSystem, Stat } from "../../ports/filesystem.ts";
import { statExactly } from "../folder/spelling.ts";
import { SCAN_CODES } from "../scan/problems.ts";
import type { StagedFile } from "../stage/stage.ts";
import type { ApplyBatch } from "./batch.ts";
import { rescueEdit } from "./conflict-copy.ts";
import { isUntouched, type Sighting, setDisplacedAside, sight } from "./displaced.ts";
import { unpark } from "./unpark.ts";

type Step<Kind extends Transition["kind"]> = Extract<Transition, { kind: Kind }>;

/** Puts a new node in place if nothing stands there. */
export function applyCreate(
  batch: ApplyBatch,
  { node }: Step<"create">,
  staged: StagedFile | undefined,
): void {
  const path = batch.pathOfPlace(node);
  if (path === undefined) {
    // Its directory could not be made. That was reported.
    if (staged !== undefined) batch.leaveStaged(staged.path);
    return;
  }
  if (isGhostly(batch, node, path) || !isParentThere(batch, node)) {
    if (staged !== undefined) batch.leaveStaged(staged.path);
    return;
  }
  let made: Stat | undefined;
  try {
    made = make(batch, node, path, staged);
  } finally {
    if (made === undefined && staged !== undefined) batch.leaveStaged(staged.path);
  }
  if (made === undefined) {
    reportOccupied(batch, node.id, path);
    return;
  }
  const { id, parent, name, content } = node;
  batch.touch(path);
  batch.dropGhost(node, id);
  batch.putPlaced({ id, parent, name, content, identity: made.identity }, path, made);
  batch.done("create", path);
}

/**
 * False, after noting a path to scan, if another directory stands where the parent is known to be.
 * What is put into it would look like a move by its user.
 */
export function isParentThere(batch: ApplyBatch, { parent }: Place): boolean {
  const node = batch.overlay.get(parent);
  const path = batch.path(parent);
  if (node === undefined || path === undefined) return true;
  if (batch.ports.fs.stat(path)?.identity === node.identity) return true;
  batch.rescan.add(path);
  return false;
}

/** True if the tree has another node there. The scan must first find out where its user took it. */
export function isGhostly(batch: ApplyBatch, place: Place, path: string): boolean {
  if (batch.overlay.child(place.parent, place.name) === undefined) return false;
  if (batch.ports.fs.stat(path) !== undefined) return false;
  batch.rescan.add(path);
  return true;
}

/** @returns the entry that stands at `path` now; undefined if another one stood there. */
function make(
  batch: ApplyBatch,
  { content }: NodeState,
  path: string,
  staged: StagedFile | undefined,
): Stat | undefined {
  const { fs } = batch.ports;
  switch (content.kind) {
    case "directory":
      return fs.makeDirectory(path) === "made" ? fs.stat(path) : leftoverAt(batch, path);
    case "symlink":
      return fs.makeSymlink(path, content.target) === "made" ? fs.stat(path) : undefined;
    case "file":
      assert(staged !== undefined, "a file is staged before it is put in place");
      return fs.moveNoReplace(staged.path, path) === "moved" ? staged.stat : undefined;
  }
}

/** A directory that was kept only for entries which are not synced becomes the new one (A8). */
function leftoverAt(batch: ApplyBatch, path: string): Stat | undefined {
  const stat = batch.ports.fs.stat(path);
  if (stat?.kind !== "directory") return undefined;
  if (!batch.ports.store.isLeftover(stat.identity)) return undefined;
  batch.putLeftover(stat.identity, false);
  return stat;
}

/** Something stands there that the last scan did not see, or of which it cannot make a node. */
export function reportOccupied(batch: ApplyBatch, id: NodeId, path: string): void {
  const { fs } = batch.ports;
  const there = fs.stat(path);
  if (there === undefined || statExactly(fs, path) !== undefined) {
    const obstacle = there === undefined ? undefined : obstacleAt(batch, path, there);
    if (obstacle === undefined) batch.rescan.add(path);
    else batch.fail({ id, path, ...obstacle });
    return;
  }
  const message = `Cannot put "${path}" there: this file system has that name in another spelling`;
  batch.fail({ id, path, code: "name_collision", message });
}

/**
 * Finds an entry that stays because no scan makes a node of it: a socket, an unreadable entry, a
 * directory that is kept for ignored entries in it. Looking at it again and again would not help.
 */
function obstacleAt(batch: ApplyBatch, path: string, there: Stat) {
  const { store } = batch.ports;
  const known = store.problems().find((problem) => problem.path === path);
  if (known !== undefined && SCAN_CODES.has(known.code)) {
    return { code: known.code, message: known.message };
  }
  if (there.kind !== "directory" || !isLeftover(batch, there)) return undefined;
  const message = `Cannot put "${path}" there: a directory stays there because it holds ignored files`;
  return { code: "name_collision", message } as const;
}

/** Puts new bytes into a file, or a new target into a symlink, in one atomic exchange. */
export async function applyReplace(
  batch: ApplyBatch,
  step: Step<"replace">,
  staged: StagedFile | undefined,
  journal: string,
): Promise<void> {
  const from = staged?.path ?? joinPath(STAGING_DIRECTORY, journal);
  let swap: Swap | undefined;
  let swapped: "exchanged" | "absent" | "unsupported" = "absent";
  try {
    swap = prepareSwap(batch, step, { journal, from, fresh: staged?.stat });
    if (swap !== undefined) swapped = batch.ports.fs.exchange(from, swap.path);
  } catch (error) {
    if (swap === undefined || !hasComeOut(batch, swap)) {
      batch.leaveStaged(from);
      batch.resolve(journal);
      throw error;
    }
    swapped = "exchanged";
  }
  if (swap === undefined || swapped === "absent") {
    if (swap !== undefined) batch.rescan.add(swap.path);
    batch.leaveStaged(from);
  } else if (swapped === "unsupported") {
    await replaceByMoving(batch, swap);
  } else {
    putReplaced(batch, swap);
    await judgeDisplaced(batch, swap, from);
  }
  batch.resolve(journal);
}

interface Swap {
  readonly step: Step<"replace">;
  readonly node: LocalNode;
  readonly path: string;
  readonly seen: Sighting;
  readonly from: string;
  readonly fresh: Stat;
  readonly journal: string;
}

/**
 * @returns undefined, after noting a path to scan, if the place does not look as the last scan saw
 * it.
 */
function prepareSwap(
  batch: ApplyBatch,
  step: Step<"replace">,
  staged: { readonly journal: string; readonly from: string; readonly fresh: Stat | undefined },
): Swap | undefined {
  const { fs } = batch.ports;
  const node = batch.overlay.get(step.id);
  const path = batch.path(step.id);
  if (node === undefined || path === undefined) return undefined;
  const seen = sight(fs, path, node);
  if (seen === undefined) {
    batch.rescan.add(path);
    return undefined;
  }
  const { journal, from } = staged;
  if (step.content.kind === "symlink") fs.makeSymlink(from, step.content.target);
  const fresh = staged.fresh === undefined ? fs.stat(from) : fs.takePermissions(from, path);
  assert(fresh !== undefined, "new bytes are staged");
  return { step, node, path, seen, from, fresh, journal };
}

/**
 * An exchange that threw may have been done all the same, on a network's disk for example. The
 * identity of the entry in staging tells whether it was.
 *
 * @throws {FileSystemError} if that cannot be looked at; recovery decides then.
 */
function hasComeOut(batch: ApplyBatch, { from, fresh }: Swap): boolean {
  const out = batch.ports.fs.stat(from);
  return out !== undefined && out.identity !== fresh.identity;
}

function putReplaced(batch: ApplyBatch, { step, node, path, fresh }: Swap): void {
  const { id, parent, name } = node;
  const { identity } = fresh;
  batch.touch(path);
  batch.putPlaced({ id, parent, name, content: step.content, identity }, path, fresh);
  batch.done("modify", path);
}

/** Judges the entry that came out of the place and now stands at `at`. */
async function judgeDisplaced(batch: ApplyBatch, swap: Swap, at: string): Promise<void> {
  const { step, node, path, seen, journal } = swap;
  const former = { node, directory: parentPath(path) };
  keepMode(batch, swap, at);
  const isExpected = await isUntouched(batch, at, seen);
  if (isExpected && step.conflict === undefined) {
    setDisplacedAside(batch, at, journal, former);
    return;
  }
  const chosen = isExpected ? chosenName(step.conflict) : undefined;
  await rescueEdit(batch, at, journal, former, chosen);
}

/**
 * RACE: a user may set the mode between the look and the step, and the mode then comes out with the
 * old bytes. It is set again on the entry in place, where the scan finds it.
 */
function keepMode({ ports: { fs }, rescan }: ApplyBatch, swap: Swap, at: string): void {
  const out = fs.stat(at);
  const now = fs.stat(swap.path);
  if (out?.kind !== "file" || out.executable === swap.seen.stat.executable) return;
  if (now?.identity !== swap.fresh.identity) return;
  fs.setMetadata(swap.path, now, { executable: out.executable, mtimeNs: now.mtimeNs });
  rescan.add(swap.path);
}

function chosenName(conflict: { name: string; of: ConflictOrigin } | undefined) {
  return conflict === undefined ? undefined : { name: conflict.name, version: conflict.of.version };
}

/** D6: without exchange the old entry is moved out and judged before the new one is moved in. */
async function replaceByMoving(batch: ApplyBatch, swap: Swap): Promise<void> {
  const { fs } = batch.ports;
  const { node, path, from, journal } = swap;
  const out = joinPath(QUARANTINE_DIRECTORY, journal);
  if (fs.moveNoReplace(path, out) !== "moved") {
    batch.rescan.add(path);
    batch.leaveStaged(from);
    return;
  }
  batch.touch(path);
  if (!(await isUntouched(batch, out, swap.seen))) {
    batch.leaveStaged(from);
    await putBack(batch, out, journal, { node, path });
    return;
  }
  // RACE: a user's new file may stand there by now. It stays, the scan finds it, and the old bytes
  // are kept.
  if (fs.moveNoReplace(from, path) === "moved") putReplaced(batch, swap);
  else {
    batch.rescan.add(path);
    batch.leaveStaged(from);
  }
  await judgeDisplaced(batch, swap, out);
}

/**
 * Puts an entry back that should not have been taken away. If another entry has its place by now,
 * it gets a name of its own.
 */
async function putBack(
  batch: ApplyBatch,
  from: string,
  journal: string,
  { node, path }: { readonly node: LocalNode; readonly path: string },
): Promise<void> {
  batch.rescan.add(path);
  if (batch.ports.fs.moveNoReplace(from, path) === "moved") return;
  await rescueEdit(batch, from, journal, { node, directory: parentPath(path) });
}

/** Sets the executable bit and mtime of a file that keeps its bytes and has no other name. */
export function applyMetadata(batch: ApplyBatch, step: Step<"metadata">): void {
  const { fs } = batch.ports;
  const node = batch.overlay.get(step.id);
  const path = batch.path(step.id);
  if (node === undefined || path === undefined) return;
  const seen = sight(fs, path, node);
  if (seen === undefined || seen.stat.links > 1) {
    batch.rescan.add(path);
    return;
  }
  const { executable, mtimeNs } = step.content;
  const now = fs.setMetadata(path, seen.stat, { executable, mtimeNs });
  if (now === "changed" || now.size !== seen.stat.size) {
    batch.rescan.add(path);
    return;
  }
  batch.touchFile(path);
  // RACE: a write just before now hides behind the new mtime, so the bytes are looked at once more.
  batch.putRacy({ ...node, content: step.content }, now);
  batch.done("modify", path);
}

/** Moves a file to quarantine. Removes a directory only if it is empty. */
export async function applyDelete(
  batch: ApplyBatch,
  step: Step<"delete">,
  journal: string | undefined,
  ignores: (path: string, isDirectory: boolean) => boolean,
): Promise<void> {
  const node = batch.overlay.get(step.id);
  const path = batch.path(step.id);
  if (node === undefined || path === undefined) {
    if (journal !== undefined) batch.resolve(journal);
    return;
  }
  if (node.content.kind === "directory") {
    deleteDirectory(batch, { step, node, path }, ignores);
    return;
  }
  assert(journal !== undefined, "a file's delete is journalled");
  await deleteFile(batch, { step, node, path }, journal);
  batch.resolve(journal);
}

interface Deletion {
  readonly step: Step<"delete">;
  readonly node: LocalNode;
  readonly path: string;
}

async function deleteFile(
  batch: ApplyBatch,
  { node, path }: Deletion,
  journal: string,
): Promise<void> {
  const { fs } = batch.ports;
  const seen = sight(fs, path, node);
  const out = joinPath(QUARANTINE_DIRECTORY, journal);
  if (seen === undefined || fs.moveNoReplace(path, out) !== "moved") {
    batch.rescan.add(path);
    return;
  }
  batch.touch(path);
  batch.touch(out);
  if (!(await isUntouched(batch, out, seen))) {
    await putBack(batch, out, journal, { node, path });
    return;
  }
  setDisplacedAside(batch, out, journal, { node, directory: parentPath(path) });
  batch.overlay.remove(node.id);
  batch.done("delete", path);
}

function deleteDirectory(
  batch: ApplyBatch,
  { step, node, path }: Deletion,
  ignores: (path: string, isDirectory: boolean) => boolean,
): void {
  const { fs } = batch.ports;
  const below = nodesBelow(batch, node.id);
  // An entry in it could not be taken out, which was reported. The directory waits with it.
  if (below.some((id) => batch.hasFailed(id))) return;
  if (
    (below.length > 0 && !isOutOfSight(batch, path, below)) ||
    fs.stat(path)?.identity !== node.identity
  ) {
    batch.rescan.add(path);
    return;
  }
  const removed = fs.removeDirectory(path);
  if (removed === "not_empty") {
    const holdsMore = holdsSyncable(fs, batch, { step, node, path }, ignores);
    if (node.parent === PARKING_ID) unpark(batch, node, step.expected);
    else if (holdsMore) batch.rescan.add(path);
    if (holdsMore) return;
    batch.putLeftover(node.identity, true);
  } else if (removed === "absent") {
    batch.rescan.add(path);
    return;
  }
  batch.touch(path);
  for (const id of [...below, node.id]) batch.overlay.remove(id);
  batch.done("delete", path);
}

function nodesBelow(batch: ApplyBatch, id: NodeId): readonly NodeId[] {
  const below = batch.overlay.children(id).map((child) => child.id);
  for (const next of below) {
    for (const child of batch.overlay.children(next)) below.push(child.id);
  }
  return below;
}

/**
 * A child that the tree still has may have been moved elsewhere by its user, so the scan must find
 * it first. But no scan looks into the parking. A child that everybody deleted may go from there
 * with its directory if nothing of it stands in it.
 */
function isOutOfSight(batch: ApplyBatch, path: string, below: readonly NodeId[]): boolean {
  const { remote } = batch.ports.store;
  return (
    path.startsWith(`${PARKING_DIRECTORY}/`) && below.every((id) => remote.get(id) === undefined)
  );
}

/**
 * True if anything is left in the directory that is synced, because this plan may not take that
 * away.
 */
function holdsSyncable(
  fs: FileSystem,
  batch: ApplyBatch,
  { step, node, path }: Deletion,
  ignores: (path: string, isDirectory: boolean) => boolean,
): boolean {
  // Ignore rules apply to the path that the user knows.
  const isParked = node.parent === PARKING_ID;
  const shown = isParked ? (batch.pathOfPlace(step.expected) ?? step.expected.name) : path;
  for (const { name, stat } of fs.list(path)?.entries ?? []) {
    const isDirectory = stat.kind === "directory";
    if (stat.kind === "other" || !stat.sameDevice || checkName(name) !== undefined) continue;
    if (ignores(joinPath(shown, name), isDirectory)) continue;
    if (isDirectory && isLeftover(batch, stat)) continue;
    return true;
  }
  return false;
}

function isLeftover(batch: ApplyBatch, { identity }: Stat): boolean {
  return batch.leftoverNow(identity) ?? batch.ports.store.isLeftover(identity);
}
