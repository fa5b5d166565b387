/**
 * A rename on the disk. It replaces nothing: if the tree knows the occupant, the two trade places;
 * if not, the step stops. Rules: D5, I3, I13.
 */

import { type NodeId, PARKING_ID } from "../../core/identifier.ts";
import type { LocalNode, RemoteNode } from "../../core/node.ts";
import { joinPath } from "../../core/path.ts";
import { PARKING_DIRECTORY } from "../../core/state-directory.ts";
import type { Transition } from "../../core/transition.ts";
import { pathOf } from "../../core/tree.ts";
import { type FileSystem, FileSystemError, type Stat } from "../../ports/filesystem.ts";
import { RACY_MARK } from "../scan/content.ts";
import { type ApplyBatch, isSameSight, looksAlike } from "./batch.ts";
import { moveEntry } from "./move-by-parts.ts";
import { isGhostly, isParentThere, reportOccupied } from "./step.ts";

type MoveStep = Extract<Transition, { kind: "move" }>;

/** A node at its place, as it looked just now. */
interface Located {
  readonly node: LocalNode;
  readonly path: string;
  readonly stat: Stat;
}

/** @param ignores tells which paths are not synced on this device. */
export function applyMove(
  batch: ApplyBatch,
  step: MoveStep,
  ignores: (path: string, isDirectory: boolean) => boolean,
): void {
  const moving = locate(batch, batch.overlay.get(step.id));
  const to = batch.pathOfPlace(step);
  if (moving !== undefined && to === undefined) return moveOutOfSync(batch, step, moving, ignores);
  if (moving === undefined || to === undefined || moving.path === to) return;
  if (isGhostly(batch, step, to) || !isParentThere(batch, step)) return;
  const moved = moveEntry(batch, step.id, moving.path, to);
  if (moved === "absent") {
    batch.rescan.add(moving.path).add(to);
    return;
  }
  if (moved === "exists" && !tradePlaces(batch, step, moving, to)) return;
  if (moved === "moved") batch.dropGhost(step, step.id);
  batch.touch(moving.path);
  batch.touch(to);
  const { parent, name, conflictOf } = step;
  const origin = conflictOf === undefined ? {} : { conflictOf };
  putMoved(batch, moving, { ...moving.node, parent, name, ...origin }, to);
  if (parent === PARKING_ID) return;
  batch.done("move", to, moving.path);
  if (conflictOf === undefined) return;
  const of = pathOf(batch.ports.store.remote, conflictOf.node) ?? moving.path;
  batch.putConflict({ node: step.id, path: to, of });
}

/**
 * The directory that it moves into is ignored here, so nobody made it. It is made now, and what
 * goes there is no longer synced, with all that it holds (R15). If something else has that place,
 * it stays where it is.
 */
function moveOutOfSync(
  batch: ApplyBatch,
  step: MoveStep,
  { node, path }: Located,
  ignores: (path: string, isDirectory: boolean) => boolean,
): void {
  const { fs, store } = batch.ports;
  const names = [step.name];
  let at: NodeId | undefined = step.parent;
  while (at !== undefined && batch.path(at) === undefined) {
    const directory: RemoteNode | undefined = store.remote.get(at);
    if (directory !== undefined) names.unshift(directory.name);
    at = directory?.parent;
  }
  const root = at === undefined ? undefined : batch.path(at);
  const to = root === undefined ? undefined : joinPath(root, names.join("/"));
  if (to === undefined || !ignores(to, node.content.kind === "directory")) return;
  for (let below = names.length - 1; below > 0; below -= 1) {
    const directory = to.split("/").slice(0, -below).join("/");
    if (fs.makeDirectory(directory) === "made") batch.touch(directory);
  }
  if (moveEntry(batch, step.id, path, to) !== "moved") {
    const message = `Cannot put "${to}" there: this device ignores what stands there; move that away`;
    batch.fail({ id: step.id, path: to, code: "name_collision", message });
    return;
  }
  batch.touch(path);
  batch.touch(to);
  batch.drop(step.id);
  batch.done("move", to, path);
}

/** @returns undefined, after noting a path to scan, if the node is not where the tree says. */
function locate(batch: ApplyBatch, node: LocalNode | undefined): Located | undefined {
  const path = node === undefined ? undefined : batch.path(node.id);
  if (node === undefined || path === undefined) return undefined;
  const stat = batch.ports.fs.stat(path);
  if (stat?.identity === node.identity) return { node, path, stat };
  batch.rescan.add(path);
  return undefined;
}

/**
 * @returns true if the moving node has the place and its occupant stands elsewhere, as the overlay
 * says.
 */
