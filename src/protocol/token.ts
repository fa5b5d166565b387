/** Bearer tokens: checks which are legal, and which can be guessed. Rules: H2, K15, B43, B47. */
import { SyncedError } from "../core/error.ts";
import { TOKEN_BITS_MIN, TOKEN_LENGTH_MAX, TOKEN_LENGTH_MIN } from "../core/limits.ts";

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

/** How many characters a text of such a form draws from, the narrowest form first. */
const ALPHABETS: readonly (readonly [form: RegExp, size: number])[] = [
  [/^[0-9]*$/, 10],
  [/^(?:[0-9a-f]*|[0-9A-F]*)$/, 16],
  [/^(?:[0-9a-z]*|[0-9A-Z]*)$/, 36],
];
const B64_TOKEN_ALPHABET = 67;
/** In a text of 128 random bits, fewer different characters are no accident (one in two billion). */
const DIFFERENT_MIN = 6;

/**
 * Refuses a token that somebody chose and others may guess. Only chance makes good ones, and one
 * cannot see it; but one sees whether a text has room for it.
 *
 * @throws {SyncedError} `invalid_token`
 */
export function requireUnguessable(token: string): void {
  const text = token.replace(/=+$/, "");
  const size = ALPHABETS.find(([form]) => form.test(text))?.[1] ?? B64_TOKEN_ALPHABET;
  const bits = Math.floor(text.length * Math.log2(size));
  if (bits >= TOKEN_BITS_MIN && new Set(text).size >= DIFFERENT_MIN) return;
  throw new SyncedError(
    "invalid_token",
    "Cannot let others reach this server: its token can be guessed, as it has room for less than " +
      `${TOKEN_BITS_MIN} random bits; make one with "openssl rand -hex 32", or give none: the ` +
      "first start makes one, and synced token create more",
  );
}
