/**
 * FileSystem: one folder on one disk, as the client sees it. Rules: D1-D20.
 *
 * Paths are relative to the root, "/"-separated, "" is the root itself; they are never interpreted
 * by a shell and may hold any legal name. Every call walks from the root's open descriptor
 * component by component without following a symlink (I22), so nothing outside the root can be
 * reached; the last component is never followed either. Calls are synchronous: a call is one or two
 * system calls, and the caller yields between batches. `sync*` calls are asynchronous since they
 * wait for the disk.
 *
 * Everything throws `FileSystemError` for what is not a listed result. "Absent" is only ever said
 * when the parent was there and had no such entry (I16); a missing parent is "absent" as well, an
 * unreadable one throws.
 */

export type EntryKind = "file" | "directory" | "symlink" | "other";

export interface Stat {
  readonly kind: EntryKind;
  /** Device, inode and birth time, opaque: the same file however it is renamed. */
  readonly identity: string;
  /** kind, size, mtime ns, ctime ns, mode bits, opaque: equal means "not changed, unless racy". */
  readonly stamp: string;
  readonly size: number;
  /** Decimal nanoseconds. */
  readonly mtimeNs: string;
  /** The later of mtime and ctime in milliseconds, for the racy rule. */
  readonly changedMs: number;
  readonly executable: boolean;
  /** False on a mount point: the entry's device is not the root's. */
  readonly sameDevice: boolean;
  /** Hard links; above 1 the same identity may stand at two paths. */
  readonly links: number;
}

export interface DirectoryEntry {
  readonly name: string;
  readonly stat: Stat;
}

/** An entry whose name is not valid UTF-8; listed as a problem, never touched. */
export interface IllegibleEntry {
  readonly nameHex: string;
}

export interface Listing {
  readonly entries: readonly DirectoryEntry[];
  readonly illegible: readonly IllegibleEntry[];
}

export interface FileReader {
  /** Of the open file, not of the path. */
  stat(): Stat;
  /** @returns bytes read, 0 at the end. */
  read(buffer: Uint8Array, position: number): number;
  close(): void;
}

export interface FileWriter {
  /** Appends all of `bytes`. */
  write(bytes: Uint8Array): void;
  setMetadata(metadata: FileMetadata): void;
  stat(): Stat;
  /**
   * Resolves when the file's bytes and metadata are durable. An error here is final for the file
   * (I41).
   */
  sync(): Promise<void>;
  close(): void;
}

export interface FileMetadata {
  readonly executable: boolean;
  readonly mtimeNs: string;
}

export interface Capabilities {
  /** renameat2(RENAME_EXCHANGE) or its like works here. */
  readonly exchange: boolean;
  /** The executable bit is kept. */
  readonly executable: boolean;
  /** An entry is found under other spellings of its name too (case, Unicode form). */
  readonly foldsNames: boolean;
  /** 1 where nanoseconds are kept; compare mtimes at this granularity. */
  readonly mtimeGranularityNs: number;
}

export interface FileSystem {
  readonly capabilities: Capabilities;
  /** How many files may be open at once to be made durable; each waits for the disk. */
  readonly syncsMax: number;

  /** @returns undefined when absent. */
  stat(path: string): Stat | undefined;
  /**
   * @returns undefined when absent or not a directory. Entries in unspecified order; those that
   * vanish in between are left out.
   */
  list(path: string): Listing | undefined;
  /**
   * @returns undefined when absent or not a symlink. @throws FileSystemError `illegible` when the
   * target is not UTF-8.
   */
  readLink(path: string): string | undefined;
  /**
   * Opens a regular file for reading without blocking on FIFOs. @returns undefined when absent or
   * not a regular file.
   */
  open(path: string): FileReader | undefined;

  /** Creates a file exclusively, mode 0600 until `setMetadata`. */
  createFile(path: string): FileWriter;
  /** @param like a directory whose permissions and owner the new one gets, as far as may be. */
  makeDirectory(path: string, like?: string): "made" | "exists";
  makeSymlink(path: string, target: string): "made" | "exists";
  /** Renames unless the target exists. */
  moveNoReplace(from: string, to: string): "moved" | "exists" | "absent";
  /** Atomically swaps two existing entries of any kinds. */
  exchange(a: string, b: string): "exchanged" | "absent" | "unsupported";
  removeDirectory(path: string): "removed" | "not_empty" | "absent";
  /** Unlinks a file or symlink. Only for paths below `.synced/`. */
  removeFile(path: string): "removed" | "absent";
  /**
   * Changes metadata of the regular file at `path`, only while its identity and stamp are still
   * these.
   * @returns the new stat, or "changed" when the file was not the expected one (nothing is done
   * then).
   */
  setMetadata(
    path: string,
    expected: { identity: string; stamp: string },
    metadata: FileMetadata,
  ): Stat | "changed";

  /**
   * What this disk makes of an mtime: some keep steps of two seconds, some nothing after 2038.
   * Found out below staging, where it is not known.
   *
   * @returns the time itself where that cannot be found out.
   */
  heldMtime(mtimeNs: string): string;

  /**
   * Gives the staged file the permission bits of the one that it is about to replace, but for the
   * executable ones: a private file stays private. Nothing is done where `from` cannot be opened.
   *
   * @returns what the staged file is now; undefined when it is absent.
   */
  takePermissions(path: string, from: string): Stat | undefined;

  /**
   * Resolves when the entries of these directories are durable. What is no directory, or not
   * reached through directories alone, is skipped like an absent one.
   */
  syncDirectories(paths: Iterable<string>): Promise<void>;

  /**
   * Resolves when these files (bytes and metadata) and directories (entries) are durable, whoever
   * wrote them. What is absent or of another kind is skipped.
   *
   * @returns what could not be made durable, one error a path.
   */
  sync(paths: Iterable<string>): Promise<readonly FileSystemError[]>;
}

export type FileSystemErrorCode =
  /** EACCES, EPERM */
  | "denied"
  /** EROFS */
  | "read_only"
  /** ENOSPC, EDQUOT, EFBIG */
  | "full"
  /** ENAMETOOLONG, EILSEQ, EINVAL on a name */
  | "name"
  /** EMFILE, ENFILE, ENOMEM */
  | "exhausted"
  /** A component is a symlink or not a directory (a race or an attack), ELOOP, ENOTDIR */
  | "not_directory"
  /** EXDEV */
  | "other_device"
  /** The bytes are not UTF-8 */
  | "illegible"
  /** EIO, ESTALE and everything else */
  | "io";

export class FileSystemError extends Error {
  override readonly name = "FileSystemError";
  readonly code: FileSystemErrorCode;
  readonly path: string;

  constructor(code: FileSystemErrorCode, path: string, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    this.path = path;
  }
}
