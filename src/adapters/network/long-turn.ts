/**
 * Notices a turn of the event loop that does not end for requests. Bun accepts connections and
 * answers them for as long as more of them come, and lets nothing else run meanwhile: no timer, no
 * signal, nobody who is connected already (Bun 1.4.5; 16 s with a connection every 2 ms and 5 ms
 * for each answer). Closing the socket that they come to ends it. Rules: H20, H25.
 */

/** Short enough that SIGTERM is heard in time, and longer than any burst that a server keeps up with. */
const TURN_MS_MAX = 500;
/** So many may come at once, from all devices of a server, and none is to be refused. */
const REQUESTS_MIN = 250;
/** After a restart all devices open theirs at once, a thousand at most. */
const STREAM_WEIGHT = 0.25;

export class LongTurn {
  #sinceMs = 0;
  #requestCount = 0;

  /** Called for each request. @returns true once this turn has lasted too long, and each time anew */
  hear(isStream: boolean): boolean {
    const nowMs = performance.now();
    if (this.#requestCount === 0) {
      this.#sinceMs = nowMs;
      // Runs when the turn is over.
      setImmediate(() => {
        this.#requestCount = 0;
      });
    }
    this.#requestCount += isStream ? STREAM_WEIGHT : 1;
    if (this.#requestCount <= REQUESTS_MIN || nowMs - this.#sinceMs <= TURN_MS_MAX) return false;
    this.#sinceMs = nowMs;
    return true;
  }
}
