/** Memory that requests under way share. */
import { beforeEach, describe, expect, test } from "bun:test";
import {
  MEMORY_BYTES_MAX,
  MEMORY_RESERVE_BYTES,
  MEMORY_WAIT_MS_MAX,
  MEMORY_WAITERS_MAX,
} from "../../src/core/limits.ts";
import { CallMemory, MemoryBudget } from "../../src/http/memory-budget.ts";
import { failureOf } from "../failure.ts";
import { HandClock } from "./fixture.ts";

const MIB = 1024 * 1024;
const LARGE_BYTES_MAX = MEMORY_BYTES_MAX - MEMORY_RESERVE_BYTES;

let clock: HandClock;
let budget: MemoryBudget;
beforeEach(() => {
  clock = new HandClock();
  budget = new MemoryBudget(clock, new AbortController().signal);
});

describe("MemoryBudget", () => {
  test("gives until it is used up, and again what comes back [H21]", async () => {
    const first = await budget.take(LARGE_BYTES_MAX);
    expect(budget.takeNow(2 * MIB)).toBeUndefined();
    first();
    first();
    expect(budget.takenBytes).toBe(0);
    expect(budget.takeNow(2 * MIB)).toBeDefined();
  });

  test("small requests use a reserve that large ones leave alone [H21]", async () => {
    await budget.take(LARGE_BYTES_MAX);
    for (let taken = 0; taken < MEMORY_RESERVE_BYTES; taken += MIB) await budget.take(MIB);
    expect(budget.takeNow(MIB)).toBeUndefined();
    expect(budget.takeNow(4096)).toBeDefined();
  });

  test("one that is larger than everything is alone [H21]", async () => {
    const small = await budget.take(MIB);
    expect(budget.takeNow(2 * MEMORY_BYTES_MAX)).toBeUndefined();
    small();
    expect(budget.takeNow(2 * MEMORY_BYTES_MAX)).toBeDefined();
  });

  test("whoever waits gets what comes back, in order [H21]", async () => {
    const release = await budget.take(LARGE_BYTES_MAX);
    const got: number[] = [];
    const waiting = [40, 40, 40].map(async (mib, index) => {
      const own = await budget.take(mib * MIB);
      got.push(index);
      return own;
    });
    await clock.advance(0);
    expect(budget.isScarce).toBe(true);
    release();
    await clock.advance(0);
    expect(got).toEqual([0, 1]);
    (await waiting[0])?.();
    await clock.advance(0);
    expect(got).toEqual([0, 1, 2]);
    expect(clock.sleepCount).toBe(0);
  });

  test("nobody waits for longer than five seconds [H21]", async () => {
    const release = await budget.take(LARGE_BYTES_MAX);
    const waiting = budget.take(2 * MIB);
    waiting.catch(() => undefined);
    await clock.advance(MEMORY_WAIT_MS_MAX - 1);
    await clock.advance(1);
    expect(await failureOf(waiting)).toMatchObject({ code: "temporarily_unavailable" });
    release();
    expect(budget.takenBytes).toBe(0);
  });

  test("only so many wait [H21]", async () => {
    await budget.take(LARGE_BYTES_MAX);
    const waiting = Array.from({ length: MEMORY_WAITERS_MAX }, () => budget.take(2 * MIB));
    for (const one of waiting) one.catch(() => undefined);
    expect(await failureOf(budget.take(2 * MIB))).toMatchObject({
      code: "temporarily_unavailable",
    });
    await clock.advance(MEMORY_WAIT_MS_MAX);
    expect(clock.sleepCount).toBe(0);
  });
});

test("a call gives back all that it held, and not what its answer keeps [H21]", async () => {
  const memory = new CallMemory(budget);
  await memory.hold(2 * MIB);
  await memory.hold(3 * MIB);
  const keep = await memory.keep(5 * MIB);
  memory.release();
  expect(budget.takenBytes).toBe(5 * MIB);
  keep();
  expect(budget.takenBytes).toBe(0);
});
