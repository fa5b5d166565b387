/** A server's key as people compare it. Rules: K9. */
import type { Brand } from "./brand.ts";
import { SyncedError } from "./error.ts";

/** "sha256:" and the SHA-256 of the server's public key in base64url. */
export type Fingerprint = Brand<string, "Fingerprint">;

const FINGERPRINT = /^sha256:[A-Za-z0-9_-]{43}$/;

/** @throws {SyncedError} `usage` */
export function parseFingerprint(text: string): Fingerprint {
  if (FINGERPRINT.test(text)) return text as Fingerprint;
  throw new SyncedError(
    "usage",
    `Cannot use "${text.slice(0, 80)}" as a fingerprint: expected sha256: and 43 characters, as ` +
      "the server prints it when it starts",
  );
}
