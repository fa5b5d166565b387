/**
 * ObjectStore in a bucket that speaks S3, with its index in PostgreSQL. Rules: P7, P8, O6, O7, I37.
 *
 * The objects of an upload become one segment: a pack under a name that chance chose, never written
 * again. Small objects wait in PostgreSQL until there are enough of them for a segment.
 */
import type { Digest } from "../../core/digest.ts";
import { sha256 } from "../../core/digest.ts";
import { SyncedError } from "../../core/error.ts";
import type { ServerId } from "../../core/identifier.ts";
import {
  HEALED_KNOWN_MS,
  WAITING_OBJECT_BYTES_MAX,
  WAITING_UPLOAD_BYTES_MAX,
} from "../../core/limits.ts";
import type {
  Damage,
  ObjectMemory,
  ObjectStore,
  StoredObject,
  StoreUsage,
} from "../../ports/object-store.ts";
import type { Page } from "../../ports/page.ts";
import type { Random } from "../../ports/random.ts";
import { hex, integer, toBlob } from "../metadata/rows.ts";
import type { PostgresPool } from "../postgres-metadata/pool.ts";
import { bytea } from "../postgres-metadata/writes.ts";
import type { SqlRow } from "../sqlite/database.ts";
import { SegmentBlocks, type SegmentPlace } from "./blocks.ts";
import type { Bucket } from "./client.ts";
import * as queries from "./queries.ts";
import { Segments } from "./segments.ts";
import { tidyBucket } from "./tidy.ts";

export interface BucketStoreOptions {
  /** Where the index is. The caller closes it. */
  readonly pool: PostgresPool;
  readonly bucket: Bucket;
  /** Whose bucket it is. */
  readonly serverId: ServerId;
  readonly random: Random;
}

/** The object in the bucket that says whose it is. */
export const FORMAT_NAME = "format";
const FORMAT_BYTES_MAX = 200;

/**
 * Takes the bucket for the server if it is nobody's.
 *
 * @throws {SyncedError} `server_changed` if it is another server's, or holds nothing although the
 * index says otherwise; `temporarily_unavailable`
 */
export async function openBucketObjectStore(options: BucketStoreOptions): Promise<ObjectStore> {
  const { pool, bucket, serverId } = options;
  const mine = `synced bucket 1 ${serverId}\n`;
  const range = { at: 0, length: FORMAT_BYTES_MAX };
  const found = await bucket.get(FORMAT_NAME, range);
  if (found === undefined) {
    const [row] = await pool.read(queries.HAS_OBJECTS);
    if (row !== undefined && integer(row, "found") === 1) {
      throw notMine(bucket.name, `it holds nothing, but PostgreSQL knows of objects in it`);
    }
    await bucket.put(FORMAT_NAME, new TextEncoder().encode(mine));
  } else if (new TextDecoder().decode(found) !== mine) {
    throw notMine(bucket.name, `it is not that of server ${serverId}`);
  }
  return new BucketObjectStore(options);
}

function notMine(name: string, reason: string): SyncedError {
  const advice = "name the bucket and prefix that belong to this database, or an empty prefix";
  return new SyncedError("server_changed", `Cannot use the ${name}: ${reason}; ${advice}`);
}

/** An object's bytes, or where they are. */
interface Located {
  readonly bytes: Uint8Array | undefined;
  readonly place: SegmentPlace | undefined;
  readonly isDamaged: boolean;
}

class BucketObjectStore implements ObjectStore {
  /** Nothing fails for good: PostgreSQL and the bucket tell of each write whether it is durable. */
  readonly failure = new Promise<never>(() => undefined);
  readonly #pool: PostgresPool;
  readonly #bucket: Bucket;
  readonly #blocks: SegmentBlocks;
  readonly #segments: Segments;

  constructor({ pool, bucket, random }: BucketStoreOptions) {
    this.#pool = pool;
    this.#bucket = bucket;
    this.#blocks = new SegmentBlocks(bucket);
    this.#segments = new Segments({ pool, bucket, random });
  }

  async put(objects: readonly StoredObject[]): Promise<void> {
    const wanted = await this.#wanted(objects);
    const small = wanted.filter(({ bytes }) => bytes.length <= WAITING_OBJECT_BYTES_MAX);
    const smallBytes = small.reduce((sum, { bytes }) => sum + bytes.length, 0);
    const waiting = smallBytes <= WAITING_UPLOAD_BYTES_MAX ? small : [];
    const large = wanted.filter((object) => !waiting.includes(object));
    await this.#putWaiting(waiting);
    await this.#segments.write(large);
  }

