/** "In sync" proves itself: what nobody would look at again is found, told and healed. */

import { expect, test } from "bun:test";
import { openStateStore } from "../../src/adapters/state/store.ts";
import { KEPT } from "../../src/client/folder/kept-values.ts";
import { proveInSync } from "../../src/client/proof.ts";
import { ROOT_ID } from "../../src/core/identifier.ts";
import type { ClientEvent } from "../../src/ports/observer.ts";
import type { StateStore } from "../../src/ports/state-store.ts";
import { fileContent, nodeId } from "../contracts/state-store-contract.ts";

function world() {
  const store = openStateStore(":memory:");
  const events: ClientEvent[] = [];
  const observer = { emit: (event: ClientEvent) => void events.push(event) };
  const clock = { now: () => 1, monotonic: () => 1, sleep: async () => {}, yield: async () => {} };
  return { store, observer, clock, events };
}

function settle(store: StateStore, number: number, name: string): void {
  const node = { id: nodeId(number), parent: ROOT_ID, name, content: fileContent("a") };
  store.putLocal({ ...node, identity: name, stamp: name });
  store.putRemote({ ...node, deleted: false, contentVersion: number, placeVersion: number });
  store.settle(node.id);
}

test("a folder in sync, with what it ignores, is proven [Y8, I43]", () => {
  const { events, ...ports } = world();
  settle(ports.store, 1, "a");
  const ignored = { id: nodeId(2), parent: ROOT_ID, name: "x.log", content: fileContent("b") };
  ports.store.putRemote({ ...ignored, deleted: false, contentVersion: 2, placeVersion: 2 });
  ports.store.clearDirty(ignored.id);
  expect(proveInSync(ports, (path) => path === "x.log")).toBe(true);
  expect(events).toEqual([]);
  expect(ports.store.dirty()).toEqual([]);
});

test("a difference that is not dirty is told, kept and dirty again [Y8, I43]", () => {
  const { events, ...ports } = world();
  const { store } = ports;
  for (const [number, name] of ["a", "b", "c"].entries()) settle(store, number + 1, name);
  store.putLocal({ ...placed(1, "renamed"), identity: "a", stamp: "a" });
  store.putRemote({ ...placed(2, "b", "new"), deleted: false, contentVersion: 9, placeVersion: 2 });
  store.removeLocal(nodeId(3));
  for (const id of store.dirty()) store.clearDirty(id);
  expect(proveInSync(ports, () => true)).toBe(false);
  expect(store.dirty()).toEqual([1, 2, 3].map(nodeId));
  expect(events).toMatchObject([{ event: "error", code: "false_in_sync" }]);
  expect(store.value(KEPT.stray.key)).toMatchObject({ count: 3, rows: [{}, {}, {}] });
});

function placed(number: number, name: string, text = "a") {
  return { id: nodeId(number), parent: ROOT_ID, name, content: fileContent(text) };
}
