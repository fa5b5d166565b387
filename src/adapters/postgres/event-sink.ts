/**
 * EventSink in PostgreSQL: makes, migrates and fills the table `files_log`. Rules: M1-M6.
 *
 * It uses one connection and throws it away at the first error.
 */
import { isDigest } from "../../core/digest.ts";
import { assert, SyncedError } from "../../core/error.ts";
import type {
  EventSink,
  FilesLogRow,
  LogName,
  SinkBatch,
  SinkCursor,
} from "../../ports/event-sink.ts";
import {
  addressOf,
  connectOnce,
  type DatabaseAddress,
  type PostgresClient,
  parseDatabaseUrl,
  type Sql,
} from "./client.ts";
import { FILES_LOG_MIGRATIONS, MIGRATION_LOCK } from "./schema.ts";
import { describeTrouble, FILES_LOG } from "./trouble.ts";

export interface PostgresSinkOptions {
  /** `postgres://USER:PASSWORD@HOST:PORT/DATABASE`. Missing parts come from PGHOST and so on. */
  readonly url: string;
  /** For connecting and for reading the schema. @default 10 s */
  readonly openTimeoutMs?: number;
  /** For writing a page on a slow day. @default 60 s */
  readonly appendTimeoutMs?: number;
}

/**
 * The first call connects. @throws {SyncedError} `usage` for an illegal URL, which the message does
 * not show.
 */
export function createPostgresEventSink(options: PostgresSinkOptions): EventSink {
  return new PostgresEventSink(options);
}

const OPEN_TIMEOUT_MS = 10_000;
const APPEND_TIMEOUT_MS = 60_000;

class PostgresEventSink implements EventSink {
  readonly name: string;
  readonly #url: string;
  readonly #address: DatabaseAddress;
  readonly #openTimeoutMs: number;
  readonly #appendTimeoutMs: number;
  #client: PostgresClient | undefined;
  #isBusy = false;
  #isClosed = false;

  constructor({ url, openTimeoutMs, appendTimeoutMs }: PostgresSinkOptions) {
    this.#url = parseDatabaseUrl(url, "database");
    this.#address = addressOf(this.#url, "database");
    const { host, database } = this.#address;
    this.name = `PostgreSQL at ${host}, database "${database}"`;
    this.#openTimeoutMs = openTimeoutMs ?? OPEN_TIMEOUT_MS;
    this.#appendTimeoutMs = appendTimeoutMs ?? APPEND_TIMEOUT_MS;
  }

  open(): Promise<void> {
    return this.#call(this.#openTimeoutMs, async (sql) => {
      const [found] = await sql`
        SELECT to_regclass('files_log_schema') IS NOT NULL AS exists,
          to_regclass('files_log') IS NOT NULL AS complete,
          current_setting('server_encoding') AS encoding`;
      const encoding = String(found?.["encoding"]);
      // SQL_ASCII stores any bytes. Every other encoding lacks characters that names may have.
      if (encoding !== "UTF8" && encoding !== "SQL_ASCII") throw wrongEncoding(this.name, encoding);
      const version = found?.["exists"] === true ? await readVersion(sql) : 0;
      if (version > FILES_LOG_MIGRATIONS.length) throw newerTables(this.name, version);
      const isComplete = found?.["complete"] === true && version === FILES_LOG_MIGRATIONS.length;
      if (!isComplete) await migrate(sql, this.name);
    });
  }

  cursor({ server, folder, epoch }: LogName): Promise<SinkCursor> {
    return this.#call(this.#openTimeoutMs, async (sql) => {
      // Makes a missing cursor. Appending only moves an existing one, so a cursor that a person
      // deleted is noticed. The log's remaining rows go, because they would be in the way when it
      // is written anew.
      await sql`
        WITH made AS (
          INSERT INTO files_log_cursors (server_id, folder, epoch, seq)
          VALUES (${server}, ${folder}, ${epoch}, 0) ON CONFLICT DO NOTHING
          RETURNING 1
        )
        DELETE FROM files_log
        WHERE server_id = ${server} AND folder = ${folder} AND epoch = ${epoch}
          AND EXISTS (SELECT FROM made)`;
      const [row] = await sql`
        SELECT seq, hash FROM files_log_cursors
        WHERE server_id = ${server} AND folder = ${folder} AND epoch = ${epoch}`;
      const seq = Number(row?.["seq"] ?? 0);
      const hash = String(row?.["hash"]);
      return isDigest(hash) ? { seq, hash } : { seq };
    });
  }

  append(log: LogName, { after, rows, hash }: SinkBatch): Promise<"appended" | "cursor_moved"> {
    const { server, folder, epoch } = log;
    const last = rows.at(-1)?.seq ?? after;
    return this.#call(this.#appendTimeoutMs, async (sql) => {
      // The cursor's row is locked before any row is written. So one of two writers finds that it
      // has moved.
      const written = await sql`
        WITH moved AS (
          UPDATE files_log_cursors SET seq = ${last}, hash = ${hash}
          WHERE server_id = ${server} AND folder = ${folder} AND epoch = ${epoch}
            AND seq = ${after}
          RETURNING 1
        )
        INSERT INTO files_log (time, folder, seq, action, path, old_path, size, sha256, device,
          version, server_id, epoch, device_id)
        SELECT row.time, ${folder}, row.seq, row.action, row.path, row.old_path, row.size,
          row.sha256, row.device, row.seq, ${server}, ${epoch}, row.device_id
        FROM moved, json_to_recordset(${jsonOf(rows)}::text::json) AS row (time timestamptz,
          seq bigint, action text, path text, old_path text, size bigint, sha256 text, device text,
          device_id text)
        ORDER BY row.seq`;
      return written.count === rows.length ? "appended" : "cursor_moved";
    });
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#drop();
  }

  /** Runs `work` in one transaction. If that fails, it throws away the connection. */
  async #call<Result>(timeoutMs: number, work: (sql: Sql) => Promise<Result>): Promise<Result> {
    if (this.#isClosed) throw new SyncedError("temporarily_unavailable", "The sink is closed");
    assert(!this.#isBusy, "one call at a time: they share a transaction");
    this.#isBusy = true;
    this.#client ??= connectOnce(this.#url);
    const { sql } = this.#client;
    const run = async (): Promise<Result> => {
      // The server needs the time limit too, because a session that waits for a lock does not
      // notice that its client is gone.
      const limit = `SET LOCAL statement_timeout = ${Math.ceil(timeoutMs)}`;
      const begin: Promise<unknown> = sql.unsafe(`BEGIN; ${limit}`).simple();
      await begin;
      const result = await work(sql);
      await sql`COMMIT`;
      return result;
    };
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<never>((_, reject) => {
      const seconds = timeoutMs / 1000;
      const error = Object.assign(new Error(`no answer within ${seconds} s`), {
        code: "ETIMEDOUT",
      });
      timer = setTimeout(() => reject(error), timeoutMs);
    });
    try {
      return await Promise.race([run(), late]);
    } catch (error) {
      this.#drop();
      throw error instanceof SyncedError ? error : describeTrouble(error, this.#address, FILES_LOG);
    } finally {
      clearTimeout(timer);
      this.#isBusy = false;
    }
  }

  #drop(): void {
    this.#client?.drop();
    this.#client = undefined;
  }
}

