/** Tokens that people choose. Rules: K15, B43, B47. */
import { describe, expect, test } from "bun:test";
import { parseToken, requireUnguessable } from "../../src/protocol/token.ts";

const GOOD = [
  ["32 hex digits", "9f86d081884c7d659a2feaa0c55ad015"],
  ["32 capital ones", "9F86D081884C7D659A2FEAA0C55AD015"],
  ["base64 of 16 bytes", "3q2+796tvu/erb7v3q2+7w=="],
  ["the same without its end", "3q2-796tvu_erb7v3q2-7w"],
  ["a UUID", "6fa459ea-ee8a-3ca4-894e-db77e160355e"],
  ["39 digits", "340282366920938463463374607431768211455"],
  ["a long phrase", "correct-horse-battery-staple"],
] as const;

const GUESSABLE = [
  ["16 characters", "hunter2-hunter22"],
  ["21 of all kinds", "aB3-_.~+/cD4eF5gH6iJ7"],
  ["31 hex digits", "9f86d081884c7d659a2feaa0c55ad01"],
  ["24 small letters", "thisisoursharedsecretpwd"],
  ["38 digits", "34028236692093846346337460743176821145"],
  ["one character", "a".repeat(256)],
  ["five characters", "password".slice(0, 6).repeat(8)],
  ["16 characters and padding", `hunter2-hunter22${"=".repeat(30)}`],
] as const;

describe("requireUnguessable()", () => {
  for (const [what, token] of GOOD) {
    test(`lets in ${what} [K15]`, () => {
      expect(requireUnguessable(parseToken(token, "a test"))).toBeUndefined();
    });
  }

  for (const [what, token] of GUESSABLE) {
    test(`refuses ${what}, and does not show them [K15, B47]`, () => {
      // All of them are legal where nobody else reaches the server.
      expect(parseToken(token, "a test")).toBe(token);
      expect(() => requireUnguessable(token)).toThrow("less than 128 random bits");
      expect(() => requireUnguessable(token)).not.toThrow(token);
    });
  }
});
