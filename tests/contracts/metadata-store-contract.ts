/**
 * The contract of every MetadataStore [L1, L5, O1, O6, H5]. What SQLite and the simulated store
 * have in common.
 */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { genesisHash } from "../../src/core/canonical.ts";
import { type Digest, sha256 } from "../../src/core/digest.ts";
import {
  type Epoch,
  type FolderName,
  type NodeId,
  parseFolderName,
  ROOT_ID,
} from "../../src/core/identifier.ts";
import type { Batch, Op } from "../../src/core/op.ts";
import type {
  EventRecord,
  Loaded,
  LoadRequest,
  MetadataStore,
} from "../../src/ports/metadata-store.ts";
import type { KnownObject } from "../../src/ports/object-records.ts";
import { batchTouches } from "../../src/server/batch-touches.ts";
import { decide } from "../../src/server/commit.ts";
import { failureOf } from "../failure.ts";
import { fileOf, nodeId } from "../generate/trees.ts";
import {
  batchOf,
  create,
  DEVICE,
  DIRECTORY,
  FOLDER,
  hexId,
  modify,
  move,
  remove,
  revive,
} from "../server/server-world.ts";

const A = nodeId(1);
const B = nodeId(2);
const C = nodeId(3);
const D = nodeId(4);
const OTHER = parseFolderName("other");
const NOTHING: LoadRequest = {
  nodes: [],
  places: [],
  ops: [],
  deleted: [],
  objects: [],
  cursors: [],
};
const epoch = hexId<Epoch>("e", 1);
const KNOWN = ["one", "two"].map((text) => ({
  digest: sha256(text),
  depth: 0,
  size: 3,
}));

let store: MetadataStore;

async function makeFolder(name: FolderName): Promise<void> {
  const genesis = genesisHash({ server: store.serverId, folder: name, epoch });
  const chunker = { minBytes: 1, averageBytes: 2, maxBytes: 3 };
  await store.createFolder({ name, epoch, genesis, chunker, nameBytesMax: 255 });
  expect(await recordIn(name, KNOWN)).toBe("recorded");
}

async function recordIn(name: FolderName, objects: readonly KnownObject[]) {
  const version = await store.objectRecords.version();
  return await store.objectRecords.record(name, { version, objects, children: [], timeMs: 0 });
}

async function decided(...groups: readonly (readonly Op[])[]) {
  const found = await store.folder(FOLDER);
  if (found === undefined) throw new Error("No folder");
  const objectsVersion = await store.objectRecords.version();
  const batch: Batch = batchOf(found.head, groups);
  const loaded = await store.load(FOLDER, batchTouches([batch]).request);
  const time = "2026-01-02T03:04:05.006Z";
  const steps = decide({ loaded, extents: new Map(), batches: [batch], time });
  let step = steps.next();
  while (step.done !== true) step = steps.next();
  const { results, ...rest } = step.value;
  expect(JSON.stringify(results)).not.toContain("refused");
  return { expectedHead: loaded.head, objectsVersion, ...rest };
}

/** Appends groups through the real `decide`, so that events and rows belong together. */
async function append(...groups: readonly (readonly Op[])[]): Promise<readonly EventRecord[]> {
  const work = await decided(...groups);
  expect(await store.append(FOLDER, work)).toBe("appended");
  return work.events;
}

/** @param make makes an empty store. */
export function metadataStoreContract(
  name: string,
  make: () => MetadataStore | Promise<MetadataStore>,
): void {
  describe(`${name} keeps the contract of a metadata store`, () => {
    beforeEach(async () => {
      store = await make();
      await makeFolder(FOLDER);
    });
    afterEach(() => store.close());
    folders();
    loads();
    appends();
    logReads();
    treeReads();
    usage();
    describe("and reads the past", pastReads);
    objectRecords();
    describe("and prunes", pruning);
    deviceRecords();
  });
}