  /** Those whose bytes are not there, or damaged; each once, in the order of their digests. */
  async #wanted(objects: readonly StoredObject[]): Promise<readonly StoredObject[]> {
    const given = new Map(objects.map((object) => [object.digest, object]));
    if (given.size === 0) return [];
    const rows = await this.#pool.read(queries.WANTED, jsonOf([...given.keys()]));
    const wanted = rows.flatMap((row) => given.get(hex(row, "digest")) ?? []);
    return wanted.sort((a, b) => (a.digest < b.digest ? -1 : 1));
  }

  async #putWaiting(objects: readonly StoredObject[]): Promise<void> {
    if (objects.length === 0) return;
    const rows = objects.map(({ digest, bytes }) => ({
      digest: bytea(digest),
      bytes: bytea(Buffer.from(bytes).toString("hex")),
    }));
    await this.#pool.write(queries.PUT_WAITING, JSON.stringify(rows));
  }

  async get(digest: Digest, memory?: ObjectMemory): Promise<Uint8Array | undefined> {
    const found = await this.#locate(digest);
    if (found === undefined) return undefined;
    const bytes = await this.#read(found, memory);
    if (bytes !== undefined && sha256(bytes) === digest)
      return await this.#sound(found, digest, bytes);
    // It may have been moved meanwhile, or a line may have bent its bytes once.
    if (found.place !== undefined) this.#blocks.forget(found.place);
    const now = await this.#locate(digest);
    if (now === undefined) return undefined;
    const again = await this.#read(now, memory);
    if (again !== undefined && sha256(again) === digest)
      return await this.#sound(now, digest, again);
    if (now.place !== undefined) this.#blocks.forget(now.place);
    await this.miss(digest);
    const what = again === undefined ? "its bytes are gone" : "its bytes differ";
    throw new SyncedError(
      "chunk_corrupt",
      `Object ${digest} is damaged in the ${this.#bucket.name}: ${what}`,
    );
  }

  async #sound(found: Located, digest: Digest, bytes: Uint8Array): Promise<Uint8Array> {
    if (found.isDamaged) await this.#pool.write(queries.HEAL, toBlob(digest));
    return bytes;
  }

  async #locate(digest: Digest): Promise<Located | undefined> {
    const [row] = await this.#pool.read(queries.LOCATE, toBlob(digest));
    if (row === undefined) return undefined;
    const isDamaged = integer(row, "damaged") === 1;
    const { bytes } = row;
    if (bytes instanceof Uint8Array) return { bytes, place: undefined, isDamaged };
    return { bytes: undefined, place: toPlace(row), isDamaged };
  }

  async #read(found: Located, memory?: ObjectMemory): Promise<Uint8Array | undefined> {
    const { bytes, place } = found;
    if (place === undefined) return bytes;
    const target = memory?.(place.size) ?? new Uint8Array(place.size);
    return (await this.#blocks.read(place, target)) ? target : undefined;
  }

  async list({ after, limit }: Page<Digest>): Promise<readonly Digest[]> {
    const rows = await this.#pool.read(queries.LIST, toBlob(after ?? ""), limit);
    return rows.map((row) => hex(row, "digest"));
  }

  async miss(digest: Digest): Promise<void> {
    await this.#pool.write(queries.NOTE_DAMAGE, toBlob(digest));
  }

  async damaged(): Promise<readonly Digest[]> {
    const all = await this.damage();
    return all.flatMap(({ digest, healedMs }) => (healedMs === undefined ? digest : []));
  }

  async damage(): Promise<readonly Damage[]> {
    const rows = await this.#pool.read(queries.DAMAGE);
    return rows.map((row) => {
      const known = { digest: hex<Digest>(row, "digest"), foundMs: integer(row, "found") };
      return row["healed"] === null ? known : { ...known, healedMs: integer(row, "healed") };
    });
  }

  async sizeOf(digest: Digest): Promise<number> {
    const [row] = await this.#pool.read(queries.LOCATE, toBlob(digest));
    return row === undefined ? 0 : integer(row, "size");
  }

  async delete(digests: readonly Digest[]): Promise<number> {
    if (digests.length === 0) return 0;
    const [row] = await this.#pool.write(queries.DELETE, jsonOf(digests));
    return row === undefined ? 0 : integer(row, "bytes");
  }

  async tidy(): Promise<void> {
    await this.#pool.write(queries.FORGET_HEALED, HEALED_KNOWN_MS);
    await tidyBucket({
      pool: this.#pool,
      bucket: this.#bucket,
      segments: this.#segments,
      read: (digest) => this.get(digest),
    });
  }

  async usage(): Promise<StoreUsage> {
    const [row] = await this.#pool.read(queries.USAGE);
    return { bytes: row === undefined ? 0 : integer(row, "bytes") };
  }

  /** PostgreSQL looks after its own format, and so does the bucket. */
  async check(): Promise<readonly string[]> {
    return [];
  }

  async close(): Promise<void> {
    await this.#segments.settled();
  }
}

function toPlace(row: SqlRow): SegmentPlace {
  return { segment: hex(row, "segment"), at: integer(row, "at"), size: integer(row, "size") };
}

function jsonOf(digests: readonly Digest[]): string {
  return JSON.stringify(digests.map(bytea));
}
