/**
 * Gives memory back when nothing has happened for a while. A burst of large transfers leaves
 * garbage that an idle process would keep for good, because nothing needs its space. Rules: I42.
 */

/** Long enough that a busy process never pays for it. */
const IDLE_MS = 3_000;

export interface IdleMemory {
  /** Tells that something happens now. */
  touch(): void;
  close(): void;
}

/** @returns one that does nothing if the runtime has no such call (Deno). */
export function createIdleMemory(): IdleMemory {
  if (typeof Bun === "undefined") return { touch() {}, close() {} };
  let timer: ReturnType<typeof setTimeout> | undefined;
  let touchedAtMs = 0;
  const check = (): void => {
    const leftMs = touchedAtMs + IDLE_MS - performance.now();
    if (leftMs > 0) {
      wait(leftMs);
      return;
    }
    timer = undefined;
    Bun.gc(true);
    Bun.shrink();
  };
  const wait = (delayMs: number): void => {
    timer = setTimeout(check, delayMs);
    timer.unref();
  };
  return {
    touch() {
      touchedAtMs = performance.now();
      if (timer === undefined) wait(IDLE_MS);
    },
    close() {
      clearTimeout(timer);
      timer = undefined;
    },
  };
}
