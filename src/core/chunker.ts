/**
 * Chunker: cuts bytes into content-defined chunks.
 * Rules: C1.
 *
 * FastCDC (Xia et al., "FastCDC: a Fast and Efficient Content-Defined Chunking Approach for Data
 * Deduplication", USENIX ATC 2016; "The Design of Fast Content-Defined Chunking", IEEE TPDS 2020):
 * a gear hash, no judging before the minimum, normalised chunking (a stricter mask before the
 * average, a looser one after it). Two deviations: the hash is warmed with the 32 bytes before the
 * minimum, so that a candidate is a function of the bytes before it, wherever the chunk began; and
 * bytes are rolled one by one, which is fast enough (over 1.5 GB/s: tests/bench/chunker.bench.ts).
 */
import { sha256 } from "./digest.ts";
import { assert, SyncedError } from "./error.ts";
import { OBJECT_SIZE_BYTES_MAX } from "./limits.ts";

/** A property of the folder: two devices with different profiles would share no chunk. */
export interface ChunkerProfile {
  readonly minBytes: number;
  readonly averageBytes: number;
  readonly maxBytes: number;
}

/** A 32-bit gear hash forgets a byte after 32 shifts. */
const WINDOW_BYTES = 32;
/** How many bits the masks differ from the average's: level 2 of the paper. */
const NORMALISATION_BITS = 2;
/** The looser mask must keep some bits. */
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

/** Cuts for one profile. Holds no state between cuts, so one may serve many files at once. */
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
   * Finds the end of the chunk that begins at `start`. Where it is depends on the chunk's bytes
   * only, not on how much of the file the buffer holds. With `maxBytes` or more there is always an
   * answer, so a buffer of several times that is read once; a smaller one is scanned anew at each
   * call.
   *
   * @param buffer holds the file's next bytes in [start, end); it is neither kept nor copied.
   * @param isLast true where the file ends at `end`.
   * @returns the offset in `buffer` just behind the chunk, or 0 where more bytes are needed to tell
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

/** The top bits of a gear hash see the most bytes: the lowest only the last one. */
function highBits(count: number): number {
  return (0xffffffff << (32 - count)) | 0;
}

function roll(hash: number, buffer: Uint8Array, index: number): number {
  return ((hash << 1) + (GEAR[buffer[index] ?? 0] ?? 0)) | 0;
}

/**
 * @returns the offset behind the first byte of [from, to) at which the hash has no bit of the mask,
 * or 0.
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