function folders(): void {
  test("a folder is created once and keeps its epoch [L2]", async () => {
    const first = await store.folder(FOLDER);
    const again = await store.createFolder({
      name: FOLDER,
      epoch: hexId<Epoch>("e", 2),
      genesis: sha256("x"),
      chunker: { minBytes: 7, averageBytes: 8, maxBytes: 9 },
      nameBytesMax: 1,
    });
    if (first === undefined) throw new Error("No folder");
    expect(again).toEqual({ created: false, ...first });
    expect(first.head).toEqual({ epoch, seq: 0, hash: first.folder.genesis });
  });

  test("folders are listed by name and page", async () => {
    await makeFolder(OTHER);
    const names = (await store.folders({ limit: 10 })).map(({ folder }) => folder.name);
    expect(names).toEqual([FOLDER, OTHER]);
    const rest = await store.folders({ after: FOLDER, limit: 1 });
    expect(rest.map(({ folder }) => folder.name)).toEqual([OTHER]);
  });

  test("an unknown folder is not there, and nothing is done in it", async () => {
    const name = parseFolderName("unknown");
    expect(await store.folder(name)).toBeUndefined();
    const code = "folder_not_found";
    expect(await failureOf(store.load(name, NOTHING))).toMatchObject({ code });
    expect(await failureOf(recordIn(name, KNOWN))).toMatchObject({ code });
    expect(await failureOf(store.events(name, { after: 0, limit: 1 }))).toMatchObject({ code });
  });

  test("folders do not see each other [I39]", async () => {
    await makeFolder(OTHER);
    await append([create(A, "a", fileOf("one"))]);
    expect(await store.node(OTHER, A)).toBeUndefined();
    expect((await store.folder(OTHER))?.head.seq).toBe(0);
    expect(await store.contentBySha256(OTHER, sha256("one"))).toBeUndefined();
  });
}

