/**
 * The plan that reconcile makes: ops for the server, transitions for the disk, and the rest.
 * Rules: R12, R14, D2-D6.
 */
import type { NodeId } from "./identifier.ts";
import type { ConflictOrigin, FileContent, LocalNode, NodeState, SymlinkContent } from "./node.ts";
import type { Op } from "./op.ts";

/** An op without the id that makes it a proposal. */
export type OpDraft = Op extends infer O ? (O extends Op ? Omit<O, "opId"> : never) : never;

/**
 * One step on the disk. Steps come in an order in which each finds its parent in place: creates,
 * moves and replaces top-down in the target tree, then deletes bottom-up.
 */
export type Transition =
  /** Nothing of this node is on disk; its parent is. */
  | { readonly kind: "create"; readonly node: NodeState }
  /**
   * New bytes or target for a file or symlink that is in its place. `expected` is what the last
   * scan saw there; anything else that comes out of the swap is a user's unseen edit and becomes a
   * conflict copy. `conflict` is set when the expected local bytes lose a content conflict: they
   * get this name.
   */
  | {
      readonly kind: "replace";
      readonly id: NodeId;
      readonly content: FileContent | SymlinkContent;
      readonly expected: LocalNode;
      readonly conflict?: { readonly name: string; readonly of: ConflictOrigin };
    }
  /** Same bytes, other executable bit or mtime. */
  | {
      readonly kind: "metadata";
      readonly id: NodeId;
      readonly content: FileContent;
      readonly expected: LocalNode;
    }
  /** A rename on disk. The target may be occupied by a node that has itself to go elsewhere. */
  | {
      readonly kind: "move";
      readonly id: NodeId;
      readonly parent: NodeId;
      readonly name: string;
      readonly expected: LocalNode;
      /** Set where the node loses its name and becomes a conflict copy. */
      readonly conflictOf?: ConflictOrigin;
    }
  | { readonly kind: "delete"; readonly id: NodeId; readonly expected: LocalNode };

/** The node that a step is about. */
export function nodeOf(step: Transition): NodeId {
  return step.kind === "create" ? step.node.id : step.id;
}

/**
 * A local-only node that is the server's node of that place: equal bytes, or directories that
 * merge.
 */
export interface Adoption {
  readonly local: NodeId;
  readonly remote: NodeId;
}

export interface Plan {
  /**
   * To be done first, top-down; where there are any, the rest is empty: the trees change and
   * reconcile runs again.
   */
  readonly adoptions: readonly Adoption[];
  /** For each node its one or two ops (move, then modify); see group-ops.ts for their order. */
  readonly ops: ReadonlyMap<NodeId, readonly OpDraft[]>;
  readonly transitions: readonly Transition[];
  /** Local and remote agree: record the base. */
  readonly settled: readonly NodeId[];
  /**
   * Local and remote agree in some aspects in which the base does not: the base takes those over,
   * whatever becomes of the others.
   */
  readonly agreed: readonly NodeId[];
  /** Remote nodes that are not materialised here (ignored): no longer dirty, nothing done. */
  readonly skipped: readonly NodeId[];
}
