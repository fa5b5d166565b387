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
 * "arriving": data are being moved here; "arrived": all are here, and their directory may not be
 * marked yet; "left": they are moved away, or were.
 */
export type Move = "arriving" | "arrived" | "left";

export interface TablesOwner {
  readonly id: ServerId;
  /** Absent if servers may use the tables. */
  readonly move: Move | undefined;
}

/**
 * Several servers may start at once; one of them makes the tables.
 *
 * @param claim `isArriving`: a database that is none's becomes one that data are moved to
 * @returns whose the database is, or undefined if it is none's and stays so
 */
export async function openTables(
  pool: PostgresPool,
  claim: {
    readonly serverId: ServerId;
    readonly isNew: boolean;
    readonly isArriving?: boolean;
  },
): Promise<TablesOwner | undefined> {
  const { serverId, isNew, isArriving = false } = claim;
  const [found = {}] = await pool.read(FOUND);
  const encoding = text(found, "encoding");
  if (encoding !== "UTF8") throw wrongEncoding(pool.name, encoding);
  const isEmpty = integer(found, "exists") === 0;
  if (isEmpty && !isNew) return undefined;
  if (isEmpty || (await readVersion(pool)) < LATEST) await pool.transaction(...MIGRATE);
  const version = await readVersion(pool);
  if (version > LATEST) throw newerTables(pool.name, version);
  if (isNew) {
    const take = "INSERT INTO synced.server (id, move) VALUES ($1, $2) ON CONFLICT DO NOTHING";
    await pool.write(take, toBlob(serverId), isArriving ? "arriving" : null);
  }
  const [server] = await pool.read("SELECT id, move FROM synced.server");
  if (server === undefined) return undefined;
  const move = server["move"] === null ? undefined : text<Move>(server, "move");
  return { id: parseId(hex(server, "id")), move };
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
