/**
 * Chunker: cuts bytes into content-defined chunks.
 * Rules: C1.
 *
 * The algorithm is FastCDC (Xia et al., "FastCDC: a Fast and Efficient Content-Defined Chunking
 * Approach for Data Deduplication", USENIX ATC 2016; "The Design of Fast Content-Defined Chunking",
 * IEEE TPDS 2020): a gear hash, no test for a cut before the minimum size, and normalised chunking
 * (a stricter mask before the average size, a looser one after it). It deviates from the papers in
 * two ways. The hash is warmed with the 32 bytes before the minimum, so that whether a byte can end
 * a chunk depends only on the bytes before it, wherever the chunk began. And bytes are rolled one
 * by one, because that is fast enough (over 1.5 GB/s: tests/bench/chunker.bench.ts).
 */
import { sha256 } from "./digest.ts";
import { assert, SyncedError } from "./error.ts";
import { OBJECT_SIZE_BYTES_MAX, SERVED_CHUNK_SIZE_BYTES_MIN } from "./limits.ts";

/** Belongs to the folder, because two devices with different profiles would share no chunk. */
export interface ChunkerProfile {
  readonly minBytes: number;
  readonly averageBytes: number;
  readonly maxBytes: number;
}

/** A 32-bit gear hash forgets a byte after 32 shifts. */
const WINDOW_BYTES = 32;
/** By how many bits the two masks differ from the average's mask: level 2 of the paper. */
const NORMALISATION_BITS = 2;
/** Keeps some bits in the looser mask. */
const SPREAD_BYTES_MIN = 64;

/**
 * @throws {SyncedError} `invalid_parameter` unless 64 <= min, min + 64 <= average < max <=
 * OBJECT_SIZE_BYTES_MAX
 */
export function parseChunkerProfile(profile: ChunkerProfile): ChunkerProfile {
  const { minBytes, averageBytes, maxBytes } = profile;
  const whole = [minBytes, averageBytes, maxBytes].every(Number.isSafeInteger);
  const ordered = minBytes + SPREAD_BYTES_MIN <= averageBytes && averageBytes < maxBytes;
  if (!whole || !ordered || minBytes < 2 * WINDOW_BYTES || maxBytes > OBJECT_SIZE_BYTES_MAX) {
    throw new SyncedError(
      "invalid_parameter",
      `Cannot cut chunks of ${minBytes} to ${maxBytes} bytes, ${averageBytes} on average`,
    );
  }
  return { minBytes, averageBytes, maxBytes };
}

/**
 * A folder's profile as a server tells it. Very small chunks would make millions of objects of one
 * file, and fill this device's memory.
 *
 * @throws {SyncedError} `invalid_parameter`
 */
export function parseServedProfile(profile: ChunkerProfile): ChunkerProfile {
  if (profile.minBytes < SERVED_CHUNK_SIZE_BYTES_MIN) {
    throw new SyncedError("invalid_parameter", `Cannot cut chunks of ${profile.minBytes} bytes`);
  }
  return parseChunkerProfile(profile);
}

/**
 * Cuts for one profile. It keeps no state between cuts, so one chunker may serve many files at
 * once.
 */
export class Chunker {
  readonly profile: ChunkerProfile;
  readonly #strictMask: number;
  readonly #looseMask: number;

  /** @throws {SyncedError} `invalid_parameter` for an illegal profile. */
  constructor(profile: ChunkerProfile) {
    this.profile = parseChunkerProfile(profile);
    const bits = Math.round(Math.log2(profile.averageBytes - profile.minBytes));
    this.#strictMask = highBits(bits + NORMALISATION_BITS);
    this.#looseMask = highBits(bits - NORMALISATION_BITS);
  }

  /**
   * Finds the end of the chunk that begins at `start`. The result depends only on the chunk's
   * bytes, not on how much of the file the buffer holds. Given `maxBytes` or more it always finds
   * one, so a caller reads several times that much at once. After an answer of 0 the same bytes are
   * scanned again at the next call.
   *
   * @param buffer holds the file's next bytes in [start, end); it is neither kept nor copied.
   * @param isLast true if the file ends at `end`.
   * @returns the offset in `buffer` just behind the chunk, or 0 if more bytes are needed to tell
   * (and for an empty rest).
   */
  cut(buffer: Uint8Array, start: number, end: number, isLast: boolean): number {
    assert(start >= 0 && start <= end && end <= buffer.length, "a chunk lies in its buffer");
    const { minBytes, averageBytes, maxBytes } = this.profile;
    const length = end - start;
    if (length <= minBytes) return isLast && length > 0 ? end : 0;

    const first = start + minBytes;
    const average = Math.min(start + averageBytes, end);
    const last = Math.min(start + maxBytes, end);
    const strict = seek(buffer, first, average, this.#strictMask);
    if (strict !== 0) return strict;
    const loose = seek(buffer, average, last, this.#looseMask);
    if (loose !== 0) return loose;
    return isLast || length >= maxBytes ? last : 0;
  }
}

/**
 * A mask of the hash's top bits, because those depend on the most bytes; the lowest bit depends on
 * the last byte alone.
 */
function highBits(count: number): number {
  return (0xffffffff << (32 - count)) | 0;
}

function roll(hash: number, buffer: Uint8Array, index: number): number {
  return ((hash << 1) + (GEAR[buffer[index] ?? 0] ?? 0)) | 0;
}

/**
 * @returns the offset behind the first byte of [from, to) at which the hash has none of the mask's
 * bits, or 0 if there is no such byte.
 */
function seek(buffer: Uint8Array, from: number, to: number, mask: number): number {
  let hash = 0;
  for (let index = from - WINDOW_BYTES; index < from; index++) hash = roll(hash, buffer, index);
  for (let index = from; index < to; index++) {
    hash = roll(hash, buffer, index);
    if ((hash & mask) === 0) return index + 1;
  }
  return 0;
}

/** Part of the format: word i is the first four bytes of the SHA-256 of `synced gear <i>`. */
const GEAR = Int32Array.from({ length: 256 }, (_, byte) =>
  Number.parseInt(sha256(`synced gear ${byte}`).slice(0, 8), 16),
);
