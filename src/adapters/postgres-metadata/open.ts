/** Makes the tables in PostgreSQL, or brings them up to date. Rules: P1, I44. */
import { SyncedError } from "../../core/error.ts";
import { parseId, type ServerId } from "../../core/identifier.ts";
import { hex, integer, text, toBlob } from "../metadata/rows.ts";
import type { PostgresPool } from "./pool.ts";
import { METADATA_LOCK, POSTGRES_METADATA_MIGRATIONS } from "./schema.ts";

const FOUND = `
SELECT (to_regclass('synced.version') IS NOT NULL)::integer AS exists,
  current_setting('server_encoding') AS encoding`;

/**
 * Several servers may start at once; one of them makes the tables.
 *
 * @returns the id of the server that the database is, or undefined if it is none's and stays so
 */
export async function openTables(
  pool: PostgresPool,
  { serverId, isNew }: { readonly serverId: ServerId; readonly isNew: boolean },
): Promise<ServerId | undefined> {
  const [found = {}] = await pool.read(FOUND);
  const encoding = text(found, "encoding");
  if (encoding !== "UTF8") throw wrongEncoding(pool.name, encoding);
  const isEmpty = integer(found, "exists") === 0;
  if (isEmpty && !isNew) return undefined;
  if (isEmpty || (await readVersion(pool)) < LATEST) await pool.transaction(...MIGRATE);
  const version = await readVersion(pool);
  if (version > LATEST) throw newerTables(pool.name, version);
  if (isNew) {
    const claim = "INSERT INTO synced.server (id) VALUES ($1) ON CONFLICT DO NOTHING";
    await pool.write(claim, toBlob(serverId));
  }
  const [server] = await pool.read("SELECT id FROM synced.server");
  return server === undefined ? undefined : parseId(hex(server, "id"));
}

const LATEST = POSTGRES_METADATA_MIGRATIONS.length;

/** Each step asks for the version, because another server may have made it meanwhile. */
const MIGRATE: readonly string[] = [
  `SELECT pg_advisory_xact_lock(${METADATA_LOCK})`,
  "CREATE SCHEMA IF NOT EXISTS synced",
  `CREATE TABLE IF NOT EXISTS synced.version (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton), version integer NOT NULL)`,
  "INSERT INTO synced.version (version) VALUES (0) ON CONFLICT DO NOTHING",
  ...POSTGRES_METADATA_MIGRATIONS.map(
    (migration, version) => `
    DO $do$ BEGIN
      IF (SELECT version FROM synced.version) = ${version} THEN
        ${migration}
        UPDATE synced.version SET version = ${version + 1};
      END IF;
    END $do$`,
  ),
];

async function readVersion(pool: PostgresPool): Promise<number> {
  const [row] = await pool.read("SELECT version FROM synced.version");
  return row === undefined ? 0 : integer(row, "version");
}

function newerTables(name: string, version: number): SyncedError {
  const claim = `its tables have version ${version}, this synced knows ${LATEST}`;
  const message = `Cannot use the metadata in ${name}: ${claim}; use a newer version`;
  return new SyncedError("data_newer", message);
}

function wrongEncoding(name: string, encoding: string): SyncedError {
  return new SyncedError(
    "usage",
    `Cannot use the metadata in ${name}: it stores text as ${encoding}, which lacks characters ` +
      "that file names may have. Create a database with ENCODING 'UTF8'",
  );
}
