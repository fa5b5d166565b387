/**
 * A crash before each call of an apply, after which the log takes back all that it had said: what
 * was done and not recorded is no change of this device's user, and undoes nobody's.
 * Rules: D7, S2, S6, R3.
 */
import { describe, expect, test } from "bun:test";
import { recoverUnrecorded } from "../../src/client/apply/recover-unrecorded.ts";
import type { BaseNode, RemoteNode } from "../../src/core/node.ts";
import { SCENARIOS, type Scenario } from "./apply-scenarios.ts";
import { type ApplyWorld, DEVICE, syncedWorld } from "./apply-world.ts";

const LATER = 9_000_000;

class Crash extends Error {
  override readonly name = "Crash";
}

type Story = Pick<Scenario, "name" | "onlyHere" | "make">;

function story(name: string, paths: readonly string[], news: (world: ApplyWorld) => void): Story {
  const make = async (exchange: boolean) => {
    const world = await syncedWorld(exchange, ...paths);
    news(world);
    return world;
  };
  return { name, onlyHere: [], make };
}

const STORIES: readonly Story[] = [
  ...SCENARIOS.filter(({ name }) => name !== "replace with a conflict"),
  story("a chain of renames", ["a", "b", "c"], (world) => {
    world.remoteMove("c", "d");
    world.remoteMove("b", "c");
    world.remoteMove("a", "b");
  }),
  story("a ring of renames", ["a", "b", "c", "d/"], (world) => {
    world.remoteMove("c", "d/t");
    world.remoteMove("b", "c");
    world.remoteMove("a", "b");
    world.remoteMove("d/t", "a");
  }),
  story("two directories trade places, and what is in them", ["a/f", "b/g", "b/f"], (world) => {
    world.remoteSwap("a/f", "b/f");
    world.remoteSwap("a", "b");
  }),
  story("a directory moves into a new one, and a file out of it", ["a/f", "a/g"], (world) => {
    world.remoteCreate("n", { kind: "directory" });
    world.remoteMove("a", "n/a");
    world.remoteMove("n/a/f", "f");
  }),
  story("a file moves, and gets other bytes", ["a/f"], (world) => {
    world.remoteMove("a/f", "g");
    world.remoteWrite("g", "remote");
  }),
  story("a file moves, and gets another mode and time", ["f"], (world) => {
    world.remoteMove("f", "g");
    world.remoteWrite("g", world.content("text of f", { executable: true }));
  }),
  story("directories and a link go", ["a/b/c/", "a/b/f", "a/l -> f", "g"], (world) => {
    for (const path of ["a/b/c", "a/b/f", "a/l", "a/b", "a"]) world.remoteDelete(path);
  }),
];

/** @returns false if there were fewer calls. */
async function crashBefore(world: ApplyWorld, call: number): Promise<boolean> {
  let count = 0;
  const step = (): undefined => {
    count += 1;
    if (count >= call) throw new Crash(`before call ${call}`);
  };
  world.onCall = step;
  world.onTransaction = step;
  try {
    await world.apply();
    return false;
  } catch (error) {
    if (!(error instanceof Crash)) throw error;
    return true;
  } finally {
    world.crash();
  }
}

/** What the log had said of these nodes before its last news, it says again. */
function takeBack({ store }: ApplyWorld, former: ReadonlyMap<RemoteNode, BaseNode | undefined>) {
  for (const [row, base] of former) {
    const { parent, name, content } = base ?? row;
    const versions = { contentVersion: LATER, placeVersion: LATER, deleted: base === undefined };
    store.putRemote({ ...row, parent, name, content, ...versions });
  }
}

/** Each path, with what stands there. */
function shown({ disk }: ApplyWorld): readonly string[] {
  const lines: string[] = [];
  for (const [path, inode] of disk.walk()) {
    if (path === ".synced" || path.startsWith(".synced/")) continue;
    const { kind } = inode;
    if (kind === "file") {
      const text = new TextDecoder().decode(inode.bytes);
      lines.push(`${path} ${text} ${inode.executable} ${inode.mtimeNs}`);
    } else lines.push(`${path} ${kind === "symlink" ? inode.target : kind}`);
  }
  return lines.sort();
}

for (const exchange of [true, false]) {
  for (const { name, onlyHere, make } of STORIES) {
    const how = exchange ? "with" : "without";
    describe(`${name} ${how} exchange`, () => {
      test("is taken back after a crash before any call [D7, S2, S6, R3]", async () => {
        for (let call = 1; ; call += 1) {
          const where = `crash before call ${call}`;
          const world = await make(exchange);
          const before = shown(world);
          const { store } = world;
          const former = new Map<RemoteNode, BaseNode | undefined>();
          for (const id of store.dirty()) {
            const row = store.remoteRow(id);
            if (row !== undefined) former.set(row, store.base.get(id));
          }
          const crashed = await crashBefore(world, call);
          await world.recover();
          await recoverUnrecorded(world.ports, { deviceName: DEVICE });
          takeBack(world, former);
          world.clock.elapsedMs += 70_000;
          await world.settle();
          const ops = [...world.plan().ops.values()].flat();
          const own = onlyHere.length > 0 ? ops.filter(({ kind }) => kind !== "modify") : ops;
          expect({ where, own }).toEqual({ where, own: [] });
          await world.converge();
          expect({ where, shown: shown(world) }).toEqual({ where, shown: before });
          if (!crashed) return;
        }
      });
    });
  }
}
