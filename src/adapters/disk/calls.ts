/**
 * DiskCalls: what a disk file system needs of a kernel, relative to open directories. Rules: D1,
 * I22.
 *
 * Two implementations: `native-calls.ts` (Linux through FFI) and `node-calls.ts` (everything else).
 * Names are single components that the caller has checked. Failures are thrown as
 * `{ code: "ENOENT" }` and the like, whether from `node:fs` or as a `CallError`.
 */
import { constants } from "node:os";
import type { Listing, Stat } from "../../ports/filesystem.ts";
import { FileSystemError, type FileSystemErrorCode } from "../../ports/filesystem.ts";

/** An open directory, or a path that stands for one. Belongs to the calls that made it. */
export type Directory = number | string;

export type RenameMode = "replace" | "no_replace" | "exchange";

export interface OpenFile {
  stat(): Stat;
  /** The nine permission bits. */
  permissions(): number;
  setPermissions(mode: number): void;
  setModified(mtimeNs: bigint): void;
  /** @returns bytes read, 0 at the end. */
  read(buffer: Uint8Array, position: number): number;
  /** @returns bytes written at the end of what was written before, at least 1. */
  write(bytes: Uint8Array): number;
  sync(): Promise<void>;
  close(): void;
}

/** Who may do what with a directory. */
export interface Access {
  /** The permission bits, set-id and sticky ones too. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
}

export interface DiskCalls {
  /**
   * `rename` may be asked for more than "replace"; whether the file system has it is another
   * matter.
   */
  readonly hasRenameModes: boolean;
  /** The finest difference that `setModified` can make. */
  readonly mtimeGranularityNs: number;
  /** The root as it is at its path now, which may be another one than the open one. */
  statRoot(): Stat;
  /**
   * Walks from the root without following a symlink, to reach an entry or to list. To be closed.
   */
  openDirectory(path: string, purpose: "pass" | "list"): Directory;
  closeDirectory(directory: Directory): void;
  /** The directory must have been opened to list. */
  syncDirectory(directory: Directory): Promise<void>;
  stat(directory: Directory, name: string): Stat;
  /** The directory must have been opened to list. Entries that vanish meanwhile are left out. */
  list(directory: Directory): Listing;
  readLink(directory: Directory, name: string): Uint8Array;
  /**
   * `create` fails where the name exists. Neither follows a symlink nor waits for a FIFO's writer.
   */
  openFile(directory: Directory, name: string, mode: "read" | "create"): OpenFile;
  makeDirectory(directory: Directory, name: string): void;
  /** The directory must have been opened to list. */
  accessOf(directory: Directory): Access;
  /** The directory must have been opened to list. Another owner is set where this user may. */
  setAccess(directory: Directory, access: Access): void;
  makeSymlink(directory: Directory, name: string, target: string): void;
  rename(from: Directory, source: string, to: Directory, target: string, mode: RenameMode): void;
  link(from: Directory, source: string, to: Directory, target: string): void;
  removeFile(directory: Directory, name: string): void;
  removeDirectory(directory: Directory, name: string): void;
  close(): void;
}

const NAMES = new Map(Object.entries(constants.errno).map(([name, number]) => [number, name]));
/** Names that share a number with another name; the more usual one wins. */
const USUAL_NAMES: Readonly<Record<string, string>> = {
  EWOULDBLOCK: "EAGAIN",
  ENOTSUP: "EOPNOTSUPP",
};

/** A failed native call, shaped like a `node:fs` error. */
export class CallError extends Error {
  override readonly name = "CallError";
  readonly code: string;

  /** @param result the negated error number */
  constructor(call: string, result: number) {
    const known = NAMES.get(-result) ?? `E${-result}`;
    const code = USUAL_NAMES[known] ?? known;
    super(`${code} from ${call}`);
    this.code = code;
  }
}

/** @returns the error number's name, or "" for what is not a failed call. */
export function errorCode(error: unknown): string {
  if (typeof error !== "object" || error === null || !("code" in error)) return "";
  return typeof error.code === "string" ? error.code : "";
}

const CODES: Readonly<Record<string, FileSystemErrorCode>> = {
  EACCES: "denied",
  EPERM: "denied",
  EROFS: "read_only",
  ENOSPC: "full",
  EDQUOT: "full",
  EFBIG: "full",
  ENAMETOOLONG: "name",
  EILSEQ: "name",
  EINVAL: "name",
  EMFILE: "exhausted",
  ENFILE: "exhausted",
  ENOMEM: "exhausted",
  ELOOP: "not_directory",
  ENOTDIR: "not_directory",
  EXDEV: "other_device",
};

/** @returns the port's error for a failed call; anything else is a bug and comes back as it is. */
export function fileSystemError(action: string, path: string, error: unknown): unknown {
  const code = errorCode(error);
  if (error instanceof FileSystemError || code === "") return error;
  const message = `Cannot ${action} ${JSON.stringify(path)}: ${code}`;
  return new FileSystemError(CODES[code] ?? "io", path, message, error);
}

/**
 * What both implementations know of an entry, to be made a Stat. Times are seconds and nanoseconds.
 */
export interface RawStat {
  readonly mode: number;
  readonly inode: number | bigint;
  readonly device: number | string;
  /** 0 where the file system keeps none. */
  readonly birthSeconds: number;
  readonly birthNs: number;
  readonly size: number;
  readonly mtimeSeconds: number | bigint;
  readonly mtimeNs: number;
  readonly ctimeSeconds: number;
  readonly ctimeNs: number;
  readonly links: number;
  readonly sameDevice: boolean;
}

const KIND_MASK = 0o170000;
const KIND_FILE = 0o100000;
const KIND_DIRECTORY = 0o040000;
const KIND_SYMLINK = 0o120000;
const OWNER_EXECUTES = 0o100;

export function toStat(raw: RawStat): Stat {
  const kindBits = raw.mode & KIND_MASK;
  const mtimeNs = nanoseconds(raw.mtimeSeconds, raw.mtimeNs);
  return {
    kind: kindOf(kindBits),
    // The device number is left out where the birth time tells files apart: it may change at a
    // reboot.
    identity:
      raw.birthSeconds === 0
        ? `${raw.inode}@${raw.device}`
        : `${raw.inode}.${raw.birthSeconds}.${raw.birthNs}`,
    stamp: `${raw.mode}.${raw.size}.${mtimeNs}.${raw.ctimeSeconds}.${raw.ctimeNs}`,
    size: raw.size,
    mtimeNs,
    changedMs: Math.max(
      Number(raw.mtimeSeconds) * 1000 + raw.mtimeNs / 1e6,
      raw.ctimeSeconds * 1000 + raw.ctimeNs / 1e6,
    ),
    executable: kindBits === KIND_FILE && (raw.mode & OWNER_EXECUTES) !== 0,
    sameDevice: raw.sameDevice,
    links: raw.links,
  };
}

export function isDirectoryMode(mode: number): boolean {
  return (mode & KIND_MASK) === KIND_DIRECTORY;
}

function kindOf(kindBits: number): Stat["kind"] {
  if (kindBits === KIND_FILE) return "file";
  if (kindBits === KIND_DIRECTORY) return "directory";
  if (kindBits === KIND_SYMLINK) return "symlink";
  return "other";
}

/** Seconds and nanoseconds as one decimal number; strings, since the sum is beyond 2^53. */
function nanoseconds(seconds: number | bigint, ns: number): string {
  if (seconds > 0) return `${seconds}${String(ns).padStart(9, "0")}`;
  if (seconds === 0) return String(ns);
  return String(BigInt(seconds) * 1_000_000_000n + BigInt(ns));
}
