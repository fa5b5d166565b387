/**
 * Removes objects from DiskObjectStore, and gives their room back. Rules: U3, U4, O7, I36.
 *
 * Rows go before files, so a crash leaves at most a file that no row names, and `tidy` removes
 * that. A segment that is mostly dead is written anew; a reader that comes too late for the old one
 * looks its object's place up again.
 */
import { rm, stat } from "node:fs/promises";
import { type Digest, digestToBytes, sha256 } from "../../core/digest.ts";
import type { StoredObject } from "../../ports/object-store.ts";
import { hex, integer } from "../metadata/rows.ts";
import type { SqliteDatabase } from "../sqlite/database.ts";
import type { ObjectSegments } from "./segments.ts";

/** Pages that one step of giving back moves: a few milliseconds. */
const PAGES_PER_STEP = 1000;

const MOSTLY_DEAD = `
SELECT number FROM segments AS s
WHERE 2 * (SELECT sum(size) FROM places AS p WHERE p.segment = s.number) < bytes ORDER BY number`;

export interface ObjectRemovalParts {
  readonly database: SqliteDatabase;
  readonly segments: ObjectSegments;
  /** Where a large object of an early version is. */
  readonly loosePath: (digest: Digest) => string;
  /** Runs work that needs room for so many bytes. @throws {SyncedError} `storage_full` */
  readonly taking: (bytes: number, work: () => Promise<void>) => Promise<void>;
}

export class ObjectRemoval {
  readonly #parts: ObjectRemovalParts;

  constructor(parts: ObjectRemovalParts) {
    this.#parts = parts;
  }

  async sizeOf(digest: Digest): Promise<number> {
    const sizes = await Promise.all([this.#rowSize(digest), this.#looseSize(digest)]);
    return sizes.reduce((sum, size) => sum + size, 0);
  }

  async delete(digests: readonly Digest[]): Promise<number> {
    const { database, segments, loosePath } = this.#parts;
    let bytes = 0;
    const loose: Digest[] = [];
    for (const digest of digests) {
      bytes += await this.sizeOf(digest);
      if ((await this.#looseSize(digest)) > 0) loose.push(digest);
    }
    const dead = database.write("full", () => {
      const touched = new Set<number>();
      for (const digest of digests) {
        const blob = digestToBytes(digest);
        const place = database.row("SELECT segment FROM places WHERE digest = ?", blob);
        if (place !== undefined) touched.add(integer(place, "segment"));
        database.run("DELETE FROM objects WHERE digest = ?", blob);
        database.run("DELETE FROM places WHERE digest = ?", blob);
      }
      return this.#forgetDead([...touched]);
    });
    for (const segment of dead) await segments.remove(segment);
    for (const digest of loose) await rm(loosePath(digest), { force: true });
    return bytes;
  }

  async tidy(): Promise<void> {
    const { database, segments } = this.#parts;
    const all = database.rows("SELECT number FROM segments").map((row) => integer(row, "number"));
    for (const segment of database.write("normal", () => this.#forgetDead(all))) {
      await segments.remove(segment);
    }
    for (const number of await segments.left()) {
      const sql = "SELECT 1 FROM segments WHERE number = ?";
      if (database.row(sql, number) === undefined) await segments.remove(number);
    }
    const sparse = database.rows(MOSTLY_DEAD).map((row) => integer(row, "number"));
    for (const segment of sparse) await this.#rewrite(segment);
    while (database.giveBack(PAGES_PER_STEP)) await new Promise((next) => setImmediate(next));
  }

  /** @returns those of these segments that hold nothing; their rows are gone */
  #forgetDead(numbers: readonly number[]): readonly number[] {
    const { database } = this.#parts;
    const isAlive = "SELECT 1 FROM places WHERE segment = ? LIMIT 1";
    const dead = numbers.filter((number) => database.row(isAlive, number) === undefined);
    for (const segment of dead) database.run("DELETE FROM segments WHERE number = ?", segment);
    return dead;
  }

  /** One that holds damaged bytes stays as it is, for whoever wants to look. */
  async #rewrite(old: number): Promise<void> {
    const { segments, taking } = this.#parts;
    const objects = await this.#living(old);
    if (objects === undefined || objects.length === 0) return;
    const bytes = objects.reduce((sum, object) => sum + object.bytes.length, 0);
    await taking(bytes, async () => {
      const written = await segments.write(objects);
      this.#move(old, written);
      await segments.remove(old);
    });
  }

  /** @returns undefined if one is damaged */
  async #living(segment: number): Promise<readonly StoredObject[] | undefined> {
    const { database, segments } = this.#parts;
    const objects: StoredObject[] = [];
    const sql = "SELECT digest, offset, size FROM places WHERE segment = ? ORDER BY offset";
    for (const row of database.rows(sql, segment)) {
      const digest = hex<Digest>(row, "digest");
      const place = { segment, offset: integer(row, "offset"), size: integer(row, "size") };
      const bytes = await segments.read(place).catch(() => new Uint8Array());
      if (sha256(bytes) !== digest) return undefined;
      objects.push({ digest, bytes });
    }
    return objects;
  }

  /** Objects that were deleted or put anew meanwhile are not where they were, and stay so. */
  #move(old: number, written: Awaited<ReturnType<ObjectSegments["write"]>>): void {
    const { database } = this.#parts;
    database.write("full", () => {
      database.run("INSERT INTO segments VALUES (?, ?)", written.segment, written.bytes);
      for (const [digest, { offset }] of written.places) {
        const sql = "UPDATE places SET segment = ?, offset = ? WHERE digest = ? AND segment = ?";
        database.run(sql, written.segment, offset, digestToBytes(digest), old);
      }
      database.run("DELETE FROM segments WHERE number = ?", old);
    });
  }

  #rowSize(digest: Digest): number {
    const { database } = this.#parts;
    const blob = digestToBytes(digest);
    const small = "SELECT length(bytes) AS size FROM objects WHERE digest = ?";
    const row =
      database.row(small, blob) ?? database.row("SELECT size FROM places WHERE digest = ?", blob);
    return row === undefined ? 0 : integer(row, "size");
  }

  async #looseSize(digest: Digest): Promise<number> {
    const found = await stat(this.#parts.loosePath(digest)).catch(() => undefined);
    return found?.size ?? 0;
  }
}
