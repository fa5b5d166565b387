/** The clock and the randomness that a client really has. */
import { expect, test } from "bun:test";
import { systemClock } from "../../src/adapters/runtime/clock.ts";
import { systemRandom } from "../../src/adapters/runtime/random.ts";
import { type NodeId, parseId } from "../../src/core/identifier.ts";

const LONG_MS = 60_000;

test("sleep() ends at its time, or at once and without throwing when it is aborted [Y3]", async () => {
  const start = systemClock.monotonic();
  await systemClock.sleep(20);
  expect(systemClock.monotonic() - start).toBeGreaterThanOrEqual(18);
  const controller = new AbortController();
  const sleeping = systemClock.sleep(LONG_MS, controller.signal);
  controller.abort();
  await sleeping;
  await systemClock.sleep(LONG_MS, controller.signal);
  await systemClock.sleep(LONG_MS, AbortSignal.abort());
  expect(systemClock.monotonic() - start).toBeLessThan(LONG_MS / 2);
});

test("yield() lets timers run [Y1]", async () => {
  const steps: string[] = [];
  setTimeout(() => steps.push("timer"), 0);
  while (steps.length === 0) await systemClock.yield();
  expect(steps).toEqual(["timer"]);
});

test("id() gives 128 bits, no two alike, the earlier before the later [N1]", async () => {
  const before = Date.now();
  const ids = Array.from({ length: 1_000 }, () => systemRandom.id<NodeId>());
  expect(new Set(ids).size).toBe(1_000);
  expect(ids.map((id) => parseId<NodeId>(id))).toEqual(ids);
  const times = ids.map((id) => Number.parseInt(id.slice(0, 12), 16));
  expect(times.every((time) => time >= before && time <= Date.now())).toBe(true);
  await systemClock.sleep(2);
  expect(systemRandom.id<NodeId>() > (ids.toSorted().at(-1) ?? "")).toBe(true);
});
