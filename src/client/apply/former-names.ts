/**
 * Former names: remember where the entries below staging, quarantine and parking stood. They are
 * kept beside the state database, so that a user's bytes have a name to return to if the database
 * is lost.
 * Rules: D16, S1.
 *
 * `.synced/names/ID` is a file that holds the path. If it cannot be made, for lack of room for
 * example, the name is not known, and all else goes on.
 */

import { SyncedError } from "../../core/error.ts";
import { PATH_BYTES_MAX } from "../../core/limits.ts";
import { joinPath, parsePath } from "../../core/path.ts";
import { NAMES_DIRECTORY, PARKING_DIRECTORY } from "../../core/state-directory.ts";
import { type FileSystem, FileSystemError } from "../../ports/filesystem.ts";
import type { StateStore } from "../../ports/state-store.ts";
import { readSmallFile } from "../folder/small-file.ts";

/** Call it before the entry leaves its place. */
export function noteName(fs: FileSystem, id: string, path: string): void {
  // An entry that is parked again has stood elsewhere before.
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

/** The entry is back where its user sees it, or gone. */
export function forgetName(fs: FileSystem, id: string): void {
  unlessImpossible(() => fs.removeFile(joinPath(NAMES_DIRECTORY, id)));
}

/** @returns the path where the entry stood last; undefined if that is not known. */
export function formerPath(fs: FileSystem, id: string): string | undefined {
  const file = joinPath(NAMES_DIRECTORY, id);
  const path = unlessImpossible(() => readSmallFile(fs, file, PATH_BYTES_MAX));
  try {
    return path === undefined ? undefined : parsePath(path).join("/");
  } catch (error) {
    // This program did not write it.
    if (error instanceof SyncedError) return undefined;
    throw error;
  }
}

/** Forgets the names of entries that are not below the state directory any more. */
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
