/** Names a server by its key. Rules: K9. A renewed certificate with the same key is the same server. */
import { createHash, type X509Certificate } from "node:crypto";
import type { Fingerprint } from "../../core/fingerprint.ts";

/** The SHA-256 of the certificate's public key (SubjectPublicKeyInfo), as RFC 7469 pins it. */
export function fingerprintOf(certificate: X509Certificate): Fingerprint {
  const key = certificate.publicKey.export({ type: "spki", format: "der" });
  return `sha256:${createHash("sha256").update(key).digest("base64url")}` as Fingerprint;
}
