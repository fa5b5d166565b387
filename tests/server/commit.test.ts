/** What the server accepts and refuses: one case a rule, over the real stores. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { EMPTY_DIGEST, sha256 } from "../../src/core/digest.ts";
import { type DeviceId, type NodeId, ROOT_ID } from "../../src/core/identifier.ts";
import type { FileContent } from "../../src/core/node.ts";
import type { Op } from "../../src/core/op.ts";
import { failureOf } from "../failure.ts";
import { fileOf, nodeId } from "../generate/trees.ts";
import {
  batchOf,
  create,
  DIRECTORY,
  FOLDER,
  hexId,
  modify,
  move,
  remove,
  revive,
  type ServerWorld,
  serverWorld,
} from "./server-world.ts";

const A = nodeId(1);
const B = nodeId(2);
const C = nodeId(3);
const one = fileOf("one") as FileContent;
const two = fileOf("two") as FileContent;

let world: ServerWorld;
beforeEach(async () => {
  world = await serverWorld();
  await world.upload("one", "two");
});
afterEach(() => world.close());

async function paths(): Promise<readonly string[]> {
  const { entries } = await world.sequencer.index(FOLDER, { limit: 1000 });
  return entries.map(({ path }) => path);
}

describe("commit() takes each op only on its base", () => {
  test("create gives the node its first versions [O2]", async () => {
    expect(await world.outcome(create(A, "a", one))).toEqual([1]);
    expect(await world.sequencer.nodeAt(FOLDER, "a")).toEqual({
      id: A,
      parent: ROOT_ID,
      name: "a",
      content: one,
      deleted: false,
      contentVersion: 1,
      placeVersion: 1,
    });
  });

  test("an edit and a rename have versions of their own, so both pass [O2]", async () => {
    await world.outcome(create(A, "a", one));
    expect(await world.outcome(modify(A, two, 1))).toEqual([2]);
    expect(await world.outcome(move(A, "b", 1))).toEqual([3]);
    const node = await world.sequencer.nodeAt(FOLDER, "b");
    expect([node?.content, node?.contentVersion, node?.placeVersion]).toEqual([two, 2, 3]);
  });

  const tombstone = async () => {
    await world.outcome(create(A, "a", one));
    await world.outcome(remove(A, 1));
  };
  const alive = () => world.outcome(create(A, "a", one));
  const empty = async () => [];
  const cases: readonly [string, () => Promise<unknown>, () => Op, string][] = [
    ["modify of nothing", empty, () => modify(A, two, 1), "node_missing"],
    ["move of nothing", empty, () => move(A, "b", 1), "node_missing"],
    ["delete of nothing", empty, () => remove(A, 1), "node_missing"],
    ["revival of nothing", empty, () => revive(A, "a", one, 1), "node_missing"],
    ["a second create", alive, () => create(A, "b", one), "node_exists"],
    ["a stale modify", alive, () => modify(A, two, 0), "version_conflict"],
    ["a modify from the future", alive, () => modify(A, two, 2), "version_conflict"],
    ["a stale move", alive, () => move(A, "b", 0), "version_conflict"],
    ["a delete of stale content", alive, () => remove(A, 0, 1), "version_conflict"],
    ["a delete of a stale place", alive, () => remove(A, 1, 0), "version_conflict"],
    ["a modify of a tombstone", tombstone, () => modify(A, two, 2), "version_conflict"],
    ["a create over a tombstone", tombstone, () => create(A, "a", one), "version_conflict"],
    ["a revival of another tombstone", tombstone, () => revive(A, "a", one, 1), "version_conflict"],
  ];
  for (const [name, given, op, code] of cases) {
    test(`${name} is refused with ${code} [O2]`, async () => {
      await given();
      const before = await world.cursor();
      expect(await world.outcome(op())).toBe(code);
      expect(await world.cursor()).toEqual(before);
    });
  }

  test("a refusal carries the node's state now [O2]", async () => {
    await alive();
    const [result] = await world.post([modify(A, two, 0)]);
    expect(result).toMatchObject({ status: "refused", op: 0, current: { id: A, content: one } });
  });

  test("a tombstone is revived with its id and history [O2]", async () => {
    await tombstone();
    expect(await world.outcome(revive(A, "again", two, 2))).toEqual([3]);
    expect((await world.sequencer.nodeAt(FOLDER, "again"))?.id).toBe(A);
    const { versions } = await world.sequencer.history(FOLDER, {
      of: { path: "again" },
      limit: 10,
    });
    expect(versions.map(({ kind }) => kind)).toEqual(["create", "delete", "create"]);
  });

  test("a node keeps its kind for life [N6]", async () => {
    await tombstone();
    expect(await world.outcome(revive(A, "a", DIRECTORY, 2))).toBe("kind_change");
    await world.outcome(create(B, "b", one));
    expect(await world.outcome(modify(B, DIRECTORY, 3))).toBe("kind_change");
  });

  test("the root is never changed [O3]", async () => {
    expect(await world.outcome(create(ROOT_ID, "a", DIRECTORY))).toBe("invalid_path");
    expect(await world.outcome(remove(ROOT_ID, 0))).toBe("invalid_path");
  });

  test("an op that changes nothing is an event all the same [O9]", async () => {
    await alive();
    expect(await world.outcome(modify(A, one, 1))).toEqual([2]);
    expect(await world.outcome(move(A, "a", 1))).toEqual([3]);
  });
});

describe("commit() keeps the tree valid at each group's end", () => {
  test("parents must be live directories [O3]", async () => {
    expect(await world.outcome(create(A, "a", one, nodeId(9)))).toBe("parent_missing");
    await world.outcome(create(B, "file", one));
    expect(await world.outcome(create(A, "a", one, B))).toBe("parent_not_directory");
    await world.outcome(create(C, "dir", DIRECTORY));
    await world.outcome(remove(C, 2));
    expect(await world.outcome(create(A, "a", one, C))).toBe("parent_missing");
  });

  test("two live nodes never share a place [O3]", async () => {
    await world.outcome(create(A, "a", one));
    expect(await world.outcome(create(B, "a", two))).toBe("name_taken");
    expect(await world.outcome(create(B, "b", two), create(C, "b", two))).toBe("name_taken");
    await world.outcome(create(B, "b", two));
    expect(await world.outcome(move(B, "a", 2))).toBe("name_taken");
    expect(await paths()).toEqual(["a", "b"]);
  });

  test("a directory never contains itself [O3]", async () => {
    await world.outcome(create(A, "a", DIRECTORY));
    await world.outcome(create(B, "b", DIRECTORY, A));
    expect(await world.outcome(move(A, "a", 1, A))).toBe("cycle");
    expect(await world.outcome(move(A, "a", 1, B))).toBe("cycle");
    await world.outcome(create(C, "c", DIRECTORY));
    const swapped = await world.outcome(move(A, "a", 1, C), move(C, "c", 3, A));
    expect(swapped).toBe("cycle");
  });

  test("a directory with a live child is not deleted [O3]", async () => {
    await world.outcome(create(A, "a", DIRECTORY));
    await world.outcome(create(B, "b", one, A));
    expect(await world.outcome(remove(A, 1))).toBe("directory_not_empty");
    expect(await world.outcome(remove(A, 1), remove(B, 2))).toEqual([3, 4]);
    expect(await paths()).toEqual([]);
  });

  test("what moves out of a directory lets it be deleted in the same group [O3]", async () => {
    await world.outcome(create(A, "a", DIRECTORY));
    await world.outcome(create(B, "b", one, A));
    expect(await world.outcome(remove(A, 1), move(B, "b", 2))).toEqual([3, 4]);
    expect(await paths()).toEqual(["b"]);
  });

  test("two nodes trade names in one group [O4]", async () => {
    await world.outcome(create(A, "a", one));
    await world.outcome(create(B, "b", two));
    expect(await world.outcome(move(A, "b", 1), move(B, "a", 2))).toEqual([3, 4]);
    expect((await world.sequencer.nodeAt(FOLDER, "a"))?.id).toBe(B);
    expect((await world.sequencer.nodeAt(FOLDER, "b"))?.id).toBe(A);
  });

  test("a chain of renames is one group in any order [O4]", async () => {
    await world.outcome(create(A, "a", one));
    await world.outcome(create(B, "b", two));
    expect(await world.outcome(move(A, "b", 1), move(B, "c", 2))).toEqual([3, 4]);
    expect(await paths()).toEqual(["b", "c"]);
  });

  test("a file becomes a directory with content in one group [N6]", async () => {
    await world.outcome(create(A, "x", one));
    const replaced = await world.outcome(
      create(C, "y", two, B),
      create(B, "x", DIRECTORY),
      remove(A, 1),
    );
    expect(replaced).toEqual([2, 3, 4]);
    expect(await paths()).toEqual(["x", "x/y"]);
  });

  const names: readonly [string, string][] = [
    ["", "invalid_path"],
    ["..", "invalid_path"],
    ["a/b", "invalid_path"],
    ["a\0", "invalid_path"],
    [".synced", "reserved_name"],
    [".SYNCED", "reserved_name"],
    ["x".repeat(256), "path_too_long"],
  ];
  for (const [name, code] of names) {
    test(`the name ${JSON.stringify(name.slice(0, 9))} is refused with ${code} [N3]`, async () => {
      expect(await world.outcome(create(A, name, one))).toBe(code);
      await world.outcome(create(B, "b", one));
      expect(await world.outcome(move(B, name, 1))).toBe(code);
    });
  }
});

describe("commit() bounds paths", () => {
  /** A chain of directories below `parent`. @returns the ids, outermost first */
  async function chain(parent: NodeId, count: number, name: string, first: number) {
    const ids = Array.from({ length: count }, (_, index) => nodeId(first + index));
    const group = ids.map((id, index) => create(id, name, DIRECTORY, ids[index - 1] ?? parent));
    expect(await world.outcome(...group)).toBeArray();
    return ids;
  }

  test("256 names deep is the most [N4]", async () => {
    const ids = await chain(ROOT_ID, 256, "d", 100);
    expect(await world.outcome(create(A, "a", one, ids.at(-1)))).toBe("path_too_long");
    expect(await world.outcome(create(A, "a", one, ids.at(-2)))).toEqual([257]);
  });

  test("4,096 bytes are the most [N4]", async () => {
    const ids = await chain(ROOT_ID, 16, "n".repeat(255), 100);
    expect(await world.outcome(create(A, "a", one, ids.at(-1)))).toBe("path_too_long");
  });

  test("a directory does not take its descendants too deep [N4]", async () => {
    const deep = await chain(ROOT_ID, 200, "d", 100);
    const [top] = await chain(ROOT_ID, 100, "t", 400);
    expect(await world.outcome(move(top ?? A, "t", 201, deep.at(-1)))).toBe("path_too_long");
    expect(await world.outcome(move(top ?? A, "t", 201, deep[156]))).toBe("path_too_long");
    expect(await world.outcome(move(top ?? A, "t", 201, deep[155]))).toEqual([301]);
  });

  test("nor over 4,096 bytes, also when moves of one batch pile up [N4]", async () => {
    const long = "n".repeat(250);
    const [outer] = await chain(ROOT_ID, 9, long, 100);
    const [middle] = await chain(ROOT_ID, 8, `m${long}`, 200);
    const inner = nodeId(207);
    const results = await world.post(
      [move(outer ?? A, "o", 1, inner)],
      [move(middle ?? A, "m".repeat(255), 10)],
      [create(C, "x".repeat(255), DIRECTORY)],
      [move(middle ?? A, "y".repeat(255), 19, C)],
    );
    const codes = results.map((result) => (result.status === "accepted" ? "ok" : result.code));
    expect(codes).toEqual(["ok", "ok", "ok", "path_too_long"]);
  });
});

