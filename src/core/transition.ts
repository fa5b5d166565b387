/**
 * The plan that reconcile makes: ops for the server, transitions for the disk, and bookkeeping.
 * Rules: R12, R14, D2-D6.
 */
import type { NodeId } from "./identifier.ts";
import type { ConflictOrigin, FileContent, LocalNode, NodeState, SymlinkContent } from "./node.ts";
import type { Op } from "./op.ts";

/** An op without the id that makes it a proposal. */
export type OpDraft = Op extends infer O ? (O extends Op ? Omit<O, "opId"> : never) : never;

/**
 * One step on the disk. Steps are ordered so that each finds its parent in place: creates, moves
 * and replaces top-down in the target tree, then deletes bottom-up.
 */
export type Transition =
  /** The disk has nothing of this node, but has its parent. */
  | { readonly kind: "create"; readonly node: NodeState }
  /**
   * Puts new bytes or a new target into a file or symlink that is in its place. `expected` is what
   * the last scan saw there. If anything else comes out of the swap, it is an edit that no scan has
   * seen, and it becomes a conflict copy. `conflict` is set if the expected local bytes lose a
   * content conflict; they get this name.
   */
  | {
      readonly kind: "replace";
      readonly id: NodeId;
      readonly content: FileContent | SymlinkContent;
      readonly expected: LocalNode;
      readonly conflict?: { readonly name: string; readonly of: ConflictOrigin };
    }
  /** Keeps the bytes and changes the executable bit or the mtime. */
  | {
      readonly kind: "metadata";
      readonly id: NodeId;
      readonly content: FileContent;
      readonly expected: LocalNode;
    }
  /** Renames on the disk. The target may be occupied by a node that has itself to go elsewhere. */
  | {
      readonly kind: "move";
      readonly id: NodeId;
      readonly parent: NodeId;
      readonly name: string;
      readonly expected: LocalNode;
      /** Set if the node loses its name and becomes a conflict copy. */
      readonly conflictOf?: ConflictOrigin;
    }
  | { readonly kind: "delete"; readonly id: NodeId; readonly expected: LocalNode };

export function nodeOf(step: Transition): NodeId {
  return step.kind === "create" ? step.node.id : step.id;
}

/**
 * A node that only local has turns out to be the server's node of that place: equal bytes, or two
 * directories that merge.
 */
export interface Adoption {
  readonly local: NodeId;
  readonly remote: NodeId;
}

export interface Plan {
  /**
   * To be done first, top-down. If there are any, the rest of the plan is empty, because the trees
   * change and reconcile runs again.
   */
  readonly adoptions: readonly Adoption[];
  /** One or two ops for each node (move, then modify); group-ops.ts decides their order. */
  readonly ops: ReadonlyMap<NodeId, readonly OpDraft[]>;
  readonly transitions: readonly Transition[];
  /** Local and remote agree, so the base is to be recorded. */
  readonly settled: readonly NodeId[];
  /**
   * Local and remote agree in some aspects in which the base does not. The base takes over those,
   * whatever becomes of the others.
   */
  readonly agreed: readonly NodeId[];
  /**
   * Remote nodes that are not materialised here because they are ignored. They are no longer dirty
   * and nothing is done.
   */
  readonly skipped: readonly NodeId[];
}
