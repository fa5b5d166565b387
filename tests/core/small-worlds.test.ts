/**
 * All small worlds: every state of one, two and three nodes in base, local and remote, each with
 * every law, and again with an event of somebody else between plan and post. What can go wrong
 * between two people mostly shows with three nodes already, and here none is left to chance.
 * Rules: R1-R11.
 */
import { expect, test } from "bun:test";
import { type NodeId, ROOT_ID } from "../../src/core/identifier.ts";
import type { Content, NodeState } from "../../src/core/node.ts";
import { checkLaws, worthOf } from "./planner-laws.ts";
import { directory, file, nodeId, PlannerWorld } from "./planner-world.ts";

/** A node's state in one tree; undefined: it is not there. */
type State = NodeState | undefined;
/** The states of all nodes in one tree. */
type Tree = readonly State[];
type Trees = readonly [base: Tree, local: Tree, remote: Tree];

const [D, F, G] = [nodeId(101), nodeId(102), nodeId(103)] as const;
const A = file("a");
const B = file("b");
const C = file("c");

function states(id: NodeId, parents: readonly NodeId[], names: string, contents: Content[]) {
  const found: State[] = [undefined];
  for (const parent of parents) {
    for (const name of names) {
      for (const content of contents) found.push({ id, parent, name, content });
    }
  }
  return found;
}

/** Every combination that is a tree: parents are there, no two nodes at one place, no cycle. */
function treesOf(...nodes: readonly (readonly State[])[]): readonly Tree[] {
  let trees: State[][] = [[]];
  for (const options of nodes)
    trees = trees.flatMap((tree) => options.map((one) => [...tree, one]));
  return trees.filter(isTree);
}

function isTree(tree: Tree): boolean {
  const live = new Map(tree.flatMap((node) => (node === undefined ? [] : [[node.id, node]])));
  const places = new Set<string>();
  for (const node of live.values()) {
    const place = `${node.parent}/${node.name}`;
    if (places.has(place)) return false;
    places.add(place);
    let depth = 0;
    for (let at = node.parent; at !== ROOT_ID; depth += 1) {
      const parent = live.get(at);
      if (parent?.content.kind !== "directory" || depth > live.size) return false;
      at = parent.parent;
    }
  }
  return true;
}

function build([base, local, remote]: Trees): PlannerWorld {
  const world = new PlannerWorld();
  const present = (tree: Tree) => tree.filter((node) => node !== undefined);
  for (const node of present(base)) world.putRemote(node);
  for (const node of [...world.remote.nodes()]) {
    const { deleted: _, ...row } = node;
    world.base.put({ ...row, identity: node.id, stamp: "" });
  }
  const kept = new Set(present(remote).map(({ id }) => id));
  for (const { id } of present(base)) if (!kept.has(id)) world.removeRemote(id);
  // Places may have changed hands: all leave before anybody comes.
  const before = new Map([...world.remote.nodes()].map((node) => [node.id, node]));
  for (const id of before.keys()) world.remote.remove(id);
  for (const node of present(remote)) world.putRemote(node, before.get(node.id));
  for (const node of present(local)) world.putLocal(node);
  return world;
}

/** What somebody else may do to one node meanwhile. */
const EVENTS: readonly ((world: PlannerWorld, node: NodeState) => void)[] = [
  (world, node) => world.putRemote({ ...node, name: "theirs" }),
  (world, node) => {
    if (node.content.kind === "file") world.putRemote({ ...node, content: file("theirs") });
  },
  (world, { id }) => {
    if (world.remote.children(id).length === 0) world.removeRemote(id);
  },
];

function hold(trees: Trees): void {
  const world = build(trees);
  const worth = worthOf(world);
  explained(trees, () => checkLaws(world, worth, world.converge()));
}

/** @returns how many were tried. */
function holdLate(trees: Trees): number {
  let count = 0;
  for (const node of trees[2]) {
    if (node === undefined) continue;
    for (const happen of EVENTS) {
      const world = build(trees);
      const plan = world.plan();
      if (plan.ops.size === 0) return count;
      happen(world, node);
      const worth = worthOf(world);
      world.postLate(plan);
      explained(trees, () => checkLaws(world, { ...worth, tree: undefined }, world.converge()));
      count += 1;
    }
  }
  return count;
}

function explained(trees: Trees, check: () => void): void {
  try {
    check();
  } catch (error) {
    const world = build(trees);
    throw new Error(`${error instanceof Error ? error.message : error}\n${world.print()}`);
  }
}

/** Every base, local and remote out of these trees. @returns how many were tried. */
function holdAll(trees: readonly Tree[], { late = false } = {}): number {
  let count = 0;
  for (const base of trees) {
    for (const local of trees) {
      for (const remote of trees) {
        hold([base, local, remote]);
        count += 1;
        if (late) count += holdLate([base, local, remote]);
      }
    }
  }
  return count;
}

const TIMEOUT_MS = 300_000;

test(
  "one file in every state: bytes, bit, time, name [R1] [R3] [R4] [R5] [R6] [R7]",
  () => {
    const contents = [A, B, C].flatMap((content) =>
      [false, true].flatMap((executable) =>
        ["0", "7"].map((mtimeNs) => ({ ...content, executable, mtimeNs })),
      ),
    );
    const trees = treesOf(states(F, [ROOT_ID], "xyz", contents));
    expect(holdAll(trees)).toBe(37 ** 3);
    const some = treesOf(states(F, [ROOT_ID], "xy", contents.slice(0, 8)));
    expect(holdAll(some, { late: true })).toBeGreaterThan(17 ** 3);
  },
  TIMEOUT_MS,
);

test(
  "two files in every state [R1] [R4] [R6] [R7] [R9] [R11]",
  () => {
    const [one, two] = [F, G].map((id) => states(id, [ROOT_ID], "xy", [A, B]));
    const trees = treesOf(one ?? [], two ?? []);
    expect(holdAll(trees, { late: true })).toBeGreaterThan(trees.length ** 3);
  },
  TIMEOUT_MS,
);

test(
  "a directory and a file in every state [R1] [R6] [R7] [R8] [R9] [R11]",
  () => {
    const directories = states(D, [ROOT_ID], "xy", [directory]);
    const files = states(F, [ROOT_ID, D], "xy", [A, B]);
    const trees = treesOf(directories, files);
    expect(holdAll(trees, { late: true })).toBeGreaterThan(trees.length ** 3);
  },
  TIMEOUT_MS,
);

test(
  "two directories and a file, each in every place [R1] [R6] [R8] [R9] [R10]",
  () => {
    const outer = states(D, [ROOT_ID, F], "xy", [directory]);
    const inner = states(F, [ROOT_ID, D], "xy", [directory]);
    const files = states(G, [ROOT_ID, D, F], "x", [A]);
    const trees = treesOf(outer, inner, files);
    expect(holdAll(trees)).toBe(trees.length ** 3);
  },
  TIMEOUT_MS,
);

test(
  "a directory and two files, each in every place [R1] [R4] [R7] [R8] [R9]",
  () => {
    const directories = states(D, [ROOT_ID], "xy", [directory]);
    const [one, two] = [F, G].map((id) => states(id, [ROOT_ID, D], "xy", [A]));
    const trees = treesOf(directories, one ?? [], two ?? []);
    expect(holdAll(trees, { late: true })).toBeGreaterThan(trees.length ** 3);
  },
  TIMEOUT_MS,
);
