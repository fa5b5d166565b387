/**
 * Plans over random logs of three devices. What a plan has to give is computed by hand from the
 * trees of then and now.
 */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { sha256 } from "../../src/core/digest.ts";
import { type DeviceId, type NodeId, type OpId, parseId } from "../../src/core/identifier.ts";
import { type RemoteNode, type Sequence, sameContent, samePlace } from "../../src/core/node.ts";
import type { Batch } from "../../src/core/op.ts";
import { formatTime } from "../../src/core/time.ts";
import {
  type PlanAnswer,
  type PlanRequest,
  planAnswerSchema,
  planResultSchema,
} from "../../src/protocol/plan-messages.ts";
import { createHistory, type History } from "../../src/server/history.ts";
import { fileOf } from "../generate/trees.ts";
import {
  DEVICES,
  liveNodes,
  type PastWorld,
  pastWorld,
  pathIn,
  play,
  type Step,
  steps,
  type Tree,
  treesOf,
} from "./past-world.ts";
import { batchOf, create, DIRECTORY, FOLDER, hexId, modify, move, remove } from "./server-world.ts";

const ME = hexId<DeviceId>("e", 1);
const RUNS = { numRuns: 15 };

async function withPast(all: readonly Step[], look: (world: PastWorld) => Promise<void>) {
  const world = await pastWorld();
  try {
    await play(world, all);
    await look(world);
  } finally {
    await world.close();
  }
}

async function show(history: History, request: PlanRequest): Promise<PlanAnswer> {
  const plan = await history.showPlan(FOLDER, { request, offset: 0, limit: 500 });
  expect(planAnswerSchema.parse(plan)).toEqual(plan);
  return plan;
}

async function apply(history: History, request: PlanRequest, plan: PlanAnswer, partial = false) {
  const application = { request, head: plan.head, device: ME, partial };
  const result = await history.applyPlan(FOLDER, { id: plan.id, application });
  expect(planResultSchema.parse(result)).toEqual(result);
  return result;
}

/** Shows and does it. */
async function carryOut(history: History, request: PlanRequest): Promise<PlanAnswer> {
  const plan = await show(history, request);
  const result = await apply(history, request, plan);
  expect(result.skipped).toEqual([]);
  expect(result.done).toBe(plan.total);
  return plan;
}

async function lastTree(world: PastWorld): Promise<Tree> {
  return treesOf(await world.events()).at(-1) ?? new Map();
}

/** All that people can see: what is where, with which bytes and metadata. */
function picture(tree: Tree): string[] {
  return liveNodes(tree)
    .map((node) => JSON.stringify([pathIn(tree, node), node.id, node.content]))
    .sort();
}

const momentAnd = (length: number) => fc.tuple(steps(length), fc.nat(1000), fc.nat(1000));

