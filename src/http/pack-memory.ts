/**
 * Memory for packs, used again from request to request. Rules: I42. A page of fresh memory costs
 * more than hashing and storing what comes to stand in it.
 */
import { PACK_BYTES_MAX } from "../core/limits.ts";

/** A pack as clients send and ask for it fits into one of these. */
const BUFFER_BYTES = 9 * 1024 * 1024;
/** As little as this is taken afresh: to keep it for later would save nothing. */
export const SMALL_PACK_BYTES = 64 * 1024;
/** More are in use only while more requests run at once. */
const SPARE_MAX = 4;
/** As many of the largest packs as requests may hold at once (H21). */
const LARGE_SPARE_MAX = 3;

export class PackMemory {
  readonly #spare: Uint8Array<ArrayBuffer>[] = [];
  readonly #large: Uint8Array<ArrayBuffer>[] = [];

  /** @returns at least that many bytes; what stands in them is left from an earlier pack */
  take(lengthBytes: number): Uint8Array<ArrayBuffer> {
    if (lengthBytes <= SMALL_PACK_BYTES) return new Uint8Array(lengthBytes);
    if (lengthBytes > BUFFER_BYTES) return this.#large.pop() ?? new Uint8Array(PACK_BYTES_MAX);
    return this.#spare.pop() ?? new Uint8Array(BUFFER_BYTES);
  }

  /**
   * Nobody reads it or writes to it any more; it may be empty from now on.
   *
   * @param isScarce while others wait for memory, large packs follow each other: what is freed
   * stays with the process for a second, and would be taken afresh many times in it (1 GB measured)
   */
  giveBack(buffer: Uint8Array<ArrayBuffer>, isScarce = false): void {
    if (buffer.length === PACK_BYTES_MAX) {
      this.#large.push(buffer);
      const keptMax = isScarce ? LARGE_SPARE_MAX : 0;
      while (this.#large.length > keptMax) free(this.#large.pop());
    } else if (buffer.length === BUFFER_BYTES && this.#spare.length < SPARE_MAX) {
      this.#spare.push(buffer);
    } else if (buffer.length > SMALL_PACK_BYTES) free(buffer);
  }
}

/** At once: otherwise up to 32 MiB a request wait for a collection, which comes too late. */
function free(buffer: Uint8Array<ArrayBuffer> | undefined): void {
  buffer?.buffer.transfer(0);
}
