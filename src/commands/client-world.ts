/**
 * The real world of one client on one folder: disk, watcher, clock, chance, state database and
 * network, and the lock that keeps other processes out of the folder. Rules: S1, S3.
 */

import { acquireFolderLock } from "../adapters/disk/folder-lock.ts";
import { createFetchTransport, type Trust } from "../adapters/network/fetch-transport.ts";
import { openFolder } from "../adapters/open-folder.ts";
import { systemClock } from "../adapters/runtime/clock.ts";
import { idleMemory } from "../adapters/runtime/idle-memory.ts";
import { systemRandom } from "../adapters/runtime/random.ts";
import { createStateStoreHome } from "../adapters/state/home.ts";
import { createNativeWatcher } from "../adapters/watch/native.ts";
import { createChokidarWatcher } from "../adapters/watch/polling.ts";
import type { ClientWorld } from "../client/folder/options.ts";
import type { Observer } from "../ports/observer.ts";
import type { Watcher } from "../ports/watcher.ts";
import { stateDirectoryOf } from "./folder-state.ts";

/** Short enough to feel live, and long enough for a network file system with many files. */
const POLL_INTERVAL_MS = 1_000;

export interface ClientWorldOptions {
  readonly folderPath: string;
  readonly observer: Observer;
  /** True to watch by polling from the start. */
  readonly poll: boolean;
  /** @default the authorities */
  readonly trust?: Trust;
  /** True to take no lock and write nothing. */
  readonly isDryRun: boolean;
}

export interface OpenedClientWorld {
  readonly world: ClientWorld;
  /** Releases the folder. Call it only after the client has ended. */
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
    // Said aloud, because a mistyped path must not pass for an empty folder.
    const message = `Made the folder "${folder.path}": it was not there`;
    observer.emit({ event: "notice", code: "folder_created", message });
  }
  const world: ClientWorld = {
    fs: folder.fs,
    watcher: createWatcher(folder.path, options),
    clock: systemClock,
    random: systemRandom,
    observer: {
      emit(event) {
        // A client reports everything that it does, so it is at rest after a while without one.
        idleMemory.touch();
        observer.emit(event);
      },
    },
    stores: createStateStoreHome(stateDirectoryOf(folder.path)),
    transport: createFetchTransport(options.trust),
  };
  return {
    world,
    close() {
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
