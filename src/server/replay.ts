/**
 * Replay: commits a log's events anew, group by group, to find out the tree and all that stands
 * beside an event without being covered by its hash. Pure. Rules: L5, O1.
 */
import { acceptedOp } from "../core/accept.ts";
import { opBodyDigest } from "../core/canonical.ts";
import type { Digest } from "../core/digest.ts";
import type { Event } from "../core/event.ts";
import { foldEvent } from "../core/fold.ts";
import type { NodeId } from "../core/identifier.ts";
import type { RemoteNode } from "../core/node.ts";
import { pathBefore, type ShownPaths, shownPaths } from "./commit.ts";
import { WorkingTree } from "./working-tree.ts";

/** The rest of an event's row. */
export interface Derived extends ShownPaths {
  /** The digest of the op that became the event. */
  readonly body: Digest;
}

export class Replay {
  readonly #tree = new WorkingTree({ nodes: [], childCounts: new Map() });

  /** @param group the events of one group, in order. @returns one for each */
  take(group: readonly Event[]): readonly Derived[] {
    const before = group.map((event) => pathBefore(this.#tree, event));
    for (const event of group) this.#tree.put(foldEvent(event));
    this.#tree.commit();
    return group.map((event, index) => ({
      ...shownPaths(this.#tree, event, before[index]),
      body: opBodyDigest(acceptedOp(event)),
    }));
  }

  /** @returns the node after all groups that were taken, also if it is a tombstone */
  get(id: NodeId): RemoteNode | undefined {
    return this.#tree.get(id);
  }

  /** All nodes that ever were, as they are now. */
  nodes(): Generator<RemoteNode> {
    return this.#tree.touched();
  }

  /** For people: where a node is, or was last. */
  pathOf(node: RemoteNode): string {
    const climb = this.#tree.climb(node);
    return climb.kind === "path" ? climb.path : node.name;
  }
}
