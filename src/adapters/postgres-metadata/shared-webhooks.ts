/**
 * Webhooks of servers that share PostgreSQL. Rules: W1-W4, P17. One of the servers tells: the one
 * that holds the lease. How far it told is no record that others hold in memory; it is read and
 * written where it lies, and only by who holds the lease.
 */
import type { Epoch } from "../../core/identifier.ts";
import type {
  Webhook,
  WebhookCursor,
  WebhookId,
  WebhookState,
  WebhookStore,
} from "../../ports/webhook-store.ts";
import { text } from "../metadata/rows.ts";
import type { PostgresPool } from "./pool.ts";
import type { SharedRecords } from "./records.ts";

/** $1: who asks. By PostgreSQL's clock alone. */
const TAKE = `
INSERT INTO synced.leases AS l (name, holder, until)
VALUES ('webhooks', $1, now() + interval '15 seconds')
ON CONFLICT (name) DO UPDATE SET holder = $1, until = excluded.until
WHERE l.holder = $1 OR l.until < now() RETURNING holder`;
const LEAVE = "DELETE FROM synced.leases WHERE name = 'webhooks' AND holder = $1";

const CURSOR = "SELECT body FROM synced.webhook_cursors WHERE webhook = $1 AND epoch = $2";
const INSERT = "INSERT INTO synced.webhook_cursors (webhook, epoch, body)";
const BEGIN = `${INSERT} VALUES ($1, $2, $3)`;
/** $4: who holds the lease. */
const PUT = `${INSERT} SELECT $1, $2, $3 FROM synced.records, synced.leases
WHERE kind = 'webhook' AND id = $1 AND leases.name = 'webhooks' AND holder = $4
ON CONFLICT (webhook, epoch) DO UPDATE SET body = $3 RETURNING body`;
const REMOVE = "DELETE FROM synced.webhook_cursors WHERE webhook = $1";

/** @param holder another one for each server */
export function sharedWebhooks(
  pool: PostgresPool,
  records: SharedRecords,
  holder: string,
): WebhookStore {
  let webhooks: readonly Webhook[] = [];
  records.watch(() => {
    const states = records.of("webhook_state");
    webhooks = [...records.of("webhook")]
      .map(([id, body]) => toWebhook(body, states.get(id)))
      .toSorted((a, b) => a.createdMs - b.createdMs || (a.id < b.id ? -1 : 1));
  });
  const values = ({ webhook, epoch, ...rest }: WebhookCursor) =>
    [webhook, epoch, JSON.stringify(rest)] as const;
  return {
    async addWebhook(webhook, cursors) {
      // First, since a log without a cursor is told from its beginning.
      for (const cursor of cursors) await pool.write(BEGIN, ...values(cursor));
      await records.add("webhook", webhook.id, JSON.stringify(webhook));
    },
    webhooks: () => webhooks,
    async removeWebhook(id: WebhookId) {
      const isRemoved = (await records.remove("webhook", id)) !== undefined;
      await records.remove("webhook_state", id);
      await pool.write(REMOVE, id);
      return isRemoved;
    },
    async cursor(webhook: WebhookId, epoch: Epoch) {
      const [row] = await pool.read(CURSOR, webhook, epoch);
      if (row === undefined) return undefined;
      const rest = JSON.parse(text(row, "body")) as Omit<WebhookCursor, "webhook" | "epoch">;
      return { webhook, epoch, ...rest };
    },
    async setCursor(cursor) {
      return (await pool.write(PUT, ...values(cursor), holder)).length > 0;
    },
    setState: async (id, state) => await records.put("webhook_state", id, JSON.stringify(state)),
    turn: {
      take: async () => (await pool.write(TAKE, holder)).length > 0,
      leave: async () => void (await pool.write(LEAVE, holder)),
    },
  };
}

function toWebhook(body: string, state: string | undefined): Webhook {
  const webhook = JSON.parse(body) as Webhook;
  return state === undefined ? webhook : { ...webhook, ...(JSON.parse(state) as WebhookState) };
}
