/** How often a client waits for the disk of its state. Rules: S11. */
import { expect, test } from "bun:test";
import { LoopWorld } from "./loop-world.ts";

const SECONDS_MS = 20_000;

async function joined(): Promise<LoopWorld> {
  const world = new LoopWorld();
  world.make("file");
  world.start();
  await world.pass(SECONDS_MS);
  expect(world.status.state).toBe("in_sync");
  return world;
}

test("a save is sent with the ids of its ops and the answer made durable, and no more [S11]", async () => {
  const world = await joined();
  const { barriers } = world;
  world.folder.write("file", "edited");
  world.folder.disk.touched("file");
  await world.pass(SECONDS_MS);
  expect(await world.read("file")).toBe("edited");
  // The ids, the events, and what is told of each op, which writes nothing.
  expect(world.barriers - barriers).toBe(3);
  await world.stop();
});

test("a save arrives with its event, its journal and its base made durable, and no more [S11]", async () => {
  const world = await joined();
  const { barriers } = world;
  await world.remote("file", "news");
  await world.pass(SECONDS_MS);
  expect(world.status).toMatchObject({ state: "in_sync", head: 2 });
  expect(world.barriers - barriers).toBe(3);
  await world.stop();
});
