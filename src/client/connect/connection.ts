/**
 * Connection: knows whether the server answers, keeps the live stream of its events, and decides
 * when to ask again. It only marks work; the loop decides when it is done. Rules: G5, Y3.
 *
 * A server is online if it answers, even if its stream does not come or does not last (because of a
 * proxy, or too many streams). The client then asks it for news now and then, which opens the
 * stream anew.
 */
import { type ErrorCode, SyncedError } from "../../core/error.ts";
import { RECONNECT_DELAY_MS_MAX, RETRY_DELAY_MS_MIN } from "../../core/limits.ts";
import type { ClientPorts } from "../folder/ports.ts";
import type { RemoteLog } from "./remote-log.ts";

/** If a stream lasted this long, it is worth opening anew at once. */
const STREAM_PROVEN_MS = 5_000;
/** If a new stream is silent this long, something on the way may hold it back. */
const STREAM_GREETING_MS = 10_000;
/** A server that fails within this, and took nothing, is no better than the one that was left. */
const LEAVE_INTERVAL_MS = 5_000;
/** So long at most a client waits before it asks the next one, as many may leave at once. */
const LEAVE_DELAY_MS_MAX = 250;
/** 0.5 s x 2^16 is beyond the longest delay. */
const DOUBLINGS_MAX = 16;

export class Connection {
  readonly #ports: ClientPorts;
  readonly #wake: () => void;
  readonly #hasOthers: boolean;
  /** When a server was left for one that has taken nothing yet (Clock.monotonic). */
  #leftAtMs = Number.NEGATIVE_INFINITY;
  #isLeaving = false;
  #stream: AbortController | undefined;
  #hasOverflowed = false;
  /** How many tries in a row found no server. */
  #failures = 0;
  #isStreamLive = false;
  /** How many streams in a row did not last. */
  #streamFailures = 0;
  #saidOffline = false;
  /** The code of the last `error` event. */
  #saidTrouble: ErrorCode | undefined;
  /** True if the log turned out to be another one since all was last well. */
  #hasDiverged = false;
  #isOnline = false;
  #dueAtMs: number | undefined = 0;
  /** How often the server was met. After each time it may be another process. */
  contacts = 0;
  /** The reason why it is offline, as last found. */
  offlineReason: string | undefined;

  /** @param hasOthers true if several servers are known */
  constructor(ports: ClientPorts, wake: () => void, { hasOthers = false } = {}) {
    this.#ports = ports;
    this.#wake = wake;
    this.#hasOthers = hasOthers;
  }

  /** A server failed, and the next one was not asked yet. */
  get isLeaving(): boolean {
    return this.#isLeaving;
  }

  get isOnline(): boolean {
    return this.#isOnline;
  }

  /** When the server is to be asked (Clock.monotonic); undefined while its stream is live. */
  get dueAtMs(): number | undefined {
    return this.#dueAtMs;
  }

  get isDue(): boolean {
    return this.#dueAtMs !== undefined && this.#ports.clock.monotonic() >= this.#dueAtMs;
  }

