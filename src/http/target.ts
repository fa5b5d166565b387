/**
 * A request's target: reads host, path and query from the raw text. Rules: H3, H8.
 *
 * It never uses `new URL()`, because that throws on Host headers that Bun lets through, and
 * resolves and decodes before anybody could check (B6, B7, B75).
 */
import { SyncedError } from "../core/error.ts";

const AUTHORITY = /^[a-z]+:\/\/([^/?#]*)/i;
const HOST =
  /^(\[[0-9a-f:.]{2,45}\]|[a-z0-9_](?:[a-z0-9._-]{0,253}[a-z0-9_])?\.?)(?::[0-9]{1,5})?$/i;
const LOOPBACK = /^(?:localhost|127(?:\.[0-9]{1,3}){3}|\[::1\])$/i;

/** The longest query parameter: a path of 4,096 bytes, each percent-encoded. */
const PARAMETER_LENGTH_MAX = 3 * 4096;

/** The raw path, for Hono's `getPath`. Nothing is decoded. "*" and the like become "/". */
export function rawPath(request: Request): string {
  const target = request.url.replace(AUTHORITY, "");
  const end = target.search(/[?#]/);
  const path = end === -1 ? target : target.slice(0, end);
  return path.startsWith("/") ? path : "/";
}

/**
 * The host that the requester names: `name`, or `name:port`.
 *
 * @throws {SyncedError} `invalid_host` if there is none, if there are several (Bun joins two with a
 * comma), or if it is no host.
 */
export function requestHost(request: Request): string {
  const host = request.headers.get("host") ?? AUTHORITY.exec(request.url)?.[1] ?? "";
  if (!HOST.test(host)) {
    throw new SyncedError("invalid_host", "Cannot answer: the Host header is missing or malformed");
  }
  return host.toLowerCase();
}

export function isLoopbackHost(host: string): boolean {
  return LOOPBACK.test(host.replace(/:[0-9]+$/, ""));
}

const LOOPBACK_ADDRESS = /^(?:(?:::ffff:)?127(?:\.[0-9]{1,3}){3}|::1)$/i;

/** True for the address of a program on this machine. */
export function isLoopbackAddress(address: string): boolean {
  return LOOPBACK_ADDRESS.test(address);
}

/**
 * Parses the query parameters.
 *
 * @throws {SyncedError} `invalid_parameter` for a name that is not in `known`, for a repeated name,
 * and for text that is not percent-encoded UTF-8.
 */
export function parseQuery(
  request: Request,
  known: readonly string[],
): ReadonlyMap<string, string> {
  const query = new Map<string, string>();
  const start = request.url.indexOf("?");
  if (start === -1) return query;
  const hash = request.url.indexOf("#", start);
  const text = request.url.slice(start + 1, hash === -1 ? undefined : hash);
  for (const part of text.split("&", known.length + 2)) {
    if (part === "") continue;
    const equals = part.indexOf("=");
    const name = decode(equals === -1 ? part : part.slice(0, equals));
    if (!known.includes(name)) {
      throw invalid(`the parameter ${JSON.stringify(name.slice(0, 80))} is not known here`);
    }
    if (query.has(name)) throw invalid(`the parameter "${name}" is there twice`);
    query.set(name, equals === -1 ? "" : decode(part.slice(equals + 1)));
  }
  return query;
}

function decode(text: string): string {
  if (text.length > PARAMETER_LENGTH_MAX) throw invalid("a parameter is too long");
  // Forms and most languages' libraries write a space as "+"; they write a plus as %2B.
  const spaced = text.includes("+") ? text.replaceAll("+", " ") : text;
  if (!spaced.includes("%")) return spaced;
  try {
    return decodeURIComponent(spaced);
  } catch (cause) {
    throw new SyncedError(
      "invalid_parameter",
      "Cannot answer: a parameter is not percent-encoded UTF-8",
      { cause },
    );
  }
}

function invalid(reason: string): SyncedError {
  return new SyncedError("invalid_parameter", `Cannot answer: ${reason}`);
}
