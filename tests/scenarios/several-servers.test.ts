/**
 * `synced serve --shared` as three processes on one real PostgreSQL and one bucket. Rules: P11-P13,
 * Y22, H43. `SYNCED_TEST_ROUNDS` sets how often a server is killed.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { chmodSync, mkdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { openBucketObjectStore } from "../../src/adapters/bucket/store.ts";
import { PostgresPool } from "../../src/adapters/postgres-metadata/pool.ts";
import { openPostgresMetadataStore } from "../../src/adapters/postgres-metadata/store.ts";
import { systemRandom } from "../../src/adapters/runtime/random.ts";
import { parseId, type ServerId } from "../../src/core/identifier.ts";
import { verifyData } from "../../src/server/verify.ts";
import { BUCKET_KEY, bucketAt, SmallBucket } from "../adapters/bucket.ts";
import { type PostgresServer, startPostgres } from "../adapters/postgres-server.ts";
import { noise } from "../generate/contents.ts";
import { collect } from "../server/server-world.ts";
import { ensureBinary, runSynced, Scratch, startServer } from "./binary.ts";
import { Device, Lab, waitFor } from "./lab.ts";
import { Poster, requireEachOnce } from "./poster.ts";
import { digestOf, digestsIn } from "./snapshot.ts";

const ROUNDS = Number(process.env["SYNCED_TEST_ROUNDS"] ?? 2);

const scratch = new Scratch();
let database: PostgresServer;
let bucket: SmallBucket;
let env: Readonly<Record<string, string>>;
let labs: readonly [Lab, Lab, Lab];
let devices: readonly [Device, Device, Device];

beforeAll(async () => {
  await ensureBinary();
  // Run by root, PostgreSQL is another user who must come in here.
  chmodSync(scratch.path, 0o711);
  database = await startPostgres({ dataDir: scratch.join("postgres"), isDurable: true });
  bucket = new SmallBucket();
  env = {
    SYNCED_METADATA_URL: database.url,
    SYNCED_BUCKET_URL: bucket.url,
    SYNCED_BUCKET_KEY: `${BUCKET_KEY.id}:${BUCKET_KEY.secret}`,
    SYNCED_SHARED: "1",
  };
  // There was one, and there are three from now on.
  const { server } = await startServer(formerData(), { env: { ...env, SYNCED_SHARED: "0" } });
  await server.stop();
  const [a, b, c] = [new Lab({ env }), new Lab({ env }), new Lab({ env })];
  labs = [a, b, c];
  await Promise.all(labs.map((lab) => lab.startServer()));
  // Each begins at a server of its own.
  devices = [device("alpha", [a, b, c]), device("beta", [b, c, a]), device("gamma", [c, a, b])];
  for (const one of devices) one.start();
  await settled();
}, 180_000);
afterAll(async () => {
  await Promise.all(devices.map((one) => one.stop("SIGKILL")));
  await Promise.all(labs.map((lab) => lab.close()));
  await bucket.stop();
  await database.stop();
  scratch.remove();
});

function formerData(): string {
  return scratch.join("former");
}

function device(name: string, servers: readonly Lab[]): Device {
  const path = scratch.join(name);
  mkdirSync(path);
  const url = () => servers.map((one) => one.url).join(",");
  // So many changes in a minute look like an accident.
  return new Device(name, { path, url, arguments: ["--guard", "off"] });
}

/** All servers say the same head, and all devices are there. */
async function settled(): Promise<void> {
  for (const lab of labs) await lab.settled(devices);
}

/** The same answer of each server. @returns it */
async function answerOfAll(route: string): Promise<string> {
  const asked = labs.map(async ({ folderUrl }) => (await fetch(`${folderUrl}/${route}`)).text());
  const [first = "", ...others] = await Promise.all(asked);
  for (const other of others) expect(other).toBe(first);
  return first;
}

