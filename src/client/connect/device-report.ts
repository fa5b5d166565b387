/**
 * DeviceReport: tells the server how far this device has applied its log, and how it is, some time
 * after that changed. A lost report may wait for the next change. If the server refuses the
 * reported cursor, it was restored from a backup; so this is noticed even while its stream is
 * silent. Rules: S5, Y5, V3, V8.
 */
import type { DeviceState } from "../../core/device-state.ts";
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
  /** The last report, as text. */
  #reported = "";
  /** Where everything was done last. */
  #settled: Cursor | undefined;
  /** The server's answer that this cursor is not on its log. */
  #refusal: { readonly cause: SyncedError; readonly applied: Cursor } | undefined;

  constructor(parts: DeviceReportParts) {
    this.#parts = parts;
  }

  /**
   * Call it while all is quiet.
   *
   * @param state if it is not settled, the device counts as applied as far as it was settled last
   * @param isDue true if the time that it returned earlier has come.
   * @returns when to call again (Clock.monotonic); undefined if there is nothing to report.
   */
  tell(state: DeviceState, isDue: boolean, signal: AbortSignal): number | undefined {
    const { ports, log, deviceName } = this.#parts;
    const { store, clock, api } = ports;
    const cursor = store.cursor();
    if (cursor === undefined) return undefined;
    if (state.settled === true) this.#settled = cursor;
    const applied = this.#settled?.epoch === cursor.epoch ? this.#settled : cursor;
    // The log of a restored server may be as long as it was at the last report.
    const reported = JSON.stringify([applied, state]);
    if (reported === this.#reported) return undefined;
    if (this.#reported !== "" && !isDue) return clock.monotonic() + DELAY_MS;
    this.#reported = reported;
    // Listed only now, because that costs more than a turn at rest may cost.
    const problems = store.problems().length;
    const report = { name: deviceName, applied, ...state, problems };
    api.reportDevice(log.device, report, signal).catch((cause: unknown) => {
      if (!(cause instanceof SyncedError) && !isAbort(cause)) throw cause;
      if (isDiverged(cause)) this.#refused(cause, applied);
      // Somebody may wait for it, so it is said again in a later turn.
      if (cause instanceof SyncedError && cause.code === "server_unreachable") this.#reported = "";
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
