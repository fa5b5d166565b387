/**
 * Lets only one process work on a folder, through a lock on `.synced/lock`. The kernel releases it
 * when the process ends, however it ends. Rules: S3, I21.
 *
 * On Linux it is an open file description lock. Unlike a POSIX lock, it is not lost when the
 * process closes another descriptor of the file. Unlike flock, it can be queried without being
 * taken, so `status` never makes a starting client believe that the folder is in use. Elsewhere
 * SQLite holds the file in exclusive mode, and a query takes the lock for a moment. The two locks
 * exclude each other, because in the kernel both lock bytes of one file.
 */

import { chmodSync, constants, existsSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { SyncedError } from "../../core/error.ts";
import { LOCK_FILE } from "../../core/state-directory.ts";
import { type NativeCalls, nativeCalls } from "../runtime/native-calls.ts";
import { CallError } from "./calls.ts";

export interface FolderLock {
  /** May be called twice. */
  release(): void;
}

const AT_FDCWD = -100;
const O_CLOEXEC = 0o2000000;
const F_OFD_GETLK = 36;
const F_OFD_SETLK = 37;
const F_WRLCK = 1;
const F_UNLCK = 2;
/**
 * struct flock: type 2, whence 2, padding 4, start 8, length 8 (0: to the end), pid 4, padding 4.
 */
const FLOCK_BYTES = 32;
const EACCES = -13;
const EAGAIN = -11;
const EINTR = -4;
const ENOENT = -2;

/**
 * Takes the lock. It also excludes a second holder in this process.
 *
 * @param rootPath the folder; its `.synced` must exist
 * @throws {SyncedError} `folder_in_use` if somebody holds the lock, `folder_unusable`
 */
export function acquireFolderLock(rootPath: string): FolderLock {
  const native = nativeCalls();
  return native === undefined ? acquireSqliteLock(rootPath) : acquireNativeLock(native, rootPath);
}

/**
 * @param rootPath the folder; it need not exist
 * @throws {SyncedError} `folder_unusable` if the lock file cannot be opened
 */
export function isFolderLocked(rootPath: string): boolean {
  const native = nativeCalls();
  return native === undefined ? isSqliteLocked(rootPath) : isNativeLocked(native, rootPath);
}

function acquireNativeLock(native: NativeCalls, rootPath: string): FolderLock {
  const flags = constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW | O_CLOEXEC;
  const fd = openLockFile(native, rootPath, flags);
  const result = lockCall(native, fd, F_OFD_SETLK).result;
  if (result < 0) {
    native.call("close", fd);
    if (result === EAGAIN || result === EACCES) throw inUse(rootPath);
    throw unusable(rootPath, new CallError("fcntl", result));
  }
  return releaseOnce(() => {
    native.call("close", fd);
  });
}

function isNativeLocked(native: NativeCalls, rootPath: string): boolean {
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | O_CLOEXEC;
  const fd = openLockFile(native, rootPath, flags, "may_be_absent");
  if (fd === ENOENT) return false;
  const { result, type } = lockCall(native, fd, F_OFD_GETLK);
  native.call("close", fd);
  if (result < 0) throw unusable(rootPath, new CallError("fcntl", result));
  return type !== F_UNLCK;
}

/** @returns a descriptor, or ENOENT, but that only if the file may be absent */
function openLockFile(
  native: NativeCalls,
  rootPath: string,
  flags: number,
  presence: "may_be_absent" | "must_be_there" = "must_be_there",
): number {
  const path = new TextEncoder().encode(`${lockPath(rootPath)}\0`);
  for (;;) {
    const fd = native.call("openat", AT_FDCWD, native.address(path), flags, 0o600);
    if (fd === EINTR) continue;
    if (fd >= 0 || (fd === ENOENT && presence === "may_be_absent")) return fd;
    throw unusable(rootPath, new CallError("openat", fd));
  }
}

/** Sets or queries an exclusive lock on the whole file. */
function lockCall(native: NativeCalls, fd: number, command: number) {
  const bytes = new Uint8Array(new ArrayBuffer(FLOCK_BYTES));
  const view = new DataView(bytes.buffer);
  view.setInt16(0, F_WRLCK, true);
  const result = native.call("fcntl", fd, command, native.address(bytes));
  return { result, type: view.getInt16(0, true) };
}

function acquireSqliteLock(rootPath: string): FolderLock {
  const database = lockWithSqlite(rootPath);
  if (database === "in_use") throw inUse(rootPath);
  return releaseOnce(() => database.close());
}

function isSqliteLocked(rootPath: string): boolean {
  if (!existsSync(lockPath(rootPath))) return false;
  const database = lockWithSqlite(rootPath);
  if (database === "in_use") return true;
  database.close();
  return false;
}

/**
 * An empty file is an empty database. An exclusive transaction that writes nothing leaves it empty.
 */
function lockWithSqlite(rootPath: string): DatabaseSync | "in_use" {
  const path = lockPath(rootPath);
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(path);
    database.exec("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE");
    chmodSync(path, 0o600);
    return database;
  } catch (error) {
    database?.close();
    if (error instanceof Error && /locked|busy/i.test(error.message)) return "in_use";
    throw unusable(rootPath, error);
  }
}

function releaseOnce(release: () => void): FolderLock {
  let isHeld = true;
  return {
    release() {
      if (isHeld) release();
      isHeld = false;
    },
  };
}

function lockPath(rootPath: string): string {
  return `${rootPath}/${LOCK_FILE}`;
}

function inUse(path: string): SyncedError {
  const message = `Cannot sync "${path}": another process does; stop that one first`;
  return new SyncedError("folder_in_use", message, { path });
}

function unusable(path: string, cause: unknown): SyncedError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  const message = `Cannot lock "${path}": ${reason}`;
  return new SyncedError("folder_unusable", message, { path, cause });
}
