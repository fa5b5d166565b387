/**
 * Reads a file once and makes its SHA-256, its chunks and its manifest. The file must not change in
 * that time. It only reads; the caller decides about the digest.
 * Rules: A5, C1, C2, I19.
 */
import type { Chunker } from "../../core/chunker.ts";
import { type Digest, EMPTY_DIGEST, Sha256, sha256 } from "../../core/digest.ts";
import { type EncodedManifestObject, ManifestBuilder } from "../../core/manifest.ts";
import type { FileReader, FileSystem, Stat } from "../../ports/filesystem.ts";
import type { Pace } from "../folder/pace.ts";

/** A file's content without its metadata, and the manifest objects that name its chunks. */
export interface FileDigest {
  readonly manifest: Digest;
  readonly depth: number;
  readonly sha256: Digest;
  readonly size: number;
  /** Children come before the objects that list them; empty for a file of at most one chunk. */
  readonly objects: readonly EncodedManifestObject[];
}

export type DigestResult =
  | { readonly kind: "digested"; readonly digest: FileDigest }
  /**
   * Before or after reading it was another file or had other bytes or metadata; or reading was
   * stopped.
   */
  | { readonly kind: "unstable" }
  /** Nothing is there, or no regular file. */
  | { readonly kind: "absent" };

/** The file to read, and the result of the caller's look at it. */
export interface FileToDigest {
  readonly path: string;
  readonly expected: Stat;
}

/** Bytes of one read call. */
const BLOCK_BYTES = 1024 * 1024;
/** Bytes between two looks whether a large file is still the same. */
const LOOK_BYTES = 16 * BLOCK_BYTES;
/**
 * Buffers kept for the next file. More are in use only while several files are digested at once.
 */
const SPARE_BUFFERS_MAX = 2;
const spareBuffers: Uint8Array[] = [];

/**
 * Digests one file in one pass over its bytes. Several may run at once.
 *
 * @throws {FileSystemError} if the file cannot be opened or read.
 */
export async function digestFile(
  fs: FileSystem,
  file: FileToDigest,
  chunker: Chunker,
  pace: Pace,
): Promise<DigestResult> {
  const reader = fs.open(file.path);
  if (reader === undefined) return { kind: "absent" };
  const buffer = takeBuffer(bufferBytesMin(chunker));
  try {
    if (!isAsExpected(reader, file.expected)) return { kind: "unstable" };
    const digest = await digestBytes(reader, file.expected, chunker, pace, buffer);
    // RACE: a write between the last read and this look shows in the stamp. A write within the same
    // clock tick as an earlier one may not show; the racy rule covers it (A2).
    if (digest === undefined || !isAsExpected(reader, file.expected)) return { kind: "unstable" };
    return { kind: "digested", digest };
  } finally {
    reader.close();
    if (spareBuffers.length < SPARE_BUFFERS_MAX) spareBuffers.push(buffer);
  }
}

/**
 * Finds out whether a file still has the bytes of `known`, in one pass that only hashes the whole.
 * That costs a third of digesting it anew.
 *
 * @returns as `digestFile`; undefined if the bytes are others.
 * @throws {FileSystemError} if the file cannot be opened or read.
 */
export async function confirmFile(
  fs: FileSystem,
  file: FileToDigest,
  known: Omit<FileDigest, "objects">,
  pace: Pace,
): Promise<DigestResult | undefined> {
  const reader = fs.open(file.path);
  if (reader === undefined) return { kind: "absent" };
  const buffer = takeBuffer(BLOCK_BYTES);
  const block = buffer.subarray(0, BLOCK_BYTES);
  try {
    if (!isAsExpected(reader, file.expected)) return { kind: "unstable" };
    const whole = await hashBytes(reader, file.expected.size, pace, block);
    if (whole === undefined || !isAsExpected(reader, file.expected)) return { kind: "unstable" };
    if (whole !== known.sha256) return undefined;
    const { manifest, depth, sha256, size } = known;
    return { kind: "digested", digest: { manifest, depth, sha256, size, objects: [] } };
  } finally {
    reader.close();
    if (spareBuffers.length < SPARE_BUFFERS_MAX) spareBuffers.push(buffer);
  }
}

/** Several times the largest chunk, so that the chunker scans no byte twice. */
export function bufferBytesMin({ profile }: Chunker): number {
  return 3 * Math.max(profile.maxBytes, BLOCK_BYTES);
}

/**
 * Hashes the first bytes of a file.
 *
 * @param block the buffer for reading them.
 * @returns undefined if there are fewer, or the pace says to stop.
 */
