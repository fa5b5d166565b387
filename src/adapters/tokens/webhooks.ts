/** WebhookStore in the database of tokens. Rules: W1-W4. */
import type { Epoch, FolderName } from "../../core/identifier.ts";
import type { Webhook, WebhookCursor, WebhookId, WebhookStore } from "../../ports/webhook-store.ts";
import type { SqliteDatabase, SqlRow } from "../sqlite/database.ts";

export function webhooksIn(db: SqliteDatabase): WebhookStore {
  const put = ({ webhook, epoch, seq, sendingTo }: WebhookCursor) =>
    db.run(CURSOR, webhook, epoch, seq, sendingTo ?? null);
  return {
    addWebhook: async (webhook, cursors) =>
      db.write("full", () => {
        const { id, url, secret, filter, folders, createdMs } = webhook;
        const names = folders === "all" ? null : folders.join(" ");
        db.run(INSERT, id, url, secret, filter, names, createdMs);
        for (const cursor of cursors) put(cursor);
      }),
    webhooks: () => db.rows("SELECT * FROM webhooks ORDER BY created_ms, id").map(toWebhook),
    removeWebhook: async (id) =>
      db.write("full", () => {
        db.run("DELETE FROM webhook_cursors WHERE webhook = ?", id);
        return db.run("DELETE FROM webhooks WHERE id = ?", id) === 1;
      }),
    async cursor(webhook, epoch) {
      const sql = "SELECT * FROM webhook_cursors WHERE webhook = ? AND epoch = ?";
      const row = db.row(sql, webhook, epoch);
      return row === undefined ? undefined : toCursor(row);
    },
    setCursor: async (cursor, barrier) =>
      db.write(barrier, () => {
        const isThere = db.row("SELECT 1 FROM webhooks WHERE id = ?", cursor.webhook);
        if (isThere !== undefined) put(cursor);
        return isThere !== undefined;
      }),
    setState: async (id, { failingSinceMs = null, trouble = null, isStopped }) =>
      void db.write("normal", () => db.run(STATE, failingSinceMs, trouble, isStopped ? 1 : 0, id)),
  };
}

const INSERT = `INSERT INTO webhooks (id, url, secret, filter, folders, created_ms, stopped)
  VALUES (?, ?, ?, ?, ?, ?, 0)`;
const CURSOR = `INSERT INTO webhook_cursors (webhook, epoch, seq, sending_to)
  VALUES (?1, ?2, ?3, ?4)
  ON CONFLICT DO UPDATE SET seq = ?3, sending_to = ?4`;
const STATE = "UPDATE webhooks SET failing_since_ms = ?, trouble = ?, stopped = ? WHERE id = ?";

/** The casts are true because the tables are STRICT and only this file writes them. */
function toWebhook(row: SqlRow): Webhook {
  const { failing_since_ms: since, trouble, folders } = row;
  return {
    id: row["id"] as WebhookId,
    url: row["url"] as string,
    secret: row["secret"] as string,
    filter: row["filter"] as string,
    folders: typeof folders === "string" ? (folders.split(" ") as FolderName[]) : "all",
    createdMs: row["created_ms"] as number,
    ...(typeof since === "number" ? { failingSinceMs: since } : undefined),
    ...(typeof trouble === "string" ? { trouble } : undefined),
    isStopped: row["stopped"] === 1,
  };
}

function toCursor(row: SqlRow): WebhookCursor {
  const { sending_to: sendingTo } = row;
  return {
    webhook: row["webhook"] as WebhookId,
    epoch: row["epoch"] as Epoch,
    seq: row["seq"] as number,
    ...(typeof sendingTo === "number" ? { sendingTo } : undefined),
  };
}
