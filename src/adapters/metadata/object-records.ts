/**
 * ObjectRecords in the tables of SqliteMetadataStore. Rules: U1-U4, O6, I36.
 *
 * A check and the write that relies on it happen in one step of the event loop, and one process has
 * the database, so nothing comes between them.
 */
import type { Digest } from "../../core/digest.ts";
import type { FolderName } from "../../core/identifier.ts";
import { TOUCH_INTERVAL_MS } from "../../core/limits.ts";
import type {
  Forgetting,
  KnownObject,
  ManifestPageRequest,
  ObjectPlace,
  ObjectRecording,
  ObjectRecords,
  RecordedManifest,
} from "../../ports/object-records.ts";
import type { SqliteDatabase } from "../sqlite/database.ts";
import { hex, integer, toBlob, toKnownObject } from "./rows.ts";

/** Ten seconds of deletions, in 10 MB. */
const DELETIONS_KEPT_MAX = 50_000;

const VERSION = "SELECT objects_version AS version FROM server";
const INCREASE_VERSION = "UPDATE server SET objects_version = objects_version + 1";
const NEXT_TURN =
  "UPDATE server SET objects_turn = objects_turn + 1 RETURNING objects_turn AS turn";
const INSERT_OBJECT = `
INSERT INTO folder_objects (folder, digest, depth, size, touched, turn) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET touched = max(touched, excluded.touched)`;
const TOUCH = `
UPDATE folder_objects SET touched = ? WHERE folder = ? AND digest = ? AND touched < ?`;
const MANIFESTS = `
SELECT * FROM folder_objects INDEXED BY manifests_by_turn
WHERE folder = ? AND depth = ? AND depth > 0 AND (turn, digest) > (?, ?)
ORDER BY turn, digest LIMIT ?`;
const LATER_MANIFEST = `
SELECT 1 FROM folder_objects INDEXED BY manifests_by_turn
WHERE folder = ? AND depth = ? AND depth > 0 AND turn > ? LIMIT 1`;
const YOUNG = `
SELECT 1 FROM folder_objects WHERE folder = ? AND digest = ? AND depth = ? AND touched >= ?`;
/** A root of depth 0 is named by its SHA-256; the folder may know it as a manifest, too. */
const NAMED_CHUNK = `
SELECT 1 FROM events INDEXED BY events_by_sha256
WHERE folder = ? AND sha256 = ? AND sha256 IS NOT NULL AND gone = 0 LIMIT 1`;
const NAMED_MANIFEST = `
SELECT 1 FROM events INDEXED BY events_by_manifest
WHERE folder = ? AND manifest = ? AND manifest IS NOT NULL AND gone = 0 LIMIT 1`;
const FORGET = "DELETE FROM folder_objects WHERE folder = ? AND digest = ? AND depth = ?";
const KNOWN_BETWEEN = `
SELECT DISTINCT digest FROM folder_objects WHERE folder = ? AND digest BETWEEN ? AND ?`;
const IS_CONDEMNED = "SELECT 1 FROM condemned WHERE digest = ?";

/** @param rowOf finds a folder's row. @throws {SyncedError} `folder_not_found` */
export function sqliteObjectRecords(
  database: SqliteDatabase,
  rowOf: (name: FolderName) => number,
): ObjectRecords {
  return new SqliteObjectRecords(database, rowOf);
}

export function objectsVersion(database: SqliteDatabase): number {
  const row = database.row(VERSION);
  return row === undefined ? 0 : integer(row, "version");
}

/** True if the folder knows all of these now. */
export function knowsAll(
  database: SqliteDatabase,
  folder: number,
  objects: readonly ObjectPlace[],
): boolean {
  const sql = "SELECT 1 FROM folder_objects WHERE folder = ? AND digest = ? AND depth = ?";
  return objects.every(
    ({ digest, depth }) => database.row(sql, folder, toBlob(digest), depth) !== undefined,
  );
}

class SqliteObjectRecords implements ObjectRecords {
  readonly #db: SqliteDatabase;
  readonly #rowOf: (name: FolderName) => number;
  /**
   * The version after which bytes were not there any more, by digest; for the latest deletions.
   * Without it an upload beside a large collection would begin again at each step of that.
   */
  readonly #deletedAt = new Map<Digest, number>();
  /** Which bytes were deleted up to this version is not known any more. */
  #forgottenUpTo: number;

  constructor(database: SqliteDatabase, rowOf: (name: FolderName) => number) {
    this.#db = database;
    this.#rowOf = rowOf;
    this.#forgottenUpTo = objectsVersion(database);
  }

