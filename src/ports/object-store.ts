/**
 * ObjectStore: bytes named by their SHA-256, stored once per server. Rules: O6, O7, C5, I37.
 *
 * It knows nothing of folders; the MetadataStore knows who may read what. All calls may run
 * concurrently. Objects are never changed. Only the collection of garbage deletes any (U3).
 */

import type { Digest } from "../core/digest.ts";
import type { Page } from "./page.ts";

export interface StoredObject {
  readonly digest: Digest;
  /** At most OBJECT_SIZE_BYTES_MAX. The caller has checked that they have this digest. */
  readonly bytes: Uint8Array;
}

/**
 * Gives memory of exactly that length for an object's bytes, or none. A store may use it, or return
 * other memory.
 */
export type ObjectMemory = (lengthBytes: number) => Uint8Array | undefined;

/** An object that was found damaged or lost. */
export interface Damage {
  readonly digest: Digest;
  readonly foundMs: number;
  /** When its bytes were there again; absent if they are not. */
  readonly healedMs?: number;
}

export interface StoreUsage {
  /** The disk space of all objects, in bytes. */
  readonly bytes: number;
  /** The bytes that uploads may still take (O10); absent if nobody can say, as of a bucket. */
  readonly roomBytes?: number | undefined;
}

export interface ObjectStore {
  /**
   * Stores the objects that are not there yet. All are durable when it resolves. Idempotent. The
   * caller may reuse the bytes after it. An object that `get` found damaged is written anew.
   *
   * @throws {SyncedError} `storage_full` (no object is half-stored, but some may be stored whole);
   * `storage_failed` when a durability barrier failed, and for every later call (I41)
   */
  put(objects: readonly StoredObject[]): Promise<void>;
  /**
   * The object's bytes, verified against its digest. The caller must not change them.
   *
   * @returns undefined if it is not there
   * @throws {SyncedError} `chunk_corrupt` if the bytes have another digest; they are never handed
   * out
   */
  get(digest: Digest, memory?: ObjectMemory): Promise<Uint8Array | undefined>;
  /** Digests in ascending order, after `after`. */
  list(page: Page<Digest>): Promise<readonly Digest[]>;
  /** Notes that an object is lost: somebody knows that it should be there. */
  miss(digest: Digest): Promise<void>;
  /** Objects that were found damaged or lost and were not put again since, ascending. */
  damaged(): Promise<readonly Digest[]>;
  /** The same with their times, and for HEALED_KNOWN_MS those that were put again. */
  damage(): Promise<readonly Damage[]>;
  /** The length of an object's bytes, unread; 0 if it is not there. */
  sizeOf(digest: Digest): Promise<number>;
  /**
   * Deletes condemned objects; those that are not there are no error. Where several servers collect
   * garbage, those that are not condemned any more stay. A put that runs beside it may or may not
   * leave them there. Durable when it resolves. Their room is free for others then, but for what
   * `tidy` gives back.
   *
   * @returns the number of bytes that they had
   */
  delete(digests: readonly Digest[]): Promise<number>;
  /**
   * Gives back what deletions and crashes left: files that nothing names, and the greater part of
   * those that are mostly deleted objects. May be interrupted anywhere, and called again.
   */
  tidy(): Promise<void>;
  /** Cheap except for the first call, which may look at all objects. */
  usage(): Promise<StoreUsage>;
  /** Looks for damage in the store's own format, not in objects. @returns one message each. */
  check(): Promise<readonly string[]>;
  /** Resolves with the error when a durability barrier has failed. */
  readonly failure: Promise<unknown>;
  /** Waits for writes under way and closes the store; later calls throw. */
  close(): Promise<void>;
}
