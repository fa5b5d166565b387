/** Manifests: built, parsed, walked [C2, C3, C4, C5]. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { type Digest, EMPTY_DIGEST, sha256 } from "../../src/core/digest.ts";
import { SyncedError } from "../../src/core/error.ts";
import {
  type BuiltManifest,
  checkManifestRoot,
  encodeManifestObject,
  ManifestBuilder,
  type ManifestChild,
  parseManifestObject,
} from "../../src/core/manifest.ts";
import { knownChunks, leafChunks, type ManifestPlace } from "../../src/core/manifest-walk.ts";

/** Chunks that stand for a file: digests as random as SHA-256 makes them. */
function fakeChunks(count: number, seed = 0): ManifestChild[] {
  return Array.from({ length: count }, (_, index) => ({
    digest: sha256(`${seed} ${index}`),
    size: 1 + ((index * 7919 + seed) % 1000),
  }));
}

function built(chunks: readonly ManifestChild[]): BuiltManifest {
  const builder = new ManifestBuilder();
  for (const { digest, size } of chunks) builder.push(digest, size);
  return builder.finish();
}

function storeOf(...manifests: readonly BuiltManifest[]): Map<Digest, Uint8Array> {
  const store = new Map<Digest, Uint8Array>();
  for (const { objects } of manifests) {
    for (const { digest, bytes } of objects) store.set(digest, bytes);
  }
  return store;
}

async function walked(
  manifest: BuiltManifest,
  range?: { start: number; end: number },
): Promise<{ places: ManifestPlace[]; loads: number }> {
  const store = storeOf(manifest);
  const places: ManifestPlace[] = [];
  let loads = 0;
  const load = async (digest: Digest): Promise<Uint8Array> => {
    loads++;
    const bytes = store.get(digest);
    if (bytes === undefined) throw new Error(`no object ${digest}`);
    return bytes;
  };
  for await (const place of leafChunks(manifest, load, range)) places.push(place);
  return { places, loads };
}

function codeOf(work: () => unknown): string | undefined {
  try {
    work();
    return undefined;
  } catch (error) {
    if (error instanceof SyncedError) return error.code;
    throw error;
  }
}

const chunkCount = fc.oneof(fc.nat(5), fc.nat(200), fc.integer({ min: 900, max: 4000 }));

