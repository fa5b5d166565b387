/**
 * Walks a file's manifest from its root to its chunks, in file order, and skips the part outside a
 * range.
 * Rules: C3, C5. Two loops share one walk: `leafChunks` fetches objects as it needs them, and
 * `knownChunks` takes those at hand and names the others.
 */
import type { Digest } from "./digest.ts";
import { assert, SyncedError } from "./error.ts";
import {
  checkManifestRoot,
  type ManifestRoot,
  parseManifestObject,
  sumOfSizes,
} from "./manifest.ts";

/** An object's place in a file: a chunk at depth 0, a manifest object at depth 1 or more. */
export interface ManifestPlace {
  readonly depth: number;
  readonly digest: Digest;
  /** In bytes of the file. */
  readonly size: number;
  /** Where its first byte is in the file, in bytes. */
  readonly offset: number;
}

/** Bytes [start, end) of a file. */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

/**
 * The chunks that overlap the range, in file order.
 *
 * @param load returns a manifest object's bytes and itself verifies them against the digest.
 * @param range the whole file if absent.
 * @throws {SyncedError} `invalid_manifest`, and whatever `load` throws
 */
export async function* leafChunks(
  root: ManifestRoot,
  load: (digest: Digest, depth: number) => Promise<Uint8Array>,
  range?: ByteRange,
): AsyncGenerator<ManifestPlace, void, undefined> {
  const walk = new ManifestWalk(root, range);
  for (let place = walk.next(); place !== undefined; place = walk.next()) {
    if (place.depth === 0) yield place;
    else walk.enter(place, await load(place.digest, place.depth));
  }
}

/**
 * Does the same without waiting. It yields chunks (depth 0). If `load` does not know a manifest
 * object (depth 1 or more), it yields that object instead of the chunks below it. If it yields
 * none, it has yielded all of the file's chunks.
 *
 * @throws {SyncedError} `invalid_manifest`
 */
export function* knownChunks(
  root: ManifestRoot,
  load: (digest: Digest, depth: number) => Uint8Array | undefined,
  range?: ByteRange,
): Generator<ManifestPlace, void, undefined> {
  const walk = new ManifestWalk(root, range);
  for (let place = walk.next(); place !== undefined; place = walk.next()) {
    const bytes = place.depth === 0 ? undefined : load(place.digest, place.depth);
    if (bytes === undefined) yield place;
    else walk.enter(place, bytes);
  }
}

/** Depth first. Holds at most one object's children for each level, whatever the file's size. */
class ManifestWalk {
  readonly #range: ByteRange;
  /** Places still to visit; the next one is last. */
  readonly #pending: ManifestPlace[] = [];

  constructor(root: ManifestRoot, range?: ByteRange) {
    checkManifestRoot(root);
    this.#range = range ?? { start: 0, end: root.size };
    assert(this.#range.start <= this.#range.end, "a range does not end before it begins");
    const { manifest: digest, depth, size } = root;
    this.#plan({ depth, digest, size, offset: 0 });
  }

  next(): ManifestPlace | undefined {
    return this.#pending.pop();
  }

  enter(place: ManifestPlace, bytes: Uint8Array): void {
    const { depth, children } = parseManifestObject(bytes);
    if (depth !== place.depth || sumOfSizes(children) !== place.size) {
      throw new SyncedError(
        "invalid_manifest",
        `Cannot use the manifest object ${place.digest}: its parent says another depth or size`,
      );
    }
    let offset = place.offset + place.size;
    for (const { digest, size } of children.toReversed()) {
      offset -= size;
      this.#plan({ depth: depth - 1, digest, size, offset });
    }
  }

  #plan(place: ManifestPlace): void {
    const { start, end } = this.#range;
    if (place.size > 0 && place.offset < end && place.offset + place.size > start) {
      this.#pending.push(place);
    }
  }
}
