/**
 * OwnOps: ops of this device that were posted and have not come back in the log.
 * Rules: F12, F14, Y17, Y18, S2.
 *
 * If an answer is lost, or the process is killed before it comes, the disk goes on changing before
 * the client hears of the log again. An op that then comes back is no edit of another device. The
 * disk held its state when it was posted, so that state is the base of what the disk holds now.
 * Without this a device would be in conflict with itself. The device's name in an event is not
 * enough, because a folder that was restored from a backup hears of its own future, which its disk
 * does not hold.
 */

import type { OpId } from "../../core/identifier.ts";
import type { Batch } from "../../core/op.ts";
import type { StateStore } from "../../ports/state-store.ts";
import { KEPT, readKept, writeKept } from "../folder/kept-values.ts";

/** Older ones will not come any more: this is several of the largest batches. */
const KEPT_MAX = 40_000;

export class OwnOps {
  readonly #store: StateStore;
  readonly #posted: Set<string>;

  constructor(store: StateStore) {
    this.#store = store;
    this.#posted = new Set(readKept(store, KEPT.posted));
  }

  /** Durable when it returns. Call it before the batch is sent. */
  expect(batch: Batch): void {
    for (const op of batch.groups.flat()) this.#posted.add(op.opId);
    this.#keep();
  }

  /** The answer said everything, or the ops were never sent. None of them is expected any more. */
  answered(batch: Batch): void {
    let isKept = false;
    for (const op of batch.groups.flat()) isKept = this.#posted.delete(op.opId) || isKept;
    if (isKept) this.#keep();
  }

  /** @returns true, once, if this device posted the op. Call it in a transaction. */
  take(opId: OpId): boolean {
    const isOurs = this.#posted.delete(opId);
    // The stored list is rewritten only when the last one has come. The others in it do no harm,
    // because none comes twice.
    if (isOurs && this.#posted.size === 0) this.#keep();
    return isOurs;
  }

  #keep(): void {
    const posted = [...this.#posted].slice(-KEPT_MAX);
    writeKept(this.#store, KEPT.posted, posted.length === 0 ? undefined : posted);
  }
}
