/**
 * Reconcile: a pure function from the three trees to a plan. Rules: R1-R20.
 *
 * 1. Merge each dirty node on its own (merge.ts). A node that is not dirty is the same in all three
 *    trees.
 * 2. Repair conflicts between merged nodes: a parent that would go while a child lives (R8), a
 *    cycle made by two moves (R10), a place that nobody chose (R6), two nodes for one place (R9).
 *    After that the merged tree is a valid tree.
 * 3. Take the differences. Merged against local gives transitions, merged against remote gives ops.
 *    An op is made only if local already equals merged in that respect (R12), so the log never runs
 *    ahead of the disk.
 *
 * The caller reconciles again after each round, until every dirty node is settled.
 */
import { baseAfterAgreement } from "./base.ts";
import { assert } from "./error.ts";
import type { NodeId } from "./identifier.ts";
import { MergedTree, type ReconcileInput } from "./merged-tree.ts";
import {
  type LocalNode,
  type NodeState,
  type RemoteNode,
  sameBytes,
  sameContent,
  samePlace,
} from "./node.ts";
import { orderTransitions } from "./order-transitions.ts";
import type { OpDraft, Plan, Transition } from "./transition.ts";
import { pathOf } from "./tree.ts";

export function reconcile(input: ReconcileInput): Plan {
  const merged = new MergedTree(input);
  merged.keepParents();
  merged.undoMoves();
  const adoptions = merged.separateNames();
  if (adoptions.length > 0) {
    return { adoptions, ops: new Map(), transitions: [], settled: [], agreed: [], skipped: [] };
  }
  return makePlan(input, merged);
}

/** The difference between the merged tree and each side. */
function makePlan(input: ReconcileInput, merged: MergedTree): Plan {
  const ops = new Map<NodeId, readonly OpDraft[]>();
  const settled: NodeId[] = [];
  const agreed: NodeId[] = [];
  const skipped = new Set<NodeId>();
  const steps: Transition[] = [];
  for (const id of merged.ids()) {
    const target = merged.get(id);
    const local = input.local.get(id);
    const remote = input.remote.get(id);
    if (local === undefined && isSkipped(input, { merged, target, remote })) {
      skipped.add(id);
      continue;
    }
    const nodeSteps = transitionsOf(merged, { target, local });
    const nodeOps = opsOf(input, { id, target, local, remote });
    for (const step of nodeSteps) steps.push(step);
    if (nodeOps.length > 0) ops.set(id, nodeOps);
    if (nodeSteps.length === 0 && nodeOps.length === 0) settled.push(id);
    else if (agreesInPart(input, id)) agreed.push(id);
  }
  return {
    adoptions: [],
    ops,
    transitions: orderTransitions({ steps, local: input.local, merged }),
    settled,
    agreed,
    skipped: [...skipped],
  };
}

function agreesInPart({ base, local, remote }: ReconcileInput, id: NodeId): boolean {
  const before = base.get(id);
  const here = local.get(id);
  const there = remote.get(id);
  if (before === undefined || here === undefined || there === undefined) return false;
  return baseAfterAgreement(before, here, there) !== before;
}

/**
 * R15, A7, A21: if a path is ignored here, itself or by a directory above it, this disk neither
 * gets nor misses it; if something there is withheld, the disk does not miss it.
 */
function isSkipped(
  input: ReconcileInput,
  {
    merged,
    target,
    remote,
  }: Pick<ProposedNode, "target" | "remote"> & { readonly merged: MergedTree },
): boolean {
  const node = target ?? remote;
  if (node === undefined) return false;
  const path = pathOf(target === undefined ? input.remote : merged, node.id);
  assert(path !== undefined, "a live node has a path");
  if (target === undefined && input.withholds?.(path) === true) return true;
  return input.ignores(path, node.content.kind === "directory");
}

interface Difference {
  readonly target: NodeState | undefined;
  readonly local: LocalNode | undefined;
}

function transitionsOf(merged: MergedTree, { target, local }: Difference): readonly Transition[] {
  if (local === undefined) return target === undefined ? [] : [{ kind: "create", node: target }];
  if (target === undefined) return [{ kind: "delete", id: local.id, expected: local }];
  const steps: Transition[] = [];
  const { id, parent, name, content } = target;
  if (!samePlace(local, target)) {
    const conflictOf = merged.conflictOrigins.get(id);
    const move: Transition = { kind: "move", id, parent, name, expected: local };
    steps.push(conflictOf === undefined ? move : { ...move, conflictOf });
  }
  if (!sameContent(local.content, content)) {
    assert(content.kind !== "directory", "directories have no content to change");
    if (content.kind === "file" && sameBytes(local.content, content)) {
      steps.push({ kind: "metadata", id, content, expected: local });
    } else {
      steps.push(replaceStep(merged, target, local));
    }
  }
  return steps;
}

function replaceStep(merged: MergedTree, target: NodeState, local: LocalNode): Transition {
  const { id, content } = target;
  assert(content.kind !== "directory", "directories have no content to change");
  const step: Transition = { kind: "replace", id, content, expected: local };
  if (!merged.contentConflicts.has(id)) return step;
  const losing = { ...target, content: local.content };
  const name = merged.conflictCopyName(losing);
  const version = merged.remoteVersion(id);
  return name === undefined ? step : { ...step, conflict: { name, of: { node: id, version } } };
}

interface ProposedNode extends Difference {
  readonly id: NodeId;
  readonly remote: RemoteNode | undefined;
}

function opsOf(input: ReconcileInput, proposal: ProposedNode): readonly OpDraft[] {
  const { id, target, local, remote } = proposal;
  if (target === undefined) {
    // R12: the disk's node is deleted first. If the log has deleted it already, no op is needed.
    if (remote === undefined || local !== undefined) return [];
    const { contentVersion: baseContent, placeVersion: basePlace } = remote;
    return [{ kind: "delete", node: id, baseContent, basePlace }];
  }
  if (local === undefined) return [];
  const atPlace = samePlace(local, target);
  const hasContent = sameContent(local.content, target.content);
  if (remote === undefined) {
    return atPlace && hasContent ? [createOp(input, target, local)] : [];
  }
  const ops: OpDraft[] = [];
  const { parent, name, content } = target;
  if (atPlace && !samePlace(remote, target)) {
    ops.push({ kind: "move", node: id, parent, name, basePlace: remote.placeVersion });
  }
  if (hasContent && !sameContent(remote.content, target.content)) {
    ops.push({ kind: "modify", node: id, content, baseContent: remote.contentVersion });
  }
  return ops;
}

function createOp(input: ReconcileInput, target: NodeState, local: LocalNode): OpDraft {
  const tombstone = input.remoteRow(target.id);
  const base =
    tombstone === undefined ? 0 : Math.max(tombstone.contentVersion, tombstone.placeVersion);
  const { id, parent, name, content } = target;
  const op: OpDraft = { kind: "create", node: id, parent, name, content, base };
  return local.conflictOf === undefined ? op : { ...op, conflictOf: local.conflictOf };
}
