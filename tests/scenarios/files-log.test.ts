/** `synced serve --database-url` as a process, with a real PostgreSQL. Rules: M1-M6. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chmodSync } from "node:fs";
import postgres from "postgres";
import {
  POSTGRES_PASSWORD,
  type PostgresServer,
  startPostgres,
} from "../adapters/postgres-server.ts";
import { bestOf, timeOf } from "../timing.ts";
import { type Ended, ensureBinary, runSynced, Scratch, startServer } from "./binary.ts";
import { waitFor } from "./lab.ts";

const scratch = new Scratch();
let database: PostgresServer;
let sql: postgres.Sql;

beforeAll(async () => {
  await ensureBinary();
  // Run by root, PostgreSQL is another user who must come in here.
  chmodSync(scratch.path, 0o711);
  database = await startPostgres({ dataDir: scratch.join("postgres") });
  sql = postgres(database.url, { max: 1, onnotice: () => undefined });
}, 180_000);
afterAll(async () => {
  await sql.end({ timeout: 1 });
  await database.stop();
  scratch.remove();
});

async function put(url: string, path: string, body: string): Promise<void> {
  const where = `${url}/v1/folders/default/files?path=${encodeURIComponent(path)}`;
  const { status } = await fetch(where, { method: "PUT", body });
  expect(status).toBeOneOf([200, 201]);
}

async function makeFolder(url: string): Promise<void> {
  expect((await fetch(`${url}/v1/folders/default`, { method: "PUT" })).ok).toBe(true);
}

async function expectSeqs(count: number): Promise<void> {
  const read = async () =>
    (await sql`SELECT seq FROM files_log ORDER BY id`).map(({ seq }) => +seq);
  // After an outage PostgreSQL is tried again after up to a minute.
  await waitFor(`${count} rows`, async () => (await read()).length >= count, 120_000);
  expect(await read()).toEqual(Array.from({ length: count }, (_, index) => index + 1));
}

function expectNoPassword({ stdout, stderr }: Ended): void {
  expect(stdout + stderr).not.toContain(POSTGRES_PASSWORD);
}

describe("serve with SYNCED_DATABASE_URL", () => {
  test("writes every event, over a killed server and a stopped PostgreSQL [M1, M3]", async () => {
    const data = scratch.join("data");
    const options = { env: { SYNCED_DATABASE_URL: database.url } };
    const first = await startServer(data, options);
    await makeFolder(first.url);
    await put(first.url, "a.txt", "one");
    await put(first.url, "a.txt", "two");
    await first.server.event("files_log_connected");
    await expectSeqs(2);
    const [newest] = await sql.unsafe("SELECT * FROM files_log ORDER BY id DESC LIMIT 10");
    expect(newest).toMatchObject({ action: "update", path: "a.txt", size: "3", device: "http" });

    await database.stop();
    await put(first.url, "b.txt", "while PostgreSQL is away");
    await first.server.event("files_log_trouble");
    expectNoPassword(await first.server.stop("SIGKILL"));

    const second = await startServer(data, options);
    await put(second.url, "c.txt", "still away");
    await second.server.event("files_log_trouble");
    await database.start();
    await expectSeqs(4);
    await put(second.url, "d.txt", "back");
    await expectSeqs(5);
    await waitFor("the metrics to say so", async () => {
      const text = await (await fetch(`${second.url}/metrics`)).text();
      return /^synced_files_log_up 1$/m.test(text) && /^synced_files_log_lag\S* 0$/m.test(text);
    });
    const ended = await second.server.stop();
    expectNoPassword(ended);
    expect(ended.stderr).toContain("Writing events to files_log in PostgreSQL at 127.0.0.1");
  }, 180_000);

  test("serves without PostgreSQL, says once why and what to do, and stops in time [M4, M6]", async () => {
    const url = new URL(database.url);
    url.pathname = "/nowhere";
    const stopsWithinMs = await bestOf(5, 3_000, async () => {
      const { url: at, server } = await startServer(scratch.join("other"), {
        args: ["--database-url", url.href],
      });
      const { message } = await server.event("files_log_trouble");
      expect(message).toContain('CREATE DATABASE "nowhere"');
      await makeFolder(at);
      await put(at, "a.txt", "one");
      return await timeOf(async () => {
        const ended = await server.stop();
        expectNoPassword(ended);
        expect(ended.stderr.match(/CREATE DATABASE/g)).toHaveLength(1);
        expect(server.lines.filter((line) => line["message"] === message)).toHaveLength(1);
      });
    });
    expect(stopsWithinMs).toBeLessThan(3_000);
  }, 180_000);

  test("an illegal URL is a usage error that does not repeat it [M4]", async () => {
    const ended = await runSynced(["serve", "--data", scratch.join("none"), "--port", "0"], {
      env: { SYNCED_DATABASE_URL: `mysql://u:${POSTGRES_PASSWORD}@h/d` },
    });
    expect(ended.exitCode).toBe(2);
    expect(ended.stderr).toContain("expected postgres://USER:PASSWORD@HOST:PORT/DATABASE");
    expectNoPassword(ended);
  });
});
