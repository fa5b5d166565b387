/**
 * SHA-256 in a browser: the build puts this in the place of `core/digest.ts`. `crypto.subtle` is
 * missing on plain http and cannot stream.
 */
import { sha256 as hash } from "@noble/hashes/sha2.js";
import type { Digest } from "../core/digest.ts";
import { assert, SyncedError } from "../core/error.ts";

const DIGEST = /^[0-9a-f]{64}$/;

export function isDigest(value: string): value is Digest {
  return DIGEST.test(value);
}

/** @throws {SyncedError} `invalid_hash` */
export function parseDigest(value: string): Digest {
  if (!isDigest(value)) {
    throw new SyncedError("invalid_hash", `Cannot use "${value.slice(0, 80)}" as a digest`);
  }
  return value;
}

export function digestToBytes(digest: Digest): Uint8Array {
  const bytes = new Uint8Array(32);
  for (let index = 0; index < 32; index++) {
    bytes[index] = Number.parseInt(digest.slice(2 * index, 2 * index + 2), 16);
  }
  return bytes;
}

/** @param bytes exactly 32 */
export function digestFromBytes(bytes: Uint8Array): Digest {
  assert(bytes.length === 32, "a digest has 32 bytes");
  return parseDigest(Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(""));
}

export function sha256(bytes: Uint8Array | string): Digest {
  return digestFromBytes(hash(typeof bytes === "string" ? new TextEncoder().encode(bytes) : bytes));
}

/** A streaming SHA-256. After `digest()` it cannot be used any more. */
export class Sha256 {
  readonly #hash = hash.create();

  update(bytes: Uint8Array): this {
    this.#hash.update(bytes);
    return this;
  }

  digest(): Digest {
    return digestFromBytes(this.#hash.digest());
  }
}

/** The digest of no bytes, written out: no row waits for it. */
export const EMPTY_DIGEST = parseDigest(
  "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
);
