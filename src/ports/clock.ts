/** Time, as the engine may know it. */
export interface Clock {
  /** Milliseconds since 1970. May jump; decides nothing but names and the racy rule. */
  now(): number;
  /** Milliseconds that never go back. */
  monotonic(): number;
  /** Resolves after `delayMs`, or at once (without throwing) when `signal` aborts. */
  sleep(delayMs: number, signal?: AbortSignal): Promise<void>;
  /** Lets timers, sockets and signals run; long loops call it every 20 ms or so. */
  yield(): Promise<void>;
}
