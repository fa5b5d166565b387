/**
 * EarlierChanges: the deletions and overwrites from the server that the guard let through, for a
 * day, so that a folder is not taken apart slowly. Kept in memory, for this run. Rules: G14.
 */
import type { Changes, Earlier } from "../core/guard.ts";
import type { Loss } from "../core/guard-evidence.ts";
import type { NodeId } from "../core/identifier.ts";
import { GUARD_DAY_MS, GUARD_EARLIER_NODES_MAX } from "../core/limits.ts";

export class EarlierChanges implements Earlier {
  /** Oldest first, with the time of the last change of each (Clock.monotonic). */
  readonly #deletes = new Map<NodeId, { readonly atMs: number; readonly loss: Loss }>();
  readonly #overwrites = new Map<NodeId, number>();
  #nowMs = 0;

  get deleteCount(): number {
    return this.#deletes.size;
  }

  get overwriteCount(): number {
    return this.#overwrites.size;
  }

  /** Forgets what was a day ago. Call it before each judgement. */
  forgetOld(nowMs: number): void {
    this.#nowMs = nowMs;
    trim(this.#deletes, ({ atMs }) => nowMs - atMs >= GUARD_DAY_MS);
    trim(this.#overwrites, (atMs) => nowMs - atMs >= GUARD_DAY_MS);
  }

  add({ deletes, overwrites }: Pick<Changes, "deletes" | "overwrites">): void {
    const atMs = this.#nowMs;
    for (const [id, loss] of deletes) {
      this.#deletes.delete(id);
      this.#deletes.set(id, { atMs, loss });
    }
    for (const id of overwrites) {
      this.#overwrites.delete(id);
      this.#overwrites.set(id, atMs);
    }
  }

  within(ms: number): Pick<Changes, "deletes" | "overwrites"> {
    const sinceMs = this.#nowMs - ms;
    const deletes = [...this.#deletes].filter(([, { atMs }]) => atMs > sinceMs);
    const overwrites = [...this.#overwrites].filter(([, atMs]) => atMs > sinceMs);
    return {
      deletes: new Map(deletes.map(([id, { loss }]) => [id, loss])),
      overwrites: new Set(overwrites.map(([id]) => id)),
    };
  }
}

/** Drops the oldest entries: those that are too old, and those beyond the bound. */
function trim<Value>(map: Map<NodeId, Value>, isOld: (value: Value) => boolean): void {
  for (const [id, value] of map) {
    if (map.size <= GUARD_EARLIER_NODES_MAX && !isOld(value)) return;
    map.delete(id);
  }
}