describe("restore", () => {
  test("gives the folder of any event, and the one before it again [E9]", async () => {
    await fc.assert(
      fc.asyncProperty(momentAnd(25), ([all, number]) =>
        withPast(all, async (world) => {
          const trees = treesOf(await world.events());
          const head = trees.length - 1;
          const at = number % trees.length;
          // Within a group two nodes may have one name.
          if (at > 0 && !(await world.events())[at - 1]?.groupEnd) return;
          const { history } = world;
          const plan = await carryOut(history, { kind: "restore", path: "", at });
          expect(plan.overlaps).toEqual([]);
          expect(picture(await lastTree(world))).toEqual(picture(trees[at] ?? new Map()));
          await carryOut(history, { kind: "restore", path: "", at: head });
          expect(picture(await lastTree(world))).toEqual(picture(trees[head] ?? new Map()));
        }),
      ),
      RUNS,
    );
  });

  test("of a directory gives that directory, and leaves alone what is elsewhere [E9]", async () => {
    await fc.assert(
      fc.asyncProperty(momentAnd(25), ([all, number, other]) =>
        withPast(all, async (world) => {
          const trees = treesOf(await world.events());
          const at = number % trees.length;
          if (at > 0 && !(await world.events())[at - 1]?.groupEnd) return;
          const then = trees[at] ?? new Map();
          const now = trees.at(-1) ?? new Map();
          const nodes = liveNodes(then);
          const top = nodes[other % Math.max(1, nodes.length)];
          if (top === undefined) return;
          const path = pathIn(then, top);
          const plan = await carryOut(world.history, { kind: "restore", path, at });
          const after = await lastTree(world);
          if (plan.overlaps.length === 0) {
            expect(within(after, path)).toEqual(within(then, path));
          }
          // Only nodes of then or now at that path, or in its directories, have changed.
          const own = new Set(
            liveNodes(then)
              .filter((node) => isAt(pathIn(then, node), path))
              .map(({ id }) => id),
          );
          const listed = new Set(plan.overlaps.map(({ node }) => node));
          for (const node of liveNodes(now)) {
            const isOwn =
              own.has(node.id) || isAt(pathIn(now, node), path) || isInAny(now, node, own);
            if (!isOwn && !listed.has(node.id)) expect(after.get(node.id)).toEqual(node);
          }
        }),
      ),
      RUNS,
    );
  });

  test("names whose later work it takes back, and keeps it if asked to [E9]", async () => {
    await withPast([], async (world) => {
      const [a, b] = [hexId<NodeId>("a", 1001), hexId<NodeId>("a", 1002)];
      const { act, history } = world;
      await act(0, [create(a, "a", fileOf("one")), create(b, "b", fileOf("one"))]);
      await act(1, [modify(a, fileOf("two"), 1)]);
      await act(0, [modify(b, fileOf("two"), 2)]);
      const request = { kind: "restore", path: "", at: 2 } as const;
      const whole = await show(history, request);
      expect(whole.summary).toMatchObject({ written: 2, bytes: 6 });
      expect(whole.others.map(({ device, changes }) => [device, changes])).toEqual([
        [DEVICES[1] ?? "", 1],
        [DEVICES[0] ?? "", 1],
      ]);
      const device = hexId<DeviceId>("d", 1);
      const own = await history.showPlan(FOLDER, { request, device, offset: 0, limit: 10 });
      expect(own.others).toMatchObject([{ device: DEVICES[1] ?? "", changes: 1 }]);
      expect(own.id).toBe(whole.id);
      const kept = await show(history, { ...request, keepLater: hexId<DeviceId>("d", 1) });
      expect(kept.steps.map(({ path }) => path)).toEqual(["b"]);
    });
  });
});

function isAt(path: string, directory: string): boolean {
  return path === directory || path.startsWith(`${directory}/`);
}

function isInAny(tree: Tree, node: RemoteNode, directories: ReadonlySet<NodeId>): boolean {
  const above = tree.get(node.parent);
  return above !== undefined && (directories.has(above.id) || isInAny(tree, above, directories));
}

function within(tree: Tree, path: string): string[] {
  return picture(tree).filter((line) => isAt((JSON.parse(line) as [string])[0], path));
}

