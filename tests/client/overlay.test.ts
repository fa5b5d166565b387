/**
 * Overlay file systems, as in containers: a file of the lower layer gets another identity when it
 * is first moved or changed. Rules: D2, D4, D5, R5.
 */
import { describe, expect, test } from "bun:test";
import type { ApplyWorld } from "./apply-world.ts";
import { syncedWorld } from "./apply-world.ts";

/** The next call of one of these names copies the file up first. */
function copyUpAt(world: ApplyWorld, path: string, ...calls: string[]): void {
  world.onCall = (name) => {
    if (!calls.includes(name) || world.disk.at(path) === undefined) return undefined;
    world.onCall = () => undefined;
    const inode = world.inode(path);
    inode.birthNs += 1_000n;
    inode.ctimeNs += 1_000n;
    return undefined;
  };
}

for (const exchange of [true, false]) {
  describe(`on an overlay ${exchange ? "with" : "without"} exchange`, () => {
    test("an edit from elsewhere makes no conflict copy of a file that is copied up [D2]", async () => {
      const world = await syncedWorld(exchange, "f");
      world.remoteWrite("f", "new");
      copyUpAt(world, "f", exchange ? "exchange" : "moveNoReplace");
      const report = await world.apply();
      expect(report).toMatchObject({ applied: 1, conflicts: 0 });
      expect(world.files()).toEqual({ f: "new" });
      await world.emptyQuarantine();
      expect(world.files()).toEqual({ f: "new" });
    });

    test("an unseen edit of such a file is kept [D2]", async () => {
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
  });
}
