/**
 * Connection: whether the server is there, the live stream of its events, and when to ask again.
 * Rules: G5, Y3. It only marks work; the loop decides when it is done.
 *
 * A server that answers while its stream does not come or does not last (a proxy, too many streams)
 * is online: it is asked for news now and then, which opens the stream anew.
 */
import { type ErrorCode, SyncedError } from "../../core/error.ts";
import { RECONNECT_DELAY_MS_MAX, RETRY_DELAY_MS_MIN } from "../../core/limits.ts";
import type { ClientPorts } from "../folder/ports.ts";
import type { RemoteLog } from "./remote-log.ts";

/** A stream that held for so long is worth opening anew at once. */
const STREAM_PROVEN_MS = 5_000;
/** A stream that has said nothing for so long after it was asked for may be held back on its way. */
const STREAM_GREETING_MS = 10_000;
/** 0.5 s x 2^16 is beyond the longest delay. */
const DOUBLINGS_MAX = 16;

export class Connection {
  readonly #ports: ClientPorts;
  readonly #wake: () => void;
  #stream: AbortController | undefined;
  /** Tries in a row that found no server. */
  #failures = 0;
  #isStreamLive = false;
  /** Streams in a row that did not hold. */
  #streamFailures = 0;
  #saidOffline = false;
  /** What the last `error` was about. */
  #saidTrouble: ErrorCode | undefined;
  /** The log was found to be another one since all was last well. */
  #hasDiverged = false;
  #isOnline = false;
  #dueAtMs: number | undefined = 0;
  /** Why it is offline, as last found. */
  offlineReason: string | undefined;

  constructor(ports: ClientPorts, wake: () => void) {
    this.#ports = ports;
    this.#wake = wake;
  }

  get isOnline(): boolean {
    return this.#isOnline;
  }

  /** Clock.monotonic: when the server is to be asked; undefined while its stream is live. */
  get dueAtMs(): number | undefined {
    return this.#dueAtMs;
  }

  get isDue(): boolean {
    return this.#dueAtMs !== undefined && this.#ports.clock.monotonic() >= this.#dueAtMs;
  }

  /** Called when the server has answered and the log is caught up. */
  online(log: RemoteLog, signal: AbortSignal): void {
    this.#isOnline = true;
    this.offlineReason = undefined;
    // A server that greets but took nothing so far has to take something first.
    if (this.#saidTrouble === undefined) this.#tellOnline();
    const askAtMs = this.#ports.clock.monotonic() + STREAM_GREETING_MS;
    this.#dueAtMs = this.#isStreamLive ? undefined : askAtMs;
    if (this.#stream !== undefined) return;
    log.dropStreamed();
    const stream = new AbortController();
    this.#stream = stream;
    void this.#listen(log, stream, signal);
  }

  /**
   * All that was to be told was taken. A server that greets but refuses what it is given is not
   * well yet: each new try waits longer all the same.
   */
  tookAll(): void {
    this.#failures = 0;
    this.#hasDiverged = false;
    this.#saidTrouble = undefined;
    this.#tellOnline();
  }

  #tellOnline(): void {
    if (!this.#saidOffline) return;
    this.#saidOffline = false;
    this.#ports.observer.emit({ event: "online" });
  }

  /**
   * The log is not the one that the cursor is on. The next turn finds that out and joins again; a
   * server that says so again and again is left alone for a while like one in any other trouble.
   */
  diverged(cause: SyncedError): void {
    if (this.#hasDiverged) {
      this.offline(cause);
      this.trouble(cause);
      return;
    }
    this.#hasDiverged = true;
    this.#isOnline = false;
    this.#endStream();
    this.#dueAtMs = this.#ports.clock.monotonic();
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
  offline(cause: SyncedError): void {
    const reason = cause.message;
    this.#isOnline = false;
    this.offlineReason = reason;
    this.#endStream();
    this.#dueAtMs = this.#backOff(this.#failures, cause);
    this.#failures += 1;
    if (this.#saidOffline) return;
    this.#saidOffline = true;
    this.#ports.observer.emit({ event: "offline", reason });
  }

  close(): void {
    this.#endStream();
  }

  #endStream(): void {
    this.#stream?.abort();
    this.#stream = undefined;
    this.#isStreamLive = false;
  }

  #backOff(failures: number, cause: unknown): number {
    const { clock, random } = this.#ports;
    const doubled = RETRY_DELAY_MS_MIN * 2 ** Math.min(failures, DOUBLINGS_MAX);
    const delayMs = Math.min(RECONNECT_DELAY_MS_MAX, doubled) * (0.5 + random.fraction());
    const askedMs = cause instanceof SyncedError ? (cause.retryAfterMs ?? 0) : 0;
    return clock.monotonic() + Math.max(delayMs, askedMs);
  }

  async #listen(log: RemoteLog, stream: AbortController, signal: AbortSignal): Promise<void> {
    const { api, store, clock } = this.#ports;
    const after = store.cursor();
    if (after === undefined) return;
    const ended = AbortSignal.any([signal, stream.signal]);
    let cause: unknown;
    let sinceMs: number | undefined;
    try {
      for await (const message of api.stream({ after, device: log.device }, ended)) {
        if (ended.aborted) return;
        if (sinceMs === undefined) {
          sinceMs = clock.monotonic();
          this.#isStreamLive = true;
          this.#dueAtMs = undefined;
        }
        // Known already, but where the answer to a batch is still to come, or was lost.
        if (message.kind === "passed" && log.pass(message.seq)) this.#wake();
        if (message.kind !== "event") continue;
        log.take(message.event);
        if (message.event.groupEnd) this.#wake();
      }
    } catch (error) {
      cause = error;
    }
    if (ended.aborted) return;
    this.#endStream();
    this.#broke(sinceMs, cause);
  }

  /** @param sinceMs when the stream began to speak; undefined where it never did. */
  #broke(sinceMs: number | undefined, cause: unknown): void {
    const now = this.#ports.clock.monotonic();
    if (sinceMs !== undefined && now - sinceMs >= STREAM_PROVEN_MS) this.#streamFailures = 0;
    // That a server is gone is noticed at once.
    const isLost = this.#streamFailures === 0 && sinceMs !== undefined;
    this.#dueAtMs = isLost ? now : this.#backOff(this.#streamFailures, cause);
    this.#streamFailures += 1;
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
