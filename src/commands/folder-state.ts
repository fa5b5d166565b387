/**
 * Reads a synced folder from outside its running client. The state is opened read-only, beside the
 * process that owns it. Rules: S1, S3.
 */

import {
  closeSync,
  existsSync,
  fsyncSync,
  lstatSync,
  openSync,
  readFileSync,
  renameSync,
  statfsSync,
  statSync,
  writeSync,
} from "node:fs";
import { join, resolve } from "node:path";
import { isFolderLocked } from "../adapters/disk/folder-lock.ts";
import { openStateStoreReadOnly } from "../adapters/state/store.ts";
import { requireGivenServer } from "../client/connect/join.ts";
import { parseMarker } from "../client/connect/marker.ts";
import { KEPT, readKept } from "../client/folder/kept-values.ts";
import type { ClientOptions } from "../client/folder/options.ts";
import { SyncedError } from "../core/error.ts";
import type { Fingerprint } from "../core/fingerprint.ts";
import type { FolderName } from "../core/identifier.ts";
import { MARKER_FILE, STATE_DIRECTORY } from "../core/state-directory.ts";
import type { FileSystem } from "../ports/filesystem.ts";
import type { HeldChange, StateStore } from "../ports/state-store.ts";

/** @throws {SyncedError} `folder_unusable` unless `folder` is an existing directory. */
export function resolveFolder(folder: string): string {
  const path = resolve(folder);
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat?.isDirectory() === true) return path;
  throw new SyncedError(
    "folder_unusable",
    stat === undefined
      ? `Cannot use "${folder}" as a folder: there is no such directory; make it first`
      : `Cannot use "${folder}" as a folder: it is not a directory; name the folder itself`,
  );
}

export function stateDirectoryOf(folderPath: string): string {
  return join(folderPath, STATE_DIRECTORY);
}

function stateFileOf(folderPath: string): string {
  return join(stateDirectoryOf(folderPath), "state.db");
}

/** @returns undefined if the folder never joined. */
export function openFolderState(folderPath: string): StateStore | undefined {
  const path = stateFileOf(folderPath);
  return existsSync(path) ? openStateStoreReadOnly(path) : undefined;
}

/** True if nobody can write beside the folder's state. */
export function isReadOnly(folderPath: string): boolean {
  try {
    // Only opening a file shows that a disk has failed. The database is not used for this, because
    // closing it would release the locks that SQLite has on it in this process.
    closeSync(openSync(join(folderPath, MARKER_FILE), "r+"));
    return false;
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "EROFS";
  }
}

/** A change of the state writes some pages to its write-ahead log. */
const STATE_CHANGE_BYTES = 65_536;

/** True if the folder's disk has no room for a change of its state. */
export function isFull(folderPath: string): boolean {
  const directory = stateDirectoryOf(folderPath);
  const { bavail, bfree, blocks, bsize } = statfsSync(directory);
  // A client that root runs may also use the room that is reserved for root, whoever asks.
  const { uid } = statSync(join(directory, "state.db"));
  // Some network file systems do not tell their size.
  return blocks > 0 && (uid === 0 ? bfree : bavail) * bsize < STATE_CHANGE_BYTES;
}

/** @throws {SyncedError} `folder_unusable` if the folder never joined and is not joining now. */
export function openJoinedFolderState(folder: string): { path: string; store: StateStore } {
  const path = resolveFolder(folder);
  const store = openFolderState(path);
  if (store !== undefined) {
    if (store.binding() !== undefined || isFolderLocked(path)) return { path, store };
    store.close();
  }
  throw new SyncedError(
    "folder_unusable",
    `"${folder}" is not synced, or not mounted now: mount it, or run synced sync "${folder}" ` +
      "--server URL",
  );
}

/** Settings that an earlier run on the folder wrote down. */
export interface Remembered {
  readonly serverUrl?: string | undefined;
  readonly folder: FolderName;
  readonly deviceName?: string | undefined;
  readonly guard?: string | undefined;
  readonly trustApprovals?: string | undefined;
  readonly direction?: string | undefined;
  readonly fingerprint?: Fingerprint | undefined;
}

/**
 * Reads the marker, because it outlives a lost state database. If the marker is lost, or an early
 * version wrote it with less, reads the database.
 *
 * @returns undefined if the folder never joined.
 */
export function rememberedBinding(folderPath: string): Remembered | undefined {
  const path = join(folderPath, MARKER_FILE);
  const marker = existsSync(path) ? parseMarker(readFileSync(path, "utf8")) : undefined;
  return marker?.serverUrl === undefined ? (bindingOf(folderPath) ?? marker) : marker;
}

/**
 * The token goes where a person of this device said, or where a folder says that this user synced
 * here. Somebody else's folder may say anything. Rules: G15.
 *
 * @throws {SyncedError} `usage`
 */
export function requireOwnServer(
  fs: FileSystem,
  folderPath: string,
  options: Pick<ClientOptions, "isServerRemembered" | "token" | "serverUrl">,
): void {
  requireGivenServer(fs, options);
  const uid = process.getuid?.();
  if (options.isServerRemembered !== true || options.token === undefined) return;
  for (const path of [join(folderPath, MARKER_FILE), stateFileOf(folderPath)]) {
    const owner = lstatSync(path, { throwIfNoEntry: false })?.uid;
    if (owner === undefined || uid === undefined || owner === uid) continue;
    throw new SyncedError(
      "usage",
      `Cannot send the token to ${options.serverUrl}: only "${path}" says so, which is of another ` +
        `user (${owner}); if it is the right server, add --server URL`,
    );
  }
}

/** A state that cannot be read counts as absent here; the client decides about it. */
function bindingOf(folderPath: string): Remembered | undefined {
  let store: StateStore | undefined;
  try {
    store = openFolderState(folderPath);
    return store?.binding();
  } catch (error) {
    if (error instanceof SyncedError && error.code === "damage_found") return undefined;
    throw error;
  } finally {
    store?.close();
  }
}

/**
 * Writes a file beside the folder's state, whole or not at all, because the client may be reading
 * it at this moment. Durable when it returns.
 */
export function writeStateFile(folderPath: string, name: string, text: string): void {
  const target = join(folderPath, name);
  const staged = `${target}.${process.pid}`;
  const file = openSync(staged, "w", 0o600);
  try {
    writeSync(file, text);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  renameSync(staged, target);
}

/** The change that waits for a person, if any. */
export function heldChangeOf(store: StateStore): HeldChange | undefined {
  return readKept(store, KEPT.held);
}
