/** Ops whose answers were lost: what comes back of them is the base of what the disk holds by now. */
import { describe, expect, test } from "bun:test";
import { openStateStore } from "../../src/adapters/state/store.ts";
import { OwnOps } from "../../src/client/connect/own-ops.ts";
import type { Event, EventKind } from "../../src/core/event.ts";
import type { BatchId, DeviceId, OpId } from "../../src/core/identifier.ts";
import { ROOT_ID } from "../../src/core/identifier.ts";
import type { FileContent, LocalNode, RemoteNode } from "../../src/core/node.ts";
import type { Batch } from "../../src/core/op.ts";
import { reconcile } from "../../src/core/reconcile.ts";
import type { StateStore } from "../../src/ports/state-store.ts";
import { fileContent, nodeId } from "../contracts/state-store-contract.ts";

const FILE = nodeId(1);

function local(content: FileContent, name = "a"): LocalNode {
  return { id: FILE, parent: ROOT_ID, name, content, identity: "i1", stamp: "s1" };
}

function remote(seq: number, content: FileContent, name = "a"): RemoteNode {
  const versions = { contentVersion: seq, placeVersion: 1, deleted: false };
  return { id: FILE, parent: ROOT_ID, name, content, ...versions };
}

/** What an op of this device became. */
function event(kind: EventKind, seq: number, change: Partial<Event> = {}): Event {
  const content = fileContent("v1");
  const hash = content.sha256;
  return {
    seq,
    time: "2026-01-01T00:00:00.000Z",
    device: nodeId(8) as string as DeviceId,
    opId: nodeId(seq) as string as OpId,
    batch: nodeId(9) as string as BatchId,
    groupEnd: true,
    kind,
    node: FILE,
    parent: ROOT_ID,
    name: "a",
    content,
    baseContent: kind === "create" ? 0 : 1,
    basePlace: kind === "create" ? 0 : 1,
    previousHash: hash,
    hash,
    ...change,
  };
}

function settled(): StateStore {
  const store = openStateStore(":memory:");
  store.putLocal(local(fileContent("v0")));
  store.putRemote(remote(1, fileContent("v0")));
  store.settle(FILE);
  return store;
}

function plan(store: StateStore) {
  return reconcile({
    base: store.base,
    local: store.local,
    remote: store.remote,
    remoteRow: (id) => store.remoteRow(id),
    dirty: store.dirty(),
    ignores: () => false,
    device: "alpha",
  });
}

function batch(opId: string): Batch {
  const cursor = { epoch: nodeId(7), seq: 1, hash: fileContent("x").sha256 };
  const op = { kind: "modify", opId, node: FILE, base: 1, content: fileContent("v1") };
  const parts = { device: nodeId(8), batch: nodeId(9), cursor, groups: [[op]] };
  return parts as unknown as Batch;
}

describe("an op whose answer was lost", () => {
  test("is the base of a later edit: no conflict, and the edit goes up [Y17, F12, R3]", () => {
    const store = settled();
    store.putLocal(local(fileContent("v2")));
    store.agreeOwn(event("modify", 2));
    const { ops, transitions } = plan(store);
    expect(transitions).toEqual([]);
    expect([...ops.values()].flat()).toMatchObject([
      { kind: "modify", content: { sha256: fileContent("v2").sha256 } },
    ]);
  });

  test("that was undone since is undone on the server too [F12, R3]", () => {
    const store = settled();
    store.agreeOwn(event("modify", 2));
    const { ops, transitions } = plan(store);
    expect(transitions).toEqual([]);
    expect([...ops.values()].flat()).toMatchObject([{ kind: "modify" }]);
  });

  test("that deleted a file which is back by now does not take it away again [F12, R7]", () => {
    const store = settled();
    store.agreeOwn(event("delete", 2, { content: fileContent("v0") }));
    expect(store.local.get(FILE)).toEqual(local(fileContent("v0")));
    const { ops, transitions } = plan(store);
    expect(transitions).toEqual([]);
    expect([...ops.values()].flat()).toMatchObject([{ kind: "create" }]);
  });

  test("that made a file which is gone by now does not bring it back [F12, I6]", () => {
    const store = openStateStore(":memory:");
    store.agreeOwn(event("create", 2));
    const { ops, transitions } = plan(store);
    expect(transitions).toEqual([]);
    expect([...ops.values()].flat()).toMatchObject([{ kind: "delete" }]);
  });

  test("does not claim that the disk held what others did meanwhile [S6, R1]", () => {
    const store = settled();
    store.putLocal(local(fileContent("v0"), "b"));
    // Somebody else's new bytes come first, then this device's rename, which knew nothing of them.
    store.putRemote(remote(2, fileContent("theirs")));
    store.agreeOwn(event("move", 3, { name: "b", content: fileContent("theirs"), baseContent: 2 }));
    expect(store.base.get(FILE)).toMatchObject({ name: "b", content: fileContent("v0") });
    const { ops, transitions } = plan(store);
    expect([...ops.values()]).toEqual([]);
    expect(transitions).toMatchObject([{ kind: "replace", content: fileContent("theirs") }]);
  });

  test("does not claim that the disk held a rename of others meanwhile [S6, R1]", () => {
    const store = settled();
    store.putLocal(local(fileContent("v1")));
    store.putRemote({ ...remote(1, fileContent("v0"), "theirs"), placeVersion: 2 });
    store.agreeOwn(event("modify", 3, { name: "theirs", basePlace: 2 }));
    expect(store.base.get(FILE)).toMatchObject({ name: "a", content: fileContent("v1") });
    const { ops, transitions } = plan(store);
    expect([...ops.values()]).toEqual([]);
    expect(transitions).toMatchObject([{ kind: "move", name: "theirs" }]);
  });

  test("is known after a kill, once [Y17, Y18, F12, F14]", () => {
    const store = settled();
    new OwnOps(store).expect(batch("op-1"));
    const later = new OwnOps(store);
    expect(later.take("op-1" as OpId)).toBe(true);
    expect(later.take("op-1" as OpId)).toBe(false);
    expect(new OwnOps(store).take("op-1" as OpId)).toBe(false);
  });

  test("that was never sent is not waited for [F12]", () => {
    const store = settled();
    const own = new OwnOps(store);
    own.expect(batch("op-1"));
    own.answered(batch("op-1"));
    expect(own.take("op-1" as OpId)).toBe(false);
    expect(store.value("posted")).toBeUndefined();
  });
});
