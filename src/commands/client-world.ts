/**
 * The real world of one client on one folder: disk, watcher, clock, chance, state database,
 * network; and the lock that keeps other processes out of it. Rules: S1, S3.
 */

import { acquireFolderLock } from "../adapters/disk/folder-lock.ts";
import { createFetchTransport } from "../adapters/network/fetch-transport.ts";
import { openFolder } from "../adapters/open-folder.ts";
import { systemClock } from "../adapters/runtime/clock.ts";
import { createIdleMemory } from "../adapters/runtime/idle-memory.ts";
import { systemRandom } from "../adapters/runtime/random.ts";
import { createStateStoreHome } from "../adapters/state/home.ts";
import { createNativeWatcher } from "../adapters/watch/native.ts";
import { createChokidarWatcher } from "../adapters/watch/polling.ts";
import type { ClientWorld } from "../client/folder/options.ts";
import type { Observer } from "../ports/observer.ts";
import type { Watcher } from "../ports/watcher.ts";
import { stateDirectoryOf } from "./folder-state.ts";

/** Short enough to feel live, long enough for a network file system with many files. */
const POLL_INTERVAL_MS = 1_000;

export interface ClientWorldOptions {
  readonly folderPath: string;
  readonly observer: Observer;
  /** Watch by polling from the start. */
  readonly poll: boolean;
  /** Take no lock and write nothing. */
  readonly isDryRun: boolean;
}

export interface OpenedClientWorld {
  readonly world: ClientWorld;
  /** Lets go of the folder: only after the client has ended. */
  close(): void;
}

/** @throws {SyncedError} `folder_in_use`, `folder_nested`, `folder_not_writable`, `folder_unusable` */
export function openClientWorld(options: ClientWorldOptions): OpenedClientWorld {
  const { observer } = options;
  const folder = openFolder(options.folderPath, { readOnly: options.isDryRun });
  let lock: ReturnType<typeof acquireFolderLock> | undefined;
  try {
    lock = options.isDryRun ? undefined : acquireFolderLock(folder.path);
  } catch (error) {
    folder.fs.close();
    throw error;
  }
  if (folder.created) {
    // A mistyped path must not pass for a folder that is empty.
    const message = `Made the folder "${folder.path}": it was not there`;
    observer.emit({ event: "notice", code: "folder_created", message });
  }
  // Whatever a client does, it tells of: when it has told nothing for a while it is at rest.
  const memory = createIdleMemory();
  const world: ClientWorld = {
    fs: folder.fs,
    watcher: createWatcher(folder.path, options),
    clock: systemClock,
    random: systemRandom,
    observer: {
      emit(event) {
        memory.touch();
        observer.emit(event);
      },
    },
    stores: createStateStoreHome(stateDirectoryOf(folder.path)),
    transport: createFetchTransport(),
  };
  return {
    world,
    close() {
      memory.close();
      folder.fs.close();
      lock?.release();
    },
  };
}

function createWatcher(rootPath: string, { poll }: ClientWorldOptions): Watcher {
  return poll
    ? createChokidarWatcher(rootPath, { intervalMs: POLL_INTERVAL_MS })
    : createNativeWatcher(rootPath);
}
