/**
 * Gives memory back when nothing has happened for a while. A burst of large transfers leaves
 * garbage that an idle process would keep for good, because nothing needs its space. Rules: I42.
 *
 * It does so amid work, too, where memory grows fast: freed memory stays with the process for a
 * second (`commands/allocator.ts`), and bodies that come with 800 MB/s took 1 GB in that time.
 */
import process from "node:process";

/** Long enough that a busy process never pays for it. */
const IDLE_MS = 3_000;
/** Amid work, after so much growth. */
const GROWTH_BYTES = 64 * 1024 * 1024;
const LOOK_MS = 100;
/** A collection takes 12 to 18 ms, or more where much is in use: a twentieth of the time at most. */
const PAUSE_FACTOR = 20;

interface IdleMemory {
  /** Tells that something happens now. */
  touch(): void;
}

/**
 * One for the process, because its memory is one: each of a hundred copies (`--mirror`) would
 * collect all of it again, in the same turn. Does nothing if the runtime has no such call (Deno).
 */
export const idleMemory = createIdleMemory();

function createIdleMemory(): IdleMemory {
  if (typeof Bun === "undefined") return { touch() {} };
  let timer: ReturnType<typeof setTimeout> | undefined;
  let touchedAtMs = 0;
  let lookAtMs = 0;
  let leastBytes = Number.POSITIVE_INFINITY;
  const look = (): void => {
    const bytes = process.memoryUsage.rss();
    leastBytes = Math.min(leastBytes, bytes);
    lookAtMs = touchedAtMs + LOOK_MS;
    if (bytes - leastBytes < GROWTH_BYTES) return;
    Bun.gc(true);
    leastBytes = process.memoryUsage.rss();
    const tookMs = performance.now() - touchedAtMs;
    lookAtMs = touchedAtMs + Math.max(LOOK_MS, PAUSE_FACTOR * tookMs);
  };
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
      if (touchedAtMs >= lookAtMs) look();
      if (timer === undefined) wait(IDLE_MS);
    },
  };
}