async function readVersion(sql: Sql): Promise<number> {
  const [row] = await sql`SELECT version FROM files_log_schema`;
  return Number(row?.["version"] ?? 0);
}

async function migrate(sql: Sql, name: string): Promise<void> {
  // Several servers may share the database and start together.
  await sql`SELECT pg_advisory_xact_lock(${MIGRATION_LOCK})`;
  await sql`
    CREATE TABLE IF NOT EXISTS files_log_schema (
      singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
      version integer NOT NULL
    )`;
  let version = await readVersion(sql);
  if (version > FILES_LOG_MIGRATIONS.length) throw newerTables(name, version);
  const [found] = await sql`SELECT to_regclass('files_log') IS NOT NULL AS exists`;
  if (version > 0 && found?.["exists"] !== true) {
    // Somebody dropped the table. Without cursors, all of it is written anew.
    await sql`DROP TABLE IF EXISTS files_log_cursors`;
    version = 0;
  }
  for (const migration of FILES_LOG_MIGRATIONS.slice(version)) await sql.unsafe(migration);
  await sql`
    INSERT INTO files_log_schema (version) VALUES (${FILES_LOG_MIGRATIONS.length})
    ON CONFLICT (singleton) DO UPDATE SET version = excluded.version`;
}

/**
 * PostgreSQL's text holds neither U+0000 nor half a surrogate pair. One odd name must not stop the
 * log.
 */
function jsonOf(rows: readonly FilesLogRow[]): string {
  const records = rows.map((row) => ({
    time: row.time,
    seq: row.seq,
    action: row.action,
    path: storable(row.path),
    old_path: row.oldPath === undefined ? null : storable(row.oldPath),
    size: row.size ?? null,
    sha256: row.sha256 ?? null,
    device: storable(row.device),
    device_id: row.deviceId,
  }));
  return JSON.stringify(records);
}

function storable(text: string): string {
  return text.toWellFormed().replaceAll("\0", "\uFFFD");
}

function newerTables(name: string, version: number): SyncedError {
  return new SyncedError(
    "data_newer",
    `Cannot write to files_log in ${name}: its tables have version ${version}, this synced knows ` +
      `${FILES_LOG_MIGRATIONS.length}. Nothing is written there until a newer synced is started; ` +
      "sync goes on",
  );
}

function wrongEncoding(name: string, encoding: string): SyncedError {
  return new SyncedError(
    "temporarily_unavailable",
    `Cannot write to files_log in ${name}: it stores text as ${encoding}, which lacks characters ` +
      "that file names may have. Create a database with ENCODING 'UTF8'; sync goes on",
  );
}