describe("undo", () => {
  test("of the only device that did anything is a restore [E10]", async () => {
    await fc.assert(
      fc.asyncProperty(momentAnd(25), ([all, number]) =>
        withPast([], async (world) => {
          const before = all.slice(0, number % (all.length + 1));
          await play(world, before);
          const then = await lastTree(world);
          const since = (await world.events()).length;
          const mine = all.slice(before.length).map((step) => ({ ...step, device: 0 }));
          await play(world, mine);
          const device = DEVICES[0] ?? ME;
          await carryOut(world.history, { kind: "undo", device, since });
          expect(picture(await lastTree(world))).toEqual(picture(then));
        }),
      ),
      RUNS,
    );
  });

  test("keeps every last word of others, and lists what it leaves [E10]", async () => {
    await fc.assert(
      fc.asyncProperty(momentAnd(30), ([all, number]) =>
        withPast(all, async (world) => {
          const events = await world.events();
          const trees = treesOf(events);
          const now = trees.at(-1) ?? new Map();
          const since = number % trees.length;
          const device = DEVICES[0] ?? ME;
          const plan = await carryOut(world.history, { kind: "undo", device, since });
          const after = await lastTree(world);
          const listed = new Set(plan.overlaps.map(({ node }) => node));
          for (const [id, node] of now) {
            const own = events.filter((event) => event.node === id);
            const isMine = (seq: Sequence) => {
              const event = events[seq - 1];
              return event?.device === device && event.seq > since;
            };
            const touched = own.some(({ seq }) => isMine(seq));
            const result = after.get(id);
            if (!touched && !listed.has(id)) expect(result).toEqual(node);
            if (listed.has(id) || result === undefined || result.deleted || node.deleted) continue;
            if (!isMine(node.contentVersion))
              expect(sameContent(result.content, node.content)).toBe(true);
            if (!isMine(node.placeVersion)) expect(samePlace(result, node)).toBe(true);
            if (isMine(node.contentVersion) && own.every(({ kind }) => kind !== "delete")) {
              const earlier = own.findLast(
                ({ seq, kind }) => (kind === "create" || kind === "modify") && !isMine(seq),
              );
              if (earlier !== undefined) expect(result.content).toEqual(earlier.content);
            }
          }
        }),
      ),
      RUNS,
    );
  });

  test("of what a plan did is the plan's contrary [E10]", async () => {
    await fc.assert(
      fc.asyncProperty(momentAnd(20), ([all, number]) =>
        withPast(all, async (world) => {
          const trees = treesOf(await world.events());
          const at = number % trees.length;
          if (at > 0 && !(await world.events())[at - 1]?.groupEnd) return;
          const request = { kind: "restore", path: "", at } as const;
          const plan = await show(world.history, request);
          const { first, last } = await apply(world.history, request, plan);
          if (first === undefined || last === undefined) return;
          await carryOut(world.history, { kind: "revert", first, last });
          expect(picture(await lastTree(world))).toEqual(picture(trees.at(-1) ?? new Map()));
        }),
      ),
      RUNS,
    );
  });

  test("of a row of the log takes back that row, and nothing between its events [E14]", async () => {
    await withPast([], async (world) => {
      const { act, history } = world;
      const [one, two, dir] = [1301, 1302, 1303].map((n) => hexId<NodeId>("a", n));
      if (one === undefined || two === undefined || dir === undefined) throw new Error("three");
      await act(0, [create(dir, "dir", DIRECTORY)]);
      const text = fileOf("one");
      // One batch: made in the root, in the directory, and in the root again.
      await act(0, [
        create(one, "1", text),
        create(two, "2", text, dir),
        create(hexId("a", 1304), "3", text),
      ]);
      const { rows } = await history.log(FOLDER, { limit: 10 });
      const row = rows.find(({ count }) => count === 2);
      expect(row).toMatchObject({ seq: 2, lastSeq: 4, path: "" });
      const plan = await carryOut(history, { kind: "revert", first: 2, last: 4, of: "row" });
      expect(plan.steps.map(({ what, path }) => `${what} ${path}`).sort()).toEqual([
        "delete 1",
        "delete 3",
      ]);
    });
  });

  test("of an action leaves alone what came between its batches [E14]", async () => {
    await withPast([], async (world) => {
      const { act, history } = world;
      const nodes = [1311, 1312, 1313, 1314].map((n) => hexId<NodeId>("a", n));
      for (const [index, node] of nodes.entries())
        await act(0, [create(node, String(index), fileOf("one"))]);
      const [a, b, c, d] = nodes;
      if (a === undefined || b === undefined || c === undefined || d === undefined) return;
      const approval = "0123456789abcdef0123456789abcdef";
      await world.actApproved(0, [modify(a, fileOf("two"), 1)], approval);
      // The device itself, in other business, and somebody else.
      await act(0, [modify(b, fileOf("two"), 2)]);
      await act(1, [modify(c, fileOf("two"), 3)]);
      await world.actApproved(0, [modify(d, fileOf("two"), 4)], approval);
      const plan = await carryOut(history, { kind: "revert", first: 5, last: 8, of: "action" });
      expect(plan.steps.map(({ what, path }) => `${what} ${path}`).sort()).toEqual([
        "write 0",
        "write 3",
      ]);
      expect(plan.overlaps).toEqual([]);
    });
  });

  test("up to an event says that the device itself went on from there [E10]", async () => {
    await withPast([], async (world) => {
      const { act, history } = world;
      const [a, b] = [hexId<NodeId>("a", 1321), hexId<NodeId>("a", 1322)];
      await act(0, [create(a, "a", fileOf("one"))]);
      await act(0, [create(b, "b", fileOf("one"))]);
      await act(0, [modify(a, fileOf("two"), 1)]);
      await act(0, [modify(a, fileOf("three"), 3)]);
      await act(0, [modify(b, fileOf("two"), 2)]);
      await act(0, [remove(b, 5, 2)]);
      const device = DEVICES[0] ?? ME;
      const plan = await show(history, { kind: "undo", device, since: 2, until: 3 });
      const by = { device, seq: 4 };
      expect(plan).toMatchObject({ total: 0, overlaps: [{ node: a, why: "changed_later", by }] });
      const deleted = await show(history, { kind: "undo", device, since: 4, until: 5 });
      const then = { node: b, why: "changed_later", by: { device, seq: 6 } };
      expect(deleted).toMatchObject({ total: 0, overlaps: [then] });
    });
  });

  test("brings back beside it what finds its name taken, if asked to [E10]", async () => {
    await withPast([], async (world) => {
      const [a, b] = [hexId<NodeId>("a", 1101), hexId<NodeId>("a", 1102)];
      const { act, history } = world;
      await act(1, [create(a, "a.txt", fileOf("one"))]);
      await act(0, [remove(a, 1)]);
      await act(1, [create(b, "a.txt", fileOf("two"))]);
      const request = { kind: "undo", device: hexId<DeviceId>("d", 1), since: 1 } as const;
      const plan = await show(history, request);
      expect(plan).toMatchObject({
        total: 0,
        overlaps: [
          { node: a, path: "a.txt", why: "name_taken", by: { device: DEVICES[1], seq: 3 } },
        ],
      });
      await carryOut(history, { ...request, overlaps: "keep-both" });
      const names = liveNodes(await lastTree(world)).map(({ name }) => name);
      expect(names.sort()).toEqual(["a (restored 2023-11-14 7692c3).txt", "a.txt"]);
    });
  });
});