describe("ManifestBuilder", () => {
  test("an empty file has the digest of no bytes and no object [C2]", () => {
    expect(built([])).toEqual({ manifest: EMPTY_DIGEST, depth: 0, size: 0, objects: [] });
  });

  test("a file of one chunk is named by that chunk [C2]", () => {
    const [chunk] = fakeChunks(1);
    const manifest = built(fakeChunks(1));
    expect(manifest).toMatchObject({ manifest: chunk?.digest, depth: 0, objects: [] });
    expect(manifest.size).toBe(chunk?.size ?? 0);
  });

  test("two chunks make one object of the documented bytes [C3]", () => {
    const manifest = built([
      { digest: sha256("a"), size: 1 },
      { digest: sha256("b"), size: 0x010203 },
    ]);
    const [object] = manifest.objects;
    const hex = Buffer.from(object?.bytes ?? []).toString("hex");
    const first = `${sha256("a")}0000000000000001`;
    expect(hex).toBe(`0101${first}${sha256("b")}0000000000010203`);
    expect(manifest).toMatchObject({ depth: 1, manifest: object?.digest, size: 0x010204 });
  });

  test("what was built reads back as the same chunks in order [C3, C4]", async () => {
    await fc.assert(
      fc.asyncProperty(chunkCount, fc.nat(1000), async (count, seed) => {
        const chunks = fakeChunks(count, seed);
        const manifest = built(chunks);
        const { places } = await walked(manifest);
        expect(places.map(({ digest, size }) => ({ digest, size }))).toEqual(chunks);
        let offset = 0;
        for (const place of places) {
          expect(place.offset).toBe(offset);
          offset += place.size;
        }
        expect(offset).toBe(manifest.size);
      }),
      { numRuns: 25 },
    );
  });

  test("objects come after the objects that they list, and the root is the last [C4]", () => {
    const manifest = built(fakeChunks(30_000));
    const seen = new Set<Digest>();
    for (const object of manifest.objects) {
      const { depth, children } = parseManifestObject(object.bytes);
      expect(depth).toBe(object.depth);
      expect(children.length).toBeLessThanOrEqual(1024);
      if (depth > 1) expect(children.every((child) => seen.has(child.digest))).toBe(true);
      seen.add(object.digest);
    }
    expect(manifest.depth).toBe(2);
    expect(manifest.objects.at(-1)?.digest).toBe(manifest.manifest);
  });

  test("content without variety is cut at 1,024 children, and reaches depth 3 [C4, C7]", async () => {
    const chunk: ManifestChild = { digest: sha256("zeros"), size: 8 * 1_048_576 };
    const count = 1024 * 1024 + 5;
    const builder = new ManifestBuilder();
    for (let index = 0; index < count; index++) builder.push(chunk.digest, chunk.size);
    const manifest = builder.finish();
    expect(manifest.depth).toBe(3);
    expect(manifest.size).toBe(count * chunk.size);
    const tail = { start: manifest.size - 10, end: manifest.size };
    const { places, loads } = await walked(manifest, tail);
    expect(places).toEqual([{ ...chunk, depth: 0, offset: manifest.size - chunk.size }]);
    expect(loads).toBe(3);
  });

  test("a manifest's delta is small after an edit [C4]", () => {
    fc.assert(
      fc.property(fc.nat(19_999), fc.nat(2), fc.nat(3), (at, removed, added) => {
        const before = fakeChunks(20_000);
        const after = before.toSpliced(at, removed, ...fakeChunks(added, 1));
        const known = storeOf(built(before));
        const manifest = built(after);
        const unknown = manifest.objects.filter((object) => !known.has(object.digest));
        const unknownBytes = unknown.reduce((sum, object) => sum + object.bytes.length, 0);
        expect(unknown.length).toBeLessThanOrEqual(6);
        expect(unknownBytes).toBeLessThan(100_000);
      }),
      { numRuns: 12 },
    );
  });

  test("refuses a chunk without bytes and any chunk after the end [C3]", () => {
    const builder = new ManifestBuilder();
    expect(() => builder.push(EMPTY_DIGEST, 0)).toThrow("a chunk has bytes");
    builder.finish();
    expect(() => builder.push(sha256("a"), 1)).toThrow("takes no more chunks");
  });
});

describe("parseManifestObject()", () => {
  const legal = encodeManifestObject({ depth: 1, children: fakeChunks(3) }).bytes;

  test("undoes encodeManifestObject(), also within a larger buffer [C3]", () => {
    const padded = new Uint8Array(legal.length + 10);
    padded.set(legal, 7);
    const parsed = parseManifestObject(padded.subarray(7, 7 + legal.length));
    expect(parsed).toEqual({ depth: 1, children: fakeChunks(3) });
  });

  function changed(at: number, ...bytes: readonly number[]): Uint8Array {
    const copy = legal.slice();
    copy.set(bytes, at);
    return copy;
  }
  const huge = 2 ** 52;
  const deep = (...sizes: number[]): Uint8Array =>
    encodeManifestObject({
      depth: 2,
      children: sizes.map((size) => ({ digest: sha256("x"), size })),
    }).bytes;
  const illegal: readonly (readonly [string, Uint8Array])[] = [
    ["no bytes", new Uint8Array()],
    ["a header alone", legal.slice(0, 2)],
    ["another format", changed(0, 2)],
    ["depth 0", changed(1, 0)],
    ["depth 4", changed(1, 4)],
    ["a cut child", legal.slice(0, -1)],
    ["a byte too many", new Uint8Array([...legal, 0])],
    ["size 0", changed(2 + 32, 0, 0, 0, 0, 0, 0, 0, 0)],
    ["a chunk over the bound", changed(2 + 32, 0, 0, 0, 0, 0, 0x80, 0, 1)],
    ["a size of 2^64 - 1", changed(2 + 32, 255, 255, 255, 255, 255, 255, 255, 255)],
    ["sizes that add up beyond 2^53 - 1", deep(huge, huge)],
    ["4,097 children", encodeManifestObject({ depth: 1, children: fakeChunks(4097) }).bytes],
  ];
  test.each(illegal)("refuses %s [C3, C5]", (_, bytes) => {
    expect(codeOf(() => parseManifestObject(bytes))).toBe("invalid_manifest");
  });

  test("any bytes parse to what encodes to them, or are refused [C3, C5]", () => {
    const body = fc.uint8Array({ minLength: 40, maxLength: 40 });
    const nearly = fc
      .tuple(fc.integer({ min: 0, max: 4 }), fc.array(body, { maxLength: 4 }))
      .map(([depth, children]) => {
        const small = children.map((child) => child.fill(0, 32, 37));
        return new Uint8Array([1, depth, ...small.flatMap((child) => [...child])]);
      });
    fc.assert(
      fc.property(fc.oneof(nearly, fc.uint8Array({ maxLength: 100 })), (bytes) => {
        let parsed: ReturnType<typeof parseManifestObject>;
        try {
          parsed = parseManifestObject(bytes);
        } catch (error) {
          expect(error).toBeInstanceOf(SyncedError);
          return;
        }
        expect(encodeManifestObject(parsed).bytes).toEqual(bytes);
      }),
    );
  });
});

