/** The laws of reconcile, as checks on a world before and after it converged. Rules: R1-R11. */
import { expect } from "bun:test";
import type { NodeId } from "../../src/core/identifier.ts";
import type { NodeState } from "../../src/core/node.ts";
import type { Plan } from "../../src/core/transition.ts";
import type { MemoryTree } from "../../src/core/tree.ts";
import { checkTree, type PlannerWorld, paths } from "./planner-world.ts";

type Aspect = "parent" | "name" | "bytes" | "executable" | "mtimeNs";

/** What is wanted of each node that all three trees have. */
type Wanted = ReadonlyMap<NodeId, ReadonlyMap<Aspect, unknown>>;

/** What a world holds that nobody may lose. */
export interface Worth {
  readonly bytes: ReadonlySet<string>;
  readonly aspects: Wanted;
  /** The whole tree, where only one side changed anything. */
  readonly tree: readonly string[] | undefined;
  /** Nodes that have no base: nothing of them is deleted (R11). */
  readonly files: number;
  readonly hasBase: boolean;
}

/** To be called before the world converges. */
export function worthOf(world: PlannerWorld): Worth {
  const ids = [...world.base.nodes()].map(({ id }) => id);
  const [base, local, remote] = [world.base, world.local, world.remote].map(paths);
  const unchanged = String(base);
  const isOnlyTheirs = unchanged === String(local);
  const isOnlyOurs = unchanged === String(remote);
  return {
    bytes: new Set([...newBytes(world, world.local), ...newBytes(world, world.remote)]),
    aspects: new Map(ids.map((id) => [id, wantedAspects(world, id)])),
    tree: isOnlyTheirs ? remote : isOnlyOurs ? local : undefined,
    files: Math.max(...[world.local, world.remote].map((tree) => [...tree.nodes()].length)),
    hasBase: ids.length > 0,
  };
}

/** @throws where a law does not hold of the converged world. */
export function checkLaws(world: PlannerWorld, worth: Worth, plans: readonly Plan[]): void {
  checkTree(world.local, "the disk is a tree");
  expect(paths(world.local)).toEqual(paths(world.remote));
  if (worth.tree !== undefined) expect(paths(world.local)).toEqual([...worth.tree]);
  const present = new Set<string>();
  for (const { content } of world.local.nodes()) {
    if (content.kind === "file") present.add(content.sha256);
  }
  for (const digest of worth.bytes) expect([digest, present.has(digest)]).toEqual([digest, true]);
  checkAspects(world, worth.aspects, plans);
  if (!worth.hasBase) expect([...world.local.nodes()].length).toBeGreaterThanOrEqual(worth.files);
}

function newBytes(world: PlannerWorld, side: MemoryTree<NodeState>): readonly string[] {
  const found: string[] = [];
  for (const { id, content } of side.nodes()) {
    if (content.kind !== "file") continue;
    const base = world.base.get(id)?.content;
    if (base?.kind !== "file" || base.sha256 !== content.sha256) found.push(content.sha256);
  }
  return found;
}

function aspectsOf({ parent, name, content }: NodeState): Partial<Record<Aspect, unknown>> {
  if (content.kind !== "file") return { parent, name };
  const { sha256: bytes, executable, mtimeNs } = content;
  return { parent, name, bytes, executable, mtimeNs };
}

/** What only one side changed must be there in the end; where both did, the log's (R5, R6). */
function wantedAspects(world: PlannerWorld, id: NodeId): ReadonlyMap<Aspect, unknown> {
  const wanted = new Map<Aspect, unknown>();
  const [base, local, remote] = [world.base, world.local, world.remote].map((tree) => tree.get(id));
  if (base === undefined || local === undefined || remote === undefined) return wanted;
  const [before, here, there] = [aspectsOf(base), aspectsOf(local), aspectsOf(remote)];
  const isEdited = here.bytes !== before.bytes || there.bytes !== before.bytes;
  for (const aspect of ["parent", "name", "bytes", "executable", "mtimeNs"] as const) {
    // New bytes bring their own time with them.
    if (aspect === "mtimeNs" && isEdited) continue;
    if ((aspect === "parent" || aspect === "name") && mayLosePlace(base, local)) continue;
    const isTheirs = there[aspect] !== before[aspect];
    wanted.set(aspect, isTheirs ? there[aspect] : here[aspect]);
  }
  return wanted;
}

/** Moved into each other, directories keep the log's places (R10). */
function mayLosePlace(base: NodeState, local: NodeState): boolean {
  return base.content.kind === "directory" && base.parent !== local.parent;
}

function checkAspects(world: PlannerWorld, wanted: Wanted, plans: readonly Plan[]): void {
  const adoptions = plans.flatMap((plan) => plan.adoptions);
  const adopted = new Map<unknown, NodeId>(adoptions.map((one) => [one.local, one.remote]));
  for (const [id, aspects] of wanted) {
    const node = world.remote.get(id);
    if (node === undefined) continue;
    const all = aspectsOf(node);
    const isTaken = isPlaceTaken(world, id, aspects, adopted);
    for (const [aspect, value] of aspects) {
      // Two nodes of one name cannot both have it (R6, R9).
      if (isTaken && (aspect === "name" || aspect === "parent")) continue;
      const now = all[aspect];
      if (now === value || now === adopted.get(value)) continue;
      expect({ id, aspect, now }).toEqual({ id, aspect, now: value });
    }
  }
}

function isPlaceTaken(
  world: PlannerWorld,
  id: NodeId,
  aspects: ReadonlyMap<Aspect, unknown>,
  adopted: ReadonlyMap<unknown, NodeId>,
): boolean {
  const parent = aspects.get("parent");
  const name = aspects.get("name");
  const others = [...world.remote.nodes()].filter((node) => node.id !== id && node.name === name);
  return others.some((node) => node.parent === (adopted.get(parent) ?? parent));
}
