/**
 * Memory for packs, used again from request to request. Rules: I42. A page of fresh memory costs
 * more than hashing and storing what comes to stand in it.
 */

/** A pack as clients send and ask for it fits into one of these. */
const BUFFER_BYTES = 9 * 1024 * 1024;
/** As little as this is taken afresh: to keep it for later would save nothing. */
export const SMALL_PACK_BYTES = 64 * 1024;
/** More are in use only while more requests run at once. */
const SPARE_MAX = 4;

export class PackMemory {
  readonly #spare: Uint8Array<ArrayBuffer>[] = [];

  take(lengthBytes: number): Uint8Array<ArrayBuffer> {
    const isUsual = lengthBytes > SMALL_PACK_BYTES && lengthBytes <= BUFFER_BYTES;
    if (!isUsual) return new Uint8Array(lengthBytes);
    return this.#spare.pop() ?? new Uint8Array(BUFFER_BYTES);
  }

  /** Nobody reads it or writes to it any more; it may be empty from now on. */
  giveBack(buffer: Uint8Array<ArrayBuffer>): void {
    const isUsual = buffer.length === BUFFER_BYTES;
    if (isUsual && this.#spare.length < SPARE_MAX) this.#spare.push(buffer);
    // Otherwise up to 32 MiB a request wait for a collection, which comes too late.
    else if (buffer.length > SMALL_PACK_BYTES) buffer.buffer.transfer(0);
  }
}
