/** MemoryTree and pathOf [T1]. */
import { describe, expect, test } from "bun:test";
import { ROOT_ID } from "../../src/core/identifier.ts";
import { MemoryTree, pathOf } from "../../src/core/tree.ts";
import { treeContract } from "../contracts/tree-contract.ts";
import { nodeId } from "../generate/trees.ts";

treeContract("MemoryTree", () => {
  const tree = new MemoryTree();
  return {
    tree,
    put: (node) => tree.put(node),
    remove: (id) => tree.remove(id),
    close: () => undefined,
  };
});

describe("pathOf()", () => {
  const content = { kind: "directory" } as const;

  test("gives the root the empty path [T1]", () => {
    expect(pathOf(new MemoryTree(), ROOT_ID)).toBe("");
  });

  test("gives no path where an ancestor is missing [T1]", () => {
    const orphan = { id: nodeId(2), parent: nodeId(1), name: "b", content };
    expect(pathOf(new MemoryTree([orphan]), orphan.id)).toBeUndefined();
  });

  test("gives no path where the parents form a cycle [T1]", () => {
    const first = { id: nodeId(1), parent: nodeId(2), name: "a", content };
    const second = { id: nodeId(2), parent: nodeId(1), name: "b", content };
    expect(pathOf(new MemoryTree([first, second]), first.id)).toBeUndefined();
  });
});
