/**
 * ObjectStore on a disk: SQLite holds the objects of small uploads and the places of the others,
 * which are in segments. Rules: O6, O7, I37 (verified on every read), I41 (a failed barrier ends
 * it).
 *
 * A small object as a file costs a block and two barriers. An object in SQLite is written twice,
 * and nothing else runs while its bytes become durable. Objects that wait for SQLite go in one
 * transaction, so many small uploads share one barrier. Earlier versions kept each large object in
 * a file of its own, `objects/ab/<digest>`. These are still read.
 */

import { readdirSync } from "node:fs";
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { type Digest, digestToBytes, isDigest, sha256 } from "../../core/digest.ts";
import { SyncedError } from "../../core/error.ts";
import { HEALED_KNOWN_MS } from "../../core/limits.ts";
import type {
  Damage,
  ObjectMemory,
  ObjectStore,
  StoredObject,
  StoreUsage,
} from "../../ports/object-store.ts";
import type { Page } from "../../ports/page.ts";
import { hex, integer } from "../metadata/rows.ts";
import { SqliteDatabase } from "../sqlite/database.ts";
import { correctSize, isPossible, placeIn, placesBeyond } from "./places.ts";
import { ObjectRemoval } from "./removal.ts";
import { StorageReserve } from "./reserve.ts";
import { ObjectSegments, type SegmentPlace, type WrittenSegment } from "./segments.ts";

/** Up to this size an object lives in SQLite, if it did not come with many others. */
const SMALL_BYTES_MAX = 64 * 1024;
/** An upload of this size gets a segment, however small its objects are. */
const SEGMENT_BYTES_MIN = 256 * 1024;

const NOW_MS = "CAST(unixepoch('subsec') * 1000 AS INTEGER)";

/** Below `objects/`. */
const SEGMENTS = "segments";
const TEMPORARY = "tmp";

const MIGRATIONS = [
  `CREATE TABLE objects (digest BLOB PRIMARY KEY, bytes BLOB NOT NULL) STRICT, WITHOUT ROWID;`,
  // Small objects are stored in the order of arrival. Ordered by digest, each would be written to a
  // page of its own, and half of it to another one. Measured with 10,000 objects of 2,000 bytes:
  // 60,000 page writes by digest, 12,000 by arrival.
  `CREATE TABLE arrived (digest BLOB PRIMARY KEY, bytes BLOB NOT NULL) STRICT;
  INSERT INTO arrived SELECT digest, bytes FROM objects;
  DROP TABLE objects;
  ALTER TABLE arrived RENAME TO objects;`,
  `CREATE TABLE segments (number INTEGER PRIMARY KEY, bytes INTEGER NOT NULL) STRICT;
  CREATE TABLE places (
    digest BLOB PRIMARY KEY,
    segment INTEGER NOT NULL REFERENCES segments (number),
    offset INTEGER NOT NULL,
    size INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;`,
  `CREATE INDEX places_by_segment ON places (segment);`,
  `CREATE TABLE damaged (digest BLOB PRIMARY KEY) STRICT, WITHOUT ROWID;`,
  // Times in milliseconds. What was put again is kept for a while, for whoever asks what became of
  // the damage.
  `ALTER TABLE damaged ADD COLUMN found INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE damaged ADD COLUMN healed INTEGER;`,
];

export interface DiskObjectStoreOptions {
  /** Holds `objects.db` and `objects/`; it must exist. */
  readonly directory: string;
  /** True to read beside the process that writes. @default false */
  readonly isReader?: boolean;
}

/** @throws {SyncedError} `data_newer` (nothing was written), `damage_found`, `data_not_writable` */
export function openDiskObjectStore(options: DiskObjectStoreOptions): ObjectStore {
  const { directory, isReader = false } = options;
  const database = new SqliteDatabase(join(directory, "objects.db"), MIGRATIONS, { isReader });
  return new DiskObjectStore(database, join(directory, "objects"), isReader);
}

