/** A bucket as ObjectStore, on a real PostgreSQL: the contract, and what is its own. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { parseBucketKey, parseBucketUrl } from "../../src/adapters/bucket/address.ts";
import { openBucketObjectStore } from "../../src/adapters/bucket/store.ts";
import { PostgresPool } from "../../src/adapters/postgres-metadata/pool.ts";
import { systemRandom } from "../../src/adapters/runtime/random.ts";
import type { Digest } from "../../src/core/digest.ts";
import type { ObjectStore, StoredObject } from "../../src/ports/object-store.ts";
import { objectOf, objectStoreContract } from "../contracts/object-store-contract.ts";
import { failureOf } from "../failure.ts";
import { SERVER } from "../server/server-world.ts";
import { BUCKET_KEY, bucketAt, makeBucket, SmallBucket } from "./bucket.ts";
import { type CephServer, HAS_CEPH, startCeph } from "./ceph-server.ts";
import { makeScratchFolder } from "./disk-user.ts";
import { type MetadataDatabase, startMetadataDatabase } from "./postgres-metadata.ts";

let database: MetadataDatabase;

beforeAll(async () => {
  database = await startMetadataDatabase();
}, 180_000);

afterAll(() => database.stop());

/** @param version null for condemned ones; the version at which others were gone */
async function mark(digests: readonly Digest[], version: number | null): Promise<void> {
  for (const digest of digests) {
    const key = Buffer.from(digest, "hex");
    await database.admin`INSERT INTO synced.condemned VALUES (${key}, ${version})
      ON CONFLICT (digest) DO UPDATE SET deleted_at = excluded.deleted_at`;
  }
}

/** An empty store. */
async function openStore(url: string) {
  await (await database.emptyStore()).close();
  const pool = new PostgresPool(database.server.url);
  const bucket = bucketAt(url);
  const parts = { pool, bucket, serverId: SERVER, random: systemRandom };
  const store = await openBucketObjectStore(parts);
  const deleteCondemned = store.delete.bind(store);
  // As the collection of garbage does it.
  store.delete = async (digests) => {
    await mark(digests, null);
    const bytes = await deleteCondemned(digests);
    await mark(digests, 1);
    return bytes;
  };
  return {
    store,
    deleteCondemned,
    async close() {
      await store.close();
      pool.close();
    },
    /** Bends a byte where the object is: in PostgreSQL or in its segment. */
    async damage({ digest, bytes }: StoredObject): Promise<void> {
      const [row] = await database.admin`SELECT segment, at FROM synced.objects
        WHERE digest = ${Buffer.from(digest, "hex")}`;
      const other = bytes.slice();
      other[0] = (other[0] ?? 0) ^ 1;
      if (row?.["segment"] === null) {
        await database.admin`UPDATE synced.objects SET bytes = ${Buffer.from(other)}
          WHERE digest = ${Buffer.from(digest, "hex")}`;
        return;
      }
      const id = Buffer.from(row?.["segment"]).toString("hex");
      const name = `segments/${id.slice(-2)}/${id}`;
      const segment = await bucket.get(name, { at: 0, length: 2 ** 25 });
      if (segment === undefined) throw new Error("No segment");
      segment.set(other, Number(row?.["at"]));
      await bucket.put(name, segment);
    },
  };
}

describe("a small bucket", () => {
  objectStoreContract("A small bucket", async () => {
    const bucket = new SmallBucket();
    const { store, damage, close } = await openStore(bucket.url);
    return {
      store,
      damage,
      async close() {
        await close();
        await bucket.stop();
      },
    };
  });
});

