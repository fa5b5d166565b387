/**
 * The client's database: its schema and version, how it is opened, and how it is found sound or
 * damaged. It writes nothing to a database that it does not accept. Rules: S1, S4, I44.
 */
import { existsSync, statSync } from "node:fs";
import { DatabaseSync, type StatementSync } from "node:sqlite";
import { pathToFileURL } from "node:url";
import { SyncedError } from "../../core/error.ts";
import { keepPrivate } from "../sqlite/private-file.ts";
import { stateTrouble } from "./trouble.ts";

/** Grows with every change of `SCHEMA`. An older binary refuses a newer database. */
const SCHEMA_VERSION = 3;
/** "synd" in ASCII, so that a database of another program is never opened as ours. */
const APPLICATION_ID = 0x73796e64;

const NODE_COLUMNS = `
  id TEXT PRIMARY KEY,
  parent TEXT NOT NULL,
  name TEXT NOT NULL,
  kind INTEGER NOT NULL,
  -- NULL where it equals sha256 (depth 0), which is most files
  manifest TEXT,
  depth INTEGER,
  sha256 TEXT,
  size INTEGER,
  executable INTEGER,
  mtime TEXT,
  target TEXT`;

/** Since version 2. */
const BIRTH_TABLE = `
  CREATE TABLE birth (
    node TEXT PRIMARY KEY, device TEXT NOT NULL, at_ms INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;`;

/** Since version 3. Whose version an earlier row is nobody knows, so that it stays (R20). */
const OF_NODE_COLUMN = "of_node TEXT";

const SCHEMA = `
  CREATE TABLE base (${NODE_COLUMNS},
    identity TEXT NOT NULL,
    stamp TEXT NOT NULL,
    content_version INTEGER NOT NULL,
    place_version INTEGER NOT NULL
  ) STRICT;
  CREATE INDEX base_place ON base (parent, name);
  CREATE INDEX base_identity ON base (identity);

  -- An absent row hides its base row and keeps that row's place and content.
  CREATE TABLE local (${NODE_COLUMNS},
    identity TEXT NOT NULL,
    stamp TEXT NOT NULL,
    conflict_node TEXT,
    conflict_version INTEGER,
    -- 1: missed, 2: its going was seen
    gone INTEGER NOT NULL
  ) STRICT;
  CREATE INDEX local_place ON local (parent, name);
  CREATE INDEX local_identity ON local (identity);

  CREATE TABLE remote (${NODE_COLUMNS},
    content_version INTEGER NOT NULL,
    place_version INTEGER NOT NULL,
    gone INTEGER NOT NULL
  ) STRICT;
  CREATE INDEX remote_place ON remote (parent, name);

  CREATE TABLE dirty (id TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;

  CREATE TABLE base_count (kind INTEGER PRIMARY KEY, nodes INTEGER NOT NULL) STRICT;
  INSERT INTO base_count VALUES (0, 0), (1, 0), (2, 0);
  CREATE TRIGGER base_inserted AFTER INSERT ON base BEGIN
    UPDATE base_count SET nodes = nodes + 1 WHERE kind = new.kind;
  END;
  CREATE TRIGGER base_deleted AFTER DELETE ON base BEGIN
    UPDATE base_count SET nodes = nodes - 1 WHERE kind = old.kind;
  END;

  CREATE TABLE manifest (digest TEXT PRIMARY KEY, bytes BLOB NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE cursor (seq INTEGER PRIMARY KEY, epoch TEXT NOT NULL, hash TEXT NOT NULL) STRICT;
  CREATE TABLE problem (path TEXT PRIMARY KEY, code TEXT NOT NULL, message TEXT NOT NULL) STRICT;
  CREATE TABLE conflict (
    node TEXT PRIMARY KEY, path TEXT NOT NULL, of TEXT NOT NULL, ${OF_NODE_COLUMN}
  ) STRICT;
  CREATE TABLE journal (
    ordinal INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    node TEXT NOT NULL,
    path TEXT NOT NULL,
    old_digest TEXT,
    new_digest TEXT
  ) STRICT;
  CREATE TABLE quarantine (
    id TEXT PRIMARY KEY,
    node TEXT NOT NULL,
    path TEXT NOT NULL,
    digest TEXT NOT NULL,
    since_ms INTEGER NOT NULL,
    scans INTEGER NOT NULL
  ) STRICT;
  ${BIRTH_TABLE}
  CREATE TABLE leftover (identity TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
  CREATE TABLE value (key TEXT PRIMARY KEY, json TEXT NOT NULL) STRICT;
  CREATE TABLE stop (clean INTEGER NOT NULL) STRICT;
  INSERT INTO stop VALUES (1);

  PRAGMA application_id = ${APPLICATION_ID};
  PRAGMA user_version = ${SCHEMA_VERSION};
`;

