/**
 * A server's data directory whose metadata are in PostgreSQL, and its objects in it or in a bucket.
 * Tokens and the derived history stay in it. Rules: P6, P7, O7, I44.
 *
 * Its `format` names the server that the database holds, and where the objects are. Another
 * database, or another place, would make garbage of all objects.
 */
import { SyncedError } from "../core/error.ts";
import type { ServerId } from "../core/identifier.ts";
import type { ObjectStore } from "../ports/object-store.ts";
import { type BucketPlace, parseBucketKey, parseBucketUrl } from "./bucket/address.ts";
import { Bucket } from "./bucket/client.ts";
import { openBucketObjectStore } from "./bucket/store.ts";
import { type DataDirectory, enterData, openBeside } from "./data-directory.ts";
import { type DataFormat, readFormat, writeFormat } from "./data-format.ts";
import { createFetchTransport } from "./network/fetch-transport.ts";
import { PostgresPool } from "./postgres-metadata/pool.ts";
import { openPostgresMetadataStore } from "./postgres-metadata/store.ts";
import { systemRandom } from "./runtime/random.ts";

export interface SplitPlaces {
  readonly metadataUrl: string;
  /** Where the objects are; undefined if they are in the directory. */
  readonly bucket: BucketPlace | undefined;
}

/**
 * Creates the directory if there is none.
 *
 * @throws {SyncedError} `usage` if the directory has metadata of its own, or its objects are
 * elsewhere; as `openDataDirectory`, `openPostgresMetadataStore` and `openBucketObjectStore` do
 */
export async function openSplitDirectory(
  path: string,
  { metadataUrl, bucket: place }: SplitPlaces,
): Promise<DataDirectory> {
  const kind = place === undefined ? "objects" : "bucket";
  requireKind(path, readFormat(path), kind);
  const bucket = place === undefined ? undefined : openBucket(place);
  const pool = new PostgresPool(metadataUrl);
  const { unlock } = enterData(path);
  try {
    const { serverId, isBound } = ownerOf(readFormat(path));
    // The directory is bound to the database before anything is written to either.
    if (!isBound) writeFormat(path, { kind, serverId, isBound: false });
    const metadata = await openPostgresMetadataStore({ pool, serverId, isNew: !isBound });
    let objects: ObjectStore | undefined;
    if (bucket !== undefined) {
      const parts = { pool, bucket, serverId, random: systemRandom };
      objects = await openBucketObjectStore(parts).catch(async (error: unknown) => {
        await metadata.close();
        throw error;
      });
    }
    if (!isBound) writeFormat(path, { kind, serverId, isBound: true });
    return openBeside(path, metadata, unlock, objects);
  } catch (error) {
    unlock();
    throw error;
  }
}

function openBucket({ url, key }: BucketPlace): Bucket {
  const address = parseBucketUrl(url);
  return new Bucket(address, parseBucketKey(key, "SYNCED_BUCKET_KEY"), createFetchTransport());
}

function ownerOf(format: DataFormat): { readonly serverId: ServerId; readonly isBound: boolean } {
  return "serverId" in format ? format : { serverId: systemRandom.id<ServerId>(), isBound: false };
}

function requireKind(path: string, format: DataFormat, kind: "objects" | "bucket"): void {
  const claim = {
    new: undefined,
    whole: "it has metadata of its own; leave --metadata-url out, or name another directory",
    objects: "its objects are in it; leave --bucket-url out, or name another directory",
    bucket: "its objects are in a bucket; name that with --bucket-url",
  }[format.kind];
  const isNothingYet = "serverId" in format && !format.isBound;
  if (format.kind === kind || claim === undefined || isNothingYet) return;
  throw new SyncedError("usage", `Cannot use "${path}" so: ${claim}`);
}
