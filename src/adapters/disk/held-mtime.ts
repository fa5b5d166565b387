/**
 * Finds out which time a disk keeps for an mtime, by setting it below `.synced/staging`. Rules: N7.
 */

import { randomBytes } from "node:crypto";
import { STAGING_DIRECTORY } from "../../core/state-directory.ts";
import { type Capabilities, type FileSystem, FileSystemError } from "../../ports/filesystem.ts";

/** Every file system can hold times from 1980 (FAT) to the end of 2037 (32 bits). */
const MTIME_NS_COMMON_MIN = 315_619_200_000_000_000n;
const MTIME_NS_COMMON_MAX = 2_145_916_800_000_000_000n;

/** @returns the given time if it cannot be tried. */
export function heldMtime(fs: FileSystem, mtimeNs: string): string {
  if (isHeldAsItIs(fs.capabilities, BigInt(mtimeNs))) return mtimeNs;
  const path = `${STAGING_DIRECTORY}/${randomBytes(16).toString("hex")}`;
  try {
    const writer = fs.createFile(path);
    try {
      writer.setMetadata({ executable: false, mtimeNs });
      return writer.stat().mtimeNs;
    } finally {
      writer.close();
      fs.removeFile(path);
    }
  } catch (error) {
    if (error instanceof FileSystemError) return mtimeNs;
    throw error;
  }
}

function isHeldAsItIs({ mtimeGranularityNs }: Capabilities, mtimeNs: bigint): boolean {
  const isCommon = mtimeNs > MTIME_NS_COMMON_MIN && mtimeNs < MTIME_NS_COMMON_MAX;
  return isCommon && mtimeGranularityNs === 1;
}