  /** Call it when the server has answered and the log is caught up. */
  online(log: RemoteLog, signal: AbortSignal): void {
    this.#isOnline = true;
    this.#isLeaving = false;
    this.contacts += 1;
    this.offlineReason = undefined;
    // A server that greets but has taken nothing so far must take something first.
    if (this.#saidTrouble === undefined) this.#tellOnline();
    this.follow(log, signal);
  }

  /**
   * The stream was ended because too many of its events wait (H16). It would go on bringing events
   * that pages have brought by then, and a client that is slow would get all of them twice.
   */
  get hasOverflowed(): boolean {
    return this.#hasOverflowed;
  }

  /** Begins the stream at the cursor, unless there is one. */
  follow(log: RemoteLog, signal: AbortSignal): void {
    const askAtMs = this.#ports.clock.monotonic() + STREAM_GREETING_MS;
    this.#dueAtMs = this.#isStreamLive ? undefined : askAtMs;
    this.#hasOverflowed = false;
    if (this.#stream !== undefined) return;
    log.dropStreamed();
    const stream = new AbortController();
    this.#stream = stream;
    void this.#listen(log, stream, signal);
  }

  /**
   * The server has taken everything that was sent. A server that greets but refuses is not well
   * yet, so each new try waits longer until then.
   */
  tookAll(): void {
    this.#failures = 0;
    this.#leftAtMs = Number.NEGATIVE_INFINITY;
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
   * The cursor is not on the server's log. The next turn finds that out and joins again. If a
   * server says so again and again, the client waits before it asks, as with any other trouble.
   */
  diverged(cause: SyncedError): void {
    if (this.#hasDiverged) {
      this.offline(cause, true);
      this.trouble(cause);
      return;
    }
    this.#hasDiverged = true;
    this.#isOnline = false;
    this.#endStream();
    this.#dueAtMs = this.#ports.clock.monotonic();
  }

  /**
   * The server answers, but not as it should. Reported once, until the trouble is another one or
   * over.
   */
  trouble({ code, message }: SyncedError): void {
    if (this.#saidTrouble === code) return;
    this.#saidTrouble = code;
    this.#ports.observer.emit({ event: "error", code, message });
  }

  /**
   * Reports it once, ends the stream, and sets the time of the next try: doubled each time, with
   * jitter. If there are others and none was asked lately, the next one is asked first.
   *
   * @param isOfGreeting false if it may be about the server that was left before
   */
  offline(cause: SyncedError, isOfGreeting = false): void {
    if (this.#isLeaving && !isOfGreeting) return;
    const reason = cause.message;
    const { clock, random } = this.#ports;
    const now = clock.monotonic();
    this.#isLeaving = this.#hasOthers && this.#isOnline && now - this.#leftAtMs > LEAVE_INTERVAL_MS;
    this.#isOnline = false;
    this.offlineReason = reason;
    this.#endStream();
    if (this.#isLeaving) {
      this.#leftAtMs = now;
      this.#dueAtMs = now + random.fraction() * LEAVE_DELAY_MS_MAX;
      return;
    }
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
    this.#hasOverflowed = false;
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
        // Usually known already, unless the answer to a batch is still to come or was lost.
        if (message.kind === "passed" && log.pass(message.seq)) this.#wake();
        if (message.kind === "order") {
          log.hasOrder = true;
          this.#wake();
        }
        if (message.kind !== "event") continue;
        if (log.take(message.event)) {
          if (message.event.groupEnd) this.#wake();
          continue;
        }
        this.#endStream();
        this.#hasOverflowed = true;
        this.#wake();
        return;
      }
    } catch (error) {
      cause = error;
    }
    if (ended.aborted) return;
    this.#endStream();
    this.#broke(sinceMs, cause);
  }

  /** @param sinceMs when the stream began to speak; undefined if it never did. */
  #broke(sinceMs: number | undefined, cause: unknown): void {
    const now = this.#ports.clock.monotonic();
    if (sinceMs !== undefined && now - sinceMs >= STREAM_PROVEN_MS) this.#streamFailures = 0;
    // If the server itself is gone, that is noticed at once.
    const isLost = this.#streamFailures === 0 && sinceMs !== undefined;
    this.#dueAtMs = isLost ? now : this.#backOff(this.#streamFailures, cause);
    this.#streamFailures += 1;
    this.#wake();
  }
}

/** True for trouble that passes: the client says offline, keeps local work, and tries again. */
export function isPassing(cause: unknown): cause is SyncedError {
  return (
    cause instanceof SyncedError && (cause.kind.retriable || LATER_UNREACHABLE.has(cause.code))
  );
}

/**
 * These end the run at first contact. Later another program may stand in the server's place for a
 * while.
 */
const LATER_UNREACHABLE: ReadonlySet<ErrorCode> = new Set([
  "not_a_synced_server",
  "untrusted_server",
  "protocol_violation",
  "unauthenticated",
  "token_revoked",
  "token_expired",
  "forbidden",
  "internal",
]);
