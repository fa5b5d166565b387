/**
 * A file's mtime as this disk shows it. What the disk cannot hold (steps of two seconds, times
 * after 2038) is nobody's change: the node keeps its time, and the disk's is never proposed.
 * Rules: A2, N7.
 */
import type { FileContent } from "../../core/node.ts";
import type { FileSystem, Stat } from "../../ports/filesystem.ts";

/** @returns the time of `known` where the disk shows what it makes of it, else what it shows. */
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
