/** Which dirty nodes are planned together where they are many. Rules: R8, R9, R14, I42. */
import { beforeEach, describe, expect, test } from "bun:test";
import { openStateStore } from "../../src/adapters/state/store.ts";
import { sliceOfDirty } from "../../src/client/plan/dirty-slice.ts";
import { type NodeId, ROOT_ID } from "../../src/core/identifier.ts";
import type { Content } from "../../src/core/node.ts";
import type { StateStore } from "../../src/ports/state-store.ts";
import { fileContent, nodeId } from "../contracts/state-store-contract.ts";

const DIRECTORY: Content = { kind: "directory" };
const FILE = fileContent("file");
const NEW_MAX = 2;

interface Shape {
  readonly parent?: NodeId;
  readonly name?: string;
  readonly content?: Content;
  readonly deleted?: boolean;
}

let store: StateStore;
beforeEach(() => {
  store = openStateStore(":memory:");
});

function putLocal(number: number, shape: Shape = {}): void {
  const { parent = ROOT_ID, name = `n${number}`, content = FILE } = shape;
  const stamps = { identity: `i${number}`, stamp: "s" };
  store.putLocal({ id: nodeId(number), parent, name, content, ...stamps });
}

function putRemote(number: number, seq: number, shape: Shape = {}): void {
  const { parent = ROOT_ID, name = `n${number}`, content = FILE, deleted = false } = shape;
  const versions = { contentVersion: seq, placeVersion: seq };
  store.putRemote({ id: nodeId(number), parent, name, content, deleted, ...versions });
}

function putSettled(number: number, shape: Shape = {}): void {
  putLocal(number, shape);
  putRemote(number, 1, shape);
  store.settle(nodeId(number));
}

function slice(): readonly NodeId[] {
  const { ids, isWhole } = sliceOfDirty(store, NEW_MAX);
  expect(isWhole).toBe(false);
  return [...ids].sort();
}

describe("of many dirty nodes", () => {
  test("a few are planned as a whole [I42]", () => {
    for (const number of [1, 2]) putLocal(number);
    expect(sliceOfDirty(store, NEW_MAX)).toEqual({ ids: [1, 2].map(nodeId), isWhole: true });
  });

  test("those that are new on one side are planned in parts, the oldest first [Y10, I42]", () => {
    for (const number of [5, 4, 3]) putLocal(number);
    for (const number of [9, 8, 7]) putRemote(number, 2);
    expect(slice()).toEqual([4, 5, 8, 9].map(nodeId));
    for (const number of [5, 4]) store.removeLocal(nodeId(number));
    for (const number of [4, 5]) store.clearDirty(nodeId(number));
    expect(slice()).toEqual([3, 8, 9].map(nodeId));
  });

  test("all that were in sync before are planned at once, for the guards [G2]", () => {
    for (const number of [1, 2, 3, 4]) putSettled(number);
    for (const number of [1, 2]) store.removeLocal(nodeId(number));
    for (const number of [3, 4]) putRemote(number, 2, { deleted: true });
    for (const number of [5, 6, 7]) putLocal(number);
    expect(slice()).toEqual([1, 2, 3, 4, 5, 6].map(nodeId));
  });

  test("who stands where another is to be is planned with it [R9, R14]", () => {
    putSettled(1);
    store.removeLocal(nodeId(1));
    putSettled(2);
    putRemote(2, 2, { name: "wanted" });
    for (const number of [3, 4]) putLocal(number);
    putLocal(5, { name: "n1", content: DIRECTORY });
    putLocal(6, { name: "wanted" });
    putLocal(7);
    expect(slice()).toEqual([1, 2, 3, 4, 5, 6].map(nodeId));
  });

  test("the directory that a node moves into is planned with it, and those above it [R14]", () => {
    putSettled(1);
    for (const number of [2, 3]) putRemote(number, 2);
    putRemote(4, 3, { content: DIRECTORY });
    putRemote(5, 3, { content: DIRECTORY, parent: nodeId(4) });
    putRemote(6, 3);
    putRemote(1, 4, { parent: nodeId(5) });
    expect(slice()).toEqual([1, 2, 3, 4, 5].map(nodeId));
  });

  test("what keeps a deleted directory alive is planned with it [R8]", () => {
    putSettled(1, { content: DIRECTORY });
    putRemote(1, 2, { content: DIRECTORY, deleted: true });
    for (const number of [2, 3]) putLocal(number);
    putLocal(4, { parent: nodeId(1) });
    putLocal(5);
    expect(slice()).toEqual([1, 2, 3, 4].map(nodeId));
  });
});
