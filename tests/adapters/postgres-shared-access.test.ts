/** Tokens, links and orders of two servers on one PostgreSQL. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "bun:test";
import { PostgresPool } from "../../src/adapters/postgres-metadata/pool.ts";
import { RECORDS_UNLESS, SharedRecords } from "../../src/adapters/postgres-metadata/records.ts";
import {
  sharedLinks,
  sharedOrders,
  sharedTokens,
} from "../../src/adapters/postgres-metadata/shared-access.ts";
import { sharedWebhooks } from "../../src/adapters/postgres-metadata/shared-webhooks.ts";
import { systemRandom } from "../../src/adapters/runtime/random.ts";
import { type Digest, sha256 } from "../../src/core/digest.ts";
import { type DeviceId, type Epoch, type OrderId, ROOT_ID } from "../../src/core/identifier.ts";
import type { LinkId, LinkRecord } from "../../src/ports/link-store.ts";
import type { OrderPlace } from "../../src/ports/order-store.ts";
import type { InviteRecord, TokenId, TokenRecord } from "../../src/ports/token-store.ts";
import type { Webhook, WebhookId } from "../../src/ports/webhook-store.ts";
import { waitFor } from "../scenarios/lab.ts";
import { FOLDER, hexId } from "../server/server-world.ts";
import { type MetadataDatabase, startMetadataDatabase } from "./postgres-metadata.ts";

let database: MetadataDatabase;
let a: ReturnType<typeof openServer>;
let b: ReturnType<typeof openServer>;

beforeAll(async () => {
  database = await startMetadataDatabase();
}, 180_000);
afterAll(() => database.stop());
beforeEach(async () => {
  await (await database.emptyStore()).close();
  [a, b] = [openServer(), openServer()];
});
afterEach(() => {
  a.pool.close();
  b.pool.close();
});

function openServer() {
  const pool = new PostgresPool(database.server.url);
  const records = new SharedRecords(pool);
  const told: string[] = [];
  records.tellBy(() => told.push("told"));
  const [tokens, links, orders] = [
    sharedTokens(records),
    sharedLinks(records),
    sharedOrders(records),
  ];
  const webhooks = sharedWebhooks(pool, records, systemRandom.id<string>());
  return { pool, records, told, tokens, links, orders, webhooks };
}

function tokenOf(id: string, createdMs = 1000): TokenRecord {
  const label = "\u0000 of 'somebody'";
  const named = { id: id as TokenId, digest: sha256(id), label, createdMs };
  return { ...named, access: "write", folders: [FOLDER] };
}

test("a token is good at the other server once it looked, and revoked once [K2, K4, P15]", async () => {
  const [older, newer] = [tokenOf("bb"), tokenOf("aa", 2000)];
  expect(a.tokens.isEmpty()).toBe(true);
  expect(await a.tokens.add(newer)).toBe(true);
  expect(await a.tokens.add({ ...newer, label: "another" })).toBe(false);
  expect(a.told).toEqual(["told"]);
  expect(b.tokens.find(newer.id)).toBeUndefined();
  expect(await b.tokens.add(older)).toBe(true);
  expect(b.tokens.list()).toEqual([older, newer]);
  expect(await b.tokens.revoke(newer.id, 10)).toBe(true);
  expect(await a.tokens.revoke(newer.id, 20)).toBe(false);
  await a.tokens.refresh?.();
  expect(a.tokens.find(newer.id)).toEqual({ ...newer, revokedMs: 10 });
});

test("that a token was used does not take back that it was revoked [K4, P15]", async () => {
  const token = tokenOf("aa");
  await a.tokens.add(token);
  await b.tokens.refresh?.();
  await a.tokens.revoke(token.id, 10);
  b.tokens.used(token.id, 7);
  await waitFor("its use", async () => {
    await a.tokens.refresh?.(true);
    return a.tokens.find(token.id)?.usedMs === 7;
  });
  await b.tokens.refresh?.();
  for (const { tokens } of [a, b]) {
    expect(tokens.find(token.id)).toEqual({ ...token, usedMs: 7, revokedMs: 10 });
  }
});

test("an invitation is one token's, at whichever server it is shown [K12, P15]", async () => {
  const invite = (name: string, createdMs: number): InviteRecord => {
    const { label, access, folders } = tokenOf(name);
    return { label, access, folders, digest: sha256(name), createdMs, expiresMs: createdMs + 10 };
  };
  const [one, late, old] = [invite("one", 100), invite("late", 100), invite("old", 0)];
  for (const some of [old, one, late]) await a.tokens.addInvite(some);
  const takers = [a, b, a, b].map(({ tokens }) => tokens.takeInvite(one.digest, 105));
  expect((await Promise.all(takers)).filter((taken) => taken !== undefined)).toEqual([one]);
  expect(await b.tokens.takeInvite(late.digest, 110)).toBeUndefined();
  await a.records.refresh();
  expect(a.records.of("invite").size).toBe(0);
});

test("a look that finds nothing new reads no record [P15]", async () => {
  await a.tokens.add(tokenOf("aa"));
  const [{ version } = { version: -1 }] = await database.admin`
    SELECT version FROM synced.records_version`;
  const plan = `EXPLAIN (ANALYZE) ${RECORDS_UNLESS.replace("$1", String(version))}`;
  expect(JSON.stringify(await database.admin.unsafe(plan))).toContain("never executed");
});

test("a link is there for all, until one removes it [H40, P15]", async () => {
  const link: LinkRecord = {
    id: "aa" as LinkId,
    digest: sha256("link") satisfies Digest,
    folder: FOLDER,
    node: ROOT_ID,
    path: "",
    createdMs: 1,
    expiresMs: 2,
  };
  expect(await a.links.addLink(link)).toBe(true);
  await b.links.refresh?.();
  expect([b.links.findLink(link.id), b.links.links()]).toEqual([link, [link]]);
  expect([await b.links.removeLink(link.id), await a.links.removeLink(link.id)]).toEqual([
    true,
    false,
  ]);
  await a.links.refresh?.();
  expect(a.links.links()).toEqual([]);
});

test("one server at a time tells webhooks, and writes how far it told [W2, P17]", async () => {
  const [first, second] = [a.webhooks, b.webhooks];
  const id = "aa" as WebhookId;
  const common = { id, url: "http://receiver.test/", secret: "", filter: "any", createdMs: 1 };
  const webhook: Webhook = { ...common, folders: "all", isStopped: false };
  const cursor = (seq: number) => ({ webhook: id, epoch: hexId<Epoch>("e", 1), seq });
  await first.addWebhook(webhook, [cursor(1)]);
  expect([await first.turn?.take(), await second.turn?.take()]).toEqual([true, false]);
  expect(await first.setCursor({ ...cursor(2), sendingTo: 5 }, "full")).toBe(true);
  expect(await second.setCursor(cursor(9), "full")).toBe(false);
  expect(await second.cursor(id, cursor(0).epoch)).toEqual({ ...cursor(2), sendingTo: 5 });
  await database.admin`UPDATE synced.leases SET until = now() - interval '1 second'`;
  expect([await second.turn?.take(), await first.turn?.take()]).toEqual([true, false]);
  expect(await first.setCursor(cursor(5), "full")).toBe(false);
  await second.setState(id, { trouble: "it is away", failingSinceMs: 7, isStopped: false });
  await a.records.refresh();
  expect(first.webhooks()).toEqual([{ ...webhook, trouble: "it is away", failingSinceMs: 7 }]);
  expect([await first.removeWebhook(id), await second.removeWebhook(id)]).toEqual([true, false]);
  expect(await second.setCursor(cursor(5), "full")).toBe(false);
  expect(await second.cursor(id, cursor(0).epoch)).toBeUndefined();
  await second.turn?.leave();
  expect(await first.turn?.take()).toBe(true);
});

test("an order reaches whoever listens at the other server, and the last one counts [V9, P15]", async () => {
  const place: OrderPlace = { epoch: hexId<Epoch>("e", 1), device: hexId<DeviceId>("d", 1) };
  const heard: OrderPlace[] = [];
  b.orders.watch?.((one) => heard.push(one));
  const [first, last] = [hexId<OrderId>("f", 1), hexId<OrderId>("f", 2)];
  await a.orders.give(place, { id: first, order: { kind: "pause" }, givenMs: 100, sinceMs: 0 });
  await b.records.refresh();
  expect(heard).toEqual([place]);
  expect(b.orders.waiting(place.epoch, 0)).toEqual([
    {
      device: place.device,
      id: first,
      time: "1970-01-01T00:00:00.100Z",
      order: { kind: "pause" },
    },
  ]);
  await a.orders.give(place, { id: last, order: { kind: "resume" }, givenMs: 200, sinceMs: 0 });
  // It did the first, and does not know of the last.
  await b.orders.done(place, first);
  await b.records.refresh();
  expect(b.orders.waiting(place.epoch, 0).map(({ id }) => id)).toEqual([last]);
  await b.orders.done(place, last);
  await a.records.refresh();
  expect(a.orders.waiting(place.epoch, 0)).toEqual([]);
});
