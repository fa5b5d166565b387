/**
 * Decides who is let in, before any byte of a body is read: by host, origin, token and protocol,
 * then by what the endpoint needs.
 * Rules: H2, H3, K1. Every request passes through here, and nothing else decides it.
 */
import { type Grant, includesAccess, NOTHING, reachesFolder } from "../core/access.ts";
import { assert, SyncedError } from "../core/error.ts";
import { PROTOCOL_VERSION } from "../protocol/messages.ts";
import type { Caller, Need, Route, RouterOptions } from "./endpoint.ts";
import { isLoopbackAddress, isLoopbackHost, requestHost } from "./target.ts";
import { createTokenCheck, type TokenCheckOptions } from "./token-check.ts";

export type AdmissionOptions = TokenCheckOptions &
  Pick<RouterOptions, "loopbackOnly" | "behindProxy" | "tickets">;

const NOBODY: Caller = { grant: NOTHING };

/**
 * @param routes those of which all endpoints need nothing are open. All other paths want a token,
 * known or not.
 * @throws {SyncedError} `invalid_token` for options with a token that is not legal
 * @returns a function that checks one request, its raw path and the address at the other end (which
 * callers in this process do not have), and returns who sends it. It throws `invalid_host`,
 * `misdirected_request`, `csrf`, `unauthenticated`, `token_revoked`, `token_expired`,
 * `ticket_expired`, `rate_limited` or `upgrade_required`.
 */
export function createAdmission(
  options: AdmissionOptions,
  routes: readonly Route[],
): (request: Request, path: string, peer: string | undefined) => Caller {
  const callerOf = createTokenCheck(options);
  const openPaths = new Set(routes.filter(isOpen).map(({ pattern }) => pattern));
  const linkPrefixes = routes.filter(isOpenedByLink).map(({ pattern }) => beforeLink(pattern));
  const documents = routes.filter(({ isDocument }) => isDocument === true);
  const documentPaths = new Set(documents.map(({ pattern }) => pattern));
  return (request, path, peer) => {
    const host = requestHost(request);
    checkPeer(options, peer);
    if (options.loopbackOnly && !isLoopbackHost(host)) {
      // Stops DNS rebinding: a page of another name that now resolves to 127.0.0.1 (B72).
      throw new SyncedError(
        "misdirected_request",
        "Cannot answer: this server is bound to loopback and answers to loopback names only; ask " +
          "for 127.0.0.1, or start it with --host",
      );
    }
    const isLink = linkPrefixes.some((prefix) => path.startsWith(prefix));
    const isDocument = isLink || documentPaths.has(path);
    if (!isDocument || !isNavigation(request)) checkOrigin(request, host);
    const address = addressOf(request, peer, options);
    const caller =
      isLink || openPaths.has(path)
        ? NOBODY
        : (ticketHolder(options, request, path) ??
          callerOf(request.headers.get("authorization"), address));
    checkProtocol(request.headers.get("synced-protocol"));
    return { ...caller, address };
  };
}

/** The bytes of a folder; a ticket opens nothing else. */
const WITH_TICKET = /^\/v1\/folders\/[^/]+\/(?:files|archive|contents\/[^/]+)$/;

/**
 * Whoever shows a ticket and no token, where a ticket is good for something.
 *
 * @throws {SyncedError} `ticket_expired`, `token_revoked`, `token_expired`
 */
function ticketHolder(
  { tickets, tokens }: AdmissionOptions,
  request: Request,
  path: string,
): Caller | undefined {
  const { method, headers, url } = request;
  const isRead = method === "GET" || method === "HEAD";
  if (!isRead || headers.has("authorization") || !WITH_TICKET.test(path)) return undefined;
  const text = /[?&]ticket=([^&#]*)/.exec(url)?.[1];
  if (tickets === undefined || text === undefined) return undefined;
  const { folder, token } = tickets.check(text);
  const grant = { access: "read", folders: new Set([folder]) } as const;
  if (token === undefined) return { grant };
  tokens?.confirm(token);
  return { grant, token };
}

/**
 * Refuses whoever speaks to this server past what keeps others away: a runtime that listens on all
 * addresses although nobody asked for it, or a way around the proxy at which TLS ends.
 */
function checkPeer(
  { loopbackOnly, behindProxy }: AdmissionOptions,
  peer: string | undefined,
): void {
  if (peer === undefined || isLoopbackAddress(peer)) return;
  if (loopbackOnly) {
    throw new SyncedError(
      "misdirected_request",
      "Cannot answer: this server is for programs on its own machine; start it with --host",
    );
  }
  if (behindProxy !== undefined && plainAddress(peer) !== behindProxy) {
    throw new SyncedError("misdirected_request", "Cannot answer: ask this server's proxy");
  }
}

/** Whose tokens are counted. Only the proxy's word is taken for another address (B78). */
function addressOf(
  { headers }: Request,
  peer: string | undefined,
  { behindProxy }: AdmissionOptions,
): string | undefined {
  if (peer === undefined || behindProxy !== plainAddress(peer)) return peer;
  // The proxy appends the address that it sees itself. All before that is hearsay.
  return headers.get("x-forwarded-for")?.split(",").at(-1)?.trim().slice(0, 45) ?? peer;
}

/** An IPv4 address may come dressed as an IPv6 one. */
function plainAddress(address: string): string {
  return address.replace(/^::ffff:/i, "");
}

/** True if whoever has a link comes in there, with no more than that. */
function isOpenedByLink({ methods }: Route): boolean {
  return Object.values(methods).some(({ needs }) => needs === "link");
}

function beforeLink(pattern: string): string {
  return pattern.slice(0, pattern.indexOf(":"));
}

/** True if nobody needs a token there. */
function isOpen({ pattern, methods }: Route): boolean {
  const needs = Object.values(methods).map((endpoint) => endpoint.needs);
  if (!needs.includes("nothing")) return false;
  assert(!/[:*]/.test(pattern), "an open route is a plain path");
  assert(
    needs.every((need) => need === "nothing"),
    "a route is open with all its methods",
  );
  return true;
}

/**
 * Checks a grant against what an endpoint needs.
 *
 * @param folder the one that the path names, if the route's pattern names one. A folder out of
 * reach is answered as one that does not exist, before anybody looks (I39).
 * @throws {SyncedError} `forbidden`, `folder_not_found`
 */
export function authorise(grant: Grant, need: Need, folder: string | undefined): void {
  if (need === "nothing" || need === "link") return;
  if (folder !== undefined && !reachesFolder(grant, folder)) {
    throw new SyncedError("folder_not_found", `Cannot find folder "${folder.slice(0, 80)}"`);
  }
  if (need === "token") return;
  if (folder === undefined && grant.folders !== "all") {
    throw new SyncedError("forbidden", "Cannot answer: the token is not for all folders");
  }
  if (includesAccess(grant, need)) return;
  throw new SyncedError(
    "forbidden",
    `Cannot answer: this needs ${need} access, and the token gives ${grant.access} only`,
  );
}

/** True if a person followed a link or typed the address, wherever the link stood. */
function isNavigation({ method, headers }: Request): boolean {
  const isWhole = headers.get("sec-fetch-mode") === "navigate";
  return method === "GET" && isWhole && headers.get("sec-fetch-dest") === "document";
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

function checkProtocol(header: string | null): void {
  if (header === null || header === String(PROTOCOL_VERSION)) return;
  throw new SyncedError(
    "upgrade_required",
    `Cannot answer: this server speaks protocol ${PROTOCOL_VERSION}`,
    { extensions: { supported: [PROTOCOL_VERSION] } },
  );
}
