/**
 * TokenStore in one SQLite file, which the server and `synced token` open side by side. Rules: K2,
 * K4.
 */
import type { Access } from "../../core/access.ts";
import type { FolderName } from "../../core/identifier.ts";
import { DEVICES_PER_TOKEN_MAX } from "../../core/limits.ts";
import type { LinkStore } from "../../ports/link-store.ts";
import type {
  InviteRecord,
  TokenDevice,
  TokenId,
  TokenRecord,
  TokenStore,
} from "../../ports/token-store.ts";
import type { WebhookStore } from "../../ports/webhook-store.ts";
import { SqliteDatabase, type SqlRow } from "../sqlite/database.ts";
import { linksIn } from "./links.ts";
import { TOKEN_MIGRATIONS } from "./schema.ts";
import { webhooksIn } from "./webhooks.ts";

/** All that lies in this database: who may come in, by which link, and who is told of changes. */
export type AccessStore = TokenStore & LinkStore & WebhookStore;

/**
 * @param path a file, or ":memory:"
 * @throws {SyncedError} `data_newer` (nothing was written), `damage_found`, `data_not_writable`
 */
export function openSqliteTokenStore(path: string): AccessStore {
  const db = new SqliteDatabase(path, TOKEN_MIGRATIONS);
  return {
    ...linksIn(db),
    ...webhooksIn(db),
    isEmpty: () => db.row("SELECT 1 FROM tokens LIMIT 1") === undefined,
    add: async (record) => db.write("full", () => db.run(INSERT, ...valuesOf(record))) === 1,
    find(id) {
      const row = db.row("SELECT * FROM tokens WHERE id = ?", id);
      return row === undefined ? undefined : toRecord(row);
    },
    list: () => db.rows("SELECT * FROM tokens ORDER BY created_ms, id").map(toRecord),
    revoke: async (id, nowMs) => db.write("full", () => db.run(REVOKE, nowMs, id)) === 1,
    addInvite: async ({ digest, label, access, folders, createdMs, expiresMs }) =>
      db.write("full", () => {
        db.run("DELETE FROM invites WHERE expires_ms <= ?", createdMs);
        db.run(INVITE, digest, label, access, namesOf(folders), createdMs, expiresMs);
      }),
    takeInvite: async (digest, nowMs) =>
      db.write("full", () => {
        const row = db.row(
          "SELECT * FROM invites WHERE digest = ? AND expires_ms > ?",
          digest,
          nowMs,
        );
        if (row === undefined) return undefined;
        db.run("DELETE FROM invites WHERE digest = ?", digest);
        return toInvite(row);
      }),
    used: (id, nowMs) =>
      void db.write("normal", () =>
        db.run("UPDATE tokens SET used_ms = ? WHERE id = ?", nowMs, id),
      ),
    sawDevice: ({ token, folder, device, seenMs }) =>
      db.write("normal", () => {
        if (db.run(SEEN_AGAIN, seenMs, token, folder, device) > 0) return;
        db.run(SEEN_FIRST, token, folder, device, seenMs, DEVICES_PER_TOKEN_MAX);
      }),
    devices: () =>
      db.rows("SELECT * FROM token_devices ORDER BY token, folder, device").map(toDevice),
    close: () => db.close(),
  };
}

const INSERT = `INSERT INTO tokens
  (id, digest, label, access, folders, created_ms, expires_ms, revoked_ms, used_ms)
  VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`;
const INVITE = `INSERT INTO invites (digest, label, access, folders, created_ms, expires_ms)
  VALUES (?, ?, ?, ?, ?, ?)`;
const REVOKE = "UPDATE tokens SET revoked_ms = ? WHERE id = ? AND revoked_ms IS NULL";
const SEEN_AGAIN =
  "UPDATE token_devices SET seen_ms = ? WHERE token = ? AND folder = ? AND device = ?";
const SEEN_FIRST = `INSERT INTO token_devices (token, folder, device, seen_ms)
  SELECT ?1, ?2, ?3, ?4 WHERE (SELECT count(*) FROM token_devices WHERE token = ?1) < ?5`;

function valuesOf(record: TokenRecord) {
  const { id, digest, label, access, folders, createdMs } = record;
  const { expiresMs = null, revokedMs = null, usedMs = null } = record;
  return [id, digest, label, access, namesOf(folders), createdMs, expiresMs, revokedMs, usedMs];
}

/** A folder's name has no space. */
function namesOf(folders: TokenRecord["folders"]): string | null {
  return folders === "all" ? null : folders.join(" ");
}

/** The casts are true because the tables are STRICT and only this file writes them. */
function toRecord(row: SqlRow): TokenRecord {
  const time = (column: string, key: "expiresMs" | "revokedMs" | "usedMs") => {
    const value = row[column];
    return typeof value === "number" ? { [key]: value } : undefined;
  };
  return {
    id: row["id"] as TokenId,
    digest: row["digest"] as TokenRecord["digest"],
    ...toPromise(row),
    ...time("expires_ms", "expiresMs"),
    ...time("revoked_ms", "revokedMs"),
    ...time("used_ms", "usedMs"),
  };
}

function toPromise(row: SqlRow) {
  const names = row["folders"] as string | null;
  return {
    label: row["label"] as string,
    access: row["access"] as Access,
    folders: names === null ? "all" : (names.split(" ") as FolderName[]),
    createdMs: row["created_ms"] as number,
  } as const;
}

function toInvite(row: SqlRow): InviteRecord {
  return {
    ...toPromise(row),
    digest: row["digest"] as InviteRecord["digest"],
    expiresMs: row["expires_ms"] as number,
  };
}

function toDevice(row: SqlRow): TokenDevice {
  return {
    token: row["token"] as TokenId,
    folder: row["folder"] as FolderName,
    device: row["device"] as TokenDevice["device"],
    seenMs: row["seen_ms"] as number,
  };
}
