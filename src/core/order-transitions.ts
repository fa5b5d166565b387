/**
 * Orders the steps on the disk so that each finds its parent in place and, if possible, its own
 * place free. Rules: D5, R10.
 *
 * Placing goes top-down in the merged tree. All ancestors of a place are where they belong before
 * anything is put there, so a directory is never moved below itself. If another node occupies the
 * place on the disk, there are four cases:
 * - The occupant has a step of its own that can be done first (a chain a->b->c). It is done first.
 * - The occupant is a file or symlink that goes away. Its delete is done first.
 * - The occupant is a directory that goes away or whose turn comes later, and the step is a create
 *   or its node stands inside the occupant. The occupant is parked.
 * - In all other cases (a swap, a rotation) the move exchanges the two, and the occupant's own move
 *   finds it elsewhere.
 *
 * The remaining deletes come at the end, bottom-up.
 */
import { assert } from "./error.ts";
import { type NodeId, PARKING_ID, ROOT_ID } from "./identifier.ts";
import { type LocalNode, type NodeState, type Place, placeKey } from "./node.ts";
import { nodeOf, type Transition } from "./transition.ts";
import type { TreeView } from "./tree.ts";

interface Input {
  readonly steps: readonly Transition[];
  readonly local: TreeView<LocalNode>;
  readonly merged: TreeView;
}

type PlacingStep = Extract<Transition, { kind: "create" | "move" }>;

export function orderTransitions(input: Input): readonly Transition[] {
  const placing: PlacingStep[] = [];
  const contents: Transition[] = [];
  const deletes: Extract<Transition, { kind: "delete" }>[] = [];
  for (const step of input.steps) {
    if (step.kind === "create" || step.kind === "move") placing.push(step);
    else if (step.kind === "delete") deletes.push(step);
    else contents.push(step);
  }
  const order = new PlacingOrder(input, placing, deletes);
  const placed = order.run();
  const left = deletes.filter((step) => !order.deleted.has(step.id));
  // An exchange may have put one of these directories into another, so the order follows where they
  // stand after it.
  const depths = new Map(left.map(({ id }) => [id, order.depthNow(id)]));
  left.sort((a, b) => (depths.get(b.id) ?? 0) - (depths.get(a.id) ?? 0));
  return [...placed, ...contents, ...left];
}

class PlacingOrder {
  readonly #local: TreeView<LocalNode>;
  readonly #pending = new Map<NodeId, PlacingStep>();
  readonly #deletes: ReadonlyMap<NodeId, Transition>;
  readonly #sorted: readonly PlacingStep[];
  readonly #inProgress = new Set<NodeId>();
  readonly #result: Transition[] = [];
  /** The disk after the steps so far: node -> place, and place -> node (undefined: free). */
  readonly #places = new Map<NodeId, Place>();
  readonly #occupants = new Map<string, NodeId | undefined>();
  readonly deleted = new Set<NodeId>();

