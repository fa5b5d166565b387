/**
 * Names, paths and symlink targets: checks which are legal, joins paths and takes them apart.
 * Rules: N3, N4, N5, N8. Bytes are kept as they are. Nothing here normalises a stored name.
 */

import { type ErrorCode, SyncedError } from "./error.ts";
import {
  NAME_BYTES_MAX,
  PATH_BYTES_MAX,
  PATH_DEPTH_MAX,
  SYMLINK_TARGET_BYTES_MAX,
} from "./limits.ts";
import { STATE_DIRECTORY } from "./state-directory.ts";

export type NameRefusal = Extract<ErrorCode, "invalid_path" | "path_too_long" | "reserved_name">;

/** The name of the state directory. It and its look-alikes are reserved at every depth. */
export const RESERVED_NAME = STATE_DIRECTORY;

const SLASH = 0x2f;
const DOT = 0x2e;
const TILDE = 0x7e;

/**
 * Finds the reason why a name is not legal.
 *
 * @returns undefined for a legal name, else `invalid_path`, `path_too_long` or `reserved_name`.
 */
export function checkName(name: string): NameRefusal | undefined {
  if (isPlainName(name)) return undefined;
  if (name === "" || name === "." || name === ".." || name.includes("/") || !isLegalText(name)) {
    return "invalid_path";
  }
  if (utf8LengthBytes(name) > NAME_BYTES_MAX) return "path_too_long";
  return isReservedName(name) ? "reserved_name" : undefined;
}

/**
 * @returns the name, unchanged.
 * @throws {SyncedError} `invalid_path`, `path_too_long`, `reserved_name`
 */
export function parseName(name: string): string {
  const refusal = checkName(name);
  if (refusal !== undefined) throw refused(refusal, "name", name);
  return name;
}

/**
 * @returns the names along a relative path, at least one.
 * @throws {SyncedError} `invalid_path` (also for "", leading, trailing and double slashes),
 * `path_too_long`, `reserved_name`
 */
export function parsePath(path: string): string[] {
  // Checks bounds before splitting, because a body may hold megabytes of slashes.
  if (path.length > PATH_BYTES_MAX || utf8LengthBytes(path) > PATH_BYTES_MAX) {
    throw refused("path_too_long", "path", path);
  }
  const names = path.split("/");
  for (const name of names) {
    const refusal = checkName(name);
    if (refusal !== undefined) throw refused(refusal, "path", path);
  }
  if (names.length > PATH_DEPTH_MAX) throw refused("path_too_long", "path", path);
  return names;
}

/** @param parent "" for the root. */
export function joinPath(parent: string, name: string): string {
  return parent === "" ? name : `${parent}/${name}`;
}

/** @returns the path of the directory that holds the entry, "" for the root. */
export function parentPath(path: string): string {
  const slash = path.lastIndexOf("/");
  return slash === -1 ? "" : path.slice(0, slash);
}

/** @returns the last name of the path. */
export function baseName(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

/**
 * @returns the target, unchanged. It may be absolute or dangling or lead anywhere, because nobody
 * follows it.
 * @throws {SyncedError} `invalid_path`, `path_too_long`
 */
export function parseSymlinkTarget(target: string): string {
  if (target === "" || target.includes("\0") || !target.isWellFormed()) {
    throw refused("invalid_path", "symlink target", target);
  }
  if (utf8LengthBytes(target) > SYMLINK_TARGET_BYTES_MAX) {
    throw refused("path_too_long", "symlink target", target);
  }
  return target;
}

/** True if the path is the directory's or leads below it; everything is below "". */
export function isWithin(path: string | undefined, directory: string): boolean {
  if (path === undefined) return false;
  return directory === "" || path === directory || path.startsWith(`${directory}/`);
}

/** Compares in the order of the names' bytes, as SQLite does: negative if `a` comes first. */
export function compareNames(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let index = 0; index < length; index++) {
    const one = a.charCodeAt(index);
    const other = b.charCodeAt(index);
    if (one !== other) return byteRank(one) - byteRank(other);
  }
  return a.length - b.length;
}

/** In UTF-8 the characters beyond 16 bits, which UTF-16 writes with surrogates, come last. */
function byteRank(unit: number): number {
  return unit >= 0xd800 && unit <= 0xdfff ? unit + 0x10000 : unit;
}

