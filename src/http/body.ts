/**
 * Reads bodies and bounds their media type, encoding, size, pace and memory. Rules: H4, H8, H21.
 * Sizes are checked against Content-Length first and again while reading. A body that trickles in
 * ends with `request_timeout`.
 */
import { SyncedError } from "../core/error.ts";
import type { Clock } from "../ports/clock.ts";
import { parseJson } from "../protocol/json.ts";
import { PACK_MEDIA_TYPE } from "../protocol/pack.ts";
import type { Call, Endpoint } from "./endpoint.ts";

/** Bytes that may be missing at the slowest pace: ten seconds at the start, half a minute later. */
const CREDIT_BYTES_FIRST = 10 * 1024;
const CREDIT_BYTES_MAX = 30 * 1024;
/** 1 KiB/s, which is slower than any modem (B50). */
const PACE_BYTES_PER_MS = 1024 / 1000;
/** While others wait for the memory that this body holds. */
const SCARCE_PACE_BYTES_PER_MS = 16 * PACE_BYTES_PER_MS;
/** So often a waiting body looks whether memory has become scarce. */
const LOOK_MS = 2_000;
/** A parsed body stands in memory as bytes, as text and as values. */
const JSON_COPIES = 3;

const JSON_TYPE = /^application\/json(?:\s*;\s*charset=(?:utf-8|"utf-8"))?$/i;
const CONTENT_LENGTH = /^[0-9]{1,16}$/;

/**
 * Checks that the headers describe a body which the endpoint takes. Reads nothing.
 *
 * @throws {SyncedError} `unexpected_body`, `unsupported_encoding`, `unsupported_media_type`
 */
