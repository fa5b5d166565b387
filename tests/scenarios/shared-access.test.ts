/**
 * Tokens, links, orders and more at two servers of the same data: made at one, used at the other.
 * Rules: P11, P15-P17, W2, K4, K7, H40, V9, O14.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { chmodSync, writeFileSync } from "node:fs";
import { BUCKET_KEY, SmallBucket } from "../adapters/bucket.ts";
import { type PostgresServer, startPostgres } from "../adapters/postgres-server.ts";
import { ensureBinary, runSynced, Scratch } from "./binary.ts";
import { Lab, waitFor } from "./lab.ts";

const ADMIN = "a-token-that-nobody-guesses-0123456789";
const DEVICE = "d".repeat(32);

const scratch = new Scratch();
let database: PostgresServer;
let bucket: SmallBucket;
let a: Lab;
let b: Lab;

beforeAll(async () => {
  await ensureBinary();
  // Run by root, PostgreSQL is another user who must come in here.
  chmodSync(scratch.path, 0o711);
  database = await startPostgres({ dataDir: scratch.join("postgres") });
  bucket = new SmallBucket();
  writeFileSync(scratch.join("token"), ADMIN);
  const env = {
    SYNCED_METADATA_URL: database.url,
    SYNCED_BUCKET_URL: bucket.url,
    SYNCED_BUCKET_KEY: `${BUCKET_KEY.id}:${BUCKET_KEY.secret}`,
    SYNCED_SHARED: "1",
    SYNCED_TOKEN_FILE: scratch.join("token"),
    SYNCED_QUOTA: "1MiB",
  };
  [a, b] = [new Lab({ env }), new Lab({ env })];
  await a.startServer();
  await b.startServer();
  await ask(a, "PUT", "/v1/folders/default", {});
}, 180_000);
afterAll(async () => {
  await a.close();
  await b.close();
  await bucket.stop();
  await database.stop();
  scratch.remove();
});

interface Asked {
  readonly token?: string;
  readonly json?: unknown;
  readonly body?: string | Uint8Array<ArrayBuffer>;
  readonly headers?: Readonly<Record<string, string>>;
}

function ask(lab: Lab, method: string, path: string, asked: Asked = {}): Promise<Response> {
  const { token = ADMIN, json, headers = {} } = asked;
  const body = json === undefined ? asked.body : JSON.stringify(json);
  const type = json === undefined ? undefined : { "content-type": "application/json" };
  return fetch(`${lab.url}${path}`, {
    method,
    headers: { authorization: `Bearer ${token}`, ...type, ...headers },
    ...(body === undefined ? undefined : { body }),
  });
}

async function made(lab: Lab): Promise<{ readonly id: string; readonly token: string }> {
  const json = { label: "laptop", access: "write", folders: ["default"] };
  const answer = await ask(lab, "POST", "/v1/tokens", { json });
  expect(answer.status).toBe(201);
  return await answer.json();
}

const FOLDER = "/v1/folders/default";

test("a token is good at all servers at once, and revoked at one it ends at all [K4, P15]", async () => {
  const { id, token } = await made(a);
  expect((await ask(b, "GET", FOLDER, { token })).status).toBe(200);
  const stream = await ask(b, "GET", `${FOLDER}/events?after=0`, {
    token,
    headers: { accept: "text/event-stream" },
  });
  expect(stream.status).toBe(200);
  const ended = stream.text();
  expect((await ask(a, "DELETE", `/v1/tokens/${id}`)).status).toBe(204);
  expect((await ask(a, "GET", FOLDER, { token })).status).toBe(401);
  await waitFor("its refusal by the other", async () => {
    const answer = await ask(b, "GET", FOLDER, { token });
    return answer.status === 401 && (await answer.json()).code === "token_revoked";
  });
  await ended;
  const { tokens } = await (await ask(b, "GET", "/v1/tokens")).json();
  expect(tokens).toMatchObject([{ id, revoked: expect.any(String) }]);
}, 60_000);

test("commands make tokens and invitations for all servers, from one's directory [K12, P15]", async () => {
  const run = async (...args: readonly string[]) => {
    const ended = await runSynced([...args, "--data", a.data, "--metadata-url", database.url]);
    expect(ended.exitCode).toBe(0);
    return ended.stdout.trim();
  };
  const token = await run("token", "create", "--label", "by command", "--access", "read");
  expect((await ask(b, "GET", FOLDER, { token })).status).toBe(200);
  const [, id = ""] = /^sy-([0-9a-f]{16})/.exec(token) ?? [];
  await run("token", "revoke", id);
  await waitFor("its refusal", async () => (await ask(b, "GET", FOLDER, { token })).status === 401);
  expect(await run("token", "list", "--json")).toContain(id);
  const code = await run("invite", "--server", b.url);
  const path = scratch.join("invited");
  const joined = await runSynced(["sync", path, "--invite", code, "--once"]);
  expect([joined.stderr, joined.exitCode]).toEqual([expect.any(String), 0]);
}, 60_000);

test("a link, and a ticket, are good at all servers, until one revokes it [H40, K7, P15]", async () => {
  await ask(a, "PUT", `${FOLDER}/files?path=shown`, { body: "bytes" });
  const json = { path: "shown", lifeMs: 3_600_000 };
  const { id, address } = await (await ask(a, "POST", `${FOLDER}/links`, { json })).json();
  expect(await (await fetch(`${b.url}${address}`)).text()).toBe("bytes");
  expect((await ask(b, "DELETE", `${FOLDER}/links/${id}`)).status).toBe(204);
  await waitFor("its end", async () => (await fetch(`${a.url}${address}`)).status === 404);
  const { ticket } = await (await ask(a, "POST", `${FOLDER}/tickets`, {})).json();
  const shown = await fetch(`${b.url}${FOLDER}/files?path=shown&ticket=${ticket}`);
  expect(await shown.text()).toBe("bytes");
}, 60_000);

test("an order reaches a device that listens at another server [V9, P15]", async () => {
  const { epoch, head, hash } = await (await ask(b, "GET", FOLDER)).json();
  const orders = `${FOLDER}/devices/${DEVICE}/orders`;
  const report = { name: "phone", applied: { epoch, seq: head, hash } };
  const stream = await ask(b, "GET", `${FOLDER}/events?after=${head}&device=${DEVICE}&orders=1`, {
    headers: { accept: "text/event-stream" },
  });
  const reader = stream.body?.getReader();
  const json = { kind: "pause" };
  expect((await ask(a, "PUT", `${orders}/${"1".repeat(32)}`, { json })).status).toBe(204);
  let text = "";
  while (!text.includes("order")) {
    text += new TextDecoder().decode((await reader?.read())?.value);
  }
  await reader?.cancel();
  expect(await (await ask(b, "GET", orders)).json()).toMatchObject({ orders: [{ order: json }] });
  expect((await ask(b, "PUT", `${FOLDER}/devices/${DEVICE}`, { json: report })).status).toBe(204);
  const { devices } = await (await ask(a, "GET", `${FOLDER}/devices`)).json();
  const phone = devices.filter(({ device }: { device: string }) => device === DEVICE);
  expect(phone).toMatchObject([{ device: DEVICE, name: "phone", orders: [{ order: json }] }]);
  await ask(b, "DELETE", `${orders}/${"1".repeat(32)}`);
  await waitFor("that it is done", async () => {
    return (await (await ask(a, "GET", orders)).json()).orders.length === 0;
  });
}, 60_000);

test("a plan that one server showed is done by another [E10, P11]", async () => {
  await ask(a, "PUT", `${FOLDER}/files?path=unwanted`, { body: "bytes" });
  const { entries } = await (await ask(a, "GET", `${FOLDER}/index`)).json();
  const { id: node } = entries.find(({ path }: { path: string }) => path === "unwanted");
  const request = { kind: "delete", ids: [node] };
  const { id, head } = await (await ask(a, "POST", `${FOLDER}/plans`, { json: request })).json();
  const json = { request, head, device: DEVICE };
  const done = await ask(b, "PUT", `${FOLDER}/plans/${id}`, { json });
  expect([done.status, await done.json()]).toMatchObject([200, { done: 1 }]);
  expect((await ask(a, "GET", `${FOLDER}/files?path=unwanted`)).status).toBe(404);
}, 60_000);

test("a webhook is told once of what all servers take, whichever of them dies [W2, P17]", async () => {
  /** By message id: a kill may send one twice, under the same id. */
  const told = new Map<string, readonly number[]>();
  let count = 0;
  const receiver = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    async fetch(request) {
      const { data } = await request.json();
      const seqs = (data.events ?? []).map(({ seq }: { seq: number }) => seq);
      told.set(request.headers.get("webhook-id") ?? "", seqs);
      count += 1;
      return new Response("");
    },
  });
  const run = async (...args: readonly string[]) => {
    const place = ["--data", a.data, "--metadata-url", database.url, "--json"];
    const ended = await runSynced(["webhook", ...args, ...place]);
    expect([ended.stderr, ended.exitCode]).toEqual([expect.any(String), 0]);
    return ended.stdout;
  };
  const headOf = async (lab: Lab) => Number((await (await ask(lab, "GET", FOLDER)).json()).head);
  const first = await headOf(a);
  const { id } = JSON.parse(await run("add", `http://127.0.0.1:${receiver.port}/hook`));
  const put = async (lab: Lab, name: string) => {
    expect((await ask(lab, "PUT", `${FOLDER}/files?path=${name}`, { body: name })).ok).toBe(true);
  };
  const areTold = async (lab: Lab) => {
    const head = await headOf(lab);
    await waitFor("all that was told", () => [...told.values()].flat().length >= head - first);
    const wanted = Array.from({ length: head - first }, (_, index) => first + 1 + index);
    expect([...told.values()].flat()).toEqual(wanted);
  };
  await Promise.all(
    [a, b].map(async (lab) => {
      for (let file = 0; file < 15; file += 1) await put(lab, `told-${lab.url.length}-${file}`);
    }),
  );
  await areTold(a);
  expect(count).toBe(told.size);
  for (const [killed, other] of [
    [a, b],
    [b, a],
  ] as const) {
    await killed.stopServer("SIGKILL");
    for (let file = 0; file < 3; file += 1) await put(other, `told-after-${file}`);
    await areTold(other);
    await killed.startServer();
  }
  expect(await run("list")).toContain('"behind":0');
  await run("remove", id);
  await put(a, "untold");
  await Bun.sleep(3_000);
  expect([...told.values()].flat()).not.toContain(await headOf(a));
  await receiver.stop(true);
}, 180_000);

