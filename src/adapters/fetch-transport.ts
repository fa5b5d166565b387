/**
 * Transport over the runtime's fetch: no redirects, no inflating, connections kept alive. Rules:
 * P3, B63, B64.
 */
import { SyncedError } from "../core/error.ts";
import type { Transport } from "../ports/transport.ts";

/** Bun inflates 300 KB to 300 MB unasked; other runtimes do not know the option. */
const EXCHANGE_OPTIONS: RequestInit & { decompress: boolean } = {
  // Not followed: what asked tells a person where it would lead.
  redirect: "manual",
  decompress: false,
};

/** What runtimes say, and what a person understands. Looked for in the error's code and message. */
const REASONS: readonly (readonly [pattern: RegExp, reason: string])[] = [
  [/ECONNREFUSED|ConnectionRefused|Connection refused/i, "nothing listens there"],
  [/ENOTFOUND|EAI_|DNS|FailedToOpenSocket|getaddrinfo|lookup/i, "its name or address is not found"],
  [/ECONNRESET|ConnectionClosed|EPIPE|connection.*(closed|reset)/i, "the connection broke"],
  [/ETIMEDOUT|Timeout|timed out/i, "the connection timed out"],
  [/ENETUNREACH|EHOSTUNREACH|unreachable/i, "there is no way to it from this network"],
  [/CERT|certificate|SELF_SIGNED/i, "its certificate is not accepted"],
];

/** Somebody answers there, but nobody who speaks what the URL says. */
const STRANGERS: readonly (readonly [pattern: RegExp, reason: string])[] = [
  [/EPROTO|handshake failed|corrupt message|WRONG_VERSION/i, "it does not speak https there"],
  [/Malformed_HTTP|invalid HTTP|InvalidHTTP/i, "it does not speak http there"],
];

/**
 * Sends requests over the network.
 *
 * @returns a transport that rejects with `server_unreachable` for network trouble, with
 * `not_a_synced_server` where something else than HTTP answers; an abort passes through.
 */
export function createFetchTransport(): Transport {
  return async (request) => {
    try {
      return await fetch(request, EXCHANGE_OPTIONS);
    } catch (cause) {
      if (request.signal.aborted) throw cause;
      throw failure(originOf(request), cause);
    }
  };
}

function originOf(request: Request): string {
  return new URL(request.url).origin;
}

function failure(origin: string, cause: unknown): SyncedError {
  const text = describe(cause);
  const strange = STRANGERS.find(([pattern]) => pattern.test(text))?.[1];
  if (strange !== undefined) {
    const message = `Cannot use ${origin}: ${strange}; check the address`;
    return new SyncedError("not_a_synced_server", message, { cause });
  }
  const reason = REASONS.find(([pattern]) => pattern.test(text))?.[1] ?? text;
  return new SyncedError("server_unreachable", `Cannot reach ${origin}: ${reason}`, { cause });
}

/**
 * Code and message of the error and of what caused it: Node and Deno keep the reason in `cause`.
 */
function describe(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause);
  const code = "code" in cause && typeof cause.code === "string" ? `${cause.code} ` : "";
  const inner = cause.cause === undefined ? "" : ` ${describe(cause.cause)}`;
  return `${code}${cause.message}${inner}`;
}
