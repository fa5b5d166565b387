/** What the client does while nothing happens to it, whatever waits. Rules: Y1-Y5, O11, D8, G2. */
import { describe, expect, test } from "bun:test";
import { LoopWorld, type Work } from "./loop-world.ts";

const MINUTE_MS = 60_000;
/** A look at the root every 2 s, and what little is due meanwhile. */
const TURNS_MAX = 40;

async function joined(...paths: string[]): Promise<LoopWorld> {
  const world = new LoopWorld();
  world.make(...paths);
  world.start();
  await world.pass(MINUTE_MS);
  expect(world.status.state).toBe("in_sync");
  return world;
}

function files(count: number, directory = "d"): string[] {
  return Array.from({ length: count }, (_, index) => `${directory}/f${index}`);
}

/**
 * The root, the marker, this device's own rules and a pause; a person's answer, where one is waited
 * for.
 */
const CALLS_PER_TURN_MAX = 5;

function expectRest({ turns, plans }: Work, turnsMax = TURNS_MAX): void {
  expect(plans).toBeLessThanOrEqual(3);
  expect(turns).toBeLessThanOrEqual(turnsMax);
}

describe("a turn that did nothing is followed by a sleep", () => {
  test("in sync [Y5]", async () => {
    const world = await joined("a", "b/c");
    const work = await world.pass(MINUTE_MS);
    expect(work).toMatchObject({ plans: 0, requests: 0, lists: 0 });
    expect(work.calls).toBeLessThanOrEqual(CALLS_PER_TURN_MAX * work.turns);
    expectRest(work);
    await world.stop();
  });

  test("while displaced files wait in quarantine [Y5, D3]", async () => {
    const world = await joined(...files(100), "other");
    for (const path of files(30)) await world.remote(path);
    await world.pass(5_000);
    expect(world.store.quarantine()).toHaveLength(30);
    const work = await world.pass(40_000);
    expect(work).toMatchObject({ plans: 0, requests: 0, lists: 0 });
    expect(work.calls).toBeLessThanOrEqual(CALLS_PER_TURN_MAX * work.turns);
    await world.stop();
  });

  test("while a change is held [Y5, G2]", async () => {
    const world = await joined(...files(100), "other");
    world.remove("d");
    await world.pass(2 * MINUTE_MS);
    expect(world.status.state).toBe("held");
    const work = await world.pass(MINUTE_MS);
    expect(work).toMatchObject({ plans: 0, requests: 0, lists: 0 });
    expect(work.calls).toBeLessThanOrEqual(CALLS_PER_TURN_MAX * work.turns);
    expectRest(work);
    await world.stop();
  });

  test("news beside what is held are planned without that [Y5, G2]", async () => {
    const world = await joined(...files(100), "other", "e/f");
    world.remove("d");
    await world.pass(2 * MINUTE_MS);
    expect(world.status.state).toBe("held");
    world.make("news", "g/more");
    await world.remote("theirs", "theirs");
    await world.remote("other", "edited");
    const beside = await world.pass(20_000);
    expect(beside.plans).toBeGreaterThan(0);
    expect(beside.planned).toBe(0);
    expect(world.store.baseFileCount()).toBe(105);
    expect(world.store.dirtyCount()).toBe(101);
    // In a directory that is to go, a file that is, and more of the same.
    await world.remote("d/theirs", "new");
    await world.pass(20_000);
    expect(world.store.dirtyCount()).toBe(100);
    await world.remote("d/f7", "edited");
    await world.pass(20_000);
    expect(world.store.dirtyCount()).toBe(99);
    world.remove("e/f");
    expect((await world.pass(20_000)).planned).toBe(100);
    expect(world.status.state).toBe("held");
    await world.stop();
  });

  test("offline, with much to send [Y3, Y5]", async () => {
    const world = await joined("a");
    world.server.crash();
    world.make(...files(100));
    await world.pass(MINUTE_MS);
    expect(world.status.state).toBe("offline");
    const work = await world.pass(MINUTE_MS);
    expect(work.plans).toBe(0);
    expect(work.requests).toBeLessThanOrEqual(12);
    expectRest(work, TURNS_MAX + 12);
    await world.stop();
  });

  test("while the server's disk is full: one content is tried, and all once there is room [O11]", async () => {
    const world = await joined("a");
    world.isServerFull = true;
    world.make(...files(100));
    await world.pass(MINUTE_MS);
    expect(world.status).toMatchObject({ state: "syncing" });
    expect(world.status.reason).toContain("full");
    const work = await world.pass(MINUTE_MS);
    expect(work.plans).toBe(0);
    expect(work.requests).toBeLessThanOrEqual(24);
    expectRest(work, TURNS_MAX + 24);
    world.isServerFull = false;
    await world.pass(20_000);
    expect(world.status.state).toBe("in_sync");
    await world.stop();
  });

  test("while the disk takes nothing: tries are far between, and what makes room is heard [D8, Y19, Y16]", async () => {
    const world = await joined("d/other", "e/other");
    const { onCall } = world.folder;
    let isFull = true;
    world.folder.onCall = (name, path) => {
      onCall(name, path);
      return isFull && name === "createFile" && path.startsWith(".synced") ? "full" : undefined;
    };
    for (let count = 0; count < 20; count++) await world.remote(`d/f${count}`, `text ${count}`);
    await world.pass(10 * MINUTE_MS);
    expect(world.status.state).toBe("syncing");
    expect(world.store.problems()).toHaveLength(20);
    const work = await world.pass(4 * MINUTE_MS);
    expect(work.plans).toBeLessThanOrEqual(8);
    expect(work.turns).toBeLessThanOrEqual(4 * TURNS_MAX);
    isFull = false;
    world.folder.disk.touched("d");
    await world.pass(3_000);
    expect(world.status.state).toBe("in_sync");
    await world.stop();
  });

  test("while something else stands where news belongs, until it goes away [Y5, Y20, A6]", async () => {
    const world = await joined("d/other");
    for (let count = 0; count < 5; count++) {
      const path = `d/f${count}`;
      world.folder.put(path, world.folder.disk.newOther());
      world.folder.disk.touched(path);
      await world.remote(path, "news");
    }
    await world.pass(10 * MINUTE_MS);
    expect(world.store.problems()).toHaveLength(5);
    const work = await world.pass(MINUTE_MS);
    expect(work.plans).toBe(0);
    expectRest(work);
    for (let count = 0; count < 5; count++) world.remove(`d/f${count}`);
    await world.pass(3_000);
    expect(world.status.state).toBe("in_sync");
    expect(world.store.problems()).toEqual([]);
    await world.stop();
  });

  test("while the root is gone [G1, Y5]", async () => {
    const world = await joined("a");
    const marker = world.folder.inode(".synced/marker.json");
    world.remove(".synced/marker.json");
    world.make("b");
    await world.pass(10_000);
    expect(world.status.state).toBe("held");
    expectRest(await world.pass(MINUTE_MS));
    world.folder.put(".synced/marker.json", marker);
    await world.pass(10_000);
    expect(world.status.state).toBe("in_sync");
    await world.stop();
  });
});