  async version(): Promise<number> {
    this.#db.refuseFailed();
    return objectsVersion(this.#db);
  }

  async record(
    name: FolderName,
    { version, objects, children, timeMs }: ObjectRecording,
  ): Promise<"recorded" | "objects_moved"> {
    const folder = this.#rowOf(name);
    const isMoved = objectsVersion(this.#db) !== version;
    if (isMoved && !knowsAll(this.#db, folder, children)) return "objects_moved";
    if (objects.some(({ digest }) => this.#isDeleted(digest, version))) return "objects_moved";
    // Needs no barrier of its own, because the WAL keeps it before the event that will need it.
    this.#db.write("normal", () => {
      const turn = objects.some(({ depth }) => depth > 0) ? this.#nextTurn() : 0;
      const touched = Math.floor(timeMs);
      for (const { digest, depth, size } of objects) {
        const values = [folder, toBlob(digest), depth, size, touched, depth > 0 ? turn : 0];
        this.#db.run(INSERT_OBJECT, ...values);
      }
    });
    return "recorded";
  }

  async touch(name: FolderName, digests: readonly Digest[], timeMs: number): Promise<void> {
    const folder = this.#rowOf(name);
    const longAgo = Math.floor(timeMs) - TOUCH_INTERVAL_MS;
    const sql = "SELECT 1 FROM folder_objects WHERE folder = ? AND digest = ? AND touched < ?";
    const old = digests
      .map(toBlob)
      .filter((digest) => this.#db.row(sql, folder, digest, longAgo) !== undefined);
    if (old.length === 0) return;
    this.#db.write("normal", () => {
      for (const digest of old) {
        this.#db.run(TOUCH, Math.floor(timeMs), folder, digest, longAgo);
      }
    });
  }

  async manifests(
    name: FolderName,
    { depth, after, limit }: ManifestPageRequest,
  ): Promise<readonly RecordedManifest[]> {
    const from = [after?.turn ?? -1, toBlob(after?.digest ?? "")] as const;
    const rows = this.#db.rows(MANIFESTS, this.#rowOf(name), depth, ...from, limit);
    return rows.map((row) => ({ ...toKnownObject(row), turn: integer(row, "turn") }));
  }

  async unnamed(name: FolderName, forgetting: Forgetting): Promise<readonly KnownObject[]> {
    return this.#unnamed(this.#rowOf(name), forgetting);
  }

  async forget(
    name: FolderName,
    forgetting: Forgetting,
  ): Promise<readonly KnownObject[] | "manifests_added"> {
    const folder = this.#rowOf(name);
    const [first] = forgetting.objects;
    if (first === undefined) return [];
    const { turn } = forgetting;
    const later = this.#db.row(LATER_MANIFEST, folder, first.depth + 1, turn);
    if (later !== undefined) return "manifests_added";
    const found = this.#unnamed(folder, forgetting);
    if (found.length === 0) return [];
    this.#db.write("normal", () => {
      for (const { digest, depth } of found) this.#db.run(FORGET, folder, toBlob(digest), depth);
      this.#db.run(INCREASE_VERSION);
    });
    return found;
  }

  async unknown(digests: readonly Digest[]): Promise<readonly Digest[]> {
    return this.#unknown(digests);
  }

  async condemn(digests: readonly Digest[]): Promise<readonly Digest[]> {
    const found = this.#unknown(digests);
    if (found.length === 0) return [];
    this.#db.write("full", () => {
      const sql = "INSERT OR IGNORE INTO condemned VALUES (?)";
      for (const digest of found) this.#db.run(sql, toBlob(digest));
    });
    return found;
  }

  async condemned(limit: number): Promise<readonly Digest[]> {
    const rows = this.#db.rows("SELECT digest FROM condemned ORDER BY digest LIMIT ?", limit);
    return rows.map((row) => hex(row, "digest"));
  }

  async absolve(digests: readonly Digest[]): Promise<void> {
    if (digests.length === 0) return;
    this.#db.write("normal", () => {
      const sql = "DELETE FROM condemned WHERE digest = ?";
      for (const digest of digests) this.#db.run(sql, toBlob(digest));
      this.#db.run(INCREASE_VERSION);
    });
    const version = objectsVersion(this.#db);
    for (const digest of digests) {
      // Set anew, so that the oldest deletion is first.
      this.#deletedAt.delete(digest);
      this.#deletedAt.set(digest, version);
    }
    for (const [digest, at] of this.#deletedAt) {
      if (this.#deletedAt.size <= DELETIONS_KEPT_MAX) break;
      this.#deletedAt.delete(digest);
      this.#forgottenUpTo = at;
    }
  }

  /** True if its bytes may have been deleted since that version, or are about to be. */
  #isDeleted(digest: Digest, version: number): boolean {
    if (version < this.#forgottenUpTo) return true;
    if ((this.#deletedAt.get(digest) ?? 0) > version) return true;
    return this.#db.row(IS_CONDEMNED, toBlob(digest)) !== undefined;
  }

  #nextTurn(): number {
    const row = this.#db.row(NEXT_TURN);
    return row === undefined ? 0 : integer(row, "turn");
  }

  #unnamed(folder: number, { objects, untilMs }: Forgetting): readonly KnownObject[] {
    const until = Math.floor(untilMs);
    return objects.filter(({ digest, depth }) => {
      const blob = toBlob(digest);
      const named = depth === 0 ? NAMED_CHUNK : NAMED_MANIFEST;
      if (this.#db.row(named, folder, blob) !== undefined) return false;
      return this.#db.row(YOUNG, folder, blob, depth, until) === undefined;
    });
  }

  /** The digests of a page are close together, so one range a folder finds them. */
  #unknown(digests: readonly Digest[]): readonly Digest[] {
    const sorted = digests.toSorted();
    const [first, last] = [sorted[0], sorted.at(-1)];
    if (first === undefined || last === undefined) return [];
    const known = new Set<string>();
    for (const folder of this.#db.rows("SELECT id FROM folders")) {
      const range = [toBlob(first), toBlob(last)] as const;
      for (const row of this.#db.rows(KNOWN_BETWEEN, integer(folder, "id"), ...range)) {
        known.add(hex(row, "digest"));
      }
    }
    return sorted.filter((digest) => !known.has(digest));
  }
}
