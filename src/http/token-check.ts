/**
 * Finds who shows a token. Rules: H2, K2, K3, K8.
 *
 * A token that somebody chose may be guessed, so an address that showed many wrong ones is not even
 * let in with the right one for a while. Made tokens cannot be guessed: they are always checked, so
 * that a stranger behind the same proxy locks nobody out.
 */
import { EVERYTHING } from "../core/access.ts";
import { equalDigests, sha256 } from "../core/digest.ts";
import { SyncedError } from "../core/error.ts";
import { parseToken } from "../protocol/token.ts";
import { looksMade, wrongToken } from "../server/tokens.ts";
import type { Caller, RouterOptions } from "./endpoint.ts";
import { Refusals } from "./refusals.ts";

/** Two joined Authorization headers contain a comma and a space, so they do not match (B47). */
const BEARER = /^bearer ([A-Za-z0-9._~+/-]+=*)$/i;

/** The text that a request shows as its token; empty if it shows none. */
export function bearerOf(header: string | null): string {
  return BEARER.exec(header ?? "")?.[1] ?? "";
}

const ANYBODY: Caller = { grant: EVERYTHING };

export type TokenCheckOptions = Pick<
  RouterOptions,
  "token" | "insideToken" | "tokens" | "clock" | "onRefusal"
>;

/**
 * @throws {SyncedError} `invalid_token` for options with a token that is not legal
 * @returns a function that finds the caller by an Authorization header and the address that it
 * comes from. It throws `unauthenticated`, `token_revoked`, `token_expired` or `rate_limited`.
 */
export function createTokenCheck(
  options: TokenCheckOptions,
): (header: string | null, address: string | undefined) => Caller {
  const { token, insideToken, tokens } = options;
  const own = digestOf(token);
  const inside = digestOf(insideToken);
  const refusals = new Refusals(options);
  const find = (shown: string, address: string | undefined): Caller => {
    const digest = sha256(shown);
    if (inside !== undefined && equalDigests(digest, inside)) return ANYBODY;
    if (tokens !== undefined && looksMade(shown)) {
      const { id, access, folders } = tokens.check(shown);
      const reach = folders === "all" ? folders : new Set(folders);
      return { grant: { access, folders: reach }, token: id };
    }
    refusals.check(address);
    if (own !== undefined && equalDigests(digest, own)) return ANYBODY;
    throw wrongToken();
  };
  return (header, address) => {
    if (own === undefined && (tokens === undefined || tokens.isEmpty)) return ANYBODY;
    const shown = bearerOf(header);
    // Whoever shows none guesses nothing.
    if (shown === "") throw wrongToken();
    try {
      return find(shown, address);
    } catch (error) {
      if (!(error instanceof SyncedError) || error.kind.httpStatus !== 401) throw error;
      refusals.check(address);
      refusals.count(address);
      throw error;
    }
  };
}

function digestOf(token: string | undefined) {
  return token === undefined ? undefined : sha256(parseToken(token, "the options"));
}
