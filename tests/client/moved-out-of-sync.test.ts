/** Others move things into a directory that this device ignores. Rules: R15, I3. */
import { expect, test } from "bun:test";
import { type ApplyWorld, syncedWorld } from "./apply-world.ts";

async function worldWithIgnored(...paths: string[]): Promise<ApplyWorld> {
  const world = await syncedWorld(true, ...paths);
  world.remoteCreate("private", { kind: "directory" });
  world.write(".synced/ignore", "private/\n");
  world.ignores = (path) => path === "private" || path.startsWith("private/");
  return world;
}

test("a file goes there and is synced no longer [R15]", async () => {
  const world = await worldWithIgnored("a", "b");
  world.remoteMove("a", "private/a");
  await world.converge();
  expect(world.files()).toEqual({ b: "text of b", "private/a": "text of a" });
  expect(world.isSettled()).toBe(true);
  expect(world.plan()).toMatchObject({ transitions: [], ops: new Map() });
});

test("a directory goes there with all that it holds, also below new directories [R15]", async () => {
  const world = await worldWithIgnored("d/e/f", "d/g", "b");
  world.remoteCreate("private/new", { kind: "directory" });
  world.remoteMove("d", "private/new/d");
  await world.converge();
  expect(world.files()).toEqual({
    b: "text of b",
    "private/new/d/e/f": "text of d/e/f",
    "private/new/d/g": "text of d/g",
  });
  expect(world.isSettled()).toBe(true);
  expect(world.plan()).toMatchObject({ transitions: [], ops: new Map() });
});

test("an edit that nobody knows yet reaches the server first [R15, R1]", async () => {
  const world = await worldWithIgnored("a");
  world.write("a", "an edit");
  await world.settle();
  world.remoteMove("a", "private/a");
  const { ops } = world.plan();
  expect([...ops.values()].flat()).toMatchObject([{ kind: "modify" }]);
});

test("where this device has something of its own, the file stays and says why [R15, I3, D8]", async () => {
  const world = await worldWithIgnored("a");
  world.write("private/a", "its own");
  await world.settle();
  world.remoteMove("a", "private/a");
  const { failed } = await world.apply();
  expect(failed).toMatchObject([{ path: "private/a", code: "name_collision" }]);
  expect(world.files()).toEqual({ a: "text of a", "private/a": "its own" });
});
