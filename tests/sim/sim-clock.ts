/**
 * The simulation's time: a queue of things that happen at virtual moments, one at a time, each
 * followed by letting all promises settle. Nothing waits for real time. Rules: I45.
 */
import { drainMicrotasks } from "bun:jsc";
import type { Clock } from "../../src/ports/clock.ts";

interface Due {
  readonly at: number;
  readonly order: number;
  /** Undefined once it is cancelled. */
  run: (() => void) | undefined;
}

/** 2026-01-01: an ordinary date, so that conflict names look ordinary. */
const START_MS = 1_767_225_600_000;
/** Port calls at one moment: hundreds of times what the busiest one makes. */
const CALLS_MAX = 200_000;

export class Scheduler {
  /** Virtual milliseconds since the start; whole, as machines tell them. */
  now = 0;
  steps = 0;
  #calls = 0;
  readonly #heap: Due[] = [];
  #order = 0;

  /** @returns what takes it back: then no step is spent on it. */
  at(delayMs: number, run: () => void): () => void {
    const due: Due = { at: this.now + Math.max(0, Math.ceil(delayMs)), order: this.#order++, run };
    this.#push(due);
    return () => {
      due.run = undefined;
    };
  }

  #push(due: Due): void {
    const heap = this.#heap;
    let index = heap.length;
    heap.push(due);
    while (index > 0) {
      const parent = (index - 1) >> 1;
      const above = heap[parent];
      if (above === undefined || !isBefore(due, above)) break;
      heap[index] = above;
      index = parent;
    }
    heap[index] = due;
  }

  /** Told of every port call. @throws {Error} where somebody works on and on and never waits. */
  called(): void {
    if (++this.#calls > CALLS_MAX) throw new Error("Busy: works on and on and never waits");
  }

  /**
   * Lets all that is not waiting for time run to its next wait. Nothing here waits for the event
   * loop, so no promise is left to settle once the microtasks are through.
   */
  settle(): void {
    this.#calls = 0;
    drainMicrotasks();
  }

  /** @returns false when nothing is due within `untilMs`. */
  step(untilMs: number): boolean {
    for (;;) {
      const due = this.#heap[0];
      if (due === undefined || due.at > untilMs) return false;
      this.#pop();
      if (due.run === undefined) continue;
      this.now = Math.max(this.now, due.at);
      this.steps++;
      due.run();
      this.settle();
      return true;
    }
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let index = 0;
    for (;;) {
      let child = 2 * index + 1;
      const left = heap[child];
      if (left === undefined) break;
      const right = heap[child + 1];
      let smaller = left;
      if (right !== undefined && isBefore(right, left)) {
        child++;
        smaller = right;
      }
      if (!isBefore(smaller, last)) break;
      heap[index] = smaller;
      index = child;
    }
    heap[index] = last;
  }
}

function isBefore(a: Due, b: Due): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}

/**
 * One machine's view of the time. Killed with its process: then nothing sleeps any more, it just
 * stops.
 */
export class SimClock implements Clock {
  /** Wall clock error; people and NTP move it. */
  skewMs = 0;
  readonly #scheduler: Scheduler;
  #dead = false;

  constructor(scheduler: Scheduler, skewMs = 0) {
    this.#scheduler = scheduler;
    this.skewMs = skewMs;
  }

  kill(): void {
    this.#dead = true;
  }

  now(): number {
    return START_MS + this.#scheduler.now + this.skewMs;
  }

  monotonic(): number {
    return this.#scheduler.now;
  }

  sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      if (signal?.aborted === true) {
        this.#wake(resolve);
        return;
      }
      const finish = () => {
        cancel();
        signal?.removeEventListener("abort", finish);
        this.#wake(resolve);
      };
      signal?.addEventListener("abort", finish);
      const cancel = this.#scheduler.at(delayMs, finish);
    });
  }

  yield(): Promise<void> {
    return this.sleep(0);
  }

  #wake(resolve: () => void): void {
    if (!this.#dead) resolve();
  }
}
