/**
 * StorageReserve: keeps uploads from taking the last of the server's disk. Rules: O10, B54, F20.
 *
 * A disk that is full to the last byte could not even take a delete. So new bytes are refused while
 * there is still room for changes that need none, and for SQLite to checkpoint its logs.
 */
import { statfsSync } from "node:fs";
import { SyncedError } from "../../core/error.ts";
import { STORAGE_RESERVE_BYTES_MAX, STORAGE_RESERVE_SHARE } from "../../core/limits.ts";

export class StorageReserve {
  readonly #directory: string;
  /** Bytes that have room promised and are not on the disk yet. */
  #incomingBytes = 0;

  /** @param directory any directory on the disk to watch */
  constructor(directory: string) {
    this.#directory = directory;
  }

  /**
   * Runs `work`, which stores so many bytes.
   *
   * @throws {SyncedError} `storage_full` before anything is done, if they would leave too little
   * room
   */
  async taking<Result>(bytes: number, work: () => Promise<Result>): Promise<Result> {
    this.#incomingBytes += bytes;
    try {
      this.#requireRoom();
      return await work();
    } finally {
      this.#incomingBytes -= bytes;
    }
  }

  /** @returns bytes; undefined on network file systems that do not tell their size */
  room(): number | undefined {
    const { bavail, blocks, bsize } = statfsSync(this.#directory);
    if (blocks === 0) return undefined;
    const reserve = Math.min(STORAGE_RESERVE_BYTES_MAX, blocks * bsize * STORAGE_RESERVE_SHARE);
    return bavail * bsize - this.#incomingBytes - reserve;
  }

  #requireRoom(): void {
    const room = this.room();
    if (room === undefined || room >= 0) return;
    const claim = "the rest of its disk is reserved for changes that need no room";
    const message = `Cannot store objects in "${this.#directory}": ${claim}; free some space`;
    throw new SyncedError("storage_full", message);
  }
}
