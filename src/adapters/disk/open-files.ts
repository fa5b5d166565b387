/** How many files this process may have open at once. Rules: H12. */
import { readdirSync, readFileSync } from "node:fs";
import { SyncedError } from "../../core/error.ts";
import { errorCode } from "./calls.ts";

/** A client or server needs this many beside the files that it works on, and a few for those. */
const OPEN_FILES_MIN = 40;
const OWN_OPEN_FILES = 32;
/** The usual limit of a shell, if the real one cannot be read. */
const OPEN_FILES_USUAL = 1_024;

/** The soft limit of this process. */
export function openFilesMax(): number {
  try {
    const line = /^Max open files +(\d+|unlimited)/m.exec(
      readFileSync("/proc/self/limits", "utf8"),
    );
    if (line?.[1] === undefined) return OPEN_FILES_USUAL;
    return line[1] === "unlimited" ? Number.MAX_SAFE_INTEGER : Number(line[1]);
  } catch (error) {
    // Not Linux, or no permission to read (Deno).
    if (errorCode(error) === "" && !(error instanceof Error)) throw error;
    return OPEN_FILES_USUAL;
  }
}

/** The disk completes so many syncs together. */
const SYNCS_MAX = 64;

/**
 * How many syncs may wait for the disk at once. There are two callers, each with files and
 * directories.
 */
export function openSyncsMax(): number {
  return Math.max(1, Math.min(SYNCS_MAX, Math.floor((openFilesMax() - OWN_OPEN_FILES) / 4)));
}

/** @throws {SyncedError} `usage` if there are too few descriptors to work */
export function requireOpenFiles(): void {
  const max = openFilesMax();
  if (max >= OPEN_FILES_MIN) return;
  const message =
    `Cannot run with at most ${max} open files: ${OPEN_FILES_MIN} are needed, and more are faster; ` +
    "raise the limit (ulimit -n, LimitNOFILE=)";
  throw new SyncedError("usage", message);
}

/** With so few left, no more connections are accepted; with so many, they are accepted again. */
const SPARE_MIN = 6;
const SPARE_ENOUGH = 12;
const LOOK_INTERVAL_MS = 250;
/** With a higher limit, connections reach a bound of their own long before. */
const SCARCE_MAX = 4_096;

/**
 * Reports when descriptors run out, and when there are enough again. Costs nothing if the limit is
 * high.
 */
export function watchOpenFiles(heard: { scarce(): void; plenty(): void }): { close(): void } {
  const max = openFilesMax();
  if (max > SCARCE_MAX) return { close: () => {} };
  let isScarce = false;
  const look = () => {
    const spare = max - openFilesNow(max);
    if (!isScarce && spare < SPARE_MIN) {
      heard.scarce();
      // If nobody accepts connections, only this timer keeps the process alive.
      timer.ref();
    } else if (isScarce && spare >= SPARE_ENOUGH) {
      heard.plenty();
      timer.unref();
    } else return;
    isScarce = !isScarce;
  };
  const timer = setInterval(look, LOOK_INTERVAL_MS);
  timer.unref();
  return { close: () => clearInterval(timer) };
}

/** @returns the limit itself if there is no descriptor left even to count them. */
function openFilesNow(max: number): number {
  try {
    return readdirSync("/proc/self/fd").length;
  } catch (error) {
    return errorCode(error) === "EMFILE" ? max : 0;
  }
}
