/**
 * StatusRecord: what `synced status` reads and the observer is told about the whole folder.
 * Rules: Y5, I43.
 */
import { SyncedError } from "../../core/error.ts";
import { FileSystemError } from "../../ports/filesystem.ts";
import type { StateStore } from "../../ports/state-store.ts";
import type { ClientWorld } from "./options.ts";
import type { ClientPorts } from "./ports.ts";

export type FolderState = "in_sync" | "syncing" | "held" | "offline" | "stopped";

/** What is kept for `synced status`. */
export interface StatusValue {
  readonly state: FolderState;
  /** The log's head as last heard of. */
  readonly head: number;
  /** Clock.now() of the last time everything was in sync. */
  readonly lastSyncMs: number | null;
  /** Why it is offline, or halted, or what waits for room on the server; null otherwise. */
  readonly reason: string | null;
}

export interface StatusReport extends Pick<StatusValue, "state" | "head"> {
  readonly reason?: string | null;
}

export const STATUS_KEY = "status";

export class StatusRecord {
  readonly #ports: Pick<ClientPorts, "store" | "clock" | "observer">;
  #told: StatusValue | undefined;

  constructor(ports: Pick<ClientPorts, "store" | "clock" | "observer">) {
    this.#ports = ports;
  }

  /** Writes only what is new, so that a folder at rest writes nothing. */
  set({ state, head, reason = null }: StatusReport): void {
    const { store, clock, observer } = this.#ports;
    const before = this.#told;
    if (before?.state === state && before.head === head && before.reason === reason) return;
    const lastSyncMs =
      state === "in_sync"
        ? clock.now()
        : (before?.lastSyncMs ?? lastSyncOf(store.value(STATUS_KEY)));
    const told = { state, head, lastSyncMs, reason };
    this.#told = told;
    store.transaction(() => store.setValue(STATUS_KEY, told), "normal");
    if (state !== "in_sync") return;
    const seq = store.cursor()?.seq ?? 0;
    observer.emit({ event: "in_sync", seq, files: store.baseFileCount() });
  }
}

/** True once all has been in sync with this state. */
export function hasBeenInSync(store: Pick<StateStore, "value">): boolean {
  return lastSyncOf(store.value(STATUS_KEY)) !== null;
}

function lastSyncOf(value: unknown): number | null {
  if (typeof value !== "object" || value === null || !("lastSyncMs" in value)) return null;
  return typeof value.lastSyncMs === "number" ? value.lastSyncMs : null;
}

/**
 * The state as it was left says that all was well (I43). Closed, its log is folded in, which leaves
 * room even on a full disk; where nothing can be written, `status` looks at the disk itself.
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
    // The next try to begin meets the same.
    if (!(error instanceof FileSystemError || error instanceof SyncedError)) throw error;
  }
}
