/** Hints that name a directory as it was before this device moved it. */
import { expect, test } from "bun:test";
import { ScanWorld } from "./scan-world.ts";

/** A directory is moved on behalf of the log, while a user moves a file into it. */
async function movedUnderItsUser(): Promise<ScanWorld> {
  const world = new ScanWorld();
  world.make("before/", "before/deep/", "file");
  await world.agree();
  const directory = world.node("before");
  world.move("file", "before/deep/file");
  world.scanner.noteMove("before", directory.id);
  world.move("before", "after");
  world.store.putLocal({ ...directory, name: "after" });
  return world;
}

test("scan() follows a hint into a directory that was moved here meanwhile [A1, Y14]", async () => {
  const world = await movedUnderItsUser();
  const { id } = world.node("file");
  await world.scan("file", "before/deep/file");
  expect(world.node("after/deep/file").id).toBe(id);
});

test("scan() still looks where the hint leads, if something stands there again [Y14]", async () => {
  const world = await movedUnderItsUser();
  world.make("before/", "before/new");
  await world.scan("before", "before/new");
  expect(world.node("before/new").content.kind).toBe("file");
});

test("scan() follows a hint through directories that were moved one after the other [A1, Y14]", async () => {
  const world = new ScanWorld();
  world.make("a/b/c/", "a/b/c/old");
  await world.agree();
  const [outer, inner] = [world.node("a"), world.node("a/b")];
  const { id } = world.node("a/b/c/old");
  world.move("a/b/c/old", "a/b/c/new");
  world.scanner.noteMove("a", outer.id);
  world.move("a", "d");
  world.store.putLocal({ ...outer, name: "d" });
  world.scanner.noteMove("d/b", inner.id);
  world.move("d/b", "d/e");
  world.store.putLocal({ ...inner, name: "e" });
  await world.scan("a/b/c/old", "a/b/c/new");
  expect(world.node("d/e/c/new").id).toBe(id);
});

test("scan() ends where a directory stands in one of its own former name [Y14]", async () => {
  const world = await movedUnderItsUser();
  world.make("before/");
  await world.scan("before");
  const moved = world.node("after");
  world.scanner.noteMove("after", moved.id);
  world.move("after", "before/after");
  world.store.putLocal({ ...moved, parent: world.node("before").id, name: "after" });
  await world.scan("before/deep/file", "after/deep/file");
  expect(world.node("before/after/deep/file").content.kind).toBe("file");
});
