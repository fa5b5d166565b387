/**
 * DeviceReport: tells the server how far this device has applied its log, some time after that
 * changed. The server uses it only for lag and tombstones, so a lost report may wait for the next
 * change. Rules: Y5, V3.
 */
import { SyncedError } from "../../core/error.ts";
import type { ClientPorts } from "../folder/ports.ts";
import { isAbort, type RemoteLog } from "./remote-log.ts";

/** Of changes within this time only the last one is reported. */
const DELAY_MS = 1_000;

export class DeviceReport {
  readonly #ports: Pick<ClientPorts, "store" | "clock" | "api">;
  readonly #log: RemoteLog;
  readonly #deviceName: string;
  #reportedSeq = -1;

  constructor(ports: ClientPorts, log: RemoteLog, deviceName: string) {
    this.#ports = ports;
    this.#log = log;
    this.#deviceName = deviceName;
  }

  /**
   * Call it while all is quiet.
   *
   * @param isDue true if the time that it returned earlier has come.
   * @returns when to call again (Clock.monotonic); undefined if there is nothing to report.
   */
  tell(isDue: boolean, signal: AbortSignal): number | undefined {
    const { store, clock, api } = this.#ports;
    const cursor = store.cursor();
    // The log of a restored server may be back where it was at the last report.
    if (cursor === undefined || cursor.seq === this.#reportedSeq) return undefined;
    if (this.#reportedSeq !== -1 && !isDue) return clock.monotonic() + DELAY_MS;
    this.#reportedSeq = cursor.seq;
    const report = { name: this.#deviceName, applied: cursor };
    api.reportDevice(this.#log.device, report, signal).catch((cause: unknown) => {
      if (!(cause instanceof SyncedError) && !isAbort(cause)) throw cause;
    });
    return undefined;
  }
}
