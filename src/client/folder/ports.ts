/** What the engine is given: the ports of one folder on one device. */
import type { Clock } from "../../ports/clock.ts";
import type { FileSystem } from "../../ports/filesystem.ts";
import type { Observer } from "../../ports/observer.ts";
import type { Random } from "../../ports/random.ts";
import type { StateStore } from "../../ports/state-store.ts";
import type { Watcher } from "../../ports/watcher.ts";
import type { ServerApi } from "../../protocol/server-api.ts";

export interface ClientPorts {
  readonly fs: FileSystem;
  readonly watcher: Watcher;
  readonly clock: Clock;
  readonly random: Random;
  readonly observer: Observer;
  readonly store: StateStore;
  readonly api: ServerApi;
}

/** The state directory inside the folder, and what is in it. Never synced, a nested one neither. */
export const STATE_DIRECTORY = ".synced";
export const STAGING_DIRECTORY = ".synced/staging";
export const QUARANTINE_DIRECTORY = ".synced/quarantine";
/** Whole subtrees set aside while a directory and its own descendant trade places. */
export const PARKING_DIRECTORY = ".synced/parking";
/** Where entries of these three stood: see apply/former-names.ts. */
export const NAMES_DIRECTORY = ".synced/names";
export const MARKER_FILE = ".synced/marker.json";
