/** Whether a server is ready, as a load balancer asks it. Rules: H43. */
import { expect, test } from "bun:test";
import { SyncedError } from "../../src/core/error.ts";
import { READY_KEPT_MS, READY_MS_MAX } from "../../src/core/limits.ts";
import { Readiness } from "../../src/server/readiness.ts";
import { HandClock } from "../http/fixture.ts";

async function isReady(readiness: Readiness): Promise<boolean> {
  try {
    await readiness.check();
    return true;
  } catch (error) {
    if (error instanceof SyncedError && error.code === "temporarily_unavailable") return false;
    throw error;
  }
}

test("it is ready while all that it needs answers, and until it drains [H43]", async () => {
  const clock = new HandClock();
  let isThere = true;
  const probe = () => (isThere ? Promise.resolve() : Promise.reject(new Error("away")));
  const readiness = new Readiness({ clock, probe });
  expect(await isReady(readiness)).toBe(true);
  isThere = false;
  await clock.advance(READY_KEPT_MS + 1);
  expect(await isReady(readiness)).toBe(false);
  isThere = true;
  await clock.advance(READY_KEPT_MS + 1);
  expect(await isReady(readiness)).toBe(true);
  readiness.requireOpen();
  readiness.drain();
  expect(await isReady(readiness)).toBe(false);
  expect(() => readiness.requireOpen()).toThrow("stopping");
});

test("it is not ready when no answer comes, and many who ask are one question [H43]", async () => {
  const clock = new HandClock();
  let asked = 0;
  const readiness = new Readiness({
    clock,
    probe: () => {
      asked += 1;
      return new Promise(() => undefined);
    },
  });
  const answers = Promise.all(Array.from({ length: 20 }, () => isReady(readiness)));
  await clock.advance(READY_MS_MAX);
  expect(new Set(await answers)).toEqual(new Set([false]));
  expect(asked).toBe(1);
});

test("one that needs nothing else is ready [H43]", async () => {
  expect(await isReady(new Readiness({ clock: new HandClock() }))).toBe(true);
});