describe("commit() takes a batch group by group", () => {
  test("a refused group leaves nothing and does not stop the next [O4]", async () => {
    const results = await world.post(
      [create(A, "a", one), create(B, "a", two)],
      [create(C, "c", one)],
    );
    expect(results).toMatchObject([
      { status: "refused", code: "name_taken", op: 0 },
      { status: "accepted", seqs: [1] },
    ]);
    expect(await paths()).toEqual(["c"]);
  });

  test("later groups stand on earlier ones [O4]", async () => {
    const results = await world.post(
      [create(A, "a", DIRECTORY)],
      [create(B, "b", one, A)],
      [modify(B, two, 2)],
    );
    expect(results.map(({ status }) => status)).toEqual(["accepted", "accepted", "accepted"]);
  });

  test("the last event of a group is marked and seqs have no gap [L1]", async () => {
    await world.post([create(A, "a", one), create(B, "b", one)], [create(C, "c", one)]);
    const { events } = await world.sequencer.events(FOLDER, { after: 0, limit: 10 });
    expect(events.map(({ seq, groupEnd }) => [seq, groupEnd])).toEqual([
      [1, false],
      [2, true],
      [3, true],
    ]);
  });

  test("an approval is in the events of its batch [G4]", async () => {
    const batch = batchOf(await world.cursor(), [[create(A, "a", one)]]);
    await world.sequencer.commit(FOLDER, { ...batch, approval: "held-1" });
    const { events } = await world.sequencer.events(FOLDER, { after: 0, limit: 10 });
    expect(events[0]?.approval).toBe("held-1");
  });

  test("events show people's paths, also of what goes with its parent [L4]", async () => {
    await world.post([create(A, "a", DIRECTORY)], [create(B, "b", one, A)]);
    await world.post([move(A, "z", 1)], [remove(B, 2), remove(A, 1, 3)]);
    const { events } = await world.sequencer.events(FOLDER, { after: 0, limit: 10 });
    const shown = events.map(({ kind, path, from }) => [kind, path, from]);
    expect(shown).toEqual([
      ["create", "a", undefined],
      ["create", "a/b", undefined],
      ["move", "z", "a"],
      ["delete", "z/b", undefined],
      ["delete", "z", undefined],
    ]);
  });
});

