/**
 * Pace: tells a long loop when to let timers, sockets and signals run, and when to stop. Rules: Y1,
 * F63. Asking costs next to nothing, so that a loop may ask at each of a million entries.
 */
import type { Clock } from "../../ports/clock.ts";

/** A stall of this length is not felt. */
const WORK_MS_MAX = 20;
/** At a gigabyte a second this is 8 ms; a simulated clock does not move while it works. */
const WORK_BYTES_MAX = 8 * 1024 * 1024;
/** Between two looks at the clock. */
const STEPS_PER_LOOK = 64;

export interface PaceOptions {
  readonly signal?: AbortSignal;
  /** Called at each rest. */
  readonly onRest?: () => void;
}

export class Pace {
  readonly #clock: Clock;
  readonly #options: PaceOptions;
  #restedAt: number;
  #steps = 0;
  #bytes = 0;

  constructor(clock: Clock, options: PaceOptions = {}) {
    this.#clock = clock;
    this.#options = options;
    this.#restedAt = clock.monotonic();
  }

  /** True once the work is no longer wanted. */
  get isStopped(): boolean {
    return this.#options.signal?.aborted === true;
  }

  /** @returns true when `rest` is due; call it once a step of at most a millisecond or so. */
  step(): boolean {
    if (++this.#steps % STEPS_PER_LOOK !== 0) return false;
    return this.#clock.monotonic() - this.#restedAt >= WORK_MS_MAX;
  }

  /** @returns true when `rest` is due; call it after each block that was read or hashed. */
  block(bytes: number): boolean {
    this.#bytes += bytes;
    if (this.#bytes >= WORK_BYTES_MAX) return true;
    return this.#clock.monotonic() - this.#restedAt >= WORK_MS_MAX;
  }

  async rest(): Promise<void> {
    this.#options.onRest?.();
    await this.#clock.yield();
    this.#restedAt = this.#clock.monotonic();
    this.#bytes = 0;
  }
}
