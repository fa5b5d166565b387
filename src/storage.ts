/**
 * Works on a data directory on which no server runs: verifies it, collects its garbage, renames and
 * deletes folders. Rules: U4-U6, I25, I27, I37. Functions take the directory's lock, and throw
 * `data_in_use` while a server has it, unless they say otherwise.
 */
import { existsSync, mkdirSync, readdirSync, realpathSync, rmSync } from "node:fs";
import { join } from "node:path";
import { type BackupReport, backUp } from "./adapters/backup.ts";
import {
  type DataDirectory,
  holdCollection,
  openDataDirectory,
  openDataReader,
} from "./adapters/data-directory.ts";
import { createDiskFileSystem } from "./adapters/disk/filesystem.ts";
import {
  deleteFolder,
  type ListedFolder,
  listFolders,
  renameFolder,
} from "./adapters/metadata/folder-names.ts";
import { systemClock } from "./adapters/runtime/clock.ts";
import { systemRandom } from "./adapters/runtime/random.ts";
import { SyncedError } from "./core/error.ts";
import type { FolderName } from "./core/identifier.ts";
import { UNNAMED_AGE_MS_MIN } from "./core/limits.ts";
import type { Sequence } from "./core/node.ts";
import { type Collected, type CollectOptions, collectGarbage } from "./server/collect-garbage.ts";
import { type Exported, exportTree } from "./server/export.ts";
import { seqAtTime } from "./server/moment.ts";
import { pruneFolders, type Retention } from "./server/retention.ts";
import { createSequencer } from "./server/sequencer.ts";
import { type Finding, type ReadShare, verifyData } from "./server/verify.ts";

/**
 * Reads everything and changes nothing.
 *
 * @returns every finding when it is found
 * @throws {SyncedError} `usage` if there is no data directory, because opening would make one;
 * `data_in_use`, `data_newer`
 */
export async function* verifyDataDirectory(
  path: string,
  share?: ReadShare,
): AsyncGenerator<Finding, void> {
  const directory = openExisting(path, "verify");
  try {
    yield* verifyData(directory, share);
  } finally {
    await directory.close();
  }
}

export type { ReadShare };

/** @throws {SyncedError} as `verifyDataDirectory` does */
export async function collectDataDirectory(
  path: string,
  options: CollectOptions & { readonly retention: Retention },
): Promise<Collected & { readonly versions: number }> {
  const directory = openExisting(path, "collect garbage in");
  let release: (() => void) | undefined;
  try {
    release = holdCollection(path);
    const ports = { ...directory, clock: systemClock };
    const versions = await pruneFolders(ports, options.retention);
    return { ...(await collectGarbage(ports, options)), versions };
  } finally {
    release?.();
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
  let release: (() => void) | undefined;
  try {
    release = holdCollection(path);
    deleteFolder(join(path, "metadata.db"), name);
    const options = { ageMsMin: UNNAMED_AGE_MS_MIN };
    return await collectGarbage({ ...directory, clock: systemClock }, options);
  } finally {
    release?.();
    await directory.close();
  }
}

/**
 * Makes a copy, or brings one up to date, also beside a running server.
 *
 * @throws {SyncedError} `usage` if there is no data directory, or the target is something else;
 * `data_in_use` if garbage is being collected, or somebody uses the target
 */
export async function backUpDataDirectory(path: string, target: string): Promise<BackupReport> {
  requireExisting(path, "back up");
  return await backUp(path, target);
}

/**
 * Writes a folder as plain files, also beside a running server.
 *
 * @param at the head if absent
 * @throws {SyncedError} `usage` if there is no data directory, or the target is not empty;
 * `folder_not_found`, `folder_gone`, `cursor_ahead`
 */
export async function exportFolder(
  path: string,
  request: {
    readonly folder: FolderName;
    readonly at: { readonly seq: Sequence } | { readonly timeMs: number } | undefined;
    readonly target: string;
  },
): Promise<Exported & { readonly seq: Sequence }> {
  requireExisting(path, "export from");
  const { folder, at, target } = request;
  const reader = openDataReader(path);
  try {
    const sequencer = createSequencer({ ...reader, clock: systemClock, random: systemRandom });
    const { head } = await sequencer.folder(folder);
    const seq =
      at === undefined
        ? head
        : "seq" in at
          ? at.seq
          : await seqAtTime(reader.metadata, folder, { timeMs: at.timeMs, head });
    mkdirSync(target, { recursive: true });
    if (readdirSync(target).length > 0) {
      throw new SyncedError("usage", `Cannot export to "${target}": it is not empty`);
    }
    const fs = createDiskFileSystem(realpathSync(target));
    const discard = (name: string) => rmSync(join(target, name), { force: true });
    try {
      return { ...(await exportTree({ sequencer, fs, discard }, { folder, seq })), seq };
    } finally {
      fs.close();
    }
  } finally {
    await reader.close();
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
