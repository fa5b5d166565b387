/**
 * A server with a past: random honest work of three devices, and the folder as of each event,
 * folded by hand.
 */
import fc from "fast-check";
import { openSqliteHistoryStore } from "../../src/adapters/history/store.ts";
import type { ServedEvent } from "../../src/core/event.ts";
import { foldEvent } from "../../src/core/fold.ts";
import { type DeviceId, type NodeId, ROOT_ID } from "../../src/core/identifier.ts";
import type { RemoteNode, Sequence } from "../../src/core/node.ts";
import type { Group } from "../../src/core/op.ts";
import type { HistoryStore } from "../../src/ports/history-store.ts";
import { createHistory, type History } from "../../src/server/history.ts";
import { fileOf } from "../generate/trees.ts";
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

export const DEVICES = [1, 2, 3].map((n) => hexId<DeviceId>("d", n));
const TEXTS = ["one", "two", "three"];
const NAMES = ["a", "b", "B", "é", "\u{ffee}", "😀"];

export interface PastWorld extends ServerWorld {
  readonly store: HistoryStore;
  readonly history: History;
  /** Posts a group as that device. @returns false if it was refused */
  act(device: number, group: Group): Promise<boolean>;
  /** As part of a plan. */
  actApproved(device: number, group: Group, approval: string): Promise<boolean>;
  events(): Promise<readonly ServedEvent[]>;
}

export async function pastWorld(): Promise<PastWorld> {
  const world = await serverWorld();
  const store = openSqliteHistoryStore(":memory:");
  const { sequencer, metadata, clock } = world;
  const onError = (error: unknown) => {
    throw error;
  };
  const history = createHistory({ sequencer, metadata, history: store, clock, onError });
  await world.upload(...TEXTS);
  async function post(device: number, group: Group, approved: { readonly approval?: string }) {
    const batch = batchOf(await world.cursor(), [group], DEVICES[device]);
    const { results } = await sequencer.commit(FOLDER, { ...batch, ...approved });
    return results[0]?.status === "accepted";
  }
  return {
    ...world,
    store,
    history,
    act: (device, group) => post(device, group, {}),
    actApproved: (device, group, approval) => post(device, group, { approval }),
    events: async () => (await metadata.events(FOLDER, { after: 0, limit: 100_000 })).events,
    async close() {
      await history.stop();
      await store.close();
      await world.close();
    },
  };
}

/** Numbers that decide what somebody does next, whatever there is by then. */
export interface Step {
  readonly device: number;
  readonly act: number;
  readonly node: number;
  readonly other: number;
  readonly name: number;
  readonly text: number;
}

export function steps(maxLength: number): fc.Arbitrary<readonly Step[]> {
  const number = fc.nat(1000);
  const step = fc.record({
    device: fc.nat(2),
    act: number,
    node: number,
    other: number,
    name: number,
    text: number,
  });
  return fc.array(step, { minLength: 1, maxLength });
}

export type Tree = ReadonlyMap<NodeId, RemoteNode>;

/** The nodes, tombstones too, as of each seq from 0 to the head. */
export function treesOf(events: readonly ServedEvent[]): readonly Tree[] {
  const trees: Tree[] = [new Map()];
  for (const event of events) {
    trees.push(new Map(trees.at(-1)).set(event.node, foldEvent(event)));
  }
  return trees;
}

export function liveNodes(tree: Tree): RemoteNode[] {
  return [...tree.values()].filter(({ deleted }) => !deleted);
}

export function pathIn(tree: Tree, { parent, name }: RemoteNode): string {
  const above = tree.get(parent);
  return above === undefined ? name : `${pathIn(tree, above)}/${name}`;
}

let nodeCount = 0;

/** Does the steps one after the other; what is refused did not happen. */
export async function play(world: PastWorld, all: readonly Step[]): Promise<void> {
  for (const step of all) {
    const tree = treesOf(await world.events()).at(-1) ?? new Map();
    const group = groupOf(tree, step);
    if (group !== undefined) await world.act(step.device, group);
  }
}

function pick<Value>(values: readonly Value[], number: number): Value | undefined {
  return values.length === 0 ? undefined : values[number % values.length];
}

function groupOf(tree: Tree, step: Step): Group | undefined {
  const live = liveNodes(tree);
  const node = pick(live, step.node);
  const directories = live.filter(({ content }) => content.kind === "directory");
  const parent = pick([ROOT_ID, ...directories.map(({ id }) => id)], step.other) ?? ROOT_ID;
  const name = pick(NAMES, step.name) ?? "a";
  const content = fileOf(pick(TEXTS, step.text) ?? "one");
  switch (step.act % 8) {
    case 0:
    case 1:
    case 2: {
      nodeCount += 1;
      const made = step.text % 3 === 0 ? DIRECTORY : content;
      return [create(hexId<NodeId>("a", nodeCount), name, made, parent)];
    }
    case 3:
      if (node?.content.kind !== "file") return undefined;
      return [modify(node.id, content, node.contentVersion)];
    case 4:
      if (node === undefined) return undefined;
      return [move(node.id, name, node.placeVersion, parent)];
    case 5: {
      if (node === undefined) return undefined;
      return bottomUp(live, node).map((one) =>
        remove(one.id, one.contentVersion, one.placeVersion),
      );
    }
    case 6: {
      const dead = pick(
        [...tree.values()].filter(({ deleted }) => deleted),
        step.node,
      );
      if (dead === undefined) return undefined;
      return [revive(dead.id, name, dead.content, dead.contentVersion, parent)];
    }
    default: {
      const other = pick(live, step.other);
      if (node === undefined || other === undefined || node === other) return undefined;
      return [
        move(node.id, other.name, node.placeVersion, other.parent),
        move(other.id, node.name, other.placeVersion, node.parent),
      ];
    }
  }
}

function bottomUp(live: readonly RemoteNode[], from: RemoteNode): RemoteNode[] {
  const below = live.filter(({ parent }) => parent === from.id);
  return [...below.flatMap((node) => bottomUp(live, node)), from];
}

/** Sequences to look at: both ends, and some between. */
export function moments(head: Sequence): readonly Sequence[] {
  return Array.from({ length: head + 1 }, (_, seq) => seq);
}
