/**
 * Reads bodies and bounds their media type, encoding, size and pace. Rules: H4, H8. Sizes are
 * checked against Content-Length first and again while reading. A body that trickles in ends with
 * `request_timeout`.
 */
import { SyncedError } from "../core/error.ts";
import type { Clock } from "../ports/clock.ts";
import { parseJson } from "../protocol/json.ts";
import { PACK_MEDIA_TYPE } from "../protocol/pack.ts";
import type { Call, Endpoint } from "./endpoint.ts";

/** A body may take this long, and in addition as long as its bytes take at the slowest pace. */
const PATIENCE_MS = 10_000;
/** A longer silence ends the body, however much came before. */
const SILENCE_MS_MAX = 30_000;
/** 1 KiB/s, which is slower than any modem (B50). */
const MS_PER_BYTE = 1000 / 1024;

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

/** Bodies up to this size are read at once. */
const SINGLE_READ_BYTES_MAX = 1024 * 1024;

/** A body may take long to come. When it is there, the requester must still be admitted (K4). */
export type BodyCall = Pick<Call, "request" | "confirm">;

/** Reads a whole JSON body; undefined if there is none. */
export async function readJson(call: BodyCall, options: BodyOptions): Promise<unknown> {
  const bytes = await readBody(call, options);
  return bytes.length === 0 ? undefined : parseJson(bytes);
}

export interface BodyOptions {
  readonly bytesMax: number;
  readonly clock: Clock;
  /** Gives memory for a body of that length. @default fresh memory */
  readonly memory?: (lengthBytes: number) => Uint8Array;
}

/** @throws {SyncedError} `body_too_large`, `request_timeout`, and as `Call.confirm` does */
export async function readBody(call: BodyCall, options: BodyOptions): Promise<Uint8Array> {
  const { request } = call;
  const { bytesMax, clock, memory } = options;
  const declared = declaredLength(request);
  if (declared !== undefined && declared > bytesMax) throw tooLarge(bytesMax);
  if (declared !== undefined && declared <= SINGLE_READ_BYTES_MAX) {
    // HTTP's framing bounds this body. One read without a stream is several times faster.
    const alarm = new Alarm(clock);
    try {
      const bytes = new Uint8Array(await alarm.bound(request.arrayBuffer(), patience(declared)));
      call.confirm();
      return bytes;
    } finally {
      alarm.close();
    }
  }
  const whole = declared === undefined ? undefined : memory?.(declared);
  const pieces: Uint8Array[] = [];
  let total = 0;
  for await (const piece of readStream(call, clock)) {
    if (total + piece.length > (declared ?? bytesMax)) throw tooLarge(declared ?? bytesMax);
    if (whole === undefined) pieces.push(piece);
    else whole.set(piece, total);
    total += piece.length;
  }
  if (whole !== undefined) return whole.subarray(0, total);
  const [first] = pieces;
  return pieces.length === 1 && first !== undefined ? first : concatenate(pieces, total);
}

/**
 * Reads a body piece by piece, as fast as the caller takes it, however long it is.
 *
 * @throws {SyncedError} `request_timeout` if it comes too slowly or breaks off, and as
 * `Call.confirm` does
 */
export async function* readStream(
  { request, confirm }: BodyCall,
  clock: Clock,
): AsyncGenerator<Uint8Array> {
  if (request.body === null) return;
  const reader = request.body.getReader();
  const alarm = new Alarm(clock);
  let waitedMs = 0;
  let total = 0;
  let ended = false;
  try {
    for (;;) {
      const since = clock.monotonic();
      const waitMs = Math.min(SILENCE_MS_MAX, patience(total) - waitedMs);
      const { done, value } = await alarm.bound(reader.read(), waitMs);
      // Only waiting time counts, because the time to store the pieces is not the sender's fault.
      waitedMs += clock.monotonic() - since;
      if (done) {
        ended = true;
        confirm();
        return;
      }
      total += value.length;
      yield value;
    }
  } finally {
    alarm.close();
    if (!ended) reader.cancel().catch(() => undefined);
  }
}

function patience(byteCount: number): number {
  return PATIENCE_MS + byteCount * MS_PER_BYTE;
}

/**
 * Bounds how long each step of a body takes. One timer serves many steps: a body has hundreds of
 * pieces, and most of them are there at once.
 */
class Alarm {
  readonly #clock: Clock;
  readonly #ended = new AbortController();
  #rings: Promise<void> | undefined;
  #ringsAtMs = Number.POSITIVE_INFINITY;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** @throws {SyncedError} `request_timeout` if the step takes longer, or fails. */
  async bound<Value>(step: Promise<Value>, waitMs: number): Promise<Value> {
    const untilMs = this.#clock.monotonic() + Math.max(0, waitMs);
    const outcome = step.then(arrived, brokenOff);
    for (;;) {
      const winner = await Promise.race([outcome, this.#ringing(untilMs)]);
      if (winner !== undefined) return winner.value;
      this.#rings = undefined;
      if (this.#clock.monotonic() < untilMs) continue;
      outcome.catch(() => undefined);
      throw new SyncedError("request_timeout", "Cannot go on: the body comes too slowly");
    }
  }

  close(): void {
    this.#ended.abort();
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

function declaredLength(request: Request): number | undefined {
  const text = request.headers.get("content-length");
  if (text === null || !CONTENT_LENGTH.test(text)) return undefined;
  return Number(text);
}

function tooLarge(bytesMax: number): SyncedError {
  return new SyncedError("body_too_large", `Cannot accept a body of more than ${bytesMax} bytes`);
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
