/** Bodies from iterables, read by somebody who may go away. Rules: H6, H21. */
import { expect, test } from "bun:test";
import { MEMORY_BYTES_MAX } from "../../src/core/limits.ts";
import { streamOf } from "../../src/http/answer.ts";
import { CallMemory, MemoryBudget } from "../../src/http/memory-budget.ts";
import { failureOf } from "../failure.ts";
import { HandClock } from "./fixture.ts";

/** Gives an item when it is let go, and tells whether it was ended. */
class Source {
  readonly #gate = Promise.withResolvers<void>();
  readonly #asked = Promise.withResolvers<void>();
  /** Resolves when somebody waits for an item. */
  readonly asked = this.#asked.promise;
  isEnded = false;
  endCount = 0;
  errors: unknown[] = [];
  readonly clock = new HandClock();
  readonly budget = new MemoryBudget(this.clock, new AbortController().signal);

  release(): void {
    this.#gate.resolve();
  }

  stream(trouble?: Error): ReadableStream<Uint8Array> {
    return streamOf(this.#items(trouble), {
      onError: (error) => this.errors.push(error),
      onEnd: () => {
        this.endCount += 1;
      },
      clock: this.clock,
      memory: new CallMemory(this.budget),
    });
  }

  async *#items(trouble: Error | undefined): AsyncGenerator<Uint8Array, void, undefined> {
    try {
      this.#asked.resolve();
      await this.#gate.promise;
      if (trouble !== undefined) throw trouble;
      yield new Uint8Array(8);
      yield new Uint8Array(8);
    } finally {
      this.isEnded = true;
    }
  }
}

test("a reader that goes away while an item is read is no error, and ends the source [H6]", async () => {
  const source = new Source();
  const reader = source.stream().getReader();
  const read = reader.read();
  await source.asked;
  const cancelled = reader.cancel();
  source.release();
  expect(await read).toEqual({ done: true, value: undefined });
  await cancelled;
  expect(source.errors).toEqual([]);
  expect(source.isEnded).toBe(true);
  expect(source.endCount).toBe(1);
});

test.each([
  ["a minute", 0, 60_000],
  ["five seconds while memory is scarce", MEMORY_BYTES_MAX * 0.6, 5_000],
])("a reader that takes nothing for %s is left [H21]", async (_name, takenBytes, patienceMs) => {
  const source = new Source();
  const release = await source.budget.take(takenBytes);
  source.release();
  const reader = source.stream().getReader();
  await reader.read();
  for (let ms = 0; ms < patienceMs - 5_000; ms += 5_000) await source.clock.advance(5_000);
  expect(source.endCount).toBe(0);
  await source.clock.advance(5_000);
  expect(source.endCount).toBe(1);
  expect(await failureOf(reader.read())).toMatchObject({ code: "request_timeout" });
  expect(source.isEnded).toBe(true);
  expect(source.errors).toEqual([]);
  release();
});

test("a reader that never begins to read is left, too [H21]", async () => {
  const source = new Source();
  source.stream();
  for (let ms = 0; ms < 60_000; ms += 5_000) await source.clock.advance(5_000);
  expect(source.endCount).toBe(1);
});

test("trouble of the source is told, also when nobody reads any more [H6]", async () => {
  for (const leaves of [false, true]) {
    const source = new Source();
    const trouble = new Error("damaged");
    const reader = source.stream(trouble).getReader();
    const read = reader.read();
    await source.asked;
    const cancelled = leaves ? reader.cancel() : undefined;
    source.release();
    if (leaves) await Promise.all([read, cancelled]);
    else expect(String(await failureOf(read))).toContain("damaged");
    expect(source.errors).toEqual([trouble]);
  }
});
