/** Quarantine: how long displaced files stay, and what happens to those that change. Rules: D3, I4, I10. */
import { describe, expect, test } from "bun:test";
import {
  checkQuarantine,
  countQuarantineScan,
  nextQuarantineCheckMs,
} from "../../src/client/apply/quarantine.ts";
import { type ApplyWorld, DEVICE, syncedWorld } from "./apply-world.ts";

async function displacedWorld(): Promise<ApplyWorld> {
  const world = await syncedWorld(true, "f");
  world.remoteWrite("f", "new");
  await world.apply();
  return world;
}

function check(world: ApplyWorld): Promise<void> {
  return checkQuarantine(world.ports, { deviceName: DEVICE });
}

describe("checkQuarantine()", () => {
  test("waits for two scans and a minute, whichever is later [D3]", async () => {
    const world = await displacedWorld();
    expect(nextQuarantineCheckMs(world.ports)).toBeUndefined();
    world.clock.elapsedMs += 61_000;
    await check(world);
    expect(world.entries("quarantine").length).toBe(1);
    countQuarantineScan(world.ports);
    countQuarantineScan(world.ports);
    expect(nextQuarantineCheckMs(world.ports)).toBe(world.clock.monotonic());
    await check(world);
    expect(world.entries("quarantine")).toEqual([]);
    expect(nextQuarantineCheckMs(world.ports)).toBeUndefined();
  });

  test("says when the minute is over [D3]", async () => {
    const world = await displacedWorld();
    countQuarantineScan(world.ports);
    countQuarantineScan(world.ports);
    world.clock.elapsedMs += 20_000;
    expect(nextQuarantineCheckMs(world.ports)).toBe(world.clock.monotonic() + 40_000);
    await check(world);
    expect(world.entries("quarantine").length).toBe(1);
  });

  test("a clock that goes back only makes it wait longer [I10]", async () => {
    const world = await displacedWorld();
    countQuarantineScan(world.ports);
    countQuarantineScan(world.ports);
    const [entry] = world.store.quarantine();
    if (entry === undefined) throw new Error("an entry");
    world.store.putQuarantine({ ...entry, sinceMs: entry.sinceMs + 1e12 });
    await check(world);
    expect(world.entries("quarantine").length).toBe(1);
    world.clock.elapsedMs += 61_000;
    await check(world);
    expect(world.entries("quarantine")).toEqual([]);
  });

  test("at rest nothing is written [Y5]", async () => {
    const world = await displacedWorld();
    for (let scan = 0; scan < 3; scan += 1) countQuarantineScan(world.ports);
    world.onTransaction = () => {
      throw new Error("a transaction at rest");
    };
    countQuarantineScan(world.ports);
    await check(world);
  });

  test("at rest no look goes through what waits, however much it is [Y5]", async () => {
    const world = await displacedWorld();
    for (let scan = 0; scan < 2; scan += 1) countQuarantineScan(world.ports);
    world.ports.store.quarantine = () => {
      throw new Error("went through what waits");
    };
    countQuarantineScan(world.ports);
    await check(world);
    expect(nextQuarantineCheckMs(world.ports)).toBe(world.clock.monotonic() + 60_000);
  });

  test("a late write whose bytes a sibling holds makes no copy [R18]", async () => {
    const world = await syncedWorld(true, "f", "sibling");
    const handle = world.inode("f");
    if (handle.kind !== "file") throw new Error("a file");
    world.remoteWrite("f", "new");
    await world.apply();
    const late = new TextEncoder().encode("text of sibling");
    world.disk.write(handle, late, "user", "durable");
    await world.emptyQuarantine();
    expect(world.files()).toEqual({ f: "new", sibling: "text of sibling" });
    await world.emptyQuarantine();
    expect(world.entries("quarantine")).toEqual([]);
  });

  test("an entry that is gone is forgotten [F9]", async () => {
    const world = await displacedWorld();
    for (const name of world.entries("quarantine")) world.remove(`.synced/quarantine/${name}`);
    await world.emptyQuarantine();
    expect(world.store.quarantine()).toEqual([]);
    expect(world.files()).toEqual({ f: "new" });
  });
});
