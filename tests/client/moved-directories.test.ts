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
