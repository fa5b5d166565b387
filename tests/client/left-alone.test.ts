/** What belongs to synced itself is not synced. Rules: A6. */
import { expect, test } from "bun:test";
import { ScanWorld } from "./scan-world.ts";

test("a server's data directory is left to its server [A6]", async () => {
  const world = new ScanWorld();
  world.write("d/data/format", "synced data 1\n");
  world.write("d/data/metadata.db", "SQLite");
  world.write("d/other/format", "synced data 1\n");
  await world.settle();
  expect(world.paths()).toEqual(["d", "d/data", "d/other", "d/other/format"]);
  expect(world.store.problems()).toMatchObject([{ path: "d/data", code: "folder_nested" }]);
  world.write("d/data/objects.db", "SQLite");
  await world.settle("d/data/objects.db");
  expect(world.paths()).not.toContain("d/data/objects.db");
});
