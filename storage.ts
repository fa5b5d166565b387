/**
 * Works on a data directory on which no server runs: verifies it, collects its garbage, renames and
 * deletes folders. Rules: U4-U6, I25, I27, I37. Functions take the directory's lock, and throw
 * `data_in_use` while a server has it, unless they say otherwise.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { type DataDirectory, openDataDirectory } from "./src/adapters/data-directory.ts";
import {
  deleteFolder,
  type ListedFolder,
  listFolders,
  renameFolder,
} from "./src/adapters/metadata/folder-names.ts";
import { systemClock } from "./src/adapters/runtime/clock.ts";
import { SyncedError } from "./src/core/error.ts";
import type { FolderName } from "./src/core/identifier.ts";
import { UNNAMED_AGE_MS_MIN } from "./src/core/limits.ts";
import {
  type Collected,
  type CollectOptions,
  collectGarbage,
} from "./src/server/collect-garbage.ts";
import { pruneFolders, type Retention } from "./src/server/retention.ts";
import { type Finding, verifyData } from "./src/server/verify.ts";

/**
 * Reads everything and changes nothing.
 *
 * @returns every finding when it is found
 * @throws {SyncedError} `usage` if there is no data directory, because opening would make one;
 * `data_in_use`, `data_newer`
 */
export async function* verifyDataDirectory(path: string): AsyncGenerator<Finding, void> {
  const directory = openExisting(path, "verify");
  try {
    yield* verifyData(directory);
  } finally {
    await directory.close();
  }
}

/** @throws {SyncedError} as `verifyDataDirectory` does */
export async function collectDataDirectory(
  path: string,
  options: CollectOptions & { readonly retention: Retention },
): Promise<Collected & { readonly versions: number }> {
  const directory = openExisting(path, "collect garbage in");
  try {
    const ports = { ...directory, clock: systemClock };
    const versions = await pruneFolders(ports, options.retention);
    return { ...(await collectGarbage(ports, options)), versions };
  } finally {
    await directory.close();
  }
}

/** Works beside a running server. @throws {SyncedError} `usage` if there is no data directory */
export function listFoldersIn(path: string): readonly ListedFolder[] {
  requireExisting(path, "list the folders in");
  return listFolders(join(path, "metadata.db"));
}

/** @throws {SyncedError} `folder_not_found`, `folder_gone`, `name_taken` */
export async function renameFolderIn(
  path: string,
  names: { readonly from: FolderName; readonly to: FolderName },
): Promise<void> {
  const directory = openExisting(path, "rename a folder in");
  try {
    renameFolder(join(path, "metadata.db"), names);
  } finally {
    await directory.close();
  }
}

/**
 * Deletes a folder, then collects what only it needed. If the second is interrupted, the next
 * collection does it.
 *
 * @throws {SyncedError} `folder_not_found`, `folder_gone`
 */
export async function deleteFolderIn(path: string, name: FolderName): Promise<Collected> {
  const directory = openExisting(path, "delete a folder in");
  try {
    deleteFolder(join(path, "metadata.db"), name);
    const options = { ageMsMin: UNNAMED_AGE_MS_MIN };
    return await collectGarbage({ ...directory, clock: systemClock }, options);
  } finally {
    await directory.close();
  }
}

function openExisting(path: string, action: string): DataDirectory {
  requireExisting(path, action);
  return openDataDirectory(path);
}

function requireExisting(path: string, action: string): void {
  if (existsSync(join(path, "format"))) return;
  const claim = "there is no data directory of synced";
  throw new SyncedError("usage", `Cannot ${action} "${path}": ${claim}`);
}
