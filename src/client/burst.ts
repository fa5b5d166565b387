/**
 * Burst: one act of a person that arrives in parts, as `rm -rf` of a large directory does. If a
 * person approves it while it arrives, the approval covers its later parts. Rules: G13.
 */
import type { NodeId } from "../core/identifier.ts";
import { GUARD_WINDOW_MS } from "../core/limits.ts";
import { pathOf, type TreeView } from "../core/tree.ts";
import type { HeldChange } from "../ports/state-store.ts";

export class Burst {
  /** The id of the approved change. */
  readonly id: string;
  readonly #direction: HeldChange["direction"];
  readonly #kinds: ReadonlySet<string>;
  /** The entries of the root at or below which it happens. */
  readonly #tops: ReadonlySet<string>;
  #lastMs: number;

  /** @param nowMs in milliseconds of Clock.monotonic */
  constructor(approved: HeldChange, base: TreeView, nowMs: number) {
    this.id = approved.id;
    this.#direction = approved.direction;
    this.#kinds = new Set(approved.kinds ?? []);
    this.#tops = new Set(approved.nodes.flatMap((id) => topOf(base, id) ?? []));
    this.#lastMs = nowMs;
  }

  /** @returns the held nodes that belong to it; none if it is over. */
  membersOf(held: HeldChange, base: TreeView, nowMs: number): readonly NodeId[] {
    const isOver = nowMs - this.#lastMs >= GUARD_WINDOW_MS;
    if (isOver || held.direction !== this.#direction) return [];
    if (held.kinds?.every((kind) => this.#kinds.has(kind)) !== true) return [];
    const members = held.nodes.filter((id) => this.#tops.has(topOf(base, id) ?? ""));
    if (members.length > 0) this.#lastMs = nowMs;
    return members;
  }
}

function topOf(base: TreeView, id: NodeId): string | undefined {
  return pathOf(base, id)?.split("/")[0];
}

/** True if it is the change that was held before, and more of the same that arrived meanwhile. */
export function isGrown(before: HeldChange, now: HeldChange): boolean {
  if (before.direction !== now.direction || now.nodes.length < before.nodes.length) return false;
  if (before.kinds?.join() !== now.kinds?.join()) return false;
  const nodes = new Set(now.nodes);
  return before.nodes.every((id) => nodes.has(id));
}