export async function hashBytes(
  reader: FileReader,
  size: number,
  pace: Pace,
  block: Uint8Array,
): Promise<Digest | undefined> {
  const whole = new Sha256();
  for (let position = 0; position < size; ) {
    const count = reader.read(block.subarray(0, size - position), position);
    if (count === 0) return undefined;
    whole.update(block.subarray(0, count));
    position += count;
    if (pace.block(count)) await pace.rest();
    if (pace.isStopped) return undefined;
  }
  return whole.digest();
}

function takeBuffer(bytesMin: number): Uint8Array {
  const spare = spareBuffers.pop();
  return spare !== undefined && spare.length >= bytesMin ? spare : new Uint8Array(bytesMin);
}

function isAsExpected(reader: FileReader, expected: Stat): boolean {
  const stat = reader.stat();
  return stat.identity === expected.identity && stat.stamp === expected.stamp;
}

/** @returns undefined if the file is not the expected one, or the pace says to stop. */
async function digestBytes(
  reader: FileReader,
  expected: Stat,
  chunker: Chunker,
  pace: Pace,
  buffer: Uint8Array,
): Promise<FileDigest | undefined> {
  const { size } = expected;
  if (size === 0) return { ...ofOneChunk(EMPTY_DIGEST), size };
  if (size <= chunker.profile.minBytes) {
    if (fill(reader, buffer.subarray(0, size), 0) < size) return undefined;
    if (pace.block(size)) await pace.rest();
    return { ...ofOneChunk(sha256(buffer.subarray(0, size))), size };
  }
  const course: Course = {
    goesOn: () => isAsExpected(reader, expected),
    end: () => size,
  };
  return digestChunks(reader, { size, course }, chunker, pace, buffer);
}

function ofOneChunk(digest: Digest): Omit<FileDigest, "size"> {
  return { manifest: digest, depth: 0, sha256: digest, objects: [] };
}

/** Decides what happens if a file changes while it is read. */
export interface Course {
  /** Called from time to time. @returns false if reading on is useless. */
  goesOn(): boolean;
  /**
   * Called when everything up to `size` is read.
   *
   * @returns the present end of the file; undefined if the bytes that were read are of no use.
   */
  end(size: number): number | undefined;
}

/**
 * Reads and cuts a file of more than one chunk.
 *
 * @param buffer of at least `bufferBytesMin`
 * @returns undefined if the course, or the pace, says to stop.
 */
export async function digestChunks(
  reader: FileReader,
  file: { readonly size: number; readonly course: Course },
  chunker: Chunker,
  pace: Pace,
  buffer: Uint8Array,
): Promise<FileDigest | undefined> {
  const { course } = file;
  let { size } = file;
  const whole = new Sha256();
  const builder = new ManifestBuilder();
  // The file's bytes from `position - end` to `position` are in the buffer. Those before `start`
  // are cut.
  let position = 0;
  let start = 0;
  let end = 0;
  let lookedAt = 0;
  while (position < size || start < end) {
    const wanted = Math.min(BLOCK_BYTES, size - position, buffer.length - end);
    const block = buffer.subarray(end, end + wanted);
    if (fill(reader, block, position) < wanted) return undefined;
    whole.update(block);
    position += wanted;
    end += wanted;
    // Checked on the way, so that a file which somebody still writes is not read to its end in
    // vain.
    if (position - lookedAt >= LOOK_BYTES) {
      if (!course.goesOn()) return undefined;
      lookedAt = position;
    }
    if (position === size) {
      const next = course.end(size);
      if (next === undefined) return undefined;
      size = next;
    }
    const isLast = position === size;
    let cut = chunker.cut(buffer, start, end, isLast);
    while (cut !== 0) {
      builder.push(sha256(buffer.subarray(start, cut)), cut - start);
      start = cut;
      cut = chunker.cut(buffer, start, end, isLast);
    }
    if (end === buffer.length) {
      buffer.copyWithin(0, start, end);
      end -= start;
      start = 0;
    }
    if (pace.block(wanted)) await pace.rest();
    if (pace.isStopped) return undefined;
  }
  const { manifest, depth, objects } = builder.finish();
  return { manifest, depth, sha256: whole.digest(), size, objects };
}

/** @returns the number of bytes read; it is smaller than `target` only if the file ended. */
function fill(reader: FileReader, target: Uint8Array, position: number): number {
  let done = 0;
  while (done < target.length) {
    const count = reader.read(target.subarray(done), position + done);
    if (count === 0) break;
    done += count;
  }
  return done;
}
