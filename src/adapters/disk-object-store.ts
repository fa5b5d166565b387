/**
 * ObjectStore on a disk: small objects in an SQLite file, large ones as `objects/ab/<digest>`.
 * Rules: O6, O7, I37 (verified on every read), I41 (a failed barrier ends it).
 *
 * A small object as a file costs a block and two barriers; a large one in SQLite is written twice.
 * What waits for SQLite goes in one transaction, so many small uploads share one barrier.
 */
import { mkdirSync, readdirSync, rmSync } from "node:fs";
import { mkdir, open, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { type Digest, digestToBytes, isDigest, sha256 } from "../core/digest.ts";
import { SyncedError } from "../core/error.ts";
import type { ObjectStore, StoredObject } from "../ports/object-store.ts";
import { SqliteDatabase } from "./sqlite-database.ts";
import { hex } from "./sqlite-metadata-rows.ts";

/** Up to this size an object lives in SQLite. */
const SMALL_BYTES_MAX = 64 * 1024;
/** Files being written at once: enough to keep a disk's queue busy. */
const WRITES_AT_ONCE = 16;

const MIGRATIONS = [
  `CREATE TABLE objects (digest BLOB PRIMARY KEY, bytes BLOB NOT NULL) STRICT, WITHOUT ROWID;`,
  // In the order of arrival: by digest each object is written to a page of its own, and half of it
  // to another one. Measured with 10,000 objects of 2,000 bytes: 60,000 page writes, then 12,000.
  `CREATE TABLE arrived (digest BLOB PRIMARY KEY, bytes BLOB NOT NULL) STRICT;
  INSERT INTO arrived SELECT digest, bytes FROM objects;
  DROP TABLE objects;
  ALTER TABLE arrived RENAME TO objects;`,
];

export interface DiskObjectStoreOptions {
  /** Holds `objects.db` and `objects/`; is there already. */
  readonly directory: string;
}

/** @throws {SyncedError} `data_newer` (nothing was written), `damage_found`, `data_not_writable` */
export function openDiskObjectStore({ directory }: DiskObjectStoreOptions): ObjectStore {
  const database = new SqliteDatabase(join(directory, "objects.db"), MIGRATIONS);
  return new DiskObjectStore(database, join(directory, "objects"));
}

interface WaitingSmall {
  readonly objects: readonly StoredObject[];
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

class DiskObjectStore implements ObjectStore {
  readonly failure: Promise<unknown>;
  readonly #db: SqliteDatabase;
  readonly #directory: string;
  readonly #temporary: string;
  /** Found damaged by `get`: the next `put` writes them anew. */
  readonly #damaged = new Set<Digest>();
  /** Large objects being written: a second put of the same bytes waits for the first. */
  readonly #writing = new Map<Digest, Promise<void>>();
  /** Directories whose own entry is durable. */
  readonly #durable = new Set<string>();
  #small: WaitingSmall[] = [];
  #flushing: Promise<void> | undefined;
  /** Set once somebody wants to know what the large objects take; kept up from then on. */
  #large: Promise<void> | undefined;
  #largeBytes = 0;
  /** Written since then: a look at the directories counts them or not. */
  readonly #writtenMeanwhile = new Set<string>();
  #written = 0;
  #failed: SyncedError | undefined;
  #reportFailure: (error: unknown) => void = () => {};

  constructor(database: SqliteDatabase, directory: string) {
    this.#db = database;
    this.#directory = directory;
    this.#temporary = join(directory, "tmp");
    const own = new Promise((resolve) => {
      this.#reportFailure = resolve;
    });
    this.failure = Promise.race([database.failure, own]);
    // What a crash left half-written was promised to nobody.
    mkdirSync(this.#temporary, { recursive: true, mode: 0o700 });
    for (const name of readdirSync(this.#temporary)) rmSync(join(this.#temporary, name));
  }

  async put(objects: readonly StoredObject[]): Promise<void> {
    this.#refuseFailed();
    const small = objects.filter(({ bytes }) => bytes.length <= SMALL_BYTES_MAX);
    const large = objects.filter(({ bytes }) => bytes.length > SMALL_BYTES_MAX);
    // All are waited for, so that nothing of this call still runs when it rejects.
    const outcomes = await Promise.allSettled([this.#putSmall(small), this.#putLarge(large)]);
    for (const outcome of outcomes) {
      if (outcome.status === "rejected") throw outcome.reason;
    }
  }

  async has(digests: readonly Digest[]): Promise<readonly boolean[]> {
    const found: boolean[] = [];
    for (const digest of digests) {
      found.push(this.#hasSmall(digest) || (await this.#hasLarge(digest)));
    }
    return found;
  }

  async get(digest: Digest): Promise<Uint8Array | undefined> {
    this.#refuseFailed();
    const row = this.#db.row("SELECT bytes FROM objects WHERE digest = ?", digestToBytes(digest));
    const small = row?.["bytes"];
    const bytes = small instanceof Uint8Array ? small : await this.#readLarge(digest);
    if (bytes === undefined || sha256(bytes) === digest) return bytes;
    this.#damaged.add(digest);
    throw new SyncedError("chunk_corrupt", `Cannot read object ${digest}: its bytes differ`);
  }

  async list(page: Parameters<ObjectStore["list"]>[0]): Promise<readonly Digest[]> {
    const { after, limit } = page;
    const sql = "SELECT digest FROM objects WHERE digest > ? ORDER BY digest LIMIT ?";
    const from = after === undefined ? new Uint8Array() : digestToBytes(after);
    const found = this.#db.rows(sql, from, limit).map((row) => hex<Digest>(row, "digest"));
    const folders = (await readdir(this.#directory)).filter((name) => /^[0-9a-f]{2}$/.test(name));
    let largeCount = 0;
    for (const folder of folders.sort()) {
      if (largeCount >= limit) break;
      if (after !== undefined && folder < after.slice(0, 2)) continue;
      for (const name of await readdir(join(this.#directory, folder))) {
        if (!isDigest(name) || (after !== undefined && name <= after)) continue;
        found.push(name);
        largeCount += 1;
      }
    }
    return [...new Set(found)].sort().slice(0, limit);
  }

  async usage(): Promise<{ readonly bytes: number }> {
    this.#large ??= this.#sumLarge();
    try {
      await this.#large;
    } catch (error) {
      this.#large = undefined;
      this.#largeBytes = 0;
      throw this.#translate(error);
    }
    const row = this.#db.row(
      "SELECT page_count * page_size AS bytes FROM pragma_page_count, pragma_page_size",
    );
    return { bytes: Number(row?.["bytes"] ?? 0) + this.#largeBytes };
  }

  async check(): Promise<readonly string[]> {
    const strays = readdirSync(this.#directory).filter(
      (name) => name !== "tmp" && !/^[0-9a-f]{2}$/.test(name),
    );
    return [...this.#db.check(), ...strays.map((name) => `unknown entry objects/${name}`)];
  }

  async close(): Promise<void> {
    await this.#flushing;
    await Promise.allSettled(this.#writing.values());
    this.#db.close();
  }

  #putSmall(objects: readonly StoredObject[]): Promise<void> {
    if (objects.length === 0) return Promise.resolve();
    return new Promise((resolve, reject) => {
      this.#small.push({ objects, resolve, reject });
      this.#flushing ??= this.#flush();
    });
  }

  async #flush(): Promise<void> {
    while (this.#small.length > 0) {
      // Uploads of the same turn of the event loop share the barrier.
      await new Promise((resolve) => setImmediate(resolve));
      const waiting = this.#small;
      this.#small = [];
      try {
        this.#writeSmall(waiting.flatMap(({ objects }) => objects));
        for (const { resolve } of waiting) resolve();
      } catch (error) {
        for (const { reject } of waiting) reject(error);
      }
    }
    this.#flushing = undefined;
  }

  #writeSmall(objects: readonly StoredObject[]): void {
    const fresh = objects.filter(({ digest }) => !this.#hasSmall(digest));
    const damaged = objects.filter(({ digest }) => this.#damaged.has(digest));
    if (fresh.length + damaged.length === 0) return;
    this.#db.write("full", () => {
      for (const { digest, bytes } of [...fresh, ...damaged]) {
        const sql = "INSERT OR REPLACE INTO objects VALUES (?, ?)";
        this.#db.run(sql, digestToBytes(digest), bytes);
      }
    });
    for (const { digest } of damaged) this.#damaged.delete(digest);
  }

  async #putLarge(objects: readonly StoredObject[]): Promise<void> {
    const queue = [...objects];
    const touched = new Set<string>();
    const worker = async () => {
      for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
        try {
          await this.#putOneLarge(next, touched);
        } catch (error) {
          queue.length = 0;
          throw error;
        }
      }
    };
    const workers = Array.from({ length: Math.min(WRITES_AT_ONCE, objects.length) }, worker);
    for (const outcome of await Promise.allSettled(workers)) {
      if (outcome.status === "rejected") throw this.#translate(outcome.reason);
    }
    await this.#sync([...touched]);
  }

  async #putOneLarge(object: StoredObject, touched: Set<string>): Promise<void> {
    const { digest } = object;
    const writing = this.#writing.get(digest);
    const directory = join(this.#directory, digest.slice(0, 2));
    // Also where it is there already: whoever wrote it may not have reached the directory's
    // barrier.
    touched.add(directory);
    if (writing !== undefined) return writing;
    const write = this.#writeLarge(object, directory);
    this.#writing.set(digest, write);
    try {
      await write;
    } finally {
      this.#writing.delete(digest);
    }
  }

  async #writeLarge({ digest, bytes }: StoredObject, directory: string): Promise<void> {
    const path = join(directory, digest);
    const size = await sizeOf(path);
    if (size === bytes.length && !this.#damaged.has(digest)) return;
    this.#written += 1;
    const temporary = join(this.#temporary, `${digest}.${this.#written}`);
    try {
      await mkdir(directory, { recursive: true, mode: 0o700 });
      const file = await open(temporary, "wx", 0o600);
      try {
        for (let written = 0; written < bytes.length; ) {
          written += (await file.write(bytes, written)).bytesWritten;
        }
        await this.#barrier(() => file.sync());
      } finally {
        await file.close();
      }
      await rename(temporary, path);
      if (size === undefined) this.#countLarge(digest, bytes.length);
    } catch (error) {
      await rm(temporary, { force: true });
      throw error;
    }
    this.#damaged.delete(digest);
  }

  #countLarge(digest: Digest, bytes: number): void {
    if (this.#large === undefined) return;
    this.#writtenMeanwhile.add(digest);
    this.#largeBytes += bytes;
  }

  async #sumLarge(): Promise<void> {
    let sum = 0;
    for (const folder of await readdir(this.#directory)) {
      if (!/^[0-9a-f]{2}$/.test(folder)) continue;
      for (const name of await readdir(join(this.#directory, folder))) {
        if (!isDigest(name) || this.#writtenMeanwhile.has(name)) continue;
        sum += (await sizeOf(join(this.#directory, folder, name))) ?? 0;
      }
    }
    this.#largeBytes += sum;
  }

  async #sync(directories: readonly string[]): Promise<void> {
    const fresh = directories.filter((directory) => !this.#durable.has(directory));
    if (fresh.length > 0) await this.#syncDirectory(this.#directory);
    for (const directory of fresh) this.#durable.add(directory);
    await Promise.all(directories.map((directory) => this.#syncDirectory(directory)));
  }

  async #syncDirectory(path: string): Promise<void> {
    const directory = await open(path, "r");
    try {
      await this.#barrier(() => directory.sync());
    } finally {
      await directory.close();
    }
  }

  /**
   * After a failed fsync nobody knows what is on the disk, and asking again would say yes (I41).
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

  async #hasLarge(digest: Digest): Promise<boolean> {
    return (await sizeOf(join(this.#directory, digest.slice(0, 2), digest))) !== undefined;
  }

  async #readLarge(digest: Digest): Promise<Uint8Array | undefined> {
    try {
      return await readFile(join(this.#directory, digest.slice(0, 2), digest));
    } catch (error) {
      if (codeOf(error) === "ENOENT") return undefined;
      const message = `Cannot read object ${digest}: ${describe(error)}`;
      const code = codeOf(error) === "EIO" ? "chunk_corrupt" : "temporarily_unavailable";
      throw new SyncedError(code, message, { cause: error });
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

async function sizeOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if (codeOf(error) === "ENOENT") return undefined;
    throw error;
  }
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && "code" in error ? String(error.code) : undefined;
}

function describe(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