describe("commit() does everything once", () => {
  test("a retry gets the seqs of then and makes no event [O1]", async () => {
    const batch = batchOf(await world.cursor(), [[create(A, "a", one)], [create(B, "b", two)]]);
    const first = await world.sequencer.commit(FOLDER, batch);
    const { results, head } = await world.sequencer.commit(FOLDER, batch);
    expect({ results, head }).toEqual({ results: first.results, head: first.head });
    expect((await world.cursor()).seq).toBe(2);
  });

  test("a retry in the same transaction gets them too [O1]", async () => {
    const batch = batchOf(await world.cursor(), [[create(A, "a", one)]]);
    const [first, again] = await Promise.all([
      world.sequencer.commit(FOLDER, batch),
      world.sequencer.commit(FOLDER, batch),
    ]);
    expect(again).toEqual(first);
    expect((await world.cursor()).seq).toBe(1);
  });

  test("another body under a used id is refused [O1]", async () => {
    const op = create(A, "a", one);
    await world.outcome(op);
    expect(await world.outcome({ ...op, node: B, name: "b" } as Op)).toBe("idempotency_key_reused");
  });

  test("a group that is known in part is refused [O1]", async () => {
    const op = create(A, "a", one);
    await world.outcome(op);
    expect(await world.outcome(op, create(B, "b", one))).toBe("idempotency_key_reused");
    expect(await world.outcome(create(B, "b", one), op)).toBe("idempotency_key_reused");
    const twice = create(C, "c", one);
    expect(await world.outcome(twice, twice)).toBe("idempotency_key_reused");
  });

  test("ids are per device [O1]", async () => {
    const op = create(A, "a", one);
    await world.outcome(op);
    const other = hexId<DeviceId>("d", 2);
    const batch = batchOf(await world.cursor(), [[{ ...op, node: B, name: "b" } as Op]], other);
    const { results } = await world.sequencer.commit(FOLDER, batch);
    expect(results).toEqual([{ status: "accepted", seqs: [2] }]);
  });

  test("a refused op may be tried again under its id [O1]", async () => {
    const op = create(A, "a", one, B);
    expect(await world.outcome(op)).toBe("parent_missing");
    await world.outcome(create(B, "b", DIRECTORY));
    expect(await world.outcome(op)).toEqual([2]);
  });
});

