/**
 * Puts a plan's ops into groups, in an order in which the server can accept them. Rules: R14, O3,
 * O4.
 *
 * The ops of one node are a unit. A unit needs another unit in three cases: that unit creates or
 * moves its parent; the log has that unit's node at its place, so that node has to leave; or it
 * deletes a directory whose children leave in that unit. If two units contend for one place, each
 * needs the other. So a swap, a chain of renames, or a file that takes a directory's name becomes
 * one group. Units that are strongly connected form one group (Tarjan, "Depth-first search and
 * linear graph algorithms", 1972, which yields them in dependency order). A unit waits for a later
 * plan if it needs a node that has no ops in this one.
 */

import { type NodeId, ROOT_ID } from "./identifier.ts";
import { OPS_PER_GROUP_MAX } from "./limits.ts";
import { setsPlace } from "./op.ts";
import type { OpDraft } from "./transition.ts";
import type { TreeView } from "./tree.ts";

export interface GroupingInput {
  readonly ops: ReadonlyMap<NodeId, readonly OpDraft[]>;
  readonly remote: TreeView;
}

export interface Grouping {
  readonly groups: readonly (readonly OpDraft[])[];
  /** Units that cannot be posted, because their rotation of names is longer than a group may be. */
  readonly oversized: readonly NodeId[];
}

export function groupOps(input: GroupingInput): Grouping {
  const ops = withoutWaiting(input);
  const bound = stronglyConnected(edges({ ops, remote: input.remote }, true));
  const fits = bound.every((units) => sizeOf(ops, units) <= OPS_PER_GROUP_MAX);
  // A chain that is too long for one group can still be posted link by link, from its free end.
  const components = fits ? bound : stronglyConnected(edges({ ops, remote: input.remote }, false));
  const groups: (readonly OpDraft[])[] = [];
  const oversized: NodeId[] = [];
  for (const units of components) {
    if (sizeOf(ops, units) <= OPS_PER_GROUP_MAX) {
      groups.push(units.flatMap((id) => ops.get(id) ?? []));
      continue;
    }
    for (const id of units) oversized.push(id);
  }
  return { groups, oversized };
}

function sizeOf(ops: GroupingInput["ops"], units: readonly NodeId[]): number {
  let size = 0;
  for (const id of units) size += ops.get(id)?.length ?? 0;
  return size;
}

/**
 * Removes units that need a node which is neither in the log nor in this plan. Repeats until none
 * is left.
 */
function withoutWaiting(input: GroupingInput): ReadonlyMap<NodeId, readonly OpDraft[]> {
  const ops = new Map(input.ops);
  const dependents = new Map<NodeId, NodeId[]>();
  const waiting: NodeId[] = [];
  for (const id of ops.keys()) {
    for (const need of needsOf(id, { ops, remote: input.remote })) {
      if (need.met) {
        const list = dependents.get(need.id);
        if (list === undefined) dependents.set(need.id, [id]);
        else list.push(id);
      } else {
        waiting.push(id);
      }
    }
  }
  for (let id = waiting.pop(); id !== undefined; id = waiting.pop()) {
    if (!ops.delete(id)) continue;
    for (const dependent of dependents.get(id) ?? []) {
      const unmet = needsOf(dependent, { ops, remote: input.remote }).some((need) => !need.met);
      if (unmet) waiting.push(dependent);
    }
  }
  return ops;
}

interface Need {
  readonly id: NodeId;
  /** False if nothing in this plan meets the need. */
  readonly met: boolean;
  /** True if the two units contend for one place. */
  readonly contends: boolean;
}

