/**
 * A synced folder seen from outside its running client: its state is opened read-only, beside the
 * process that owns it. Rules: S1, S3.
 */

import { closeSync, existsSync, openSync, readFileSync, statfsSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { z } from "zod";
import { isFolderLocked } from "../adapters/disk/folder-lock.ts";
import { openStateStoreReadOnly } from "../adapters/state/store.ts";
import { parseMarker } from "../client/connect/marker.ts";
import { SyncedError } from "../core/error.ts";
import type { FolderName } from "../core/identifier.ts";
import { MARKER_FILE, STATE_DIRECTORY } from "../core/state-directory.ts";
import type { StateStore } from "../ports/state-store.ts";

/** What a person must know of a held change; the rest of it is the engine's. */
const heldSchema = z.object({
  id: z.string(),
  direction: z.enum(["up", "down"]),
  reason: z.string(),
  count: z.number(),
  nodes: z.array(z.string()),
});

export type HeldChange = z.infer<typeof heldSchema>;

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

/** @returns undefined when the folder never joined. */
export function openFolderState(folderPath: string): StateStore | undefined {
  const path = join(stateDirectoryOf(folderPath), "state.db");
  return existsSync(path) ? openStateStoreReadOnly(path) : undefined;
}

/** True where nothing can be written beside the folder's state, whoever tries. */
export function isReadOnly(folderPath: string): boolean {
  try {
    // Only opening tells of a disk that failed. Not the database: to close it would let go of the
    // locks that SQLite has on it in this process.
    closeSync(openSync(join(folderPath, MARKER_FILE), "r+"));
    return false;
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "EROFS";
  }
}

/** A change of the state is some pages in its write-ahead log. */
const STATE_CHANGE_BYTES = 65_536;

/** True where the folder's disk has no room for a change of its state. */
export function isFull(folderPath: string): boolean {
  const directory = stateDirectoryOf(folderPath);
  const { bavail, bfree, blocks, bsize } = statfsSync(directory);
  // What is kept for root is free to a client that root runs, whoever asks.
  const { uid } = statSync(join(directory, "state.db"));
  // Some network file systems do not say.
  return blocks > 0 && (uid === 0 ? bfree : bavail) * bsize < STATE_CHANGE_BYTES;
}

/** @throws {SyncedError} `folder_unusable` when the folder never joined, and does not try to. */
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

/** What an earlier run on the folder wrote down. */
export interface Remembered {
  readonly serverUrl?: string | undefined;
  readonly folder: FolderName;
  readonly deviceName?: string | undefined;
  readonly guard?: string | undefined;
}

/**
 * From the marker, which outlives a lost state database; where it is lost itself, or an early one
 * that says less, from the database.
 *
 * @returns undefined when the folder never joined.
 */
export function rememberedBinding(folderPath: string): Remembered | undefined {
  const path = join(folderPath, MARKER_FILE);
  const marker = existsSync(path) ? parseMarker(readFileSync(path, "utf8")) : undefined;
  return marker?.serverUrl === undefined ? (bindingOf(folderPath) ?? marker) : marker;
}

/** A state that cannot be read is the client's to judge, not ours. */
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

/** The change that waits for a person, if any. */
export function heldChangeOf(store: StateStore): HeldChange | undefined {
  return heldSchema.safeParse(store.value("held")).data;
}
