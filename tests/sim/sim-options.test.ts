/** How long lives are. */
import { expect, test } from "bun:test";
import { drawLife, type Mix } from "./sim-options.ts";

function sharesOf(mix: Mix): Record<string, number> {
  const seeds = Array.from({ length: 10_000 }, (_, seed) => seed);
  const lives = Map.groupBy(seeds, (seed) => drawLife(seed, mix));
  return Object.fromEntries([...lives].map(([life, { length }]) => [life, length / 100]));
}

test("most lives are short, and of many lives most are brief [I45]", () => {
  const close = (percent: number) => expect.closeTo(percent, 0);
  expect(sharesOf("usual")).toEqual({ short: close(85), medium: close(10), long: close(5) });
  const many = { brief: close(90.5), short: close(5), medium: close(3), long: close(1.5) };
  expect(sharesOf("many")).toEqual(many);
});
