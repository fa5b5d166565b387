/**
 * Looks for rows that are wrong, and that neither the log's hashes nor a replay of it would show.
 * Rules: L2, U2, U7.
 */
import { genesisHash } from "../../core/canonical.ts";
import type { FolderName, ServerId } from "../../core/identifier.ts";
import type { SqliteDatabase } from "../sqlite/database.ts";
import { hex, integer, text } from "./rows.ts";

/**
 * Of an event `e` of folder `f`: 1 if its version was over by the last event that retention judged.
 */
const IS_OVER = `
e.size > 0 AND EXISTS (
  SELECT 1 FROM events AS ending INDEXED BY events_by_node
  WHERE ending.folder = e.folder AND ending.node = e.node AND ending.kind <> 'move'
  AND ending.base_content > 0 AND ending.seq <= f.pruned
  AND ending.seq >= e.seq AND (ending.seq > e.seq OR ending.kind = 'delete'))`;
const WRONGLY_GONE = `
SELECT f.name AS folder, e.seq, e.path, e.gone FROM events AS e JOIN folders AS f ON f.id = e.folder
WHERE e.size > 0 AND e.gone <> (${IS_OVER})`;
const MARK_RIGHTLY = `
UPDATE events AS e SET gone = (${IS_OVER}) FROM folders AS f
WHERE f.id = e.folder AND e.size > 0 AND e.gone <> (${IS_OVER})`;
/** A collection would take a manifest of a later turn for one that it has read. */
const BEYOND_THE_TURNS = `
SELECT f.name AS folder, o.digest FROM folder_objects AS o JOIN folders AS f ON f.id = o.folder
WHERE o.turn > (SELECT objects_turn FROM server)`;
const NAMES = `
SELECT f.id, f.name, f.epoch, f.genesis, p.name AS former
FROM folders AS f LEFT JOIN former_names AS p ON p.folder = f.id`;

/** Columns that have few values, and how others are read. */
const READ_AS: readonly (readonly [table: string, column: string, values: string, as: string])[] = [
  ...["group_end", "executable", "gone"].map((column) => ["events", column, "0, 1", "0"] as const),
  ...["deleted", "executable"].map((column) => ["nodes", column, "0, 1", "0"] as const),
  ["events", "content_kind", "0, 1, 2", "2"],
  ["nodes", "content_kind", "0, 1, 2", "2"],
];
const READ_SO = READ_AS.map(
  ([table, column, values, as]) =>
    `UPDATE ${table} SET ${column} = ${as} WHERE ${column} NOT IN (${values})`,
);
const UNOWNED = ["nodes", "folder_objects", "devices"].map(
  (table) => `DELETE FROM ${table} WHERE folder NOT IN (SELECT id FROM folders)`,
);
const UNOWNED_EVENTS = "SELECT seq, path FROM events WHERE folder NOT IN (SELECT id FROM folders)";
const TAKE_TURNS_BACK = `
UPDATE folder_objects SET turn = (SELECT objects_turn FROM server)
WHERE turn > (SELECT objects_turn FROM server)`;

/**
 * Puts right what `checkRows` finds, but for rows of the log. Only within `write`.
 *
 * @returns the number of rows that it changed
 */
export function putRowsRight(database: SqliteDatabase): number {
  const changes = [...UNOWNED, ...READ_SO, MARK_RIGHTLY, TAKE_TURNS_BACK];
  return changes.reduce((count, sql) => count + database.run(sql), 0);
}

/** @returns one message each */
export function checkRows(database: SqliteDatabase, server: ServerId): readonly string[] {
  const found: string[] = [];
  for (const row of database.rows("PRAGMA foreign_key_check")) {
    found.push(`a row of ${text(row, "table")} belongs to no ${text(row, "parent")}`);
  }
  for (const row of database.rows(UNOWNED_EVENTS)) {
    const event = `event ${integer(row, "seq")} ${JSON.stringify(row["path"])}`;
    found.push(`${event} belongs to no folder`);
  }
  for (const [table, column, values] of READ_AS) {
    const shown = table === "events" ? "path" : "name";
    const sql = `SELECT f.name AS folder, t.${shown} AS name, t.${column} AS value
      FROM ${table} AS t JOIN folders AS f ON f.id = t.folder
      WHERE t.${column} NOT IN (${values})`;
    for (const row of database.rows(sql)) {
      const name = `folder ${text(row, "folder")} ${JSON.stringify(row["name"])}`;
      found.push(`${name} has ${column} ${row["value"]} in ${table}`);
    }
  }
  for (const row of database.rows(WRONGLY_GONE)) {
    const event = `folder ${text(row, "folder")} event ${integer(row, "seq")}`;
    const claim =
      row["gone"] === 0 ? "kept, and its time is over" : "gone, and its time is not over";
    found.push(`${event} ${JSON.stringify(row["path"])} is marked as ${claim}`);
  }
  for (const row of database.rows(BEYOND_THE_TURNS)) {
    const object = `folder ${text(row, "folder")} object ${hex(row, "digest")}`;
    found.push(`${object} is recorded at a turn that has not come yet`);
  }
  return [...found, ...checkGenesis(database, server)];
}

/** The hash before the first event is that of the folder's first name. */
function checkGenesis(database: SqliteDatabase, server: ServerId): readonly string[] {
  const isRight = new Map<string, boolean>();
  for (const row of database.rows(NAMES)) {
    const name = text<FolderName>(row, "name");
    const former = row["former"] === null ? name : text<FolderName>(row, "former");
    const hashes = [name, former].map((folder) =>
      genesisHash({ server, folder, epoch: hex(row, "epoch") }),
    );
    isRight.set(name, isRight.get(name) === true || hashes.includes(hex(row, "genesis")));
  }
  const wrong = [...isRight].filter(([, right]) => !right);
  return wrong.map(([name]) => `folder ${name} has an epoch that its log does not begin with`);
}
