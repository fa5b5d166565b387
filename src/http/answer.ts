/**
 * Makes answers: JSON, problems and byte streams, each with the security headers. Rules: H1, B70,
 * B74.
 */
import { type ErrorCode, SyncedError } from "../core/error.ts";

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

/**
 * After these codes, unread bytes of the request may still come, so the connection is not used
 * again.
 */
const CLOSING_CODES: ReadonlySet<ErrorCode> = new Set([
  "unauthenticated",
  "token_expired",
  "token_revoked",
  "forbidden",
  "unexpected_body",
  "body_too_large",
  "request_timeout",
  "unsupported_encoding",
  "unsupported_media_type",
]);

export function jsonAnswer(
  value: unknown,
  status = 200,
  headers?: Readonly<Record<string, string>>,
): Response {
  return new Response(JSON.stringify(value), {
    status,
    headers: { ...SECURITY_HEADERS, "content-type": "application/json", ...headers },
  });
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
  if (httpStatus === 401) headers["www-authenticate"] = "Bearer";
  if (known.code === "method_not_allowed") headers["allow"] = String(known.extensions["allow"]);
  if (known.code === "range_not_satisfiable") {
    headers["content-range"] = `bytes */${String(known.extensions["size"])}`;
  }
  if (retriable && httpStatus >= 429) headers["retry-after"] = "1";
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

/**
 * A body from an iterable, one item for each pull. If the reader leaves, the iterable ends, and
 * that is no error.
 *
 * @param onError called if the iterable throws. The reader then sees a broken body, never a short
 * one.
 */
export function streamOf(
  bytes: AsyncIterable<Uint8Array>,
  onError: (error: unknown) => void,
): ReadableStream<Uint8Array> {
  const iterator = bytes[Symbol.asyncIterator]();
  let isLeft = false;
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          const { done, value } = await iterator.next();
          // RACE: the reader left while the item was read, so its stream takes nothing any more.
          if (isLeft) return;
          if (done === true) controller.close();
          else controller.enqueue(value);
        } catch (error) {
          onError(error);
          if (!isLeft) controller.error(error);
        }
      },
      async cancel() {
        isLeft = true;
        await iterator.return?.();
      },
    },
    { highWaterMark: 0 },
  );
}
