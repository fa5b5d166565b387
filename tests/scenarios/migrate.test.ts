/**
 * `synced migrate` there and back, as a process that is killed, with a real PostgreSQL, a bucket,
 * and devices that go on. Rules: P14.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { chmodSync, rmSync } from "node:fs";
import postgres from "postgres";
import { openTables } from "../../src/adapters/postgres-metadata/open.ts";
import { PostgresPool } from "../../src/adapters/postgres-metadata/pool.ts";
import { BUCKET_KEY, SmallBucket } from "../adapters/bucket.ts";
import { type PostgresServer, startPostgres } from "../adapters/postgres-server.ts";
import { noise } from "../generate/contents.ts";
import { SERVER } from "../server/server-world.ts";
import { ensureBinary, RunningSynced, runSynced, Scratch } from "./binary.ts";
import { type Device, Lab, waitFor } from "./lab.ts";

const REQUEST_ID = /(?:request_id":"|urn:synced:request:)[0-9a-f]{32}/g;
const LARGE_BYTES = 3_000_000;
const KINDS = ["objects", "events", "nodes", "folder_objects", "devices"];

const scratch = new Scratch();
const places: Record<string, string> = {};
/** Of the server: `places`, or nothing. */
const env: Record<string, string> = {};
const lab = new Lab({ env });
let database: PostgresServer;
let admin: postgres.Sql;
let bucket: SmallBucket;
let pair: readonly [Device, Device];

beforeAll(async () => {
  await ensureBinary();
  // Run by root, PostgreSQL is another user who must come in here.
  chmodSync(scratch.path, 0o711);
  database = await startPostgres({ dataDir: scratch.join("postgres"), isDurable: true });
  admin = postgres(database.url, { max: 2, onnotice: () => undefined });
  // Tables that are nobody's.
  const pool = new PostgresPool(database.url);
  await openTables(pool, { serverId: SERVER, isNew: true });
  await admin`DELETE FROM synced.server`;
  pool.close();
  bucket = new SmallBucket();
  Object.assign(places, {
    SYNCED_METADATA_URL: database.url,
    SYNCED_BUCKET_URL: bucket.url,
    SYNCED_BUCKET_KEY: `${BUCKET_KEY.id}:${BUCKET_KEY.secret}`,
  });
  await lab.startServer();
  pair = await lab.pair();
  for (let file = 0; file < 60; file += 1) pair[0].write(`small/${file}`, `small ${file}`);
  pair[0].write("large", noise(1, LARGE_BYTES));
  await lab.settled(pair);
  pair[1].write("large", noise(2, LARGE_BYTES));
  rmSync(pair[1].join("small", "7"));
  await lab.settled(pair);
  for (const folder of ["former", "gone"]) {
    const device = lab.device(`device-of-${folder}`, "--folder", folder);
    device.write("file", folder);
    expect((await device.once()).exitCode).toBe(0);
  }
  await lab.stopServer();
  const data = ["--data", lab.data];
  const renamed = await runSynced(["folder", "rename", "former", "present", ...data]);
  const deleted = await runSynced(["folder", "delete", "gone", "--yes", ...data]);
  expect([renamed.exitCode, deleted.exitCode]).toEqual([0, 0]);
}, 180_000);
afterAll(async () => {
  await lab.close();
  await bucket.stop();
  await admin.end({ timeout: 1 });
  await database.stop();
  scratch.remove();
});

function migrateArguments(...more: readonly string[]): string[] {
  return ["migrate", "--data", lab.data, "--json", ...more];
}

async function migrate(...more: readonly string[]) {
  return await runSynced(migrateArguments(...more), { env: places });
}

type Condition = (running: RunningSynced) => boolean | Promise<boolean>;

async function killWhen(condition: Condition, ...more: readonly string[]): Promise<void> {
  const running = new RunningSynced(migrateArguments(...more), { env: places });
  await waitFor("the moment to kill", () => condition(running));
  expect(running.hasEnded).toBe(false);
  await running.stop("SIGKILL");
}

/** When it has come to the kind of things, or further. */
function isAt(kind: string): Condition {
  return ({ lines }) => lines.some((line) => line["kind"] === kind);
}

/** Both ways need this table last, so none comes to its end meanwhile. */
async function withoutEnd(work: () => Promise<void>): Promise<void> {
  await admin.begin(async (sql) => {
    await sql`LOCK TABLE synced.turns`;
    await work();
  });
}

async function serve(data: string, ...more: readonly string[]) {
  return await runSynced(["serve", "--data", data, "--port", "0", ...more], { env: places });
}

/** Of a server that no device reaches, so that nothing changes meanwhile. It ends then. */
async function answers(where: Readonly<Record<string, string>>): Promise<readonly string[]> {
  for (const name of Object.keys(env)) delete env[name];
  Object.assign(env, where);
  for (const device of pair) device.running.signal("SIGSTOP");
  await lab.startServer();
  const routes = ["default", "former", "present", "gone"].flatMap((folder) => [
    `${folder}/events?after=0&limit=1000`,
    `${folder}/index?limit=1000`,
    `${folder}/devices`,
    `${folder}/history?path=large`,
  ]);
  const found = [];
  for (const route of routes) {
    const answer = await fetch(`${lab.url}/v1/folders/${route}`);
    const text = await answer.text();
    found.push(`${route} ${answer.status} ${text.replaceAll(REQUEST_ID, "")}`);
  }
  await lab.stopServer();
  for (const device of pair) device.running.signal("SIGCONT");
  return found;
}

