/**
 * Readiness: whether requests should come to this server: not while it drains, nor while what it
 * needs does not answer. Rules: H43.
 */
import { SyncedError } from "../core/error.ts";
import { READY_KEPT_MS, READY_MS_MAX } from "../core/limits.ts";
import type { Clock } from "../ports/clock.ts";

export interface ReadinessParts {
  readonly clock: Clock;
  /** Asks what the server needs for an answer. @default it needs nothing */
  readonly probe?: (() => Promise<void>) | undefined;
}

export class Readiness {
  readonly #parts: ReadinessParts;
  readonly #draining = new AbortController();
  /** The last look, or the one under way; anybody may ask, and as often as he likes. */
  #look: { readonly sinceMs: number; readonly isReady: Promise<boolean> } | undefined;

  constructor(parts: ReadinessParts) {
    this.#parts = parts;
  }

  /** Aborts when the server begins to drain. */
  get draining(): AbortSignal {
    return this.#draining.signal;
  }

  /** From now on those who can go elsewhere should. */
  drain(): void {
    this.#draining.abort();
  }

  /** @throws {SyncedError} `temporarily_unavailable` while the server drains */
  requireOpen(): void {
    if (!this.draining.aborted) return;
    throw new SyncedError("temporarily_unavailable", "The server is stopping");
  }

  /** @throws {SyncedError} `temporarily_unavailable` */
  async check(): Promise<void> {
    this.requireOpen();
    const now = this.#parts.clock.monotonic();
    if (this.#look === undefined || now - this.#look.sinceMs > READY_KEPT_MS) {
      this.#look = { sinceMs: now, isReady: this.#isReady() };
    }
    if (await this.#look.isReady) return;
    const message = "Cannot serve now: the metadata or the objects do not answer";
    throw new SyncedError("temporarily_unavailable", message);
  }

  async #isReady(): Promise<boolean> {
    const { clock, probe } = this.#parts;
    if (probe === undefined) return true;
    const answered = new AbortController();
    const late = clock.sleep(READY_MS_MAX, answered.signal).then(() => false);
    const isReady = probe().then(
      () => true,
      () => false,
    );
    try {
      return await Promise.race([isReady, late]);
    } finally {
      answered.abort();
    }
  }
}
