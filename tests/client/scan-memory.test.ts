/** What a scanner remembers of paths to look at again. Rules: Y20. */
import { expect, test } from "bun:test";
import { Revisits } from "../../src/client/scan/memory.ts";

function looksAfter(paths: number): ReadonlySet<number> {
  const revisits = new Revisits();
  for (let path = 0; path < paths; path += 1) revisits.later(`f${path}`, 1_000 + path);
  const again = new Map<string, number>();
  revisits.addTo(again);
  expect(again.size).toBe(paths);
  return new Set(again.values());
}

test("what cannot be read is looked at again after a minute [Y20]", () => {
  expect(looksAfter(1)).toEqual(new Set([61_000]));
});

test("the more cannot be read, the later they are looked at, all of them together [Y20]", () => {
  expect(looksAfter(10_000)).toEqual(new Set([2_040_000]));
});
