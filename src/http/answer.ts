/**
 * Makes answers: JSON, problems and byte streams, each with the security headers. Rules: H1, H21,
 * B70, B74.
 */
import { type ErrorCode, SyncedError } from "../core/error.ts";
import type { Clock } from "../ports/clock.ts";
import type { CallMemory } from "./memory-budget.ts";

/** A reader that takes nothing for so long is left, the latter while others wait for memory. */
const STALLED_MS = 60_000;
const STALLED_SCARCE_MS = 5_000;

/**
 * A browser may not run, frame, sniff or cache an answer, nor tell other sites where it came from.
 */
const SECURITY_HEADERS: Readonly<Record<string, string>> = {
  "cache-control": "no-store",
  "content-security-policy": "default-src 'none'; frame-ancestors 'none'; sandbox",
  "cross-origin-resource-policy": "same-origin",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
};

/** Most of what passes by itself has passed in a second. */
const RETRY_AFTER_MS = 1_000;

/**
 * After these codes, unread bytes of the request may still come, so the connection is not used
 * again.
 */
const CLOSING_CODES: ReadonlySet<ErrorCode> = new Set([
  "unauthenticated",
  "token_expired",
  "token_revoked",
  "forbidden",
  "rate_limited",
  "unexpected_body",
  "body_too_large",
  "request_timeout",
  "unsupported_encoding",
  "unsupported_media_type",
  "temporarily_unavailable",
]);

export function jsonAnswer(
  value: unknown,
  status = 200,
  headers?: Readonly<Record<string, string>>,
): Response {
  return jsonTextAnswer(JSON.stringify(value), status, headers);
}

/** @param text is JSON */
export function jsonTextAnswer(
  text: string,
  status = 200,
  headers?: Readonly<Record<string, string>>,
): Response {
  return new Response(text, {
    status,
    headers: { ...SECURITY_HEADERS, "content-type": "application/json", ...headers },
  });
}

/** Smaller answers are one packet or few, however they are sent. */
const PACKED_LENGTH_MIN = 8 * 1024;

/**
 * Gzips JSON for a browser if it is long. Only for answers without a secret: next to text that
 * somebody else chooses, their length would tell it.
 *
 * @returns undefined if it is to be sent as it is
 */
export async function packedFor(
  request: Request,
  text: string,
): Promise<Uint8Array<ArrayBuffer> | undefined> {
  return text.length < PACKED_LENGTH_MIN || !takesGzip(request) ? undefined : await gzip(text);
}

/** RFC 9110, section 12.5.3. */
export function takesGzip({ headers }: Request): boolean {
  const asked = headers.get("accept-encoding") ?? "";
  return /\bgzip\b(?!\s*;\s*q=0(?:\.0*)?\s*(?:,|$))/i.test(asked);
}

/** The runtime packs beside the event loop. */
export async function gzip(text: string): Promise<Uint8Array<ArrayBuffer>> {
  const stream = new Blob([text]).stream().pipeThrough(new CompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** @param status one that has no body: 204 or 304 */
export function emptyAnswer(status: number, headers?: Readonly<Record<string, string>>): Response {
  return new Response(null, { status, headers: { ...SECURITY_HEADERS, ...headers } });
}

/** @param body null answers a HEAD. A stream is read only as fast as the requester takes it. */
export function bytesAnswer(
  body: ReadableStream<Uint8Array> | Uint8Array<ArrayBuffer> | null,
  headers: Readonly<Record<string, string>>,
  status = 200,
): Response {
  return new Response(body, { status, headers: { ...SECURITY_HEADERS, ...headers } });
}

/**
 * A problem as in RFC 9457. An error of another class becomes `internal`, and its message is not
 * sent.
 */
export function problemAnswer(error: unknown, requestId: string): Response {
  const known = error instanceof SyncedError ? error : new SyncedError("internal", "");
  const { httpStatus, title, retriable } = known.kind;
  const headers: Record<string, string> = {
    ...SECURITY_HEADERS,
    "content-type": "application/problem+json",
  };
  if (httpStatus === 401) headers["www-authenticate"] = challengeOf(known.code);
  if (known.code === "method_not_allowed") headers["allow"] = String(known.extensions["allow"]);
  if (known.code === "range_not_satisfiable") {
    headers["content-range"] = `bytes */${String(known.extensions["size"])}`;
  }
  if (retriable && httpStatus >= 429) {
    const waitMs = known.retryAfterMs ?? RETRY_AFTER_MS;
    headers["retry-after"] = String(Math.ceil(waitMs / 1000));
  }
  if (CLOSING_CODES.has(known.code)) headers["connection"] = "close";
  const problem = {
    ...known.extensions,
    type: `urn:synced:problem:${known.code}`,
    title,
    status: httpStatus,
    // Messages of 5xx may name places on the server's disk, so they go only to the log.
    detail: httpStatus >= 500 ? `${title}; the server's log has more` : known.message,
    instance: `urn:synced:request:${requestId}`,
    code: known.code,
    request_id: requestId,
  };
  return new Response(JSON.stringify(problem), { status: httpStatus, headers });
}

/** A link's password is asked for by the browser itself. */
function challengeOf(code: ErrorCode): string {
  return code === "link_password" ? 'Basic realm="synced link", charset="UTF-8"' : "Bearer";
}

export interface StreamOptions {
  /** Called if the iterable throws. The reader then sees a broken body, never a short one. */
  readonly onError: (error: unknown) => void;
  /** Called once, when the body was sent, has failed, or is wanted no more. */
  readonly onEnd?: () => void;
  readonly clock: Clock;
  readonly memory: CallMemory;
}

/**
 * A body from an iterable, one item for each pull. If the reader leaves, the iterable ends, and
 * that is no error. A reader that takes nothing for a minute, or for five seconds while others wait
 * for memory, is left.
 */
export function streamOf(
  bytes: AsyncIterable<Uint8Array>,
  { onError, onEnd, clock, memory }: StreamOptions,
): ReadableStream<Uint8Array> {
  const iterator = bytes[Symbol.asyncIterator]();
  let isOver = false;
  let moved = new AbortController();
  const end = () => {
    moved.abort();
    if (isOver) return;
    isOver = true;
    onEnd?.();
  };
  /** Some iterables throw when they are left (the zip's: nothing). No reader is there to be told. */
  const leave = async () => {
    await iterator.return?.().catch(() => undefined);
  };
  async function watchStalled(controller: ReadableStreamDefaultController<Uint8Array>) {
    moved = new AbortController();
    const { signal } = moved;
    const sinceMs = clock.monotonic();
    do {
      await clock.sleep(STALLED_SCARCE_MS, signal);
      if (signal.aborted) return;
    } while (!memory.isScarce && clock.monotonic() - sinceMs < STALLED_MS);
    end();
    controller.error(new SyncedError("request_timeout", "The reader takes nothing any more"));
    await leave();
  }
  return new ReadableStream<Uint8Array>(
    {
      start(controller) {
        void watchStalled(controller);
      },
      async pull(controller) {
        moved.abort();
        try {
          const { done, value } = await iterator.next();
          // RACE: the reader left while the item was read, so its stream takes nothing any more.
          if (isOver) return;
          if (done === true) {
            end();
            controller.close();
            return;
          }
          controller.enqueue(value);
          void watchStalled(controller);
        } catch (error) {
          onError(error);
          const wasOver = isOver;
          end();
          if (!wasOver) controller.error(error);
        }
      },
      async cancel() {
        end();
        await leave();
      },
    },
    { highWaterMark: 0 },
  );
}
