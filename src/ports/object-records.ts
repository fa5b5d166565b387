/**
 * ObjectRecords: what a metadata store knows of objects, as the collection of garbage needs it.
 * Rules: U1-U4, O6, I36.
 *
 * Safety never depends on a clock. Whoever relies on "the folder knows this object" or "its bytes
 * are stored" reads the version first and names it when it writes. If the version is another one by
 * then, and that may concern what is written, nothing is. Times only spare objects that somebody
 * may be about to use.
 */
import type { Digest } from "../core/digest.ts";
import type { FolderName } from "../core/identifier.ts";

/** An object as a folder knows it: its bytes, and their meaning at one depth. */
export interface KnownObject {
  readonly digest: Digest;
  /** 0 for a chunk; for a manifest object, its depth. */
  readonly depth: number;
  /** In bytes of the file; for a manifest, the sum over all its chunks. */
  readonly size: number;
}

export interface ObjectRecording {
  /** The version that was read before anything that these records rely on. */
  readonly version: number;
  readonly objects: readonly KnownObject[];
  /** Objects that manifests among them list, and that are not among them. */
  readonly children: readonly ObjectPlace[];
  readonly timeMs: number;
}

export type ObjectPlace = Pick<KnownObject, "digest" | "depth">;

/** A manifest object with its turn: the later it was recorded, the higher. */
export interface RecordedManifest extends KnownObject {
  readonly turn: number;
}

export interface ManifestPageRequest {
  readonly depth: number;
  readonly after?: RecordedManifest;
  readonly limit: number;
}

export interface Forgetting {
  /** All of one depth. Those that an event names, or that are young, are left alone. */
  readonly objects: readonly KnownObject[];
  /** Objects recorded or asked about at this time or later are young. */
  readonly untilMs: number;
  /** The last turn of a manifest, one level up, whose children the caller knows. */
  readonly turn: number;
}

export interface ObjectRecords {
  /** Grows whenever objects were forgotten, and when bytes have been deleted. */
  version(): Promise<number>;
  /**
   * Records that the folder knows objects whose bytes are stored. Idempotent; a second record makes
   * them young again. A crash forgets no record that was made before one that it keeps. Durable
   * when the next `append` to this folder is; a crash before that may forget it.
   *
   * @returns "objects_moved" if since that version a child was forgotten or bytes of these objects
   * were deleted, or if they are about to be: nothing was recorded, and the caller begins again
   * with the bytes. It may also be returned for a version of long ago.
   */
  record(folder: FolderName, recording: ObjectRecording): Promise<"recorded" | "objects_moved">;
  /** Makes the known ones of these young, if that was long ago. Not durable at once. */
  touch(folder: FolderName, digests: readonly Digest[], timeMs: number): Promise<void>;

  /** Manifest objects of one depth, in the order in which they were recorded, after `after`. */
  manifests(folder: FolderName, page: ManifestPageRequest): Promise<readonly RecordedManifest[]>;
  /** The objects of these that `forget` would forget. */
  unnamed(folder: FolderName, forgetting: Forgetting): Promise<readonly KnownObject[]>;
  /**
   * Forgets objects and changes the version, in one step.
   *
   * @returns those that it forgot; "manifests_added" if manifests one level up were recorded after
   * `turn`: nothing was done, since they may hold some of these
   */
  forget(
    folder: FolderName,
    forgetting: Forgetting,
  ): Promise<readonly KnownObject[] | "manifests_added">;

  /** The digests of these that no folder knows. */
  unknown(digests: readonly Digest[]): Promise<readonly Digest[]>;
  /**
   * Notes that the bytes of those of these that no folder knows are about to be deleted. Until they
   * are absolved nobody records them. Durable when it resolves, and so is all that was forgotten.
   */
  condemn(digests: readonly Digest[]): Promise<readonly Digest[]>;
  condemned(limit: number): Promise<readonly Digest[]>;
  /** After their bytes are gone: ends the note and changes the version, in one step. */
  absolve(digests: readonly Digest[]): Promise<void>;
}
