/** Batches and packs that cost little to send cost little to refuse or to carry out. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { sha256 } from "../../src/core/digest.ts";
import { type NodeId, type OpId, ROOT_ID } from "../../src/core/identifier.ts";
import { CHUNK_SIZE_BYTES_MIN } from "../../src/core/limits.ts";
import { encodeManifestObject } from "../../src/core/manifest.ts";
import type { FileContent, RemoteNode } from "../../src/core/node.ts";
import type { Op } from "../../src/core/op.ts";
import { checkSize } from "../../src/server/commit-checks.ts";
import { failureOf } from "../failure.ts";
import { bestOf, timeOf } from "../timing.ts";
import {
  create,
  DIRECTORY,
  FOLDER,
  hexId,
  move,
  type ServerWorld,
  serverWorld,
} from "./server-world.ts";

let world: ServerWorld;
beforeEach(async () => {
  world = await serverWorld();
});
afterEach(() => world.close());

/** Makes directories, each in the one before. @returns their ids, outermost first */
async function chain(letter: string, count: number, parent = ROOT_ID): Promise<NodeId[]> {
  const ids = Array.from({ length: count }, (_, index) => hexId<NodeId>(letter, index + 1));
  const ops = ids.map((id, index) => create(id, letter, DIRECTORY, ids[index - 1] ?? parent));
  expect(await world.outcome(...ops)).toBeArray();
  return ids;
}

/** Runs `act` beside a loop. @returns the loop's longest turn in milliseconds */
async function longestTurn(act: () => Promise<unknown>): Promise<number> {
  let longestMs = 0;
  let isOver = false;
  const watching = (async () => {
    while (!isOver) {
      longestMs = Math.max(
        longestMs,
        await timeOf(() => new Promise((resolve) => setImmediate(resolve))),
      );
    }
  })();
  await act();
  isOver = true;
  await watching;
  return longestMs;
}

test("1,000 renames 200 directories deep are looked at once each [N4, O12]", async () => {
  const deep = (await chain("c", 199)).at(-1);
  const ids = Array.from({ length: 1000 }, (_, index) => hexId<NodeId>("e", index));
  await world.post(...ids.map((id, index) => [create(id, `${index}`, DIRECTORY, deep)]));
  let [round, version] = [0, 200];
  // It took 5.6 s when each was compared with all that the batch had moved before.
  const elapsedMs = await bestOf(4, 2_000, async () => {
    round += 1;
    const ops = ids.map((id, index): [Op] => [
      move(id, `${index}`.padStart(10 + round, "x"), version + index, deep),
    ]);
    version = (await world.cursor()).seq + 1;
    return await timeOf(async () => {
      const results = await world.post(...ops);
      expect(results.every(({ status }) => status === "accepted")).toBe(true);
    });
  });
  expect(elapsedMs).toBeLessThan(2_000);
}, 60_000);

test("four such batches at once let others run in between [N4, O12]", async () => {
  const deep = (await chain("c", 199)).at(-1);
  const ids = Array.from({ length: 1000 }, (_, index) => hexId<NodeId>("e", index));
  await world.post(...ids.map((id, index) => [create(id, `${index}`, DIRECTORY, deep)]));
  let version = 200;
  const turnMs = await bestOf(3, 1_000, () =>
    longestTurn(async () => {
      const posts = [1, 2, 3, 4].map((round) => {
        const ops = ids.map((id, index): [Op] => [
          move(id, `${index}`.padStart(10 + round, "x"), version + index, deep),
        ]);
        version = 200 + 1000 * round;
        return world.post(...ops);
      });
      await Promise.all(posts);
      version = (await world.cursor()).seq - 999;
    }),
  );
  expect(turnMs).toBeLessThan(1_000);
}, 60_000);

test("a tree below directories that move is measured once [N4, O12]", async () => {
  const ids = await chain("c", 100);
  const deep = ids.at(-1);
  const files = Array.from({ length: 1000 }, (_, index) => hexId<NodeId>("e", index));
  for (const letter of ["1", "2", "3", "4", "5"]) {
    const below = files.map((_, index) => hexId<NodeId>(letter, index));
    await world.post(
      ...below.map((id, index) => [create(id, `${letter}${index}`, DIRECTORY, deep)]),
    );
  }
  let [round, version] = [0, 1];
  // 100 walks over 5,000 nodes took more than two seconds.
  const elapsedMs = await bestOf(4, 1_500, async () => {
    round += 1;
    const moves = ids.map((id, index): [Op] => [
      move(id, "l".repeat(1 + round), version + index, ids[index - 1] ?? ROOT_ID),
    ]);
    version = (await world.cursor()).seq + 1;
    return await timeOf(() => world.post(...moves));
  });
  expect((await world.cursor()).seq).toBe(5_100 + 100 * round);
  expect(elapsedMs).toBeLessThan(1_500);
}, 60_000);

test("what left a directory earlier in the batch does not make it too deep [N4]", async () => {
  const deep = await chain("c", 200);
  const [top, ...rest] = await chain("d", 100);
  const inner = rest[49] ?? ROOT_ID;
  const results = await world.post(
    [move(inner, "inner", 251)],
    [move(top ?? ROOT_ID, "top", 201, deep[199])],
    [move(inner, "inner", 301, rest[48])],
  );
  const codes = results.map((result) => (result.status === "accepted" ? "ok" : result.code));
  expect(codes).toEqual(["ok", "ok", "path_too_long"]);
});

test("the first manifest that cannot be right ends the work on a pack [C5, O12]", async () => {
  const packs = Array.from({ length: 200 }, (_, index) => {
    const digests = Array.from({ length: 4096 }, (_, child) => sha256(`${index}/${child}`));
    const children = digests.map((digest) => ({ digest, size: CHUNK_SIZE_BYTES_MIN }));
    return encodeManifestObject({ depth: 1, children });
  });
  // It took three seconds when all 819,200 children were looked up first.
  const elapsedMs = await bestOf(3, 500, () =>
    timeOf(async () => {
      const put = world.sequencer.putObjects(FOLDER, packs);
      expect(await failureOf(put)).toMatchObject({ code: "chunk_missing" });
    }),
  );
  expect(elapsedMs).toBeLessThan(500);
}, 60_000);

test("an op with a larger file is refused, unless it is there with these bytes [O13]", () => {
  const digest = sha256("x");
  const content = (size: number): FileContent => ({
    kind: "file",
    manifest: digest,
    depth: 1,
    sha256: digest,
    size,
    executable: false,
    mtimeNs: "0",
  });
  const modify = (size: number): Op => {
    const [opId, node] = [hexId<OpId>("c", 1), hexId<NodeId>("f", 1)];
    return { kind: "modify", opId, node, baseContent: 1, content: content(size) };
  };
  const node = (size: number): RemoteNode => ({
    id: hexId<NodeId>("f", 1),
    parent: ROOT_ID,
    name: "f",
    content: content(size),
    contentVersion: 1,
    placeVersion: 1,
    deleted: false,
  });
  expect(checkSize(modify(11), node(5), 10)?.code).toBe("file_too_large");
  expect(checkSize(modify(11), undefined, 10)?.code).toBe("file_too_large");
  expect(checkSize(modify(11), node(11), 10)).toBeUndefined();
  expect(checkSize(modify(10), node(5), 10)).toBeUndefined();
  expect(checkSize(modify(11), node(5), undefined)).toBeUndefined();
});
