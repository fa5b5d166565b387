/** The runtime's clock and timers. */
import { setImmediate } from "node:timers";
import type { Clock } from "../../ports/clock.ts";

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  sleep(delayMs, signal) {
    return new Promise((resolve) => {
      if (signal?.aborted === true) return resolve();
      const end = () => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", end);
        resolve();
      };
      const timer = setTimeout(end, delayMs);
      signal?.addEventListener("abort", end, { once: true });
    });
  },
  // Not a resolved promise, because only the event loop's next turn lets sockets and signals run.
  yield: () => new Promise((resolve) => setImmediate(resolve)),
};
