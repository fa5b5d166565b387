/**
 * Directories that belong to synced itself: another synced folder, a server's data. Rules: A6.
 */

import { joinPath } from "../../core/path.ts";
import { MARKER_FILE } from "../../core/state-directory.ts";
import { type FileSystem, FileSystemError } from "../../ports/filesystem.ts";

/** A file in a server's data directory. */
export const DATA_FORMAT_FILE = "format";
const DATA_FORMAT = /^synced data [1-9][0-9]{0,5}\n$/;
const DATA_FORMAT_BYTES_MAX = 64;
/** Also in it, because a file of another program may have the same text as the first. */
const DATABASE_FILE = "metadata.db";

/** @returns undefined for any other directory, and if nobody can say. */
export function reasonToLeaveAlone(fs: FileSystem, directory: string): string | undefined {
  try {
    if (fs.stat(joinPath(directory, MARKER_FILE))?.kind === "file") {
      return (
        "it is a synced folder of its own; to make it a part of this one, stop its client and " +
        "remove the .synced directory in it"
      );
    }
    if (!holdsServerData(fs, directory)) return undefined;
    return "it is the data directory of a synced server; move it out of this folder";
  } catch (error) {
    if (error instanceof FileSystemError) return undefined;
    throw error;
  }
}

function holdsServerData(fs: FileSystem, directory: string): boolean {
  if (fs.stat(joinPath(directory, DATABASE_FILE))?.kind !== "file") return false;
  const reader = fs.open(joinPath(directory, DATA_FORMAT_FILE));
  if (reader === undefined) return false;
  try {
    const buffer = new Uint8Array(DATA_FORMAT_BYTES_MAX);
    const text = new TextDecoder().decode(buffer.subarray(0, reader.read(buffer, 0)));
    return DATA_FORMAT.test(text);
  } finally {
    reader.close();
  }
}
