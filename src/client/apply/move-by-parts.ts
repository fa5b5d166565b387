/**
 * Moves a directory that rename(2) refuses with EXDEV although it stays on its file system. That
 * happens on an overlay with a directory of the lower layer, and elsewhere with one of another
 * project quota. As `mv` does, it makes the directory anew in the parking, moves its entries there,
 * removes the old one, and puts the new one in place. It copies and unlinks nothing, and puts
 * everything back if a part cannot be moved.
 * Rules: D12, D7, I3.
 */

import { conflictName } from "../../core/conflict.ts";
import { type NodeId, parseId, ROOT_ID } from "../../core/identifier.ts";
import { baseName, joinPath, parentPath } from "../../core/path.ts";
import { PARKING_DIRECTORY } from "../../core/state-directory.ts";
import { type FileSystem, FileSystemError } from "../../ports/filesystem.ts";
import type { ApplyBatch } from "./batch.ts";
import { moveToFreeName } from "./conflict-copy.ts";
import { noteName } from "./former-names.ts";

/** A user may go on making entries in the old directory. After so many looks they stay in it. */
const LOOKS_MAX = 5;

/**
 * Does `moveNoReplace` for a node's entry of any kind.
 *
 * @throws {FileSystemError} everything is where it was then, or in the parking if even that failed
 */
export function moveEntry(
  batch: ApplyBatch,
  id: NodeId,
  from: string,
  to: string,
): "moved" | "exists" | "absent" {
  const { fs } = batch.ports;
  const aside = joinPath(PARKING_DIRECTORY, id);
  try {
    if (to === aside) noteName(fs, id, from);
    return fs.moveNoReplace(from, to);
  } catch (error) {
    const isOther = error instanceof FileSystemError && error.code === "other_device";
    if (!isOther || from === aside || fs.stat(from)?.kind !== "directory") throw error;
    if (to !== aside && fs.stat(to) !== undefined) return "exists";
    if (fs.stat(parentPath(to))?.kind !== "directory") return "absent";
    noteName(fs, id, from);
    if (fs.makeDirectory(aside, from) === "exists") throw error;
    return moveParts(batch, { from, aside, to });
  }
}

function moveParts(
  batch: ApplyBatch,
  { from, aside, to }: { readonly from: string; readonly aside: string; readonly to: string },
): "moved" | "exists" {
  const { fs } = batch.ports;
  const made: string[] = [];
  try {
    moveContents(fs, from, aside, (directory) => made.push(to + directory.slice(aside.length)));
    const moved = to === aside ? "moved" : fs.moveNoReplace(aside, to);
    if (moved !== "moved") {
      putPartsBack(batch, aside, from);
      return "exists";
    }
  } catch (error) {
    putPartsBack(batch, aside, from);
    throw error;
  }
  // Their entries must be durable, like those of the directory above.
  for (const directory of [to, ...made]) batch.touch(joinPath(directory, "."));
  batch.rescan.add(to);
  return "moved";
}

/**
 * Moves the entries of one directory into another one, and removes the first, unless its user goes
 * on making new entries in it.
 */
function moveContents(
  fs: FileSystem,
  from: string,
  to: string,
  onMade: (directory: string) => void,
): void {
  for (let look = 0; look < LOOKS_MAX; look += 1) {
    const { entries, illegible } = fs.list(from) ?? { entries: [], illegible: [] };
    if (illegible.length > 0) {
      const message = `Cannot move "${from}": it holds a name that is not UTF-8`;
      throw new FileSystemError("illegible", from, message);
    }
    for (const { name, stat } of entries) {
      const source = joinPath(from, name);
      const target = joinPath(to, name);
      if (stat.kind !== "directory") fs.moveNoReplace(source, target);
      else moveInner(fs, source, target, onMade);
    }
    if (fs.removeDirectory(from) !== "not_empty") return;
  }
}

function moveInner(
  fs: FileSystem,
  from: string,
  to: string,
  onMade: (directory: string) => void,
): void {
  try {
    // If it is there already, from an earlier look, the two become one.
    if (fs.moveNoReplace(from, to) !== "exists") return;
  } catch (error) {
    if (!(error instanceof FileSystemError) || error.code !== "other_device") throw error;
    fs.makeDirectory(to, from);
    onMade(to);
  }
  moveContents(fs, from, to, onMade);
}

/**
 * Brings a directory's parts back to where it was: into the rest of it, or as a whole if nothing is
 * left there. If a user has put something else there by now, they appear in the root.
 */
export function putPartsBack(batch: ApplyBatch, aside: string, to: string): void {
  const { fs } = batch.ports;
  batch.rescan.add(to);
  try {
    if (fs.moveNoReplace(aside, to) === "moved") return;
    moveContents(fs, aside, to, () => {});
  } catch (error) {
    if (!(error instanceof FileSystemError)) throw error;
  }
  try {
    if (fs.removeDirectory(aside) === "not_empty") bringIntoSight(batch, aside, baseName(to));
  } catch (error) {
    // It stays in the parking until the next start.
    if (!(error instanceof FileSystemError)) throw error;
  }
}

function bringIntoSight(batch: ApplyBatch, from: string, name: string): void {
  const source = {
    name,
    device: batch.deviceName,
    mtimeNs: undefined,
    hash6Source: parseId<NodeId>(baseName(from)),
  };
  const named = moveToFreeName(batch, {
    from,
    directory: "",
    parent: ROOT_ID,
    nameOf: (attempt) => (attempt === 0 ? name : conflictName({ ...source, attempt: attempt - 1 })),
    isFree: (place) => batch.overlay.child(place.parent, place.name) === undefined,
  });
  if (named === undefined) return;
  batch.touch(named.path);
  batch.rescan.add(named.path);
}
