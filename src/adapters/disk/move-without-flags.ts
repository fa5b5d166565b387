/**
 * A move that replaces nothing, for kernels and file systems without renameat2(RENAME_NOREPLACE).
 * Rules: D5, D6.
 */

import { constants } from "node:os";
import { STATE_PREFIX } from "../../core/state-directory.ts";
import { CallError, type Directory, type DiskCalls, errorCode } from "./calls.ts";

export interface Move {
  /** The path of the source. */
  readonly from: string;
  readonly a: Directory;
  readonly source: string;
  readonly b: Directory;
  readonly target: string;
}

/**
 * A link never replaces anything, so it is tried for a source in `.synced`, which is ours to
 * unlink. For a target in `.synced` a look is enough, because nobody else makes that name.
 *
 * RACE: in the user's tree, an entry that is made at the target between the look and the rename is
 * replaced if it is of the same kind. That takes a new file of exactly that name within some
 * microseconds, on NFS or FAT.
 *
 * @throws the failed call's error, also EEXIST and ENOENT
 */
export function moveWithoutFlags(calls: DiskCalls, move: Move): void {
  const { a, source, b, target } = move;
  if (move.from.startsWith(STATE_PREFIX) && link(calls, move)) {
    calls.removeFile(a, source);
    return;
  }
  calls.stat(a, source);
  if (isThere(calls, b, target)) throw new CallError("rename", -constants.errno.EEXIST);
  calls.rename(a, source, b, target, "replace");
}

/** @returns false if this entry or file system has no hard links. */
function link(calls: DiskCalls, { a, source, b, target }: Move): boolean {
  if (calls.stat(a, source).kind !== "file") return false;
  try {
    calls.link(a, source, b, target);
    return true;
  } catch (error) {
    if (["EPERM", "EOPNOTSUPP", "ENOSYS"].includes(errorCode(error))) return false;
    throw error;
  }
}

function isThere(calls: DiskCalls, parent: Directory, name: string): boolean {
  try {
    calls.stat(parent, name);
    return true;
  } catch (error) {
    if (errorCode(error) === "ENOENT") return false;
    throw error;
  }
}
