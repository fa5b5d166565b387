/** Bearer tokens: checks which are legal. Rules: H2, B43, B47. */
import { SyncedError } from "../core/error.ts";
import { TOKEN_LENGTH_MAX, TOKEN_LENGTH_MIN } from "../core/limits.ts";

/** RFC 6750, section 2.1. */
const B64_TOKEN = /^[A-Za-z0-9._~+/-]+=*$/;

/**
 * Parses a token. A token that is set but not legal, such as an empty secret, is an error. It must
 * never count as "no token wanted".
 *
 * @param source how a person would recognise it; the token itself is never shown.
 * @returns the token without the white space around it.
 * @throws {SyncedError} `invalid_token`
 */
export function parseToken(text: string, source: string): string {
  const token = text.trim();
  const fits = token.length >= TOKEN_LENGTH_MIN && token.length <= TOKEN_LENGTH_MAX;
  if (!fits || !B64_TOKEN.test(token)) {
    throw new SyncedError(
      "invalid_token",
      `Cannot use the token from ${source}: expected ${TOKEN_LENGTH_MIN} to ${TOKEN_LENGTH_MAX} ` +
        'of A-Z, a-z, 0-9, "-", ".", "_", "~", "+", "/", with "=" only at the end',
    );
  }
  return token;
}