test("a change at one server reaches a device at the other within a moment [P12]", async () => {
  const tookMs: number[] = [];
  for (let round = 0; round < 8; round += 1) {
    const [from, to] = [devices[round % 3], devices[(round + 1) % 3]];
    from?.write(`round-${round}`, `round ${round}`);
    const sinceMs = performance.now();
    await waitFor("the file", () => {
      try {
        return to?.read(`round-${round}`) === `round ${round}`;
      } catch {
        return false;
      }
    });
    tookMs.push(performance.now() - sinceMs);
  }
  await settled();
  // A heartbeat, after which a stream looks by itself, comes after 15 s.
  expect(Math.max(...tookMs)).toBeLessThan(10_000);
}, 120_000);

test(
  "servers killed in turn cost no op and no byte, double none, and nobody says offline [P11, P12, Y22]",
  async () => {
    const answered = new Map<string, number>();
    const work = new Work();
    for (let round = 0; round < ROUNDS; round += 1) {
      // With rests, so that sixty rounds do not end in a directory of a hundred thousand.
      const poster = new Poster(() => labs.map((lab) => lab.folderUrl), { restMs: 50 });
      poster.start();
      const killed = labs[round % 3];
      work.change(round);
      await waitFor("ops that are answered", () => poster.answered.size >= 3);
      await killed?.stopServer("SIGKILL");
      const more = poster.answered.size + 5;
      await waitFor("ops that the others answer", () => poster.answered.size >= more);
      await killed?.startServer();
      await poster.stop();
      for (const [opId, seq] of poster.answered) answered.set(opId, seq);
      // Two servers that fail one after the other, before either took anything, are offline.
      await work.require();
    }
    for (const one of devices) expect(one.events("offline")).toEqual([]);
    await requireEachOnce(labs[0].folderUrl, answered);
    await answerOfAll("index?limit=1000");
    for (const { path } of devices) {
      expect(await runSynced(["check", path, "--read-data"])).toMatchObject({ exitCode: 0 });
    }
  },
  120_000 + ROUNDS * 30_000,
);

/** Edits by all devices: of files that one of them owns, and of one that all have. */
class Work {
  /** What each path must be in the end; undefined is nothing. */
  readonly #wanted = new Map<string, string | undefined>();
  /** SHA-256 of all that was ever written to the common file. */
  readonly #written = new Set<string>();

  change(round: number): void {
    for (const [index, one] of devices.entries()) {
      const own = `of-${one.name}`;
      for (let file = 0; file < 10; file += 1) {
        this.#write(one, `${own}/${(round * 7 + file) % 25}`, `${round} ${file} ${one.name}`);
      }
      this.#write(one, `${own}/large`, noise(round * 3 + index, 700_000));
      const [from, to] = [`${own}/${(round * 7) % 25}`, `${own}/moved-${round % 4}`];
      renameSync(one.join(from), one.join(to));
      this.#wanted.set(to, this.#wanted.get(from)).set(from, undefined);
      const gone = `${own}/${(round * 7 + 1) % 25}`;
      rmSync(one.join(gone));
      this.#wanted.set(gone, undefined);
    }
    const one = devices[round % 3];
    const bytes = `round ${round} of ${one?.name}`;
    one?.write("common", bytes);
    this.#written.add(digestOf(bytes));
  }