function loads(): void {
  const ids = (loaded: Loaded) => loaded.nodes.map(({ id }) => id).sort();

  test("load finds nodes, their ancestors and who holds a place [O2]", async () => {
    await append([create(A, "a", DIRECTORY)], [create(B, "b", DIRECTORY, A)]);
    await append([create(C, "c", fileOf("one"), B)], [create(D, "d", fileOf("two"))]);
    const byNode = await store.load(FOLDER, { ...NOTHING, nodes: [C, nodeId(99)] });
    expect(ids(byNode)).toEqual([A, B, C]);
    const places = [
      { parent: ROOT_ID, name: "d" },
      { parent: B, name: "c" },
    ];
    expect(ids(await store.load(FOLDER, { ...NOTHING, places }))).toEqual([A, B, C, D]);
    const nowhere = [{ parent: ROOT_ID, name: "D" }];
    expect(ids(await store.load(FOLDER, { ...NOTHING, places: nowhere }))).toEqual([]);
  });

  test("load finds tombstones by id, not by place [O2]", async () => {
    await append([create(A, "a", fileOf("one"))]);
    await append([remove(A, 1)]);
    const places = [{ parent: ROOT_ID, name: "a" }];
    expect(ids(await store.load(FOLDER, { ...NOTHING, places }))).toEqual([]);
    const loaded = await store.load(FOLDER, { ...NOTHING, nodes: [A] });
    expect(loaded.nodes).toMatchObject([{ id: A, deleted: true, contentVersion: 2 }]);
  });

  test("load counts a deleted directory's live children as far as it matters [O3]", async () => {
    await append([create(A, "a", DIRECTORY)]);
    const files = [10, 11, 12].map((n) => create(nodeId(n), `f${n}`, fileOf("one"), A));
    await append(files);
    await append([remove(nodeId(10), 2)]);
    const counted = async (nodes: readonly NodeId[]) =>
      (await store.load(FOLDER, { ...NOTHING, nodes, deleted: [A] })).childCounts.get(A);
    expect(await counted([A, nodeId(11), nodeId(12)])).toBe(2);
    expect(await counted([])).toBe(1);
  });

  test("load finds ops, objects, hashes and the head [O1, O5, O6]", async () => {
    const [record] = await append([create(A, "a", fileOf("one"))]);
    if (record === undefined) throw new Error("No event");
    const { event, body } = record;
    const key = { device: DEVICE, opId: event.opId };
    const unknown = { device: DEVICE, opId: hexId<typeof event.opId>("f", 9) };
    const loaded = await store.load(FOLDER, {
      ...NOTHING,
      ops: [key, unknown],
      objects: [sha256("one"), sha256("three")],
      cursors: [0, 1, 2],
    });
    expect(loaded.ops).toEqual([{ ...key, seq: 1, body }]);
    expect(loaded.objects).toEqual([{ digest: sha256("one"), depth: 0, size: 3 }]);
    const expected: [number, Digest][] = [
      [0, event.previousHash],
      [1, event.hash],
    ];
    expect([...loaded.hashes]).toEqual(expected);
    expect(loaded.head).toEqual({ epoch, seq: 1, hash: event.hash });
  });

  test("subtreeExtents measures live descendants [N4]", async () => {
    await append([create(A, "a", DIRECTORY)], [create(B, "bü", DIRECTORY, A)]);
    await append([create(C, "c", fileOf("one"), B)], [create(D, "d".repeat(9), DIRECTORY, A)]);
    const extents = await store.subtreeExtents(FOLDER, [A]);
    expect(extents).toEqual(new Map([[A, { depth: 2, pathBytes: 10 }]]));
  });

  test("subtreeExtents leaves out what is below another of its directories [N4]", async () => {
    await append([create(A, "a", DIRECTORY)], [create(B, "bü", DIRECTORY, A)]);
    await append([create(C, "c", fileOf("one"), B)], [create(D, "d".repeat(9), DIRECTORY, A)]);
    const extents = await store.subtreeExtents(FOLDER, [A, B]);
    expect(extents.get(A)).toEqual({ depth: 1, pathBytes: 10 });
    expect(extents.get(B)).toEqual({ depth: 1, pathBytes: 2 });
  });

  test("subtreeExtents measures a directory of more names than one read takes [N4]", async () => {
    const many = Array.from({ length: 2500 }, (_, index) =>
      create(hexId("7", index), `n${index}`.padEnd(9, "x"), DIRECTORY, A),
    );
    await append([create(A, "a", DIRECTORY)], many, [create(B, "b", DIRECTORY, hexId("7", 2499))]);
    const extents = await store.subtreeExtents(FOLDER, [A]);
    expect(extents.get(A)).toEqual({ depth: 2, pathBytes: 12 });
  });
}

function appends(): void {
  test("append does nothing where the head has moved on [L1]", async () => {
    const first = await decided([create(A, "a", fileOf("one"))]);
    await append([create(B, "b", fileOf("one"))]);
    expect(await store.append(FOLDER, first)).toBe("head_moved");
    expect(await store.node(FOLDER, A)).toBeUndefined();
    expect((await store.folder(FOLDER))?.head.seq).toBe(1);
  });

  test("nodes trade places in one append [O4]", async () => {
    await append([create(A, "a", fileOf("one"))], [create(B, "b", fileOf("two"))]);
    await append([move(A, "b", 1), move(B, "a", 2)]);
    expect((await store.child(FOLDER, { parent: ROOT_ID, name: "a" }))?.id).toBe(B);
    expect((await store.child(FOLDER, { parent: ROOT_ID, name: "b" }))?.id).toBe(A);
  });

  test("a deleted node frees its name, and a revived one has one row [O2]", async () => {
    await append([create(A, "a", fileOf("one"))]);
    await append([remove(A, 1)], [create(B, "a", fileOf("two"))]);
    await append([revive(A, "c", fileOf("one"), 2)]);
    const { nodes } = await store.nodes(FOLDER, { limit: 10, tombstones: true });
    expect(nodes.map(({ id, name, deleted }) => [id, name, deleted])).toEqual([
      [A, "c", false],
      [B, "a", false],
    ]);
  });

  test("large numbers, times and odd names come back as they went in [N3, N7]", async () => {
    const size = Number.MAX_SAFE_INTEGER;
    const digest = sha256("huge");
    await recordIn(FOLDER, [{ digest, depth: 3, size }]);
    const content = {
      kind: "file",
      manifest: digest,
      depth: 3,
      sha256: sha256("whole"),
      size,
      executable: true,
      mtimeNs: "-9223372036854775808",
    } as const;
    const name = "e\u0301 \u{1f600}\n\u0001\\\"'%_";
    const conflictOf = { node: B, version: 3 };
    const op = { ...create(A, name, content), conflictOf } as Op;
    const [record] = await append([op], [create(C, "l", { kind: "symlink", target: "../ü" })]);
    expect(await store.node(FOLDER, A)).toMatchObject({ name, content });
    expect((await store.node(FOLDER, C))?.content).toEqual({ kind: "symlink", target: "../ü" });
    const { events } = await store.events(FOLDER, { after: 0, limit: 1 });
    expect(events[0]).toEqual(record?.event as (typeof events)[0]);
  });
}

