/** The laws of reconcile, over random perturbations of one tree on two sides. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { isBesideHeld } from "../../src/client/plan/beside-held.ts";
import { type NodeId, ROOT_ID } from "../../src/core/identifier.ts";
import type { NodeState } from "../../src/core/node.ts";
import { nodeOf, type Transition } from "../../src/core/transition.ts";
import type { MemoryTree } from "../../src/core/tree.ts";
import { checkLaws, worthOf } from "./planner-laws.ts";
import { checkTree, directory, file, PlannerWorld, paths } from "./planner-world.ts";

/** One edit of one side; the numbers choose among what is there. */
const edit = fc.record({
  kind: fc.constantFrom("write", "touch", "chmod", "create", "mkdir", "move", "delete", "swap"),
  a: fc.nat(1000),
  b: fc.nat(1000),
  name: fc.constantFrom("a", "b", "c", "d"),
});
type Edit = typeof edit extends fc.Arbitrary<infer E> ? E : never;

const story = fc.record({
  base: fc.array(edit, { maxLength: 8 }),
  local: fc.array(edit, { maxLength: 6 }),
  remote: fc.array(edit, { maxLength: 6 }),
  hasBase: fc.boolean(),
});

interface Side {
  readonly tree: MemoryTree<NodeState>;
  put(node: NodeState): void;
  remove(id: NodeId): void;
}

function isBelow(tree: MemoryTree<NodeState>, id: NodeId, above: NodeId): boolean {
  for (let at: NodeId | undefined = id; at !== undefined && at !== ROOT_ID; ) {
    if (at === above) return true;
    at = tree.get(at)?.parent;
  }
  return false;
}

function removeAll(side: Side, id: NodeId): void {
  for (const child of side.tree.children(id)) removeAll(side, child.id);
  side.remove(id);
}

/** @returns the bytes that a person wrote, if the edit wrote any. */
function perform(world: PlannerWorld, side: Side, { kind, a, b, name }: Edit): string | undefined {
  const nodes = [...side.tree.nodes()];
  const node = nodes[a % Math.max(1, nodes.length)];
  const directories = nodes.filter(({ content }) => content.kind === "directory");
  const parent =
    [ROOT_ID, ...directories.map(({ id }) => id)][b % (directories.length + 1)] ?? ROOT_ID;
  const text = `${kind}${world.seq}-${a}-${b}`;
  switch (kind) {
    case "create":
    case "mkdir": {
      if (side.tree.child(parent, name) !== undefined) return undefined;
      const content = kind === "mkdir" ? directory : file(text);
      side.put({ id: world.newId(), parent, name, content });
      return kind === "create" ? text : undefined;
    }
    case "write":
      if (node?.content.kind !== "file") return undefined;
      side.put({ ...node, content: file(text) });
      return text;
    case "touch":
    case "chmod": {
      if (node?.content.kind !== "file") return undefined;
      const content = { ...node.content };
      side.put({
        ...node,
        content:
          kind === "touch" ? { ...content, mtimeNs: `${a}` } : { ...content, executable: true },
      });
      return undefined;
    }
    case "move":
      if (node === undefined || isBelow(side.tree, parent, node.id)) return undefined;
      if (side.tree.child(parent, name) !== undefined) return undefined;
      side.put({ ...node, parent, name });
      return undefined;
    case "swap": {
      const other = nodes[b % Math.max(1, nodes.length)];
      if (node === undefined || other === undefined || node === other) return undefined;
      if (isBelow(side.tree, node.id, other.id) || isBelow(side.tree, other.id, node.id)) {
        return undefined;
      }
      side.remove(other.id);
      side.put({ ...node, parent: other.parent, name: other.name });
      side.put({ ...other, parent: node.parent, name: node.name });
      return undefined;
    }
    case "delete":
      if (node !== undefined) removeAll(side, node.id);
      return undefined;
  }
}

function sides(world: PlannerWorld): { local: Side; remote: Side } {
  return {
    local: {
      tree: world.local,
      put: (node) => world.putLocal(node),
      remove: (id) => world.local.remove(id),
    },
    remote: {
      tree: world.remote,
      put: (node) => world.putRemote(node),
      remove: (id) => world.removeRemote(id),
    },
  };
}

function build(input: typeof story extends fc.Arbitrary<infer S> ? S : never): PlannerWorld {
  const world = new PlannerWorld();
  const { local, remote } = sides(world);
  for (const step of input.base) perform(world, remote, step);
  for (const node of world.remote.nodes()) world.putLocal(node);
  if (input.hasBase) {
    for (const { contentVersion, placeVersion, ...node } of world.remote.nodes()) {
      world.base.put({ ...node, contentVersion, placeVersion, identity: node.id, stamp: "" });
    }
  }
  for (const step of input.local) perform(world, local, step);
  for (const step of input.remote) perform(world, remote, step);
  return world;
}

