/** Tables that are made equal, in SQLite and a real PostgreSQL, page by page. Rules: P14. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { METADATA_MIGRATIONS } from "../../src/adapters/metadata/schema.ts";
import {
  mirrorTable,
  type RowStore,
  TABLES,
  type Table,
  textOfRow,
} from "../../src/adapters/mirror-table.ts";
import { openTables } from "../../src/adapters/postgres-metadata/open.ts";
import { PostgresPool } from "../../src/adapters/postgres-metadata/pool.ts";
import { postgresRows, sqliteRows } from "../../src/adapters/row-stores.ts";
import { SqliteDatabase, type SqlRow } from "../../src/adapters/sqlite/database.ts";
import { SERVER } from "../server/server-world.ts";
import { type MetadataDatabase, startMetadataDatabase } from "./postgres-metadata.ts";

const ROWS = 2300;
const ODD = ["\\x41", "é", "\uffee", "😀", 'quote"', "E'\\n"];

let database: MetadataDatabase;
let pool: PostgresPool;

beforeAll(async () => {
  database = await startMetadataDatabase();
  pool = new PostgresPool(database.server.url);
  await openTables(pool, { serverId: SERVER, isNew: true });
}, 120_000);
afterAll(async () => {
  pool.close();
  await database.stop();
});

function tableOf(name: string): Table {
  const table = TABLES.find((one) => one.name === name);
  if (table === undefined) throw new Error(`No table ${name}`);
  return table;
}

const NAMES = tableOf("former_names");
const DEVICES = tableOf("devices");

function openSqlite(): SqliteDatabase {
  const sqlite = new SqliteDatabase(":memory:", METADATA_MIGRATIONS);
  sqlite.run("PRAGMA foreign_keys = OFF");
  return sqlite;
}

function nameRow(number: number): SqlRow {
  return {
    name: `${number}-${ODD[number % ODD.length]}`,
    folder: number % 3 === 0 ? null : number,
  };
}

function deviceRow(number: number): SqlRow {
  const device = Uint8Array.from([number >> 8, number & 255]);
  const blob = Uint8Array.from([number & 255]);
  const name = `\u0000${ODD[number % ODD.length]}`;
  const rest = { epoch: blob, seq: 2 ** 40 + number, hash: blob, seen_time: "t", state: "{}" };
  return { folder: number % 2, device, name, ...rest };
}

async function all(store: RowStore, table: Table): Promise<readonly string[]> {
  const found = await store.after(table, undefined, 10 * ROWS);
  return found.map((row) => textOfRow(table, row));
}

const onRows = () => undefined;

test("a table becomes like another one, whatever was in it, and stays a beginning of it [P14]", async () => {
  const sqlite = openSqlite();
  const [from, to] = [sqliteRows(sqlite), postgresRows(pool)];
  const numbers = Array.from({ length: ROWS }, (_, number) => number);
  await from.add(NAMES, numbers.map(nameRow));
  await from.add(DEVICES, numbers.map(deviceRow));
  for (const table of [NAMES, DEVICES]) {
    const wanted = await all(from, table);
    // Something is in the way: rows before, among and after those that are wanted.
    const row = table === NAMES ? nameRow : deviceRow;
    await to.add(table, [row(5), row(ROWS + 7)]);
    let pages = 0;
    const failing: RowStore = {
      ...to,
      async add(...added) {
        if (pages === 2) throw new Error("killed");
        pages += 1;
        await to.add(...added);
      },
    };
    const killed = mirrorTable({ from, to: failing, onRows }, table);
    expect(await killed.catch((error: Error) => error.message)).toBe("killed");
    expect(await all(to, table)).toEqual(wanted.slice(0, 2000));
    expect(await mirrorTable({ from, to, onRows }, table)).toBe(true);
    expect(await all(to, table)).toEqual([...wanted]);
    expect(await mirrorTable({ from, to, onRows }, table)).toBe(false);
  }
  sqlite.write("normal", () => {
    sqlite.run("DELETE FROM devices WHERE device = ?", Uint8Array.from([5, 5]));
    sqlite.run("UPDATE devices SET seq = 1 WHERE device = ?", Uint8Array.from([4, 4]));
    sqlite.run("DELETE FROM devices WHERE folder = 1 AND device > ?", Uint8Array.from([8, 0]));
  });
  expect(await mirrorTable({ from, to, onRows }, DEVICES)).toBe(true);
  expect(await all(to, DEVICES)).toEqual([...(await all(from, DEVICES))]);

  const back = openSqlite();
  expect(await mirrorTable({ from: to, to: sqliteRows(back), onRows }, DEVICES)).toBe(true);
  expect(await all(sqliteRows(back), DEVICES)).toEqual([...(await all(from, DEVICES))]);
  sqlite.close();
  back.close();
}, 60_000);

test("all columns of all tables are moved [P14]", async () => {
  const sqlite = openSqlite();
  for (const { name, columns } of TABLES) {
    const inSqlite = sqlite.rows("SELECT name FROM pragma_table_info(?)", name);
    expect([name, inSqlite.map((row) => row["name"]).sort()]).toEqual([name, [...columns].sort()]);
    const inPostgres = await pool.read(
      `SELECT column_name AS name FROM information_schema.columns
      WHERE table_schema = 'synced' AND table_name = $1 AND is_generated = 'NEVER'`,
      name,
    );
    expect([name, inPostgres.map((row) => row["name"]).sort()]).toEqual([
      name,
      [...columns].sort(),
    ]);
  }
  const known = sqlite.rows("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name");
  const rest = ["condemned", "server"];
  expect(known.map((row) => row["name"])).toEqual(
    [...TABLES.map(({ name }) => name), ...rest].sort(),
  );
  sqlite.close();
});
