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
