/**
 * BesideHeld: tells whether news can be planned without the nodes that a guard holds, because
 * nothing that reconcile looks at is among those. Rules: Y5, G2.
 *
 * Pure. It may say no where a plan would be right; then everything is planned.
 */
import { type NodeId, PARKING_ID, ROOT_ID } from "../../core/identifier.ts";
import { PATH_DEPTH_MAX } from "../../core/limits.ts";
import type { NodeState } from "../../core/node.ts";
import type { StateStore } from "../../ports/state-store.ts";

type Trees = Pick<StateStore, "base" | "local" | "remote">;

/** @param news all dirty nodes that are not held */
export function isBesideHeld(
  trees: Trees,
  news: readonly NodeId[],
  held: ReadonlySet<NodeId>,
): boolean {
  const { base, local, remote } = trees;
  return news.every((id) => {
    if (held.has(id)) return false;
    // A directory that both sides had concerns all that is below it.
    if (base.get(id)?.content.kind === "directory") return false;
    return [base, local, remote].every((tree) => {
      const node = tree.get(id);
      return node === undefined || isFreePlace(trees, node, held);
    });
  });
}

/** True if nothing held has or had that place, or stands above it. */
function isFreePlace(
  { base, local, remote }: Trees,
  { parent, name }: NodeState,
  held: ReadonlySet<NodeId>,
): boolean {
  for (const tree of [base, local, remote]) {
    const occupant = tree.child(parent, name);
    if (occupant !== undefined && held.has(occupant.id)) return false;
  }
  let above: NodeId | undefined = parent;
  for (let depth = 0; depth <= PATH_DEPTH_MAX && above !== ROOT_ID; depth += 1) {
    if (above === undefined || above === PARKING_ID || held.has(above)) return false;
    const directory: NodeState | undefined = base.get(above) ?? local.get(above);
    above = (directory ?? remote.get(above))?.parent;
  }
  return above === ROOT_ID;
}
