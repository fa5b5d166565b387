/**
 * Tokens, invitations, links and orders of servers that share PostgreSQL. Rules: K2, K4, K12, H40,
 * V9, P15. No record of a token or link is ever changed: that it was revoked, or used, is a record
 * of its own. So no write undoes another server's.
 */
import { subjectOf } from "../../core/device-order.ts";
import { ORDERS_PER_FOLDER_MAX } from "../../core/limits.ts";
import { formatTime } from "../../core/time.ts";
import type { LinkRecord, LinkStore } from "../../ports/link-store.ts";
import type { NewOrder, OrderPlace, OrderStore, WaitingOrder } from "../../ports/order-store.ts";
import type { InviteRecord, TokenId, TokenRecord, TokenStore } from "../../ports/token-store.ts";
import type { Records, SharedRecords } from "./records.ts";

/** Which device used a token is told beside a data directory only. */
export type SharedTokens = Omit<TokenStore, "sawDevice" | "devices" | "close">;

interface KeptOrder extends OrderPlace, Pick<NewOrder, "id" | "order" | "givenMs"> {
  /** Of its record. */
  readonly row: string;
  readonly body: string;
}

export function sharedTokens(records: SharedRecords): SharedTokens {
  let tokens = new Map<TokenId, TokenRecord>();
  records.watch(() => {
    const timeOf = (kind: "revoked" | "used", id: string) => Number(records.of(kind).get(id));
    const read = (body: string): TokenRecord => {
      const record = JSON.parse(body) as TokenRecord;
      const [revokedMs, usedMs] = [timeOf("revoked", record.id), timeOf("used", record.id)];
      return {
        ...record,
        ...(Number.isNaN(revokedMs) ? undefined : { revokedMs }),
        ...(Number.isNaN(usedMs) ? undefined : { usedMs }),
      };
    };
    tokens = new Map(bodiesOf(records.of("token"), read).map((one) => [one.id, one]));
  });
  return {
    refresh: (isWhole) => records.refresh(isWhole),
    isEmpty: () => tokens.size === 0,
    add: (record) => records.add("token", record.id, JSON.stringify(record)),
    find: (id) => tokens.get(id),
    list: () => inOrder([...tokens.values()]),
    revoke: async (id, nowMs) => await records.add("revoked", id, String(nowMs)),
    async addInvite(record) {
      for (const { digest, expiresMs } of bodiesOf(records.of("invite"), readInvite)) {
        if (expiresMs <= record.createdMs) await records.remove("invite", digest);
      }
      await records.add("invite", record.digest, JSON.stringify(record));
    },
    async takeInvite(digest, nowMs) {
      const body = await records.remove("invite", digest);
      const invite = body === undefined ? undefined : readInvite(body);
      return invite !== undefined && invite.expiresMs > nowMs ? invite : undefined;
    },
    used(id, nowMs) {
      const known = tokens.get(id);
      if (known !== undefined) tokens.set(id, { ...known, usedMs: nowMs });
      // A list may miss it.
      records.note("used", id, String(nowMs)).catch(() => undefined);
    },
  };
}

export function sharedLinks(records: SharedRecords): LinkStore {
  let links = new Map<string, LinkRecord>();
  records.watch(() => {
    const read = (body: string) => JSON.parse(body) as LinkRecord;
    links = new Map(bodiesOf(records.of("link"), read).map((one) => [one.id, one]));
  });
  return {
    refresh: () => records.refresh(),
    addLink: (record) => records.add("link", record.id, JSON.stringify(record)),
    findLink: (id) => links.get(id),
    links: () => inOrder([...links.values()]),
    removeLink: async (id) => (await records.remove("link", id)) !== undefined,
  };
}

export function sharedOrders(records: SharedRecords): OrderStore {
  let orders: readonly KeptOrder[] = [];
  const hearers = new Set<(place: OrderPlace) => void>();
  records.watch(() => {
    const before = new Set(orders.map(({ body }) => body));
    orders = [...records.of("order")].map(([row, body]) => ({ ...JSON.parse(body), row, body }));
    for (const { epoch, device, body } of orders) {
      if (before.has(body)) continue;
      for (const hear of hearers) hear({ epoch, device });
    }
  });
  const drop = async (some: readonly KeptOrder[]) => {
    // One that took its place meanwhile stays.
    for (const { row, body } of some) await records.remove("order", row, body);
  };
  return {
    watch: (listener) => void hearers.add(listener),
    async give({ epoch, device }, { id, order, givenMs, sinceMs }) {
      await drop(orders.filter((one) => one.givenMs < sinceMs));
      const row = `${epoch} ${device} ${subjectOf(order)}`;
      const others = orders.filter((one) => one.epoch === epoch && one.row !== row);
      if (others.length >= ORDERS_PER_FOLDER_MAX) return false;
      await records.put("order", row, JSON.stringify({ epoch, device, id, order, givenMs }));
      return true;
    },
    waiting: (epoch, sinceMs) =>
      orders
        .filter((one) => one.epoch === epoch && one.givenMs >= sinceMs)
        .toSorted((a, b) => compare(a.device, b.device) || a.givenMs - b.givenMs)
        .map(toWaiting),
    async done(place, id) {
      const isMeant = (one: KeptOrder) =>
        one.id === id && one.epoch === place.epoch && one.device === place.device;
      if (!orders.some(isMeant)) await records.refresh();
      await drop(orders.filter(isMeant));
    },
    close: () => undefined,
  };
}

function bodiesOf<Item>(records: Records, read: (body: string) => Item): Item[] {
  return [...records.values()].map(read);
}

function readInvite(body: string): InviteRecord {
  return JSON.parse(body) as InviteRecord;
}

function toWaiting({ device, id, order, givenMs }: KeptOrder): WaitingOrder {
  return { device, id, time: formatTime(givenMs), order };
}

function inOrder<Item extends { readonly createdMs: number; readonly id: string }>(
  items: readonly Item[],
): readonly Item[] {
  return items.toSorted((a, b) => a.createdMs - b.createdMs || compare(a.id, b.id));
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
