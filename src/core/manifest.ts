/**
 * Manifests: builds, parses and walks the tree of a file's chunks.
 * Rules: C2, C3, C4, C5. The receiver of an object checks that its bytes have its digest; nothing
 * here does.
 */
import { type Digest, digestFromBytes, digestToBytes, EMPTY_DIGEST, sha256 } from "./digest.ts";
import { assert, SyncedError } from "./error.ts";
import {
  FILE_SIZE_BYTES_MAX,
  MANIFEST_CHILDREN_MAX,
  MANIFEST_DEPTH_MAX,
  OBJECT_SIZE_BYTES_MAX,
} from "./limits.ts";

/** The part of a file's content that leads to its chunks; every FileContent is one. */
export interface ManifestRoot {
  readonly manifest: Digest;
  /** At 0 the root is the file's only chunk, or the file is empty. */
  readonly depth: number;
  /** The file's size in bytes. */
  readonly size: number;
}

export interface ManifestChild {
  readonly digest: Digest;
  /** In bytes of the file. */
  readonly size: number;
}

export interface ManifestObject {
  readonly depth: number;
  readonly children: readonly ManifestChild[];
}

/** A manifest object as it is sent: a PackObject of depth 1 or more. */
export interface EncodedManifestObject {
  readonly depth: number;
  readonly digest: Digest;
  readonly bytes: Uint8Array;
}

export interface BuiltManifest {
  readonly manifest: Digest;
  readonly depth: number;
  readonly size: number;
  /** Children come before the objects that list them; empty for a file of at most one chunk. */
  readonly objects: readonly EncodedManifestObject[];
}

const FORMAT = 1;
const HEADER_BYTES = 2;
const DIGEST_BYTES = 32;
const CHILD_BYTES = DIGEST_BYTES + 8;
export const MANIFEST_OBJECT_BYTES_MAX = HEADER_BYTES + CHILD_BYTES * MANIFEST_CHILDREN_MAX;
/** The content decides where a list of children is cut: on average after 32 + 256 children. */
const CUT_CHILDREN_MIN = 32;
const CUT_CHILDREN_MAX = 1024;

/** Builds one file's manifest from its chunks in order. Holds 40 bytes for each chunk. */
export class ManifestBuilder {
  readonly #levels: Level[] = [];
  readonly #objects: EncodedManifestObject[] = [];
  #size = 0;
  #isFinished = false;

  /**
   * Adds the next chunk.
   *
   * @param size in bytes, at least 1.
   * @throws {SyncedError} `invalid_manifest` when the file is too large for any manifest.
   */
  push(digest: Digest, size: number): void {
    assert(!this.#isFinished, "a finished manifest takes no more chunks");
    assert(Number.isSafeInteger(size) && size > 0, "a chunk has bytes");
    assert(size <= OBJECT_SIZE_BYTES_MAX, "a chunk is bounded");
    this.#size += size;
    this.#add(1, { digest, size });
  }

  finish(): BuiltManifest {
    assert(!this.#isFinished, "a manifest is finished once");
    this.#isFinished = true;
    for (let depth = 1; ; depth++) {
      const level = this.#levels[depth - 1];
      if (level === undefined) {
        return this.#built({ digest: EMPTY_DIGEST, size: 0 }, 0);
      }
      // An object that is alone on its level needs no object above it, because it is the root.
      if (level.count === 1) return this.#built(level.first, depth - 1);
      if (level.open.length > 0) this.#close(level, depth);
      if (depth === MANIFEST_DEPTH_MAX) {
        const root = this.#objects.at(-1);
        assert(root !== undefined && root.depth === depth, "the last object is the root");
        return this.#built({ digest: root.digest, size: this.#size }, depth);
      }
    }
  }

  #add(depth: number, child: ManifestChild): void {
    let level = this.#levels[depth - 1];
    if (level === undefined) {
      level = { first: child, count: 0, open: [] };
      this.#levels.push(level);
    }
    level.count++;
    level.open.push(child);
    // The deepest level has nothing above it, so it becomes one object up to the format's bound.
    if (depth < MANIFEST_DEPTH_MAX) {
      if (isCut(child, level.open.length)) this.#close(level, depth);
    } else if (level.open.length > MANIFEST_CHILDREN_MAX) {
      throw new SyncedError("invalid_manifest", "Cannot build a manifest: too many chunks");
    }
  }

  #close(level: Level, depth: number): void {
    const object = encodeManifestObject({ depth, children: level.open });
    const size = sumOfSizes(level.open);
    level.open = [];
    this.#objects.push(object);
    if (depth < MANIFEST_DEPTH_MAX) this.#add(depth + 1, { digest: object.digest, size });
  }

