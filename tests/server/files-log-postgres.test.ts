/**
 * The follower with a real PostgreSQL that goes away under load, is slow, or is not let in. Rules:
 * M3, M4, M6.
 */
import { afterAll, beforeAll, beforeEach, expect, test } from "bun:test";
import { chmodSync } from "node:fs";
import { join } from "node:path";
import postgres from "postgres";
import { createPostgresEventSink } from "../../src/adapters/postgres/event-sink.ts";
import type { NodeId } from "../../src/core/identifier.ts";
import { makeScratchFolder } from "../adapters/disk-user.ts";
import {
  POSTGRES_PASSWORD,
  type PostgresServer,
  startPostgres,
} from "../adapters/postgres-server.ts";
import { medianOf } from "../timing.ts";
import { caughtUp, follow, oneTo, until } from "./files-log-world.ts";
import { create, DIRECTORY, hexId, type ServerWorld, serverWorld } from "./server-world.ts";

const scratch = makeScratchFolder();
let server: PostgresServer;
let world: ServerWorld;
let nodeCount = 0;

beforeAll(async () => {
  // Run by root, PostgreSQL is another user who must come in here.
  chmodSync(scratch.root, 0o711);
  server = await startPostgres({ dataDir: join(scratch.root, "postgres") });
}, 180_000);
afterAll(async () => {
  await server.stop();
  scratch.drop();
});
beforeEach(async () => {
  world = await serverWorld();
  await query("DROP TABLE IF EXISTS files_log, files_log_cursors, files_log_schema");
});

async function query(text: string): Promise<readonly Record<string, unknown>[]> {
  const sql = postgres(server.url, { max: 1, onnotice: () => undefined });
  try {
    return await sql.unsafe(text);
  } finally {
    await sql.end({ timeout: 1 });
  }
}

async function seqsInPostgres(): Promise<number[]> {
  return (await query("SELECT seq FROM files_log ORDER BY id")).map((row) => Number(row["seq"]));
}

/** Commits that many directories; @returns how long a commit took, as a rule. */
async function commit(count: number): Promise<number> {
  const times: number[] = [];
  for (let n = 0; n < count; n += 1) {
    nodeCount += 1;
    const begin = performance.now();
    const seqs = await world.outcome(
      create(hexId<NodeId>("1", nodeCount), `${nodeCount}`, DIRECTORY),
    );
    expect(seqs).toBeArray();
    times.push(performance.now() - begin);
  }
  return medianOf(times);
}

/** Who waits for a PostgreSQL that does not answer waits much longer than anything takes here. */
const PATIENT_MS = 150_000;

const newSink = (timeoutMs: number, url = server.url) =>
  createPostgresEventSink({ url, openTimeoutMs: timeoutMs, appendTimeoutMs: timeoutMs });

test("PostgreSQL is killed and started again under load, twice: every event once, in order [M3]", async () => {
  const followed = follow(world, newSink(10_000));
  for (let round = 0; round < 2; round += 1) {
    await commit(200);
    const [asARule] = await Promise.all([commit(400), server.stop(round === 0 ? "kill" : "fast")]);
    expect(asARule).toBeLessThan(1_000);
    await until("its absence is noticed", () => !followed.filesLog.status().connected);
    await commit(100);
    await server.start();
    await caughtUp(followed);
    expect(await seqsInPostgres()).toEqual(oneTo(await world.cursor()));
  }
  // Each kind of trouble once in an outage, not a line for each attempt.
  let said = new Set<string>();
  for (const { code, message } of followed.notices) {
    if (code === "files_log_connected") said = new Set();
    expect(said).not.toContain(message);
    said.add(message);
  }
  await followed.filesLog.stop();
  await world.close();
}, 180_000);

test("the server stops and starts in the middle of a long catch-up: no gap, no double [M3]", async () => {
  for (let part = 0; part < 8; part += 1) {
    const group = Array.from({ length: 1000 }, () => {
      nodeCount += 1;
      return create(hexId<NodeId>("1", nodeCount), `${nodeCount}`, DIRECTORY);
    });
    await world.outcome(...group);
  }
  for (let round = 0; round < 6; round += 1) {
    const { filesLog } = follow(world, newSink(10_000));
    await new Promise((resolve) => setTimeout(resolve, 15 * round));
    await filesLog.stop();
  }
  const last = follow(world, newSink(10_000));
  await caughtUp(last);
  await last.filesLog.stop();
  expect(await seqsInPostgres()).toEqual(oneTo(await world.cursor()));
  await world.close();
}, 180_000);

test("a PostgreSQL that does not answer delays no commit and no stop [M6]", async () => {
  const followed = follow(world, newSink(PATIENT_MS));
  await commit(10);
  await caughtUp(followed);
  server.pause();
  try {
    const begin = performance.now();
    await commit(50);
    await new Promise((resolve) => setTimeout(resolve, 100));
    await followed.filesLog.stop();
    expect(performance.now() - begin).toBeLessThan(PATIENT_MS / 2);
  } finally {
    server.resume();
  }
  const again = follow(world, newSink(10_000));
  await caughtUp(again);
  await again.filesLog.stop();
  expect(await seqsInPostgres()).toEqual(oneTo(await world.cursor()));
  await world.close();
}, 180_000);

test("a locked table delays no commit, piles up no sessions, and is written later [M6]", async () => {
  const followed = follow(world, newSink(2_000));
  await commit(10);
  await caughtUp(followed);
  const locker = postgres(server.url, { max: 1 });
  await locker.begin(async (transaction) => {
    await transaction`LOCK TABLE files_log IN ACCESS EXCLUSIVE MODE`;
    expect(await commit(50)).toBeLessThan(1_000);
    await until("it gives up", () => followed.filesLog.status().lastError !== undefined);
    expect(followed.filesLog.status().lastError).toContain("does not answer");
    await new Promise((resolve) => setTimeout(resolve, 3_000));
    // One that was given up ends when PostgreSQL sees to it.
    const sessions = "SELECT pid FROM pg_stat_activity WHERE application_name = 'synced'";
    await until("few sessions", async () => (await query(sessions)).length <= 2);
  });
  await locker.end();
  await caughtUp(followed);
  await followed.filesLog.stop();
  expect(await seqsInPostgres()).toEqual(oneTo(await world.cursor()));
  await world.close();
}, 180_000);

test("not let in: said once without the password, and over when the password is right [M4]", async () => {
  await query("CREATE ROLE writer LOGIN PASSWORD 'other'");
  await query("GRANT CREATE, USAGE ON SCHEMA public TO writer");
  const followed = follow(world, newSink(10_000, server.url.replace("//synced:", "//writer:")));
  await commit(3);
  await until("a trouble", () => followed.notices.length > 0);
  await new Promise((resolve) => setTimeout(resolve, 200));
  expect(followed.notices).toHaveLength(1);
  expect(followed.notices[0]?.message).toContain('does not let "writer" in');
  expect(JSON.stringify([followed.notices, followed.filesLog.status()])).not.toContain(
    POSTGRES_PASSWORD,
  );
  await query(`ALTER ROLE writer PASSWORD '${POSTGRES_PASSWORD}'`);
  await caughtUp(followed);
  expect(followed.notices.at(-1)?.code).toBe("files_log_connected");
  await followed.filesLog.stop();
  expect(await seqsInPostgres()).toEqual(oneTo(await world.cursor()));
  await world.close();
}, 180_000);
