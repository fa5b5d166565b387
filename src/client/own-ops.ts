/**
 * OwnOps: ops of this device that were posted and have not come back in the log.
 * Rules: F12, R3, S2.
 *
 * When an answer is lost, the disk goes on changing before the log is heard of again. What then
 * comes back is no edit of somebody else: the disk held it when it was posted, so that it is the
 * base of whatever the disk holds by now. Without this a device would be in conflict with itself.
 */
import type { NodeId, OpId } from "../core/identifier.ts";
import type { Batch } from "../core/op.ts";
import type { StateStore } from "../ports/state-store.ts";

const POSTED_KEY = "posted";
/** Older ones will not come any more: this is several of the largest batches. */
const KEPT_MAX = 40_000;

export class OwnOps {
  readonly #store: StateStore;
  readonly #posted: Set<string>;
  #isKept: boolean;

  constructor(store: StateStore) {
    this.#store = store;
    const kept = store.value(POSTED_KEY);
    this.#posted = new Set(Array.isArray(kept) ? kept.filter((id) => typeof id === "string") : []);
    this.#isKept = this.#posted.size > 0;
  }

  /** To be called before the batch is sent: its events may be heard of before its answer. */
  expect(batch: Batch): void {
    for (const op of batch.groups.flat()) this.#posted.add(op.opId);
  }

  /** The answer told all: none of these waits to be heard of. */
  settle(batch: Batch): void {
    for (const op of batch.groups.flat()) this.#posted.delete(op.opId);
    if (this.#posted.size === 0) this.#forget();
  }

  /** Writes down what nobody knows the end of; rare, so that an ordinary post costs nothing. */
  keep(): void {
    const posted = [...this.#posted].slice(-KEPT_MAX);
    this.#store.setValue(POSTED_KEY, posted.length === 0 ? undefined : posted);
    this.#isKept = posted.length > 0;
  }

  /** @returns true, once, where this device posted the op. To be called in a transaction. */
  take(opId: OpId): boolean {
    const isOurs = this.#posted.delete(opId);
    if (isOurs && this.#posted.size === 0) this.#forget();
    return isOurs;
  }

  #forget(): void {
    if (this.#isKept) this.#store.setValue(POSTED_KEY, undefined);
    this.#isKept = false;
  }
}

/** What the remote tree has by now is what this disk held: all that differs was done here since. */
export function rebaseOnOwn(store: StateStore, id: NodeId): void {
  const remote = store.remoteRow(id);
  const local = store.local.get(id);
  if (remote === undefined) return;
  if (remote.deleted) {
    if (local === undefined || store.base.get(id) === undefined) return;
    store.forget(id);
    store.putLocal(local);
    return;
  }
  const { parent, name, content, contentVersion, placeVersion } = remote;
  const base = store.base.get(id);
  // The usual end of a post: the disk did not change meanwhile, and all is settled.
  if (base?.contentVersion === contentVersion && base.placeVersion === placeVersion) return;
  const versions = { contentVersion, placeVersion };
  // The stamp of what was posted is not known any more: only bytes tell whether it is back.
  const signature = { identity: local?.identity ?? "", stamp: "" };
  store.putBase({ id, parent, name, content, ...signature, ...versions });
  if (local === undefined) store.removeLocal(id);
  else store.putLocal(local);
}
