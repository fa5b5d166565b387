/**
 * One request and its answer over a Transport, on the client's side: time-outs, sizes, types and
 * problems.
 * Rules: H1, H4. Every failure becomes a `SyncedError` with a code that the engine knows.
 */
import { ERROR_KINDS, type ErrorCode, SyncedError } from "../core/error.ts";
import { RETRY_AFTER_MS_MAX } from "../core/limits.ts";
import type { Clock } from "../ports/clock.ts";
import type { ClientInstruments } from "../ports/instruments.ts";
import type { Transport } from "../ports/transport.ts";
import { parseJson } from "./json.ts";
import { PROTOCOL_VERSION } from "./messages.ts";
import { parseProblem } from "./parse-answer.ts";
import { isUnreachable, type ServerUrls } from "./server-urls.ts";

export interface ExchangeOptions {
  readonly transport: Transport;
  readonly clock: Clock;
  readonly servers: ServerUrls;
  /** Learns of bodies as they are sent and received. */
  readonly instruments?: Pick<ClientInstruments, "bytesMoved">;
}

export interface Outgoing {
  readonly method: "GET" | "PUT" | "POST" | "DELETE";
  /** Begins with "/". */
  readonly path: string;
  readonly accept: string;
  readonly token?: string;
  readonly contentType?: string;
  readonly range?: string;
  readonly body?: string | Uint8Array<ArrayBuffer>;
  /**
   * The exchange fails if the answer's head, or the next piece of its body, takes longer than this.
   */
  readonly idleMs: number;
  readonly signal: AbortSignal;
}

/** A problem's body needs little: a detail and a few numbers. */
const PROBLEM_BYTES_MAX = 1024 * 1024;
/** A body that is slower than this over such a time is not meant to arrive. */
const DRIP_WINDOW_MS = 20_000;
const DRIP_BYTES_PER_SECOND_MIN = 256;

/** An answer whose head was checked. Its body is read through `pieces`. */
export interface Answer {
  /** The body as it arrives. If the reader leaves early, that ends the exchange. */
  pieces(): AsyncGenerator<Uint8Array, void, undefined>;
}

/**
 * Sends a request.
 *
 * @param contentType the only type that a good answer may have.
 * @throws {SyncedError} `server_unreachable`, `unauthenticated`, `not_a_synced_server`,
 * `protocol_violation`, or the code of the server's problem; an `AbortError` when the signal
 * aborts. If the answer is one that no synced server gives, its status is in the extensions: see
 * `strangeStatus`.
 */
export async function send(
  options: ExchangeOptions,
  outgoing: Outgoing,
  contentType: string,
): Promise<Answer> {
  const { transport, clock, servers } = options;
  const serverUrl = servers.current;
  if (outgoing.signal.aborted) throw givenUp();
  const ended = new AbortController();
  const isStream = contentType === "text/event-stream";
  const idle = new IdleGuard(clock, outgoing.idleMs, ended, isStream);
  const stop = () => idle.giveUp();
  outgoing.signal.addEventListener("abort", stop, { once: true });
  const close = () => {
    outgoing.signal.removeEventListener("abort", stop);
    ended.abort();
  };
  const request = new Request(`${serverUrl}${outgoing.path}`, {
    method: outgoing.method,
    headers: requestHeaders(outgoing),
    redirect: "manual",
    signal: ended.signal,
    ...(outgoing.body === undefined ? undefined : { body: outgoing.body }),
  });
  try {
    const response = await idle.wait(transport(request));
    // JSON is ASCII except for names, so the text's length is close enough.
    options.instruments?.bytesMoved("up", outgoing.body?.length ?? 0);
    await checkHead(response, contentType, idle).catch((error: unknown) => {
      const place = transport.describe?.(serverUrl) ?? serverUrl;
      throw withRetryAfter(forPerson(error, place, outgoing.token !== undefined), response);
    });
    return { pieces: () => readPieces(response, idle, close, options.instruments) };
  } catch (error) {
    close();
    if (isUnreachable(error)) servers.leave(serverUrl);
    throw error;
  }
}

/** Sends a request and reads a whole JSON answer. */
export async function sendForJson(
  options: ExchangeOptions,
  outgoing: Outgoing,
  bytesMax: number,
): Promise<unknown> {
  const answer = await send(options, outgoing, "application/json");
  const bytes = await collect(answer.pieces(), bytesMax);
  return parseAnsweredJson(bytes);
}

/** @throws {SyncedError} `protocol_violation` */
export function parseAnsweredJson(source: Uint8Array | string): unknown {
  try {
    return parseJson(source);
  } catch (cause) {
    const message = "Cannot read the server's answer: it is not sound JSON";
    throw new SyncedError("protocol_violation", message, { cause });
  }
}