describe("a plan", () => {
  const [dir, a, b] = [1201, 1202, 1203].map((n) => hexId<NodeId>("a", n)) as [
    NodeId,
    NodeId,
    NodeId,
  ];
  const request = { kind: "restore", path: "", at: 3 } as const;

  /** Both files were overwritten since event 3. */
  async function withStory(look: (world: PastWorld) => Promise<void>) {
    await withPast([], async (world) => {
      const { act } = world;
      await act(0, [create(dir, "dir", DIRECTORY)]);
      await act(0, [create(a, "a", fileOf("one"), dir)]);
      await act(0, [create(b, "b", fileOf("one"), dir)]);
      await act(0, [modify(a, fileOf("two"), 2)]);
      await act(0, [modify(b, fileOf("two"), 3)]);
      await look(world);
    });
  }

  test("is refused under another name, and where others changed its nodes since [E9]", async () => {
    await withStory(async ({ history, act }) => {
      const plan = await show(history, request);
      const wrong = apply(history, { ...request, at: 2 }, plan);
      expect(await wrong.catch((error) => error.code)).toBe("plan_mismatch");
      await act(1, [modify(a, fileOf("three"), 4)]);
      const stale = await apply(history, request, plan).catch((error) => error);
      expect(stale).toMatchObject({
        code: "plan_stale",
        extensions: { changed: ["dir/a"], count: 1 },
      });
      const partly = await apply(history, request, plan, true);
      expect(partly).toMatchObject({
        first: 7,
        last: 7,
        done: 1,
        skipped: [{ node: a, path: "dir/a", code: "changed_since" }],
      });
    });
  });

  test("is not mistaken for another change that bears its name, or its ops' ids [E9]", async () => {
    await withStory(async ({ history, actApproved, sequencer, cursor }) => {
      const plan = await show(history, request);
      // The ids follow from the plan's, so whoever may write can take them first.
      await actApproved(1, [modify(a, fileOf("three"), 4)], plan.id);
      const stale = await apply(history, request, plan).catch((error) => error.code);
      expect(stale).toBe("plan_stale");
      const anew = await show(history, request);
      const opId = parseId<OpId>(sha256(`${anew.id}\nop 1`).slice(0, 32));
      const c = hexId<NodeId>("c", 9);
      const taken = { ...create(c, "c", fileOf("one")), opId };
      await sequencer.commit(FOLDER, batchOf(await cursor(), [[taken]], ME));
      const result = await apply(history, request, anew);
      expect(result.done).toBe(1);
      expect(result.skipped.map(({ code }) => code)).toEqual(["idempotency_key_reused"]);
    });
  });

  test("that was half done when the server died goes on where it ended, once [E9, O1]", async () => {
    await withStory(async (world) => {
      const { history, act, sequencer, metadata, clock, store } = world;
      const plan = await show(history, request);
      let commits = 0;
      const dying = {
        ...sequencer,
        async commit(folder: typeof FOLDER, batch: Batch) {
          commits += 1;
          await sequencer.commit(folder, { ...batch, groups: batch.groups.slice(0, 1) });
          throw new Error("killed");
        },
      };
      const onError = () => undefined;
      const doomed = createHistory({ sequencer: dying, metadata, history: store, clock, onError });
      expect(await apply(doomed, request, plan).catch(({ message }) => message)).toBe("killed");
      await doomed.stop();
      expect(commits).toBe(1);
      // Somebody goes on from what the plan had done already.
      await act(1, [modify(a, fileOf("three"), 6)]);
      const result = await apply(history, request, plan);
      expect(result).toMatchObject({ first: 6, last: 8, done: 2, skipped: [] });
      expect(await apply(history, request, plan)).toEqual(result);
      const after = await lastTree(world);
      expect([after.get(a)?.content, after.get(b)?.content]).toEqual([
        fileOf("three"),
        fileOf("one"),
      ]);
      const approvals = (await world.events()).slice(5).map(({ approval }) => approval === plan.id);
      expect(approvals).toEqual([true, false, true]);
    });
  });

  test("deletes nodes with all that is below, and not what came later [E11]", async () => {
    await withStory(async (world) => {
      const plan = await show(world.history, { kind: "delete", ids: [dir] });
      expect(plan.steps.map(({ what, path }) => `${what} ${path}`)).toEqual([
        "delete dir/a",
        "delete dir/b",
        "delete dir",
      ]);
      const late = hexId<NodeId>("a", 1204);
      await world.act(1, [create(late, "late", fileOf("one"), dir)]);
      const result = await apply(world.history, { kind: "delete", ids: [dir] }, plan);
      expect(result.skipped).toEqual([{ node: dir, path: "dir", code: "directory_not_empty" }]);
      expect(picture(await lastTree(world)).length).toBe(2);
    });
  });

  test("brings a directory back, and lists it only if others deleted it [E10]", async () => {
    for (const device of [0, 1]) {
      await withStory(async (world) => {
        const { act, history } = world;
        await act(0, [remove(a, 4, 2), remove(b, 5, 3)]);
        await act(device, [remove(dir, 1)]);
        const plan = await show(history, { kind: "revert", first: 6, last: 7 });
        expect(plan.steps.map(({ what, path }) => `${what} ${path}`).sort()).toEqual([
          "revive dir",
          "revive dir/a",
          "revive dir/b",
        ]);
        const by = { device: DEVICES[1] ?? "", seq: 8 };
        const listed = [{ node: dir, path: "dir", why: "deleted_by_others", by }];
        expect(plan.overlaps).toMatchObject(device === 0 ? [] : listed);
        expect(plan.overlaps).toHaveLength(device);
      });
    }
  });

  test("restores one file with its directory, which is no news then [E9]", async () => {
    for (const device of [0, 1]) {
      await withStory(async (world) => {
        const { act, history } = world;
        await act(device, [remove(a, 4, 2), remove(b, 5, 3), remove(dir, 1)]);
        const plan = await show(history, { kind: "restore", path: "dir/a", at: 3 });
        expect(plan.steps.map(({ what, path }) => `${what} ${path}`)).toEqual([
          "revive dir",
          "revive dir/a",
        ]);
        expect(plan.overlaps).toEqual([]);
      });
    }
  });

  test("restores a file to its path of then, not below a later name [E15]", async () => {
    await withStory(async (world) => {
      const { act, history } = world;
      await act(0, [move(dir, "renamed", 1)]);
      const stepsOf = async (path: string) => {
        const plan = await show(history, { kind: "restore", path, at: 3 });
        expect(plan.overlaps).toEqual([]);
        return plan.steps.map(({ what, path: place }) => `${what} ${place}`);
      };
      await act(1, [remove(a, 4, 2)]);
      // A directory that lives keeps the name that somebody gave it.
      expect(await stepsOf("dir/a")).toEqual(["revive renamed/a"]);
      await act(1, [remove(b, 5, 3), remove(dir, 1, 6)]);
      expect(await stepsOf("dir/a")).toEqual(["revive dir", "revive dir/a"]);
      await act(2, [create(hexId<NodeId>("f", 1), "renamed", DIRECTORY)]);
      expect(await stepsOf("dir/a")).toEqual(["revive dir", "revive dir/a"]);
      // One that was made anew under its name takes its place.
      await act(2, [create(hexId<NodeId>("f", 2), "dir", DIRECTORY)]);
      expect(await stepsOf("dir/a")).toEqual(["revive dir/a"]);
    });
  });

  test("says of which versions the bytes are gone, and does the rest [E9-E11, U7]", async () => {
    await withStory(async (world) => {
      const { history, metadata, act, clock } = world;
      await act(1, [move(a, "moved", 2, dir)]);
      await act(1, [remove(b, 5, 3)]);
      await metadata.prune(FOLDER, { before: formatTime(clock.now() + 1000), limit: 1000 });
      const gone = (node: NodeId, path: string) => ({ node, path, why: "version_gone" }) as const;
      const [goneA, goneB] = [gone(a, "dir/moved"), gone(b, "dir/b")];
      const restored = await show(history, request);
      expect(restored.overlaps).toEqual([goneA, goneB]);
      expect(restored.steps.map(({ what, path }) => `${what} ${path}`)).toEqual(["move dir/a"]);
      const whole = { kind: "undo", device: DEVICES[0] ?? ME, since: 3 } as const;
      expect((await show(history, whole)).overlaps).toContainEqual(goneA);
      // Its bytes are kept, because another file has them.
      const reverted = await show(history, { kind: "revert", first: 7, last: 7 });
      expect(reverted).toMatchObject({ total: 1, overlaps: [] });
      const copied = await show(history, { kind: "copy", path: "dir", at: 3, to: "old" });
      expect(copied).toMatchObject({ total: 1, overlaps: [goneA, goneB] });
      const result = await apply(history, request, restored);
      const skipped = [goneA, goneB].map(({ node, path, why: code }) => ({ node, path, code }));
      expect(result).toMatchObject({ done: 1, skipped });
      const after = await lastTree(world);
      expect(after.get(a)).toMatchObject({ name: "a", content: fileOf("two") });
    });
  });

  test("copies what was somewhere to a free place, as new nodes [E11]", async () => {
    await withStory(async (world) => {
      await carryOut(world.history, { kind: "copy", path: "dir", at: 3, to: "old" });
      const tree = await lastTree(world);
      expect(within(tree, "old").map((line) => JSON.parse(line)[0])).toEqual([
        "old",
        "old/a",
        "old/b",
      ]);
      const [, copy] = within(tree, "old").map((line) => JSON.parse(line)[2]);
      expect(copy).toEqual(fileOf("one"));
    });
  });

  test.each(["copy", "original", "both"] as const)(
    "resolves a conflict: %s [E11]",
    async (keep) => {
      await withStory(async (world) => {
        const copy = hexId<NodeId>("a", 1205);
        const made = create(copy, "a (conflict)", fileOf("three"), dir);
        await world.act(1, [{ ...made, conflictOf: { node: a, version: 4 } } as typeof made]);
        await carryOut(world.history, { kind: "resolve", copy, keep });
        const shown = within(await lastTree(world), "dir").map((line) => {
          const [path, id, content] = JSON.parse(line);
          return [path, id === copy, content.sha256?.slice(0, 6)];
        });
        const rest = [["dir/b", false, "3fc4cc"]];
        const files = {
          copy: [["dir/a", false, "8b5b9d"]],
          original: [["dir/a", false, "3fc4cc"]],
          both: [
            ["dir/a 2", true, "8b5b9d"],
            ["dir/a", false, "3fc4cc"],
          ],
        };
        expect(shown).toEqual([["dir", false, undefined], ...files[keep], ...rest]);
      });
    },
  );

  test("moves nobody's file: a name that somebody else has is not taken [E9]", async () => {
    await withStory(async (world) => {
      const other = hexId<NodeId>("a", 1206);
      await world.act(0, [move(dir, "elsewhere", 1)]);
      await world.act(1, [create(other, "dir", fileOf("one"))]);
      const plan = await show(world.history, {
        kind: "undo",
        device: hexId<DeviceId>("d", 1),
        since: 5,
      });
      expect(plan).toMatchObject({ total: 0, overlaps: [{ node: dir, why: "name_taken" }] });
    });
  });
});
