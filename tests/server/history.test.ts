/**
 * History against random logs folded by hand: whatever is asked about any moment, the answer is
 * that of the tree of then.
 */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { type DeviceId, type NodeId, ROOT_ID } from "../../src/core/identifier.ts";
import { type RemoteNode, sameContent, samePlace } from "../../src/core/node.ts";
import { compareNames } from "../../src/core/path.ts";
import { formatTime } from "../../src/core/time.ts";
import { LIST_SORTS } from "../../src/ports/history-store.ts";
import {
  activityAnswerSchema,
  diffAnswerSchema,
  listAnswerSchema,
  logAnswerSchema,
  searchAnswerSchema,
} from "../../src/protocol/time-answers.ts";
import { sortedPage, spansAt } from "../../src/server/directory-histories.ts";
import { createHistory } from "../../src/server/history.ts";
import { fileOf } from "../generate/trees.ts";
import {
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

const RUNS = { numRuns: 12 };
const LIST = { path: "", sort: "name", descending: false, offset: 0, limit: 1000 } as const;

async function withPast(all: readonly Step[], look: (world: PastWorld) => Promise<void>) {
  const world = await pastWorld();
  try {
    await play(world, all);
    await look(world);
  } finally {
    await world.close();
  }
}

function entriesOf(tree: Tree, parent: NodeId): RemoteNode[] {
  return liveNodes(tree)
    .filter((node) => node.parent === parent)
    .sort((a, b) => compareNames(a.name, b.name) || lastChange(a) - lastChange(b));
}

/** Within a group, two nodes may have one place for a moment. */
function lastChange({ contentVersion, placeVersion }: RemoteNode): number {
  return Math.max(contentVersion, placeVersion);
}

/** The names of a directory's free places whose last node was deleted there. */
function ghostsOf(trees: readonly Tree[], at: number, parent: NodeId): string[] {
  const last = new Map<string, boolean>();
  for (let seq = 1; seq <= at; seq++) {
    const [before, after] = [trees[seq - 1], trees[seq]];
    for (const node of after?.values() ?? []) {
      const old = before?.get(node.id);
      if (old === node) continue;
      if (old !== undefined && !old.deleted && old.parent === parent) {
        const isFirst =
          last.get(old.name) !== false ||
          !entriesOf(after ?? new Map(), parent).some(({ name }) => name === old.name);
        if (isFirst) last.set(old.name, node.deleted);
      }
      if (!node.deleted && node.parent === parent) last.set(node.name, false);
    }
  }
  const live = new Set(entriesOf(trees[at] ?? new Map(), parent).map(({ name }) => name));
  return [...last].flatMap(([name, isGhost]) => (isGhost && !live.has(name) ? [name] : []));
}

describe("a folder as of any event", () => {
  test("every directory lists what was in it, at every event, kept or not [E1, E3]", async () => {
    await fc.assert(
      fc.asyncProperty(steps(20), (all) =>
        withPast(all, async ({ events, history, store }) => {
          const trees = treesOf(await events());
          for (const [at, tree] of trees.entries()) {
            const directories = liveNodes(tree).filter(
              ({ content }) => content.kind === "directory",
            );
            for (const directory of [undefined, ...directories]) {
              const path = directory === undefined ? "" : pathIn(tree, directory);
              const parent = directory?.id ?? ROOT_ID;
              const moment = { ...LIST, path, at };
              const answer = await history.list(FOLDER, { ...moment, withDeleted: false });
              expect(listAnswerSchema.parse(answer)).toEqual(answer);
              const wanted = entriesOf(tree, parent);
              const shown = answer.entries.map(({ name, id, contentVersion, placeVersion }) => {
                return { name, id, contentVersion, placeVersion };
              });
              expect({ ...answer, entries: shown }).toEqual({
                seq: at,
                node: parent,
                total: wanted.length,
                entries: wanted.map(({ name, id, contentVersion, placeVersion }) => {
                  return { name, id, contentVersion, placeVersion };
                }),
              });
              const more = await history.list(FOLDER, { ...moment, withDeleted: true });
              const ghosts = more.entries.filter(({ deleted }) => deleted !== undefined);
              expect(ghosts.map(({ name }) => name)).toEqual(
                ghostsOf(trees, at, parent).sort(compareNames),
              );
              // A directory that is too large to be kept is read with these.
              for (const sort of LIST_SORTS) {
                for (const descending of [false, true]) {
                  const page = { sort, descending, after: undefined, offset: 1, limit: 2 };
                  const where = { parent, at, withDeleted: true };
                  const read = await store.list(FOLDER, { ...where, ...page });
                  const spans = await store.spans(FOLDER, { parent, limit: 1000 });
                  expect(read).toEqual(sortedPage(spansAt(spans, where), page));
                  expect(await store.count(FOLDER, where)).toBe(more.total);
                }
              }
            }
          }
        }),
      ),
      RUNS,
    );
  });

  test("two moments differ in what differs in their trees [E4]", async () => {
    await fc.assert(
      fc.asyncProperty(steps(16), (all) =>
        withPast(all, async ({ events, history }) => {
          const trees = treesOf(await events());
          for (const [from, before] of trees.entries()) {
            for (const [to, after] of trees.entries()) {
              const answer = await history.diff(FOLDER, { from, to, offset: 0, limit: 1000 });
              expect(diffAnswerSchema.parse(answer)).toEqual(answer);
              const shown = answer.entries.map(({ what, id, path }) => `${what} ${id} ${path}`);
              expect(shown.sort()).toEqual(differences(before, after).sort());
            }
          }
        }),
      ),
      RUNS,
    );
  });

  test("a restart goes on where it was, another log begins anew [E1]", async () => {
    await withPast([], async (world) => {
      const { store, sequencer, metadata, clock, act, history } = world;
      await act(0, [create(hexId<NodeId>("a", 1), "x", fileOf("one"))]);
      const list = { ...LIST, withDeleted: false };
      expect((await history.list(FOLDER, list)).total).toBe(1);
      await history.stop();
      const stored = await store.followed(FOLDER);
      await act(0, [create(hexId<NodeId>("a", 2), "y", fileOf("one"))]);
      const onError = () => undefined;
      const ports = { sequencer, metadata, history: store, clock, onError };
      const next = createHistory(ports);
      expect((await next.list(FOLDER, list)).total).toBe(2);
      await next.stop();
      // As if the server's log had been restored from a backup, and gone on another way.
      if (stored === undefined) throw new Error("Nothing was folded");
      await store.fold(FOLDER, [], { ...stored, hash: "0".repeat(64) as typeof stored.hash });
      const third = createHistory(ports);
      expect((await third.list(FOLDER, list)).total).toBe(2);
      await third.stop();
    });
  });
});

describe("the fold", () => {
  test("follows by itself, and a question about more than it may wait for is told so [E2]", async () => {
    await withPast([], async ({ sequencer, metadata, clock, store, history, cursor }) => {
      await history.stop();
      const groupsOf = (batch: number) =>
        Array.from({ length: 1000 }, (_, index) => {
          const node = hexId<NodeId>("f", batch * 1000 + index);
          return [create(node, `${batch}-${index}`, DIRECTORY)];
        });
      for (let batch = 0; batch < 21; batch++) {
        await sequencer.commit(FOLDER, batchOf(await cursor(), groupsOf(batch)));
      }
      const onError = () => undefined;
      const late = createHistory({ sequencer, metadata, history: store, clock, onError });
      const request = { ...LIST, withDeleted: false };
      const extensions = { indexed: expect.any(Number), head: 21_000 };
      const pending = { code: "history_pending", extensions };
      expect(await late.list(FOLDER, request).catch((error) => error)).toMatchObject(pending);
      while ((await store.followed(FOLDER))?.seq !== 21_000) await clock.yield();
      expect((await late.list(FOLDER, request)).total).toBe(21_000);
      await late.stop();
    });
  });
});

/** What diff has to say, in no order. */
function differences(before: Tree, after: Tree): string[] {
  const found: string[] = [];
  for (const id of new Set([...before.keys(), ...after.keys()])) {
    const [old, now] = [before, after].map((tree) => {
      const node = tree.get(id);
      return node?.deleted === false ? node : undefined;
    });
    if (old === undefined && now !== undefined) found.push(`added ${id} ${pathIn(after, now)}`);
    if (old !== undefined && now === undefined) found.push(`removed ${id} ${pathIn(before, old)}`);
    if (old === undefined || now === undefined) continue;
    const path = pathIn(after, now);
    if (!sameContent(old.content, now.content)) found.push(`modified ${id} ${path}`);
    else if (!samePlace(old, now)) found.push(`moved ${id} ${path}`);
  }
  return found;
}

describe("who did what", () => {
  const [A, B, D, C] = ["a1", "b1", "d1", "c1"].map((text, index) => {
    return hexId<NodeId>(text.charAt(0), 100 + index);
  }) as [NodeId, NodeId, NodeId, NodeId];
  const [laptop, phone] = [hexId<DeviceId>("d", 1), hexId<DeviceId>("d", 2)];

  async function withStory(look: (world: PastWorld) => Promise<void>) {
    await withPast([], async (world) => {
      const { act, sequencer } = world;
      await act(0, [create(D, "dir", DIRECTORY)]);
      await act(0, [create(A, "a", fileOf("one"), D), create(B, "b", fileOf("one"), D)]);
      await act(1, [modify(A, fileOf("two"), 2)]);
      await act(1, [move(B, "c", 3, D)]);
      await act(1, [remove(A, 4, 2), remove(B, 3, 5), remove(D, 1)]);
      const { epoch, hash, head } = await sequencer.folder(FOLDER);
      const applied = { epoch, seq: head, hash };
      await sequencer.reportDevice(FOLDER, phone, { name: "PHONE", applied });
      await look(world);
    });
  }

  function shown({ rows }: { rows: readonly object[] }): string[] {
    return (rows as { seq: number; lastSeq: number; deviceName: string; action: string }[]).map(
      (row) => {
        const { seq, lastSeq, deviceName, action, path, count } = row as typeof row & {
          path: string;
          count: number;
        };
        const name = deviceName === "PHONE" ? "PHONE" : "LAPTOP";
        return `${seq}-${lastSeq} ${name} ${action} ${path} ${count}`;
      },
    );
  }

  test("the log names device, action and path, runs as one row, newest first [E5]", async () => {
    await withStory(async ({ history }) => {
      const answer = await history.log(FOLDER, { limit: 100 });
      expect(logAnswerSchema.parse(answer)).toEqual(answer);
      const all = [
        "8-8 PHONE rmdir dir 1",
        "6-7 PHONE delete dir 2",
        "5-5 PHONE rename dir/c 1",
        "4-4 PHONE update dir/a 1",
        "2-3 LAPTOP upload dir 2",
        "1-1 LAPTOP mkdir dir 1",
      ];
      expect(shown(answer)).toEqual(all);
      const pages: string[] = [];
      for (let before: number | undefined = 9; before !== undefined; ) {
        const page = await history.log(FOLDER, { before, limit: 1 });
        pages.push(...shown(page));
        before = page.next;
      }
      expect(pages).toEqual(all);
      const forward = await history.log(FOLDER, { after: 0, limit: 100 });
      expect(shown(forward)).toEqual(all.toReversed());
    });
  });

  test("what one batch does by turns is one row for each action, on pages of any size [E5]", async () => {
    await withPast([], async ({ act, history }) => {
      await act(0, [create(A, "a", fileOf("one")), create(B, "b", fileOf("one"))]);
      const both = [modify(A, fileOf("two"), 1), move(A, "c", 1)];
      await act(1, [...both, modify(B, fileOf("two"), 2), move(B, "d", 2)]);
      const all = ["4-6 LAPTOP rename  2", "3-5 LAPTOP update  2", "1-2 LAPTOP upload  2"];
      expect(shown(await history.log(FOLDER, { limit: 100 }))).toEqual(all);
      const forward = await history.log(FOLDER, { after: 0, limit: 100 });
      expect(shown(forward)).toEqual(all.toReversed());
      for (const limit of [1, 2, 3]) {
        for (const isForward of [false, true]) {
          const seen: string[] = [];
          for (let at: number | undefined = isForward ? 0 : 7; at !== undefined; ) {
            const page = await history.log(FOLDER, { limit, [isForward ? "after" : "before"]: at });
            for (const { action, count } of page.rows)
              for (let one = 0; one < count; one++) seen.push(action);
            at = page.next;
          }
          const each = ["rename", "rename", "update", "update", "upload", "upload"];
          expect(seen.sort()).toEqual(each);
        }
      }
    });
  });

  test("rows of large batches come some at a time, each of them whole [E5]", async () => {
    await withPast([], async ({ history, sequencer, cursor }) => {
      for (let batch = 0; batch < 5; batch++) {
        const groups = Array.from({ length: 999 }, (_, index) => {
          const name = `${batch}-${index}`;
          return [create(hexId<NodeId>("e", 1000 * batch + index), name, DIRECTORY)];
        });
        await sequencer.commit(FOLDER, batchOf(await cursor(), groups));
      }
      for (const isForward of [false, true]) {
        const pages: number[][] = [];
        for (let at: number | undefined = isForward ? 0 : 4_996; at !== undefined; ) {
          const page = await history.log(FOLDER, {
            limit: 9,
            [isForward ? "after" : "before"]: at,
          });
          pages.push(page.rows.map(({ count }) => count));
          at = page.next;
        }
        expect(pages).toEqual([[999, 999, 999, 999], [999]]);
      }
    });
  });

  test("the log is filtered by path, node, device, action and time [E5]", async () => {
    await withStory(async ({ history, events }) => {
      const log = async (filter: object) => {
        return shown(await history.log(FOLDER, { limit: 100, ...filter })).map(
          (row) => row.split(" ")[0],
        );
      };
      expect(await log({ path: "dir/b" })).toEqual(["5-5", "3-3"]);
      expect(await log({ id: A })).toEqual(["6-6", "4-4", "2-2"]);
      expect(await log({ device: laptop })).toEqual(["2-3", "1-1"]);
      expect(await log({ action: "delete" })).toEqual(["6-7"]);
      const times = (await events()).map(({ time }) => Date.parse(time));
      expect(await log({ sinceMs: times[4] })).toEqual(["8-8", "6-7", "5-5"]);
      expect(await log({ untilMs: (times[3] ?? 0) - 1 })).toEqual(["2-3", "1-1"]);
    });
  });

  test("the log says which versions have no bytes any more [E5, U7]", async () => {
    await withStory(async ({ history, metadata, act, clock }) => {
      await act(0, [create(C, "kept", fileOf("one"))]);
      const before = formatTime(clock.now() + 1000);
      await metadata.prune(FOLDER, { before, limit: 1000 });
      const { rows } = await history.log(FOLDER, { limit: 100 });
      expect(rows.map(({ seq, gone }) => [seq, gone])).toEqual([
        [9, undefined],
        [8, undefined],
        [6, undefined],
        [5, true],
        [4, true],
        [2, true],
        [1, undefined],
      ]);
    });
  });

  test("a moment is the last event by a time, with the ends of the groups beside it [E6, L8]", async () => {
    await withStory(async ({ history, events }) => {
      const times = (await events()).map(({ time }) => Date.parse(time));
      const at = (timeMs: number | undefined) => history.moment(FOLDER, { timeMs: timeMs ?? 0 });
      expect(await at((times[0] ?? 0) - 1)).toEqual({ seq: 0, next: 1 });
      expect(await at(times[2])).toMatchObject({ seq: 3, previous: 1, next: 4, device: laptop });
      expect(await at((times[7] ?? 0) + 1)).toMatchObject({ seq: 8, previous: 5 });
      expect(await history.moment(FOLDER, { seq: 7 })).toMatchObject({ previous: 5, next: 8 });
    });
  });

  test("activity counts each change once, in all and by device [E7]", async () => {
    await withStory(async ({ history }) => {
      for (const bucketCount of [1, 3, 500]) {
        for (const byDevice of [false, true]) {
          const answer = await history.activity(FOLDER, { bucketCount, byDevice });
          expect(activityAnswerSchema.parse(answer)).toEqual(answer);
          expect(answer.buckets.length).toBeLessThanOrEqual(bucketCount * (byDevice ? 2 : 1));
          const sum = (index: number) =>
            answer.buckets.reduce((total, bucket) => total + Number(bucket[index]), 0);
          expect([3, 4, 5, 6, 7].map(sum)).toEqual([3, 1, 1, 3, 9]);
        }
      }
    });
  });

  test("search finds names of now, of then, and of ever, each node once [E8]", async () => {
    await withStory(async ({ history, act }) => {
      await act(0, [create(hexId<NodeId>("a", 200), "100%_Done", fileOf("one"))]);
      const search = async (text: string, ever: boolean, more: object = {}) => {
        const answer = await history.search(FOLDER, { text, ever, limit: 10, ...more });
        expect(searchAnswerSchema.parse(answer)).toEqual(answer);
        return answer.hits.map(({ path, state }) => `${state} ${path}`);
      };
      expect(await search("%_d", false)).toEqual(["live 100%_Done"]);
      expect(await search("b", false)).toEqual([]);
      expect(await search("b", true)).toEqual(["deleted dir/c"]);
      expect(await search("a", true, { path: "dir" })).toEqual(["deleted dir/a"]);
      expect(await search("c", false, { at: 5 })).toEqual(["live dir/c"]);
      const first = await history.search(FOLDER, { text: "", ever: true, limit: 1 });
      const rest = await history.search(FOLDER, {
        text: "",
        ever: true,
        limit: 9,
        after: first.next,
      });
      const found = [...first.hits, ...rest.hits].map(({ id }) => id);
      expect(found.length).toBe(4);
      expect(new Set(found).size).toBe(4);
    });
  });
});
