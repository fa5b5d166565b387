/** `synced check` on a disk that cannot hold each time. Rules: Y6, N7. */
import { expect, test } from "bun:test";
import { checkFolder, type Difference } from "../../src/client/check.ts";
import type { FolderName } from "../../src/core/identifier.ts";
import { SimClock } from "../sim/sim-clock.ts";
import { LoopWorld } from "./loop-world.ts";

const SECOND_NS = 1_000_000_000n;

async function differences(world: LoopWorld): Promise<readonly Difference[]> {
  const found: Difference[] = [];
  const { fs } = world.folder;
  const clock = new SimClock(world.scheduler);
  const options = {
    serverUrl: "http://server.test",
    folder: "default" as FolderName,
    readData: false,
  };
  const tell = (difference: Difference) => void found.push(difference);
  let isOver = false;
  const check = checkFolder(
    { fs, clock, transport: world.pure },
    options,
    tell,
    new AbortController().signal,
  ).finally(() => {
    isOver = true;
  });
  check.catch(() => undefined);
  while (!isOver) await world.pass(10);
  await check;
  return found;
}

test("a time that this disk cannot hold is no difference, any other one is [Y6, N7]", async () => {
  const world = new LoopWorld();
  world.folder.disk.heldTime = (ns) => ns - (ns % SECOND_NS) - 7n * SECOND_NS;
  world.start();
  await world.pass(1_500);
  await world.remote("f", "news");
  await world.pass(10_000);
  expect(world.status.state).toBe("in_sync");
  expect(await differences(world)).toEqual([]);
  // A disk that can hold it, and shows another one.
  world.folder.disk.heldTime = (ns) => ns;
  expect(await differences(world)).toMatchObject([{ path: "f" }]);
  await world.stop();
});
