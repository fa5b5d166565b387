/**
 * Tidies a bucket: gathers what waits in PostgreSQL, empties segments that are mostly deleted
 * objects, and deletes what was condemned long ago. Rules: P7, P10, U3.
 */
import type { Digest } from "../../core/digest.ts";
import { SyncedError } from "../../core/error.ts";
import { SEGMENT_KEPT_MS, SEGMENT_UPLOAD_MS_MAX, WAITING_BYTES_MAX } from "../../core/limits.ts";
import type { StoredObject } from "../../ports/object-store.ts";
import { hex, integer, toBlob } from "../metadata/rows.ts";
import type { PostgresPool } from "../postgres-metadata/pool.ts";
import type { SqlRow } from "../sqlite/database.ts";
import { segmentName } from "./blocks.ts";
import type { Bucket } from "./client.ts";
import * as queries from "./queries.ts";
import type { Segments } from "./segments.ts";

export interface TidyParts {
  readonly pool: PostgresPool;
  readonly bucket: Bucket;
  readonly segments: Segments;
  /** @throws {SyncedError} `chunk_corrupt` */
  readonly read: (digest: Digest) => Promise<Uint8Array | undefined>;
}

/** Small objects that are gathered at once: at most 16 MiB of them. */
const GATHERED_MAX = 256;

/** May be interrupted anywhere, and called again. */
export async function tidyBucket(parts: TidyParts): Promise<void> {
  await gather(parts);
  for (const row of await parts.pool.read(queries.SPARSE)) {
    const segment = hex<string>(row, "id");
    if (integer(row, "used") > 0) await leave(parts, segment);
    await parts.pool.write(queries.CONDEMN, toBlob(segment));
  }
  await parts.pool.write(queries.ABANDON, SEGMENT_UPLOAD_MS_MAX);
  for (const row of await parts.pool.read(queries.DUE, SEGMENT_KEPT_MS)) {
    const segment = hex<string>(row, "id");
    await parts.bucket.delete(segmentName(segment));
    await parts.pool.write(queries.FORGET_SEGMENT, toBlob(segment));
  }
}

async function gather({ pool, segments }: TidyParts): Promise<void> {
  const [total] = await pool.read(queries.WAITING_BYTES);
  if (total === undefined || integer(total, "bytes") < WAITING_BYTES_MAX) return;
  for (;;) {
    const rows = await pool.read(queries.WAITING, GATHERED_MAX);
    if (rows.length === 0) return;
    await segments.move(rows.flatMap(toObject), undefined);
  }
}

/** Takes what is still used out of a segment. What is damaged stays, until somebody brings it. */
async function leave({ pool, segments, read }: TidyParts, segment: string): Promise<void> {
  const objects: StoredObject[] = [];
  for (const row of await pool.read(queries.IN_SEGMENT, toBlob(segment))) {
    const digest = hex<Digest>(row, "digest");
    try {
      const bytes = await read(digest);
      if (bytes !== undefined) objects.push({ digest, bytes });
    } catch (error) {
      if (!(error instanceof SyncedError) || error.code !== "chunk_corrupt") throw error;
    }
  }
  await segments.move(objects, segment);
}

function toObject(row: SqlRow): StoredObject[] {
  const { bytes } = row;
  return bytes instanceof Uint8Array ? [{ digest: hex(row, "digest"), bytes }] : [];
}
