/**
 * Turns at work that keeps the processor busy: reading and encoding pages and streams. Rules: H22.
 * Other requests come in between two turns.
 */
import type { Clock } from "../ports/clock.ts";

export class Turns {
  readonly #clock: Clock;
  readonly #waiting: (() => void)[] = [];
  #freeCount: number;

  /** @param max so many have a turn at the same time, because some wait for the disk in theirs */
  constructor(clock: Clock, max: number) {
    this.#clock = clock;
    this.#freeCount = max;
  }

  /** Takes a turn of some milliseconds, when those who came before had theirs. */
  async take<Result>(work: () => Promise<Result>): Promise<Result> {
    if (this.#freeCount > 0) this.#freeCount -= 1;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      return await work();
    } finally {
      void this.#passOn();
    }
  }

  /** Only in the next turn of the event loop, or a hundred pages could follow each other in one. */
  async #passOn(): Promise<void> {
    await this.#clock.yield();
    const next = this.#waiting.shift();
    if (next === undefined) this.#freeCount += 1;
    else next();
  }
}