function tradePlaces(batch: ApplyBatch, step: MoveStep, moving: Located, to: string): boolean {
  const { fs } = batch.ports;
  if (fs.stat(to)?.identity === moving.node.identity) return respell(batch, moving, to);
  const known = batch.overlay.child(step.parent, step.name);
  if (known === undefined) return tradeWithTwin(batch, step, moving, to);
  const occupant = locate(batch, known);
  // A node whose step could not be done stays, because its new place would look like a rename by
  // the user.
  if (occupant === undefined || !batch.isComing(occupant.node.id)) {
    batch.rescan.add(to);
    return false;
  }
  const { parent, name } = moving.node;
  const traded = { ...occupant.node, parent, name };
  // An entry in the parking carries its own id as its name, so an occupant may not get another's.
  if (parent === PARKING_ID) return tradeByParking(batch, moving, occupant, to);
  const swapped = exchangeEntries(fs, moving.path, to);
  if (swapped === "unsupported") return tradeByParking(batch, moving, occupant, to);
  if (swapped === "absent") {
    batch.rescan.add(moving.path).add(to);
    return false;
  }
  putMoved(batch, occupant, traded, moving.path);
  return true;
}

/**
 * If one of them is a directory that rename(2) does not move, they are moved one after the other.
 */
function exchangeEntries(fs: FileSystem, a: string, b: string): ReturnType<FileSystem["exchange"]> {
  try {
    return fs.exchange(a, b);
  } catch (error) {
    if (error instanceof FileSystemError && error.code === "other_device") return "unsupported";
    throw error;
  }
}

/** On a folding file system another node has a spelling of the name there (D9). */
function tradeWithTwin(batch: ApplyBatch, step: MoveStep, moving: Located, to: string): boolean {
  const { fs, store } = batch.ports;
  const there = fs.stat(to);
  const known = there === undefined ? undefined : store.localByIdentity(there.identity);
  const twin = known === undefined ? undefined : batch.overlay.get(known.id);
  if (twin === undefined || !batch.isComing(twin.id)) {
    reportOccupied(batch, step.id, to);
    return false;
  }
  // An exchange would leave the twin's spelling there.
  const occupant = locate(batch, twin);
  return occupant !== undefined && tradeByParking(batch, moving, occupant, to);
}

/**
 * A folding file system finds the node itself under its new spelling, so the node gets there
 * through the parking.
 */
function respell(batch: ApplyBatch, moving: Located, to: string): boolean {
  const { fs } = batch.ports;
  const parked = joinPath(PARKING_DIRECTORY, moving.node.id);
  if (moveEntry(batch, moving.node.id, moving.path, parked) !== "moved") return false;
  batch.touch(parked);
  if (fs.moveNoReplace(parked, to) === "moved") return true;
  putParked(batch, moving);
  batch.rescan.add(to);
  return false;
}

/**
 * Without exchange it takes three renames. If one is refused, the occupant stays parked, and the
 * next plan brings it out.
 */
function tradeByParking(
  batch: ApplyBatch,
  moving: Located,
  occupant: Located,
  to: string,
): boolean {
  const { fs } = batch.ports;
  const parked = joinPath(PARKING_DIRECTORY, occupant.node.id);
  if (moveEntry(batch, occupant.node.id, occupant.path, parked) !== "moved") {
    batch.rescan.add(occupant.path);
    return false;
  }
  batch.touch(occupant.path);
  batch.touch(parked);
  const isMoved = moveEntry(batch, moving.node.id, moving.path, to) === "moved";
  const { parent, name } = isMoved ? moving.node : occupant.node;
  const back = isMoved ? moving.path : occupant.path;
  if (!isMoved) batch.rescan.add(moving.path).add(occupant.path);
  if (parent === PARKING_ID) putParked(batch, occupant);
  else if (fs.moveNoReplace(parked, back) === "moved") {
    putMoved(batch, occupant, { ...occupant.node, parent, name }, back);
  } else {
    batch.rescan.add(back);
    putParked(batch, occupant);
  }
  return isMoved;
}

function putParked(batch: ApplyBatch, { node, stat }: Located): void {
  const place = { parent: PARKING_ID, name: node.id };
  const path = joinPath(PARKING_DIRECTORY, node.id);
  putMoved(batch, { node, path, stat }, { ...node, ...place }, path);
}

/** A rename keeps the bytes, but the same tick of the clock may hide a write (A2). */
function putMoved(batch: ApplyBatch, before: Located, node: LocalNode, path: string): void {
  const { stamp } = before.node;
  const wasSeen = stamp === before.stat.stamp || stamp === before.stat.stamp + RACY_MARK;
  const now = batch.look(path);
  if (now === undefined) batch.putUnknown(node, path);
  else if (node.content.kind === "file" && wasSeen && looksAlike(now, before.stat)) {
    batch.putRacy(node, now);
  } else if (node.content.kind !== "file" && isSameSight(now, before.stat)) {
    batch.overlay.put({ ...node, stamp: now.stamp });
  } else batch.putUnknown(node, path);
}
