/**
 * Moves a server's data from its directory to PostgreSQL and a bucket, and back. Rules: P14, P6.
 *
 * Both ways make the target equal to the source, table by table and object by object, until a run
 * finds nothing to change. Only then the source is marked, and after that the target is freed: at
 * no moment two servers may run on the same data. Tokens, links, orders and webhooks stay in the
 * directory, which goes on to be the server's.
 */
import { existsSync, mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import type { Digest } from "../core/digest.ts";
import { SyncedError } from "../core/error.ts";
import { parseId, type ServerId } from "../core/identifier.ts";
import type { ObjectStore, StoredObject } from "../ports/object-store.ts";
import { missingIn } from "./backup.ts";
import { type BucketPlace, parseBucketKey, parseBucketUrl } from "./bucket/address.ts";
import { Bucket } from "./bucket/client.ts";
import { openBucketObjectStore } from "./bucket/store.ts";
import { enterData } from "./data-directory.ts";
import { type DataFormat, forgetMoved, noteMoved, readFormat, writeFormat } from "./data-format.ts";
import { hex, integer, toBlob } from "./metadata/rows.ts";
import { METADATA_MIGRATIONS } from "./metadata/schema.ts";
import { mirrorTable, type RowStore, TABLES } from "./mirror-table.ts";
import { createFetchTransport } from "./network/fetch-transport.ts";
import { openDiskObjectStore } from "./objects/store.ts";
import {
  beginArrival,
  closeForMove,
  endArrival,
  markMove,
  readCounters,
  setCounters,
} from "./postgres-metadata/moving.ts";
import { type Move, openTables, type TablesOwner } from "./postgres-metadata/open.ts";
import { PostgresPool } from "./postgres-metadata/pool.ts";
import { postgresRows, sqliteRows } from "./row-stores.ts";
import { systemRandom } from "./runtime/random.ts";
import { SqliteDatabase } from "./sqlite/database.ts";

export interface MigrateRequest {
  /** The data directory. */
  readonly path: string;
  readonly metadataUrl: string;
  readonly bucket: BucketPlace;
  /** Called when so many things of a kind are in the target: a table's rows, or objects. */
  readonly onProgress: (kind: string, done: number) => void;
}

export interface Migrated {
  readonly serverId: ServerId;
  /** True if all was there and marked before. */
  readonly isRepeated: boolean;
  /** How many rows of each table, and how many objects, both have. */
  readonly counts: Readonly<Record<string, number>>;
  /** Objects that cannot be read at the source; devices are asked for them at the target. */
  readonly damaged: readonly Digest[];
}

/** Objects that are made durable together. */
const BYTES_PER_STEP = 16 * 1024 * 1024;
/** Of steps that are under way, their objects' number; small ones would wait too long. */
const OBJECTS_PER_STEP = 2000;

interface Places {
  readonly pool: PostgresPool;
  readonly bucket: Bucket;
}

interface Side {
  readonly rows: RowStore;
  readonly objects: ObjectStore;
}

/**
 * From the directory to PostgreSQL and the bucket. Interrupted, it goes on when called again.
 *
 * @throws {SyncedError} `usage`, `data_in_use`; `server_changed` if the target is another server's
 */
export async function migrateOut(request: MigrateRequest): Promise<Migrated> {
  const { path } = request;
  const format = readFormat(path);
  requireMovable(path, format);
  return await inPlaces(request, async (places) => {
    const { pool } = places;
    const database = openDatabase(path, { isReader: true });
    let disk: ObjectStore | undefined;
    try {
      const serverId = serverIdIn(database, path);
      const owner = await openTables(pool, { serverId, isNew: true, isArriving: true });
      requireOwner(pool.name, owner, serverId);
      if (format.kind !== "whole") return await endMove(places, owner?.move, serverId);
      if (owner?.move === undefined) throw occupied(pool.name);
      const objects = await openObjects(places, serverId);
      await beginArrival(pool);
      disk = openDiskObjectStore({ directory: path, isReader: true });
      const to = { rows: postgresRows(pool), objects };
      const done = await mirrorAll({ rows: sqliteRows(database), objects: disk }, to, request);
      await setCounters(pool, countersIn(database));
      await objects.close();
      await markMove(pool, "arrived");
      noteMoved(path, `${pool.name}, and the ${places.bucket.name}`);
      writeFormat(path, { kind: "bucket", serverId, isBound: true });
      await endArrival(pool, serverId);
      return { serverId, isRepeated: false, ...done };
    } finally {
      await disk?.close();
      database.close();
    }
  });
}

/** Of a directory that is marked already. */
async function endMove(
  { pool }: Places,
  move: Move | undefined,
  serverId: ServerId,
): Promise<Migrated> {
  if (move === "arriving") throw incomplete(pool.name);
  if (move === "left") throw unfinished(pool.name);
  if (move === "arrived") await endArrival(pool, serverId);
  return { serverId, isRepeated: true, counts: {}, damaged: [] };
}

/**
 * From PostgreSQL and the bucket to the directory: to the one that they came from, to a server's
 * own, or to a new one.
 *
 * @throws {SyncedError} as `migrateOut` does
 */
export async function migrateBack(request: MigrateRequest): Promise<Migrated> {
  const { path } = request;
  const format = readFormat(path);
  prepare(path, format);
  return await inPlaces(request, async (places) => {
    const { pool } = places;
    const nobody = systemRandom.id<ServerId>();
    const owner = await openTables(pool, { serverId: nobody, isNew: false });
    if (owner === undefined) throw empty(pool.name);
    if (owner.move === "arriving" || owner.move === "arrived") throw incomplete(pool.name);
    const { id: serverId } = owner;
    if (format.kind === "whole") {
      const isRepeated = owner.move === "left" && ownIdIn(path) === serverId;
      if (isRepeated) return { serverId, isRepeated, counts: {}, damaged: [] };
      throw ownData(path);
    }
    if ("serverId" in format && format.isBound) requireSame(path, format.serverId, serverId);
    else writeFormat(path, { kind: "bucket", serverId, isBound: true });
    const from = { rows: postgresRows(pool), objects: await openObjects(places, serverId) };
    const done = await copyBack(
      from,
      { places, serverId, isClosed: owner.move === "left" },
      request,
    );
    writeFormat(path, { kind: "whole" });
    forgetMoved(path);
    return { serverId, isRepeated: false, ...done };
  });
}

async function copyBack(
  from: Side,
  source: {
    readonly places: Places;
    readonly serverId: ServerId;
    /** True if no server can change it any more. */
    readonly isClosed: boolean;
  },
  request: MigrateRequest,
): Promise<Omit<Mirrored, "isChanged">> {
  const { path } = request;
  const { pool } = source.places;
  const database = openDatabase(path, { isReader: false });
  const disk = openDiskObjectStore({ directory: path });
  try {
    // Each table is made equal by itself.
    database.run("PRAGMA foreign_keys = OFF");
    const to = { rows: sqliteRows(database), objects: disk };
    if (!source.isClosed) {
      await mirrorOnce(from, to, request);
      await closeForMove(pool);
    }
    const done = await mirrorAll(from, to, request);
    own(database, source.serverId, await readCounters(pool));
    return done;
  } finally {
    await disk.close();
    database.close();
    await from.objects.close();
  }
}

/** With the directory's lock, and connections that are closed at the end. */
async function inPlaces(
  { path, metadataUrl, bucket: { url, key } }: MigrateRequest,
  work: (places: Places) => Promise<Migrated>,
): Promise<Migrated> {
  const address = parseBucketUrl(url);
  const bucketKey = parseBucketKey(key, "SYNCED_BUCKET_KEY");
  const pool = new PostgresPool(metadataUrl);
  const bucket = new Bucket(address, bucketKey, createFetchTransport());
  const { unlock } = enterData(path);
  try {
    return await work({ pool, bucket });
  } finally {
    pool.close();
    unlock();
  }
}

interface Mirrored {
  readonly isChanged: boolean;
  readonly counts: Readonly<Record<string, number>>;
  readonly damaged: readonly Digest[];
}

/** Until nothing differs. */
async function mirrorAll(
  from: Side,
  to: Side,
  request: MigrateRequest,
): Promise<Omit<Mirrored, "isChanged">> {
  for (;;) {
    const { isChanged, counts, damaged } = await mirrorOnce(from, to, request);
    if (!isChanged) return { counts, damaged };
  }
}

/** Objects first, so that the target has what its rows name. */
async function mirrorOnce(
  from: Side,
  to: Side,
  { onProgress }: Pick<MigrateRequest, "onProgress">,
): Promise<Mirrored> {
  const objects = await copyObjects(from.objects, to.objects, (done) =>
    onProgress("objects", done),
  );
  let isChanged = objects.copied > 0;
  const counts: Record<string, number> = {};
  for (const table of TABLES) {
    let done = 0;
    const onRows = (count: number) => {
      done += count;
      onProgress(table.name, done);
    };
    const changed = await mirrorTable({ from: from.rows, to: to.rows, onRows }, table);
    isChanged ||= changed;
    counts[table.name] = done;
  }
  return { isChanged, counts, damaged: objects.damaged };
}

async function copyObjects(
  from: ObjectStore,
  to: ObjectStore,
  onCopied: (done: number) => void,
): Promise<{ readonly copied: number; readonly damaged: readonly Digest[] }> {
  const damaged: Digest[] = [];
  let copied = 0;
  let step: StoredObject[] = [];
  let stepBytes = 0;
  const flush = async () => {
    if (step.length > 0) await to.put(step);
    copied += step.length;
    [step, stepBytes] = [[], 0];
    onCopied(copied);
  };
  for await (const digest of missingIn(to, from)) {
    const bytes = await readSound(from, digest);
    if (bytes === undefined) {
      damaged.push(digest);
      await to.miss(digest);
      continue;
    }
    step.push({ digest, bytes });
    stepBytes += bytes.length;
    if (stepBytes >= BYTES_PER_STEP || step.length >= OBJECTS_PER_STEP) await flush();
  }
  await flush();
  return { copied, damaged };
}

async function readSound(from: ObjectStore, digest: Digest): Promise<Uint8Array | undefined> {
  try {
    return await from.get(digest);
  } catch (error) {
    if (error instanceof SyncedError && error.code === "chunk_corrupt") return undefined;
    throw error;
  }
}

async function openObjects({ pool, bucket }: Places, serverId: ServerId): Promise<ObjectStore> {
  return await openBucketObjectStore({ pool, bucket, serverId, random: systemRandom });
}

function openDatabase(path: string, options: { readonly isReader: boolean }): SqliteDatabase {
  return new SqliteDatabase(join(path, "metadata.db"), METADATA_MIGRATIONS, options);
}

function serverIdIn(database: SqliteDatabase, path: string): ServerId {
  const row = database.row("SELECT id FROM server");
  if (row !== undefined) return parseId(hex(row, "id"));
  throw new SyncedError("damage_found", `Cannot move "${path}": its metadata name no server`);
}

function ownIdIn(path: string): ServerId {
  const database = openDatabase(path, { isReader: true });
  try {
    return serverIdIn(database, path);
  } finally {
    database.close();
  }
}

function countersIn(database: SqliteDatabase) {
  const row = database.row("SELECT objects_version AS version, objects_turn AS turn FROM server");
  if (row === undefined) return { version: 0, turn: 0 };
  return { version: integer(row, "version"), turn: integer(row, "turn") };
}

/** Makes the directory's metadata that server's, and all that was written to them durable. */
function own(
  database: SqliteDatabase,
  serverId: ServerId,
  counters: Awaited<ReturnType<typeof readCounters>>,
): void {
  const former = countersIn(database);
  const version = Math.max(counters.version, former.version) + 1;
  const turn = Math.max(counters.turn, former.turn);
  database.write("full", () => {
    database.run("DELETE FROM condemned");
    const sql = "INSERT OR REPLACE INTO server (singleton, id, objects_version, objects_turn)";
    database.run(`${sql} VALUES (1, ?, ?, ?)`, toBlob(serverId), version, turn);
  });
}

function requireMovable(path: string, format: DataFormat): void {
  const isMoved = format.kind === "bucket" && existsSync(join(path, "metadata.db"));
  if (format.kind === "whole" || isMoved) return;
  const claim =
    format.kind === "new"
      ? "there is no data directory of synced"
      : "it has no metadata of its own; only those of a directory are moved";
  throw new SyncedError("usage", `Cannot move "${path}": ${claim}`);
}

function prepare(path: string, format: DataFormat): void {
  if (format.kind === "objects" && format.isBound) {
    const claim = "it keeps the objects of a server without a bucket";
    throw new SyncedError("usage", `Cannot move to "${path}": ${claim}`);
  }
  mkdirSync(path, { recursive: true, mode: 0o700 });
  if (format.kind !== "new" || readdirSync(path).every((name) => /^lock(?:-|$)/.test(name))) return;
  const claim = "it is not empty, nor a server's data directory";
  throw new SyncedError("usage", `Cannot move to "${path}": ${claim}`);
}

function requireOwner(name: string, owner: TablesOwner | undefined, serverId: ServerId): void {
  if (owner === undefined || owner.id === serverId) return;
  const claim = `it is not empty: it is that of server ${owner.id}, not of ${serverId}`;
  throw new SyncedError("server_changed", `Cannot move to ${name}: ${claim}`);
}

function requireSame(path: string, own: ServerId, other: ServerId): void {
  if (own === other) return;
  const claim = `it is that of server ${own}, not of ${other}; name an empty one`;
  throw new SyncedError("server_changed", `Cannot move to "${path}": ${claim}`);
}

function occupied(name: string): SyncedError {
  const claim = "it has the data of this server already, and they may be newer than these";
  return new SyncedError("usage", `Cannot move to ${name}: ${claim}; use an empty database`);
}

function unfinished(name: string): SyncedError {
  const claim = "its data are on their way back: run the same synced migrate --back again";
  return new SyncedError("usage", `Cannot move to ${name}: ${claim}`);
}

function empty(name: string): SyncedError {
  return new SyncedError("usage", `Cannot move from ${name}: it holds no server's data`);
}

function incomplete(name: string): SyncedError {
  const claim = "data of a directory are on their way there; run synced migrate on that one again";
  return new SyncedError("usage", `Cannot move: ${name} is not complete: ${claim}`);
}

function ownData(path: string): SyncedError {
  const claim = "it has data of its own; name an empty directory, or the one that they came from";
  return new SyncedError("usage", `Cannot move to "${path}": ${claim}`);
}
