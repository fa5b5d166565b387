/** Restoring: how a node is to be that is now another than it was at an earlier moment. Rules: E9. */
import type { NodeState, RemoteNode } from "./node.ts";
import type { Wanted } from "./wanted-tree.ts";

/** A node as of the earlier moment. */
export interface Earlier extends Pick<NodeState, "parent" | "name" | "content"> {
  /** True if it was within what is restored. */
  readonly isWithin: boolean;
}

/**
 * A node that was there comes back whole. One that was nowhere goes. One that was elsewhere goes
 * back there with the content that it has now, if that place is still to be had.
 *
 * @param now a tombstone if it was deleted
 */
export function restoredState(now: RemoteNode, then: Earlier | undefined): Wanted {
  if (then === undefined) return { kind: "gone" };
  const { parent, name, content, isWithin } = then;
  const place = { parent, name };
  if (isWithin) return { kind: "live", place, content };
  return { kind: "live", place, content: now.content, isOptional: true };
}
