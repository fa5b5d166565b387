/** Disks that cannot hold each time: what they make of it is nobody's change. Rules: N7, A2, D7. */
import { describe, expect, test } from "bun:test";
import { recoverUnrecorded } from "../../src/client/apply/recover-unrecorded.ts";
import { failureOf } from "../failure.ts";
import { type ApplyWorld, DEVICE, syncedWorld } from "./apply-world.ts";
import { CALM_MS } from "./scan-world.ts";

const FAR = "4102444800000000005";
const LAST_NS = 2_147_483_647_000_000_000n;

/** As ext4 with small inodes keeps times: whole seconds, until 2038. */
function holdTime(ns: bigint): bigint {
  const whole = ns - (ns % 1_000_000_000n);
  return whole > LAST_NS ? LAST_NS : whole;
}

async function clampingWorld(...paths: string[]): Promise<ApplyWorld> {
  const world = await syncedWorld(true, ...paths);
  world.disk.heldTime = holdTime;
  return world;
}

async function expectAtRest(world: ApplyWorld): Promise<void> {
  world.clock.elapsedMs += CALM_MS;
  await world.settle();
  expect(world.plan()).toMatchObject({ transitions: [], ops: new Map() });
  expect(world.node("f").content).toMatchObject({ mtimeNs: FAR });
  expect(world.isSettled()).toBe(true);
}

describe("on a disk that ends in 2038", () => {
  test("a later time from elsewhere is kept in mind, and never proposed [N7]", async () => {
    const world = await clampingWorld();
    world.remoteCreate("f", world.content("text", { mtimeNs: FAR }));
    await world.apply();
    expect(world.fs.stat("f")?.mtimeNs).toBe(String(LAST_NS));
    await expectAtRest(world);
    world.restart();
    await expectAtRest(world);
    world.remoteMove("f", "g");
    await world.apply();
    world.remoteMove("g", "f");
    await world.apply();
    await expectAtRest(world);
  });

  test("so is a time that comes without bytes [N7, R5]", async () => {
    const world = await clampingWorld("f");
    world.remoteWrite("f", world.content("text of f", { mtimeNs: FAR }));
    await world.apply();
    await expectAtRest(world);
  });

  test("a file whose record a crash prevented keeps its time [N7, D7]", async () => {
    const world = await clampingWorld();
    world.remoteCreate("f", world.content("text", { mtimeNs: FAR }));
    world.onCall = (name) => (name === "syncDirectories" ? "io" : undefined);
    expect(String(await failureOf(world.apply()))).toContain("io");
    world.crash();
    await world.recover();
    await recoverUnrecorded(world.ports, { deviceName: DEVICE });
    await expectAtRest(world);
  });

  test("a user's own time is proposed, beside an executable bit that is not [N7, R5]", async () => {
    const world = await clampingWorld();
    world.remoteCreate("f", world.content("text", { mtimeNs: FAR }));
    await world.apply();
    await expectAtRest(world);
    const inode = world.inode("f");
    if (inode.kind !== "file") throw new Error("a file");
    world.disk.setMetadata(inode, { executable: true }, "durable");
    await world.settle();
    expect(world.node("f").content).toMatchObject({ mtimeNs: FAR, executable: true });
    world.disk.setMetadata(inode, { mtimeNs: 1_600_000_000_000_000_000n }, "durable");
    await world.settle();
    expect(world.node("f").content).toMatchObject({ mtimeNs: "1600000000000000000" });
  });
});
