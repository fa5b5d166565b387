/** LinkStore in the database of tokens. Rules: H40. */
import type { LinkId, LinkRecord, LinkStore } from "../../ports/link-store.ts";
import type { TokenId } from "../../ports/token-store.ts";
import type { SqliteDatabase, SqlRow } from "../sqlite/database.ts";

export function linksIn(db: SqliteDatabase): LinkStore {
  return {
    addLink: async (record) => db.write("full", () => db.run(INSERT, ...valuesOf(record))) === 1,
    findLink(id) {
      const row = db.row("SELECT * FROM links WHERE id = ?", id);
      return row === undefined ? undefined : toLink(row);
    },
    links: () => db.rows("SELECT * FROM links ORDER BY created_ms, id").map(toLink),
    removeLink: async (id) =>
      db.write("full", () => db.run("DELETE FROM links WHERE id = ?", id)) === 1,
  };
}

const INSERT = `INSERT INTO links
  (id, digest, folder, node, path, at, password, token, created_ms, expires_ms)
  VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`;

function valuesOf(record: LinkRecord) {
  const { id, digest, folder, node, path, createdMs, expiresMs } = record;
  const { at = null, password = null, token = null } = record;
  return [id, digest, folder, node, path, at, password, token, createdMs, expiresMs];
}

/** The casts are true because the table is STRICT and only this file writes it. */
function toLink(row: SqlRow): LinkRecord {
  const { at, password, token } = row;
  return {
    id: row["id"] as LinkId,
    digest: row["digest"] as LinkRecord["digest"],
    folder: row["folder"] as LinkRecord["folder"],
    node: row["node"] as LinkRecord["node"],
    path: row["path"] as string,
    ...(typeof at === "number" ? { at } : undefined),
    ...(typeof password === "string" ? { password } : undefined),
    ...(typeof token === "string" ? { token: token as TokenId } : undefined),
    createdMs: row["created_ms"] as number,
    expiresMs: row["expires_ms"] as number,
  };
}
