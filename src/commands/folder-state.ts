/**
 * A synced folder seen from outside its running client: its state is opened read-only, beside the
 * process that owns it. Rules: S1, S3.
 */
import { existsSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { z } from "zod";
import { openStateStoreReadOnly } from "../adapters/sqlite-state-store.ts";
import { STATE_DIRECTORY } from "../client/ports.ts";
import { SyncedError } from "../core/error.ts";
import type { StateStore } from "../ports/state-store.ts";

/** What a person must know of a held change; the rest of it is the engine's. */
const heldSchema = z.object({
  id: z.string(),
  direction: z.enum(["up", "down"]),
  reason: z.string(),
  count: z.number(),
  nodes: z.array(z.string()),
});

export type HeldSummary = z.infer<typeof heldSchema>;

/** @throws {SyncedError} `folder_unusable` unless `folder` is an existing directory. */
export function resolveFolder(folder: string): string {
  const path = resolve(folder);
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory() !== true) {
    throw new SyncedError(
      "folder_unusable",
      `Cannot use "${folder}" as a folder: there is no such directory; make it first`,
    );
  }
  return path;
}

export function stateDirectoryOf(folderPath: string): string {
  return join(folderPath, STATE_DIRECTORY);
}

/** @returns undefined when the folder never joined. */
export function openFolderState(folderPath: string): StateStore | undefined {
  const path = join(stateDirectoryOf(folderPath), "state.db");
  return existsSync(path) ? openStateStoreReadOnly(path) : undefined;
}

/** @throws {SyncedError} `folder_unusable` when the folder never joined. */
export function openJoinedFolderState(folder: string): { path: string; store: StateStore } {
  const path = resolveFolder(folder);
  const store = openFolderState(path);
  if (store === undefined) {
    throw new SyncedError(
      "folder_unusable",
      `"${folder}" is not synced yet: run synced sync "${folder}" --server URL`,
    );
  }
  return { path, store };
}

/** The change that waits for a person, if any. */
export function heldChangeOf(store: StateStore): HeldSummary | undefined {
  return heldSchema.safeParse(store.value("held")).data;
}