describe("commit() checks the cursor", () => {
  test("any place on the log will do, the genesis too [O5]", async () => {
    const genesis = await world.cursor();
    await world.post([create(A, "a", one)], [create(B, "b", one)]);
    const { events } = await world.sequencer.events(FOLDER, { after: 0, limit: 1 });
    const [event] = events;
    const middle = { ...genesis, seq: 1, hash: event?.hash ?? genesis.hash };
    for (const cursor of [genesis, middle]) {
      const batch = batchOf(cursor, [[create(nodeId(50 + cursor.seq), `n${cursor.seq}`, one)]]);
      const { results } = await world.sequencer.commit(FOLDER, batch);
      expect(results[0]?.status).toBe("accepted");
    }
  });

  test("another epoch, another hash and a seq beyond the head are refused [O5]", async () => {
    const cursor = await world.cursor();
    const cases = [
      [{ ...cursor, epoch: hexId<typeof cursor.epoch>("e", 9) }, "log_diverged"],
      [{ ...cursor, hash: sha256("other") }, "log_diverged"],
      [{ ...cursor, seq: 1 }, "cursor_ahead"],
    ] as const;
    for (const [wrong, code] of cases) {
      const batch = batchOf(wrong, [[create(A, "a", one)]]);
      expect(await failureOf(world.sequencer.commit(FOLDER, batch))).toMatchObject({ code });
    }
    expect((await world.cursor()).seq).toBe(0);
  });

  test("a batch with a wrong cursor does not harm those beside it [O5]", async () => {
    const cursor = await world.cursor();
    const wrong = batchOf({ ...cursor, seq: 5 }, [[create(A, "a", one)]]);
    const right = batchOf(cursor, [[create(B, "b", one)]]);
    const [bad, good] = await Promise.allSettled([
      world.sequencer.commit(FOLDER, wrong),
      world.sequencer.commit(FOLDER, right),
    ]);
    expect(bad.status).toBe("rejected");
    expect(good).toMatchObject({ status: "fulfilled", value: { head: 1 } });
  });
});

