/**
 * `synced serve --metadata-url --bucket-url` as a process, with a real PostgreSQL and a bucket that
 * fails as it is told. Rules: P6-P9.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { chmodSync, existsSync } from "node:fs";
import { BUCKET_KEY, SmallBucket } from "../adapters/bucket.ts";
import { type PostgresServer, startPostgres } from "../adapters/postgres-server.ts";
import { noise } from "../generate/contents.ts";
import { ensureBinary, runSynced, Scratch } from "./binary.ts";
import { Lab, waitFor } from "./lab.ts";

const LARGE_BYTES = 3_000_000;

const scratch = new Scratch();
const key = `${BUCKET_KEY.id}:${BUCKET_KEY.secret}`;
let database: PostgresServer;
let bucket: SmallBucket;
let lab: Lab;

beforeAll(async () => {
  await ensureBinary();
  // Run by root, PostgreSQL is another user who must come in here.
  chmodSync(scratch.path, 0o711);
  database = await startPostgres({ dataDir: scratch.join("postgres"), isDurable: true });
  bucket = new SmallBucket();
  lab = new Lab({
    env: {
      SYNCED_METADATA_URL: database.url,
      SYNCED_BUCKET_URL: bucket.url,
      SYNCED_BUCKET_KEY: key,
    },
  });
}, 180_000);
afterAll(async () => {
  await lab.close();
  await bucket.stop();
  await database.stop();
  scratch.remove();
});

test("files go through a bucket, whoever fails or is killed, and none is lost [P7, P8, P9]", async () => {
  await lab.startServer();
  const pair = await lab.pair();
  for (let file = 0; file < 40; file += 1) pair[0].write(`small/${file}`, `small ${file}`);
  pair[0].write("large", noise(1, LARGE_BYTES));
  await lab.settled(pair);
  expect(existsSync(`${lab.data}/objects.db`)).toBe(false);
  expect([...bucket.objects.keys()].length).toBeGreaterThan(1);

  // Small files need no bucket.
  bucket.faults.push(...Array.from({ length: 12 }, () => ({ status: 503, code: "SlowDown" })));
  pair[1].write("larger", noise(2, LARGE_BYTES));
  pair[0].write("while-it-is-away", "small");
  await waitFor("a small file", () => existsSync(pair[1].join("while-it-is-away")));
  await lab.settled(pair, 60_000);
  expect(bucket.faults).toEqual([]);

  pair[0].write("cut", noise(3, LARGE_BYTES));
  await waitFor("a request", () => bucket.requests.length > 0);
  await lab.stopServer("SIGKILL");
  await lab.startServer();
  await lab.settled(pair, 60_000);
  const late = lab.device("late");
  late.start();
  await lab.settled([...pair, late], 60_000);
}, 180_000);

test("a directory whose objects are in a bucket is served only with that bucket [P6, P7]", async () => {
  await lab.stopServer();
  const serve = async (env: Readonly<Record<string, string>>, data = lab.data) => {
    const { exitCode, stderr } = await runSynced(["serve", "--data", data, "--port", "0"], { env });
    expect(stderr).not.toContain(BUCKET_KEY.secret);
    return [exitCode, stderr];
  };
  const metadata = { SYNCED_METADATA_URL: database.url };
  const whole = { ...metadata, SYNCED_BUCKET_URL: bucket.url, SYNCED_BUCKET_KEY: key };
  expect(await serve(metadata)).toEqual([
    2,
    expect.stringContaining("name that with --bucket-url"),
  ]);
  expect(await serve({ SYNCED_BUCKET_URL: bucket.url, SYNCED_BUCKET_KEY: key })).toEqual([
    2,
    expect.stringContaining("--metadata-url"),
  ]);
  expect(await serve({ ...metadata, SYNCED_BUCKET_URL: bucket.url })).toEqual([
    2,
    expect.stringContaining("SYNCED_BUCKET_KEY"),
  ]);
  expect(await serve({ ...whole, SYNCED_BUCKET_URL: `${bucket.url}/other` })).toEqual([
    12,
    expect.stringContaining("holds nothing"),
  ]);
  expect(await serve({ ...whole, SYNCED_BUCKET_KEY: "nobody:secret" })).toEqual([
    1,
    expect.stringContaining("403 AccessDenied"),
  ]);
  expect(await serve(whole, scratch.join("other"))).toEqual([
    12,
    expect.stringContaining("are of server"),
  ]);
});
