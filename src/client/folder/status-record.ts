/**
 * StatusRecord: the state of the whole folder, written for `synced status` and reported to the
 * observer.
 * Rules: Y5, I43.
 */

import { SyncedError } from "../../core/error.ts";
import { FileSystemError } from "../../ports/filesystem.ts";
import type { StateStore } from "../../ports/state-store.ts";
import { KEPT, readKept, type StatusValue, writeKept } from "./kept-values.ts";
import type { ClientWorld } from "./options.ts";
import type { ClientPorts } from "./ports.ts";

export interface StatusReport extends Pick<StatusValue, "state" | "head"> {
  readonly reason?: string | null;
}

export class StatusRecord {
  readonly #ports: Pick<ClientPorts, "store" | "clock" | "observer">;
  #told: StatusValue | undefined;

  constructor(ports: Pick<ClientPorts, "store" | "clock" | "observer">) {
    this.#ports = ports;
  }

  /** Writes only changes, so that a folder at rest writes nothing. */
  set({ state, head, reason = null }: StatusReport): void {
    const { store, clock, observer } = this.#ports;
    const before = this.#told;
    if (before?.state === state && before.head === head && before.reason === reason) return;
    const lastSyncMs =
      state === "in_sync"
        ? clock.now()
        : ((before ?? readKept(store, KEPT.status))?.lastSyncMs ?? null);
    const told = { state, head, lastSyncMs, reason };
    this.#told = told;
    store.transaction(() => writeKept(store, KEPT.status, told), "normal");
    if (state !== "in_sync") return;
    const seq = store.cursor()?.seq ?? 0;
    observer.emit({ event: "in_sync", seq, files: store.baseFileCount() });
  }
}

/** True if all was once in sync with this state. */
export function hasBeenInSync(store: Pick<StateStore, "value">): boolean {
  return (readKept(store, KEPT.status)?.lastSyncMs ?? null) !== null;
}

/**
 * The state that was left may say that all was well, so this corrects it (I43). Closing it folds
 * its log in, which leaves room even on a full disk. If nothing can be written, `status` looks at
 * the disk itself.
 */
export function tellStatus({ stores, clock, observer }: ClientWorld, reason: string): void {
  if (!stores.exists()) return;
  try {
    const store = stores.open();
    try {
      const head = store.cursor()?.seq ?? 0;
      new StatusRecord({ store, clock, observer }).set({ state: "syncing", head, reason });
    } finally {
      store.close();
    }
  } catch (error) {
    // The next try to begin meets the same error.
    if (!(error instanceof FileSystemError || error instanceof SyncedError)) throw error;
  }
}
