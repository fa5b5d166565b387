/**
 * A server's data directory whose metadata are in PostgreSQL, and its objects in it or in a bucket.
 * Tokens and the derived history stay in it. Of several servers that share the database and the
 * bucket each has a directory of its own, for its history alone. Rules: P6, P7, P11, P15, O7, I44.
 *
 * Its `format` names the server that the database holds, and where the objects are. Another
 * database, or another place, would make garbage of all objects.
 */
import { SyncedError } from "../core/error.ts";
import type { ServerId } from "../core/identifier.ts";
import type { MetadataStore } from "../ports/metadata-store.ts";
import type { TokenStore } from "../ports/token-store.ts";
import type { WebhookStore } from "../ports/webhook-store.ts";
import { type BucketPlace, parseBucketKey, parseBucketUrl } from "./bucket/address.ts";
import { Bucket } from "./bucket/client.ts";
import { FORMAT_NAME, openBucketObjectStore } from "./bucket/store.ts";
import {
  type DataDirectory,
  type Elsewhere,
  enterData,
  openBeside,
  type SharedData,
} from "./data-directory.ts";
import { type DataFormat, readFormat, writeFormat } from "./data-format.ts";
import { createFetchTransport } from "./network/fetch-transport.ts";
import { PostgresLogNews, parseListenUrl } from "./postgres-metadata/news.ts";
import { PostgresPool } from "./postgres-metadata/pool.ts";
import { SharedRecords } from "./postgres-metadata/records.ts";
import { sharedLinks, sharedOrders, sharedTokens } from "./postgres-metadata/shared-access.ts";
import { sharedWebhooks } from "./postgres-metadata/shared-webhooks.ts";
import { requireAlone, shareTables } from "./postgres-metadata/sharing.ts";
import { openPostgresMetadataStore } from "./postgres-metadata/store.ts";
import { systemClock } from "./runtime/clock.ts";
import { systemRandom, systemSecret } from "./runtime/random.ts";

export interface SplitPlaces {
  readonly metadataUrl: string;
  /** Where the objects are; undefined if they are in the directory. */
  readonly bucket: BucketPlace | undefined;
  /** True if other servers use the same database and bucket. @default false */
  readonly isShared?: boolean;
  /** Of the same database without a pooler, for servers that share it. @default `metadataUrl` */
  readonly metadataListenUrl?: string;
}

/**
 * Creates the directory if there is none.
 *
 * @throws {SyncedError} `usage` if the directory has metadata of its own, its objects are
 * elsewhere, or it is used alone and shared at once; as `openDataDirectory`,
 * `openPostgresMetadataStore` and `openBucketObjectStore` do
 */
export async function openSplitDirectory(
  path: string,
  places: SplitPlaces,
): Promise<DataDirectory> {
  const { metadataUrl, bucket: place, isShared = false } = places;
  const kind = kindOf(places);
  requireKind(path, readFormat(path), kind);
  const bucket = place === undefined ? undefined : openBucket(place);
  const pool = new PostgresPool(metadataUrl);
  const listenUrl = parseListenUrl(places.metadataListenUrl ?? metadataUrl);
  const { unlock } = enterData(path);
  let opened: OpenedPlaces & Awaited<ReturnType<typeof openElsewhere>>;
  try {
    const { serverId, isBound } = ownerOf(readFormat(path));
    // The directory is bound to the database before anything is written to either. A shared one has
    // nothing that could be taken for another server's, so it takes whose database it is.
    if (!isBound && !isShared) writeFormat(path, { kind, serverId, isBound: false });
    const claim = { pool, serverId, isNew: !isBound, joins: isShared && !isBound };
    const metadata = await openPostgresMetadataStore(claim);
    const parts = { pool, bucket, metadata };
    if (!isShared) await requireAlone(pool);
    opened = { ...parts, ...(await openElsewhere(places, parts)) };
    if (!isBound) writeFormat(path, { kind, serverId: metadata.serverId, isBound: true });
  } catch (error) {
    pool.close();
    unlock();
    throw error;
  }
  const { metadata, sharing, elsewhere } = opened;
  if (sharing === undefined) return openBeside(path, metadata, unlock, elsewhere);
  const { key, records, access, id } = sharing;
  const lookToo = () => records.refresh();
  const news = new PostgresLogNews({ pool, listenUrl, clock: systemClock, id, lookToo });
  records.tellBy(() => news.tell());
  return openBeside(path, metadata, unlock, { ...elsewhere, shared: { news, key, ...access } });
}

