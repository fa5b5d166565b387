/**
 * Pace: tells a long loop when to let timers, sockets and signals run, and when to stop. Asking
 * costs next to nothing, so a loop may ask at each of a million entries. Rules: Y1, F63.
 */
import type { Clock } from "../../ports/clock.ts";

/** A person does not feel a stall of this length. */
const WORK_MS_MAX = 20;
/**
 * At a gigabyte a second this takes 8 ms. It is needed because a simulated clock stands still
 * meanwhile.
 */
const WORK_BYTES_MAX = 8 * 1024 * 1024;
/** Steps between two looks at the clock. */
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

  /** True when the work is no longer wanted. */
  get isStopped(): boolean {
    return this.#options.signal?.aborted === true;
  }

  /** @returns true if `rest` is due. Call it once for each step of at most a millisecond or so. */
  step(): boolean {
    if (++this.#steps % STEPS_PER_LOOK !== 0) return false;
    return this.#clock.monotonic() - this.#restedAt >= WORK_MS_MAX;
  }

  /** @returns true if `rest` is due. Call it after each block that was read or hashed. */
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
