/** Waking: a sleep that hints, events and signals can end early. Rules: Y1, Y2. */
import type { Clock } from "../ports/clock.ts";

export class Waking {
  readonly #clock: Clock;
  #alarm = new AbortController();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Ends the sleep; if there is none, the next one ends at once. */
  wake(): void {
    this.#alarm.abort();
  }

  /** @param atMs Clock.monotonic */
  async sleepUntil(atMs: number, signal: AbortSignal): Promise<void> {
    const delayMs = atMs - this.#clock.monotonic();
    if (delayMs > 0 && !signal.aborted && !this.#alarm.signal.aborted) {
      await this.#clock.sleep(delayMs, this.#alarm.signal);
    } else {
      await this.#clock.yield();
    }
    if (this.#alarm.signal.aborted) this.#alarm = new AbortController();
  }
}