/** @returns the text's length in UTF-8 bytes. A lone surrogate counts 3, as U+FFFD does. */
export function utf8LengthBytes(text: string): number {
  let lengthBytes = text.length;
  for (let index = 0; index < text.length; index++) {
    const unit = text.charCodeAt(index);
    if (unit < 0x80) continue;
    // A surrogate pair is two units and four bytes, so each half adds one byte to the count of
    // units.
    lengthBytes += unit < 0x800 || isPairHalf(text, index, unit) ? 1 : 2;
  }
  return lengthBytes;
}

function isPairHalf(text: string, index: number, unit: number): boolean {
  if (unit >= 0xd800 && unit < 0xdc00) return isBetween(text.charCodeAt(index + 1), 0xdc00, 0xe000);
  if (unit >= 0xdc00 && unit < 0xe000) return isBetween(text.charCodeAt(index - 1), 0xd800, 0xdc00);
  return false;
}

function isBetween(unit: number, from: number, to: number): boolean {
  return unit >= from && unit < to;
}

/**
 * True for most names: printable ASCII, in bounds, without "/" and "~" and not beginning with ".".
 * A scan of a million files checks each name, so these must need no allocation.
 */
function isPlainName(name: string): boolean {
  const length = name.length;
  if (length === 0 || length > NAME_BYTES_MAX || name.charCodeAt(0) === DOT) return false;
  for (let index = 0; index < length; index++) {
    const unit = name.charCodeAt(index);
    if (unit < 0x20 || unit >= TILDE || unit === SLASH) return false;
  }
  return true;
}

/**
 * Well-formed, without NUL, and without U+FFFE, because readers may take that for a byte order
 * mark.
 */
function isLegalText(name: string): boolean {
  return name.isWellFormed() && !name.includes("\0") && !name.includes("\uFFFE");
}

const IGNORABLE = /\p{Default_Ignorable_Code_Point}/gu;
/** NTFS gives `.synced` such a name in 8.3 form; the digit grows with each collision. */
const SHORT_NAME = /^synced~[0-9]$/;

/** Stops an attack: on a folding file system a look-alike opens the state directory itself. */
function isReservedName(name: string): boolean {
  const isAscii = utf8LengthBytes(name) === name.length;
  const folded = isAscii ? name.toLowerCase() : fold(name);
  return folded === RESERVED_NAME || SHORT_NAME.test(folded);
}

/**
 * Folds to upper case, then to lower case, because only that turns the long s and the Kelvin sign
 * into ASCII letters.
 */
function fold(name: string): string {
  const once = name.replace(IGNORABLE, "").normalize("NFKC").toUpperCase().toLowerCase();
  return once.normalize("NFKC").replace(IGNORABLE, "");
}

/**
 * True for names that programs give to files which they soon rename or remove: `.name.x1y2`,
 * `name~`, `name.tmp`, `index.lock`, `tmpabc`, `sedA1b2C3`, `name.txt.A1b2C3`, `1A2B3C4D`. A wrong
 * guess costs only a moment.
 */
export function looksTemporary(name: string): boolean {
  return TEMPORARY.some((pattern) => pattern.test(name));
}

const TEMPORARY = [
  /^\.?[#~]|^\..+[.-]|~$|tmp|\btemp\b/i,
  /[.-](sw\w|part|partial|new|bak|old|lock|download|journal)$/i,
  // From sed -i, spreadsheets and KDE.
  /^sed\w{6}$|^[\da-f]{8}$|\.\w+\.\w{6}$/i,
];

const REFUSALS: Readonly<Record<NameRefusal, string>> = {
  invalid_path: 'it is empty, has an empty, "." or ".." name, or is not well-formed text',
  path_too_long: "it is too long or too deep",
  reserved_name: `"${RESERVED_NAME}" and names that look like it are reserved for synced itself`,
};

function refused(code: NameRefusal, what: string, value: string): SyncedError {
  const shown = JSON.stringify(value.length > 120 ? `${value.slice(0, 120)}...` : value);
  return new SyncedError(code, `Cannot use ${shown} as a ${what}: ${REFUSALS[code]}`);
}
