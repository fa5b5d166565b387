/** The contract of every TreeView: what MemoryTree and the stores' trees have in common [T1]. */
import { afterEach, describe, expect, test } from "bun:test";
import fc from "fast-check";
import { type NodeId, ROOT_ID } from "../../src/core/identifier.ts";
import type { NodeState } from "../../src/core/node.ts";
import { pathOf, type TreeView } from "../../src/core/tree.ts";
import { fileOf, nodeId, smallTree } from "../generate/trees.ts";

/** A tree under test. `put` and `remove` are the implementation's own way to change it. */
export interface TreeFixture {
  readonly tree: TreeView;
  put(node: NodeState): void;
  remove(id: NodeId): void;
  close(): void;
}

const DIRECTORY = { kind: "directory" } as const;
const docs: NodeState = { id: nodeId(1), parent: ROOT_ID, name: "docs", content: DIRECTORY };
const plan: NodeState = { id: nodeId(2), parent: docs.id, name: "plan.txt", content: fileOf("p") };
const link: NodeState = {
  id: nodeId(3),
  parent: ROOT_ID,
  name: "link",
  content: { kind: "symlink", target: "../elsewhere" },
};

/** @param make makes an empty tree. */
export function treeContract(name: string, make: () => TreeFixture): void {
  const open: TreeFixture[] = [];
  function fixtureOf(...nodes: readonly NodeState[]): TreeFixture {
    const fixture = make();
    open.push(fixture);
    for (const node of nodes) fixture.put(node);
    return fixture;
  }
  afterEach(() => {
    for (const fixture of open.splice(0)) fixture.close();
  });

  describe(`${name} keeps the contract of a tree`, () => {
    lookups(fixtureOf);
    changes(fixtureOf);
    laws(make);
  });
}

type FixtureOf = (...nodes: readonly NodeState[]) => TreeFixture;

function lookups(fixtureOf: FixtureOf): void {
  test("an empty tree has nothing, not even a row for the root [T1]", () => {
    const { tree } = fixtureOf();
    expect(tree.get(ROOT_ID)).toBeUndefined();
    expect(tree.get(docs.id)).toBeUndefined();
    expect(tree.child(ROOT_ID, "docs")).toBeUndefined();
    expect(tree.children(ROOT_ID)).toEqual([]);
  });

  test("get(), child() and children() find what was put [T1]", () => {
    const { tree } = fixtureOf(docs, plan, link);
    expect(tree.get(plan.id)).toMatchObject(plan);
    expect(tree.child(docs.id, "plan.txt")).toMatchObject(plan);
    expect(tree.child(ROOT_ID, "link")).toMatchObject(link);
    expect(idsOf(tree.children(ROOT_ID))).toEqual([docs.id, link.id]);
    expect(idsOf(tree.children(docs.id))).toEqual([plan.id]);
    expect(tree.children(plan.id)).toEqual([]);
    expect(pathOf(tree, plan.id)).toBe("docs/plan.txt");
  });

  test("child() compares names by their exact bytes [N3, T1]", () => {
    const names = ["a", "A", "\u00e9", "e\u0301", "a\n", "a ", "%", "__proto__", "\u{1f600}"];
    const nodes = names.map(
      (name, index): NodeState => ({
        id: nodeId(index + 1),
        parent: ROOT_ID,
        name,
        content: fileOf(""),
      }),
    );
    const { tree } = fixtureOf(...nodes);
    for (const node of nodes) expect(tree.child(ROOT_ID, node.name)?.id).toBe(node.id);
    expect(tree.child(ROOT_ID, "_")).toBeUndefined();
    expect(tree.child(ROOT_ID, "constructor")).toBeUndefined();
  });

  test("children() comes in the same order when nothing changed [T1]", () => {
    const { tree } = fixtureOf(docs, plan, link);
    expect(tree.children(ROOT_ID)).toEqual(tree.children(ROOT_ID));
  });
}

function changes(fixtureOf: FixtureOf): void {
  test("put() replaces by id: a renamed node leaves its old place [T1]", () => {
    const { tree, put } = fixtureOf(docs, plan);
    put({ ...plan, parent: ROOT_ID, name: "moved.txt" });
    expect(tree.child(docs.id, "plan.txt")).toBeUndefined();
    expect(tree.children(docs.id)).toEqual([]);
    expect(tree.child(ROOT_ID, "moved.txt")?.id).toBe(plan.id);
  });

  test("put() replaces content in place [T1]", () => {
    const { tree, put } = fixtureOf(docs, plan);
    const edited = { ...plan, content: fileOf("edited") };
    put(edited);
    expect(tree.get(plan.id)).toMatchObject(edited);
    expect(idsOf(tree.children(docs.id))).toEqual([plan.id]);
  });

  test("a directory that is renamed keeps its children [T1]", () => {
    const { tree, put } = fixtureOf(docs, plan);
    put({ ...docs, name: "papers" });
    expect(pathOf(tree, plan.id)).toBe("papers/plan.txt");
  });

  test("remove() takes the node out, and its name is free [T1]", () => {
    const { tree, put, remove } = fixtureOf(docs, plan);
    remove(plan.id);
    expect(tree.get(plan.id)).toBeUndefined();
    expect(tree.child(docs.id, "plan.txt")).toBeUndefined();
    expect(tree.children(docs.id)).toEqual([]);
    const heir = { ...plan, id: nodeId(9) };
    put(heir);
    expect(tree.child(docs.id, "plan.txt")).toMatchObject(heir);
  });

  test("remove() of an unknown node is nothing [T1]", () => {
    const { tree, remove } = fixtureOf(docs);
    remove(nodeId(77));
    expect(idsOf(tree.children(ROOT_ID))).toEqual([docs.id]);
  });

  test("two nodes trade names by way of a third one [T1]", () => {
    const other = { ...plan, id: nodeId(5), name: "other.txt" };
    const { tree, put } = fixtureOf(docs, plan, other);
    put({ ...plan, name: "parked" });
    put({ ...other, name: "plan.txt" });
    put({ ...plan, name: "other.txt" });
    expect(tree.child(docs.id, "plan.txt")?.id).toBe(other.id);
    expect(tree.child(docs.id, "other.txt")?.id).toBe(plan.id);
  });
}

function laws(make: () => TreeFixture): void {
  test("any valid tree reads as the list of its nodes says, and empties again [T1]", () => {
    fc.assert(
      fc.property(smallTree(), (nodes) => {
        const fixture = make();
        try {
          for (const node of nodes) fixture.put(node);
          for (const node of nodes) {
            expect(fixture.tree.get(node.id)).toMatchObject(node);
            expect(fixture.tree.child(node.parent, node.name)?.id).toBe(node.id);
            const siblings = nodes.filter((other) => other.parent === node.parent);
            expect(idsOf(fixture.tree.children(node.parent))).toEqual(idsOf(siblings));
          }
          for (const node of nodes.toReversed()) fixture.remove(node.id);
          expect(fixture.tree.children(ROOT_ID)).toEqual([]);
        } finally {
          fixture.close();
        }
      }),
      { numRuns: 30 },
    );
  });
}

function idsOf(nodes: readonly NodeState[]): readonly NodeId[] {
  return nodes.map((node) => node.id).sort();
}
