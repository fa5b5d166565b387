/**
 * OthersApprovals: changes that a person approved on the device that made them, until they are done
 * here. Each page of events is kept as a part of its own, because writing all of them anew with
 * each page would cost the square of a large deletion. Rules: G4.
 */

import type { NodeId } from "../../core/identifier.ts";
import type { StateStore } from "../../ports/state-store.ts";
import { othersApprovals, readKept, writeKept } from "../folder/kept-values.ts";

export class OthersApprovals {
  readonly #store: StateStore;
  readonly #nodes = new Set<string>();
  #parts = 0;

  constructor(store: StateStore) {
    this.#store = store;
    for (;;) {
      const part = readKept(store, othersApprovals(this.#parts));
      if (part === undefined) return;
      for (const id of part) this.#nodes.add(id);
      this.#parts += 1;
    }
  }

  has(id: NodeId): boolean {
    return this.#nodes.has(id);
  }

  /** Call it in the transaction that folds the events. */
  add(nodes: readonly NodeId[]): void {
    const fresh = nodes.filter((id) => !this.#nodes.has(id));
    if (fresh.length === 0) return;
    for (const id of fresh) this.#nodes.add(id);
    writeKept(this.#store, othersApprovals(this.#parts), fresh);
    this.#parts += 1;
  }

  /** Call it when nothing is dirty any more, because every approved change has then been done. */
  clear(): void {
    if (this.#parts === 0) return;
    this.#store.transaction(() => {
      for (let part = 0; part < this.#parts; part += 1) {
        writeKept(this.#store, othersApprovals(part), undefined);
      }
    });
    this.#nodes.clear();
    this.#parts = 0;
  }
}
