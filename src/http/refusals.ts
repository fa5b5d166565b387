/**
 * Counts wrong tokens by address, slows whoever guesses, and tells a person. Rules: K8, B45. It is
 * in this process and bounded, so that no store can fail it open.
 */
import { SyncedError } from "../core/error.ts";
import {
  REFUSED_ADDRESSES_MAX,
  REFUSED_TOKENS_MAX,
  REFUSED_TOKENS_WINDOW_MS,
} from "../core/limits.ts";
import type { Clock } from "../ports/clock.ts";
import type { RouterOptions } from "./endpoint.ts";

interface Tally {
  readonly sinceMs: number;
  count: number;
  told: number;
}

export class Refusals {
  readonly #clock: Pick<Clock, "monotonic">;
  readonly #tell: NonNullable<RouterOptions["onRefusal"]>;
  readonly #tallies = new Map<string, Tally>();
  #toldCount = 0;
  #toldSinceMs = 0;

  constructor({ clock, onRefusal }: Pick<RouterOptions, "clock" | "onRefusal">) {
    this.#clock = clock;
    this.#tell = onRefusal ?? (() => undefined);
  }

  /**
   * Callers in this process have no address, and are not counted.
   *
   * @throws {SyncedError} `rate_limited` if too many wrong tokens came from there lately
   */
  check(address: string | undefined): void {
    if (address === undefined) return;
    const tally = this.#current(networkOf(address));
    if (tally === undefined || tally.count < REFUSED_TOKENS_MAX) return;
    const retryAfterMs = tally.sinceMs + REFUSED_TOKENS_WINDOW_MS - this.#clock.monotonic();
    throw new SyncedError("rate_limited", "Cannot answer: too many wrong tokens came from there", {
      retryAfterMs,
    });
  }

  /** A wrong token came from there. */
  count(address: string | undefined): void {
    if (address === undefined) return;
    const key = networkOf(address);
    const tally = this.#current(key) ?? { sinceMs: this.#clock.monotonic(), count: 0, told: 0 };
    tally.count += 1;
    // Put last, so that the first is the one that was silent for longest.
    this.#tallies.delete(key);
    this.#tallies.set(key, tally);
    if (this.#tallies.size > REFUSED_ADDRESSES_MAX) {
      for (const oldest of this.#tallies.keys()) {
        this.#tallies.delete(oldest);
        break;
      }
    }
    // The first, and each time that there are ten times as many.
    if (tally.count < 10 * tally.told || !this.#mayTell()) return;
    this.#tell({ address, count: tally.count - tally.told });
    tally.told = tally.count;
  }

  #current(key: string): Tally | undefined {
    const tally = this.#tallies.get(key);
    const isOver =
      tally !== undefined && this.#clock.monotonic() - tally.sinceMs >= REFUSED_TOKENS_WINDOW_MS;
    return isOver ? undefined : tally;
  }

  /** A flood from many addresses must not fill a disk with its own lines. */
  #mayTell(): boolean {
    const nowMs = this.#clock.monotonic();
    if (nowMs - this.#toldSinceMs >= REFUSED_TOKENS_WINDOW_MS) {
      this.#toldSinceMs = nowMs;
      this.#toldCount = 0;
    }
    this.#toldCount += 1;
    return this.#toldCount <= REFUSED_TOKENS_MAX;
  }
}

/** An IPv6 network of 64 bits is one household. */
export function networkOf(address: string): string {
  const plain = address.replace(/^::ffff:/i, "");
  return plain.includes(":") ? plain.split(":").slice(0, 4).join(":") : plain;
}
