/**
 * PostgreSQL as EventSink, against a real server: the contract, its tables, its troubles. Rules:
 * M1-M6.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chmodSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import postgres from "postgres";
import { createPostgresEventSink } from "../../src/adapters/postgres/event-sink.ts";
import { parseDigest, sha256 } from "../../src/core/digest.ts";
import { type DeviceId, parseId } from "../../src/core/identifier.ts";
import type { EventSink, FileAction, LogName } from "../../src/ports/event-sink.ts";
import { eventSinkContract, freshLog, rowOf, rowsOf } from "../contracts/event-sink-contract.ts";
import { bestOf, timeOf } from "../timing.ts";
import { makeScratchFolder } from "./disk-user.ts";
import { POSTGRES_PASSWORD, type PostgresServer, startPostgres } from "./postgres-server.ts";

const scratch = makeScratchFolder();
let server: PostgresServer;
let admin: postgres.Sql;

beforeAll(async () => {
  // Run by root, PostgreSQL is another user who must come in here.
  chmodSync(scratch.root, 0o711);
  server = await startPostgres({ dataDir: join(scratch.root, "postgres") });
  admin = connect(server.url);
}, 180_000);

afterAll(async () => {
  await admin.end({ timeout: 1 });
  await server.stop();
  scratch.drop();
});

function connect(url: string): postgres.Sql {
  return postgres(url, { max: 1, onnotice: () => undefined });
}

/** Another database, user, password or port on the same server. */
function urlWith(parts: { user?: string; password?: string; port?: number; database?: string }) {
  const url = new URL(server.url);
  url.username = parts.user ?? url.username;
  url.password = parts.password ?? url.password;
  url.port = `${parts.port ?? url.port}`;
  url.pathname = parts.database ?? url.pathname;
  return url.href;
}

let databaseCount = 0;

async function freshDatabase(options = ""): Promise<string> {
  databaseCount += 1;
  const database = `test_${databaseCount}`;
  await admin.unsafe(`CREATE DATABASE ${database} ${options}`);
  return urlWith({ database });
}

/** What a failing call says. */
async function failure(call: Promise<unknown>): Promise<{ code: unknown; message: string }> {
  try {
    await call;
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    expect(error.message).not.toContain(POSTGRES_PASSWORD);
    expect(JSON.stringify(error)).not.toContain(POSTGRES_PASSWORD);
    return { code: "code" in error ? error.code : undefined, message: error.message };
  }
  throw new Error("It did not fail");
}

async function withSink<Result>(
  url: string,
  work: (sink: EventSink) => Promise<Result>,
  options: { openTimeoutMs?: number; appendTimeoutMs?: number } = {},
): Promise<Result> {
  const sink = createPostgresEventSink({ url, ...options });
  try {
    return await work(sink);
  } finally {
    await sink.close();
  }
}

async function readRows(sql: postgres.Sql, { server: serverId, folder, epoch }: LogName) {
  const rows = await sql`
    SELECT * FROM files_log WHERE server_id = ${serverId} AND folder = ${folder}
    AND epoch = ${epoch} ORDER BY id`;
  return rows.map((row) => ({
    seq: Number(row["seq"]),
    time: (row["time"] as Date).toISOString(),
    action: row["action"] as FileAction,
    path: String(row["path"]),
    ...(row["old_path"] === null ? undefined : { oldPath: String(row["old_path"]) }),
    ...(row["size"] === null
      ? undefined
      : { size: Number(row["size"]), sha256: parseDigest(String(row["sha256"])) }),
    device: String(row["device"]),
    deviceId: parseId<DeviceId>(String(row["device_id"])),
  }));
}

eventSinkContract("PostgreSQL", async () => {
  const url = await freshDatabase();
  const sql = connect(url);
  const sink = createPostgresEventSink({ url });
  return {
    sink,
    rows: (log) => readRows(sql, log),
    drop: async () => {
      await sink.close();
      await sql.end({ timeout: 1 });
    },
  };
});

