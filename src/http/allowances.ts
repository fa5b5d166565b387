/**
 * Bounds what one requester starts that lasts: event streams, folders, devices. Rules: H23. It is
 * in this process and bounded itself. Callers in this process have no address and no bound.
 */
import { SyncedError } from "../core/error.ts";
import {
  ALLOWANCE_NAMES_KEPT_MAX,
  ALLOWANCE_WINDOW_MS,
  DEVICES_REPORTED_MAX,
  FOLDERS_MADE_MAX,
  STREAMS_PER_TOKEN_MAX,
} from "../core/limits.ts";
import type { Clock } from "../ports/clock.ts";
import type { TokenId } from "../ports/token-store.ts";
import type { Caller } from "./endpoint.ts";
import { networkOf } from "./refusals.ts";

const KINDS = { folder: FOLDERS_MADE_MAX, device: DEVICES_REPORTED_MAX } as const;

interface Tally {
  readonly sinceMs: number;
  readonly names: Set<string>;
}

export class Allowances {
  readonly #clock: Pick<Clock, "monotonic">;
  readonly #streams = new Map<TokenId, number>();
  /** By kind and requester; the one that began first is first. */
  readonly #tallies = new Map<string, Tally>();
  #nameCount = 0;

  constructor(clock: Pick<Clock, "monotonic">) {
    this.#clock = clock;
  }

  /**
   * A server's own token is everybody's, so only made ones are bounded.
   *
   * @returns a function that ends it, to be called once
   * @throws {SyncedError} `too_many_streams`
   */
  openStream({ token }: Caller): () => void {
    if (token === undefined) return () => undefined;
    const count = this.#streams.get(token) ?? 0;
    if (count >= STREAMS_PER_TOKEN_MAX) {
      throw new SyncedError(
        "too_many_streams",
        `Cannot open another event stream: this token has ${count}`,
      );
    }
    this.#streams.set(token, count + 1);
    return () => {
      const left = (this.#streams.get(token) ?? 1) - 1;
      if (left === 0) this.#streams.delete(token);
      else this.#streams.set(token, left);
    };
  }

  /**
   * Counts something new by its name; the same name again costs nothing.
   *
   * @throws {SyncedError} `rate_limited`
   */
  begin(caller: Caller, kind: keyof typeof KINDS, name: string): void {
    const requester = requesterOf(caller);
    if (requester === undefined) return;
    const key = `${kind} ${requester}`;
    const nowMs = this.#clock.monotonic();
    let tally = this.#tallies.get(key);
    if (tally !== undefined && nowMs - tally.sinceMs >= ALLOWANCE_WINDOW_MS) {
      this.#forget(key, tally);
      tally = undefined;
    }
    if (tally?.names.has(name) === true) return;
    tally ??= { sinceMs: nowMs, names: new Set() };
    if (tally.names.size >= KINDS[kind]) {
      const message = `Cannot begin another ${kind}: ${KINDS[kind]} new ones came from there today`;
      const retryAfterMs = tally.sinceMs + ALLOWANCE_WINDOW_MS - nowMs;
      throw new SyncedError("rate_limited", message, { retryAfterMs });
    }
    this.#tallies.set(key, tally);
    tally.names.add(name);
    this.#nameCount += 1;
    for (const [first, oldest] of this.#tallies) {
      if (this.#nameCount <= ALLOWANCE_NAMES_KEPT_MAX) return;
      this.#forget(first, oldest);
    }
  }

  #forget(key: string, { names }: Tally): void {
    this.#tallies.delete(key);
    this.#nameCount -= names.size;
  }
}

function requesterOf({ token, address }: Caller): string | undefined {
  return token ?? (address === undefined ? undefined : networkOf(address));
}
