/** Entries of which the log has an equal one in the same place, as where two machines join. */
import { expect, test } from "bun:test";
import type { LocalNode } from "../../src/core/node.ts";
import { ScanWorld } from "./scan-world.ts";

const PATHS = ["a", "d/b", "d/e/c", "d/e/empty/", "link -> d/b"];

/** A world whose log holds what another device sent, and nothing of which is on its disk. */
async function joined(): Promise<{ world: ScanWorld; others: ReadonlyMap<string, LocalNode> }> {
  const other = new ScanWorld();
  // Both worlds draw the same ids, so this one draws those first that the other one will.
  other.make(...Array.from({ length: 20 }, (_, index) => `before/${index}`));
  await other.scan();
  other.make(...PATHS);
  await other.scan();
  const world = new ScanWorld();
  const others = new Map<string, LocalNode>();
  for (const path of ["a", "d", "d/b", "d/e", "d/e/c", "d/e/empty", "link"]) {
    const node = other.node(path);
    others.set(path, node);
    const { id, parent, name, content } = node;
    const versions = { contentVersion: 1, placeVersion: 1, deleted: false };
    world.store.putRemote({ id, parent, name, content, ...versions });
  }
  return { world, others };
}

test("what the log has too, at any depth, is its node at once [R9]", async () => {
  const { world, others } = await joined();
  world.make(...PATHS);
  await world.scan();
  for (const [path, node] of others) expect(world.node(path).id).toBe(node.id);
});

test("other bytes, and another kind, are a node of their own [R9, R11]", async () => {
  const { world, others } = await joined();
  world.write("a", "mine");
  world.make("d/b/");
  await world.scan();
  for (const path of ["a", "d/b"]) expect(world.node(path).id).not.toBe(others.get(path)?.id);
  expect(world.node("d").id === others.get("d")?.id).toBe(true);
});

test("a node that this device has elsewhere is not the one in its new place [R9]", async () => {
  const { world, others } = await joined();
  world.make(...PATHS);
  await world.scan();
  const node = others.get("a");
  if (node === undefined) throw new Error("it is there");
  const moved = { ...node, name: "moved", contentVersion: 1, placeVersion: 2, deleted: false };
  world.store.putRemote(moved);
  world.write("moved", "text of a");
  await world.settle();
  expect(world.node("a").id).toBe(node.id);
  expect(world.node("moved").id).not.toBe(node.id);
});

test("a deleted node of the log, and one that was here, is not taken again [R9]", async () => {
  const { world, others } = await joined();
  const node = others.get("a");
  if (node === undefined) throw new Error("it is there");
  world.store.putRemote({ ...node, contentVersion: 2, placeVersion: 2, deleted: true });
  world.make("a");
  await world.scan();
  expect(world.node("a").id).not.toBe(node.id);
});