describe("checkManifestRoot()", () => {
  const digest = sha256("x");
  const illegal = [
    { manifest: digest, depth: 4, size: 10 },
    { manifest: digest, depth: -1, size: 10 },
    { manifest: digest, depth: 0.5, size: 10 },
    { manifest: digest, depth: 0, size: -1 },
    { manifest: digest, depth: 1, size: 2 ** 53 },
    { manifest: digest, depth: 0, size: 9 * 1_048_576 },
    { manifest: digest, depth: 0, size: 0 },
    { manifest: EMPTY_DIGEST, depth: 0, size: 1 },
    { manifest: EMPTY_DIGEST, depth: 1, size: 0 },
  ];
  test.each(illegal)("refuses %j [C2, C5]", (root) => {
    expect(codeOf(() => checkManifestRoot(root))).toBe("invalid_manifest");
  });
});

describe("leafChunks()", () => {
  test("a range gives the chunks that overlap it, and loads nothing beside them [C3]", async () => {
    const chunks = fakeChunks(3000);
    const manifest = built(chunks);
    const { places: all } = await walked(manifest);
    await fc.assert(
      fc.asyncProperty(fc.nat(manifest.size), fc.nat(5000), async (start, length) => {
        const end = start + length;
        const { places, loads } = await walked(manifest, { start, end });
        const wanted = all.filter((at) => at.offset < end && at.offset + at.size > start);
        expect(places).toEqual(wanted);
        expect(loads).toBeLessThanOrEqual(4);
      }),
      { numRuns: 40 },
    );
  });

  test("an empty file has no chunks, and a chunk alone needs no load [C2]", async () => {
    expect(await walked(built([]))).toEqual({ places: [], loads: 0 });
    const { places, loads } = await walked(built(fakeChunks(1)));
    expect(places).toEqual([{ ...fakeChunks(1)[0], depth: 0, offset: 0 } as ManifestPlace]);
    expect(loads).toBe(0);
  });

  test("refuses an object whose depth or size is not as its parent says [C5]", async () => {
    const inner = encodeManifestObject({ depth: 1, children: fakeChunks(3) });
    const store = new Map([[inner.digest, inner.bytes]]);
    const sum = fakeChunks(3).reduce((total, chunk) => total + chunk.size, 0);
    for (const root of [
      { manifest: inner.digest, depth: 1, size: sum + 1 },
      { manifest: inner.digest, depth: 2, size: sum },
    ]) {
      const walk = knownChunks(root, (digest) => store.get(digest));
      expect(codeOf(() => [...walk])).toBe("invalid_manifest");
    }
  });
});

describe("knownChunks()", () => {
  test("names what it does not know, in place of the chunks below it [C4]", () => {
    fc.assert(
      fc.property(fc.integer({ min: 33, max: 6000 }), fc.nat(), (count, dropped) => {
        const chunks = fakeChunks(count);
        const manifest = built(chunks);
        const store = storeOf(manifest);
        const gone = manifest.objects[dropped % manifest.objects.length];
        if (gone !== undefined) store.delete(gone.digest);
        const places = [...knownChunks(manifest, (digest) => store.get(digest))];
        const unknown = places.filter((place) => place.depth > 0);
        expect(unknown.map(({ digest, depth }) => ({ digest, depth }))).toEqual([
          { digest: gone?.digest ?? EMPTY_DIGEST, depth: gone?.depth ?? 0 },
        ]);
        const total = places.reduce((sum, place) => sum + place.size, 0);
        expect(total).toBe(manifest.size);
      }),
      { numRuns: 25 },
    );
  });
});
