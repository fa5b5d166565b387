/**
 * DiskCalls: the kernel calls that a disk file system needs, relative to open directories. Rules:
 * D1, I22.
 *
 * There are two implementations: `native-calls.ts` (Linux through FFI) and `node-calls.ts`
 * (everything else). Names are single components that the caller has checked. A failed call throws
 * `{ code: "ENOENT" }` and the like, either an error of `node:fs` or a `CallError`.
 */
import { constants } from "node:os";
import type { Listing, Stat } from "../../ports/filesystem.ts";
import { FileSystemError, type FileSystemErrorCode } from "../../ports/filesystem.ts";

/** An open directory, or a path that stands for one. Only the calls that made it can use it. */
export type Directory = number | string;

export type RenameMode = "replace" | "no_replace" | "exchange";

export interface OpenFile {
  stat(): Stat;
  /** The nine permission bits. */
  permissions(): number;
  setPermissions(mode: number): void;
  setModified(mtimeNs: bigint): void;
  /** @returns the number of bytes read, 0 at the end. */
  read(buffer: Uint8Array, position: number): number;
  /**
   * Writes behind the bytes that were written before. @returns the number of bytes written, at
   * least 1.
   */
  write(bytes: Uint8Array): number;
  sync(): Promise<void>;
  close(): void;
}

/** A directory's owner and permissions. */
export interface Access {
  /** The permission bits, including set-id and sticky ones. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
}

export interface DiskCalls {
  /**
   * True if `rename` accepts other modes than "replace". The file system may still not support
   * them.
   */
  readonly hasRenameModes: boolean;
  /** The smallest step of `setModified`, in nanoseconds. */
  readonly mtimeGranularityNs: number;
  /** The root that is at its path now, which may be another one than the open one. */
  statRoot(): Stat;
  roomBytes(): number | undefined;
  /**
   * Walks from the root and follows no symlink, to reach an entry or to list. The caller closes it.
   */
  openDirectory(path: string, purpose: "pass" | "list"): Directory;
  closeDirectory(directory: Directory): void;
  /** The directory must have been opened to list. */
  syncDirectory(directory: Directory): Promise<void>;
  /**
   * Makes all that was written below the root durable, in one call.
   * @returns false if it cannot, or does not say whether it did. Then each entry has to be synced.
   */
  syncAll(): Promise<boolean>;
  stat(directory: Directory, name: string): Stat;
  /** The directory must have been opened to list. An entry that vanishes meanwhile is left out. */
  list(directory: Directory): Listing;
  readLink(directory: Directory, name: string): Uint8Array;
  /**
   * `create` fails if the name exists. Neither mode follows a symlink or waits for a FIFO's writer.
   */
  openFile(directory: Directory, name: string, mode: "read" | "create"): OpenFile;
  makeDirectory(directory: Directory, name: string): void;
  /** The directory must have been opened to list. */
  accessOf(directory: Directory): Access;
  /** The directory must have been opened to list. Sets another owner only if this user may. */
  setAccess(directory: Directory, access: Access): void;
  makeSymlink(directory: Directory, name: string, target: string): void;
  rename(from: Directory, source: string, to: Directory, target: string, mode: RenameMode): void;
  link(from: Directory, source: string, to: Directory, target: string): void;
  removeFile(directory: Directory, name: string): void;
  removeDirectory(directory: Directory, name: string): void;
  close(): void;
}

const NAMES = new Map(Object.entries(constants.errno).map(([name, number]) => [number, name]));
/** Some error names share a number; of those the more usual one wins. */
const USUAL_NAMES: Readonly<Record<string, string>> = {
  EWOULDBLOCK: "EAGAIN",
  ENOTSUP: "EOPNOTSUPP",
};

/** A failed native call, in the form of a `node:fs` error. */
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

/** @returns the error number's name, or "" if the error is no failed call. */
export function errorCode(error: unknown): string {
  if (typeof error !== "object" || error === null || !("code" in error)) return "";
  return typeof error.code === "string" ? error.code : "";
}

/** True of a rename with a flag that the file system does not have. */
export function isUnsupported(error: unknown): boolean {
  return ["EINVAL", "ENOSYS", "EOPNOTSUPP"].includes(errorCode(error));
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

/**
 * @returns the port's error for a failed call. Any other error is a bug and is returned unchanged.
 */
export function fileSystemError(action: string, path: string, error: unknown): unknown {
  const code = errorCode(error);
  if (error instanceof FileSystemError || code === "") return error;
  const message = `Cannot ${action} ${JSON.stringify(path)}: ${code}`;
  return new FileSystemError(CODES[code] ?? "io", path, message, error);
}

/**
 * The facts that both implementations have of an entry, to make a Stat of. Times are in seconds and
 * nanoseconds.
 */
export interface RawStat {
  readonly mode: number;
  readonly inode: number | bigint;
  readonly device: number | string;
  /** 0 if the file system keeps none. */
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
    // If the birth time tells files apart, the device number is left out, because it may change at
    // a reboot.
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

/** Seconds and nanoseconds as one decimal number; a string, because the sum is beyond 2^53. */
function nanoseconds(seconds: number | bigint, ns: number): string {
  if (seconds > 0) return `${seconds}${String(ns).padStart(9, "0")}`;
  if (seconds === 0) return String(ns);
  return String(BigInt(seconds) * 1_000_000_000n + BigInt(ns));
}
