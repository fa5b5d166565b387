/** The ports of one folder on one device, which the engine gets. */
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
