/**
 * Laws of the log: whatever is posted, the tree stays valid, the chain holds, rows are the fold,
 * retries are nothing.
 */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { type NodeId, ROOT_ID } from "../../src/core/identifier.ts";
import type { Content, RemoteNode } from "../../src/core/node.ts";
import type { Batch, Group, Op } from "../../src/core/op.ts";
import type { MetadataStore } from "../../src/ports/metadata-store.ts";
import { createSequencer } from "../../src/server/sequencer.ts";
import { verifyData } from "../../src/server/verify.ts";
import { fileOf, nodeId } from "../generate/trees.ts";
import {
  batchOf,
  collect,
  create,
  DIRECTORY,
  FOLDER,
  modify,
  move,
  remove,
  type ServerWorld,
  serverWorld,
} from "./server-world.ts";

/** What a device wants, before it is known what there is. */
interface Wish {
  readonly kind: "create" | "modify" | "move" | "delete";
  readonly node: number;
  readonly parent: number;
  readonly name: string;
  readonly content: Content;
  /** One in eight is based on another version than the current one. */
  readonly stale: number;
}

const wish: fc.Arbitrary<Wish> = fc.record({
  kind: fc.constantFrom("create", "create", "modify", "move", "move", "delete"),
  node: fc.integer({ min: 1, max: 9 }),
  parent: fc.integer({ min: 0, max: 9 }),
  name: fc.constantFrom("a", "b", "c"),
  content: fc.constantFrom<Content>(DIRECTORY, DIRECTORY, fileOf("one"), fileOf("two"), fileOf("")),
  stale: fc.integer({ min: 0, max: 7 }),
});
const wishes = fc.array(
  fc.array(fc.array(wish, { minLength: 1, maxLength: 4 }), { maxLength: 4 }),
  {
    minLength: 1,
    maxLength: 8,
  },
);

function toOp(known: ReadonlyMap<NodeId, RemoteNode>, wish: Wish): Op {
  const id = nodeId(wish.node);
  const node = known.get(id);
  const parent = wish.parent === 0 ? ROOT_ID : nodeId(wish.parent);
  const off = wish.stale === 0 ? 1 : 0;
  const content = (node?.contentVersion ?? 0) + off;
  const place = (node?.placeVersion ?? 0) + off;
  const body = node?.content.kind === "directory" ? DIRECTORY : wish.content;
  switch (wish.kind) {
    case "create":
      return {
        ...(create(id, wish.name, body, parent) as Op & { kind: "create" }),
        base: content,
      };
    case "modify":
      return modify(id, body, content);
    case "move":
      return move(id, wish.name, place, parent);
    case "delete":
      return remove(id, content, place);
  }
}

async function rows(world: ServerWorld): Promise<ReadonlyMap<NodeId, RemoteNode>> {
  const { nodes } = await world.metadata.nodes(FOLDER, { limit: 1000, tombstones: true });
  return new Map(nodes.map((node) => [node.id, node]));
}

async function withWorld(law: (world: ServerWorld) => Promise<void>): Promise<void> {
  const world = await serverWorld();
  try {
    await world.upload("one", "two");
    await law(world);
  } finally {
    await world.close();
  }
}

/** Posts batches of wishes one after another. @returns what was posted */
async function postAll(
  world: ServerWorld,
  batches: readonly (readonly (readonly Wish[])[])[],
): Promise<readonly Batch[]> {
  const posted: Batch[] = [];
  for (const groups of batches) {
    const known = await rows(world);
    const ops: Group[] = groups.map((group) => group.map((one) => toOp(known, one)));
    const batch = batchOf(await world.cursor(), ops);
    posted.push(batch);
    await world.sequencer.commit(FOLDER, batch);
  }
  return posted;
}

test("any batches leave a valid tree, a sound chain and rows that are the fold [O3, L2, L5]", async () => {
  await fc.assert(
    fc.asyncProperty(wishes, (batches) =>
      withWorld(async (world) => {
        await postAll(world, batches);
        expect(await collect(verifyData(world))).toEqual([]);
      }),
    ),
    { numRuns: 150 },
  );
}, 180_000);

test("another server of the same data counts once what lives, and then follows the log [V3]", async () => {
  await fc.assert(
    fc.asyncProperty(wishes, wishes, (batches, more) =>
      withWorld(async (world) => {
        let counts = 0;
        const usage = async () => {
          counts += 1;
          return await world.metadata.usage(FOLDER);
        };
        // Its methods use private fields.
        const metadata: MetadataStore = new Proxy(world.metadata, {
          get(target, name) {
            if (name === "usage") return usage;
            const value: unknown = Reflect.get(target, name, target);
            return typeof value === "function" ? value.bind(target) : value;
          },
        });
        const { objects, clock, random } = world;
        const other = createSequencer({ metadata, objects, clock, random });
        for (const some of [batches, more]) {
          await postAll(world, some);
          const counted = await world.metadata.usage(FOLDER);
          expect(await other.usage(FOLDER)).toMatchObject(counted);
          await postAll({ ...world, sequencer: other }, some);
        }
        expect(await other.usage(FOLDER)).toMatchObject(await world.metadata.usage(FOLDER));
        expect(counts).toBe(1);
        await other.close();
      }),
    ),
    { numRuns: 60 },
  );
}, 180_000);

test("posting everything again changes nothing and answers the same [O1]", async () => {
  await fc.assert(
    fc.asyncProperty(wishes, (batches) =>
      withWorld(async (world) => {
        const posted = await postAll(world, batches);
        const before = [await world.cursor(), await rows(world)];
        for (const batch of posted) {
          const accepted = await accept(world, batch);
          expect(await accept(world, batch)).toEqual(accepted);
        }
        expect([await world.cursor(), await rows(world)]).toEqual(before);
      }),
    ),
    { numRuns: 60 },
  );
}, 180_000);

/** Retries those groups of a batch that were accepted once. @returns their seqs */
async function accept(world: ServerWorld, batch: Batch): Promise<unknown> {
  const { events } = await world.sequencer.events(FOLDER, { after: 0, limit: 1000 });
  const known = new Set(events.map(({ opId }) => opId));
  const groups = batch.groups.filter((group) => group.every(({ opId }) => known.has(opId)));
  const { results } = await world.sequencer.commit(FOLDER, { ...batch, groups });
  for (const result of results) expect(result.status).toBe("accepted");
  return results;
}

test("batches posted at once end as if posted in order [O4, L1]", async () => {
  await fc.assert(
    fc.asyncProperty(wishes, (batches) =>
      withWorld(async (together) =>
        withWorld(async (apart) => {
          const cursor = await together.cursor();
          const nothing = new Map<NodeId, RemoteNode>();
          const all = batches.map((groups) =>
            batchOf(
              cursor,
              groups.map((group) => group.map((one) => toOp(nothing, one))),
            ),
          );
          const own = await apart.cursor();
          await Promise.all(all.map((batch) => together.sequencer.commit(FOLDER, batch)));
          for (const batch of all) {
            await apart.sequencer.commit(FOLDER, { ...batch, cursor: own });
          }
          expect(await rows(together)).toEqual(await rows(apart));
        }),
      ),
    ),
    { numRuns: 60 },
  );
}, 180_000);
