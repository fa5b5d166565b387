/**
 * A directory that rename(2) refuses with EXDEV although it stays on its file system: on an overlay
 * one of the lower layer, elsewhere one of another project quota. It is made anew in the parking,
 * its entries are moved there, the old one is removed, and the new one gets the place, as `mv`
 * would do it. Rules: D12, D7, I3. Copies and unlinks nothing; all is put back where a part of it
 * cannot be moved.
 */

import { conflictName } from "../../core/conflict.ts";
import { type NodeId, parseId, ROOT_ID } from "../../core/identifier.ts";
import { baseName, joinPath, parentPath } from "../../core/path.ts";
import { PARKING_DIRECTORY } from "../../core/state-directory.ts";
import { type FileSystem, FileSystemError } from "../../ports/filesystem.ts";
import type { ApplyBatch } from "./batch.ts";
import { moveToFreeName } from "./conflict-copy.ts";
import { noteName } from "./former-names.ts";

/** Its user goes on making entries in the old directory; after so many looks they stay in it. */
const LOOKS_MAX = 5;

/**
 * `moveNoReplace` for a node's entry, of any kind.
 *
 * @throws {FileSystemError} all is where it was then, or in the parking if not even that could be
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
  // Their entries have to last, like those of the directory above.
  for (const directory of [to, ...made]) batch.touch(joinPath(directory, "."));
  batch.rescan.add(to);
  return "moved";
}

/**
 * Moves the entries of one directory into another one, and removes the first unless its user goes
 * on making new ones in it.
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
    // Where it is there already, from an earlier look, the two are one.
    if (fs.moveNoReplace(from, to) !== "exists") return;
  } catch (error) {
    if (!(error instanceof FileSystemError) || error.code !== "other_device") throw error;
    fs.makeDirectory(to, from);
    onMade(to);
  }
  moveContents(fs, from, to, onMade);
}

/**
 * Brings a directory's parts back to where it was: into what is left of it, or as it is where
 * nothing is. Where its user has put something else there by now, they come into sight in the root.
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
    // It stays in the parking for the next start.
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