/** Of all servers that share a database. */
export interface AccessOfAll {
  readonly tokens: TokenStore;
  readonly webhooks: WebhookStore;
  readonly metadata: Pick<MetadataStore, "folders">;
  close(): void;
}

/**
 * Opens who may come in, and who is told, beside the servers.
 *
 * @param path the directory of one of them
 * @throws {SyncedError} as `openPostgresMetadataStore` does
 */
export async function openAccessOfAll(path: string, metadataUrl: string): Promise<AccessOfAll> {
  const pool = new PostgresPool(metadataUrl);
  const { serverId } = ownerOf(readFormat(path));
  const metadata = await openPostgresMetadataStore({ pool, serverId });
  const records = new SharedRecords(pool);
  const close = () => void metadata.close();
  const noDevices = { sawDevice: () => undefined, devices: () => [], close };
  const tokens = { ...sharedTokens(records), ...noDevices };
  const webhooks = sharedWebhooks(pool, records, systemRandom.id<string>());
  try {
    await records.refresh(true);
    return { tokens, webhooks, metadata, close };
  } catch (error) {
    close();
    throw error;
  }
}

interface OpenedPlaces {
  readonly pool: PostgresPool;
  readonly bucket: Bucket | undefined;
  readonly metadata: MetadataStore;
}

/** The key and the records that all servers of a database have. */
interface Sharing {
  readonly key: string;
  readonly records: SharedRecords;
  readonly access: Pick<SharedData, "tokens" | "links" | "orders" | "webhooks">;
  /** Another one for each server. */
  readonly id: string;
}

async function joinOthers(pool: PostgresPool): Promise<Sharing> {
  const key = await shareTables(pool, systemSecret());
  const records = new SharedRecords(pool);
  const id = systemRandom.id<string>();
  const access = {
    tokens: sharedTokens(records),
    links: sharedLinks(records),
    orders: sharedOrders(records),
    webhooks: sharedWebhooks(pool, records, id),
  };
  await records.refresh();
  return { key, records, access, id };
}

async function openElsewhere(
  { isShared = false }: SplitPlaces,
  { pool, bucket, metadata: { serverId } }: OpenedPlaces,
): Promise<{ readonly elsewhere: Elsewhere; readonly sharing?: Sharing }> {
  const probe = async () => {
    await Promise.all([pool.read("SELECT 1"), bucket?.get(FORMAT_NAME, { at: 0, length: 1 })]);
  };
  if (bucket === undefined) return { elsewhere: { probe } };
  const objects = await openBucketObjectStore({ pool, bucket, serverId, random: systemRandom });
  const elsewhere = { probe, objects };
  return isShared ? { elsewhere, sharing: await joinOthers(pool) } : { elsewhere };
}

/** @throws {SyncedError} `usage` if servers would share what is in a directory */
function kindOf({ bucket, isShared = false }: SplitPlaces): "objects" | "bucket" | "shared" {
  if (!isShared) return bucket === undefined ? "objects" : "bucket";
  if (bucket !== undefined) return "shared";
  const claim = "several servers need their objects in a bucket; name it with --bucket-url";
  throw new SyncedError("usage", `Cannot use --shared so: ${claim}`);
}

function openBucket({ url, key }: BucketPlace): Bucket {
  const address = parseBucketUrl(url);
  return new Bucket(address, parseBucketKey(key, "SYNCED_BUCKET_KEY"), createFetchTransport());
}

function ownerOf(format: DataFormat): { readonly serverId: ServerId; readonly isBound: boolean } {
  return "serverId" in format ? format : { serverId: systemRandom.id<ServerId>(), isBound: false };
}

function requireKind(path: string, format: DataFormat, kind: ReturnType<typeof kindOf>): void {
  const claim = {
    new: undefined,
    whole: "it has metadata of its own; leave --metadata-url out, or name another directory",
    objects: "its objects are in it; leave --bucket-url out, or name another directory",
    bucket:
      kind === "shared"
        ? "it has tokens and orders of its own; name a new directory, for this server alone"
        : "its objects are in a bucket; name that with --bucket-url",
    shared: "it is that of one of several servers; start it with --shared",
  }[format.kind];
  const isNothingYet = "serverId" in format && !format.isBound;
  if (format.kind === kind || claim === undefined || isNothingYet) return;
  throw new SyncedError("usage", `Cannot use "${path}" so: ${claim}`);
}