function logReads(): void {
  test("events come back as they were appended [L5]", async () => {
    const first = await append([create(A, "a", fileOf("one"))], [move(A, "b", 1)]);
    const second = await append([modify(A, fileOf("two"), 1)], [remove(A, 3, 2)]);
    const { head, events } = await store.events(FOLDER, { after: 0, limit: 100 });
    const expected = [...first, ...second].map(({ event }) => event);
    expect(events).toEqual(expected);
    expect(head.seq).toBe(4);
    expect(await store.hashAt(FOLDER, 3)).toBe(expected[2]?.hash ?? sha256(""));
    expect(await store.hashAt(FOLDER, 5)).toBeUndefined();
  });

  test("a page of events splits a group only where that is asked for [H5]", async () => {
    await append([create(A, "a", DIRECTORY), create(B, "b", DIRECTORY), create(C, "c", DIRECTORY)]);
    const seqs = async (after: number, splitsGroups: boolean) => {
      const { events } = await store.events(FOLDER, { after, limit: 2, splitsGroups });
      return events.map(({ seq }) => seq);
    };
    expect(await seqs(0, true)).toEqual([1, 2]);
    expect(await seqs(2, true)).toEqual([3]);
    expect(await seqs(0, false)).toEqual([1, 2, 3]);
  });

  test("a page of events never splits a group [H5]", async () => {
    const group = [10, 11, 12].map((n) => create(nodeId(n), `f${n}`, fileOf("one")));
    await append([create(A, "a", fileOf("one"))], group, [create(B, "b", fileOf("one"))]);
    const seqs = async (after: number, limit: number) =>
      (await store.events(FOLDER, { after, limit })).events.map(({ seq }) => seq);
    expect(await seqs(0, 1)).toEqual([1]);
    expect(await seqs(0, 2)).toEqual([1, 2, 3, 4]);
    expect(await seqs(1, 3)).toEqual([2, 3, 4]);
    expect(await seqs(4, 100)).toEqual([5]);
    expect(await seqs(5, 100)).toEqual([]);
  });
}

