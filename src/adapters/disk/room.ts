/** Tells how much room a disk has for new files. Rules: D21. */
import { statfsSync } from "node:fs";
import process from "node:process";
import { STORAGE_RESERVE_BYTES_MAX, STORAGE_RESERVE_SHARE } from "../../core/limits.ts";

/** @returns see FileSystem.roomBytes. */
export function roomBytesAt(directory: string): number | undefined {
  const { bavail, bfree, blocks, bsize } = statfsSync(directory);
  // Some network file systems do not tell their size.
  if (blocks === 0) return undefined;
  const reserve = Math.min(STORAGE_RESERVE_BYTES_MAX, blocks * bsize * STORAGE_RESERVE_SHARE);
  // Root may also use the room that is reserved for root.
  return Math.max(0, (process.getuid?.() === 0 ? bfree : bavail) * bsize - reserve);
}
