/** What a user did is durable before it is posted or agreed upon. Rules: I15, S7, I41. */
import { describe, expect, test } from "bun:test";
import { makeDurable } from "../../src/client/post/make-durable.ts";
import type { DirectoryInode, FileInode } from "../sim/sim-disk.ts";
import { type ApplyWorld, syncedWorld } from "./apply-world.ts";

function file(world: ApplyWorld, path: string): FileInode {
  const inode = world.inode(path);
  if (inode.kind !== "file") throw new Error(`${path} is no file`);
  return inode;
}

function directory(world: ApplyWorld, path: string): DirectoryInode {
  const inode = world.inode(path);
  if (inode.kind !== "directory") throw new Error(`${path} is no directory`);
  return inode;
}

/** As programs save: nothing is synced. */
function save(world: ApplyWorld, path: string, text: string): void {
  const fresh = world.disk.newFile("user");
  world.disk.write(fresh, new TextEncoder().encode(text), "user", "cached");
  rename(world, path, { after: fresh });
}

function rename(world: ApplyWorld, path: string, { after }: { after: FileInode | undefined }) {
  const cut = path.lastIndexOf("/");
  const parent = directory(world, path.slice(0, Math.max(0, cut)));
  world.disk.link([{ directory: parent, name: path.slice(cut + 1), after }], "cached", []);
}

function durableText(world: ApplyWorld, path: string): string {
  return new TextDecoder().decode(file(world, path).durable?.bytes);
}

describe("makeDurable()", () => {
  test("syncs new and changed files and the directories of their names [S7, I15, F17]", async () => {
    const world = await syncedWorld(true, "d/", "d/old");
    save(world, "d/old", "new bytes");
    save(world, "d/new", "never synced");
    await world.settle();
    expect(directory(world, "d").durableEntries.has("new")).toBe(false);
    expect(await makeDurable(world.ports, world.store.dirty())).toEqual(new Map());
    expect(durableText(world, "d/old")).toBe("new bytes");
    expect(durableText(world, "d/new")).toBe("never synced");
    expect(directory(world, "d").durableEntries.get("old")).toBe(file(world, "d/old"));
    expect(directory(world, "d").durableEntries.has("new")).toBe(true);
  });

  test("syncs where a name was taken away [S7, I15]", async () => {
    const world = await syncedWorld(true, "a/", "a/gone", "a/moved", "b/");
    rename(world, "b/moved", { after: file(world, "a/moved") });
    rename(world, "a/moved", { after: undefined });
    rename(world, "a/gone", { after: undefined });
    await world.settle();
    await makeDurable(world.ports, world.store.dirty());
    expect([...directory(world, "a").durableEntries.keys()]).toEqual([]);
    expect([...directory(world, "b").durableEntries.keys()]).toEqual(["moved"]);
  });

  test("asks the disk nothing about what is as the base says [Y5]", async () => {
    const world = await syncedWorld(true, "f");
    world.calls.length = 0;
    await makeDurable(world.ports, [world.node("f").id]);
    expect(world.calls).toEqual([]);
  });

  test("names what the disk could not keep, and only that [I41, D8]", async () => {
    const world = await syncedWorld(true);
    save(world, "bad", "bad");
    save(world, "good", "good");
    await world.settle();
    world.onCall = (name, path) => (name === "sync" && path === "bad" ? "io" : undefined);
    const failed = await makeDurable(world.ports, world.store.dirty());
    expect([...failed.keys()]).toEqual([world.node("bad").id]);
  });

  test("waits for nothing that its user has locked away [F50]", async () => {
    const world = await syncedWorld(true);
    save(world, "f", "f");
    await world.settle();
    world.onCall = (name) => (name === "sync" ? "denied" : undefined);
    expect(await makeDurable(world.ports, world.store.dirty())).toEqual(new Map());
  });
});