  constructor(
    input: Input,
    placing: readonly PlacingStep[],
    deletes: readonly Extract<Transition, { kind: "delete" }>[],
  ) {
    this.#local = input.local;
    this.#deletes = new Map(deletes.map((step) => [step.id, step]));
    const depth = depthIn(input.merged);
    this.#sorted = [...placing].sort((a, b) => depth(nodeOf(a)) - depth(nodeOf(b)));
    for (const step of this.#sorted) this.#pending.set(nodeOf(step), step);
  }

  run(): readonly Transition[] {
    for (const step of this.#sorted) if (this.#pending.has(nodeOf(step))) this.#place(step);
    return this.#result;
  }

  #place(step: PlacingStep): void {
    const id = nodeOf(step);
    this.#inProgress.add(id);
    const target = placeOf(step);
    let occupant = this.#occupant(target);
    if (occupant !== undefined && occupant !== id) {
      this.#clearFirst(occupant);
      occupant = this.#occupant(target);
    }
    if (occupant !== undefined && occupant !== id) {
      if (step.kind === "create" || this.#isAbove(occupant, id)) this.#park(occupant);
    }
    this.#result.push(step);
    this.#pending.delete(id);
    this.#inProgress.delete(id);
    this.#put(id, target);
  }

  /** Does the occupant's own step first, if that is possible now. */
  #clearFirst(occupant: NodeId): void {
    const removal = this.#deletes.get(occupant);
    const node = this.#local.get(occupant);
    if (removal !== undefined && node !== undefined && node.content.kind !== "directory") {
      this.#result.push(removal);
      this.deleted.add(occupant);
      this.#free(occupant);
      return;
    }
    const step = this.#pending.get(occupant);
    if (step === undefined || step.kind !== "move" || this.#inProgress.has(occupant)) return;
    // The order must stay top-down, so the parent of the occupant's target may not still wait for
    // its own place.
    if (this.#isInPlace(step.parent)) this.#place(step);
  }

  #isInPlace(directory: NodeId): boolean {
    let current = directory;
    while (current !== ROOT_ID && current !== PARKING_ID) {
      if (this.#pending.has(current)) return false;
      const place = this.#places.get(current) ?? this.#local.get(current);
      if (place === undefined) return false;
      current = place.parent;
    }
    return current === ROOT_ID;
  }

  #park(occupant: NodeId): void {
    const expected = this.#local.get(occupant);
    assert(expected !== undefined, "what occupies a place is on disk");
    const place = { parent: PARKING_ID, name: occupant };
    this.#result.push({ kind: "move", id: occupant, ...place, expected });
    this.#put(occupant, place);
  }

  #isAbove(above: NodeId, id: NodeId): boolean {
    let current = this.#placeNow(id)?.parent;
    while (current !== undefined && current !== ROOT_ID && current !== PARKING_ID) {
      if (current === above) return true;
      current = this.#placeNow(current)?.parent;
    }
    return false;
  }

  /** The node's depth after the steps so far. */
  depthNow(id: NodeId): number {
    let depth = 0;
    for (let at = this.#placeNow(id); at !== undefined; at = this.#placeNow(at.parent)) depth += 1;
    return depth;
  }

  #placeNow(id: NodeId): Place | undefined {
    return this.#places.get(id) ?? this.#local.get(id);
  }

  #occupant(place: Place): NodeId | undefined {
    const key = placeKey(place);
    if (this.#occupants.has(key)) return this.#occupants.get(key);
    return this.#local.child(place.parent, place.name)?.id;
  }

  /** Puts `id` at `place`. A node that stands there goes to where `id` was: an exchange. */
  #put(id: NodeId, place: Place): void {
    const occupant = this.#occupant(place);
    const before = this.#placeNow(id);
    if (before !== undefined) this.#occupants.set(placeKey(before), undefined);
    if (occupant !== undefined && occupant !== id && before !== undefined) {
      this.#places.set(occupant, { parent: before.parent, name: before.name });
      this.#occupants.set(placeKey(before), occupant);
    }
    this.#places.set(id, place);
    this.#occupants.set(placeKey(place), id);
  }

  #free(id: NodeId): void {
    const place = this.#placeNow(id);
    if (place !== undefined) this.#occupants.set(placeKey(place), undefined);
  }
}

function placeOf(step: PlacingStep): Place {
  const { parent, name } = step.kind === "create" ? step.node : step;
  return { parent, name };
}

/** The memoised depth of a node in one tree; a node that is not in the tree has depth 0. */
function depthIn(tree: TreeView<NodeState>): (id: NodeId) => number {
  const known = new Map<NodeId, number>([
    [ROOT_ID, 0],
    [PARKING_ID, 0],
  ]);
  const depth = (id: NodeId): number => {
    const memo = known.get(id);
    if (memo !== undefined) return memo;
    const node = tree.get(id);
    const result = node === undefined ? 0 : depth(node.parent) + 1;
    known.set(id, result);
    return result;
  };
  return depth;
}