describe("what is ignored here", () => {
  /** A folder that leaves out `x/left`, of which the server has 30 files. */
  async function leavingOut(): Promise<LoopWorld> {
    const world = new LoopWorld();
    world.folder.write(".synced/ignore", "/x/left\n");
    world.make("a", "x/b");
    world.start();
    await world.pass(5_000);
    for (const path of files(30, "x/left")) await world.remote(path, "text");
    await world.pass(MINUTE_MS);
    expect(world.folder.disk.at("x/left")).toBeUndefined();
    expect(world.status.state).toBe("in_sync");
    return world;
  }

  test("is not planned again when a file gets another name [R15, Y11]", async () => {
    const world = await leavingOut();
    world.move("a", "c");
    expect((await world.pass(MINUTE_MS)).planned).toBeLessThanOrEqual(3);
    world.make("y/z");
    world.move("y", "w");
    expect((await world.pass(MINUTE_MS)).planned).toBeLessThanOrEqual(3);
    await world.stop();
  });

  test("comes when its directory gets a path at which it is not [R15]", async () => {
    const world = await leavingOut();
    world.move("x", "y");
    await world.pass(MINUTE_MS);
    expect(world.folder.disk.at("y/left/f29")?.kind).toBe("file");
    await world.stop();
  });
});

test("hints that are lost during a full scan lead to another one [F66, Y2]", async () => {
  const world = new LoopWorld();
  world.make("a", "b");
  world.hintFate = "overflow";
  const { disk } = world.folder;
  world.start();
  const { onCall } = world.folder;
  let isWritten = false;
  world.folder.onCall = (name, path) => {
    if (name === "open" && path === "b" && !isWritten) {
      isWritten = true;
      // Behind the walk, and nobody tells of it but as lost.
      world.folder.write("a", "late");
      disk.touched("a");
    }
    return onCall(name, path);
  };
  await world.pass(5_000);
  expect(isWritten).toBe(true);
  expect(await world.read("a")).toBe("late");
  await world.stop();
});
