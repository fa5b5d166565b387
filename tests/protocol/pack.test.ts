/** Packs [C5, C6]. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { type Digest, sha256 } from "../../src/core/digest.ts";
import { SyncedError } from "../../src/core/error.ts";
import { OBJECT_SIZE_BYTES_MAX } from "../../src/core/limits.ts";
import type { PackObject } from "../../src/protocol/messages.ts";
import {
  decodePack,
  encodePack,
  PACK_HEADER_BYTES,
  PackDecoder,
  packLengthBytes,
  packPieces,
} from "../../src/protocol/pack.ts";

function objectOf(bytes: Uint8Array, depth = 0): PackObject {
  return { depth, digest: sha256(bytes), bytes };
}

const packObjects = fc.array(
  fc
    .tuple(fc.uint8Array({ minLength: 1, maxLength: 200 }), fc.integer({ min: 0, max: 3 }))
    .map(([bytes, depth]) => objectOf(bytes, depth)),
  { maxLength: 8 },
);

/** The bytes cut into pieces of these lengths, in turn. */
function piecesOf(bytes: Uint8Array, lengths: readonly number[]): Uint8Array[] {
  const pieces: Uint8Array[] = [];
  for (let offset = 0, index = 0; offset < bytes.length; index++) {
    const piece = bytes.slice(offset, offset + (lengths[index % lengths.length] ?? 1));
    pieces.push(piece);
    offset += piece.length;
  }
  return pieces;
}

function decodedFrom(pieces: readonly Uint8Array[]): PackObject[] {
  const decoder = new PackDecoder();
  const objects = pieces.flatMap((piece) => [...decoder.push(piece)]);
  decoder.finish();
  return objects;
}

async function codeOf(work: () => unknown): Promise<string | undefined> {
  try {
    await work();
    return undefined;
  } catch (error) {
    if (error instanceof SyncedError) return error.code;
    throw error;
  }
}

describe("decodePack()", () => {
  test("undoes encodePack() [C6]", () => {
    fc.assert(
      fc.property(packObjects, (objects) => {
        const pack = encodePack(objects);
        expect(pack.length).toBe(packLengthBytes(objects));
        expect(decodePack(pack)).toEqual(objects);
        expect(Buffer.concat([...packPieces(objects)]).equals(pack)).toBe(true);
      }),
    );
  });

  test("reads the documented bytes [C6]", () => {
    const bytes = new TextEncoder().encode("hi");
    const hex = `02${sha256("hi")}000000026869`;
    expect(Buffer.from(encodePack([objectOf(bytes, 2)])).toString("hex")).toBe(hex);
  });

  const header = (depth: number, digest: Digest, lengthBytes: number): Uint8Array => {
    const bytes = new Uint8Array(PACK_HEADER_BYTES);
    bytes[0] = depth;
    bytes.set(Uint8Array.fromHex(digest), 1);
    new DataView(bytes.buffer).setUint32(33, lengthBytes);
    return bytes;
  };
  const good = encodePack([objectOf(new Uint8Array([1, 2, 3]))]);
  const illegal: readonly (readonly [string, Uint8Array, string])[] = [
    ["a cut header", good.slice(0, 36), "invalid_chunk"],
    ["a header alone", good.slice(0, 37), "invalid_chunk"],
    ["a cut object", good.slice(0, -1), "invalid_chunk"],
    ["a byte too many", new Uint8Array([...good, 0]), "invalid_chunk"],
    ["an empty object", header(0, sha256(""), 0), "invalid_chunk"],
    ["depth 4", header(4, sha256("x"), 1), "invalid_chunk"],
    ["an object over 8 MiB", header(0, sha256("x"), OBJECT_SIZE_BYTES_MAX + 1), "body_too_large"],
    ["an object of 4 GiB", header(0, sha256("x"), 0xffffffff), "body_too_large"],
    ["another digest", new Uint8Array([...good.slice(0, -1), 9]), "hash_mismatch"],
  ];
  test.each(illegal)("refuses %s [C5, C6]", async (_, pack, code) => {
    expect(await codeOf(() => decodePack(pack))).toBe(code);
    expect(await codeOf(() => decodedFrom(piecesOf(pack, [1])))).toBe(code);
  });

  test("any damaged byte is found [C5]", () => {
    const objects = [objectOf(new Uint8Array([1, 2, 3])), objectOf(new Uint8Array([4, 5]), 1)];
    const pack = encodePack(objects);
    fc.assert(
      fc.property(fc.nat(pack.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
        const damaged = pack.slice();
        damaged[at] = (damaged[at] ?? 0) ^ flip;
        let result: PackObject[] = [];
        try {
          result = decodePack(damaged);
        } catch (error) {
          expect(error).toBeInstanceOf(SyncedError);
          return;
        }
        // Only a depth is not covered by a digest: the manifest's own format byte repeats it.
        expect(result.map(({ digest, bytes }) => ({ digest, bytes }))).toEqual(
          objects.map(({ digest, bytes }) => ({ digest, bytes })),
        );
      }),
    );
  });

  test("keeps its bounds [C6]", async () => {
    const many = encodePack([1, 2, 3].map((byte) => objectOf(new Uint8Array([byte]))));
    expect(await codeOf(() => decodePack(many, { objectsMax: 2 }))).toBe("body_too_large");
    expect(await codeOf(() => decodePack(many, { packBytesMax: many.length - 1 }))).toBe(
      "body_too_large",
    );
    expect(decodePack(many, { objectsMax: 3, packBytesMax: many.length })).toHaveLength(3);
  });
});

describe("PackDecoder", () => {
  test("gives the same objects however the pack is split [C6]", () => {
    const lengths = fc.array(fc.integer({ min: 1, max: 120 }), { minLength: 1, maxLength: 5 });
    fc.assert(
      fc.property(packObjects, lengths, (objects, pieceLengths) => {
        expect(decodedFrom(piecesOf(encodePack(objects), pieceLengths))).toEqual(objects);
      }),
    );
  });

  test("hands out an object before the next one has arrived [C6]", () => {
    const first = objectOf(new Uint8Array([1]));
    const decoder = new PackDecoder();
    expect([...decoder.push(encodePack([first]))]).toEqual([first]);
    decoder.finish();
  });

  test("an object goes into the memory that it is given, else its piece holds it [C6]", () => {
    const [small, large] = [new Uint8Array(20).fill(1), new Uint8Array(90).fill(2)];
    const buffer = new Uint8Array(90);
    const memory = (lengthBytes: number) => (lengthBytes < 50 ? undefined : buffer);
    const pack = encodePack([small, large].map(objectOf));
    const objects = decodePack(pack, { memory });
    expect(objects.map(({ bytes }) => bytes)).toEqual([small, large]);
    expect(objects.map(({ bytes }) => bytes.buffer)).toEqual([pack.buffer, buffer.buffer]);
    const split = [pack.subarray(0, 50), pack.subarray(50)];
    const again = new PackDecoder({ memory });
    expect(split.flatMap((piece) => [...again.push(piece)])).toEqual(objects);
  });

  test("a decoder holds at most one object [C6]", () => {
    const decoder = new PackDecoder();
    const pack = encodePack([objectOf(new Uint8Array(100).fill(7))]);
    expect([...decoder.push(pack.subarray(0, 90))]).toEqual([]);
    expect([...decoder.push(pack.subarray(90))]).toHaveLength(1);
    decoder.finish();
  });
});
