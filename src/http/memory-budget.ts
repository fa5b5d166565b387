/**
 * Bounds the memory that all requests and answers under way hold together. Rules: H21, I42. Whoever
 * needs much takes it before it is used, waits a moment if there is too little, and is then told to
 * come again. What needs little is not counted: the number of connections bounds it.
 */
import { SyncedError } from "../core/error.ts";
import {
  MEMORY_BYTES_MAX,
  MEMORY_RESERVE_BYTES,
  MEMORY_WAIT_MS_MAX,
  MEMORY_WAITERS_MAX,
} from "../core/limits.ts";
import type { Clock } from "../ports/clock.ts";

/** Not counted. */
const LITTLE_BYTES = 4 * 1024;
/** Up to this size the reserve is used too, so that small requests pass between large ones. */
const SMALL_BYTES = 1024 * 1024;

/** Gives back what was taken. Idempotent. */
export type Release = () => void;

interface Waiter {
  readonly bytes: number;
  readonly grant: () => void;
  readonly giveUp: () => void;
}

export class MemoryBudget {
  readonly #clock: Clock;
  readonly #waiters = new Set<Waiter>();
  #takenBytes = 0;

  /** @param stopping aborts when the server stops, and nobody is to wait any more */
  constructor(clock: Clock, stopping: AbortSignal) {
    this.#clock = clock;
    stopping.addEventListener("abort", () => {
      for (const waiter of this.#waiters) waiter.giveUp();
    });
  }

  /** True while slow senders and readers cost others their turn. */
  get isScarce(): boolean {
    return this.#waiters.size > 0 || this.#takenBytes > MEMORY_BYTES_MAX / 2;
  }

  get takenBytes(): number {
    return this.#takenBytes;
  }

  /** @throws {SyncedError} `temporarily_unavailable` if there is too little for too long */
  async take(bytes: number): Promise<Release> {
    return this.takeNow(bytes) ?? (await this.#wait(bytes));
  }

  /** @returns undefined if there is too little */
  takeNow(bytes: number): Release | undefined {
    if (bytes <= LITTLE_BYTES) return () => undefined;
    if (!this.#fits(bytes)) return undefined;
    this.#takenBytes += bytes;
    let isHeld = true;
    return () => {
      if (!isHeld) return;
      isHeld = false;
      this.#takenBytes -= bytes;
      for (const waiter of this.#waiters) if (this.#fits(waiter.bytes)) waiter.grant();
    };
  }

  /** Whoever needs more than there is at all gets it when nobody else has anything. */
  #fits(bytes: number): boolean {
    const max = bytes <= SMALL_BYTES ? MEMORY_BYTES_MAX : MEMORY_BYTES_MAX - MEMORY_RESERVE_BYTES;
    return this.#takenBytes + bytes <= max || this.#takenBytes === 0;
  }

  async #wait(bytes: number): Promise<Release> {
    if (this.#waiters.size >= MEMORY_WAITERS_MAX) throw later();
    const over = new AbortController();
    let release: Release | undefined;
    const waiter = {
      bytes,
      grant: () => {
        release = this.takeNow(bytes);
        if (release === undefined) return;
        this.#waiters.delete(waiter);
        over.abort();
      },
      giveUp: () => over.abort(),
    };
    this.#waiters.add(waiter);
    await this.#clock.sleep(MEMORY_WAIT_MS_MAX, over.signal);
    this.#waiters.delete(waiter);
    if (release === undefined) throw later();
    return release;
  }
}

function later(): SyncedError {
  const message = "Cannot answer now: requests under way hold all memory that they may";
  return new SyncedError("temporarily_unavailable", message);
}

/** The share of one call. */
export class CallMemory {
  readonly #budget: MemoryBudget;
  readonly #held: Release[] = [];

  constructor(budget: MemoryBudget) {
    this.#budget = budget;
  }

  get isScarce(): boolean {
    return this.#budget.isScarce;
  }

  /**
   * Takes memory until the handler has made its answer.
   *
   * @throws {SyncedError} `temporarily_unavailable`
   */
  async hold(bytes: number): Promise<void> {
    this.#held.push(await this.#budget.take(bytes));
  }

  /**
   * Takes memory for an answer that is still being sent when the handler is done.
   *
   * @throws {SyncedError} `temporarily_unavailable`
   */
  async keep(bytes: number): Promise<Release> {
    return await this.#budget.take(bytes);
  }

  /** As `keep`, without waiting. @returns undefined if there is too little */
  keepNow(bytes: number): Release | undefined {
    return this.#budget.takeNow(bytes);
  }

  /** As `keep`, without waiting. @throws {SyncedError} `temporarily_unavailable` */
  keepAtOnce(bytes: number): Release {
    const release = this.keepNow(bytes);
    if (release === undefined) throw later();
    return release;
  }

  /** Gives back all that `hold` took. */
  release(): void {
    for (const release of this.#held.splice(0)) release();
  }
}