  /** Everything is as the last edit left it, on every device; the common file's past is there. */
  async require(): Promise<void> {
    await settled();
    const [device] = devices;
    const found = digestsIn(device.snapshot());
    const differing = [...this.#wanted].filter(([path, digest]) => found.get(path) !== digest);
    expect(differing).toEqual([]);
    for (const digest of this.#written) expect(await labs[1].remembers(digest)).toBe(true);
  }

  #write(device: Device, path: string, bytes: string | Uint8Array): void {
    device.write(path, bytes);
    this.#wanted.set(path, digestOf(bytes));
  }
}

async function breakParts(): Promise<void> {
  const poster = new Poster(() => labs.map((lab) => lab.folderUrl), { restMs: 50 });
  poster.start();
  const afterMore = async () => {
    const wanted = poster.answered.size + 3;
    await waitFor("ops that are answered", () => poster.answered.size >= wanted);
  };
  for (let round = 0; round < ROUNDS; round += 1) {
    for (let file = 0; file < 20; file += 1) {
      devices[file % 3]?.write(`away-${round}/${file}`, `away ${round} ${file}`);
    }
    // Those of the round before may not have met a request.
    const slow = { status: 503, code: "SlowDown" };
    bucket.faults.splice(0, bucket.faults.length, "lost", slow);
    devices[round % 3]?.write("away-large", noise(round, 2_000_000));
    await afterMore();
    await database.stop("kill");
    await database.start();
    await afterMore();
    // It may be between loading and appending, and others commit meanwhile.
    labs[round % 3]?.signalServer("SIGSTOP");
    await Bun.sleep(500);
    labs[round % 3]?.signalServer("SIGCONT");
    await afterMore();
  }
  bucket.faults.length = 0;
  await poster.stop();
  await settled();
  await requireEachOnce(labs[1].folderUrl, poster.answered);
}

test(
  "a killed PostgreSQL, a server that stands still, and a bucket that fails cost no op [P2, P5, P9, P12]",
  breakParts,
  120_000 + ROUNDS * 30_000,
);

test("a server that stops sends its readers to the other first [H43]", async () => {
  const [first, second] = labs;
  const readyz = async (lab: Lab) => (await fetch(`${lab.url}/readyz`)).status;
  expect([await readyz(first), await readyz(second)]).toEqual([200, 200]);
  const stopping = first.stopServer("SIGTERM");
  await waitFor("that it says so", async () => (await readyz(first)) === 503);
  expect((await fetch(`${first.folderUrl}`)).status).toBe(200);
  const before = devices.map((one) => one.events("offline").length);
  devices[0].write("while-it-stops", "written");
  await stopping;
  await second.settled(devices);
  await first.startServer();
  await settled();
  expect(devices.map((one) => one.events("offline").length)).toEqual(before);
}, 120_000);

test("all that is kept is sound, and only --shared may use it [P11]", async () => {
  for (const lab of labs) await lab.stopServer();
  const format = readFileSync(`${labs[0].data}/format`, "utf8");
  const [, id = ""] = /([0-9a-f]{32})\n$/.exec(format) ?? [];
  const serverId = parseId<ServerId>(id);
  const pool = new PostgresPool(database.url);
  const metadata = await openPostgresMetadataStore({ pool, serverId });
  const parts = { pool, bucket: bucketAt(bucket.url), serverId, random: systemRandom };
  const objects = await openBucketObjectStore(parts);
  expect(await collect(verifyData({ metadata, objects }))).toEqual([]);
  await metadata.close();

  const serve = async (change: Readonly<Record<string, string>>, ...args: readonly string[]) => {
    const command = ["serve", "--port", "0", ...args];
    const { exitCode, stderr } = await runSynced(command, { env: { ...env, ...change } });
    return [exitCode, stderr];
  };
  const alone = await serve({ SYNCED_SHARED: "0" }, "--data", labs[0].data);
  expect(alone).toEqual([2, expect.stringContaining("start it with --shared")]);
  const former = await serve({ SYNCED_SHARED: "0" }, "--data", formerData());
  expect(former).toEqual([2, expect.stringContaining("several servers use it")]);
  const own = await serve({}, "--data", formerData());
  expect(own).toEqual([2, expect.stringContaining("name a new directory")]);
  const open = await serve({}, "--data", scratch.join("open"), "--host", "0.0.0.0");
  expect(open).toEqual([2, expect.stringContaining("the same --token-file")]);
  const deaf = await serve({ SYNCED_METADATA_LISTEN_URL: "mysql://h/d" }, "--data", labs[0].data);
  expect(deaf).toEqual([2, expect.stringContaining("metadata listen URL")]);
  const [inDirectory] = await serve({ SYNCED_BUCKET_URL: "" }, "--data", scratch.join("objects"));
  expect(inDirectory).toBe(2);
  const tokens = await runSynced(["token", "list", "--data", labs[0].data]);
  expect([tokens.exitCode, tokens.stderr]).toEqual([2, expect.stringContaining("--metadata-url")]);
}, 60_000);
