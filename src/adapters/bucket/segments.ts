/** Writes segments: the intent, the bytes, then the rows that name them. Rules: P7, P8, O7. */
import { SyncedError } from "../../core/error.ts";
import { PACK_BYTES_MAX } from "../../core/limits.ts";
import type { StoredObject } from "../../ports/object-store.ts";
import type { Random } from "../../ports/random.ts";
import { integer, toBlob } from "../metadata/rows.ts";
import type { PostgresPool } from "../postgres-metadata/pool.ts";
import { bytea } from "../postgres-metadata/writes.ts";
import { segmentName } from "./blocks.ts";
import type { Bucket } from "./client.ts";
import { BEGIN_SEGMENT, END_MOVE, END_SEGMENT } from "./queries.ts";

export interface SegmentsOptions {
  readonly pool: PostgresPool;
  readonly bucket: Bucket;
  readonly random: Random;
}

/** The header of an object in a pack (C6): a depth, a digest, a length. */
const HEADER_BYTES = 37;
const LENGTH_OFFSET = 33;

export class Segments {
  readonly #pool: PostgresPool;
  readonly #bucket: Bucket;
  readonly #random: Random;
  readonly #writing = new Set<Promise<unknown>>();

  constructor({ pool, bucket, random }: SegmentsOptions) {
    this.#pool = pool;
    this.#bucket = bucket;
    this.#random = random;
  }

  /** Stores objects that are not there. All are durable when it resolves. */
  async write(objects: readonly StoredObject[]): Promise<void> {
    await Promise.all(
      inSegments(objects).map((part) => this.#track(this.#write(part, END_SEGMENT))),
    );
  }

  /**
   * Moves objects that are there to a new segment.
   *
   * @param from the segment that they leave; undefined if they wait in PostgreSQL
   */
  async move(objects: readonly StoredObject[], from: string | undefined): Promise<void> {
    const former = from === undefined ? null : toBlob(from);
    for (const part of inSegments(objects)) {
      await this.#track(this.#write(part, END_MOVE, former));
    }
  }

  /** Resolves when nothing is on its way any more. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#writing);
  }

  async #write(
    objects: readonly StoredObject[],
    end: string,
    ...rest: readonly (Uint8Array | null)[]
  ): Promise<void> {
    const id = this.#random.id<string>();
    const bytes = objects.reduce((sum, object) => sum + object.bytes.length, 0);
    const { pack, places } = encode(objects);
    await this.#pool.write(BEGIN_SEGMENT, toBlob(id), bytes);
    await this.#bucket.put(segmentName(id), pack);
    const [row] = await this.#pool.write(end, toBlob(id), JSON.stringify(places), ...rest);
    if (row !== undefined && integer(row, "count") === 1) return;
    const message = "The upload to the bucket took longer than a day; it is tried again";
    throw new SyncedError("temporarily_unavailable", message);
  }

  async #track(work: Promise<void>): Promise<void> {
    this.#writing.add(work);
    try {
      await work;
    } finally {
      this.#writing.delete(work);
    }
  }
}

/** Cuts a list so that each part fits into a segment. */
function inSegments(objects: readonly StoredObject[]): readonly (readonly StoredObject[])[] {
  const parts: StoredObject[][] = [];
  let room = 0;
  for (const object of objects) {
    const bytes = HEADER_BYTES + object.bytes.length;
    const part = parts.at(-1);
    if (part === undefined || bytes > room) {
      parts.push([object]);
      room = PACK_BYTES_MAX - bytes;
    } else {
      part.push(object);
      room -= bytes;
    }
  }
  return parts;
}

/** A pack, so that a bucket alone tells which bytes are which object's. */
function encode(objects: readonly StoredObject[]) {
  const total = objects.reduce((sum, { bytes }) => sum + HEADER_BYTES + bytes.length, 0);
  const pack = new Uint8Array(total);
  const view = new DataView(pack.buffer);
  let end = 0;
  const places = objects.map(({ digest, bytes }) => {
    pack.set(toBlob(digest), end + 1);
    view.setUint32(end + LENGTH_OFFSET, bytes.length);
    const at = end + HEADER_BYTES;
    pack.set(bytes, at);
    end = at + bytes.length;
    return { digest: bytea(digest), at, size: bytes.length };
  });
  return { pack, places };
}
