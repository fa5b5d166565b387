/**
 * One server-side SQLite file: opens it, brings its schema up to date, runs transactions, and
 * explains errors. Rules: O7. A file of a newer version is refused before SQLite opens it (I44). A
 * failed barrier ends it (I41).
 */
import { closeSync, openSync, readSync } from "node:fs";
import { dirname } from "node:path";
import {
  DatabaseSync,
  type SQLInputValue,
  type SQLOutputValue,
  type StatementSync,
} from "node:sqlite";
import { SyncedError } from "../../core/error.ts";
import { isDiskFull } from "./full-disk.ts";
import { keepPrivate } from "./private-file.ts";
import { ReadTurn } from "./read-turn.ts";

/** A row as SQLite returns it. */
export type SqlRow = Record<string, SQLOutputValue>;
export type SqlValue = SQLInputValue;

/**
 * `normal` leaves the barrier to the next `full` transaction. A crash may forget it but never tear
 * it.
 */
export type Barrier = "full" | "normal";

export class SqliteDatabase {
  readonly failure: Promise<unknown>;
  readonly #database: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();
  readonly #path: string;
  readonly #reads: ReadTurn;
  #barrier: Barrier = "full";
  #isWriting = false;
  #failed: SyncedError | undefined;
  #reportFailure: (error: unknown) => void = () => {};

  /**
   * Opens or creates the file and brings its schema up to date.
   *
   * @param migrations SQL from version n to n + 1, never edited once released.
   * @param isReader true to read beside the process that writes; the file must be there
   * @throws {SyncedError} `data_newer` (nothing was written), `damage_found`, `data_not_writable`;
   * for a reader `data_older`
   */
  constructor(
    path: string,
    migrations: readonly string[],
    { isReader = false }: { readonly isReader?: boolean } = {},
  ) {
    this.#path = path;
    refuseNewer(path, storedVersion(path), migrations.length);
    this.failure = new Promise((resolve) => {
      this.#reportFailure = resolve;
    });
    try {
      if (!isReader) keepPrivate(path);
      this.#database = new DatabaseSync(path, { readOnly: isReader });
      this.#reads = new ReadTurn(this.#database);
      this.#database.exec(isReader ? READER_SETTINGS : SETTINGS);
      if (isReader) refuseOlder(path, storedVersion(path), migrations.length);
      else this.#migrate(migrations);
    } catch (error) {
      throw this.#translate(error, "open");
    }
  }

