/** RowStore in SQLite and in PostgreSQL. Rules: P14. */
import { type RowStore, type Table, textOfRow } from "./mirror-table.ts";
import type { Parameter, PostgresPool } from "./postgres-metadata/pool.ts";
import type { SqliteDatabase, SqlRow, SqlValue } from "./sqlite/database.ts";

/** Rows that are deleted at once. */
const DROPPED_MAX = 5000;

export function sqliteRows(database: SqliteDatabase): RowStore {
  return {
    async after(table, row, limit) {
      const { sql, values } = range(table, row, () => "?");
      const names = table.columns.join(", ");
      const order = `ORDER BY ${table.key.join(", ")} LIMIT ?`;
      const select = `SELECT ${names} FROM ${table.name} ${sql} ${order}`;
      return database.rows(select, ...values, limit);
    },
    async dropAfter(table, row) {
      const { sql, values } = range(table, row, () => "?");
      database.write("normal", () => database.run(`DELETE FROM ${table.name} ${sql}`, ...values));
    },
    async add({ name, columns }, rows) {
      const places = columns.map(() => "?").join(", ");
      const insert = `INSERT INTO ${name} (${columns.join(", ")}) VALUES (${places})`;
      database.write("normal", () => {
        for (const row of rows) database.run(insert, ...columns.map((one) => row[one] ?? null));
      });
    },
  };
}

export function postgresRows(pool: PostgresPool): RowStore {
  return {
    async after(table, row, limit) {
      const { sql, values } = range(table, row, (number) => `$${number}`);
      const names = table.columns.join(", ");
      const order = `ORDER BY ${table.key.join(", ")} LIMIT ${limit}`;
      const rows = await pool.read(
        `SELECT ${names} FROM synced.${table.name} ${sql} ${order}`,
        ...values.map(toParameter),
      );
      return table.name === "devices" ? rows.map(withName(JSON.parse)) : rows;
    },
    async dropAfter(table, row) {
      const { sql, values } = range(table, row, (number) => `$${number}`);
      const key = table.key.join(", ");
      const last = table.key.map((column) => `${column} DESC`).join(", ");
      const statement = `
        WITH gone AS (
          DELETE FROM synced.${table.name} WHERE (${key}) IN (
            SELECT ${key} FROM synced.${table.name} ${sql} ORDER BY ${last} LIMIT ${DROPPED_MAX}
          ) RETURNING 1
        )
        SELECT 1 FROM gone LIMIT 1`;
      while ((await pool.write(statement, ...values.map(toParameter))).length > 0);
    },
    async add(table, rows) {
      const given = table.name === "devices" ? rows.map(withName(JSON.stringify)) : rows;
      const names = table.columns.join(", ");
      const kept = table.name === "folders" ? "OVERRIDING SYSTEM VALUE" : "";
      await pool.write(
        `INSERT INTO synced.${table.name} (${names}) ${kept} SELECT ${names}
        FROM json_populate_recordset(NULL::synced.${table.name}, $1::text::json)`,
        `[${given.map((row) => textOfRow(table, row)).join(",")}]`,
      );
    },
  };
}

/** PostgreSQL has the names of devices as JSON. */
function withName(change: (name: string) => string): (row: SqlRow) => SqlRow {
  return (row) => ({ ...row, name: change(String(row["name"])) });
}

/** The rows after one. */
function range(
  { key }: Table,
  row: SqlRow | undefined,
  place: (number: number) => string,
): { readonly sql: string; readonly values: readonly SqlValue[] } {
  if (row === undefined) return { sql: "", values: [] };
  const places = key.map((_, index) => place(index + 1)).join(", ");
  const sql = `WHERE (${key.join(", ")}) > (${places})`;
  return { sql, values: key.map((column) => row[column] ?? null) };
}

function toParameter(value: SqlValue): Parameter {
  if (value instanceof Uint8Array || typeof value === "string" || typeof value === "number") {
    return value;
  }
  return null;
}
