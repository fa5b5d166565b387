/** The arguments of `runClient` (run.ts), and its answer. */
import type { Direction } from "../../core/direction.ts";
import type { Fingerprint } from "../../core/fingerprint.ts";
import type { GuardSetting } from "../../core/guard-setting.ts";
import type { FolderName } from "../../core/identifier.ts";
import type { Clock } from "../../ports/clock.ts";
import type { FileSystem } from "../../ports/filesystem.ts";
import type { ClientInstruments } from "../../ports/instruments.ts";
import type { Observer } from "../../ports/observer.ts";
import type { Random } from "../../ports/random.ts";
import type { StateStoreHome } from "../../ports/state-store.ts";
import type { Transport } from "../../ports/transport.ts";
import type { Watcher } from "../../ports/watcher.ts";

/** The world of one client on one folder. */
export interface ClientWorld {
  readonly fs: FileSystem;
  readonly watcher: Watcher;
  readonly clock: Clock;
  readonly random: Random;
  readonly observer: Observer;
  readonly stores: StateStoreHome;
  readonly transport: Transport;
  /** @default nothing is counted */
  readonly instruments?: ClientInstruments;
}

export interface ClientOptions {
  /** Base URL of the server, without a path; of servers that share their data, with commas. */
  readonly serverUrl: string;
  /** True if nobody gave the address in this run, and the folder itself says it. */
  readonly isServerRemembered?: boolean;
  readonly folder: FolderName;
  readonly deviceName: string;
  /** A function is asked for it at each contact, so that a new one needs no restart. */
  readonly token?: string | (() => string);
  /** The key by which the transport knows the server; remembered. */
  readonly fingerprint?: Fingerprint;
  /** How many deletions pass unasked. @default DEFAULT_GUARD */
  readonly guard?: GuardSetting;
  /** True if approvals that were given on other devices count here (G4). @default false */
  readonly trustsApprovals?: boolean;
  /** @default "both" */
  readonly direction?: Direction;
  /** True to end when in sync. */
  readonly once: boolean;
  /** Milliseconds between full scans. @default FULL_SCAN_INTERVAL_MS */
  readonly fullScanIntervalMs: number;
}

export interface RunOutcome {
  /** `in_sync`, `paused` and `unreachable` only with `once`. */
  readonly end: "in_sync" | "held" | "paused" | "unreachable" | "stopped";
  /** The number of conflict copies that were made in this run. */
  readonly conflicts: number;
  /** The number of problems that are open at the end. */
  readonly problems: number;
  /** The number of changes that stay on their side (R21). */
  readonly left: number;
}
