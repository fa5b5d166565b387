/**
 * Makes long commands keep the memory that they free for a moment, since they soon need it again.
 * The runtime's allocator gives it back to the system within 100 ms, and each page that returns is
 * cleared and mapped anew: a third of the processor time of a first sync. An idle process gives its
 * memory back all the same (`adapters/runtime/idle-memory.ts`).
 */
import process from "node:process";

/** Read by the allocator before any code runs, so that the process has to begin again with them. */
const SETTINGS: Readonly<Record<string, string>> = {
  /** In milliseconds, for whole pages. */
  MIMALLOC_PURGE_DELAY: "1000",
  /** Free parts of pages that are in use elsewhere stay. */
  MIMALLOC_PURGE_HOLES: "0",
};

/** Where the modules of a compiled binary lie. */
const COMPILED = "/$bunfs/";

/**
 * Replaces the process by itself, same id and arguments, unless the environment has a setting
 * already. Does nothing from source and where the system has no such call.
 */
export function beginWithRoomyAllocator(): void {
  const [runtime, main, ...args] = process.argv;
  if (runtime === undefined || main?.startsWith(COMPILED) !== true) return;
  if (process.platform !== "linux" || process.execve === undefined) return;
  if (Object.keys(SETTINGS).some((name) => process.env[name] !== undefined)) return;
  try {
    process.execve(process.execPath, [process.execPath, ...args], { ...process.env, ...SETTINGS });
  } catch {
    // The binary was replaced or may not be read: this process does the work, with more processor
    // time.
  }
}