/**
 * Opens the database for reading and writing, and creates it if there is none.
 *
 * @throws {SyncedError} `damage_found` or `data_newer`; nothing was written then.
 * @throws {FileSystemError} if the disk does not let it be opened or written
 */
export function openDatabase(path: string): DatabaseSync {
  return soundly(path, (database) => {
    database.exec("PRAGMA busy_timeout = 5000");
    const version = checkVersion(database, path);
    database.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL");
    database.exec("PRAGMA temp_store = MEMORY; PRAGMA cache_size = -16384");
    if (version === 0) createSchema(database);
    else migrate(database, version);
    if (number(database, "SELECT clean FROM stop") !== 1) checkPages(database, path);
    checkValues(database, path);
    // Truncates the log, so that a log of another time that is copied in or left over cannot apply
    // later.
    database.exec("PRAGMA wal_checkpoint(TRUNCATE)");
    database.exec("UPDATE stop SET clean = 0");
  });
}

/**
 * Opens the database beside the process that owns it, for reading only.
 *
 * @throws {SyncedError} `damage_found`, `data_newer`; `folder_unusable` for trouble with the disk
 */
export function openDatabaseReadOnly(path: string): DatabaseSync {
  return soundly(
    path,
    (database) => {
      database.exec("PRAGMA busy_timeout = 5000");
      if (checkVersion(database, path) === 0) throw damage(path, "it has no tables");
    },
    true,
  );
}

/**
 * A database in memory with the contents of the one at `path`; empty if there is none.
 *
 * @throws {SyncedError} `damage_found` or `data_newer`.
 */
export function copyToMemory(path: string): DatabaseSync {
  if (!existsSync(path)) return openDatabase(":memory:");
  return copyUntouched(path) ?? copyOf(openDatabaseReadOnly(path));
}

/**
 * Beside a database that nobody has open, even a read-only SQLite makes log and index files. A dry
 * run must not make any. SQLite makes none if it is told that nobody writes.
 *
 * @returns undefined if somebody has it open, or wrote to it meanwhile.
 */
function copyUntouched(path: string): DatabaseSync | undefined {
  const stampOf = () => statSync(path, { bigint: true }).ctimeNs;
  const isOpen = () => existsSync(`${path}-wal`);
  const stamp = stampOf();
  if (isOpen()) return undefined;
  const url = pathToFileURL(path);
  url.searchParams.set("immutable", "1");
  let copy: DatabaseSync | undefined;
  try {
    copy = copyOf(openDatabaseReadOnly(url.href));
  } catch {
    // It is read again, and judged, in the ordinary way.
  }
  if (stampOf() === stamp && !isOpen()) return copy;
  copy?.close();
  return undefined;
}

function copyOf(source: DatabaseSync): DatabaseSync {
  const copy = openDatabase(":memory:");
  try {
    copy.exec("BEGIN");
    const tables = source.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'").all();
    const known = new Set(tables.map(({ name }) => name));
    // A source of an earlier version does not have all of them.
    for (const table of COPIED_TABLES) if (known.has(table)) copyTable(source, copy, table);
    copy.exec("COMMIT");
    return copy;
  } finally {
    source.close();
  }
}

/** Triggers compute the counts, and the copy has a clean-stop mark of its own. */
const COPIED_TABLES = [
  ...["base", "local", "remote", "dirty", "manifest", "cursor", "problem", "conflict", "journal"],
  ...["quarantine", "leftover", "value", "birth"],
];

function copyTable(source: DatabaseSync, copy: DatabaseSync, table: string): void {
  let insert: StatementSync | undefined;
  for (const row of source.prepare(`SELECT * FROM ${table}`).iterate()) {
    const [names, values] = [Object.keys(row).join(", "), Object.values(row)];
    const places = values.map(() => "?").join(", ");
    insert ??= copy.prepare(`INSERT INTO ${table} (${names}) VALUES (${places})`);
    insert.run(...values);
  }
}

/**
 * Marks a clean stop and closes. The next opening may then skip the page check.
 *
 * @param asItIs true to leave no mark, because it was only read, or the disk failed it.
 */
export function closeDatabase(database: DatabaseSync, asItIs: boolean): void {
  try {
    if (asItIs) return;
    database.exec("UPDATE stop SET clean = 1");
    database.exec("PRAGMA wal_checkpoint(TRUNCATE)");
  } catch (error) {
    // Without the mark the next opening checks the pages, so nothing is lost.
    if (stateTrouble(error) === error) throw error;
  } finally {
    database.close();
  }
}

