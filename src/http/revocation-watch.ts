/**
 * Ends event streams when their tokens are revoked or expire. Rules: K4. One look every two seconds
 * serves all streams of a token; without streams there is none.
 */
import { SyncedError } from "../core/error.ts";
import { TOKEN_CHECK_INTERVAL_MS } from "../core/limits.ts";
import type { TokenId } from "../ports/token-store.ts";
import type { Caller, RouterOptions } from "./endpoint.ts";

export class RevocationWatch {
  readonly #options: Pick<RouterOptions, "tokens" | "clock" | "signal">;
  readonly #ends = new Map<TokenId, Set<() => void>>();
  #isLooking = false;

  constructor(options: Pick<RouterOptions, "tokens" | "clock" | "signal">) {
    this.#options = options;
  }

  /**
   * @param end called at most once, soon after the caller's token is no longer good
   * @returns a function that ends the watch. Idempotent.
   */
  watch({ token }: Caller, end: () => void): () => void {
    if (token === undefined) return () => undefined;
    const ends = this.#ends.get(token) ?? new Set();
    ends.add(end);
    this.#ends.set(token, ends);
    if (!this.#isLooking) void this.#look();
    return () => {
      ends.delete(end);
      if (ends.size === 0 && this.#ends.get(token) === ends) this.#ends.delete(token);
    };
  }

  async #look(): Promise<void> {
    const { clock, signal } = this.#options;
    this.#isLooking = true;
    while (this.#ends.size > 0 && !signal.aborted) {
      await clock.sleep(TOKEN_CHECK_INTERVAL_MS, signal);
      for (const [token, ends] of [...this.#ends]) {
        if (this.#isGood(token)) continue;
        this.#ends.delete(token);
        for (const end of ends) end();
      }
    }
    this.#isLooking = false;
  }

  /** A store that cannot be read vouches for nobody. */
  #isGood(token: TokenId): boolean {
    try {
      this.#options.tokens?.confirm(token);
      return true;
    } catch (error) {
      if (error instanceof SyncedError) return false;
      throw error;
    }
  }
}