function treeReads(): void {
  test("nodes are paged by id, with tombstones only where asked for", async () => {
    await append([create(C, "c", DIRECTORY)], [create(A, "a", DIRECTORY)]);
    await append([create(B, "b", DIRECTORY)], [remove(B, 3)]);
    const live = { limit: 10, tombstones: false };
    const ids = async (page: Parameters<MetadataStore["nodes"]>[1]) =>
      (await store.nodes(FOLDER, page)).nodes.map(({ id }) => id);
    expect(await ids(live)).toEqual([A, C]);
    expect(await ids({ ...live, tombstones: true })).toEqual([A, B, C]);
    expect(await ids({ ...live, limit: 1 })).toEqual([A]);
    expect(await ids({ ...live, after: A })).toEqual([C]);
    expect(await ids({ ...live, after: C })).toEqual([]);
  });

  test("children are in byte order of their names", async () => {
    const names = ["b", "a", "\u{10000}", "\uffee", "Z", "ä"];
    await append(names.map((name, index) => create(nodeId(index + 1), name, DIRECTORY)));
    const found = await store.children(FOLDER, { parent: ROOT_ID, limit: 10 });
    const sorted = ["Z", "a", "b", "ä", "\uffee", "\u{10000}"];
    expect(found.map(({ name }) => name)).toEqual(sorted);
    const rest = await store.children(FOLDER, { parent: ROOT_ID, after: "b", limit: 2 });
    expect(rest.map(({ name }) => name)).toEqual(["ä", "\uffee"]);
  });
}

function usage(): void {
  test("what lives in a folder is counted at one seq, without what was deleted [V3]", async () => {
    const none = { seq: 0, files: 0, directories: 0, symlinks: 0, bytes: 0 };
    expect(await store.usage(FOLDER)).toEqual(none);
    const link = { kind: "symlink", target: "a" } as const;
    await append(
      [create(A, "a", fileOf("one")), create(B, "b", fileOf("two"))],
      [create(C, "c", DIRECTORY), create(D, "d", link)],
    );
    await append([remove(B, 2)]);
    const expected = { seq: 5, files: 1, directories: 1, symlinks: 1, bytes: "one".length };
    expect(await store.usage(FOLDER)).toEqual(expected);
  });
}

