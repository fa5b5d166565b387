/** Several servers on one PostgreSQL: whether there may be, and the key that they have in common. */
import { SyncedError } from "../../core/error.ts";
import { integer, text } from "../metadata/rows.ts";
import type { PostgresPool } from "./pool.ts";

const SHARE = `
UPDATE synced.server SET is_shared = 1, key = coalesce(key, $1) RETURNING key`;

/**
 * From now on no server may use the database as if it were alone.
 *
 * @param newKey 256 bits as hex, for the first one
 * @returns the key of all
 */
export async function shareTables(pool: PostgresPool, newKey: string): Promise<string> {
  const [row = {}] = await pool.write(SHARE, newKey);
  return text(row, "key");
}

/** @throws {SyncedError} `usage` if several servers use the database */
export async function requireAlone(pool: PostgresPool): Promise<void> {
  const [row = { is_shared: 0 }] = await pool.read("SELECT is_shared FROM synced.server");
  if (integer(row, "is_shared") === 0) return;
  const advice = "several servers use it; start this one with --shared and a --data of its own";
  throw new SyncedError("usage", `Cannot use the metadata in ${pool.name} alone: ${advice}`);
}
