/**
 * DeviceReport: tells the server how far this device has applied its log, some time after that
 * changed. The server uses it only for lag and tombstones, so a lost report may wait for the next
 * change. A report that the server refuses tells that it was restored, also where its stream is
 * silent. Rules: S5, Y5, V3.
 */
import { SyncedError } from "../../core/error.ts";
import type { Cursor } from "../../core/event.ts";
import type { ClientPorts } from "../folder/ports.ts";
import { isAbort, type RemoteLog } from "./remote-log.ts";
import { isDiverged } from "./rollback.ts";

/** Of changes within this time only the last one is reported. */
const DELAY_MS = 1_000;

export interface DeviceReportParts {
  readonly ports: Pick<ClientPorts, "store" | "clock" | "api">;
  readonly log: RemoteLog;
  readonly deviceName: string;
  /** Ends the loop's sleep. */
  readonly wake: () => void;
}

export class DeviceReport {
  readonly #parts: DeviceReportParts;
  #reportedSeq = -1;
  /** The server's answer that this cursor is not on its log. */
  #refusal: { readonly cause: SyncedError; readonly applied: Cursor } | undefined;

  constructor(parts: DeviceReportParts) {
    this.#parts = parts;
  }

  /**
   * Call it while all is quiet.
   *
   * @param isDue true if the time that it returned earlier has come.
   * @returns when to call again (Clock.monotonic); undefined if there is nothing to report.
   */
  tell(isDue: boolean, signal: AbortSignal): number | undefined {
    const { ports, log, deviceName } = this.#parts;
    const { store, clock, api } = ports;
    const cursor = store.cursor();
    // The log of a restored server may be back where it was at the last report.
    if (cursor === undefined || cursor.seq === this.#reportedSeq) return undefined;
    if (this.#reportedSeq !== -1 && !isDue) return clock.monotonic() + DELAY_MS;
    this.#reportedSeq = cursor.seq;
    const report = { name: deviceName, applied: cursor };
    api.reportDevice(log.device, report, signal).catch((cause: unknown) => {
      if (!(cause instanceof SyncedError) && !isAbort(cause)) throw cause;
      if (isDiverged(cause)) this.#refused(cause, cursor);
    });
    return undefined;
  }

  /** @returns the server's word, once, that this device's cursor is not on its log. */
  takeRefusal(): SyncedError | undefined {
    const refusal = this.#refusal;
    if (refusal === undefined) return undefined;
    this.#refusal = undefined;
    // An answer that came late is about a cursor that is no longer this device's.
    const cursor = this.#parts.ports.store.cursor();
    const isPresent = cursor?.seq === refusal.applied.seq && cursor.hash === refusal.applied.hash;
    return isPresent ? refusal.cause : undefined;
  }

  #refused(cause: SyncedError, applied: Cursor): void {
    this.#refusal = { cause, applied };
    this.#parts.wake();
  }
}