function needsOf(id: NodeId, { ops, remote }: GroupingInput): readonly Need[] {
  const needs: Need[] = [];
  for (const op of ops.get(id) ?? []) {
    switch (op.kind) {
      case "create":
      case "move": {
        const parentOps = ops.get(op.parent);
        const places = parentOps?.some(setsPlace) ?? false;
        const isKnown = isRoot(op.parent) || remote.get(op.parent) !== undefined;
        if (places || !isKnown) needs.push({ id: op.parent, met: places, contends: false });
        if (op.kind === "move") {
          for (const need of movesOutOf(id, op.parent, { ops, remote })) needs.push(need);
        }
        const occupant = remote.child(op.parent, op.name);
        if (occupant !== undefined && occupant.id !== id) {
          needs.push({ id: occupant.id, met: leaves(ops.get(occupant.id)), contends: true });
        }
        break;
      }
      case "delete":
        for (const child of remote.children(id)) {
          needs.push({ id: child.id, met: leaves(ops.get(child.id)), contends: false });
        }
        break;
      case "modify":
        break;
    }
  }
  return needs;
}

/**
 * The log may have `parent` below `id`. Then moving `id` there makes a cycle until a node between
 * them has moved out.
 */
function movesOutOf(id: NodeId, parent: NodeId, { ops, remote }: GroupingInput): readonly Need[] {
  const between: Need[] = [];
  let current = parent;
  while (current !== id) {
    const node = remote.get(current);
    if (node === undefined) return [];
    if (leaves(ops.get(current))) between.push({ id: current, met: true, contends: false });
    current = node.parent;
  }
  return between.length > 0 ? between : [{ id: parent, met: false, contends: false }];
}

/** True if the unit frees the place that the log has the node at. */
function leaves(ops: readonly OpDraft[] | undefined): boolean {
  return ops?.some((op) => op.kind === "delete" || op.kind === "move") ?? false;
}

function isRoot(id: NodeId): boolean {
  return id === ROOT_ID;
}

type Edges = ReadonlyMap<NodeId, ReadonlySet<NodeId>>;

/** Edges lead from each unit to the units that must be accepted before it or together with it. */
function edges(input: GroupingInput, bindContenders: boolean): Edges {
  const result = new Map<NodeId, Set<NodeId>>();
  for (const id of input.ops.keys()) result.set(id, new Set());
  for (const id of input.ops.keys()) {
    for (const need of needsOf(id, input)) {
      result.get(id)?.add(need.id);
      if (bindContenders && need.contends) result.get(need.id)?.add(id);
    }
  }
  return result;
}

/**
 * Tarjan's algorithm without recursion, because a chain in a folder may be longer than the call
 * stack.
 */
function stronglyConnected(graph: Edges): readonly (readonly NodeId[])[] {
  const index = new Map<NodeId, number>();
  const low = new Map<NodeId, number>();
  const onStack = new Set<NodeId>();
  const stack: NodeId[] = [];
  const components: (readonly NodeId[])[] = [];

  const open = (id: NodeId): void => {
    index.set(id, index.size);
    low.set(id, index.size - 1);
    stack.push(id);
    onStack.add(id);
  };
  const lower = (id: NodeId, value: number): void => {
    low.set(id, Math.min(low.get(id) ?? value, value));
  };
  const close = (id: NodeId): void => {
    if (low.get(id) !== index.get(id)) return;
    const members = stack.splice(stack.lastIndexOf(id));
    for (const member of members) onStack.delete(member);
    components.push(members);
  };

  for (const start of graph.keys()) {
    if (index.has(start)) continue;
    open(start);
    const walk = [{ id: start, rest: (graph.get(start) ?? new Set()).values() }];
    for (let top = walk.at(-1); top !== undefined; top = walk.at(-1)) {
      const step = top.rest.next();
      if (step.done === true) {
        walk.pop();
        close(top.id);
        const above = walk.at(-1);
        if (above !== undefined) lower(above.id, low.get(top.id) ?? 0);
      } else if (!index.has(step.value)) {
        open(step.value);
        walk.push({ id: step.value, rest: (graph.get(step.value) ?? new Set()).values() });
      } else if (onStack.has(step.value)) {
        lower(top.id, index.get(step.value) ?? 0);
      }
    }
  }
  return components;
}