/** An insert that waits for SQLite's next transaction. */
interface Waiting {
  readonly insert: () => void;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

class DiskObjectStore implements ObjectStore {
  readonly failure: Promise<unknown>;
  readonly #db: SqliteDatabase;
  readonly #directory: string;
  readonly #isReader: boolean;
  readonly #segments: ObjectSegments;
  readonly #reserve: StorageReserve;
  readonly #removal: ObjectRemoval;
  /** Objects that `get` found damaged. The next `put` writes them anew. */
  readonly #damaged = new Set<Digest>();
  /** Large objects that are being written. A second put of the same bytes waits for the first. */
  readonly #writing = new Map<Digest, Promise<void>>();
  #waiting: Waiting[] = [];
  #flushing: Promise<void> | undefined;
  #segmentBytes: number;
  /** Bytes of large objects in files of their own, counted when somebody first asks. */
  #looseBytes: Promise<number> | undefined;
  #failed: SyncedError | undefined;
  #reportFailure: (error: unknown) => void = () => {};

  constructor(database: SqliteDatabase, directory: string, isReader: boolean) {
    this.#db = database;
    this.#directory = directory;
    this.#isReader = isReader;
    for (const known of database.rows("SELECT digest FROM damaged WHERE healed IS NULL")) {
      this.#damaged.add(hex(known, "digest"));
    }
    this.#reserve = new StorageReserve(directory);
    const own = new Promise((resolve) => {
      this.#reportFailure = resolve;
    });
    this.failure = Promise.race([database.failure, own]);
    const row = database.row("SELECT max(number) AS last FROM segments");
    this.#segmentBytes = this.#sumSegments();
    this.#segments = new ObjectSegments({
      directory: join(directory, SEGMENTS),
      temporary: join(directory, TEMPORARY),
      last: Number(row?.["last"] ?? 0),
      isReader,
      barrier: (sync) => this.#barrier(sync),
    });
    this.#removal = new ObjectRemoval({
      database,
      segments: this.#segments,
      loosePath: (digest) => this.#loosePath(digest),
      taking: (bytes, work) => this.#reserve.taking(bytes, work),
    });
  }

  async put(objects: readonly StoredObject[]): Promise<void> {
    this.#refuseFailed();
    const bytes = objects.reduce((sum, object) => sum + object.bytes.length, 0);
    const smallMax = bytes < SEGMENT_BYTES_MIN ? SMALL_BYTES_MAX : -1;
    const small = objects.filter((object) => object.bytes.length <= smallMax);
    const large = objects.filter((object) => object.bytes.length > smallMax);
    await this.#reserve.taking(bytes, async () => {
      // Waits for both, so that nothing of this call still runs when it rejects.
      const outcomes = await Promise.allSettled([this.#putSmall(small), this.#putLarge(large)]);
      for (const outcome of outcomes) {
        if (outcome.status === "rejected") throw outcome.reason;
      }
    });
  }

  async get(digest: Digest, memory?: ObjectMemory): Promise<Uint8Array | undefined> {
    this.#refuseFailed();
    const row = this.#db.row("SELECT bytes FROM objects WHERE digest = ?", digestToBytes(digest));
    const small = row?.["bytes"];
    const bytes = small instanceof Uint8Array ? small : await this.#readLarge(digest, memory);
    if (bytes !== undefined && sha256(bytes) !== digest) {
      throw this.#corrupt(digest, "its bytes differ");
    }
    // A disk may fail once and not again.
    if (bytes !== undefined && this.#damaged.has(digest)) this.#heal([digest]);
    return bytes;
  }

  async list(page: Page<Digest>): Promise<readonly Digest[]> {
    const { after, limit } = page;
    const from = after === undefined ? new Uint8Array() : digestToBytes(after);
    const found = ["objects", "places"].flatMap((table) => {
      const sql = `SELECT digest FROM ${table} WHERE digest > ? ORDER BY digest LIMIT ?`;
      return this.#db.rows(sql, from, limit).map((row) => hex<Digest>(row, "digest"));
    });
    const folders = (await readdir(this.#directory)).filter(isLooseFolder);
    let looseCount = 0;
    for (const folder of folders.sort()) {
      if (looseCount >= limit) break;
      if (after !== undefined && folder < after.slice(0, 2)) continue;
      for (const name of await readdir(join(this.#directory, folder))) {
        if (!isDigest(name) || (after !== undefined && name <= after)) continue;
        found.push(name);
        looseCount += 1;
      }
    }
    return [...new Set(found)].sort().slice(0, limit);
  }

  async miss(digest: Digest): Promise<void> {
    this.#note(digest);
  }

  async damaged(): Promise<readonly Digest[]> {
    this.#refuseFailed();
    return [...this.#damaged].sort();
  }

  async damage(): Promise<readonly Damage[]> {
    this.#refuseFailed();
    return this.#db.rows("SELECT * FROM damaged ORDER BY digest").map((row) => {
      const { healed } = row;
      const known = { digest: hex<Digest>(row, "digest"), foundMs: integer(row, "found") };
      return typeof healed === "number" ? { ...known, healedMs: healed } : known;
    });
  }

  async sizeOf(digest: Digest): Promise<number> {
    this.#refuseFailed();
    return await this.#removal.sizeOf(digest);
  }

  async delete(digests: readonly Digest[]): Promise<number> {
    this.#refuseFailed();
    const bytes = await this.#removal.delete(digests);
    this.#forgetDamage(digests);
    this.#recount();
    return bytes;
  }

  async tidy(): Promise<void> {
    this.#refuseFailed();
    try {
      await this.#removal.tidy();
    } catch (error) {
      throw this.#translate(error);
    } finally {
      this.#recount();
    }
  }

  async usage(): Promise<StoreUsage> {
    this.#looseBytes ??= this.#sumLoose();
    let looseBytes: number;
    try {
      looseBytes = await this.#looseBytes;
    } catch (error) {
      this.#looseBytes = undefined;
      throw this.#translate(error);
    }
    const row = this.#db.row(
      "SELECT page_count * page_size AS bytes FROM pragma_page_count, pragma_page_size",
    );
    const bytes = Number(row?.["bytes"] ?? 0) + this.#segmentBytes + looseBytes;
    return { bytes, roomBytes: this.#reserve.room() };
  }

  async check(): Promise<readonly string[]> {
    const strays = readdirSync(this.#directory).filter(
      (name) => name !== TEMPORARY && name !== SEGMENTS && !isLooseFolder(name),
    );
    const unknown = strays.map((name) => `unknown entry objects/${name}`);
    return [...this.#db.check(), ...placesBeyond(this.#db), ...unknown];
  }

  async close(): Promise<void> {
    await Promise.allSettled(this.#writing.values());
    await this.#flushing;
    this.#segments.close();
    this.#db.close();
  }

  async #putSmall(objects: readonly StoredObject[]): Promise<void> {
    if (objects.length === 0) return;
    await this.#inTransaction(() => {
      for (const { digest, bytes } of objects) {
        if (this.#hasSmall(digest) && !this.#damaged.has(digest)) continue;
        this.#db.run("DELETE FROM places WHERE digest = ?", digestToBytes(digest));
        const sql = "INSERT OR REPLACE INTO objects VALUES (?, ?)";
        this.#db.run(sql, digestToBytes(digest), bytes);
      }
    });
    this.#heal(objects.map(({ digest }) => digest));
  }

  /** Resolves when the rows of `insert` are durable. */
  #inTransaction(insert: () => void): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ insert, resolve, reject });
      this.#flushing ??= this.#flush();
    });
  }

  async #flush(): Promise<void> {
    while (this.#waiting.length > 0) {
      // Uploads of the same turn of the event loop share the barrier.
      await new Promise((resolve) => setImmediate(resolve));
      const waiting = this.#waiting;
      this.#waiting = [];
      try {
        this.#db.write("full", () => {
          for (const { insert } of waiting) insert();
        });
        for (const { resolve } of waiting) resolve();
      } catch (error) {
        for (const { reject } of waiting) reject(error);
      }
    }
    this.#flushing = undefined;
  }

  async #putLarge(objects: readonly StoredObject[]): Promise<void> {
    const mine = new Map<Digest, StoredObject>();
    const writes = new Set<Promise<void>>();
    for (const object of objects) {
      const writing = this.#writing.get(object.digest);
      if (writing === undefined) mine.set(object.digest, object);
      else writes.add(writing);
    }
    if (mine.size > 0) {
      const write = this.#writeLarge([...mine.values()]).finally(() => {
        for (const digest of mine.keys()) this.#writing.delete(digest);
      });
      for (const digest of mine.keys()) this.#writing.set(digest, write);
      writes.add(write);
    }
    for (const outcome of await Promise.allSettled(writes)) {
      if (outcome.status === "rejected") throw this.#translate(outcome.reason);
    }
  }

  async #writeLarge(objects: readonly StoredObject[]): Promise<void> {
    const fresh: StoredObject[] = [];
    for (const object of objects) if (!(await this.#isPlaced(object))) fresh.push(object);
    if (fresh.length === 0) return;
    const written = await this.#segments.write(fresh);
    try {
      await this.#inTransaction(() => this.#insertPlaces(written));
    } catch (error) {
      // After a failed barrier nobody knows whether the row was written.
      const isUnknown = error instanceof SyncedError && error.code === "storage_failed";
      if (!isUnknown) await this.#segments.remove(written.segment);
      throw error;
    }
    this.#segmentBytes += written.bytes;
    this.#heal(fresh.map(({ digest }) => digest));
  }

  #insertPlaces({ segment, bytes, places }: WrittenSegment): void {
    this.#db.run("INSERT INTO segments VALUES (?, ?)", segment, bytes);
    for (const [digest, { offset, size }] of places) {
      // A damaged row would be read first.
      if (this.#damaged.has(digest)) {
        this.#db.run("DELETE FROM objects WHERE digest = ?", digestToBytes(digest));
      }
      const sql = "INSERT OR REPLACE INTO places VALUES (?, ?, ?, ?)";
      this.#db.run(sql, digestToBytes(digest), segment, offset, size);
    }
  }

  /** A file of its own does not count, because nobody knows whether its name was made durable. */
  async #isPlaced({ digest }: StoredObject): Promise<boolean> {
    if (this.#damaged.has(digest)) return false;
    const place = this.#placeOf(digest);
    return place === undefined ? this.#hasSmall(digest) : await this.#segments.reaches(place);
  }

  /** Kept over a restart, so that somebody is asked for the bytes. */
  #note(digest: Digest): void {
    if (this.#damaged.has(digest)) return;
    this.#damaged.add(digest);
    if (this.#isReader) return;
    const sql = `INSERT OR REPLACE INTO damaged VALUES (?, ${NOW_MS}, NULL)`;
    this.#db.write("normal", () => this.#db.run(sql, digestToBytes(digest)));
  }

  /** The bytes are there anew. */
  #heal(digests: readonly Digest[]): void {
    const healed = digests.filter((digest) => this.#damaged.delete(digest));
    if (healed.length === 0 || this.#isReader) return;
    this.#db.write("normal", () => {
      for (const digest of healed) {
        const sql = `UPDATE damaged SET healed = ${NOW_MS} WHERE digest = ?`;
        this.#db.run(sql, digestToBytes(digest));
      }
      const old = `DELETE FROM damaged WHERE healed < ${NOW_MS} - ?`;
      this.#db.run(old, HEALED_KNOWN_MS);
    });
  }

  /** Nobody needs the bytes. */
  #forgetDamage(digests: readonly Digest[]): void {
    const forgotten = digests.filter((digest) => this.#damaged.delete(digest));
    if (forgotten.length === 0) return;
    this.#db.write("normal", () => {
      for (const digest of forgotten) {
        this.#db.run("DELETE FROM damaged WHERE digest = ?", digestToBytes(digest));
      }
    });
  }

  #recount(): void {
    this.#segmentBytes = this.#sumSegments();
    this.#looseBytes = undefined;
  }

  #sumSegments(): number {
    const row = this.#db.row("SELECT sum(bytes) AS bytes FROM segments");
    return Number(row?.["bytes"] ?? 0);
  }

  async #sumLoose(): Promise<number> {
    let sum = 0;
    for (const folder of (await readdir(this.#directory)).filter(isLooseFolder)) {
      for (const name of await readdir(join(this.#directory, folder))) {
        if (isDigest(name)) sum += (await this.#looseSize(name)) ?? 0;
      }
    }
    return sum;
  }

  /**
   * After a failed fsync nobody knows what is on the disk, and a second fsync would succeed (I41).
   */
  async #barrier(sync: () => Promise<void>): Promise<void> {
    try {
      await sync();
    } catch (error) {
      const message = `Cannot make objects durable in "${this.#directory}": ${describe(error)}`;
      this.#failed = new SyncedError("storage_failed", message, { cause: error });
      this.#reportFailure(this.#failed);
      throw this.#failed;
    }
  }

  #hasSmall(digest: Digest): boolean {
    this.#refuseFailed();
    const sql = "SELECT 1 FROM objects WHERE digest = ?";
    return this.#db.row(sql, digestToBytes(digest)) !== undefined;
  }

  #placeOf(digest: Digest): SegmentPlace | undefined {
    this.#refuseFailed();
    return placeIn(this.#db, digest);
  }

  async #looseSize(digest: Digest): Promise<number | undefined> {
    try {
      return (await stat(this.#loosePath(digest))).size;
    } catch (error) {
      if (codeOf(error) === "ENOENT") return undefined;
      throw error;
    }
  }

  #loosePath(digest: Digest): string {
    return join(this.#directory, digest.slice(0, 2), digest);
  }

  #corrupt(digest: Digest, reason: string, cause?: unknown): SyncedError {
    this.#note(digest);
    return new SyncedError("chunk_corrupt", `Cannot read object ${digest}: ${reason}`, { cause });
  }

  async #readLarge(digest: Digest, memory?: ObjectMemory): Promise<Uint8Array | undefined> {
    const place = this.#placeOf(digest);
    if (place !== undefined && !isPossible(place)) throw this.#corrupt(digest, "its row is wrong");
    try {
      if (place === undefined) return await readFile(this.#loosePath(digest));
      const bytes = await this.#segments.read(place, memory);
      const isRowWrong = bytes.length < place.size && sha256(bytes) === digest;
      if (isRowWrong && !this.#isReader) correctSize(this.#db, digest, bytes.length);
      return bytes;
    } catch (error) {
      // RACE: its segment may just have been written anew. Then it has another place.
      const isMoved = this.#placeOf(digest)?.segment !== place?.segment;
      if (codeOf(error) === "ENOENT" && isMoved) return await this.#readLarge(digest, memory);
      if (codeOf(error) === "ENOENT") return undefined;
      const message = `Cannot read object ${digest}: ${describe(error)}`;
      if (codeOf(error) === "EIO") throw this.#corrupt(digest, describe(error), error);
      throw new SyncedError("temporarily_unavailable", message, { cause: error });
    }
  }

  #refuseFailed(): void {
    if (this.#failed !== undefined) throw this.#failed;
    this.#db.refuseFailed();
  }

  #translate(error: unknown): unknown {
    if (error instanceof SyncedError) return error;
    const isFull = ["ENOSPC", "EDQUOT"].includes(codeOf(error) ?? "");
    const code = isFull ? "storage_full" : "temporarily_unavailable";
    const message = `Cannot store objects in "${this.#directory}": ${describe(error)}`;
    return new SyncedError(code, message, { cause: error });
  }
}

function isLooseFolder(name: string): boolean {
  return /^[0-9a-f]{2}$/.test(name);
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && "code" in error ? String(error.code) : undefined;
}

function describe(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