describe("commit() wants the bytes first", () => {
  const unknown = fileOf("never uploaded") as FileContent;
  const cases: readonly [string, FileContent, string][] = [
    ["an unknown chunk", unknown, "chunk_missing"],
    ["a wrong size", { ...one, size: 4 }, "invalid_manifest"],
    ["another depth", { ...one, depth: 1 }, "chunk_missing"],
    ["a chunk that is not the file", { ...one, sha256: two.sha256 }, "invalid_manifest"],
    ["size 0 with bytes", { ...one, size: 0 }, "invalid_manifest"],
    ["no bytes with a size", { ...(fileOf("") as FileContent), size: 1 }, "invalid_manifest"],
    ["no bytes of depth 1", { ...(fileOf("") as FileContent), depth: 1 }, "invalid_manifest"],
  ];
  for (const [name, content, code] of cases) {
    test(`${name} is refused with ${code} [O6]`, async () => {
      expect(await world.outcome(create(A, "a", content))).toBe(code);
    });
  }

  test("an empty file needs no object [C2]", async () => {
    expect(await world.outcome(create(A, "a", fileOf("")))).toEqual([1]);
    const node = await world.sequencer.nodeAt(FOLDER, "a");
    expect(node?.content).toMatchObject({ manifest: EMPTY_DIGEST, size: 0 });
  });
});