function pastReads(): void {
  beforeEach(async () => {
    await append([create(A, "a", DIRECTORY)], [create(B, "b", fileOf("one"), A)]);
    await append([modify(B, fileOf("two"), 2)], [move(B, "c", 2)]);
    await append([remove(B, 3, 4)], [remove(A, 1)]);
  });

  test("a node is read as of any event [L5]", async () => {
    const at = async (seq: number) => {
      const node = await store.node(FOLDER, B, seq);
      return node && [node.name, node.parent, node.deleted, node.contentVersion, node.placeVersion];
    };
    expect(await at(1)).toBeUndefined();
    expect(await at(2)).toEqual(["b", A, false, 2, 2]);
    expect(await at(3)).toEqual(["b", A, false, 3, 2]);
    expect(await at(4)).toEqual(["c", ROOT_ID, false, 3, 4]);
    expect(await at(6)).toEqual(["c", ROOT_ID, true, 5, 5]);
  });

  test("a place and a directory are read as of any event [L5]", async () => {
    const names = async (parent: NodeId, seq: number) =>
      (await store.children(FOLDER, { parent, limit: 10, seq })).map(({ name }) => name);
    expect(await names(ROOT_ID, 0)).toEqual([]);
    expect(await names(ROOT_ID, 3)).toEqual(["a"]);
    expect(await names(A, 3)).toEqual(["b"]);
    expect(await names(A, 4)).toEqual([]);
    expect(await names(ROOT_ID, 4)).toEqual(["a", "c"]);
    expect(await names(ROOT_ID, 5)).toEqual(["a"]);
    expect(await names(ROOT_ID, 6)).toEqual([]);
    expect((await store.child(FOLDER, { parent: A, name: "b" }, 3))?.content).toEqual(
      fileOf("two"),
    );
    expect(await store.child(FOLDER, { parent: A, name: "b" }, 4)).toBeUndefined();
    expect(await store.child(FOLDER, { parent: A, name: "b" })).toBeUndefined();
  });

  test("events are read by seq, and back from one [L5]", async () => {
    const { events } = await store.events(FOLDER, { after: 0, limit: 10 });
    expect(await store.eventsAt(FOLDER, [3, 1, 7])).toEqual(
      [events[2], events[0]].flatMap((e) => e ?? []),
    );
    const back = await store.eventsBefore(FOLDER, { before: 4, limit: 2 });
    expect(back).toEqual(events.slice(1, 3).toReversed());
    const first = await store.eventsBefore(FOLDER, { before: 2, limit: 9 });
    expect(first).toEqual(events.slice(0, 1));
  });

  test("history goes back from the newest, across renames [L5]", async () => {
    const all = await store.history(FOLDER, { node: B, limit: 10 });
    expect(all.map(({ seq, kind, path }) => [seq, kind, path])).toEqual([
      [5, "delete", "c"],
      [4, "move", "c"],
      [3, "modify", "a/b"],
      [2, "create", "a/b"],
    ]);
    const { events } = await store.events(FOLDER, { after: 0, limit: 10 });
    expect(all).toEqual(events.filter(({ node }) => node === B).toReversed());
    const page = await store.history(FOLDER, { node: B, before: 4, limit: 1 });
    expect(page.map(({ seq }) => seq)).toEqual([3]);
  });

  test("a place's history tells who came, changed there and left [H14]", async () => {
    const at = async (parent: NodeId, name: string, before?: number, limit = 10) => {
      const page = { place: { parent, name }, limit, ...(before === undefined ? {} : { before }) };
      return (await store.placeHistory(FOLDER, page)).map(({ seq, kind }) => `${seq} ${kind}`);
    };
    expect(await at(ROOT_ID, "c")).toEqual(["5 delete", "4 move"]);
    expect(await at(A, "b")).toEqual(["4 move", "3 modify", "2 create"]);
    expect(await at(A, "b", 4, 1)).toEqual(["3 modify"]);
    expect(await at(A, "c")).toEqual([]);
    // Another one by that name, then both trade places within a group, then one leaves for good.
    await append([create(C, "c", fileOf("two"))], [create(D, "d", fileOf("one"))]);
    await append([move(C, "d", 7), move(D, "c", 8)], [move(C, "e", 9), move(D, "d", 10)]);
    const all = ["12 move", "10 move", "9 move", "7 create", "5 delete", "4 move"];
    expect(await at(ROOT_ID, "c")).toEqual(all);
    expect(await at(ROOT_ID, "d")).toEqual(["12 move", "11 move", "10 move", "9 move", "8 create"]);
    const paged: string[] = [];
    for (let before = 99; ; ) {
      const [one] = await at(ROOT_ID, "c", before, 1);
      if (one === undefined) break;
      paged.push(one);
      before = Number.parseInt(one, 10);
    }
    expect(paged).toEqual(all);
    const page = { place: { parent: ROOT_ID, name: "d" }, limit: 10 };
    const { events } = await store.events(FOLDER, { after: 7, limit: 10 });
    expect(await store.placeHistory(FOLDER, page)).toEqual(events.toReversed());
  });

  test("contents of the past are still found [H7]", async () => {
    const found = await store.contentBySha256(FOLDER, sha256("one"));
    expect(found).toMatchObject({ content: fileOf("one"), gone: false });
    expect(await store.contentBySha256(FOLDER, sha256("three"))).toBeUndefined();
  });
}