const RUNS = Number(globalThis.process?.env["SYNCED_TEST_RUNS"] ?? 4_000);

test("reconcile() converges, and every step can be done where it is done [R2] [R3] [R12] [R14]", () => {
  fc.assert(
    fc.property(story, (input) => {
      const world = build(input);
      world.converge();
      checkTree(world.local, "the disk is a tree");
      expect(paths(world.local)).toEqual(paths(world.remote));
    }),
    { numRuns: RUNS, includeErrorInReport: true },
  );
});

test("reconcile() loses no bytes that either side wrote since the base [R4] [R7] [R8]", () => {
  fc.assert(
    fc.property(story, (input) => {
      const world = build(input);
      const before = new Set<string>();
      for (const side of [world.local, world.remote]) {
        for (const { id, content } of side.nodes()) {
          if (content.kind !== "file") continue;
          const base = world.base.get(id)?.content;
          const isNew = base?.kind !== "file" || base.sha256 !== content.sha256;
          if (isNew) before.add(content.sha256);
        }
      }
      world.converge();
      const after = new Set<string>();
      for (const { content } of world.local.nodes()) {
        if (content.kind === "file") after.add(content.sha256);
      }
      for (const digest of before) expect(after.has(digest)).toBe(true);
    }),
    { numRuns: RUNS, includeErrorInReport: true },
  );
});

test("reconcile() without a base deletes nothing on either side [R11]", () => {
  fc.assert(
    fc.property(story, (input) => {
      const world = build({ ...input, hasBase: false });
      for (const plan of world.converge()) {
        const deletes = plan.transitions.filter(({ kind }) => kind === "delete");
        const deleteOps = [...plan.ops.values()].flat().filter(({ kind }) => kind === "delete");
        expect([...deletes, ...deleteOps]).toEqual([]);
      }
    }),
    { numRuns: RUNS, includeErrorInReport: true },
  );
});

test("reconcile() makes no conflict copy when only one side changed [R3]", () => {
  fc.assert(
    fc.property(story, fc.boolean(), (input, isLocal) => {
      const world = build({
        ...input,
        hasBase: true,
        local: isLocal ? input.local : [],
        remote: isLocal ? [] : input.remote,
      });
      const expected = paths(isLocal ? world.local : world.remote);
      world.converge();
      expect(paths(world.local)).toEqual(expected);
      expect(paths(world.remote)).toEqual(expected);
    }),
    { numRuns: RUNS, includeErrorInReport: true },
  );
});

test("reconcile() undoes nothing that only one side changed, aspect by aspect [R1] [R3] [R5] [R6]", () => {
  fc.assert(
    fc.property(story, (input) => {
      const world = build({ ...input, hasBase: true });
      const worth = worthOf(world);
      checkLaws(world, worth, world.converge());
    }),
    { numRuns: RUNS, includeErrorInReport: true },
  );
});

test("what has nothing to do with the rest is planned alone as with all of it [Y11]", () => {
  let alone = 0;
  const law = fc.property(story, fc.nat(), (input, mask) => {
    const world = build({ ...input, hasBase: true });
    const dirty = world.dirty();
    const news = dirty.filter((_, index) => ((mask >> (index % 30)) & 1) === 1);
    const held = new Set(dirty.filter((id) => !news.includes(id)));
    if (news.length === 0 || held.size === 0 || !isBesideHeld(world, news, held)) return;
    const [plan, whole] = [world.plan(news), world.plan(dirty)];
    if (plan.adoptions.length + whole.adoptions.length > 0) return;
    alone += 1;
    const ofNews = (some: readonly NodeId[]) => some.filter((id) => !held.has(id)).sort();
    const steps = whole.transitions.filter((step) => !held.has(nodeOf(step)));
    expect(inOrder(plan.transitions)).toEqual(inOrder(steps));
    expect(ofNews([...plan.ops.keys()])).toEqual(ofNews([...whole.ops.keys()]));
    for (const [id, ops] of plan.ops) expect(ops).toEqual([...(whole.ops.get(id) ?? [])]);
    for (const part of ["settled", "agreed", "skipped"] as const)
      expect(ofNews(plan[part])).toEqual(ofNews(whole[part]));
  });
  fc.assert(law, { numRuns: RUNS, includeErrorInReport: true });
  expect(alone).toBeGreaterThan(RUNS / 40);
});

function inOrder(steps: readonly Transition[]): readonly Transition[] {
  return steps.toSorted((a, b) => (nodeOf(a) + a.kind < nodeOf(b) + b.kind ? -1 : 1));
}