function requestHeaders(outgoing: Outgoing): Headers {
  const headers = new Headers({
    accept: `${outgoing.accept}, application/problem+json`,
    "accept-encoding": "identity",
    "synced-protocol": String(PROTOCOL_VERSION),
  });
  if (outgoing.token !== undefined) headers.set("authorization", `Bearer ${outgoing.token}`);
  if (outgoing.contentType !== undefined) headers.set("content-type", outgoing.contentType);
  if (outgoing.range !== undefined) headers.set("range", outgoing.range);
  return headers;
}

/**
 * Ends the exchange if a step takes too long or the caller gives up; both leave nothing waiting.
 * One timer serves all steps: it looks how long the current step has taken.
 */
class IdleGuard {
  readonly #clock: Clock;
  readonly #idleMs: number;
  readonly #ended: AbortController;
  /** When the current step began, and how to make it fail. */
  #step: { readonly sinceMs: number; readonly fail: (reason: Error) => void } | undefined;
  #reason: Error | undefined;
  readonly #hasFloor: boolean;
  #floor: { readonly sinceMs: number; bytes: number } | undefined;

  /** @param isStream a body that lasts, and has no floor of speed */
  constructor(clock: Clock, idleMs: number, ended: AbortController, isStream: boolean) {
    this.#clock = clock;
    this.#idleMs = idleMs;
    this.#hasFloor = !isStream;
    this.#ended = ended;
    void this.#watch();
  }

