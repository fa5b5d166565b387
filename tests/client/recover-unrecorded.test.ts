/** New nodes of which a crash kept the record from being written. Rules: D7, S2, R13. */
import { describe, expect, test } from "bun:test";
import { recoverUnrecorded } from "../../src/client/apply/recover-unrecorded.ts";
import { type ApplyWorld, DEVICE, syncedWorld } from "./apply-world.ts";

/** All is in place when the process ends, and nothing of it is recorded. */
async function crashBeforeTheRecord(world: ApplyWorld): Promise<void> {
  world.onCall = (name) => (name === "syncDirectories" ? "io" : undefined);
  await expect(world.apply()).rejects.toThrow("io");
  world.crash();
}

async function startAgain(world: ApplyWorld): Promise<void> {
  await world.recover();
  await recoverUnrecorded(world.ports, { deviceName: DEVICE });
}

describe("recoverUnrecorded()", () => {
  test("a file that was put in place follows the log, without a conflict copy [D7, R13]", async () => {
    const world = await syncedWorld(true);
    world.remoteCreate("d", { kind: "directory" });
    world.remoteCreate("d/f", "first");
    await crashBeforeTheRecord(world);
    expect(world.files()).toEqual({ "d/f": "first" });
    await startAgain(world);
    world.remoteWrite("d/f", "second");
    await world.converge();
    expect(world.files()).toEqual({ "d/f": "second" });
    expect(world.isSettled()).toBe(true);
  });

  test("one that is deleted meanwhile goes, and does not come back as a new one [D7, R3]", async () => {
    const world = await syncedWorld(true);
    world.remoteCreate("f", "first");
    await crashBeforeTheRecord(world);
    await startAgain(world);
    world.remoteDelete("f");
    await world.converge();
    expect(world.files()).toEqual({});
  });

  test("a directory that was moved by parts is the node that it was [D12, D7]", async () => {
    const world = await syncedWorld(true, "a/f", "a/b/g");
    world.makeLower("a", "a/b");
    const { id } = world.node("a");
    world.remoteMove("a", "c");
    await crashBeforeTheRecord(world);
    expect(world.files()).toEqual({ "c/f": "text of a/f", "c/b/g": "text of a/b/g" });
    await startAgain(world);
    await world.scan();
    expect(world.plan()).toMatchObject({ transitions: [], ops: new Map() });
    expect(world.id("c")).toBe(id);
    expect(world.isSettled()).toBe(true);
  });

  test("what its user has written there since is kept [R9, I3]", async () => {
    const world = await syncedWorld(true);
    world.remoteCreate("f", "first");
    await crashBeforeTheRecord(world);
    world.write("f", "an edit");
    await startAgain(world);
    world.remoteWrite("f", "second");
    await world.converge();
    expect(Object.values(world.files()).toSorted()).toEqual(["an edit", "second"]);
  });

  test("what cannot be read is left to the scan [D8, F23]", async () => {
    const world = await syncedWorld(true);
    world.remoteCreate("f", "first");
    await crashBeforeTheRecord(world);
    world.onCall = (name, path) => (name === "open" && path === "f" ? "io" : undefined);
    await startAgain(world);
    expect(world.store.local.children(world.remote("f").parent)).toEqual([]);
    world.onCall = () => undefined;
    await world.converge();
    expect(world.files()).toEqual({ f: "first" });
  });

  test("a user's rename survives where its node was out of its place for a moment [D7, R6]", async () => {
    const world = await syncedWorld(false, "d/a", "e/b");
    world.move("d/a", "d/b");
    world.clock.elapsedMs += 10_000;
    await world.settle();
    world.remoteMove("e/b", "tmp");
    world.remoteMove("d/a", "e/a");
    world.remoteMove("tmp", "d/b");
    world.onCall = (name) => {
      if (name === "moveNoReplace" && world.entries("parking").length > 0) throw new Error("crash");
      return undefined;
    };
    await expect(world.apply()).rejects.toThrow("crash");
    world.crash();
    expect(world.entries("parking")).toHaveLength(1);
    await startAgain(world);
    await world.converge();
    expect(world.files()).toEqual({ "d/b": "text of e/b", "e/b": "text of d/a" });
  });
});
