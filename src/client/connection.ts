/**
 * Connection: whether the server is there, the live stream of its events, and when to try again.
 * Rules: G5, Y3. It only marks work; the loop decides when it is done.
 */
import { type ErrorCode, SyncedError } from "../core/error.ts";
import { RECONNECT_DELAY_MS_MAX, RETRY_DELAY_MS_MIN } from "../core/limits.ts";
import type { ClientPorts } from "./ports.ts";
import type { RemoteLog } from "./remote-log.ts";

export class Connection {
  readonly #ports: ClientPorts;
  readonly #wake: () => void;
  #stream: AbortController | undefined;
  #failures = 0;
  #saidOffline = false;
  /** What the last `error` was about. */
  #saidTrouble: ErrorCode | undefined;
  /** The stream broke, or never began: the reason to be told. */
  #broken: unknown;
  isOnline = false;
  /** Why it is offline, as last found. */
  offlineReason: string | undefined;
  /** Clock.monotonic time of the next try while offline. */
  retryAtMs = 0;

  constructor(ports: ClientPorts, wake: () => void) {
    this.#ports = ports;
    this.#wake = wake;
  }

  /** Called when the server has answered and the log is caught up. */
  online(log: RemoteLog, signal: AbortSignal): void {
    this.isOnline = true;
    this.offlineReason = undefined;
    this.#broken = undefined;
    // A server that greets but took nothing so far has to take something first.
    if (this.#saidTrouble === undefined) this.#tellOnline();
    this.#stream?.abort();
    log.dropStreamed();
    const stream = new AbortController();
    this.#stream = stream;
    void this.#listen(log, AbortSignal.any([signal, stream.signal]));
  }

  /**
   * All that was to be told was taken. A server that greets but refuses what it is given is not
   * well yet: each new try waits longer all the same.
   */
  settled(): void {
    this.#failures = 0;
    this.#saidTrouble = undefined;
    this.#tellOnline();
  }

  #tellOnline(): void {
    if (!this.#saidOffline) return;
    this.#saidOffline = false;
    this.#ports.observer.emit({ event: "online" });
  }

  /** The server answers, but not as it should: said once, until it is another thing or over. */
  trouble({ code, message }: SyncedError): void {
    if (this.#saidTrouble === code) return;
    this.#saidTrouble = code;
    this.#ports.observer.emit({ event: "error", code, message });
  }

  /**
   * Says so once, ends the stream, and sets the time of the next try: doubled each time, with
   * jitter.
   */
  offline(reason: string): void {
    const { clock, observer, random } = this.#ports;
    this.isOnline = false;
    this.offlineReason = reason;
    this.#stream?.abort();
    this.#stream = undefined;
    const delayMs = Math.min(RECONNECT_DELAY_MS_MAX, RETRY_DELAY_MS_MIN * 2 ** this.#failures);
    this.#failures = Math.min(this.#failures + 1, 16);
    this.retryAtMs = clock.monotonic() + delayMs * (0.5 + random.fraction());
    if (this.#saidOffline) return;
    this.#saidOffline = true;
    observer.emit({ event: "offline", reason });
  }

  /** @returns why the stream ended, once. */
  takeBroken(): unknown {
    const broken = this.#broken;
    this.#broken = undefined;
    return broken;
  }

  close(): void {
    this.#stream?.abort();
  }

  async #listen(log: RemoteLog, signal: AbortSignal): Promise<void> {
    const { api, store } = this.#ports;
    const after = store.cursor();
    if (after === undefined) return;
    let broken: unknown = new SyncedError("server_unreachable", "The event stream ended");
    try {
      for await (const message of api.stream({ after, device: log.device }, signal)) {
        if (signal.aborted) return;
        // Known already, but where the answer to a batch is still to come, or was lost.
        if (message.kind === "passed" && log.pass(message.seq)) this.#wake();
        if (message.kind !== "event") continue;
        log.take(message.event);
        if (message.event.groupEnd) this.#wake();
      }
    } catch (cause) {
      broken = cause;
    }
    if (signal.aborted) return;
    this.#broken = broken;
    this.#wake();
  }
}

/** Trouble that passes: say offline, keep local work, try again. */
export function isPassing(cause: unknown): cause is SyncedError {
  return (
    cause instanceof SyncedError && (cause.kind.retriable || LATER_UNREACHABLE.has(cause.code))
  );
}

/**
 * At first contact these end the run; later on somebody else may stand in the server's place for a
 * while.
 */
const LATER_UNREACHABLE: ReadonlySet<ErrorCode> = new Set([
  "not_a_synced_server",
  "protocol_violation",
  "unauthenticated",
  "internal",
]);