/** The devices go on, with the bytes of before and with new ones. */
async function goOn(name: string): Promise<void> {
  await lab.startServer();
  pair[0].write(`${name}-0`, noise(3, LARGE_BYTES));
  pair[1].write(`${name}-1`, name);
  await lab.settled(pair, 60_000);
  const late = lab.device(`late-${name}`);
  late.start();
  await lab.settled([...pair, late], 60_000);
  await late.stop();
  await lab.stopServer();
}

test("data go to PostgreSQL and a bucket, killed at any step, and devices go on [P14]", async () => {
  await withoutEnd(async () => {
    for (const kind of KINDS) await killWhen(isAt(kind));
  });
  const joins = await serve(scratch.join("node"), "--shared");
  expect([joins.exitCode, joins.stderr]).toEqual([2, expect.stringContaining("being moved")]);
  const back = await migrate("--back");
  expect([back.exitCode, back.stderr]).toEqual([2, expect.stringContaining("not complete")]);
  // Until all is there, the directory is the server's.
  await lab.startServer();
  pair[0].write("meanwhile", "meanwhile");
  rmSync(pair[0].join("small", "9"));
  await lab.settled(pair);
  await lab.stopServer();
  await withoutEnd(() => killWhen(isAt("nodes")));
  const before = await answers({});
  const done = await migrate();
  expect([done.exitCode, done.stdout]).toEqual([0, expect.stringContaining('"repeated":false')]);
  expect((await migrate()).stdout).toContain('"repeated":true');

  const alone = await runSynced(["serve", "--data", lab.data, "--port", "0"]);
  expect(alone.exitCode).toBe(2);
  expect(alone.stderr).toContain("They were moved to PostgreSQL at");
  expect(alone.stderr).toContain("migrate --back");
  expect(await answers(places)).toEqual([...before]);
  await goOn("there");
}, 180_000);

test("data come back to the directory, killed at any step, and devices go on [P14]", async () => {
  const before = await answers(places);
  await withoutEnd(async () => {
    for (const kind of KINDS) await killWhen(isAt(kind), "--back");
    // Then no server can change the source any more.
    const isLeft = async () => {
      const [server] = await admin`SELECT move FROM synced.server`;
      return server?.["move"] === "left";
    };
    await killWhen(isLeft, "--back");
  });
  const half = await serve(lab.data);
  expect([half.exitCode, half.stderr]).toEqual([2, expect.stringContaining("on their way")]);
  const done = await migrate("--back");
  expect([done.exitCode, done.stdout]).toEqual([0, expect.stringContaining('"repeated":false')]);
  expect((await migrate("--back")).stdout).toContain('"repeated":true');
  const after = await answers({});
  expect(after).toEqual([...before]);
  await goOn("back");
  await lab.verify();

  const left = await serve(scratch.join("node"), "--shared");
  expect([left.exitCode, left.stderr]).toEqual([
    2,
    expect.stringContaining("moved to a directory"),
  ]);
}, 180_000);

test("they come to another directory, too, and what is another server's is refused [P14]", async () => {
  expect((await migrate()).exitCode).toBe(0);
  const there = await answers(places);
  const other = scratch.join("other");
  const moved = await runSynced(["migrate", "--back", "--data", other], { env: places });
  expect([moved.exitCode, moved.stderr]).toEqual([0, expect.stringContaining("synced serve")]);
  const verified = await runSynced(["verify", "--data", other]);
  expect([verified.exitCode, verified.stderr]).toEqual([0, verified.stderr]);
  const old = lab.data;
  lab.data = other;
  expect(await answers({})).toEqual([...there]);
  lab.data = old;

  // One byte is not what it was.
  const [name = ""] = [...bucket.objects.keys()].filter((one) => one.startsWith("segments/"));
  const segment = bucket.objects.get(name) ?? new Uint8Array();
  segment[100] = (segment[100] ?? 0) ^ 1;
  const third = ["--data", scratch.join("third")];
  const hurt = await runSynced(["migrate", "--back", "--json", ...third], { env: places });
  expect([hurt.exitCode, hurt.stderr]).toEqual([4, expect.stringContaining("1 object cannot be")]);
  expect((await runSynced(["verify", ...third])).exitCode).toBe(4);

  const stranger = new Lab();
  try {
    await stranger.startServer();
    const inUse = await runSynced(["migrate", "--data", stranger.data], { env: places });
    expect([inUse.exitCode, inUse.stderr]).toEqual([14, expect.stringContaining("uses it")]);
    await stranger.stopServer();
    const others = await runSynced(["migrate", "--data", stranger.data], { env: places });
    expect([others.exitCode, others.stderr]).toEqual([12, expect.stringContaining("of server")]);
    const back = await runSynced(["migrate", "--back", "--data", stranger.data], { env: places });
    expect([back.exitCode, back.stderr]).toEqual([2, expect.stringContaining("data of its own")]);
  } finally {
    await stranger.close();
  }
}, 120_000);
