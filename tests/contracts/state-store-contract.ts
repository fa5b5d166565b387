/** What every StateStore must do, whatever keeps it. Rules: S1, S2, S5, S6, S10, T1. */
import { beforeEach, describe, expect, test } from "bun:test";
import { type Digest, sha256 } from "../../src/core/digest.ts";
import type { Event, EventKind } from "../../src/core/event.ts";
import type { BatchId, DeviceId, Epoch, NodeId, OpId } from "../../src/core/identifier.ts";
import { ROOT_ID } from "../../src/core/identifier.ts";
import { CURSORS_RECENT_MAX } from "../../src/core/limits.ts";
import type { Content, FileContent, LocalNode, RemoteNode } from "../../src/core/node.ts";
import { pathOf } from "../../src/core/tree.ts";
import type { StateStore } from "../../src/ports/state-store.ts";

export function nodeId(number: number): NodeId {
  return number.toString(16).padStart(32, "0") as NodeId;
}

export function fileContent(text: string, change: Partial<FileContent> = {}): FileContent {
  const digest = sha256(text);
  return {
    kind: "file",
    manifest: digest,
    depth: 0,
    sha256: digest,
    size: new TextEncoder().encode(text).length,
    executable: false,
    mtimeNs: "1700000000000000001",
    ...change,
  };
}

const DIRECTORY: Content = { kind: "directory" };

function localNode(
  number: number,
  name: string,
  content: Content,
  change: Partial<LocalNode> = {},
): LocalNode {
  const id = nodeId(number);
  return {
    id,
    parent: ROOT_ID,
    name,
    content,
    identity: `i${number}`,
    stamp: `s${number}`,
    ...change,
  };
}

function remoteNode(
  number: number,
  name: string,
  content: Content,
  change: Partial<RemoteNode> = {},
): RemoteNode {
  const versions = { contentVersion: number, placeVersion: number, deleted: false };
  return { id: nodeId(number), parent: ROOT_ID, name, content, ...versions, ...change };
}

/** What an op of this device on node `number` became; others' versions are 1 and 2. */
function ownEvent(
  seq: number,
  number: number,
  kind: EventKind,
  name: string,
  content: Content,
): Event {
  const id = nodeId(seq) as string;
  const hash = sha256("");
  return {
    seq,
    time: "2026-01-01T00:00:00.000Z",
    device: id as DeviceId,
    opId: id as OpId,
    batch: id as BatchId,
    groupEnd: true,
    kind,
    node: nodeId(number),
    parent: ROOT_ID,
    name,
    content,
    baseContent: kind === "create" ? 0 : Math.min(2, seq - 1),
    basePlace: kind === "create" ? 0 : 1,
    previousHash: hash,
    hash,
  };
}

/** Both sides have the node and the base is recorded. */
function putSettled(store: StateStore, number: number, name: string, content: Content): void {
  store.putLocal(localNode(number, name, content));
  store.putRemote(remoteNode(number, name, content));
  store.settle(nodeId(number));
}

