/** Tells a full disk from a broken one where SQLite does not. Rules: O7, S1. */
import { statfsSync } from "node:fs";

/** SQLite extends its shared memory by 32 KiB. */
const WORKING_BYTES = 64 * 1024;

/**
 * @returns true if the directory's disk takes nothing more. SQLite speaks of an I/O error there,
 * too, where it cannot extend its shared memory.
 */
export function isDiskFull(directory: string): boolean {
  try {
    const { bavail, blocks, bsize } = statfsSync(directory);
    // Some network file systems do not tell their size.
    return blocks > 0 && bavail * bsize < WORKING_BYTES;
  } catch {
    return false;
  }
}
