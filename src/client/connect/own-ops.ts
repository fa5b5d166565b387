/**
 * OwnOps: ops of this device that were posted and have not come back in the log.
 * Rules: F12, F14, Y17, Y18, S2.
 *
 * When an answer is lost, or the process is killed before it comes, the disk goes on changing
 * before the log is heard of again. What then comes back is no edit of somebody else: the disk held
 * it when it was posted, so that it is the base of whatever the disk holds by now. Without this a
 * device would be in conflict with itself. That an event names this device is not enough: a folder
 * that was brought back from a backup hears of its own future, which its disk does not hold.
 */
import type { OpId } from "../../core/identifier.ts";
import type { Batch } from "../../core/op.ts";
import type { StateStore } from "../../ports/state-store.ts";

const POSTED_KEY = "posted";
/** Older ones will not come any more: this is several of the largest batches. */
const KEPT_MAX = 40_000;

export class OwnOps {
  readonly #store: StateStore;
  readonly #posted: Set<string>;

  constructor(store: StateStore) {
    this.#store = store;
    const kept = store.value(POSTED_KEY);
    this.#posted = new Set(Array.isArray(kept) ? kept.filter((id) => typeof id === "string") : []);
  }

  /** Durable when it returns. To be called before the batch is sent. */
  expect(batch: Batch): void {
    for (const op of batch.groups.flat()) this.#posted.add(op.opId);
    this.#keep();
  }

  /** The answer told all, or they were never sent: none of these is to be heard of any more. */
  answered(batch: Batch): void {
    let isKept = false;
    for (const op of batch.groups.flat()) isKept = this.#posted.delete(op.opId) || isKept;
    if (isKept) this.#keep();
  }

  /** @returns true, once, where this device posted the op. To be called in a transaction. */
  take(opId: OpId): boolean {
    const isOurs = this.#posted.delete(opId);
    // One that is still to come keeps the others: they do not come twice.
    if (isOurs && this.#posted.size === 0) this.#keep();
    return isOurs;
  }

  #keep(): void {
    const posted = [...this.#posted].slice(-KEPT_MAX);
    this.#store.setValue(POSTED_KEY, posted.length === 0 ? undefined : posted);
  }
}
