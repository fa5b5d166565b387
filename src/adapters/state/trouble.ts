/**
 * Says what a failed SQLite call on the client's state means. After trouble with our own files the
 * client begins again as after a crash. Rules: S1, I41, F21, F27.
 */

import { dirname } from "node:path";
import { SyncedError } from "../../core/error.ts";
import { STATE_DATABASE } from "../../core/state-directory.ts";
import { FileSystemError, type FileSystemErrorCode } from "../../ports/filesystem.ts";
import { isDiskFull } from "../sqlite/full-disk.ts";

const FULL = "database or disk is full";
const IO_ERROR = /disk I\/O error/;
/** Deno reports no SQLite code, so the texts of sqlite3_errstr() decide. */
const TROUBLES: readonly (readonly [RegExp, FileSystemErrorCode, string])[] = [
  [/database or disk is full/, "full", "this device's disk is full; free some space"],
  [/readonly database/, "denied", "it is read-only"],
  [/unable to open database/, "io", "it cannot be opened"],
  [/disk I\/O error|locking protocol/, "io", "the disk gives an error"],
  [/out of memory/, "exhausted", "there is no memory left"],
  [/database is locked|database table is locked/, "io", "another process has it locked"],
  // The next opening checks the pages, and sets a damaged database aside.
  [/malformed|not a database/, "io", "it is damaged"],
];

/**
 * @param path of the database, if it is a file. Its disk is asked about an I/O error, because that
 * is how SQLite calls a full disk, too, on which it cannot extend its shared memory.
 * @returns a FileSystemError if the cause is outside synced. Any other error is returned unchanged.
 */
export function stateTrouble(error: unknown, path?: string): unknown {
  if (!(error instanceof Error) || error instanceof SyncedError) return error;
  if (error instanceof FileSystemError) return error;
  const isFullDisk =
    IO_ERROR.test(error.message) && path !== undefined && isDiskFull(dirname(path));
  const told = isFullDisk ? FULL : error.message;
  for (const [text, code, reason] of TROUBLES) {
    if (!text.test(told)) continue;
    const message = `Cannot use this folder's state "${STATE_DATABASE}": ${reason}`;
    return new FileSystemError(code, STATE_DATABASE, message, error);
  }
  return error;
}
