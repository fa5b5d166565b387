/**
 * `synced serve --metadata-url` as a process, with a real PostgreSQL: kills of either while devices
 * and a program work. Rules: P1-P6. `SYNCED_TEST_ROUNDS` sets how often each is killed.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { chmodSync, readFileSync, rmSync } from "node:fs";
import { openDiskObjectStore } from "../../src/adapters/objects/store.ts";
import { PostgresPool } from "../../src/adapters/postgres-metadata/pool.ts";
import { openPostgresMetadataStore } from "../../src/adapters/postgres-metadata/store.ts";
import { parseId, type ServerId } from "../../src/core/identifier.ts";
import { verifyData } from "../../src/server/verify.ts";
import {
  POSTGRES_PASSWORD,
  type PostgresServer,
  startPostgres,
} from "../adapters/postgres-server.ts";
import { collect } from "../server/server-world.ts";
import { ensureBinary, runSynced, Scratch } from "./binary.ts";
import { Lab, waitFor } from "./lab.ts";
import { Poster, requireEachOnce } from "./poster.ts";

const ROUNDS = Number(process.env["SYNCED_TEST_ROUNDS"] ?? 2);

const scratch = new Scratch();
let database: PostgresServer;
let lab: Lab;

beforeAll(async () => {
  await ensureBinary();
  // Run by root, PostgreSQL is another user who must come in here.
  chmodSync(scratch.path, 0o711);
  const dataDir = scratch.join("postgres");
  database = await startPostgres({ dataDir, isDurable: true });
  lab = new Lab({ env: { SYNCED_METADATA_URL: database.url } });
}, 180_000);
afterAll(async () => {
  await lab.close();
  await database.stop();
  scratch.remove();
});

/** Reads all that is kept, while no server runs. */
async function verify(): Promise<void> {
  const [, id = ""] = /([0-9a-f]{32})\n$/.exec(readFileSync(`${lab.data}/format`, "utf8")) ?? [];
  const serverId = parseId<ServerId>(id);
  const metadata = await openPostgresMetadataStore({
    pool: new PostgresPool(database.url),
    serverId,
  });
  const objects = openDiskObjectStore({ directory: lab.data, isReader: true });
  try {
    expect(await collect(verifyData({ metadata, objects }))).toEqual([]);
  } finally {
    await objects.close();
    await metadata.close();
  }
}

test("an acknowledged op is there once, whoever is killed under load [P2, O1, I26]", async () => {
  await lab.startServer();
  const pair = await lab.pair();
  const poster = new Poster(() => [lab.folderUrl]);
  poster.start();
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const who of ["server", "database"]) {
      for (let file = 0; file < 20; file += 1) {
        pair[file % 2]?.write(`${who}-${round}/${file}`, `${who} ${round} ${file}`);
      }
      // A few of its own: whether the guard holds a whole directory depends on what has arrived.
      for (const file of round > 0 ? [0, 2, 4] : []) {
        rmSync(pair[0].join(`${who}-${round - 1}`, String(file)));
      }
      const wanted = poster.answered.size + 3;
      await waitFor("ops that are answered", () => poster.answered.size >= wanted);
      if (who === "server") {
        await lab.stopServer("SIGKILL");
        await lab.startServer();
      } else {
        await database.stop("kill");
        await database.start();
      }
    }
  }
  await poster.stop();
  await lab.settled(pair);
  await requireEachOnce(lab.folderUrl, poster.answered);
  await lab.stopServer();
  await verify();
}, 180_000);

test("commands that need the metadata say where they are, and touch nothing [P6]", async () => {
  for (const command of [
    ["verify"],
    ["gc"],
    ["folder", "list"],
    ["backup", scratch.join("copy")],
  ]) {
    const { exitCode, stderr } = await runSynced([...command, "--data", lab.data]);
    expect([command, exitCode]).toEqual([command, 2]);
    expect(stderr).toContain("its metadata are in PostgreSQL");
  }
  const alone = await runSynced(["serve", "--data", lab.data, "--port", "0"]);
  expect([alone.exitCode, alone.stderr]).toEqual([2, expect.stringContaining("in PostgreSQL")]);
});

test("a database and a directory that do not belong together are refused [P6]", async () => {
  const serve = async (data: string, url: string) => {
    const env = { SYNCED_METADATA_URL: url };
    const { exitCode, stderr } = await runSynced(["serve", "--data", data, "--port", "0"], { env });
    expect(stderr).not.toContain(POSTGRES_PASSWORD);
    return [exitCode, stderr];
  };
  const other = scratch.join("other");
  expect(await serve(other, database.url)).toEqual([12, expect.stringContaining("are of server")]);
  const empty = new URL(database.url);
  empty.pathname = "/template1";
  expect(await serve(lab.data, empty.href)).toEqual([
    12,
    expect.stringContaining("it holds no server's"),
  ]);
  const nowhere = new URL(database.url);
  nowhere.port = "1";
  expect(await serve(lab.data, nowhere.href)).toEqual([
    1,
    expect.stringContaining("is not reachable. Check that it runs"),
  ]);
  expect(await serve(other, `mysql://u:${POSTGRES_PASSWORD}@h/d`)).toEqual([
    2,
    expect.stringContaining("expected postgres://"),
  ]);
});
