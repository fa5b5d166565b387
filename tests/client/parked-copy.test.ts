/** A conflict copy of a file that stands in the parking is put where its user sees it. */
import { expect, test } from "bun:test";
import { syncedWorld } from "./apply-world.ts";

test("the losing bytes of a parked file stand beside where it was [D2, D13, I3]", async () => {
  const world = await syncedWorld(false, "d/f", "d/g");
  world.write("d/g", "mine");
  world.clock.elapsedMs += 10_000;
  await world.settle();
  world.remoteSwap("d/f", "d/g");
  world.remoteWrite("d/f", "theirs");
  // When both names are free a user takes one: the file that goes there stays parked.
  let isTaken = false;
  world.onCall = (name, path) => {
    if (isTaken || name !== "moveNoReplace" || !path.startsWith(".synced/parking/"))
      return undefined;
    isTaken = true;
    const free = ["d/f", "d/g"].find((one) => world.disk.at(one) === undefined);
    if (free !== undefined) world.write(free, "a newcomer");
    return undefined;
  };
  await world.apply();
  expect(isTaken).toBe(true);
  expect(world.entries("parking")).toEqual([]);
  const texts = Object.entries(world.files());
  const copies = texts.filter(([, text]) => text === "mine");
  expect(copies).toHaveLength(1);
  expect(copies[0]?.[0]).toStartWith("d/");
  world.onCall = () => undefined;
  await world.converge();
  expect(Object.values(world.files()).sort()).toEqual([
    "a newcomer",
    "mine",
    "text of d/f",
    "theirs",
  ]);
});

test("what is written late to a parked file's old bytes stands beside where it was [D3, D13, I4]", async () => {
  const world = await syncedWorld(false, "d/f", "d/g");
  const old = world.disk.at("d/g");
  world.remoteSwap("d/f", "d/g");
  world.remoteWrite("d/f", "theirs");
  let isTaken = false;
  world.onCall = (name, path) => {
    if (isTaken || name !== "moveNoReplace" || !path.startsWith(".synced/parking/"))
      return undefined;
    isTaken = true;
    const free = ["d/f", "d/g"].find((one) => world.disk.at(one) === undefined);
    if (free !== undefined) world.write(free, "a newcomer");
    return undefined;
  };
  await world.apply();
  world.onCall = () => undefined;
  if (old?.kind !== "file") throw new Error("No file");
  world.disk.write(old, new TextEncoder().encode("late"), "user", "durable");
  await world.emptyQuarantine();
  expect(world.entries("parking")).toEqual([]);
  const late = Object.entries(world.files()).filter(([, text]) => text === "late");
  expect(late).toHaveLength(1);
  expect(late[0]?.[0]).toStartWith("d/");
});