/** @param open makes a new, empty store. */
export function stateStoreContract(name: string, open: () => StateStore): void {
  describe(`${name}: StateStore`, () => {
    let store: StateStore;
    beforeEach(() => {
      store = open();
    });

    const a = fileContent("a");
    const b = fileContent("b");

    describe("trees", () => {
      test("a new local node is in the local tree alone and dirty [T1]", () => {
        const node = localNode(1, "a", a);
        store.putLocal(node);
        expect(store.local.get(node.id)).toEqual(node);
        expect(store.local.child(ROOT_ID, "a")).toEqual(node);
        expect(store.local.children(ROOT_ID)).toEqual([node]);
        expect(store.base.get(node.id)).toBeUndefined();
        expect(store.remote.get(node.id)).toBeUndefined();
        expect(store.dirty()).toEqual([node.id]);
      });

      test("a settled node is in all three trees and clean [S2]", () => {
        putSettled(store, 1, "a", a);
        const { id, parent, name, content, identity, stamp } = localNode(1, "a", a);
        const base = { id, parent, name, content, identity, stamp };
        expect(store.base.get(id)).toEqual({ ...base, contentVersion: 1, placeVersion: 1 });
        expect(store.local.get(id)).toEqual(base);
        expect(store.remote.get(id)).toEqual(remoteNode(1, "a", a));
        expect(store.dirty()).toEqual([]);
      });

      test("all kinds and every field of theirs come back as they were put [T1]", () => {
        const big = fileContent("big", {
          manifest: sha256("manifest"),
          depth: 2,
          size: Number.MAX_SAFE_INTEGER,
          executable: true,
          mtimeNs: "-9223372036854775807",
        });
        const nodes = [
          localNode(1, "big \n\t\u0001 name 𝄞", big),
          localNode(2, "e\u0301", DIRECTORY),
          localNode(3, "\u00e9", { kind: "symlink", target: "../no where\\" }),
          localNode(4, "copy", a, { conflictOf: { node: nodeId(9), version: 7 } }),
        ];
        for (const node of nodes) store.putLocal(node);
        for (const node of nodes) {
          expect(store.local.get(node.id)).toEqual(node);
          expect(store.local.child(ROOT_ID, node.name)).toEqual(node);
        }
      });

      test("an overlay row hides its base row under the old place, in local and remote [T1]", () => {
        putSettled(store, 1, "d", DIRECTORY);
        putSettled(store, 2, "a", a);
        store.putLocal(localNode(2, "moved", a, { parent: nodeId(1) }));
        store.putRemote(remoteNode(2, "renamed", a, { placeVersion: 3 }));
        expect(store.local.child(ROOT_ID, "a")).toBeUndefined();
        expect(store.local.children(ROOT_ID).map((node) => node.name)).toEqual(["d"]);
        expect(store.local.children(nodeId(1)).map((node) => node.name)).toEqual(["moved"]);
        expect(pathOf(store.local, nodeId(2))).toBe("d/moved");
        expect(store.remote.child(ROOT_ID, "a")).toBeUndefined();
        expect(pathOf(store.remote, nodeId(2))).toBe("renamed");
        expect(pathOf(store.base, nodeId(2))).toBe("a");
      });

      test("putLocal() equal to the base takes the stamp and leaves no overlay or mark [S2]", () => {
        putSettled(store, 1, "a", a);
        store.putLocal(localNode(1, "a", b));
        expect(store.dirty()).toEqual([nodeId(1)]);
        store.putLocal(localNode(1, "a", a, { stamp: "later", identity: "other" }));
        expect(store.dirty()).toEqual([]);
        expect(store.base.get(nodeId(1))).toMatchObject({ stamp: "later", identity: "other" });
        expect(store.local.get(nodeId(1))).toMatchObject({ stamp: "later", content: a });
      });

      test("putLocal() equal to the base keeps the mark while the remote differs [S2]", () => {
        putSettled(store, 1, "a", a);
        store.putRemote(remoteNode(1, "a", b, { contentVersion: 2 }));
        store.putLocal(localNode(1, "a", a, { stamp: "later" }));
        expect(store.dirty()).toEqual([nodeId(1)]);
      });

      test("removeLocal() hides the node locally and marks it [T1]", () => {
        putSettled(store, 1, "a", a);
        store.removeLocal(nodeId(1));
        expect(store.local.get(nodeId(1))).toBeUndefined();
        expect(store.local.child(ROOT_ID, "a")).toBeUndefined();
        expect(store.local.children(ROOT_ID)).toEqual([]);
        expect(store.localByIdentity("i1")).toBeUndefined();
        expect(store.base.get(nodeId(1))).toBeDefined();
        expect(store.dirty()).toEqual([nodeId(1)]);
        store.putLocal(localNode(1, "a", a));
        expect(store.local.get(nodeId(1))).toBeDefined();
        expect(store.dirty()).toEqual([]);
      });

      test("that a going was seen is known until the node is back or settled [A12]", () => {
        for (const number of [1, 2, 3]) putSettled(store, number, `${number}`, a);
        store.removeLocal(nodeId(1), true);
        store.removeLocal(nodeId(1));
        store.removeLocal(nodeId(2));
        expect([1, 2, 3].map((n) => store.wasSeenGoing(nodeId(n)))).toEqual([true, false, false]);
        expect(store.local.get(nodeId(1))).toBeUndefined();
        expect(store.local.child(ROOT_ID, "1")).toBeUndefined();
        expect(store.local.children(ROOT_ID).map(({ name }) => name)).toEqual(["3"]);
        store.putLocal(localNode(1, "1", a));
        expect(store.wasSeenGoing(nodeId(1))).toBe(false);
      });

      test("removeLocal() of a node without a base leaves nothing but the mark [T1]", () => {
        store.putLocal(localNode(1, "a", a));
        store.removeLocal(nodeId(1));
        expect(store.local.get(nodeId(1))).toBeUndefined();
        expect(store.dirty()).toEqual([nodeId(1)]);
        store.settle(nodeId(1));
        expect(store.dirty()).toEqual([]);
      });

      test("localByIdentity() finds base and overlay rows, the lowest id of two [A1]", () => {
        putSettled(store, 2, "a", a);
        expect(store.localByIdentity("i2")?.id).toBe(nodeId(2));
        store.putLocal(localNode(1, "link", a, { identity: "i2" }));
        expect(store.localByIdentity("i2")?.id).toBe(nodeId(1));
        store.putLocal(localNode(2, "a", b, { identity: "new" }));
        expect(store.localByIdentity("new")?.content).toEqual(b);
        expect(store.localByIdentity("none")).toBeUndefined();
      });
    });

    describe("remote", () => {
      test("putRemote() takes content and place each by its own version [L5]", () => {
        const id = nodeId(1);
        store.putRemote(remoteNode(1, "a", a, { contentVersion: 5, placeVersion: 5 }));
        store.putRemote(remoteNode(1, "x", b, { contentVersion: 7, placeVersion: 4 }));
        expect(store.remote.get(id)).toMatchObject({ name: "a", content: b, contentVersion: 7 });
        store.putRemote(remoteNode(1, "y", a, { contentVersion: 6, placeVersion: 8 }));
        const merged = { name: "y", content: b, contentVersion: 7, placeVersion: 8 };
        expect(store.remote.get(id)).toMatchObject(merged);
      });

      test("putRemote() of an older or equal state changes and marks nothing [L5]", () => {
        putSettled(store, 5, "a", a);
        store.putRemote(remoteNode(5, "z", b, { contentVersion: 4, placeVersion: 5 }));
        expect(store.remote.get(nodeId(5))).toEqual(remoteNode(5, "a", a));
        expect(store.dirty()).toEqual([]);
      });

      test("a tombstone is a row but not in the tree, and an older life cannot undo it [L5]", () => {
        const grave = { contentVersion: 9, placeVersion: 9, deleted: true };
        putSettled(store, 1, "a", a);
        store.putRemote(remoteNode(1, "a", a, grave));
        store.putRemote(remoteNode(1, "a", b, { contentVersion: 3, placeVersion: 3 }));
        expect(store.remote.get(nodeId(1))).toBeUndefined();
        expect(store.remote.children(ROOT_ID)).toEqual([]);
        expect(store.remoteRow(nodeId(1))).toEqual(remoteNode(1, "a", a, grave));
        const revived = { contentVersion: 12, placeVersion: 12 };
        store.putRemote(remoteNode(1, "b", b, revived));
        expect(store.remote.get(nodeId(1))).toEqual(remoteNode(1, "b", b, revived));
      });

      test("agreeing sides are settled in one step, others are only recorded [S2] [R2]", () => {
        const one = open();
        const two = open();
        putSettled(two, 1, "a", a);
        one.putRemote(remoteNode(1, "a", a));
        one.agreeLocal(localNode(1, "a", a));
        expect(one.base.get(nodeId(1))).toEqual(two.base.get(nodeId(1)));
        expect(one.dirty()).toEqual([]);
        one.agreeLocal(localNode(1, "a", b));
        expect(one.local.get(nodeId(1))?.content).toEqual(b);
        expect(one.base.get(nodeId(1))?.content).toEqual(a);
        expect(one.dirty()).toEqual([nodeId(1)]);
        one.agreeOwn(ownEvent(2, 1, "modify", "a", b));
        expect(one.base.get(nodeId(1))).toMatchObject({ content: b, contentVersion: 2 });
        expect(one.dirty()).toEqual([]);
        one.agreeOwn(ownEvent(3, 1, "move", "c", b));
        expect(one.remote.get(nodeId(1))?.name).toBe("c");
        expect(one.base.get(nodeId(1))).toMatchObject({ name: "c", placeVersion: 3 });
        expect(one.local.get(nodeId(1))?.name).toBe("a");
        expect(one.dirty()).toEqual([nodeId(1)]);
        for (const store of [one, two]) store.close();
      });

      test("an own event moves the base on in what it was about, in nothing else [S6] [R1]", () => {
        putSettled(store, 1, "a", a);
        store.putLocal(localNode(1, "b", a));
        store.putRemote(remoteNode(1, "a", b, { contentVersion: 2 }));
        store.agreeOwn(ownEvent(3, 1, "move", "b", b));
        const aspects = { name: "b", content: a, contentVersion: 1, placeVersion: 3 };
        expect(store.base.get(nodeId(1))).toMatchObject(aspects);
        expect(store.local.get(nodeId(1))).toMatchObject({ name: "b", content: a });
        expect(store.remote.get(nodeId(1))).toMatchObject({ content: b, contentVersion: 2 });
        expect(store.dirty()).toEqual([nodeId(1)]);
      });

      test("what was done here moves the base on in that alone [S6] [R1] [I15]", () => {
        putSettled(store, 1, "a", a);
        const version = { contentVersion: 2, placeVersion: 3 };
        store.putRemote(remoteNode(1, "c", b, version));
        store.agreeLocal(localNode(1, "c", a));
        expect(store.base.get(nodeId(1))).toMatchObject({ name: "c", content: a });
        // The user wrote by chance what the log has; nobody has synced it.
        store.putLocal(localNode(1, "c", b));
        store.putRemote(remoteNode(1, "d", b, { contentVersion: 2, placeVersion: 4 }));
        store.agreeLocal(localNode(1, "d", b));
        expect(store.base.get(nodeId(1))).toMatchObject({ name: "d", content: a });
        expect(store.dirty()).toEqual([nodeId(1)]);
        store.agree(nodeId(1));
        expect(store.base.get(nodeId(1))).toMatchObject({ name: "d", content: b });
        expect(store.dirty()).toEqual([]);
      });

      test("agree() takes over name, parent, bytes, bit and time each on its own [S6] [R1]", () => {
        putSettled(store, 1, "a", a);
        const parent = nodeId(5);
        const theirs = fileContent("b", { executable: true, mtimeNs: "5" });
        const ours = fileContent("b", { executable: true, mtimeNs: "6" });
        store.putRemote(remoteNode(1, "x", theirs, { parent, contentVersion: 7, placeVersion: 8 }));
        store.putLocal(localNode(1, "y", ours, { parent }));
        store.agree(nodeId(1));
        const base = store.base.get(nodeId(1));
        const content = fileContent("b", { executable: true });
        expect(base).toMatchObject({ parent, name: "a", content });
        expect(base).toMatchObject({ contentVersion: 1, placeVersion: 1 });
        expect(store.local.get(nodeId(1))).toMatchObject({ parent, name: "y", content: ours });
        expect(store.remote.get(nodeId(1))).toMatchObject({ parent, name: "x", content: theirs });
        expect(store.dirty()).toEqual([nodeId(1)]);
      });

      test("a deletion is agreed on where the disk has nothing either [S2]", () => {
        putSettled(store, 1, "a", a);
        store.removeLocal(nodeId(1));
        store.agreeOwn(ownEvent(2, 1, "delete", "a", a));
        expect(store.base.get(nodeId(1))).toBeUndefined();
        expect(store.remoteRow(nodeId(1))).toBeUndefined();
        putSettled(store, 3, "c", a);
        store.agreeOwn(ownEvent(4, 3, "delete", "c", a));
        // It stands there again: that is new, and what was is a tombstone.
        expect(store.base.get(nodeId(3))).toBeUndefined();
        expect(store.local.get(nodeId(3))?.name).toBe("c");
        expect(store.remote.get(nodeId(3))).toBeUndefined();
        expect(store.remoteRow(nodeId(3))).toMatchObject({ deleted: true, contentVersion: 4 });
        expect(store.dirty()).toEqual([nodeId(3)]);
      });

      test("overlaid() tells what differs from the base and is not dirty [Y8]", () => {
        putSettled(store, 1, "a", a);
        store.putLocal(localNode(2, "b", b));
        store.putRemote(remoteNode(3, "c", a));
        putSettled(store, 4, "d", a);
        store.putRemote(
          remoteNode(4, "d", a, { contentVersion: 9, placeVersion: 9, deleted: true }),
        );
        expect(store.overlaid()).toEqual([]);
        for (const id of store.dirty()) store.clearDirty(id);
        expect([...store.overlaid()].sort()).toEqual([2, 3, 4].map(nodeId));
      });

      test("what a transaction that failed wrote is not remembered [I15]", () => {
        putSettled(store, 1, "a", a);
        const fail = () => {
          store.agreeLocal(localNode(1, "b", b));
          expect(store.local.get(nodeId(1))?.name).toBe("b");
          throw new Error("fails");
        };
        expect(() => store.transaction(fail)).toThrow("fails");
        expect(store.local.get(nodeId(1))?.name).toBe("a");
        expect(store.dirty()).toEqual([]);
      });

      test("settle() of a deletion on both sides leaves nothing of the node [S2]", () => {
        putSettled(store, 1, "a", a);
        store.removeLocal(nodeId(1));
        const grave = { contentVersion: 2, placeVersion: 2, deleted: true };
        store.putRemote(remoteNode(1, "a", a, grave));
        store.settle(nodeId(1));
        expect(store.base.get(nodeId(1))).toBeUndefined();
        expect(store.remoteRow(nodeId(1))).toBeUndefined();
        expect(store.counts()).toEqual({ files: 0, directories: 0, symlinks: 0, dirty: 0 });
      });

      test("settle() refuses sides that differ in presence, place, bytes or bit [S2]", () => {
        store.putLocal(localNode(1, "a", a));
        expect(() => store.settle(nodeId(1))).toThrow("Broken invariant");
        store.putRemote(remoteNode(1, "b", a));
        expect(() => store.settle(nodeId(1))).toThrow("Broken invariant");
        store.putRemote(remoteNode(1, "a", b, { contentVersion: 2, placeVersion: 2 }));
        expect(() => store.settle(nodeId(1))).toThrow("Broken invariant");
        const bit = fileContent("a", { executable: true });
        store.putRemote(remoteNode(1, "a", bit, { contentVersion: 3 }));
        expect(() => store.settle(nodeId(1))).toThrow("Broken invariant");
        expect(store.base.get(nodeId(1))).toBeUndefined();
        expect(store.dirty()).toEqual([nodeId(1)]);
      });

      test("settle() takes the remote's mtime where the disk keeps a coarser one [N7]", () => {
        const coarse = fileContent("a", { mtimeNs: "1700000000000000000" });
        store.putLocal(localNode(1, "a", coarse));
        store.putRemote(remoteNode(1, "a", a));
        store.settle(nodeId(1));
        expect(store.local.get(nodeId(1))?.content).toEqual(a);
      });

      test("clearRemote() falls back to the base and marks what changed [S10]", () => {
        putSettled(store, 1, "a", a);
        store.putRemote(remoteNode(1, "a", b, { contentVersion: 2 }));
        store.putRemote(remoteNode(2, "n", b));
        store.clearRemote();
        expect(store.remote.get(nodeId(1))?.content).toEqual(a);
        expect(store.remote.get(nodeId(2))).toBeUndefined();
        expect(store.dirty()).toEqual([nodeId(1), nodeId(2)]);
      });
    });

    describe("whole changes", () => {
      test("forget() drops base and local row, keeps the remote one, unmarked [A7]", () => {
        putSettled(store, 1, "a", a);
        store.putLocal(localNode(1, "a", b));
        store.forget(nodeId(1));
        expect(store.base.get(nodeId(1))).toBeUndefined();
        expect(store.local.get(nodeId(1))).toBeUndefined();
        expect(store.remote.get(nodeId(1))).toEqual(remoteNode(1, "a", a));
        expect(store.dirty()).toEqual([]);
      });

      test("adopt() rekeys a local node and its children's parent [R9]", () => {
        store.putLocal(localNode(1, "d", DIRECTORY));
        store.putLocal(localNode(2, "x", a, { parent: nodeId(1) }));
        store.putRemote(remoteNode(3, "d", DIRECTORY));
        store.adopt([{ local: nodeId(1), remote: nodeId(3) }]);
        expect(store.local.get(nodeId(1))).toBeUndefined();
        expect(store.local.get(nodeId(3))).toMatchObject({ name: "d", identity: "i1" });
        expect(pathOf(store.local, nodeId(2))).toBe("d/x");
        expect(store.dirty()).toEqual([nodeId(2), nodeId(3)]);
        store.settle(nodeId(3));
        expect(store.base.get(nodeId(3))).toMatchObject({ contentVersion: 3, stamp: "s1" });
      });

      test("adopt() rekeys a directory along with what is in it [R9]", () => {
        store.putLocal(localNode(1, "d", DIRECTORY));
        store.putLocal(localNode(2, "x", a, { parent: nodeId(1) }));
        store.putLocal(localNode(5, "own", b, { parent: nodeId(1) }));
        store.putRemote(remoteNode(3, "d", DIRECTORY));
        store.putRemote(remoteNode(4, "x", a, { parent: nodeId(3) }));
        store.adopt([
          { local: nodeId(1), remote: nodeId(3) },
          { local: nodeId(2), remote: nodeId(4) },
        ]);
        expect(pathOf(store.local, nodeId(4))).toBe("d/x");
        expect(pathOf(store.local, nodeId(5))).toBe("d/own");
        expect([nodeId(1), nodeId(2)].map((id) => store.local.get(id))).toEqual([
          undefined,
          undefined,
        ]);
        expect(store.dirty()).toEqual([nodeId(3), nodeId(4), nodeId(5)]);
      });

      test("adopt() puts a node in the place of one that was gone locally [R9]", () => {
        putSettled(store, 1, "a", a);
        store.removeLocal(nodeId(1));
        store.putLocal(localNode(2, "a", a));
        store.adopt([{ local: nodeId(2), remote: nodeId(1) }]);
        expect(store.local.get(nodeId(1))).toMatchObject({ identity: "i2", content: a });
        expect(store.dirty()).toEqual([]);
      });

      test("clearBase() leaves both trees as they were, all dirty, without a base [S10]", () => {
        putSettled(store, 1, "same", a);
        putSettled(store, 2, "edited", a);
        putSettled(store, 3, "removed", a);
        putSettled(store, 4, "buried", a);
        store.putLocal(localNode(2, "edited", b));
        store.removeLocal(nodeId(3));
        const grave = { contentVersion: 9, placeVersion: 9, deleted: true };
        store.putRemote(remoteNode(4, "buried", a, grave));
        const local = store.local.children(ROOT_ID);
        const remote = store.remote.children(ROOT_ID);
        store.clearBase();
        const byId = (x: { id: string }, y: { id: string }) => (x.id < y.id ? -1 : 1);
        expect(store.local.children(ROOT_ID).toSorted(byId)).toEqual(local.toSorted(byId));
        expect(store.remote.children(ROOT_ID).toSorted(byId)).toEqual(remote.toSorted(byId));
        expect(store.base.children(ROOT_ID)).toEqual([]);
        expect(store.baseFileCount()).toBe(0);
        expect(store.dirty()).toEqual([1, 2, 3, 4].map(nodeId));
        expect(store.remoteRow(nodeId(4))?.deleted).toBe(true);
      });

      test("putBase() sets the base alone and marks the node [S10]", () => {
        const id = nodeId(1);
        putSettled(store, 1, "a", a);
        store.clearBase();
        store.clearDirty(id);
        const base = { ...localNode(1, "old", b), contentVersion: 1, placeVersion: 1 };
        store.putBase(base);
        expect(store.base.get(id)).toEqual(base);
        expect(store.local.get(id)).toEqual(localNode(1, "a", a));
        expect(store.remote.get(id)).toEqual(remoteNode(1, "a", a));
        expect(store.dirty()).toEqual([id]);
      });

      test("counts() follows local, baseFileCount() the base [I43]", () => {
        putSettled(store, 1, "a", a);
        putSettled(store, 2, "d", DIRECTORY);
        putSettled(store, 3, "b", b);
        store.removeLocal(nodeId(3));
        store.putLocal(localNode(4, "l", { kind: "symlink", target: "x" }));
        store.putLocal(localNode(1, "moved", a));
        expect(store.counts()).toEqual({ files: 1, directories: 1, symlinks: 1, dirty: 3 });
        expect(store.baseFileCount()).toBe(2);
        store.markAllDirty();
        expect(store.dirty()).toEqual([1, 2, 3, 4].map(nodeId));
        store.clearDirty(nodeId(2));
        expect(store.counts().dirty).toBe(3);
      });

      test("markUnmaterialisedDirty() brings up what forget() left and a new remote node [R15]", () => {
        putSettled(store, 1, "kept", a);
        putSettled(store, 2, "ignored", a);
        store.forget(nodeId(2));
        store.putRemote(remoteNode(3, "never here", b));
        store.clearDirty(nodeId(3));
        store.putLocal(localNode(4, "only here", a));
        store.clearDirty(nodeId(4));
        store.markUnmaterialisedDirty();
        expect(store.dirty()).toEqual([2, 3].map(nodeId));
      });

      test("markUnmaterialisedDirty() looks below the directories that it is given alone [R15]", () => {
        const directory = { kind: "directory" } as const;
        const below = (number: number) => ({ parent: nodeId(number) });
        putSettled(store, 1, "d", directory);
        store.putLocal(localNode(2, "e", directory, below(1)));
        store.putRemote(remoteNode(2, "e", directory, below(1)));
        store.settle(nodeId(2));
        putSettled(store, 3, "f", a);
        store.putRemote(remoteNode(4, "left", directory, below(2)));
        store.putRemote(remoteNode(5, "g", a, below(4)));
        store.putRemote(remoteNode(6, "deleted", a, { ...below(4), deleted: true }));
        store.putRemote(remoteNode(7, "elsewhere", a));
        for (const id of store.dirty()) store.clearDirty(id);
        store.markUnmaterialisedDirty([nodeId(3), nodeId(7)]);
        expect(store.dirty()).toEqual([nodeId(7)]);
        store.markUnmaterialisedDirty([nodeId(1)]);
        expect(store.dirty()).toEqual([4, 5, 7].map(nodeId));
      });

      test("dirtyVersion() grows with whatever a plan may depend on, and not otherwise [Y5, Y11]", () => {
        putSettled(store, 1, "a", a);
        const grows = (work: () => void): boolean => {
          const before = store.dirtyVersion();
          work();
          return store.dirtyVersion() > before;
        };
        expect(grows(() => store.putLocal(localNode(1, "a", b)))).toBe(true);
        expect(grows(() => store.putLocal(localNode(1, "a", a)))).toBe(true);
        expect(grows(() => store.putLocal(localNode(1, "a", a)))).toBe(false);
        expect(grows(() => store.putRemote(remoteNode(1, "b", a, { placeVersion: 9 })))).toBe(true);
        expect(grows(() => store.putLocal(localNode(1, "b", a)))).toBe(true);
        expect(grows(() => store.settle(nodeId(1)))).toBe(true);
        expect(grows(() => store.markUnmaterialisedDirty())).toBe(false);
        expect(grows(() => store.setValue("x", 1))).toBe(false);
        expect(grows(() => store.setProblem("a", undefined))).toBe(false);
        expect(grows(() => store.markAllDirty())).toBe(true);
        expect(grows(() => store.markAllDirty())).toBe(false);
      });

      test("dirtySincePlanned() tells what became dirty, unless what was dirty changed [Y5, Y11]", () => {
        for (const number of [1, 2, 3]) putSettled(store, number, `f${number}`, a);
        const rename = (number: number, name: string) => store.putLocal(localNode(number, name, a));
        rename(1, "held");
        expect(store.dirtySincePlanned()).toBeUndefined();
        store.noteAllPlanned();
        expect(store.dirtySincePlanned()).toEqual([]);
        rename(2, "news");
        rename(3, "other");
        rename(3, "f3");
        expect(store.dirtySincePlanned()).toEqual([nodeId(2)]);
        store.markUnmaterialisedDirty();
        rename(2, "f2");
        expect(store.dirtySincePlanned()).toEqual([]);
        for (const name of ["again", "f1"]) {
          store.noteAllPlanned();
          rename(1, name);
          expect(store.dirtySincePlanned()).toBeUndefined();
        }
        store.noteAllPlanned();
        store.markAllDirty();
        expect(store.dirtySincePlanned()).toBeUndefined();
      });

      test("transaction() rolls all back when its work throws, and does not nest", () => {
        putSettled(store, 1, "a", a);
        const broken = () =>
          store.transaction(() => {
            store.removeLocal(nodeId(1));
            store.setValue("x", 1);
            throw new Error("stop here");
          });
        expect(broken).toThrow("stop here");
        expect(store.local.get(nodeId(1))).toBeDefined();
        expect(store.value("x")).toBeUndefined();
        expect(() => store.transaction(() => store.transaction(() => 1))).toThrow("nest");
        expect(store.transaction(() => 5)).toBe(5);
      });
    });

    describe("records", () => {
      const epoch = "e".repeat(32) as Epoch;

      test("cursors are remembered newest first, old ones further apart [S5]", () => {
        expect(store.cursor()).toBeUndefined();
        const head = CURSORS_RECENT_MAX + 2_000;
        store.transaction(() => {
          for (let seq = 0; seq <= head; seq += 1) {
            store.setCursor({ epoch, seq, hash: sha256(String(seq)) });
          }
        });
        expect(store.cursor()).toEqual({ epoch, seq: head, hash: sha256(String(head)) });
        const seqs = store.cursorHistory().map((cursor) => cursor.seq);
        expect(seqs.length).toBeLessThanOrEqual(CURSORS_RECENT_MAX + 64);
        expect(seqs).toEqual(seqs.toSorted((x, y) => y - x));
        for (let restored = 1; restored < head; restored += 97) {
          const common = seqs.find((seq) => seq <= restored) ?? -1;
          // Whatever seq a backup was taken at: lately it is known exactly, long ago a cursor below
          // it lies within a few times its distance.
          if (restored > head - CURSORS_RECENT_MAX) expect(common).toBe(restored);
          else expect(head - common).toBeLessThanOrEqual(8 * (head - restored) + 1);
        }
        store.clearCursors();
        expect(store.cursorHistory()).toEqual([]);
      });

      test("a cursor that goes back forgets those at and after it [S5]", () => {
        for (const seq of [1, 5, 9]) store.setCursor({ epoch, seq, hash: sha256(String(seq)) });
        store.setCursor({ epoch, seq: 4, hash: sha256("other") });
        expect(store.cursorHistory().map((cursor) => cursor.seq)).toEqual([4, 1]);
        const other = "f".repeat(32) as Epoch;
        store.setCursor({ epoch: other, seq: 7, hash: sha256("7") });
        expect(store.cursorHistory()).toEqual([{ epoch: other, seq: 7, hash: sha256("7") }]);
      });

      test("problems are replaced, removed, and cleared below a path alone [D8]", () => {
        const put = (path: string) =>
          store.setProblem(path, { path, code: "file_unreadable", message: "Cannot read" });
        for (const path of ["a", "a/b", "a/b/c", "a0", "ab", "a-b"]) put(path);
        store.setProblem("a/b", { path: "a/b", code: "file_unwritable", message: "Cannot write" });
        expect(store.problems().find((problem) => problem.path === "a/b")?.code).toBe(
          "file_unwritable",
        );
        store.clearProblemsBelow("a");
        expect(store.problems().map((problem) => problem.path)).toEqual(["a-b", "a0", "ab"]);
        store.setProblem("ab", undefined);
        store.clearProblemsBelow("");
        expect(store.problems()).toEqual([]);
      });

      test("births are kept until they are forgotten, the old ones at once [G6]", () => {
        const device = nodeId(8) as string as DeviceId;
        store.putBirth(nodeId(1), { device, atMs: 5 });
        store.putBirth(nodeId(2), { device, atMs: 5.7 });
        store.putBirth(nodeId(2), { device, atMs: 9.7 });
        store.putBirth(nodeId(3), { device, atMs: 9 });
        store.putBirth(nodeId(3), undefined);
        store.forgetBirthsBefore(6);
        expect(store.birth(nodeId(1))).toBeUndefined();
        expect(store.birth(nodeId(2))).toEqual({ device, atMs: 9 });
        expect(store.birth(nodeId(3))).toBeUndefined();
      });

      test("the journal keeps its order, quarantine and conflicts their entries [D7]", () => {
        const entry = { node: nodeId(1), path: "a/b" };
        store.addJournal({ id: "z", kind: "replace", ...entry, oldDigest: sha256("o") });
        store.addJournal({ id: "y", kind: "delete", ...entry });
        store.addJournal({ id: "x", kind: "create", ...entry, newDigest: sha256("n") });
        expect(store.journal().map((row) => row.id)).toEqual(["z", "y", "x"]);
        expect(store.journal()[0]).toMatchObject({ oldDigest: sha256("o"), kind: "replace" });
        expect("newDigest" in (store.journal()[0] ?? {})).toBe(false);
        store.removeJournal("y");
        expect(store.journal().map((row) => row.id)).toEqual(["z", "x"]);

        const held = { id: "q", ...entry, digest: sha256("q"), sinceMs: 5, scans: 0 };
        store.putQuarantine(held);
        store.putQuarantine({ ...held, scans: 1 });
        expect(store.quarantine()).toEqual([{ ...held, scans: 1 }]);
        store.putQuarantine({ ...held, id: "r", sinceMs: held.sinceMs + 5, scans: 1 });
        store.putQuarantine({ ...held, id: "s", scans: 0 });
        const { sinceMs } = held;
        expect(store.quarantineGroups()).toEqual([
          { scans: 0, firstMs: sinceMs, lastMs: sinceMs },
          { scans: 1, firstMs: sinceMs, lastMs: sinceMs + 5 },
        ]);
        store.removeQuarantine("r");
        store.removeQuarantine("s");
        store.removeQuarantine("q");
        expect(store.quarantine()).toEqual([]);

        store.putConflict({ node: nodeId(1), path: "a", of: "b" });
        const conflict = { node: nodeId(1), path: "c", of: "b", ofNode: nodeId(2) };
        store.putConflict(conflict);
        expect(store.conflicts()).toEqual([conflict]);
        store.removeConflict(nodeId(1));
        expect(store.conflicts()).toEqual([]);
      });

      test("values, binding and left-overs come back as they were put [S4]", () => {
        store.setValue("run", { id: "x", list: [1, null] });
        expect(store.value("run")).toEqual({ id: "x", list: [1, null] });
        store.setValue("run", undefined);
        expect(store.value("run")).toBeUndefined();
        expect(store.binding()).toBeUndefined();
        store.setLeftover("i", true);
        store.setLeftover("i", true);
        expect(store.isLeftover("i")).toBe(true);
        store.setLeftover("i", false);
        expect(store.isLeftover("i")).toBe(false);
      });

      test("pruneManifests() keeps what a tree reaches, down to its leaves [C8]", () => {
        const child = manifestOf([sha256("chunk")], 1);
        const root = manifestOf([sha256(child)], 2);
        const lost = manifestOf([sha256("lost")], 1);
        for (const bytes of [child, root, lost]) store.putManifest(sha256(bytes), bytes);
        const content = fileContent("a", { manifest: sha256(root), depth: 2 });
        store.putLocal(localNode(1, "a", content));
        store.pruneManifests();
        expect(store.manifest(sha256(child))?.toHex()).toBe(child.toHex());
        expect(store.manifest(sha256(root))).toBeDefined();
        expect(store.manifest(sha256(lost))).toBeUndefined();
        expect(store.manifestDigests()).toEqual(
          [child, root].map((bytes) => sha256(bytes)).toSorted(),
        );
      });
    });
  });
}

/** A manifest object (C3) whose children are one byte long. */
function manifestOf(children: readonly Digest[], depth: number): Uint8Array {
  const bytes = new Uint8Array(2 + 40 * children.length);
  bytes.set([1, depth]);
  children.forEach((digest, index) => {
    bytes.set(Uint8Array.fromHex(digest), 2 + 40 * index);
    bytes[2 + 40 * index + 39] = 1;
  });
  return bytes;
}
