/**
 * Overlay file systems, as in containers: a file of the lower layer gets another identity when it
 * is first moved or changed. Rules: D4, D5, D10, D12, R5.
 */
import { describe, expect, test } from "bun:test";
import type { ApplyWorld } from "./apply-world.ts";
import { syncedWorld } from "./apply-world.ts";

/** The next call of one of these names copies the file up first. */
function copyUpAt(world: ApplyWorld, path: string, ...calls: string[]): void {
  world.onCall = (name, at) => {
    if (!calls.includes(name) || world.disk.at(path) === undefined) return undefined;
    // What is staged is named by a rename of its own.
    if (name === "moveNoReplace" && at !== path) return undefined;
    world.onCall = () => undefined;
    const inode = world.inode(path);
    inode.birthNs += 1_000n;
    inode.ctimeNs += 1_000n;
    return undefined;
  };
}

for (const exchange of [true, false]) {
  describe(`on an overlay ${exchange ? "with" : "without"} exchange`, () => {
    test("an edit from elsewhere makes no conflict copy of a file that is copied up [D10]", async () => {
      const world = await syncedWorld(exchange, "f");
      world.remoteWrite("f", "new");
      copyUpAt(world, "f", exchange ? "exchange" : "moveNoReplace");
      const report = await world.apply();
      expect(report).toMatchObject({ applied: 1, conflicts: 0 });
      expect(world.files()).toEqual({ f: "new" });
      await world.emptyQuarantine();
      expect(world.files()).toEqual({ f: "new" });
    });

    test("an unseen edit of such a file is kept [D10]", async () => {
      const world = await syncedWorld(exchange, "f");
      world.remoteWrite("f", "new");
      world.onCall = (name) => {
        if (name !== (exchange ? "exchange" : "moveNoReplace")) return undefined;
        world.onCall = () => undefined;
        world.inode("f").birthNs += 1_000n;
        world.write("f", "TEXT of f");
        return undefined;
      };
      await world.apply();
      await world.converge();
      expect(Object.values(world.files())).toContain("TEXT of f");
    });

    test("deletes, moves and metadata from elsewhere arrive at files that are copied up [D4, D5, R5]", async () => {
      const world = await syncedWorld(exchange, "deleted", "moved", "changed");
      world.remoteDelete("deleted");
      copyUpAt(world, "deleted", "moveNoReplace");
      await world.apply();
      world.remoteMove("moved", "there");
      copyUpAt(world, "moved", "moveNoReplace");
      await world.apply();
      world.remoteWrite("changed", world.content("text of changed", { executable: true }));
      copyUpAt(world, "changed", "setMetadata.gap");
      await world.apply();
      await world.converge();
      expect(world.files()).toEqual({ changed: "text of changed", there: "text of moved" });
      expect(world.fs.stat("changed")?.executable).toBe(true);
      expect(world.store.conflicts()).toEqual([]);
      expect(world.isSettled()).toBe(true);
    });

    test("directories of the lower layer move, trade places and keep their nodes [D12]", async () => {
      const world = await syncedWorld(exchange, "a/f", "a/b/g", "c/h");
      world.makeLower("a", "a/b", "c");
      const before = world.ids();
      world.remoteSwap("a", "c");
      await world.apply();
      await world.converge();
      expect(world.files()).toEqual({
        "a/h": "text of c/h",
        "c/b/g": "text of a/b/g",
        "c/f": "text of a/f",
      });
      expect(world.id("c/b/g")).toBe(world.node("c/b/g").id);
      expect(Object.values(world.ids()).toSorted()).toEqual(Object.values(before).toSorted());
      expect(world.isSettled()).toBe(true);
      expect(world.entries("parking")).toEqual([]);
    });

    test("what is ignored in such a directory, and what is new in it, goes along [D12, I3]", async () => {
      const world = await syncedWorld(exchange, "a/f");
      world.makeLower("a");
      world.ignores = (path) => path.endsWith(".tmp");
      world.write("a/x.tmp", "ignored");
      world.remoteMove("a", "c");
      world.onCall = (name, path) => {
        if (name === "removeDirectory" && path === "a" && world.disk.at("a/new") === undefined) {
          world.onCall = () => undefined;
          world.write("a/new", "new");
        }
        return undefined;
      };
      await world.apply();
      await world.converge();
      expect(world.files()).toEqual({
        "c/f": "text of a/f",
        "c/new": "new",
        "c/x.tmp": "ignored",
      });
    });

    test("all of it is put back where a part of it cannot be moved [D12, D8, I3]", async () => {
      const world = await syncedWorld(exchange, "a/f", "a/b/g");
      world.makeLower("a", "a/b");
      world.remoteMove("a", "c");
      world.onCall = (name, path) =>
        name === "moveNoReplace" && path === "a/b/g" ? "denied" : undefined;
      const report = await world.apply();
      expect(report.failed).toMatchObject([{ path: "c", code: "file_protected" }]);
      expect(world.files()).toEqual({ "a/f": "text of a/f", "a/b/g": "text of a/b/g" });
      world.onCall = () => undefined;
      await world.converge();
      expect(world.files()).toEqual({ "c/f": "text of a/f", "c/b/g": "text of a/b/g" });
      expect(world.isSettled()).toBe(true);
    });
  });
}
