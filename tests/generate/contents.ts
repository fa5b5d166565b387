/**
 * Arbitraries: bytes, and edits of them. Big contents are made from a seed, so that shrinking stays
 * fast.
 */
import fc from "fast-check";

/** Repeatable bytes that no chunker finds structure in (xorshift32). */
export function noise(seed: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let state = seed | 1;
  for (let index = 0; index < length; index++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    bytes[index] = state;
  }
  return bytes;
}

/** Noise with runs of one byte in it, as images of disks and sparse files have. */
export function contents(lengthMax: number): fc.Arbitrary<Uint8Array> {
  const run = fc.record({ at: fc.nat(lengthMax), length: fc.nat(lengthMax), byte: fc.nat(255) });
  return fc
    .record({
      seed: fc.integer({ min: 1 }),
      length: fc.oneof(fc.nat(lengthMax), fc.constantFrom(0, 1, lengthMax)),
      runs: fc.array(run, { maxLength: 2 }),
    })
    .map(({ seed, length, runs }) => {
      const bytes = noise(seed, length);
      for (const { at, length: runLength, byte } of runs) bytes.fill(byte, at, at + runLength);
      return bytes;
    });
}

/** Replaces `removed` bytes at `at` with `added`. */
export function spliced(
  bytes: Uint8Array,
  edit: { readonly at: number; readonly removed: number; readonly added: Uint8Array },
): Uint8Array {
  const before = bytes.subarray(0, edit.at);
  const after = bytes.subarray(edit.at + edit.removed);
  const result = new Uint8Array(before.length + edit.added.length + after.length);
  result.set(before, 0);
  result.set(edit.added, before.length);
  result.set(after, before.length + edit.added.length);
  return result;
}
