/** Bodies from iterables, read by somebody who may go away. Rules: H6. */
import { expect, test } from "bun:test";
import { streamOf } from "../../src/http/answer.ts";

/** Gives an item when it is let go, and tells whether it was ended. */
class Source {
  readonly #gate = Promise.withResolvers<void>();
  readonly #asked = Promise.withResolvers<void>();
  /** Resolves when somebody waits for an item. */
  readonly asked = this.#asked.promise;
  isEnded = false;
  errors: unknown[] = [];

  release(): void {
    this.#gate.resolve();
  }

  stream(trouble?: Error): ReadableStream<Uint8Array> {
    return streamOf(this.#items(trouble), (error) => this.errors.push(error));
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
    else await expect(read).rejects.toThrow("damaged");
    expect(source.errors).toEqual([trouble]);
  }
});
