/** SHA-256 digests, which name chunks and manifests. No other core file may import node:crypto. */
import { createHash, createHmac } from "node:crypto";
import type { Brand } from "./brand.ts";
import { assert, SyncedError } from "./error.ts";

/** A SHA-256 digest as 64 lower-case hex digits. */
export type Digest = Brand<string, "Digest">;

const DIGEST = /^[0-9a-f]{64}$/;

export function isDigest(value: string): value is Digest {
  return DIGEST.test(value);
}

/** @throws {SyncedError} `invalid_hash` */
export function parseDigest(value: string): Digest {
  if (!isDigest(value)) {
    throw new SyncedError(
      "invalid_hash",
      `Cannot use "${value.slice(0, 80)}" as a digest: expected 64 lower-case hex digits`,
    );
  }
  return value;
}

/** The digest's 32 bytes, as binary formats carry it. */
export function digestToBytes(digest: Digest): Uint8Array {
  return Uint8Array.fromHex(digest);
}

/** @param bytes exactly 32; any 32 bytes are a digest. */
export function digestFromBytes(bytes: Uint8Array): Digest {
  assert(bytes.length === 32, "a digest has 32 bytes");
  return bytes.toHex() as Digest;
}

export function sha256(bytes: Uint8Array | string): Digest {
  return createHash("sha256").update(bytes).digest("hex") as Digest;
}

/** @param key hex */
export function hmacSha256(key: string, text: string): Digest {
  return createHmac("sha256", Uint8Array.fromHex(key)).update(text).digest("hex") as Digest;
}

/** As receivers of webhooks compute it. */
export function hmacSha256Base64(key: Uint8Array, text: string): string {
  return createHmac("sha256", key).update(text).digest("base64");
}

/**
 * Compares in constant time. Secrets are compared by their digests, because a digest that time
 * still gave away could not be inverted.
 */
export function equalDigests(a: Digest, b: Digest): boolean {
  let difference = a.length ^ b.length;
  for (let index = 0; index < b.length; index++) {
    difference |= a.charCodeAt(index) ^ b.charCodeAt(index);
  }
  return difference === 0;
}

/** A streaming SHA-256. After `digest()` it cannot be used any more. */
export class Sha256 {
  readonly #hash = createHash("sha256");

  update(bytes: Uint8Array): this {
    this.#hash.update(bytes);
    return this;
  }

  digest(): Digest {
    return this.#hash.digest("hex") as Digest;
  }
}

/** The digest of no bytes. Every empty file has this content, and no store keeps it. */
export const EMPTY_DIGEST = sha256("");
