/**
 * Reads objects out of segments, a block at a time. Rules: P8.
 *
 * Objects of one upload lie side by side and are read together: a block is fetched once for all who
 * want a part of it, and stays a while.
 */
import { BUCKET_BLOCK_BYTES, BUCKET_BLOCKS_KEPT } from "../../core/limits.ts";
import type { Bucket } from "./client.ts";

/** Where an object's bytes are. */
export interface SegmentPlace {
  readonly segment: string;
  readonly at: number;
  readonly size: number;
}

export class SegmentBlocks {
  readonly #bucket: Bucket;
  /** The one that was used last is the last. */
  readonly #blocks = new Map<string, Promise<Uint8Array | undefined>>();

  constructor(bucket: Bucket) {
    this.#bucket = bucket;
  }

  /**
   * Fills `target`, which has the object's size.
   *
   * @returns false if the segment is not there, or ends before
   */
  async read({ segment, at, size }: SegmentPlace, target: Uint8Array): Promise<boolean> {
    const first = Math.floor(at / BUCKET_BLOCK_BYTES);
    const last = Math.floor((at + size - 1) / BUCKET_BLOCK_BYTES);
    const numbers = Array.from({ length: last - first + 1 }, (_, index) => first + index);
    const blocks = await Promise.all(numbers.map((number) => this.#block(segment, number)));
    let done = 0;
    for (const [index, block] of blocks.entries()) {
      if (block === undefined) return false;
      const start = at + done - (first + index) * BUCKET_BLOCK_BYTES;
      const part = block.subarray(start, start + size - done);
      target.set(part, done);
      done += part.length;
    }
    return done === size;
  }

  /** Its next read asks the bucket. */
  forget({ segment, at, size }: SegmentPlace): void {
    const last = Math.floor((at + size - 1) / BUCKET_BLOCK_BYTES);
    for (let number = Math.floor(at / BUCKET_BLOCK_BYTES); number <= last; number += 1) {
      this.#blocks.delete(`${segment} ${number}`);
    }
  }

  #block(segment: string, number: number): Promise<Uint8Array | undefined> {
    const key = `${segment} ${number}`;
    const known = this.#blocks.get(key);
    this.#blocks.delete(key);
    const block = known ?? this.#fetch(segment, number);
    this.#blocks.set(key, block);
    if (known !== undefined) return known;
    const [oldest] = this.#blocks.keys();
    if (this.#blocks.size > BUCKET_BLOCKS_KEPT && oldest !== undefined) this.#blocks.delete(oldest);
    // A segment that is not there now may be there the next time.
    const drop = () => {
      if (this.#blocks.get(key) === block) this.#blocks.delete(key);
    };
    block.then((bytes) => bytes ?? drop(), drop);
    return block;
  }

  async #fetch(segment: string, number: number): Promise<Uint8Array | undefined> {
    const range = { at: number * BUCKET_BLOCK_BYTES, length: BUCKET_BLOCK_BYTES };
    return await this.#bucket.get(segmentName(segment), range);
  }
}

/** Two levels, for tools that list a bucket like directories. */
export function segmentName(segment: string): string {
  return `segments/${segment.slice(-2)}/${segment}`;
}