  /**
   * Tells of so many bytes that have come. A body that drips keeps each step short and never ends.
   */
  took(bytes: number): void {
    if (!this.#hasFloor) return;
    const now = this.#clock.monotonic();
    this.#floor ??= { sinceMs: now, bytes: 0 };
    this.#floor.bytes += bytes;
    const tookMs = now - this.#floor.sinceMs;
    if (tookMs < DRIP_WINDOW_MS) return;
    if (this.#floor.bytes < (DRIP_BYTES_PER_SECOND_MIN * tookMs) / 1_000) {
      const floor = `${DRIP_BYTES_PER_SECOND_MIN} bytes a second`;
      const message = `The server's answer comes slower than ${floor}`;
      this.#end(new SyncedError("server_unreachable", message));
    }
    this.#floor = { sinceMs: now, bytes: 0 };
  }

  giveUp(): void {
    this.#end(givenUp());
  }

  /** Waits for one step of the exchange. If something else ended it, throws that reason. */
  async wait<Value>(step: Promise<Value>): Promise<Value> {
    if (this.#reason !== undefined) {
      step.catch(() => undefined);
      throw this.#reason;
    }
    try {
      const value = await new Promise<Value>((resolve, reject) => {
        this.#step = { sinceMs: this.#clock.monotonic(), fail: reject };
        step.then(resolve, reject);
      });
      if (this.#reason !== undefined) throw this.#reason;
      return value;
    } catch (error) {
      throw this.#reason ?? transportFailure(error);
    } finally {
      this.#step = undefined;
    }
  }

  async #watch(): Promise<void> {
    let delayMs = this.#idleMs;
    while (delayMs > 0) {
      await this.#clock.sleep(delayMs, this.#ended.signal);
      if (this.#ended.signal.aborted) return;
      const sinceMs = this.#step?.sinceMs ?? this.#clock.monotonic();
      delayMs = sinceMs + this.#idleMs - this.#clock.monotonic();
    }
    const message = `No answer from the server for ${Math.round(this.#idleMs / 1000)} s`;
    this.#end(new SyncedError("server_unreachable", message));
  }

  #end(reason: Error): void {
    this.#reason ??= reason;
    this.#step?.fail(this.#reason);
    this.#ended.abort();
  }
}

function givenUp(): DOMException {
  return new DOMException("The request was given up", "AbortError");
}

/**
 * The transport says why there is no answer. If an answer's body breaks off, the error comes raw.
 */
function transportFailure(cause: unknown): SyncedError {
  if (cause instanceof SyncedError) return cause;
  const message = "Cannot reach the server: the connection broke";
  return new SyncedError("server_unreachable", message, { cause });
}

async function checkHead(response: Response, wanted: string, idle: IdleGuard): Promise<void> {
  const encoding = response.headers.get("content-encoding");
  if (encoding !== null && encoding !== "identity") {
    // Bodies are never inflated, because 300 KB may become 300 MB (B63).
    throw new SyncedError("protocol_violation", "Cannot read the answer: it is compressed");
  }
  const type = mediaType(response);
  if (response.ok && (response.status === 204 || type === wanted)) return;
  if (!response.ok && type === "application/problem+json") {
    const bytes = await collect(
      readPieces(response, idle, () => undefined),
      PROBLEM_BYTES_MAX,
    );
    const problem = parseProblem(parseAnsweredJson(bytes));
    throw problemError(problem, response);
  }
  throw strangerError(response, type);
}

/** @returns the status, if the error is an answer that no synced server gives. */
export function strangeStatus(error: unknown): number | undefined {
  const status = error instanceof SyncedError ? error.extensions[STATUS_KEY] : undefined;
  return typeof status === "number" ? status : undefined;
}

const STATUS_KEY = "status";

/** Adds which server it was and what a person can do. */
function forPerson(error: unknown, place: string, hasToken: boolean): unknown {
  if (!(error instanceof SyncedError)) return error;
  const { code, extensions } = error;
  if (code === "not_a_synced_server") {
    const message = `Cannot use ${place}: ${error.message}; check the address`;
    return new SyncedError(code, message, { cause: error, extensions });
  }
  if (code === "server_unreachable" && strangeStatus(error) !== undefined) {
    return new SyncedError(code, `Cannot reach ${place}: ${error.message}`, {
      cause: error,
      extensions,
    });
  }
  if (code === "unauthenticated") {
    const message = hasToken
      ? `Cannot sync with ${place}: it does not accept the token; check the one you gave it`
      : `Cannot sync with ${place}: it wants a token; use --token-file or SYNCED_TOKEN`;
    return new SyncedError(code, message, { cause: error, extensions });
  }
  if (code === "token_revoked" || code === "token_expired") {
    const what = code === "token_revoked" ? "the token was revoked" : "the token has expired";
    const message = `Cannot sync with ${place}: ${what}; get a new one there: synced token create`;
    return new SyncedError(code, message, { cause: error, extensions });
  }
  if (code === "storage_full") {
    const message = `Cannot send to ${place}: the server's disk is full; free some space there`;
    return new SyncedError(code, message, { cause: error });
  }
  return error;
}

/** RFC 9110, section 10.2.3. Only seconds are read, because a date needs clocks that agree. */
function withRetryAfter(error: unknown, { headers }: Response): unknown {
  const seconds = /^\s*(\d{1,9})\s*$/.exec(headers.get("retry-after") ?? "")?.[1];
  if (seconds === undefined || !(error instanceof SyncedError)) return error;
  const { code, message, cause, extensions } = error;
  const retryAfterMs = Math.min(Number(seconds) * 1000, RETRY_AFTER_MS_MAX);
  return new SyncedError(code, message, { cause, extensions, retryAfterMs });
}

/**
 * Keeps codes that the engine can act on, and turns the others into one code for their class of
 * status.
 */
function problemError(problem: SyncedError | undefined, response: Response): SyncedError {
  if (problem === undefined) return strangerError(response, "application/problem+json");
  const { status } = response;
  const code: ErrorCode = problem.code;
  if (status >= 500 && code !== "storage_full" && code !== "chunk_corrupt") {
    return new SyncedError("server_unreachable", `The server is in trouble: ${problem.message}`, {
      cause: problem,
    });
  }
  return problem;
}

/**
 * The error for an answer that no synced server gives: a proxy's error page, a captive portal,
 * another program.
 */
function strangerError({ status, headers }: Response, type: string): SyncedError {
  const extensions = { [STATUS_KEY]: status };
  if (status >= 500 || status === 429 || status === 408) {
    const message = `it, or a proxy before it, answered ${status}`;
    return new SyncedError("server_unreachable", message, { extensions });
  }
  if (status === 401 || status === 407) {
    const { title } = ERROR_KINDS.unauthenticated;
    return new SyncedError("unauthenticated", title, { extensions });
  }
  const target = headers.get("location");
  if (status >= 300 && status < 400 && target !== null) {
    const message = `it redirects to ${target.slice(0, 200)}`;
    return new SyncedError("not_a_synced_server", message, { extensions });
  }
  const shown = type === "" ? "without a type" : `as ${type.slice(0, 80)}`;
  const message = `it answered ${status} ${shown}, which synced never does`;
  return new SyncedError("not_a_synced_server", message, { extensions });
}

function mediaType(response: Response): string {
  const type = response.headers.get("content-type") ?? "";
  return (type.split(";", 1)[0] ?? "").trim().toLowerCase();
}

async function* readPieces(
  response: Response,
  idle: IdleGuard,
  close: () => void,
  instruments?: ExchangeOptions["instruments"],
): AsyncGenerator<Uint8Array, void, undefined> {
  const reader = response.body?.getReader();
  try {
    while (reader !== undefined) {
      const { done, value } = await idle.wait(reader.read());
      if (done) return;
      idle.took(value.length);
      instruments?.bytesMoved("down", value.length);
      yield value;
    }
  } finally {
    // Cancelling lets go of the connection, also if the reader stopped in the middle.
    reader?.cancel().catch(() => undefined);
    close();
  }
}

/** @throws {SyncedError} `protocol_violation` beyond `bytesMax` (B62) */
async function collect(pieces: AsyncIterable<Uint8Array>, bytesMax: number): Promise<Uint8Array> {
  const kept: Uint8Array[] = [];
  let total = 0;
  for await (const piece of pieces) {
    total += piece.length;
    if (total > bytesMax) {
      throw new SyncedError("protocol_violation", `The answer has more than ${bytesMax} bytes`);
    }
    kept.push(piece);
  }
  const [first] = kept;
  if (kept.length === 1 && first !== undefined) return first;
  const whole = new Uint8Array(total);
  let offset = 0;
  for (const piece of kept) {
    whole.set(piece, offset);
    offset += piece.length;
  }
  return whole;
}
