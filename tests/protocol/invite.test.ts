/** The text of an invitation. */
import { describe, expect, test } from "bun:test";
import { parseFingerprint } from "../../src/core/fingerprint.ts";
import { parseFolderName } from "../../src/core/identifier.ts";
import { encodeInvitation, parseInvitation } from "../../src/protocol/invite.ts";

const secret = "0123456789abcdef".repeat(4);
const serverUrl = "https://[2001:db8::1]:8080";

describe("an invitation [K12]", () => {
  test("carries what a new device needs, in letters that no shell touches", () => {
    const whole = {
      serverUrl,
      secret,
      fingerprint: parseFingerprint(`sha256:${"-_".repeat(21)}A`),
      folder: parseFolderName("photos.2019"),
    };
    for (const invitation of [whole, { serverUrl, secret }]) {
      const text = encodeInvitation(invitation);
      expect(text).toMatch(/^[A-Za-z0-9_-]+$/);
      expect(parseInvitation(` ${text}\n`)).toEqual(invitation);
    }
  });

  test("that is cut short, mistyped or of another version is refused", () => {
    const text = encodeInvitation({ serverUrl, secret });
    const encode = (value: unknown) => btoa(JSON.stringify(value)).replaceAll("=", "");
    const wrong = [
      "",
      "x",
      text.slice(0, -4),
      text.slice(4),
      encode({}),
      encode([2, serverUrl, "", "", secret]),
      encode([1, serverUrl, "", "", "short"]),
      encode([1, serverUrl, "sha256:x", "", secret]),
      encode([1, serverUrl, "", "../x", secret]),
    ];
    for (const one of wrong) {
      expect(() => parseInvitation(one)).toThrow("Cannot read the invitation");
    }
  });
});
