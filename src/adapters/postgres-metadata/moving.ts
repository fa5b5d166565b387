/** The marks in PostgreSQL of data that are moved there, or away. Rules: P14. */
import type { ServerId } from "../../core/identifier.ts";
import { integer, toBlob } from "../metadata/rows.ts";
import type { Move } from "./open.ts";
import type { PostgresPool } from "./pool.ts";

const GUARDED = ["folders", "events", "nodes", "folder_objects", "devices"];

const OPEN = GUARDED.map((table) => `DROP TRIGGER IF EXISTS moved ON synced.${table}`);

/** A server that still runs is refused each change, and commits that are under way end first. */
const CLOSE = [
  `CREATE OR REPLACE FUNCTION synced.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $do$
  BEGIN
    RAISE EXCEPTION 'the data are being moved to a directory' USING ERRCODE = '55000';
  END $do$`,
  ...OPEN,
  ...GUARDED.map(
    (table) => `
    CREATE TRIGGER moved BEFORE INSERT OR UPDATE OR DELETE ON synced.${table}
    FOR EACH STATEMENT EXECUTE FUNCTION synced.refuse_change()`,
  ),
];

/** From now on the tables change only by those who move data here. */
export async function beginArrival(pool: PostgresPool): Promise<void> {
  await pool.transaction(...OPEN, "UPDATE synced.server SET move = 'arriving'");
}

/** A store's counters of the objects' versions, and of uploads with manifests. */
export interface ObjectCounters {
  readonly version: number;
  readonly turn: number;
}

export async function readCounters(pool: PostgresPool): Promise<ObjectCounters> {
  const sql = "SELECT objects_version AS version, turn FROM synced.server, synced.turns";
  const [row] = await pool.read(sql);
  if (row === undefined) return { version: 0, turn: 0 };
  return { version: integer(row, "version"), turn: integer(row, "turn") };
}

/** No version that somebody may have read is used again. */
export async function setCounters(
  pool: PostgresPool,
  { version, turn }: ObjectCounters,
): Promise<void> {
  await pool.transaction(
    `UPDATE synced.turns SET turn = greatest(turn, ${turn})`,
    `UPDATE synced.server SET objects_version = greatest(objects_version, ${version}) + 1`,
    "UPDATE synced.server SET deletions_from = objects_version",
    "DELETE FROM synced.condemned",
    `SELECT setval(pg_get_serial_sequence('synced.folders', 'id'),
      greatest((SELECT max(id) FROM synced.folders), 1))`,
  );
}

export async function markMove(pool: PostgresPool, move: Move): Promise<void> {
  await pool.write("UPDATE synced.server SET move = $1", move);
}

/** From now on servers may start. */
export async function endArrival(pool: PostgresPool, serverId: ServerId): Promise<void> {
  const sql = "UPDATE synced.server SET move = NULL, is_shared = 0 WHERE id = $1";
  await pool.write(sql, toBlob(serverId));
}

/** From now on no server may start, and none may change anything. */
export async function closeForMove(pool: PostgresPool): Promise<void> {
  await pool.transaction(...CLOSE, "UPDATE synced.server SET move = 'left'");
}