describe("tables", () => {
  test("a person reads the newest events with one short query [M1]", async () => {
    const url = await freshDatabase();
    const sql = connect(url);
    const log = freshLog();
    await withSink(url, async (sink) => {
      await sink.open();
      await sink.cursor(log);
      await sink.append(log, { after: 0, rows: rowsOf(1, 30), hash: sha256("") });
    });
    const rows = await sql.unsafe("SELECT * FROM files_log ORDER BY id DESC LIMIT 10");
    await sql.end();
    expect(rows.map((row) => Number(row["seq"]))).toEqual([30, 29, 28, 27, 26, 25, 24, 23, 22, 21]);
    expect(Object.keys(rows[0] ?? {}).join(" ")).toBe(
      "id time folder seq action path old_path size sha256 device version server_id epoch device_id",
    );
    expect(rows[0]?.["version"]).toBe("30");
    expect(rows[0]?.["server_id"]).toBe(log.server);
  });

  test("servers that start together make the tables once [M5]", async () => {
    const url = await freshDatabase();
    const sinks = [1, 2, 3, 4].map(() => createPostgresEventSink({ url }));
    await Promise.all(sinks.map((sink) => sink.open()));
    const log = freshLog();
    await Promise.all(sinks.map((sink) => sink.cursor(log)));
    const batch = { after: 0, rows: rowsOf(1, 400), hash: sha256("") };
    const outcomes = await Promise.all(sinks.map((sink) => sink.append(log, batch)));
    expect(outcomes.filter((outcome) => outcome === "appended")).toHaveLength(1);
    await Promise.all(sinks.map((sink) => sink.close()));
  });

  test("tables of a newer version are left alone, with a message that says so [M5]", async () => {
    const url = await freshDatabase();
    const sql = connect(url);
    await withSink(url, (sink) => sink.open());
    await sql`UPDATE files_log_schema SET version = 2`;
    const { code, message } = await withSink(url, (sink) => failure(sink.open()));
    await sql.end();
    expect(code).toBe("data_newer");
    expect(message).toContain("its tables have version 2, this synced knows 1");
  });

  test("a table of another program under that name is left alone [M5]", async () => {
    const url = await freshDatabase();
    const sql = connect(url);
    await sql`CREATE TABLE files_log (mine text)`;
    const { message } = await withSink(url, (sink) => failure(sink.open()));
    expect(message).toContain("has tables of these names that are not as synced made them");
    const [found] = await sql`SELECT to_regclass('files_log_schema') AS made`;
    expect(found?.["made"]).toBeNull();
    await sql.end();
  });

  test("a dropped files_log is made anew, and the log begins at its start [M5]", async () => {
    const url = await freshDatabase();
    const sql = connect(url);
    const log = freshLog();
    await withSink(url, async (sink) => {
      await sink.open();
      await sink.cursor(log);
      await sink.append(log, { after: 0, rows: rowsOf(1, 3), hash: sha256("") });
      await sql`DROP TABLE files_log`;
      const next = { after: 3, rows: rowsOf(4, 4), hash: sha256("") };
      const { message } = await failure(sink.append(log, next));
      expect(message).toContain("If files_log was dropped, synced makes and writes it anew");
      await sink.open();
      expect((await sink.cursor(log)).seq).toBe(0);
      await sink.append(log, { after: 0, rows: rowsOf(1, 4), hash: sha256("") });
      expect(await readRows(sql, log)).toEqual(rowsOf(1, 4));
      // A newer version may have no such table at all.
      await sql`DROP TABLE files_log`;
      await sql`UPDATE files_log_schema SET version = 2`;
      expect((await failure(sink.open())).code).toBe("data_newer");
      expect(await sql`SELECT FROM files_log_cursors`).toHaveLength(1);
    });
    await sql.end();
  });

  test("a database that cannot store every name is refused [M5]", async () => {
    const latin = "ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0";
    const { message } = await withSink(await freshDatabase(latin), (sink) => failure(sink.open()));
    expect(message).toContain("Create a database with ENCODING 'UTF8'");
  });

  test("text that PostgreSQL cannot hold is replaced, not fatal [M7]", async () => {
    const url = await freshDatabase();
    const sql = connect(url);
    const log = freshLog();
    const odd = [rowOf(1, { device: "nul \0 half \ud800" })];
    await withSink(url, async (sink) => {
      await sink.open();
      await sink.cursor(log);
      await sink.append(log, { after: 0, rows: odd, hash: sha256("") });
    });
    expect(await readRows(sql, log)).toEqual([rowOf(1, { device: "nul \ufffd half \ufffd" })]);
    await sql.end();
  });

  test("rows that a person deletes stay deleted; a deleted cursor begins anew [M1]", async () => {
    const url = await freshDatabase();
    const sql = connect(url);
    const log = freshLog();
    await withSink(url, async (sink) => {
      await sink.open();
      await sink.cursor(log);
      await sink.append(log, { after: 0, rows: rowsOf(1, 5), hash: sha256("") });
      await sql`DELETE FROM files_log WHERE seq < 4`;
      expect((await sink.cursor(log)).seq).toBe(5);
      // Of this log only; its rows that are still there are no obstacle.
      const other = freshLog();
      await sink.cursor(other);
      await sink.append(other, { after: 0, rows: rowsOf(1, 1), hash: sha256("") });
      await sql`DELETE FROM files_log_cursors WHERE epoch = ${log.epoch}`;
      const next = { after: 5, rows: rowsOf(6, 6), hash: sha256("") };
      expect(await sink.append(log, next)).toBe("cursor_moved");
      expect((await sink.cursor(log)).seq).toBe(0);
      const anew = { after: 0, rows: rowsOf(1, 5), hash: sha256("") };
      expect(await sink.append(log, anew)).toBe("appended");
      expect(await readRows(sql, log)).toEqual(rowsOf(1, 5));
      expect(await readRows(sql, other)).toEqual(rowsOf(1, 1));
    });
    await sql.end();
  });
});

