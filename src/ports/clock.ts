/** The only source of time for the engine. */
export interface Clock {
  /** Milliseconds since 1970. May jump, so it decides only names and the racy rule. */
  now(): number;
  /** Milliseconds; never goes back. */
  monotonic(): number;
  /** Resolves after `delayMs`, or at once (without throwing) when `signal` aborts. */
  sleep(delayMs: number, signal?: AbortSignal): Promise<void>;
  /** Lets timers, sockets and signals run. Long loops call it every 20 ms or so. */
  yield(): Promise<void>;
}

/** So long may a loop keep everything else waiting. */
const TURN_MS_MAX = 10;

/** @returns a function that a long loop calls at each step. It yields when a turn has lasted. */
export function turnsOf(clock: Clock): () => Promise<void> | undefined {
  let sinceMs = clock.monotonic();
  return () => {
    if (clock.monotonic() - sinceMs < TURN_MS_MAX) return undefined;
    return clock.yield().then(() => {
      sinceMs = clock.monotonic();
    });
  };
}
