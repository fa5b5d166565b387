/**
 * The file `format` of a server's data directory: which version wrote it, and whether its metadata
 * are there too or in PostgreSQL, and its objects there or in a bucket. Rules: I44, P6, P7.
 *
 * A directory without its own metadata has another first word, so that no earlier version takes its
 * objects for garbage.
 */
import {
  closeSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { SyncedError } from "../core/error.ts";
import { parseId, type ServerId } from "../core/identifier.ts";
import { reasonOf } from "./disk/system-error.ts";

export type DataFormat =
  | { readonly kind: "new" }
  | { readonly kind: "whole" }
  | {
      /**
       * Where the objects are; the metadata are in PostgreSQL. "shared" is a bucket, too, which
       * other servers use beside this one.
       */
      readonly kind: "objects" | "bucket" | "shared";
      readonly serverId: ServerId;
      /** False if no database is known yet to be that server's; then there is nothing yet. */
      readonly isBound: boolean;
    };

/** The format that this version reads and writes. */
const FORMAT = 1;
const FORMAT_LINE =
  /^synced (data|objects|bucket|shared) ([1-9][0-9]{0,5})(?: ([0-9a-f]{32})( unbound)?)?\n$/;

/** @throws {SyncedError} `data_newer`, `damage_found`, `data_not_writable` */
export function readFormat(path: string): DataFormat {
  let text: string;
  try {
    text = readFileSync(join(path, "format"), "utf8");
  } catch (error) {
    if (codeOf(error) === "ENOENT") return { kind: "new" };
    throw notWritable(path, error);
  }
  const [, kind, version, id, unbound] = FORMAT_LINE.exec(text) ?? [];
  if (kind === undefined || (kind === "data") !== (id === undefined)) {
    const message = `Cannot use "${path}": its file "format" is not one of synced`;
    throw new SyncedError("damage_found", message);
  }
  if (Number(version) > FORMAT) {
    const claim = `its format ${version} is newer than ${FORMAT}; use a newer version`;
    throw new SyncedError("data_newer", `Cannot use "${path}": ${claim}`);
  }
  if (id === undefined) return { kind: "whole" };
  const place = kind === "bucket" || kind === "shared" ? kind : "objects";
  return { kind: place, serverId: parseId(id), isBound: unbound === undefined };
}

/** Written under the lock and before any database, so that every later file is of this format. */
export function writeFormat(path: string, format: Exclude<DataFormat, { kind: "new" }>): void {
  const temporary = join(path, "format.new");
  try {
    const file = openSync(temporary, "w", 0o600);
    try {
      writeSync(file, `synced ${lineOf(format)}\n`);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(temporary, join(path, "format"));
    syncPath(path);
  } catch (error) {
    throw notWritable(path, error);
  }
}

/** True if a server has its data there, or a part of them. */
export function isDataDirectory(path: string): boolean {
  try {
    return FORMAT_LINE.test(readFileSync(join(path, "format"), "utf8"));
  } catch (error) {
    if (codeOf(error) === undefined) throw error;
    // It is not there, or cannot be read.
    return false;
  }
}

/** True of a server that has its metadata in PostgreSQL. */
export function hasMetadataElsewhere(path: string): boolean {
  const format = readFormat(path);
  return "serverId" in format && format.isBound;
}

/** True of a server that shares metadata and objects with others. */
export function isOneOfSeveral(path: string): boolean {
  return readFormat(path).kind === "shared";
}

/** @throws {SyncedError} `usage` if the metadata are in PostgreSQL; as `readFormat` does */
export function requireOwnMetadata(path: string): void {
  if (!hasMetadataElsewhere(path)) return;
  const claim = "its metadata are in PostgreSQL; only synced serve --metadata-url works on it";
  throw new SyncedError("usage", `Cannot use "${path}" alone: ${claim}${whereMoved(path)}`);
}

const MOVED = "moved";

/** Notes for people where a directory's data went. @param place one line */
export function noteMoved(path: string, place: string): void {
  try {
    writeFileSync(join(path, MOVED), `${place}\n`, { mode: 0o600, flush: true });
  } catch (error) {
    throw notWritable(path, error);
  }
}

export function forgetMoved(path: string): void {
  rmSync(join(path, MOVED), { force: true });
}

function whereMoved(path: string): string {
  try {
    const place = readFileSync(join(path, MOVED), "utf8").trim();
    return `. They were moved to ${place}; synced migrate --back moves them back`;
  } catch (error) {
    if (codeOf(error) === "ENOENT") return "";
    throw notWritable(path, error);
  }
}

/** Makes a file's bytes, or a directory's names, durable. */
export function syncPath(path: string): void {
  const directory = openSync(path, "r");
  try {
    fsyncSync(directory);
  } finally {
    closeSync(directory);
  }
}

/** @returns `storage_full` if the disk takes nothing more, else `data_not_writable` */
export function notWritable(path: string, error: unknown): SyncedError {
  if (isFull(error)) {
    const message = `Cannot use "${path}": its disk is full; free some space`;
    return new SyncedError("storage_full", message, { cause: error });
  }
  const message = `Cannot use "${path}": ${reasonOf(error)}; make it writable, or name another`;
  return new SyncedError("data_not_writable", message, { cause: error });
}

/** Of SQLite the text decides: Deno reports no code. */
function isFull(error: unknown): boolean {
  if (["ENOSPC", "EDQUOT"].includes(codeOf(error) ?? "")) return true;
  return error instanceof Error && /database or disk is full/.test(error.message);
}

function lineOf(format: Exclude<DataFormat, { kind: "new" }>): string {
  if (format.kind === "whole") return `data ${FORMAT}`;
  return `${format.kind} ${FORMAT} ${format.serverId}${format.isBound ? "" : " unbound"}`;
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && "code" in error ? String(error.code) : undefined;
}
