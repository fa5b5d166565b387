/** Approvals of what is still arriving. Rules: G4, G13. */
import { expect, test } from "bun:test";
import { LoopWorld } from "./loop-world.ts";

const LOOK_MS = 5_000;
const MINUTE_MS = 60_000;

/** Of two directories: below one alone they would go unasked (G10). */
function files(directories: string, from: number, to: number): string[] {
  const numbers = Array.from({ length: to - from }, (_, index) => from + index);
  return [...directories].flatMap((directory) => numbers.map((count) => `${directory}/f${count}`));
}

async function joined(): Promise<LoopWorld> {
  const world = new LoopWorld();
  world.make("keep", ...files("abcd", 0, 250));
  world.start();
  await world.pass(2 * MINUTE_MS);
  expect(world.status.state).toBe("in_sync");
  return world;
}

async function remove(world: LoopWorld, paths: readonly string[]): Promise<void> {
  for (const path of paths) world.remove(path);
  await world.pass(LOOK_MS);
}

function heldId(world: LoopWorld): string {
  const held = world.said("held").at(-1);
  return held !== undefined && "id" in held ? held.id : "";
}

async function approve(world: LoopWorld, id: string): Promise<void> {
  world.folder.write(".synced/approved", id);
  await world.pass(LOOK_MS);
}

test("an approval covers what joined the held change since its person looked [G13]", async () => {
  const world = await joined();
  await remove(world, files("ab", 0, 150));
  expect(world.status.state).toBe("held");
  const seen = heldId(world);
  await remove(world, files("ab", 150, 200));
  expect(heldId(world)).not.toBe(seen);
  await approve(world, seen);
  expect(world.status.state).toBe("in_sync");
  expect(world.store.baseFileCount()).toBe(601);
  await world.stop();
});

test("what still arrives of an approved deletion goes, within a minute each [G13]", async () => {
  const world = await joined();
  await remove(world, files("ab", 0, 130));
  await approve(world, heldId(world));
  expect(world.status.state).toBe("in_sync");
  await world.pass(MINUTE_MS / 2);
  await remove(world, files("ab", 130, 240));
  expect(world.status.state).toBe("in_sync");
  expect(world.store.baseFileCount()).toBe(521);
  expect(world.said("held")).toHaveLength(1);
  await world.stop();
});

test("an approval says nothing about other directories [G13]", async () => {
  const world = await joined();
  await remove(world, files("ab", 0, 130));
  await approve(world, heldId(world));
  await remove(world, files("cd", 0, 130));
  expect(world.status.state).toBe("held");
  await world.stop();
});

test("an approval says nothing about what comes later [G13]", async () => {
  const world = await joined();
  await remove(world, files("ab", 0, 130));
  await approve(world, heldId(world));
  await world.pass(2 * MINUTE_MS);
  await remove(world, files("ab", 130, 240));
  expect(world.status.state).toBe("held");
  await world.stop();
});

test("an emptied folder stays held when a file comes, also after a restart [G3]", async () => {
  const world = new LoopWorld();
  world.make(...files("a", 0, 11));
  world.start();
  await world.pass(2 * MINUTE_MS);
  await remove(world, files("a", 0, 11));
  expect(world.status.state).toBe("held");
  world.make("news");
  await world.pass(LOOK_MS);
  expect(world.store.baseFileCount()).toBe(12);
  await world.stop();
  world.start();
  world.make("more");
  await world.pass(LOOK_MS);
  expect(world.status.state).toBe("held");
  expect(world.store.baseFileCount()).toBe(13);
  await world.stop();
});

test("that all files go is asked, whatever was approved before [G3, G13]", async () => {
  const world = await joined();
  await remove(world, files("ab", 0, 130));
  await approve(world, heldId(world));
  await remove(world, ["keep", ...files("ab", 130, 250), ...files("cd", 0, 250)]);
  expect(world.status.state).toBe("held");
  expect(world.said("held").at(-1)).toMatchObject({ count: 741 });
  await world.stop();
});
