/**
 * ObjectStore: bytes named by their SHA-256, stored once per server. Rules: O6, O7, C5, I37.
 *
 * Knows nothing of folders: who may read what is the MetadataStore's knowledge. Everything may be
 * called concurrently. Objects are never changed and never deleted.
 */
import type { Digest } from "../core/digest.ts";

export interface StoredObject {
  readonly digest: Digest;
  /** At most OBJECT_SIZE_BYTES_MAX. The caller has checked that they have this digest. */
  readonly bytes: Uint8Array;
}

export interface ObjectStore {
  /**
   * Stores what is not there yet. All are durable when it resolves; idempotent; the bytes may be
   * reused after it. An object that `get` found damaged is written anew.
   *
   * @throws {SyncedError} `storage_full` (nothing is half-stored, but some may be stored whole),
   * `storage_failed` once a durability barrier failed, and for every call after that (I41)
   */
  put(objects: readonly StoredObject[]): Promise<void>;
  /**
   * The object's bytes, verified against its digest. The caller must not change them.
   *
   * @returns undefined when it is not there
   * @throws {SyncedError} `chunk_corrupt` when the bytes have another digest; they are never handed
   * out
   */
  get(digest: Digest): Promise<Uint8Array | undefined>;
  /** Digests in ascending order, after `after`. */
  list(page: { readonly after?: Digest; readonly limit: number }): Promise<readonly Digest[]>;
  /** What all objects take on the disk. Cheap but for the first call, which may look at all. */
  usage(): Promise<{ readonly bytes: number }>;
  /** Finds damage in the store's own format, not in objects. @returns one message each. */
  check(): Promise<readonly string[]>;
  /** Resolves with the error once a durability barrier failed. */
  readonly failure: Promise<unknown>;
  /** Waits for writes under way and ends it; calls after that throw. */
  close(): Promise<void>;
}
