/**
 * Former names: where the entries below staging, quarantine and parking stood, kept beside the
 * state database, so that a user's bytes have a name to be put back under when it is lost.
 * Rules: D16, S1.
 *
 * `.synced/names/ID` is a file that holds the path. Where it cannot be made, for want of room say,
 * a name is not known: that stops nothing.
 */

import { SyncedError } from "../../core/error.ts";
import { PATH_BYTES_MAX } from "../../core/limits.ts";
import { joinPath, parsePath } from "../../core/path.ts";
import { NAMES_DIRECTORY, PARKING_DIRECTORY } from "../../core/state-directory.ts";
import { type FileSystem, FileSystemError } from "../../ports/filesystem.ts";
import type { StateStore } from "../../ports/state-store.ts";
import { readSmallFile } from "../folder/small-file.ts";

/** To be called before the entry leaves its place. */
export function noteName(fs: FileSystem, id: string, path: string): void {
  // What is parked again has stood elsewhere before.
  forgetName(fs, id);
  const isNoted = unlessImpossible(() => {
    const writer = fs.createFile(joinPath(NAMES_DIRECTORY, id));
    try {
      writer.write(new TextEncoder().encode(path));
      return true;
    } finally {
      writer.close();
    }
  });
  // The beginning of a path would be another name.
  if (isNoted !== true) forgetName(fs, id);
}

/** The entry is where its user can see it again, or gone. */
export function forgetName(fs: FileSystem, id: string): void {
  unlessImpossible(() => fs.removeFile(joinPath(NAMES_DIRECTORY, id)));
}

/** @returns the path at which the entry stood last; undefined where that is not known. */
export function formerPath(fs: FileSystem, id: string): string | undefined {
  const file = joinPath(NAMES_DIRECTORY, id);
  const path = unlessImpossible(() => readSmallFile(fs, file, PATH_BYTES_MAX));
  try {
    return path === undefined ? undefined : parsePath(path).join("/");
  } catch (error) {
    // Not of this program's making.
    if (error instanceof SyncedError) return undefined;
    throw error;
  }
}

/** Forgets the names of what is below the state directory no more. */
export function sweepNames(
  fs: FileSystem,
  store: Pick<StateStore, "journal" | "quarantine">,
): void {
  const entries = unlessImpossible(() => fs.list(NAMES_DIRECTORY))?.entries ?? [];
  if (entries.length === 0) return;
  const parked = unlessImpossible(() => fs.list(PARKING_DIRECTORY))?.entries ?? [];
  const kept = new Set(parked.map(({ name }) => name));
  for (const { id } of [...store.journal(), ...store.quarantine()]) kept.add(id);
  for (const { name } of entries) if (!kept.has(name)) forgetName(fs, name);
}

function unlessImpossible<Result>(call: () => Result): Result | undefined {
  try {
    return call();
  } catch (error) {
    if (error instanceof FileSystemError) return undefined;
    throw error;
  }
}