  /** Only within `write`. */
  run(sql: string, ...values: SQLInputValue[]): number {
    return Number(this.#statement(sql).run(...values).changes);
  }

  row(sql: string, ...values: SQLInputValue[]): SqlRow | undefined {
    if (!this.#isWriting) this.#reads.begin();
    return this.#statement(sql).get(...values);
  }

  rows(sql: string, ...values: SQLInputValue[]): SqlRow[] {
    if (!this.#isWriting) this.#reads.begin();
    return this.#statement(sql).all(...values);
  }

  /** Throws the error that ended this database, if any. */
  refuseFailed(): void {
    if (this.#failed !== undefined) throw this.#failed;
  }

  /**
   * Runs one synchronous transaction, and rolls back if `work` throws. With `full` it is durable
   * when it returns.
   */
  write<Result>(barrier: Barrier, work: () => Result): Result {
    this.refuseFailed();
    try {
      this.#reads.end();
      if (barrier !== this.#barrier) {
        this.#database.exec(`PRAGMA synchronous = ${barrier}`);
        this.#barrier = barrier;
      }
      this.#database.exec("BEGIN IMMEDIATE");
    } catch (error) {
      throw this.#translate(error, "begin to write");
    }
    this.#isWriting = true;
    try {
      const result = work();
      this.#database.exec("COMMIT");
      return result;
    } catch (error) {
      this.#rollBack();
      const reason = this.#translate(error, "write");
      if (reason instanceof SyncedError && reason.code === "storage_full") this.#foldLogIn();
      throw reason;
    } finally {
      this.#isWriting = false;
    }
  }

  /** @returns one message each. */
  check(): string[] {
    const found: string[] = [];
    for (const row of this.rows("PRAGMA integrity_check(100)")) {
      const message = String(Object.values(row)[0]);
      if (message !== "ok") found.push(message);
    }
    return found;
  }

  /**
   * Gives up to so many unused pages back to the file system, if the file was made so that it can.
   *
   * @returns true if there are more
   */
  giveBack(pages: number): boolean {
    const free = "SELECT freelist_count AS pages FROM pragma_freelist_count";
    const before = Number(this.row(free)?.["pages"]);
    if (before === 0) return false;
    this.write("normal", () => this.#database.exec(`PRAGMA incremental_vacuum(${pages})`));
    const after = Number(this.row(free)?.["pages"]);
    return after > 0 && after < before;
  }

  close(): void {
    this.#reads.end();
    this.#statements.clear();
    this.#database.close();
  }

  #statement(sql: string): StatementSync {
    const known = this.#statements.get(sql);
    if (known !== undefined) return known;
    const made = this.#database.prepare(sql);
    this.#statements.set(sql, made);
    return made;
  }

  #migrate(migrations: readonly string[]): void {
    const row = this.#database.prepare("PRAGMA user_version").get();
    const version = Number(row?.["user_version"]);
    // The header may lag behind the WAL, so this checks again now that SQLite has read both.
    refuseNewer(this.#path, version, migrations.length);
    if (version === migrations.length) return;
    this.write("full", () => {
      for (const sql of migrations.slice(version)) this.#database.exec(sql);
      this.#database.exec(`PRAGMA user_version = ${migrations.length}`);
    });
    // The version must be in the file's header, because an older program looks there before it
    // opens anything.
    this.#database.exec("PRAGMA wal_checkpoint(TRUNCATE)");
  }

  /** Checkpoints the log. If the log had no room to grow, its room is free at the next try. */
  #foldLogIn(): void {
    try {
      this.#database.exec("PRAGMA wal_checkpoint(TRUNCATE)");
    } catch (error) {
      // If there is no room to checkpoint, the log stays as it is. A failed barrier ends the
      // database.
      this.#translate(error, "checkpoint");
    }
  }

  #rollBack(): void {
    try {
      if (this.#database.isTransaction) this.#database.exec("ROLLBACK");
    } catch {
      // SQLite has rolled back by itself. The first error is the one to report.
    }
  }

  #translate(error: unknown, action: string): unknown {
    if (error instanceof SyncedError || !(error instanceof Error)) return error;
    const message = `Cannot ${action} "${this.#path}": ${error.message}`;
    // Deno reports no SQLite code, so the texts of sqlite3_errstr() decide.
    if (/database or disk is full/.test(error.message)) {
      return new SyncedError("storage_full", message, { cause: error });
    }
    if (/database is locked/.test(error.message)) {
      return new SyncedError("temporarily_unavailable", message, { cause: error });
    }
    if (/malformed|not a database/.test(error.message)) {
      return new SyncedError("damage_found", message, { cause: error });
    }
    if (/readonly database|unable to open/.test(error.message)) {
      return new SyncedError("data_not_writable", message, { cause: error });
    }
    if (!/disk I\/O error/.test(error.message)) return error;
    if (action === "open" && isDiskFull(dirname(this.#path))) {
      const told = `Cannot open "${this.#path}": its disk is full; free some space`;
      return new SyncedError("storage_full", told, { cause: error });
    }
    // After a failed fsync nobody knows what is on the disk, so this connection never retries
    // (I41).
    this.#failed = new SyncedError("storage_failed", message, { cause: error });
    this.#reportFailure(this.#failed);
    return this.#failed;
  }
}

/** The first of these has no effect on a file that has tables. */
const SETTINGS = `
  PRAGMA auto_vacuum = INCREMENTAL;
  PRAGMA journal_mode = WAL;
  PRAGMA synchronous = FULL;
  PRAGMA busy_timeout = 5000;
  PRAGMA foreign_keys = ON;
  PRAGMA cache_size = -16384;
  PRAGMA wal_autocheckpoint = 4000;
`;

const READER_SETTINGS = "PRAGMA busy_timeout = 5000";

/** The big-endian user_version in a database file's header; 0 if there is no file. */
function storedVersion(path: string): number {
  const header = new Uint8Array(64);
  try {
    const descriptor = openSync(path, "r");
    try {
      readSync(descriptor, header, 0, header.length, 0);
    } finally {
      closeSync(descriptor);
    }
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return 0;
    const message = `Cannot read "${path}"`;
    throw new SyncedError("data_not_writable", message, { cause: error });
  }
  return new DataView(header.buffer).getUint32(60);
}

function refuseNewer(path: string, version: number, known: number): void {
  if (version <= known) return;
  throw new SyncedError(
    "data_newer",
    `Cannot use "${path}": its format ${version} is newer than ${known}; use a newer version`,
  );
}

function refuseOlder(path: string, version: number, known: number): void {
  if (version >= known) return;
  const claim = `its format ${version} is older than ${known}; start synced serve on it once`;
  throw new SyncedError("data_older", `Cannot read "${path}": ${claim}`);
}
