/** Content-defined chunking [C1]. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Chunker, type ChunkerProfile, parseChunkerProfile } from "../../src/core/chunker.ts";
import { type Digest, sha256 } from "../../src/core/digest.ts";
import { SyncedError } from "../../src/core/error.ts";
import { contents, noise, spliced } from "../generate/contents.ts";

const SMALL: ChunkerProfile = { minBytes: 128, averageBytes: 512, maxBytes: 2048 };
const GOLDEN_LENGTHS = [537, 525, 163, 547, 599, 667, 156, 475, 597, 540, 761, 433];
const GOLDEN_LENGTHS_DEFAULT = [108658, 187728, 177695, 168982, 84076, 158732, 14129];
const DEFAULT: ChunkerProfile = { minBytes: 32_768, averageBytes: 131_072, maxBytes: 1_048_576 };

/** The chunks of a file that is in memory as a whole. */
function chunksOf(bytes: Uint8Array, profile = SMALL): Uint8Array[] {
  const chunker = new Chunker(profile);
  const chunks: Uint8Array[] = [];
  for (let start = 0; start < bytes.length; ) {
    const end = chunker.cut(bytes, start, bytes.length, true);
    chunks.push(bytes.subarray(start, end));
    start = end;
  }
  return chunks;
}

/**
 * The chunks of the same file read in pieces, at an offset in a buffer that also holds old bytes.
 */
function chunksOfPieces(bytes: Uint8Array, pieceLengths: readonly number[]): Uint8Array[] {
  const chunker = new Chunker(SMALL);
  const buffer = noise(99, bytes.length + 100);
  const chunks: Uint8Array[] = [];
  let start = 100;
  let filled = 100;
  for (let round = 0; start < buffer.length; round++) {
    const wanted = pieceLengths[round % pieceLengths.length] ?? 1;
    const piece = bytes.subarray(filled - 100, filled - 100 + wanted);
    buffer.set(piece, filled);
    filled += piece.length;
    const isLast = filled === buffer.length;
    for (;;) {
      const end = chunker.cut(buffer, start, filled, isLast);
      if (end === 0) break;
      chunks.push(buffer.slice(start, end));
      start = end;
    }
  }
  return chunks;
}

function digestsOf(chunks: readonly Uint8Array[]): Digest[] {
  return chunks.map((chunk) => sha256(chunk));
}

describe("Chunker", () => {
  test("chunks are the file, each within the profile's bounds but the last [C1]", () => {
    fc.assert(
      fc.property(contents(20_000), (bytes) => {
        const chunks = chunksOf(bytes);
        expect(Buffer.concat(chunks).equals(bytes)).toBe(true);
        for (const [index, chunk] of chunks.entries()) {
          expect(chunk.length).toBeLessThanOrEqual(SMALL.maxBytes);
          if (index < chunks.length - 1) expect(chunk.length).toBeGreaterThan(SMALL.minBytes);
        }
      }),
    );
  });

  test("boundaries do not depend on how the file is split into reads [C1]", () => {
    fc.assert(
      fc.property(
        contents(12_000),
        fc.array(fc.integer({ min: 1, max: 5000 }), { minLength: 1, maxLength: 6 }),
        (bytes, pieceLengths) => {
          const lengths = chunksOf(bytes).map((chunk) => chunk.length);
          const pieces = chunksOfPieces(bytes, pieceLengths);
          expect(pieces.map((chunk) => chunk.length)).toEqual(lengths);
        },
      ),
      { numRuns: 60 },
    );
  });

  test("after any small edit nearly all chunks are the old ones [C1]", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1 }),
        fc.nat(199_999),
        fc.nat(3),
        fc.uint8Array({ maxLength: 3 }),
        (seed, at, removed, added) => {
          const before = noise(seed, 200_000);
          const known = new Set(digestsOf(chunksOf(before)));
          const after = digestsOf(chunksOf(spliced(before, { at, removed, added })));
          const unknown = after.filter((digest) => !known.has(digest));
          // Of some 400: as a rule one or two, a dozen once in a thousand edits.
          expect(unknown.length).toBeLessThanOrEqual(40);
        },
      ),
      { numRuns: 40 },
    );
  });

  test("one byte at the front of 16 MiB costs under 600 KiB of new chunks [C1]", () => {
    const before = noise(7, 16 * 1_048_576);
    const known = new Set(digestsOf(chunksOf(before, DEFAULT)));
    const after = chunksOf(spliced(before, { at: 0, removed: 0, added: noise(1, 1) }), DEFAULT);
    let unknownBytes = 0;
    for (const chunk of after) if (!known.has(sha256(chunk))) unknownBytes += chunk.length;
    expect(unknownBytes).toBeGreaterThan(0);
    expect(unknownBytes).toBeLessThan(600 * 1024);
  });

  test("chunks are near the average, and few reach the maximum [C1]", () => {
    const lengths = chunksOf(noise(3, 4_000_000)).map((chunk) => chunk.length);
    const mean = 4_000_000 / lengths.length;
    expect(mean).toBeGreaterThan(SMALL.averageBytes * 0.8);
    expect(mean).toBeLessThan(SMALL.averageBytes * 1.4);
    const longest = lengths.filter((length) => length === SMALL.maxBytes);
    expect(longest.length).toBeLessThan(lengths.length * 0.02);
  });

  test("boundaries are part of the format: these never change [C1]", () => {
    const lengths = chunksOf(noise(1, 6000)).map((chunk) => chunk.length);
    expect(lengths).toEqual(GOLDEN_LENGTHS);
    const large = chunksOf(noise(2, 900_000), DEFAULT).map((chunk) => chunk.length);
    expect(large).toEqual(GOLDEN_LENGTHS_DEFAULT);
  });

  test("bytes without structure are cut at the maximum [C1]", () => {
    const lengths = chunksOf(new Uint8Array(5000)).map((chunk) => chunk.length);
    expect(lengths).toEqual([2048, 2048, 904]);
  });

  test("asks for more where the answer is not in the buffer yet [C1]", () => {
    const chunker = new Chunker(SMALL);
    const bytes = new Uint8Array(4096);
    expect(chunker.cut(bytes, 0, 0, true)).toBe(0);
    expect(chunker.cut(bytes, 0, 128, false)).toBe(0);
    expect(chunker.cut(bytes, 0, 128, true)).toBe(128);
    expect(chunker.cut(bytes, 0, 2047, false)).toBe(0);
    expect(chunker.cut(bytes, 0, 2048, false)).toBe(2048);
    expect(chunker.cut(bytes, 10, 2047, true)).toBe(2047);
  });
});

describe("parseChunkerProfile()", () => {
  const illegal: readonly ChunkerProfile[] = [
    { minBytes: 0, averageBytes: 512, maxBytes: 2048 },
    { minBytes: 512, averageBytes: 512, maxBytes: 2048 },
    { minBytes: 512, averageBytes: 2048, maxBytes: 2048 },
    { minBytes: 128.5, averageBytes: 512, maxBytes: 2048 },
    { minBytes: 128, averageBytes: 512, maxBytes: 9 * 1_048_576 },
    { minBytes: Number.NaN, averageBytes: 512, maxBytes: 2048 },
  ];
  test.each(illegal)("refuses %j [C1]", (profile) => {
    expect(() => parseChunkerProfile(profile)).toThrow(SyncedError);
  });
});
