/**
 * Edits that no stamp tells of: written within one tick of the kernel's clock after this client's
 * own step, of the same size, the mtime put back. Rules: A2, D2, D3.
 */
import { describe, expect, test } from "bun:test";
import type { ApplyWorld } from "./apply-world.ts";
import { syncedWorld } from "./apply-world.ts";
import { CALM_MS } from "./scan-world.ts";

const MINE = "mine";

/** Other bytes of the same length behind the same times. */
function writeUnseen(world: ApplyWorld, path: string): void {
  const inode = world.inode(path);
  if (inode.kind !== "file") throw new Error(`${path} is no file`);
  inode.bytes = new TextEncoder().encode(MINE);
}

/** Runs `edit` once, at the first look at `path` after a call of that name. */
function editAfter(world: ApplyWorld, call: string, path: string, edit: () => void): void {
  let isDone = false;
  world.onCall = (name, at) => {
    const isLook = name === "stat" && at === path && isDone;
    if (isLook) {
      world.onCall = () => undefined;
      edit();
    }
    isDone ||= name === call;
    return undefined;
  };
}

async function expectNoticed(world: ApplyWorld, path: string): Promise<void> {
  world.clock.elapsedMs += CALM_MS;
  await world.settle();
  expect(world.node(path).content).toMatchObject({ sha256: world.content(MINE).sha256 });
}

for (const exchange of [true, false]) {
  describe(`within the tick of a step ${exchange ? "with" : "without"} exchange`, () => {
    test("an edit of a file that was just created is noticed [A2]", async () => {
      const world = await syncedWorld(exchange);
      world.remoteCreate("f", "four");
      editAfter(world, "moveNoReplace", "f", () => writeUnseen(world, "f"));
      await world.apply();
      expect(world.files()).toEqual({ f: MINE });
      await expectNoticed(world, "f");
    });

    test("an edit of a file that was just replaced is noticed, after a restart too [A2]", async () => {
      const world = await syncedWorld(exchange, "f");
      world.remoteWrite("f", "four");
      const call = exchange ? "exchange" : "moveNoReplace";
      editAfter(world, call, "f", () => {
        if (world.files()["f"] === "four") writeUnseen(world, "f");
      });
      await world.apply();
      if (exchange) expect(world.files()).toEqual({ f: MINE });
      else writeUnseen(world, "f");
      world.restart();
      world.clock.elapsedMs += 60_000;
      await expectNoticed(world, "f");
    });

    test("an edit of a file that was just moved is noticed [A2]", async () => {
      const world = await syncedWorld(exchange, "f");
      world.remoteWrite("f", "four");
      await world.apply();
      await world.agree();
      world.remoteMove("f", "g");
      editAfter(world, "moveNoReplace", "g", () => writeUnseen(world, "g"));
      await world.apply();
      expect(world.files()).toEqual({ g: MINE });
      await expectNoticed(world, "g");
    });

    test("what a user wrote just before it was displaced is kept [D10, D3]", async () => {
      const world = await syncedWorld(exchange);
      world.remoteCreate("f", "four");
      await world.apply();
      await world.agree();
      world.remoteWrite("f", "five");
      const call = exchange ? "exchange" : "moveNoReplace";
      world.onCall = (name, path) => {
        const isStep = name === call && (exchange || path === "f");
        if (isStep && world.files()["f"] === "four") writeUnseen(world, "f");
        return undefined;
      };
      await world.apply();
      await world.emptyQuarantine();
      expect(Object.values(world.files()).toSorted()).toEqual(["five", MINE]);
    });
  });
}