function soundly(
  path: string,
  prepare: (database: DatabaseSync) => void,
  readOnly = false,
): DatabaseSync {
  let database: DatabaseSync | undefined;
  try {
    if (!readOnly) keepPrivate(path);
    database = new DatabaseSync(path, { readOnly });
    prepare(database);
    return database;
  } catch (error) {
    database?.close();
    if (error instanceof SyncedError) throw error;
    if (tellsOfDamage(error)) throw damage(path, error.message, error);
    const trouble = stateTrouble(error, path);
    if (!readOnly || trouble === error || !(trouble instanceof Error)) throw trouble;
    throw new SyncedError("folder_unusable", trouble.message, { path, cause: error });
  }
}

/** SQLITE_CORRUPT, SQLITE_NOTADB, or a missing table of its version. */
function tellsOfDamage(error: unknown): error is Error {
  return (
    error instanceof Error &&
    /malformed|not a database|corrupt|no such (table|column)/.test(error.message)
  );
}

/** @returns 0 for a new, empty database. */
function checkVersion(database: DatabaseSync, path: string): number {
  const version = number(database, "PRAGMA user_version");
  const application = number(database, "PRAGMA application_id");
  const tables = number(database, "SELECT count(*) FROM sqlite_schema");
  if (version === 0 && application === 0 && tables === 0) return 0;
  if (application !== APPLICATION_ID) throw damage(path, "it belongs to another program");
  if (version > SCHEMA_VERSION) {
    throw new SyncedError(
      "data_newer",
      `Cannot open "${path}": its version ${version} is newer than ${SCHEMA_VERSION}`,
      { path },
    );
  }
  if (version < 1) throw damage(path, `its version ${version} is unknown`);
  return version;
}

/**
 * Each brings a database from version n to n + 1, beginning with 1. Released ones are never edited.
 */
const MIGRATIONS: readonly string[] = [
  BIRTH_TABLE,
  `ALTER TABLE conflict ADD COLUMN ${OF_NODE_COLUMN};`,
];

function migrate(database: DatabaseSync, version: number): void {
  const sql = MIGRATIONS.slice(version - 1).join("");
  if (sql === "") return;
  database.exec(`BEGIN IMMEDIATE; ${sql} PRAGMA user_version = ${SCHEMA_VERSION}; COMMIT`);
}

function createSchema(database: DatabaseSync): void {
  database.exec(`BEGIN IMMEDIATE; ${SCHEMA} COMMIT`);
}

function checkPages(database: DatabaseSync, path: string): void {
  const row = database.prepare("PRAGMA quick_check(1)").get();
  const verdict = row === undefined ? "no answer" : String(Object.values(row)[0]);
  if (verdict !== "ok") throw damage(path, verdict);
}

/** Columns of hexadecimal digits, with their number of bytes. NULL if a row has no such value. */
const HEX_COLUMNS: readonly (readonly [table: string, column: string, bytes: number])[] = [
  ...["base", "local", "remote"].flatMap((table) => [
    [table, "id", 16] as const,
    [table, "parent", 16] as const,
    [table, "sha256", 32] as const,
    [table, "manifest", 32] as const,
  ]),
  ["dirty", "id", 16],
  ["cursor", "epoch", 16],
  ["cursor", "hash", 32],
  ["journal", "id", 16],
  ["journal", "node", 16],
  ["birth", "node", 16],
  ["conflict", "of_node", 16],
  ["quarantine", "id", 16],
  ["quarantine", "digest", 32],
];

/**
 * SQLite keeps no checksums, so a changed byte within a value passes its own check. If the byte is
 * in an id or a digest, this finds it (50 ms for 100,000 files).
 */
function checkValues(database: DatabaseSync, path: string): void {
  const wrong = new Map<string, string[]>();
  for (const [table, column, bytes] of HEX_COLUMNS) {
    const isWrong =
      `${column} IS NOT NULL AND ` +
      `(length(unhex(${column})) IS NOT ${bytes} OR ${column} <> lower(${column}))`;
    wrong.set(table, [...(wrong.get(table) ?? []), isWrong]);
  }
  for (const table of ["base", "local", "remote"]) wrong.get(table)?.push("kind NOT IN (0, 1, 2)");
  wrong.set("value", ["NOT json_valid(json)"]);
  for (const [table, conditions] of wrong) {
    const sql = `SELECT EXISTS (SELECT 1 FROM ${table} WHERE (${conditions.join(") OR (")}))`;
    if (number(database, sql) !== 0) throw damage(path, `a value in "${table}" is none`);
  }
}

function number(database: DatabaseSync, sql: string): number {
  const row = database.prepare(sql).get();
  return row === undefined ? 0 : Number(Object.values(row)[0]);
}

function damage(path: string, why: string, cause?: unknown): SyncedError {
  return new SyncedError("damage_found", `Cannot use the state database "${path}": ${why}`, {
    path,
    ...(cause === undefined ? {} : { cause }),
  });
}
