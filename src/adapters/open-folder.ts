/**
 * Opens the folder that a person named. Makes the missing parts, and refuses a folder that cannot
 * work.
 * Rules: S1, S3, D1, G1.
 *
 * The path is resolved once, so the root itself may be a symlink. After that no symlink is
 * followed.
 */

import * as fs from "node:fs";
import { dirname, join, resolve } from "node:path";
import { SyncedError } from "../core/error.ts";
import {
  MARKER_FILE,
  PARKING_DIRECTORY,
  QUARANTINE_DIRECTORY,
  STAGING_DIRECTORY,
  STATE_DIRECTORY,
} from "../core/state-directory.ts";
import { FileSystemError } from "../ports/filesystem.ts";
import { isDataDirectory } from "./data-format.ts";
import { errorCode } from "./disk/calls.ts";
import { createDiskFileSystem, type DiskFileSystem } from "./disk/filesystem.ts";
import { reasonOf } from "./disk/system-error.ts";

export interface OpenFolderOptions {
  /** Makes and probes nothing. The file system then refuses every change. @default false */
  readonly readOnly?: boolean;
}

export interface OpenedFolder {
  /** The caller closes it. */
  readonly fs: DiskFileSystem;
  /** Absolute, free of symlinks. */
  readonly path: string;
  readonly rootIdentity: string;
  /** True if the folder did not exist and was made. */
  readonly created: boolean;
}

/**
 * Parents first. Nobody else may enter them, because staged files do not have their permissions
 * yet.
 */
const STATE_DIRECTORIES = [
  STATE_DIRECTORY,
  STAGING_DIRECTORY,
  QUARANTINE_DIRECTORY,
  PARKING_DIRECTORY,
] as const;
const STATE_DIRECTORY_MODE = 0o700;

/** The next step for a person if the folder may not be written. */
const NEXT_STEPS: ReadonlyMap<string, string> = new Map([
  ["EROFS", "mount it writable (the system's log may say why it is not), then start this again"],
  ["EACCES", "give this user the right to read and write it, then start this again"],
  ["EPERM", "give this user the right to read and write it, then start this again"],
]);

/**
 * @param path as the person typed it
 * @throws {SyncedError} `folder_nested`, `folder_not_writable`, `folder_unusable`
 */
export function openFolder(path: string, options: OpenFolderOptions = {}): OpenedFolder {
  const readOnly = options.readOnly ?? false;
  try {
    refuseNested(path, nearestDirectory(resolve(path)));
    refuseServerData(path, resolve(path));
    const created = !readOnly && fs.mkdirSync(resolve(path), { recursive: true }) !== undefined;
    const root = fs.realpathSync(path);
    if (!fs.statSync(root).isDirectory()) throw unusable(path, "it is not a directory");
    refuseNested(path, dirname(root));
    if (!readOnly) makeStateDirectories(path, root);
    return openRoot(path, root, { readOnly, created });
  } catch (error) {
    if (error instanceof SyncedError) throw error;
    if (error instanceof FileSystemError || errorCode(error) !== "") {
      const failed = error instanceof FileSystemError ? error.cause : error;
      const next = readOnly ? undefined : NEXT_STEPS.get(errorCode(failed));
      if (next !== undefined) {
        const message = `Cannot write to "${path}": ${reasonOf(failed)}; ${next}`;
        throw new SyncedError("folder_not_writable", message, { path, cause: error });
      }
      const isMissing = readOnly && errorCode(error) === "ENOENT";
      const reason = isMissing ? "it is not there yet; a real run makes it" : reasonOf(error);
      throw unusable(path, reason, error);
    }
    throw error;
  }
}

function openRoot(
  path: string,
  root: string,
  { readOnly, created }: { readOnly: boolean; created: boolean },
): OpenedFolder {
  const fileSystem = createDiskFileSystem(root, { readOnly });
  const stat = fileSystem.stat("");
  if (stat?.kind === "directory") {
    return { fs: fileSystem, path: root, rootIdentity: stat.identity, created };
  }
  fileSystem.close();
  throw unusable(path, "it changed while it was opened");
}

/** The path itself if it is a directory, else its nearest existing parent; without symlinks. */
function nearestDirectory(path: string): string {
  try {
    return dirname(fs.realpathSync(path));
  } catch (error) {
    const parent = dirname(path);
    if (errorCode(error) !== "ENOENT" || parent === path) throw error;
    return fs.existsSync(parent) ? fs.realpathSync(parent) : nearestDirectory(parent);
  }
}

/** Two clients on one file would each take the other's work for a person's edits. */
function refuseNested(path: string, start: string): void {
  for (let directory = start; ; directory = dirname(directory)) {
    if (fs.existsSync(join(directory, MARKER_FILE))) {
      const message = `Cannot sync "${path}": it lies inside "${directory}", which is synced; choose one outside`;
      throw new SyncedError("folder_nested", message, { path });
    }
    if (directory === dirname(directory)) return;
  }
}

/** A server that stored its own data directory as a folder would make it grow for ever. */
function refuseServerData(path: string, root: string): void {
  if (!isDataDirectory(root)) return;
  const message = `Cannot sync "${path}": it is the data directory of a synced server; choose another`;
  throw new SyncedError("folder_nested", message, { path });
}

function makeStateDirectories(path: string, root: string): void {
  fs.accessSync(root, fs.constants.R_OK | fs.constants.W_OK | fs.constants.X_OK);
  const device = fs.statSync(root).dev;
  for (const name of STATE_DIRECTORIES) {
    const place = join(root, name);
    try {
      fs.mkdirSync(place, { mode: STATE_DIRECTORY_MODE });
    } catch (error) {
      if (errorCode(error) !== "EEXIST") throw error;
    }
    const stat = fs.lstatSync(place);
    // Another device could have synced a symlink to here, and it would lead our writes elsewhere.
    if (!stat.isDirectory()) throw unusable(path, `its "${name}" is not a directory`);
    if (stat.dev !== device) throw unusable(path, `its "${name}" is on another file system`);
  }
}

function unusable(path: string, reason: string, cause?: unknown): SyncedError {
  const message = `Cannot use "${path}" as a folder: ${reason}`;
  return new SyncedError("folder_unusable", message, { path, cause });
}