test("a quota holds for what all servers take together [O14, V3]", async () => {
  const put = async (lab: Lab, name: string) => {
    const body = crypto.getRandomValues(new Uint8Array(40_000));
    return (await ask(lab, "PUT", `${FOLDER}/files?path=${name}`, { body })).status;
  };
  const usageAt = async (lab: Lab) => await (await ask(lab, "GET", `${FOLDER}/usage`)).json();
  const { bytes: before } = await usageAt(a);
  const fitting = Math.floor((1_048_576 - before) / 40_000);
  const statuses = [];
  for (let count = 0; count < 30; count += 1) {
    statuses.push(...(await Promise.all([put(a, `of-a-${count}`), put(b, `of-b-${count}`)])));
  }
  expect(statuses.filter((status) => status === 201)).toHaveLength(fitting);
  for (const lab of [a, b]) {
    const bytes = before + fitting * 40_000;
    expect(await usageAt(lab)).toMatchObject({ bytes, quotaBytes: 1_048_576 });
  }
}, 120_000);

test("wrong tokens are counted by each server for itself [H2, P16]", async () => {
  const guess = async (lab: Lab) =>
    (await ask(lab, "GET", FOLDER, { token: "a-wrong-one" })).status;
  await waitFor("its refusal", async () => (await guess(a)) === 429);
  expect((await ask(a, "GET", FOLDER)).status).toBe(429);
  expect((await ask(b, "GET", FOLDER)).status).toBe(200);
  expect((await ask(a, "GET", FOLDER, { token: (await made(b)).token })).status).toBe(200);
}, 60_000);
