/**
 * Decides who is let in, before any byte of a body is read: by host, origin, token and protocol.
 * Rules: H2, H3. Every route passes through here, and nothing else decides it.
 */
import { type Digest, sha256 } from "../core/digest.ts";
import { SyncedError } from "../core/error.ts";
import { PROTOCOL_VERSION } from "../protocol/messages.ts";
import { parseToken } from "../protocol/token.ts";
import { isLoopbackHost, requestHost } from "./target.ts";

/** Two joined Authorization headers contain a comma and a space, so they do not match (B47). */
const BEARER = /^bearer ([A-Za-z0-9._~+/-]+=*)$/i;

export interface AdmissionOptions {
  readonly token?: string;
  readonly loopbackOnly: boolean;
}

/**
 * @param openPaths the paths of the routes that declare that they need no token. All other paths
 * need one, known or not.
 * @throws {SyncedError} `invalid_token` for options with a token that is not legal
 * @returns a function that checks one request and its raw path. It throws `invalid_host`,
 * `misdirected_request`, `csrf`, `unauthenticated` or `upgrade_required`.
 */
export function createAdmission(
  options: AdmissionOptions,
  openPaths: ReadonlySet<string>,
): (request: Request, path: string) => void {
  const { token } = options;
  const wanted = token === undefined ? undefined : sha256(parseToken(token, "the options"));
  return (request, path) => {
    const host = requestHost(request);
    if (options.loopbackOnly && !isLoopbackHost(host)) {
      // Stops DNS rebinding: a page of another name that now resolves to 127.0.0.1 (B72).
      throw new SyncedError(
        "misdirected_request",
        "Cannot answer: this server is bound to loopback and answers to loopback names only; ask " +
          "for 127.0.0.1, or start it with --host",
      );
    }
    checkOrigin(request, host);
    if (wanted !== undefined && !openPaths.has(path)) {
      checkToken(request.headers.get("authorization"), wanted);
    }
    checkProtocol(request.headers.get("synced-protocol"));
  };
}

/** A page of another site may not make a browser talk to this server, whatever the method (B73). */
function checkOrigin(request: Request, host: string): void {
  const origin = request.headers.get("origin");
  const site = request.headers.get("sec-fetch-site");
  const sameOrigin = origin === null || origin === `http://${host}` || origin === `https://${host}`;
  const sameSite = site === null || site === "same-origin" || site === "none";
  if (!sameOrigin || !sameSite) {
    throw new SyncedError("csrf", "Cannot answer: the request comes from another site's page");
  }
}

function checkToken(header: string | null, wanted: Digest): void {
  // An illegal token is compared as the empty one, which equals no legal token.
  const token = BEARER.exec(header ?? "")?.[1] ?? "";
  if (!equalDigests(sha256(token), wanted)) {
    throw new SyncedError("unauthenticated", "Cannot answer: the bearer token is missing or wrong");
  }
}

/**
 * Compares in constant time. Digests are compared, not tokens, because a digest that time still
 * gave away could not be inverted.
 */
function equalDigests(a: Digest, b: Digest): boolean {
  let difference = a.length ^ b.length;
  for (let index = 0; index < b.length; index++) {
    difference |= a.charCodeAt(index) ^ b.charCodeAt(index);
  }
  return difference === 0;
}

function checkProtocol(header: string | null): void {
  if (header === null || header === String(PROTOCOL_VERSION)) return;
  throw new SyncedError(
    "upgrade_required",
    `Cannot answer: this server speaks protocol ${PROTOCOL_VERSION}`,
    { extensions: { supported: [PROTOCOL_VERSION] } },
  );
}