describe("a bucket that does as it is told", () => {
  let bucket: SmallBucket;
  let store: ObjectStore;
  let deleteCondemned: (digests: readonly Digest[]) => Promise<number>;
  let close: () => Promise<void>;
  beforeEach(async () => {
    bucket = new SmallBucket();
    ({ store, deleteCondemned, close } = await openStore(bucket.url));
    bucket.requests.length = 0;
  });
  afterEach(async () => {
    await close();
    await bucket.stop();
  });

  test("small files cost no request, and a large upload one [P8]", async () => {
    await store.put([objectOf(1, 2_000), objectOf(2, 64 * 1024)]);
    expect(bucket.requests).toEqual([]);
    await store.put(Array.from({ length: 40 }, (_, n) => objectOf(n + 10, 60_000)));
    expect(bucket.requests).toHaveLength(1);
  });

  test("neighbours are read together [P8]", async () => {
    const objects = Array.from({ length: 200 }, (_, n) => objectOf(n + 10, 10_000));
    await store.put(objects);
    bucket.requests.length = 0;
    const found = await Promise.all(objects.map(({ digest }) => store.get(digest)));
    expect(found).toEqual(objects.map(({ bytes }) => bytes));
    expect(bucket.requests.length).toBeLessThanOrEqual(3);
  });

  for (const fault of [
    { status: 503, code: "SlowDown" },
    { status: 500, code: "InternalError" },
    { status: 400, code: "RequestTimeout" },
    "lost",
  ] as const) {
    const name = typeof fault === "string" ? fault : fault.code;
    test(`what passes is tried again: ${name} [P9]`, async () => {
      const object = objectOf(1, 200_000);
      bucket.faults.push(fault, fault);
      await store.put([object]);
      bucket.faults.push(fault, fault);
      expect(await store.get(object.digest)).toEqual(object.bytes);
    });
  }

  test("an answer that breaks off is asked for again [P9]", async () => {
    const object = objectOf(1, 200_000);
    await store.put([object]);
    bucket.faults.push("cut");
    expect(await store.get(object.digest)).toEqual(object.bytes);
  });

  test("what does not pass is said at once, with the next step, and nothing is stored [P9]", async () => {
    const object = objectOf(1, 200_000);
    bucket.faults.push({ status: 403, code: "InvalidAccessKeyId" });
    expect(await failureOf(store.put([object]))).toMatchObject({
      code: "temporarily_unavailable",
      message: expect.stringContaining("check SYNCED_BUCKET_URL with its region"),
    });
    expect(bucket.requests).toHaveLength(1);
    expect(await store.get(object.digest)).toBeUndefined();
    await store.put([object]);
    expect(await store.get(object.digest)).toEqual(object.bytes);
  });

  test("a bucket that takes no more is said as full [P9, O10]", async () => {
    bucket.faults.push({ status: 403, code: "QuotaExceeded" });
    expect(await failureOf(store.put([objectOf(1, 200_000)]))).toMatchObject({
      code: "storage_full",
    });
  });

  test("a segment that is gone is damage, and a new upload heals it [P8, I37]", async () => {
    const object = objectOf(1, 200_000);
    await store.put([object]);
    bucket.objects.clear();
    expect(await failureOf(store.get(object.digest))).toMatchObject({ code: "chunk_corrupt" });
    expect(await store.damaged()).toEqual([object.digest]);
    await store.put([object]);
    expect(await store.get(object.digest)).toEqual(object.bytes);
    expect(await store.damaged()).toEqual([]);
    expect(await store.damage()).toMatchObject([{ digest: object.digest }]);
  });

  test("many small objects move from PostgreSQL to the bucket [P8]", async () => {
    const objects = Array.from({ length: 300 }, (_, n) => objectOf(n + 10, 60_000));
    for (const object of objects) await store.put([object]);
    expect(bucket.requests).toEqual([]);
    await store.tidy();
    const [{ waiting } = { waiting: -1 }] = await database.admin`
      SELECT count(*)::integer AS waiting FROM synced.objects WHERE segment IS NULL`;
    expect(waiting).toBe(0);
    expect(bucket.requests.length).toBeLessThan(3);
    const found = await Promise.all(objects.map(({ digest }) => store.get(digest)));
    expect(found).toEqual(objects.map(({ bytes }) => bytes));
  });

  test("what another server deleted, and a device sent again, stays [P13, I36]", async () => {
    const [sent, other] = [objectOf(1, 2_000), objectOf(2, 200_000)];
    await store.put([sent, other]);
    // Two servers found both condemned; the first one has done its work.
    await store.delete([sent.digest, other.digest]);
    await store.put([sent, other]);
    expect(await deleteCondemned([sent.digest, other.digest])).toBe(0);
    expect(await store.get(sent.digest)).toEqual(sent.bytes);
    expect(await store.get(other.digest)).toEqual(other.bytes);
  });

  test("a segment is deleted a week after its last object, not before [P10]", async () => {
    const object = objectOf(1, 200_000);
    await store.put([object]);
    const segments = () => [...bucket.objects.keys()].filter((name) => name !== "format");
    await store.delete([object.digest]);
    await store.tidy();
    expect(segments()).toHaveLength(1);
    await database.admin`UPDATE synced.segments SET since = since - ${8 * 86_400_000}`;
    await store.tidy();
    expect(segments()).toEqual([]);
    expect(await database.admin`SELECT * FROM synced.segments`).toHaveLength(0);
  });

  test("an upload whose end is not known is swept, in two steps [P10]", async () => {
    const lost = Array.from({ length: 5 }, () => "lost" as const);
    bucket.faults.push(...lost);
    expect(await failureOf(store.put([objectOf(1, 200_000)]))).toMatchObject({
      code: "temporarily_unavailable",
    });
    expect(bucket.objects.size).toBe(2);
    await database.admin`UPDATE synced.segments SET since = since - ${8 * 86_400_000}`;
    await store.tidy();
    // It was there all the same, and might have been on its way until now.
    expect(bucket.objects.size).toBe(2);
    await database.admin`UPDATE synced.segments SET since = since - ${8 * 86_400_000}`;
    await store.tidy();
    expect([...bucket.objects.keys()]).toEqual(["format"]);
  });

  test("another server's bucket is refused, and an empty one beside a full index [P7]", async () => {
    await store.put([objectOf(1, 200_000)]);
    const pool = new PostgresPool(database.server.url);
    const parts = { pool, serverId: SERVER, random: systemRandom };
    const open = (url: string) => openBucketObjectStore({ ...parts, bucket: bucketAt(url) });
    expect(await failureOf(open(`${bucket.url}/other`))).toMatchObject({ code: "server_changed" });
    bucket.objects.set("format", new TextEncoder().encode(`synced bucket 1 ${"0".repeat(32)}\n`));
    expect(await failureOf(open(bucket.url))).toMatchObject({ code: "server_changed" });
    pool.close();
  });
});