export function checkBodyHeaders(request: Request, takes: Endpoint["takes"] = "nothing"): void {
  const { headers } = request;
  const encoding = headers.get("content-encoding");
  if (encoding !== null && encoding.toLowerCase() !== "identity") {
    throw new SyncedError(
      "unsupported_encoding",
      `Cannot read the body: content encoding "${encoding.slice(0, 40)}" is not supported`,
    );
  }
  if (takes === "nothing") {
    if (!isFramed(headers)) return;
    throw new SyncedError("unexpected_body", `Cannot accept a body with ${request.method} here`);
  }
  const type = headers.get("content-type");
  if (takes === "bytes") {
    // A form must be refused, because it would be stored with its framing.
    if (type === null || !/^multipart\//i.test(type)) return;
  } else if (
    (!isFramed(headers) && type === null) ||
    (takes === "json" ? isJson(type) : type === PACK_MEDIA_TYPE)
  ) {
    return;
  }
  const expected = { json: "application/json", pack: PACK_MEDIA_TYPE, bytes: "the file itself" }[
    takes
  ];
  throw new SyncedError("unsupported_media_type", `Cannot read the body: expected ${expected}`);
}

function isJson(type: string | null): boolean {
  return type !== null && JSON_TYPE.test(type);
}

/**
 * True if HTTP announces a body. `Request.body` cannot tell: Bun gives a GET none although one was
 * sent, and Node's server gives every PUT and DELETE one.
 */
function isFramed(headers: Headers): boolean {
  const length = headers.get("content-length");
  return (length !== null && length !== "0") || headers.has("transfer-encoding");
}

/** Bodies up to this size are read at once, and their pace is that of the whole. */
const SINGLE_READ_BYTES_MAX = 256 * 1024;

/** A body may take long to come. When it is there, the requester must still be admitted (K4). */
export type BodyCall = Pick<Call, "request" | "confirm" | "memory" | "stopping">;

/** Reads a whole JSON body; undefined if there is none. */
export async function readJson(call: BodyCall, options: BodyOptions): Promise<unknown> {
  await call.memory.hold(JSON_COPIES * boundOf(call.request, options));
  const bytes = await readBytes(call, options);
  return bytes.length === 0 ? undefined : parseJson(bytes);
}

export interface BodyOptions {
  readonly bytesMax: number;
  readonly clock: Clock;
  /** Gives a buffer for a body of that length. @default fresh memory */
  readonly buffer?: (lengthBytes: number) => Uint8Array;
}

/**
 * @throws {SyncedError} `body_too_large`, `request_timeout`, `temporarily_unavailable`, and as
 * `Call.confirm` does
 */
export async function readBody(call: BodyCall, options: BodyOptions): Promise<Uint8Array> {
  await call.memory.hold(boundOf(call.request, options));
  return await readBytes(call, options);
}

/** @returns the most bytes that the body can have */
function boundOf(request: Request, { bytesMax }: BodyOptions): number {
  if (!isFramed(request.headers)) return 0;
  const declared = declaredLength(request);
  if (declared !== undefined && declared > bytesMax) throw tooLarge(bytesMax);
  return declared ?? bytesMax;
}

async function readBytes(call: BodyCall, options: BodyOptions): Promise<Uint8Array> {
  const { request } = call;
  const { bytesMax, clock, buffer } = options;
  const declared = declaredLength(request);
  if (declared !== undefined && declared <= SINGLE_READ_BYTES_MAX) {
    // HTTP's framing bounds this body. One read without a stream is several times faster.
    const pace = new Pace(clock, call, CREDIT_BYTES_FIRST + declared);
    try {
      const bytes = new Uint8Array(await pace.bound(request.arrayBuffer()));
      call.confirm();
      return bytes;
    } finally {
      pace.close();
    }
  }
  const whole = declared === undefined ? undefined : buffer?.(declared);
  const pieces: Uint8Array[] = [];
  let total = 0;
  for await (const piece of readStream(call, clock)) {
    if (total + piece.length > (declared ?? bytesMax)) throw tooLarge(declared ?? bytesMax);
    const offset = total;
    total += piece.length;
    if (whole === undefined) pieces.push(piece);
    else {
      whole.set(piece, offset);
      free(piece);
    }
  }
  if (whole !== undefined) return whole.subarray(0, total);
  const [first] = pieces;
  return pieces.length === 1 && first !== undefined ? first : concatenate(pieces, total);
}

/**
 * Reads a body piece by piece, as fast as the caller takes it, however long it is.
 *
 * @throws {SyncedError} `request_timeout` if it comes too slowly or breaks off,
 * `temporarily_unavailable` if the server stops, and as `Call.confirm` does
 */
export async function* readStream(call: BodyCall, clock: Clock): AsyncGenerator<Uint8Array> {
  const { body } = call.request;
  if (body === null) return;
  const reader = body.getReader();
  const pace = new Pace(clock, call, CREDIT_BYTES_FIRST);
  let ended = false;
  try {
    for (;;) {
      const { done, value } = await pace.bound(reader.read());
      if (done) {
        ended = true;
        call.confirm();
        return;
      }
      pace.came(value.length);
      yield value;
    }
  } finally {
    pace.close();
    if (!ended) reader.cancel().catch(() => undefined);
  }
}

/**
 * Bounds how slowly a body comes. Bytes that came earn time at the slowest pace, but never more
 * than half a minute of it: otherwise whoever sends 31 MiB at once may keep them here for hours.
 * One timer serves many steps: a body has hundreds of pieces, and most of them are there at once.
 */
class Pace {
  readonly #clock: Clock;
  readonly #call: BodyCall;
  readonly #ended = new AbortController();
  readonly #end = () => this.#ended.abort();
  #creditBytes: number;
  #rings: Promise<void> | undefined;
  #ringsAtMs = Number.POSITIVE_INFINITY;

  constructor(clock: Clock, call: BodyCall, creditBytes: number) {
    this.#clock = clock;
    this.#call = call;
    this.#creditBytes = creditBytes;
    call.stopping.addEventListener("abort", this.#end, { once: true });
  }

  /**
   * @throws {SyncedError} `request_timeout` if the step comes too slowly, or fails,
   * `temporarily_unavailable` if the server stops
   */
  async bound<Value>(step: Promise<Value>): Promise<Value> {
    const outcome = step.then(arrived, brokenOff);
    // Only waiting time counts, because the time to store the pieces is not the sender's fault.
    for (let sinceMs = this.#clock.monotonic(); ; ) {
      if (this.#call.stopping.aborted) {
        outcome.catch(() => undefined);
        throw new SyncedError("temporarily_unavailable", "The server is stopping");
      }
      const leftMs = this.#creditBytes / this.#pace();
      const winner = await Promise.race([
        outcome,
        this.#ringing(sinceMs + Math.min(leftMs, LOOK_MS)),
      ]);
      const now = this.#clock.monotonic();
      this.#creditBytes -= (now - sinceMs) * this.#pace();
      sinceMs = now;
      if (winner !== undefined) return winner.value;
      this.#rings = undefined;
      if (this.#creditBytes > 0) continue;
      outcome.catch(() => undefined);
      throw new SyncedError("request_timeout", "Cannot go on: the body comes too slowly");
    }
  }

  came(byteCount: number): void {
    this.#creditBytes = Math.min(CREDIT_BYTES_MAX, this.#creditBytes + byteCount);
  }

  close(): void {
    this.#call.stopping.removeEventListener("abort", this.#end);
    this.#end();
  }

  #pace(): number {
    return this.#call.memory.isScarce ? SCARCE_PACE_BYTES_PER_MS : PACE_BYTES_PER_MS;
  }

  /** Rings not later than that; it may ring earlier, set for an earlier step. */
  #ringing(untilMs: number): Promise<void> {
    if (this.#rings === undefined || this.#ringsAtMs > untilMs) {
      const leftMs = Math.max(0, untilMs - this.#clock.monotonic());
      this.#rings = this.#clock.sleep(leftMs, this.#ended.signal);
      this.#ringsAtMs = untilMs;
    }
    return this.#rings;
  }
}

function arrived<Value>(value: Value): { readonly value: Value } {
  return { value };
}

function brokenOff(cause: unknown): never {
  throw new SyncedError("request_timeout", "Cannot go on: the body broke off", { cause });
}

/** The body's length in bytes, if the request says it. */
export function declaredLength(request: Request): number | undefined {
  const text = request.headers.get("content-length");
  if (text === null || !CONTENT_LENGTH.test(text)) return undefined;
  return Number(text);
}

function tooLarge(bytesMax: number): SyncedError {
  return new SyncedError("body_too_large", `Cannot accept a body of more than ${bytesMax} bytes`);
}

/** Otherwise the pieces of many large bodies wait for a collection, which comes too late (I42). */
function free({ buffer, byteLength }: Uint8Array): void {
  if (buffer instanceof ArrayBuffer && buffer.byteLength === byteLength) buffer.transfer(0);
}

function concatenate(pieces: readonly Uint8Array[], total: number): Uint8Array {
  const whole = new Uint8Array(total);
  let offset = 0;
  for (const piece of pieces) {
    whole.set(piece, offset);
    offset += piece.length;
  }
  return whole;
}
