/** OrderStore in one SQLite file. Rules: V9. */
import { type DeviceOrder, subjectOf } from "../../core/device-order.ts";
import type { DeviceId, OrderId } from "../../core/identifier.ts";
import { ORDERS_PER_FOLDER_MAX } from "../../core/limits.ts";
import type { OrderStore, WaitingOrder } from "../../ports/order-store.ts";
import { SqliteDatabase, type SqlRow } from "../sqlite/database.ts";

/** Entry n brings a database from version n to n + 1. Released entries are never edited. */
const MIGRATIONS = [
  `
CREATE TABLE orders (
  epoch TEXT NOT NULL,
  device TEXT NOT NULL,
  subject TEXT NOT NULL CHECK (subject IN ('work', 'held')),
  id TEXT NOT NULL,
  given_ms INTEGER NOT NULL,
  body TEXT NOT NULL,
  PRIMARY KEY (epoch, device, subject)
) STRICT, WITHOUT ROWID;
`,
];

/**
 * @param path a file, or ":memory:"
 * @throws {SyncedError} `data_newer` (nothing was written), `damage_found`, `data_not_writable`
 */
export function openSqliteOrderStore(path: string): OrderStore {
  const db = new SqliteDatabase(path, MIGRATIONS);
  return {
    give: async ({ epoch, device }, { id, order, givenMs, sinceMs }) =>
      db.write("full", () => {
        db.run("DELETE FROM orders WHERE given_ms < ?", sinceMs);
        db.run(
          "DELETE FROM orders WHERE epoch = ? AND device = ? AND subject = ?",
          epoch,
          device,
          subjectOf(order),
        );
        return (
          db.run(
            GIVE,
            epoch,
            device,
            subjectOf(order),
            id,
            givenMs,
            JSON.stringify(order),
            ORDERS_PER_FOLDER_MAX,
          ) === 1
        );
      }),
    waiting: (epoch, sinceMs) =>
      db
        .rows(
          "SELECT * FROM orders WHERE epoch = ? AND given_ms >= ? ORDER BY device, given_ms",
          epoch,
          sinceMs,
        )
        .map(toOrder),
    done: async ({ epoch, device }, id) =>
      void db.write("full", () =>
        db.run("DELETE FROM orders WHERE epoch = ? AND device = ? AND id = ?", epoch, device, id),
      ),
    close: () => db.close(),
  };
}

const GIVE = `INSERT INTO orders (epoch, device, subject, id, given_ms, body)
  SELECT ?1, ?2, ?3, ?4, ?5, ?6 WHERE (SELECT count(*) FROM orders WHERE epoch = ?1) < ?7`;

/** The casts are true because the table is STRICT and only this file writes it. */
function toOrder(row: SqlRow): WaitingOrder {
  return {
    device: row["device"] as DeviceId,
    id: row["id"] as OrderId,
    time: new Date(row["given_ms"] as number).toISOString(),
    order: JSON.parse(row["body"] as string) as DeviceOrder,
  };
}
