/**
 * Unpark: brings nodes out of `.synced/parking`, where no scan looks, back into sight. It only
 * moves. If a place is taken by now, the node gets a conflict name. Rules: D13, I3, I12.
 */

import { conflictName } from "../../core/conflict.ts";
import { PARKING_ID, ROOT_ID } from "../../core/identifier.ts";
import { type LocalNode, type Place, samePlace } from "../../core/node.ts";
import { joinPath } from "../../core/path.ts";
import { PARKING_DIRECTORY } from "../../core/state-directory.ts";
import { FileSystemError } from "../../ports/filesystem.ts";
import type { ApplyBatch } from "./batch.ts";
import { moveToFreeName } from "./conflict-copy.ts";

/**
 * Brings out everything that is parked. A node that cannot be moved now stays for the next time.
 */
export function unparkAll(batch: ApplyBatch): void {
  for (const node of batch.overlay.children(PARKING_ID)) {
    try {
      unpark(batch, node, batch.ports.store.base.get(node.id));
    } catch (error) {
      if (!(error instanceof FileSystemError)) throw error;
    }
  }
}

/**
 * Brings one parked node out: to its former place if that is free, else beside it, else to the
 * root.
 *
 * @param former where it stood; undefined if that is not known.
 */
export function unpark(batch: ApplyBatch, node: LocalNode, former: Place | undefined): void {
  const from = joinPath(PARKING_DIRECTORY, node.id);
  const directory = former === undefined ? undefined : batch.path(former.parent);
  const isKnown = directory !== undefined && !isAtOrBelow(directory, from);
  const parent = isKnown && former !== undefined ? former.parent : ROOT_ID;
  const name = former?.name ?? "recovered";
  const source = { name, device: batch.deviceName, mtimeNs: undefined, hash6Source: node.id };
  const named = moveToFreeName(batch, {
    from,
    directory: isKnown ? directory : "",
    parent,
    nameOf: (attempt) => (attempt === 0 ? name : conflictName({ ...source, attempt: attempt - 1 })),
    isFree: (place) => {
      const occupant = batch.overlay.child(place.parent, place.name);
      return occupant === undefined || occupant.id === node.id;
    },
  });
  if (named === undefined) {
    // The parking has no such entry. It gets a name that nothing on the disk has, so the scan finds
    // it elsewhere or not at all.
    batch.overlay.put({ ...node, parent: ROOT_ID, name: node.id });
    batch.rescan.add(node.id);
    return;
  }
  batch.touch(from);
  batch.touch(named.path);
  const out = { ...node, parent: named.parent ?? ROOT_ID, name: named.name };
  // Back where it is recorded, its user may have put it there.
  if (samePlace(out, node)) batch.overlay.put(out);
  else batch.putMakeshift(out);
  for (const path of [...batch.rescan]) {
    if (isAtOrBelow(path, from)) batch.rescan.add(named.path + path.slice(from.length));
  }
  batch.rescan.add(named.path);
}

function isAtOrBelow(path: string, above: string): boolean {
  return path === above || path.startsWith(`${above}/`);
}
