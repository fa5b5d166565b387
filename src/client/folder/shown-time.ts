/**
 * A file's mtime as this disk shows it. If the disk cannot hold a time exactly (steps of two
 * seconds, times after 2038), that is nobody's change. The node keeps its time, and the disk's is
 * never proposed.
 * Rules: A2, N7.
 */
import type { FileContent } from "../../core/node.ts";
import type { FileSystem, Stat } from "../../ports/filesystem.ts";

/**
 * @returns the time of `known` if the disk shows its own form of it, else the time that the disk
 * shows.
 */
export function shownMtime(
  fs: FileSystem,
  { mtimeNs }: Stat,
  known: Pick<FileContent, "mtimeNs">,
): string {
  if (isWithin(mtimeNs, known.mtimeNs, fs.capabilities.mtimeGranularityNs)) return known.mtimeNs;
  return fs.heldMtime(known.mtimeNs) === mtimeNs ? known.mtimeNs : mtimeNs;
}

function isWithin(a: string, b: string, granularityNs: number): boolean {
  if (a === b) return true;
  const difference = BigInt(a) - BigInt(b);
  const granularity = BigInt(granularityNs);
  return difference < granularity && -difference < granularity;
}
