/**
 * What this user may not change, and what no scan makes a node of: listed once, and not asked for
 * again and again. Rules: D2, D8, A8.
 */
import { describe, expect, test } from "bun:test";
import { DeferredNodes } from "../../src/client/plan/deferred.ts";
import { removeEmptied } from "../../src/client/scan/remove-emptied.ts";
import { type ApplyWorld, syncedWorld } from "./apply-world.ts";
import { CALM_MS } from "./scan-world.ts";

/** These calls at these paths are not permitted. */
function forbid(world: ApplyWorld, ...calls: string[]): void {
  world.onCall = (name, path) => (calls.includes(`${name} ${path}`) ? "denied" : undefined);
}

describe("applyTransitions() without permission", () => {
  test("gives new metadata to a file of another user as a copy of its own [D2, D19, R5]", async () => {
    const world = await syncedWorld(true, "f");
    const { identity } = world.node("f");
    world.remoteWrite("f", world.content("text of f", { executable: true }));
    forbid(world, "setMetadata f");
    const report = await world.apply();
    expect(report).toMatchObject({ applied: 1, conflicts: 0, failed: [] });
    expect(world.files()).toEqual({ f: "text of f" });
    expect(world.fs.stat("f")?.executable).toBe(true);
    expect(world.node("f").identity).not.toBe(identity);
    await world.converge();
    expect(world.isSettled()).toBe(true);
  });

  test("lists what it may not change, and looks at nothing again for it [D8, D18, D19]", async () => {
    const world = await syncedWorld(true, "d/a", "d/b");
    world.remoteDelete("d/a");
    world.remoteDelete("d/b");
    world.remoteDelete("d");
    forbid(world, "moveNoReplace d/a");
    const report = await world.apply();
    expect(report.failed).toMatchObject([{ path: "d/a", code: "file_protected" }]);
    expect(report.rescan).toEqual(new Set());
    expect(world.files()).toEqual({ "d/a": "text of d/a" });
    const plan = world.plan();
    const deferred = new DeferredNodes(world.ports);
    for (const failure of report.failed) deferred.defer(failure);
    deferred.deferWithOthers(plan);
    expect(world.store.dirty().every((id) => deferred.has(id))).toBe(true);
    expect(deferred.awaitsRetry).toBe(false);
  });
});

describe("an obstacle", () => {
  test("that no scan makes a node of is listed, and waited for without looking [D8, D19]", async () => {
    const world = await syncedWorld(true);
    world.put("f", world.disk.newOther());
    await world.settle();
    world.remoteCreate("f", "from elsewhere");
    const report = await world.apply();
    expect(report.rescan).toEqual(new Set());
    expect(report.failed).toMatchObject([{ path: "f", code: "unsupported_kind" }]);
    const deferred = new DeferredNodes(world.ports);
    for (const failure of report.failed) deferred.defer(failure);
    deferred.takeUpAgain();
    expect(deferred.size).toBe(1);
    world.remove("f");
    await world.settle();
    deferred.takeUpAgain();
    expect(deferred.size).toBe(0);
    await world.converge();
    expect(world.files()).toEqual({ f: "from elsewhere" });
    expect(world.store.problems()).toEqual([]);
  });

  test("that goes holds up nothing that waited for it [D18, D19, I43]", async () => {
    const world = await syncedWorld(true);
    world.put("d", world.disk.newOther());
    await world.settle();
    world.remoteCreate("d", { kind: "directory" });
    world.remoteCreate("d/f", "from elsewhere");
    const plan = world.plan();
    const report = await world.apply();
    expect(report.failed).toMatchObject([{ path: "d", code: "unsupported_kind" }]);
    const deferred = new DeferredNodes(world.ports);
    const waitForIt = () => {
      for (const failure of report.failed) deferred.defer(failure);
      deferred.deferWithOthers(plan);
      expect(deferred.size).toBe(2);
    };
    waitForIt();
    deferred.takeUpAgain();
    expect(deferred.size).toBe(2);
    world.remove("d");
    await world.settle();
    deferred.takeUpAgain();
    expect(deferred.size).toBe(0);
    // What is solved in another way is waited for as little.
    waitForIt();
    await world.converge();
    deferred.forgetSolved();
    expect(deferred.size).toBe(0);
    expect(world.files()).toEqual({ "d/f": "from elsewhere" });
  });

  test("that is a directory kept for what is ignored in it is listed [D8, A8]", async () => {
    const world = await syncedWorld(true, "d/f");
    world.ignores = (path) => path.endsWith(".tmp");
    world.make(".synced/");
    world.write(".syncedignore", "*.tmp\n");
    world.write("d/x.tmp", "ignored");
    await world.agree();
    world.remoteDelete("d/f");
    world.remoteDelete("d");
    await world.apply();
    await world.settle();
    world.remoteCreate("d", "from elsewhere");
    const report = await world.apply();
    expect(report.failed).toMatchObject([{ path: "d", code: "name_collision" }]);
    expect(report.rescan).toEqual(new Set());
    expect(world.files()["d/x.tmp"]).toBe("ignored");
    // Emptied, it makes room.
    world.remove("d/x.tmp");
    await world.scan();
    expect(world.scanner.emptied).toEqual([]);
    world.clock.elapsedMs += CALM_MS;
    await world.scan();
    removeEmptied(world.ports, world.scanner.emptied);
    await world.converge();
    expect(world.files()["d"]).toBe("from elsewhere");
  });
});

test("a trouble that lasts stays listed after a scan that sees nothing of it [D8, I43]", async () => {
  const world = await syncedWorld(true);
  const id = world.remoteCreate("f", "from elsewhere");
  const deferred = new DeferredNodes(world.ports);
  deferred.tell(id, "unsupported_name", "Cannot create it here");
  await world.settle();
  world.store.setProblem("f", undefined);
  deferred.forgetSolved();
  expect(world.store.problems()).toMatchObject([{ path: "f", code: "unsupported_name" }]);
});

test("what fails again under another path is listed there alone [D8, I43]", async () => {
  const world = await syncedWorld(true, "d/keep", "e/keep");
  world.remoteCreate("d/f", "from elsewhere");
  const deferred = new DeferredNodes(world.ports);
  world.onCall = (name) => (name === "createFile" ? "full" : undefined);
  const fail = async (path: string) => {
    const report = await world.apply();
    expect(report.failed).toMatchObject([{ path, code: "storage_full" }]);
    for (const failure of report.failed) deferred.defer(failure);
    deferred.forgetSolved();
    expect(world.store.problems()).toMatchObject([{ path, code: "storage_full" }]);
  };
  await fail("d/f");
  world.remoteMove("d", "e/d");
  await world.apply();
  await fail("e/d/f");
  world.onCall = () => undefined;
  await world.converge();
  deferred.forgetSolved();
  expect(world.store.problems()).toEqual([]);
});
