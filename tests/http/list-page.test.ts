/** Pages that are read in steps, and sent as memory allows. */
import { beforeEach, expect, test } from "bun:test";
import { MEMORY_BYTES_MAX, PAGE_BYTES_MAX } from "../../src/core/limits.ts";
import { answerInTurn, type ListReader, listAnswer, readPage } from "../../src/http/list-page.ts";
import { CallMemory, MemoryBudget } from "../../src/http/memory-budget.ts";
import { Turns } from "../../src/http/turns.ts";
import { failureOf } from "../failure.ts";
import { HandClock } from "./fixture.ts";

const MIB = 1024 * 1024;

let clock: HandClock;
let budget: MemoryBudget;
beforeEach(() => {
  clock = new HandClock();
  budget = new MemoryBudget(clock, new AbortController().signal);
});

/** Numbers from 1, each with a filling; a page may end with every tenth. */
function reader(count: number, filling: string, steps: number[] = []): ListReader<number, object> {
  return {
    async read(last, wanted) {
      const first = (last ?? 0) + 1;
      const length = Math.min(wanted, count - first + 1);
      steps.push(length);
      const items = Array.from({ length }, (_, index) => first + index);
      return { head: { count }, items, isEnd: first + length > count };
    },
    shown: (item) => `${item} ${filling}`,
    mayEnd: (item) => item % 10 === 0,
  };
}

function page(limit: number, count: number, filling = "", steps?: number[]) {
  const bounds = { limit, turns: new Turns(clock, 1), memory: new CallMemory(budget) };
  return readPage(reader(count, filling, steps), bounds);
}

function answerOf(list: Awaited<ReturnType<typeof page>>): Response {
  const options = { onError: () => undefined, clock, memory: new CallMemory(budget) };
  return listAnswer({ ...list, name: "items" }, { next: list.last }, options);
}

test("a page has as many items as asked for, and goes on to where it may end [H4, H5]", async () => {
  expect((await page(10, 100)).last).toBe(10);
  expect((await page(11, 100)).last).toBe(20);
  expect(await page(1000, 95)).toMatchObject({ last: 95, isEnd: true });
  expect(await page(1000, 0)).toMatchObject({ last: undefined, isEnd: true, texts: [] });
});

test("it ends early where its items are long, and reads few at once then [H4, H22]", async () => {
  const steps: number[] = [];
  const list = await page(5000, 5000, "x".repeat(64 * 1024), steps);
  expect(list.texts.length).toBe(70);
  expect(list.texts.join("").length).toBeLessThan(PAGE_BYTES_MAX + MIB);
  expect(Math.max(...steps.slice(1))).toBeLessThanOrEqual(2);
});

test("short items are read by hundreds [H22]", async () => {
  const steps: number[] = [];
  await page(5000, 5000, "", steps);
  expect(steps.slice(0, 3)).toEqual([32, 500, 500]);
});

test("its memory, each text twice, is taken until it is sent [H21]", async () => {
  const list = await page(5000, 5000, "x".repeat(1000));
  expect(budget.takenBytes).toBe(9 * MIB);
  const { items, next } = (await answerOf(list).json()) as { items: string[]; next: number };
  expect(items).toHaveLength(list.texts.length);
  expect(next).toBe(list.last ?? 0);
  expect(budget.takenBytes).toBe(0);
});

test("a short page is sent at once and takes none [H21]", async () => {
  const answer = answerOf(await page(10, 100));
  expect(budget.takenBytes).toBe(0);
  expect(await answer.json()).toMatchObject({ next: 10 });
});

test("where memory is short, pages are short [H21]", async () => {
  const release = await budget.take(MEMORY_BYTES_MAX - MIB);
  const list = await page(5000, 5000, "x".repeat(1000));
  expect(list.isEnd).toBe(false);
  const length = list.texts.join("").length;
  expect(length).toBeGreaterThan(0.5 * MIB);
  expect(length).toBeLessThan(0.6 * MIB);
  release();
});

test("one that nobody reads gives its memory back, and so does one that fails [H21]", async () => {
  answerOf(await page(5000, 5000, "x".repeat(1000)));
  for (let ms = 0; ms < 60_000; ms += 5_000) await clock.advance(5_000);
  expect(budget.takenBytes).toBe(0);
  const failing = { ...reader(100, ""), read: () => Promise.reject(new Error("lost")) };
  const bounds = { limit: 10, turns: new Turns(clock, 1), memory: new CallMemory(budget) };
  expect(String(await failureOf(readPage(failing, bounds)))).toContain("lost");
  expect(budget.takenBytes).toBe(0);
});

test("others have their turn between two steps [H22]", async () => {
  const turns = new Turns(clock, 1);
  const order: string[] = [];
  const read = (name: string) => async () => {
    for (let step = 0; step < 3; step++) await turns.take(async () => order.push(name));
  };
  await Promise.all([read("a")(), read("b")()]);
  expect(order).toEqual(["a", "b", "a", "b", "a", "b"]);
});

test("answers that are made at once wait their turn, and hold memory until they are read [H21, H22]", async () => {
  const turns = new Turns(clock, 1);
  let [making, makingMax] = [0, 0];
  const ask = (length: number) => {
    const options = { onError: () => undefined, clock, memory: new CallMemory(budget), turns };
    return answerInTurn(async () => {
      makingMax = Math.max(makingMax, ++making);
      await clock.yield();
      making -= 1;
      return `\u{1f600}x${"y".repeat(length)}`;
    }, options);
  };
  // 16 MiB of text take 32 MiB, and the reserve is not for them.
  const asked = Array.from({ length: 5 }, () => ask(16 * MIB - 100));
  const settled = await Promise.allSettled(asked);
  expect(makingMax).toBe(1);
  expect(settled.map(({ status }) => status)).toEqual([
    "fulfilled",
    "fulfilled",
    "fulfilled",
    "rejected",
    "rejected",
  ]);
  expect(settled[3]).toMatchObject({ reason: { code: "temporarily_unavailable" } });
  // What is small needs none.
  expect((await (await ask(10)).text()).length).toBe(15);
  for (const one of settled) {
    if (one.status === "fulfilled") expect(await one.value.json()).toStartWith("\u{1f600}xy");
  }
  expect(budget.takenBytes).toBe(0);
});