function pruning(): void {
  const LATER = "2026-01-02T03:04:05.007Z";

  async function goneSeqs(): Promise<readonly number[]> {
    const { events } = await store.events(FOLDER, { after: 0, limit: 100 });
    return events.filter(({ gone }) => gone === true).map(({ seq }) => seq);
  }

  test("replaced and deleted versions go, current ones and the log stay [U7]", async () => {
    await append([create(A, "a", fileOf("one"))], [create(B, "b", fileOf("one"))]);
    await append([modify(A, fileOf("two"), 1)], [remove(B, 2)]);
    await append([move(A, "c", 1)], [create(D, "d", DIRECTORY)]);
    const before = await store.events(FOLDER, { after: 0, limit: 100 });
    expect(await store.prune(FOLDER, { before: LATER, limit: 100 })).toEqual({
      versions: 2,
      isDone: true,
    });
    expect(await goneSeqs()).toEqual([1, 2, 4]);
    const after = await store.events(FOLDER, { after: 0, limit: 100 });
    expect(after.events.map(({ gone: _, ...event }) => event)).toEqual(
      before.events.map((event) => ({ ...event })),
    );
    expect(await store.contentBySha256(FOLDER, sha256("one"))).toMatchObject({ gone: true });
    expect(await store.contentBySha256(FOLDER, sha256("two"))).toMatchObject({ gone: false });
    const objects = KNOWN.filter(({ digest }) => digest === sha256("one"));
    const request = { objects: KNOWN, untilMs: 1, turn: 0 };
    expect(await store.objectRecords.unnamed(FOLDER, request)).toEqual(objects);
  });

  test("what was replaced since then is kept, and was looked at once [U7]", async () => {
    await append([create(A, "a", fileOf("one"))], [modify(A, fileOf("two"), 1)]);
    const young = { before: "2026-01-02T03:04:05.006Z", limit: 100 };
    expect(await store.prune(FOLDER, young)).toEqual({ versions: 0, isDone: true });
    expect(await store.prune(FOLDER, { before: LATER, limit: 1 })).toMatchObject({ isDone: false });
    expect(await store.prune(FOLDER, { before: LATER, limit: 1 })).toMatchObject({ versions: 1 });
    expect(await goneSeqs()).toEqual([1]);
    await append([create(C, "c", fileOf("one"))]);
    expect(await store.contentBySha256(FOLDER, sha256("one"))).toMatchObject({ gone: false });
  });
}

function objectRecords(): void {
  test("an object is known at each depth it was recorded at, once [O6]", async () => {
    const digest = sha256("both");
    await recordIn(FOLDER, [
      { digest, depth: 0, size: 42 },
      { digest, depth: 1, size: 99 },
    ]);
    await recordIn(FOLDER, [{ digest, depth: 0, size: 42 }]);
    const known = await store.knownObjects(FOLDER, [digest, sha256("none")]);
    expect(known.toSorted((a, b) => a.depth - b.depth)).toEqual([
      { digest, depth: 0, size: 42 },
      { digest, depth: 1, size: 99 },
    ]);
  });

  test("objects are paged by digest and depth", async () => {
    const digest = sha256("both");
    await recordIn(FOLDER, [
      { digest, depth: 1, size: 99 },
      { digest, depth: 0, size: 42 },
    ]);
    const all = await store.objects(FOLDER, { limit: 10 });
    const keys = all.map((object) => `${object.digest}/${object.depth}`);
    expect(keys).toEqual(keys.toSorted());
    expect(all.length).toBe(4);
    const [, second] = all;
    if (second === undefined) throw new Error("No objects");
    expect(await store.objects(FOLDER, { after: second, limit: 10 })).toEqual(all.slice(2));
  });
}

function deviceRecords(): void {
  test("a device's last report is kept and listed by id", async () => {
    const found = await store.folder(FOLDER);
    if (found === undefined) throw new Error("No folder");
    const record = (n: number, name: string) => ({
      device: hexId<typeof DEVICE>("d", n),
      name,
      applied: found.head,
      seenTime: "2026-01-02T03:04:05.006Z",
    });
    await store.putDevice(FOLDER, record(2, "two"));
    await store.putDevice(FOLDER, record(1, "one"));
    await store.putDevice(FOLDER, record(2, "two again"));
    expect(await store.devices(FOLDER, { limit: 10 })).toEqual([
      record(1, "one"),
      record(2, "two again"),
    ]);
    const after = record(1, "one").device;
    expect(await store.devices(FOLDER, { after, limit: 10 })).toEqual([record(2, "two again")]);
  });

  test("a sound store has no findings", async () => {
    await append([create(A, "a", fileOf("one"))]);
    expect(await store.check()).toEqual([]);
  });
}
