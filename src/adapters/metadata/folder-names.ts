/**
 * Lists, renames and deletes folders in the tables of SqliteMetadataStore. Rules: U5, U6.
 *
 * A name that a folder once had is never given to another one: its devices would take that for
 * their own folder.
 */
import { DatabaseSync } from "node:sqlite";
import { SyncedError } from "../../core/error.ts";
import type { FolderName } from "../../core/identifier.ts";
import type { Sequence } from "../../core/node.ts";
import { SqliteDatabase } from "../sqlite/database.ts";
import { integer, text } from "./rows.ts";
import { METADATA_MIGRATIONS } from "./schema.ts";

export interface ListedFolder {
  readonly name: FolderName;
  readonly head: Sequence;
  readonly files: number;
  /** Of the files that are there now. */
  readonly bytes: number;
  /** Of all chunks and manifests that the folder knows, for all versions. */
  readonly storedBytes: number;
  readonly devices: number;
}

const LIST = `
SELECT name,
  (SELECT coalesce(max(seq), 0) FROM events WHERE folder = f.id) AS head,
  (SELECT count(*) FROM nodes WHERE folder = f.id AND deleted = 0 AND size IS NOT NULL) AS files,
  (SELECT coalesce(sum(size), 0) FROM nodes WHERE folder = f.id AND deleted = 0) AS bytes,
  (SELECT coalesce(sum(size), 0) FROM folder_objects WHERE folder = f.id AND depth = 0) AS stored,
  (SELECT count(*) FROM devices WHERE folder = f.id) AS devices
FROM folders AS f ORDER BY name`;

/** Everything that belongs to a folder, what is referred to last. */
const TABLES = ["nodes", "events", "folder_objects", "devices"];

/**
 * Reads beside a running server, and writes nothing.
 *
 * @param path `metadata.db` of a data directory
 */
export function listFolders(path: string): readonly ListedFolder[] {
  const database = new DatabaseSync(path, { readOnly: true });
  try {
    return database
      .prepare(LIST)
      .all()
      .map((row) => ({
        name: text(row, "name"),
        head: integer(row, "head"),
        files: integer(row, "files"),
        bytes: integer(row, "bytes"),
        storedBytes: integer(row, "stored"),
        devices: integer(row, "devices"),
      }));
  } finally {
    database.close();
  }
}

/**
 * Deletes all that is known of a folder. Its objects are garbage then. Durable when it returns.
 *
 * @param path `metadata.db` of a data directory on which no server runs
 * @throws {SyncedError} `folder_not_found`, `folder_gone`
 */
export function deleteFolder(path: string, name: FolderName): void {
  change(path, (database) => {
    const folder = folderRow(database, name);
    for (const table of TABLES) database.run(`DELETE FROM ${table} WHERE folder = ?`, folder);
    database.run("UPDATE former_names SET folder = NULL WHERE folder = ?", folder);
    database.run("DELETE FROM folders WHERE id = ?", folder);
    database.run("INSERT INTO former_names VALUES (?, NULL)", name);
  });
}

/**
 * Durable when it returns. The devices go on under the former name.
 *
 * @throws {SyncedError} `folder_not_found`, `folder_gone`; `name_taken` if a folder has or once had
 * the new name
 */
export function renameFolder(path: string, names: { from: FolderName; to: FolderName }): void {
  change(path, (database) => {
    const { from, to } = names;
    const folder = folderRow(database, from);
    // Its own former name it may have again.
    database.run("DELETE FROM former_names WHERE name = ? AND folder = ?", to, folder);
    const taken = `
      SELECT 1 FROM folders WHERE name = ? UNION SELECT 1 FROM former_names WHERE name = ?`;
    if (database.row(taken, to, to) !== undefined) {
      const claim = "a folder has that name, or once had it; choose another";
      throw new SyncedError("name_taken", `Cannot rename folder "${from}" to "${to}": ${claim}`);
    }
    database.run("UPDATE folders SET name = ? WHERE id = ?", to, folder);
    database.run("INSERT INTO former_names VALUES (?, ?)", from, folder);
  });
}

/** The names that folders once had, with the present one; undefined for deleted folders. */
export function formerNames(
  database: SqliteDatabase,
): ReadonlyMap<FolderName, FolderName | undefined> {
  const sql = `
    SELECT former_names.name AS former, folders.name AS name
    FROM former_names LEFT JOIN folders ON folders.id = former_names.folder`;
  return new Map(
    database.rows(sql).map((row) => {
      const present = row["name"] === null ? undefined : text<FolderName>(row, "name");
      return [text<FolderName>(row, "former"), present];
    }),
  );
}

export function folderGone(name: FolderName): SyncedError {
  const claim = "it was deleted on the server; its name is not used again";
  return new SyncedError("folder_gone", `Cannot use folder "${name}": ${claim}`);
}

function change(path: string, work: (database: SqliteDatabase) => void): void {
  const database = new SqliteDatabase(path, METADATA_MIGRATIONS);
  try {
    database.write("full", () => work(database));
  } finally {
    database.close();
  }
}

function folderRow(database: SqliteDatabase, name: FolderName): number {
  const row = database.row("SELECT id FROM folders WHERE name = ?", name);
  if (row !== undefined) return integer(row, "id");
  if (formerNames(database).has(name)) throw folderGone(name);
  throw new SyncedError("folder_not_found", `Cannot find folder "${name}"`);
}
