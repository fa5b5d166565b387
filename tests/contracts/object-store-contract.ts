/** The contract of every ObjectStore [O6, O7, I37]. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { sha256 } from "../../src/core/digest.ts";
import { OBJECT_SIZE_BYTES_MAX } from "../../src/core/limits.ts";
import type { ObjectStore, StoredObject } from "../../src/ports/object-store.ts";
import { failureOf } from "../failure.ts";
import { noise } from "../generate/contents.ts";

export interface ObjectStoreFixture {
  readonly store: ObjectStore;
  /** Changes a stored object's bytes behind the store's back. */
  damage(object: StoredObject): void | Promise<void>;
  close(): Promise<void>;
}

const SIZES = [1, 40, 64 * 1024, 64 * 1024 + 1, 300_000, OBJECT_SIZE_BYTES_MAX];

export function objectOf(seed: number, length: number): StoredObject {
  const bytes = noise(seed, length);
  return { digest: sha256(bytes), bytes };
}

/** @param make makes an empty store. */
export function objectStoreContract(
  name: string,
  make: () => ObjectStoreFixture | Promise<ObjectStoreFixture>,
): void {
  let fixture: ObjectStoreFixture;
  let store: ObjectStore;
  beforeEach(async () => {
    fixture = await make();
    store = fixture.store;
  });
  afterEach(() => fixture.close());

  describe(`${name} keeps the contract of an object store`, () => {
    test("objects of every size come back as they went in [O6]", async () => {
      const objects = SIZES.map((size) => objectOf(size, size));
      await store.put(objects);
      for (const { digest, bytes } of objects) {
        expect(Buffer.from((await store.get(digest)) ?? []).equals(Buffer.from(bytes))).toBe(true);
      }
    });

    test("what was not put is not there [O6]", async () => {
      const [first, second] = [objectOf(1, 100), objectOf(2, 100_000)];
      expect(await store.get(first.digest)).toBeUndefined();
      expect(await store.get(second.digest)).toBeUndefined();
      await store.put([second]);
      expect(await store.get(first.digest)).toBeUndefined();
    });

    test("a second put changes nothing, in one call, after it or beside it [O6]", async () => {
      const objects = [objectOf(1, 100), objectOf(2, 100_000)];
      await Promise.all([store.put([...objects, ...objects]), store.put(objects)]);
      await store.put(objects);
      const found = await store.list({ limit: 10 });
      expect(found).toEqual(objects.map(({ digest }) => digest).sort());
      expect(await store.check()).toEqual([]);
    });

    test("many puts at once are all there when they resolve [O7]", async () => {
      const objects = Array.from({ length: 40 }, (_, n) => objectOf(n + 1, n % 2 ? 90_000 : 900));
      await Promise.all(objects.map((object) => store.put([object])));
      const digests = objects.map(({ digest }) => digest);
      expect(await store.list({ limit: 100 })).toEqual(digests.sort());
    });

    test("the caller's bytes may be reused after a put [O6]", async () => {
      const object = objectOf(5, 1000);
      const bytes = object.bytes.slice();
      await store.put([{ ...object, bytes }]);
      bytes.fill(0);
      expect(await store.get(object.digest)).toEqual(object.bytes);
    });

    for (const size of [100, 100_000]) {
      test(`damage to ${size} bytes is never served, and a new put heals it [I37]`, async () => {
        const object = objectOf(3, size);
        await store.put([object]);
        await fixture.damage(object);
        expect(await failureOf(store.get(object.digest))).toMatchObject({ code: "chunk_corrupt" });
        await store.put([object]);
        expect(await store.get(object.digest)).toEqual(object.bytes);
      });
    }

    test("what all objects take grows with what is put, once, before and after a look [V3]", async () => {
      await store.put([objectOf(1, 200_000), objectOf(2, 100)]);
      const before = await store.usage();
      expect(before.bytes).toBeGreaterThanOrEqual(200_100);
      await store.put([objectOf(3, 300_000), objectOf(1, 200_000)]);
      await store.put([objectOf(3, 300_000)]);
      expect((await store.usage()).bytes - before.bytes).toBe(300_000);
    });

    test("what is deleted is gone, and nothing else, and comes back with a put [U3]", async () => {
      const objects = SIZES.map((size) => objectOf(size, size));
      const [kept, ...deleted] = objects;
      if (kept === undefined) throw new Error("No objects");
      await store.put(objects);
      const digests = deleted.map(({ digest }) => digest);
      const bytes = deleted.reduce((sum, object) => sum + object.bytes.length, 0);
      const sizes = await Promise.all(digests.map((digest) => store.sizeOf(digest)));
      expect(sizes.reduce((sum, size) => sum + size, 0)).toBe(bytes);
      expect(await store.delete([...digests, objectOf(99, 9).digest])).toBe(bytes);
      expect(await store.list({ limit: 100 })).toEqual([kept.digest]);
      for (const digest of digests) expect(await store.get(digest)).toBeUndefined();
      expect(await store.delete(digests)).toBe(0);
      await store.tidy();
      expect(await store.get(kept.digest)).toEqual(kept.bytes);
      await store.put(objects);
      for (const { digest, bytes: whole } of objects)
        expect(await store.get(digest)).toEqual(whole);
      expect(await store.check()).toEqual([]);
    });

    test("the room of deleted objects is given back, also beside living ones [U4]", async () => {
      const upload = Array.from({ length: 10 }, (_, n) => objectOf(n + 1, 100_000));
      await store.put(upload);
      await store.put(Array.from({ length: 100 }, (_, n) => objectOf(n + 100, 5_000)));
      const all = (await store.list({ limit: 1000 })).filter(
        (digest) => digest !== upload[3]?.digest && digest !== upload[7]?.digest,
      );
      await store.delete(all);
      await store.tidy();
      expect((await store.usage()).bytes).toBeLessThan(300_000);
      for (const kept of [upload[3], upload[7]]) {
        expect(await store.get(kept?.digest ?? all[0] ?? sha256(""))).toEqual(kept?.bytes);
      }
    });

    test("who reads while room is given back reads right [U4, I37]", async () => {
      const upload = Array.from({ length: 8 }, (_, n) => objectOf(n + 1, 200_000));
      await store.put(upload);
      const [kept, ...rest] = upload;
      if (kept === undefined) throw new Error("No objects");
      await store.delete(rest.map(({ digest }) => digest));
      const reads = Array.from({ length: 50 }, async () => {
        await Bun.sleep(0);
        return await store.get(kept.digest);
      });
      await store.tidy();
      for (const bytes of await Promise.all(reads)) expect(bytes).toEqual(kept.bytes);
    });

    test("digests are listed in order and by page", async () => {
      const objects = Array.from({ length: 9 }, (_, n) => objectOf(n + 1, n % 2 ? 80_000 : 80));
      await store.put(objects);
      const expected = objects.map(({ digest }) => digest).sort();
      const [, , third] = expected;
      if (third === undefined) throw new Error("No digests");
      expect(await store.list({ limit: 100 })).toEqual(expected);
      expect(await store.list({ limit: 2 })).toEqual(expected.slice(0, 2));
      expect(await store.list({ after: third, limit: 4 })).toEqual(expected.slice(3, 7));
    });
  });
}
