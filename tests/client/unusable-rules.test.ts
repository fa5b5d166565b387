/** Rules files that cannot be used: what may still be offered, and what is said. Rules: A18, A19, I43. */
import { expect, test } from "bun:test";
import { failureOf } from "../failure.ts";
import { LoopWorld } from "./loop-world.ts";

const GOOD = "*.tmp\n";
const BAD = "*.tmp\n**/a/**/b/**/c/**\n";
const MINUTE_MS = 60_000;

async function started(prepare: (world: LoopWorld) => void): Promise<LoopWorld> {
  const world = new LoopWorld();
  prepare(world);
  world.start();
  await world.pass(10_000);
  return world;
}

function write(world: LoopWorld, path: string, text: string): void {
  world.folder.write(path, text);
  world.folder.disk.touched(path);
}

test("unusable rules of this device hold back all that is new, at rest and said [A19, I43, Y5]", async () => {
  const world = await started((world) => {
    world.folder.write(".synced/ignore", BAD);
    world.make("a", "d/b");
  });
  expect(world.status.state).toBe("syncing");
  expect(world.status.reason).toContain(".synced/ignore");
  expect(world.store.problems()).toMatchObject([{ path: ".synced/ignore" }]);
  expect(String(await failureOf(world.read("a")))).toContain("404");
  const { turns, plans } = await world.pass(MINUTE_MS);
  expect(turns).toBeLessThanOrEqual(40);
  expect(plans).toBe(0);
  world.folder.write(".synced/ignore", GOOD);
  await world.pass(10_000);
  expect(world.status).toMatchObject({ state: "in_sync", reason: null });
  expect(await world.read("d/b")).toBe("text of d/b");
  await world.stop();
});

test("the rules known before stay in force across a restart [A18]", async () => {
  const world = await started((world) => {
    world.folder.write(".syncedignore", GOOD);
    world.folder.write(".synced/ignore", "*.log\n");
    world.make("a", "d/b");
  });
  await world.stop();
  world.folder.write(".syncedignore", BAD);
  world.folder.write(".synced/ignore", BAD);
  world.start();
  await world.pass(10_000);
  write(world, "a", "edited");
  world.make("d/new", "d/x.tmp", "d/x.log");
  await world.pass(10_000);
  expect(world.status.state).toBe("in_sync");
  expect(world.store.problems()).toHaveLength(2);
  expect(await world.read("a")).toBe("edited");
  expect(await world.read("d/new")).toBe("text of d/new");
  expect(String(await failureOf(world.read("d/x.tmp")))).toContain("404");
  expect(String(await failureOf(world.read("d/x.log")))).toContain("404");
  await world.stop();
});

test("an unusable file from another device holds back what is new beside it, and nothing else [A19]", async () => {
  const world = await started((world) => world.make("d/a", "e/a"));
  await world.remote("d/.syncedignore", BAD);
  await world.pass(5_000);
  await world.stop();
  world.start();
  await world.pass(5_000);
  write(world, "d/a", "edited");
  world.make("d/new", "e/new");
  await world.remote("d/other", "news");
  await world.pass(10_000);
  expect(world.status.state).toBe("syncing");
  expect(await world.read("d/a")).toBe("edited");
  expect(await world.read("e/new")).toBe("text of e/new");
  expect(world.folder.disk.at("d/other")?.kind).toBe("file");
  expect(String(await failureOf(world.read("d/new")))).toContain("404");
  await world.remote("d/.syncedignore");
  await world.pass(10_000);
  expect(world.status.state).toBe("in_sync");
  expect(await world.read("d/new")).toBe("text of d/new");
  await world.stop();
});