describe.skipIf(!HAS_CEPH)("Ceph", () => {
  let scratch: ReturnType<typeof makeScratchFolder>;
  let ceph: CephServer;
  let made = 0;
  beforeAll(async () => {
    scratch = makeScratchFolder();
    ceph = await startCeph(scratch.root, BUCKET_KEY);
  }, 180_000);
  afterAll(async () => {
    await ceph.stop();
    scratch.drop();
  });

  objectStoreContract("Ceph", async () => {
    made += 1;
    await makeBucket(`${ceph.url}bucket-${made}`);
    return await openStore(`s3://127.0.0.1:${ceph.port}/bucket-${made}`);
  });

  test("a bucket that is not there is said [P9]", async () => {
    expect(await failureOf(openStore(`s3://127.0.0.1:${ceph.port}/no-such-bucket`))).toMatchObject({
      code: "temporarily_unavailable",
      message: expect.stringContaining("there is no such bucket"),
    });
  });
});

test("a bucket's URL and key are checked [P7]", () => {
  expect(parseBucketUrl("s3://s3.example.org/photos/synced?region=eu-1")).toMatchObject({
    base: "https://s3.example.org/photos/synced/",
    region: "eu-1",
  });
  expect(parseBucketUrl("s3://s3.example.org/photos/a/b?style=host").base).toBe(
    "https://photos.s3.example.org/a/b/",
  );
  expect(parseBucketUrl("s3://localhost:9000/photos").base).toBe("http://localhost:9000/photos/");
  expect(parseBucketUrl("s3://nas.lan/photos?tls=off").base).toBe("http://nas.lan/photos/");
  for (const wrong of [
    "",
    "photos",
    "https://s3.example.org/photos",
    "s3:///photos",
    "s3://s3.example.org",
    "s3://s3.example.org/photos?regoin=eu",
    "s3://s3.example.org/photos?style=other",
    "s3://s3.example.org/../photos%2f",
    "s3://id:secret@s3.example.org/photos",
  ]) {
    expect(() => parseBucketUrl(wrong)).toThrow(expect.objectContaining({ code: "usage" }));
  }
  expect(parseBucketKey("ID:SE:CRET/+\n", "a file")).toEqual({ id: "ID", secret: "SE:CRET/+" });
  expect(() => parseBucketKey("ID", "a file")).toThrow(expect.objectContaining({ code: "usage" }));
});