  #built(root: ManifestChild, depth: number): BuiltManifest {
    assert(root.size === this.#size, "a manifest's sizes add up");
    return { manifest: root.digest, depth, size: this.#size, objects: this.#objects };
  }
}

interface Level {
  readonly first: ManifestChild;
  /** All children that this level ever had. */
  count: number;
  /** Children that no object lists yet. */
  open: ManifestChild[];
}

function isCut(child: ManifestChild, count: number): boolean {
  if (count >= CUT_CHILDREN_MAX) return true;
  return count >= CUT_CHILDREN_MIN && child.digest.startsWith("00");
}

/** The canonical bytes of a manifest object and their digest. */
export function encodeManifestObject(object: ManifestObject): EncodedManifestObject {
  const bytes = new Uint8Array(HEADER_BYTES + object.children.length * CHILD_BYTES);
  const view = new DataView(bytes.buffer);
  bytes[0] = FORMAT;
  bytes[1] = object.depth;
  let offset = HEADER_BYTES;
  for (const child of object.children) {
    bytes.set(digestToBytes(child.digest), offset);
    view.setBigUint64(offset + DIGEST_BYTES, BigInt(child.size));
    offset += CHILD_BYTES;
  }
  return { depth: object.depth, digest: sha256(bytes), bytes };
}

/**
 * Parses a manifest object that came from elsewhere.
 *
 * @throws {SyncedError} `invalid_manifest` unless format, depth, length and every size are legal.
 */
export function parseManifestObject(bytes: Uint8Array): ManifestObject {
  const depth = bytes[1] ?? 0;
  const count = (bytes.length - HEADER_BYTES) / CHILD_BYTES;
  if (bytes[0] !== FORMAT) throw invalid(`unknown format ${bytes[0] ?? "(no bytes)"}`);
  if (depth < 1 || depth > MANIFEST_DEPTH_MAX) throw invalid(`depth ${depth}`);
  if (!Number.isInteger(count) || count < 1) throw invalid(`length ${bytes.length}`);
  if (count > MANIFEST_CHILDREN_MAX) throw invalid(`${count} children`);

  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const sizeMax = depth === 1 ? OBJECT_SIZE_BYTES_MAX : FILE_SIZE_BYTES_MAX;
  const children: ManifestChild[] = [];
  let total = 0;
  for (let offset = HEADER_BYTES; offset < bytes.length; offset += CHILD_BYTES) {
    const size = Number(view.getBigUint64(offset + DIGEST_BYTES));
    // Each addend is at most 2^53, so the first sum beyond the bound is noticed while it is still
    // exact.
    total += size;
    if (size < 1 || size > sizeMax || total > FILE_SIZE_BYTES_MAX) throw invalid(`size ${size}`);
    children.push({ digest: digestFromBytes(bytes.subarray(offset, offset + DIGEST_BYTES)), size });
  }
  return { depth, children };
}

/**
 * Checks that a profile could have cut these chunks, so that a file never has more of them than its
 * size explains. One chunk of one byte, listed 4,096 times on three levels, would be a file of 68
 * billion chunks, and no program that walks them ever ends.
 *
 * A file's chunks have at least the profile's minimum, and the objects of a level at least
 * CUT_CHILDREN_MIN children; but for the last of each. A list of so few is let through, whatever
 * its sizes: all levels together then come to 32,768 chunks.
 *
 * @throws {SyncedError} `invalid_manifest`
 */
export function checkPlausible({ depth, children }: ManifestObject, chunkBytesMin: number): void {
  if (children.length <= CUT_CHILDREN_MIN) return;
  const sizeMin = chunkBytesMin * CUT_CHILDREN_MIN ** (depth - 1);
  for (const { digest, size } of children.slice(0, -1)) {
    if (size < sizeMin) throw invalid(`${digest} has ${size} bytes, less than is ever cut off`);
  }
}

/** The number of file bytes that a list of children covers. */
export function sumOfSizes(children: readonly ManifestChild[]): number {
  let total = 0;
  for (const child of children) total += child.size;
  return total;
}

/**
 * Checks a file content's claims about its root before anything is fetched for it.
 *
 * @throws {SyncedError} `invalid_manifest`
 */
export function checkManifestRoot(root: ManifestRoot): void {
  const { manifest, depth, size } = root;
  if (!Number.isSafeInteger(depth) || depth < 0 || depth > MANIFEST_DEPTH_MAX) {
    throw invalid(`depth ${depth}`);
  }
  if (!Number.isSafeInteger(size) || size < 0) throw invalid(`size ${size}`);
  if (depth === 0 && size > OBJECT_SIZE_BYTES_MAX) throw invalid(`a chunk of ${size} bytes`);
  const isEmpty = size === 0;
  if (isEmpty !== (manifest === EMPTY_DIGEST) || (isEmpty && depth > 0)) {
    throw invalid(`size ${size} of ${manifest}`);
  }
}

function invalid(finding: string): SyncedError {
  return new SyncedError("invalid_manifest", `Cannot use the manifest: ${finding}`);
}