describe("troubles are said with the next step and without the password", () => {
  test("a wrong password [M4]", async () => {
    const url = urlWith({ password: `${POSTGRES_PASSWORD}-wrong` });
    const { code, message } = await withSink(url, (sink) => failure(sink.open()));
    expect(code).toBe("unauthenticated");
    expect(message).toContain('does not let "synced" in to database "postgres". Check the user');
  });

  test("a missing database [M4]", async () => {
    const url = urlWith({ database: "nowhere" });
    const { code, message } = await withSink(url, (sink) => failure(sink.open()));
    expect(code).toBe("not_found");
    expect(message).toContain(`Create it: CREATE DATABASE "nowhere" ENCODING 'UTF8'`);
  });

  test("a user that may not make tables [M4]", async () => {
    const url = new URL(await freshDatabase());
    await admin.unsafe(`CREATE ROLE guest LOGIN PASSWORD '${POSTGRES_PASSWORD}'`);
    url.username = "guest";
    const { code, message } = await withSink(url.href, (sink) => failure(sink.open()));
    expect(code).toBe("forbidden");
    expect(message).toContain('GRANT CREATE, USAGE ON SCHEMA public TO "guest"');
  });

  test("a user that may only read the tables of another [M4]", async () => {
    const url = new URL(await freshDatabase());
    const log = freshLog();
    await withSink(url.href, (sink) => sink.open());
    const sql = connect(url.href);
    await sql.unsafe(`CREATE ROLE reader LOGIN PASSWORD '${POSTGRES_PASSWORD}'`);
    await sql`GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader`;
    url.username = "reader";
    const grant = await withSink(url.href, async (sink) => {
      await sink.open();
      const { code, message } = await failure(sink.cursor(log));
      expect(code).toBe("forbidden");
      return /GRANT SELECT, INSERT[^"]*"reader"/.exec(message)?.[0] ?? message;
    });
    await sql.unsafe(grant);
    await withSink(url.href, async (sink) => {
      await sink.open();
      await sink.cursor(log);
      const batch = { after: 0, rows: rowsOf(1, 2), hash: sha256("") };
      expect(await sink.append(log, batch)).toBe("appended");
    });
    await sql.end();
  });

  test("nobody listening, and an unknown host [M4]", async () => {
    const url = urlWith({ port: 1 });
    const { code, message } = await withSink(url, (sink) => failure(sink.open()));
    expect(code).toBe("temporarily_unavailable");
    expect(message).toContain("PostgreSQL at 127.0.0.1:1 is not reachable. Check that it runs");
    const unknown = `postgres://u:${POSTGRES_PASSWORD}@no-such-host.invalid/db`;
    const answer = await withSink(unknown, (sink) => failure(sink.open()));
    expect(answer.message).toContain(
      "PostgreSQL at no-such-host.invalid:5432 has an unknown host name",
    );
  }, 180_000);

  test("an illegal URL is a usage error that does not repeat it [M4]", () => {
    const illegal = ["", "secret", "https://u:secret@h/d", "postgres://u:secret@h:99999/d"];
    for (const url of [...illegal, "postgres://u:%zzsecret@h/d"]) {
      const make = () => createPostgresEventSink({ url });
      expect(make).toThrow("Cannot use the database URL");
      expect(make).not.toThrow("secret");
    }
  });

  test("the sink's name has no credential [M4]", async () => {
    await withSink(server.url, async (sink) => {
      expect(sink.name).toBe(`PostgreSQL at 127.0.0.1:${server.port}, database "postgres"`);
    });
  });
});

describe("a peer that misbehaves", () => {
  let peer: Server;
  let port = 0;
  let connections = 0;
  let behave: (socket: Socket) => void = () => undefined;

  beforeAll(async () => {
    peer = createServer((socket) => {
      connections += 1;
      socket.on("error", () => undefined);
      behave(socket);
    });
    await new Promise<void>((resolve) => peer.listen(0, "127.0.0.1", resolve));
    const address = peer.address();
    port = typeof address === "object" && address !== null ? address.port : 0;
  });
  afterAll(() => void peer.close());

  test("accepts and hangs up: one connection a call, not a storm [M4]", async () => {
    behave = (socket) => socket.end();
    connections = 0;
    const { message } = await withSink(urlWith({ port }), (sink) => failure(sink.open()));
    expect(message).toContain("is not reachable");
    expect(connections).toBe(1);
  });

  test("accepts and stays silent: the call ends in its time, and so does close() [M4]", async () => {
    behave = () => undefined;
    const url = urlWith({ port });
    const endsWithinMs = await bestOf(5, 3_000, async () => {
      return await timeOf(async () => {
        const options = { openTimeoutMs: 200 };
        const silent = await withSink(url, (sink) => failure(sink.open()), options);
        expect(silent.message).toContain("does not answer");
        const closed = await withSink(url, async (sink) => {
          const call = failure(sink.open());
          await sink.close();
          return await call;
        });
        expect(closed.code).toBe("temporarily_unavailable");
      });
    });
    expect(endsWithinMs).toBeLessThan(3_000);
  });

  test("is no PostgreSQL at all: the call ends [M4]", async () => {
    behave = (socket) => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n");
    const options = { openTimeoutMs: 500 };
    await withSink(urlWith({ port }), (sink) => failure(sink.open()), options);
  });
});

describe("PostgreSQL stops", () => {
  test("and the next call connects again when it is back [M3]", async () => {
    const url = await freshDatabase();
    const log = freshLog();
    await withSink(url, async (sink) => {
      await sink.open();
      await sink.cursor(log);
      await sink.append(log, { after: 0, rows: rowsOf(1, 10), hash: sha256("") });
      await server.stop("kill");
      await failure(sink.append(log, { after: 10, rows: rowsOf(11, 20), hash: sha256("") }));
      await failure(sink.open());
      await server.start();
      await sink.open();
      expect((await sink.cursor(log)).seq).toBe(10);
      const again = { after: 10, rows: rowsOf(11, 20), hash: sha256("") };
      expect(await sink.append(log, again)).toBe("appended");
    });
  }, 180_000);

  test("answering: the call ends in its time, and its outcome is asked for later [M3]", async () => {
    const url = await freshDatabase();
    const log = freshLog();
    await withSink(
      url,
      async (sink) => {
        await sink.open();
        await sink.cursor(log);
        server.pause();
        const call = sink.append(log, { after: 0, rows: rowsOf(1, 10), hash: sha256("") });
        const { message } = await failure(call).finally(() => server.resume());
        expect(message).toContain("does not answer");
        const { seq } = await sink.cursor(log);
        expect([0, 10]).toContain(seq);
      },
      { appendTimeoutMs: 300 },
    );
  }, 180_000);
});
