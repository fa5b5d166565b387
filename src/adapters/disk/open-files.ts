/** How many files this process may have open at once. Rules: H12. */
import { readdirSync, readFileSync } from "node:fs";
import { SyncedError } from "../../core/error.ts";
import { errorCode } from "./calls.ts";

/** What a client or a server has open beside the files that it works on, and a few of those. */
const OPEN_FILES_MIN = 40;
const OWN_OPEN_FILES = 32;
/** Where nobody tells: the usual limit of a shell. */
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
    // No Linux, or no permission to look (Deno).
    if (errorCode(error) === "" && !(error instanceof Error)) throw error;
    return OPEN_FILES_USUAL;
  }
}

/** How many may wait for the disk at once: two callers, each of files and of directories. */
export function openSyncsMax(max: number): number {
  return Math.max(1, Math.min(max, Math.floor((openFilesMax() - OWN_OPEN_FILES) / 4)));
}

/** @throws {SyncedError} `usage` where nothing could be done for lack of descriptors */
export function requireOpenFiles(): void {
  const max = openFilesMax();
  if (max >= OPEN_FILES_MIN) return;
  const message =
    `Cannot run with at most ${max} open files: ${OPEN_FILES_MIN} are needed, and more are faster; ` +
    "raise the limit (ulimit -n, LimitNOFILE=)";
  throw new SyncedError("usage", message);
}

/** So few are left that no connection more is taken, and so many that they are taken again. */
const SPARE_MIN = 6;
const SPARE_ENOUGH = 12;
const LOOK_INTERVAL_MS = 250;
/** Above it, connections have a bound of their own long before. */
const SCARCE_MAX = 4_096;

/**
 * Tells when descriptors run out, and when there are some again. Costs nothing where there are
 * plenty.
 */
export function watchOpenFiles(heard: { scarce(): void; plenty(): void }): { close(): void } {
  const max = openFilesMax();
  if (max > SCARCE_MAX) return { close: () => {} };
  let isScarce = false;
  const look = () => {
    const spare = max - openFilesNow(max);
    if (!isScarce && spare < SPARE_MIN) {
      heard.scarce();
      // Nothing else may keep the process while nobody listens.
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

/** @returns all of them where not even a look at them is possible. */
function openFilesNow(max: number): number {
  try {
    return readdirSync("/proc/self/fd").length;
  } catch (error) {
    return errorCode(error) === "EMFILE" ? max : 0;
  }
}
