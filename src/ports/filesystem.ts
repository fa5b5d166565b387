/**
 * FileSystem: one folder on one disk, as the client sees it. Rules: D1-D20.
 *
 * Paths are relative to the root and "/"-separated; "" is the root itself. No shell interprets
 * them, so they may hold any legal name. Every call walks from the root's open descriptor,
 * component by component, and follows no symlink (I22), not even in the last component. So no call
 * reaches anything outside the root. Calls are synchronous, because each is only one or two system
 * calls; the caller yields between batches. `sync*` calls are asynchronous, because they wait for
 * the disk.
 *
 * If a failure is not among the listed results, the call throws `FileSystemError`. A call answers
 * "absent" only if it could look into the parent and found no such entry (I16), or if the parent
 * itself is missing. An unreadable parent throws.
 */

export type EntryKind = "file" | "directory" | "symlink" | "other";

export interface Stat {
  readonly kind: EntryKind;
  /** Device, inode and birth time; opaque. Stays the same however the file is renamed. */
  readonly identity: string;
  /**
   * Kind, size, mtime ns, ctime ns and mode bits; opaque. If it is equal, the file has not changed,
   * unless it is racy.
   */
  readonly stamp: string;
  readonly size: number;
  /** Nanoseconds since 1970, in decimal. */
  readonly mtimeNs: string;
  /** The later of mtime and ctime, in milliseconds since 1970, for the racy rule. */
  readonly changedMs: number;
  readonly executable: boolean;
  /** False on a mount point, because the entry is on another device than the root. */
  readonly sameDevice: boolean;
  /** The number of hard links. If it is above 1, the same identity may stand at two paths. */
  readonly links: number;
}

export interface DirectoryEntry {
  readonly name: string;
  readonly stat: Stat;
}

/** An entry whose name is not valid UTF-8. It is listed as a problem and never touched. */
export interface IllegibleEntry {
  readonly nameHex: string;
}

export interface Listing {
  readonly entries: readonly DirectoryEntry[];
  readonly illegible: readonly IllegibleEntry[];
}

export interface FileReader {
  /** Describes the open file, whatever stands at the path now. */
  stat(): Stat;
  /** @returns the number of bytes read, 0 at the end. */
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
  /** True if renameat2(RENAME_EXCHANGE) or its like works here. */
  readonly exchange: boolean;
  /** True if the disk keeps the executable bit. */
  readonly executable: boolean;
  /** True if an entry is also found under other spellings of its name (case, Unicode form). */
  readonly foldsNames: boolean;
  /** In nanoseconds; 1 if the disk keeps each. Compare mtimes at this granularity. */
  readonly mtimeGranularityNs: number;
}

export interface FileSystem {
  readonly capabilities: Capabilities;
  /** How many files may be open at once to be made durable. Each waits for the disk. */
  readonly syncsMax: number;
  /**
   * Changes each time the machine starts. While it is the same, nothing that was written is lost.
   * Undefined if the system does not tell.
   */
  readonly boot: string | undefined;

  /**
   * How many bytes new files may take of this disk. Its last part is left for the state, and for
   * whoever frees some space.
   *
   * @returns undefined if the disk does not tell.
   */
  roomBytes(): number | undefined;
  /** @returns undefined if absent. */
  stat(path: string): Stat | undefined;
  /**
   * @returns undefined if absent or not a directory. Entries are in unspecified order; an entry
   * that vanishes meanwhile is left out.
   */
  list(path: string): Listing | undefined;
  /**
   * @returns undefined if absent or not a symlink.
   * @throws FileSystemError `illegible` if the target is not UTF-8.
   */
  readLink(path: string): string | undefined;
  /**
   * Opens a regular file for reading and does not block on FIFOs.
   * @returns undefined if absent or not a regular file.
   */
  open(path: string): FileReader | undefined;

  /** Creates a file that must not exist yet, with mode 0600 until `setMetadata`. */
  createFile(path: string): FileWriter;
  /**
   * @param like a directory whose permissions and owner the new one gets, as far as that is
   * allowed.
   */
  makeDirectory(path: string, like?: string): "made" | "exists";
  makeSymlink(path: string, target: string): "made" | "exists";
  /** Renames unless the target exists. */
  moveNoReplace(from: string, to: string): "moved" | "exists" | "absent";
  /** Atomically swaps two existing entries of any kinds. */
  exchange(a: string, b: string): "exchanged" | "absent" | "unsupported";
  removeDirectory(path: string): "removed" | "not_empty" | "absent";
  /** Unlinks a file or symlink; only paths below `.synced/` are allowed. */
  removeFile(path: string): "removed" | "absent";
  /**
   * Changes metadata of the regular file at `path`, but only while its identity and stamp are still
   * these.
   * @returns the new stat, or "changed" if another file was found; then nothing is done.
   */
  setMetadata(
    path: string,
    expected: { identity: string; stamp: string },
    metadata: FileMetadata,
  ): Stat | "changed";

  /**
   * The time that this disk keeps when it is given this mtime. Some disks round to two seconds,
   * some keep nothing after 2038. It is tried out below staging if it is not known yet.
   *
   * @returns the given time if the disk does not let it be tried.
   */
  heldMtime(mtimeNs: string): string;

  /**
   * Gives the staged file the permission bits of the file that it is about to replace, except for
   * the executable ones. So a private file stays private. Nothing is done if `from` cannot be
   * opened.
   *
   * @returns the staged file's new stat; undefined if it is absent.
   */
  takePermissions(path: string, from: string): Stat | undefined;

  /**
   * Resolves when the entries of these directories are durable. A path is skipped if it is absent,
   * is no directory, or leads through anything but directories.
   */
  syncDirectories(paths: Iterable<string>): Promise<void>;

  /**
   * Resolves when these files (bytes and metadata) and directories (entries) are durable, whoever
   * wrote them. A path is skipped if it is absent or of another kind.
   *
   * @returns one error for each path that could not be made durable.
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
  /** ELOOP, ENOTDIR: a component is a symlink or no directory, because of a race or an attack */
  | "not_directory"
  /** EXDEV */
  | "other_device"
  /** The bytes are not UTF-8 */
  | "illegible"
  /** EIO, ESTALE and all others */
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
