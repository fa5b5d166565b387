/**
 * Spelling: on a file system that folds names an entry answers to more names than its own, and a
 * path that can be looked at need not be what stands there. Rules: D9, N3, A1.
 */
import { baseName, parentPath } from "../../core/path.ts";
import type { FileSystem, Stat } from "../../ports/filesystem.ts";

/** Like `fs.stat`, but undefined for what has the last name of the path in another spelling. */
export function statExactly(fs: FileSystem, path: string): Stat | undefined {
  const stat = fs.stat(path);
  if (stat === undefined || path === "" || !fs.capabilities.foldsNames) return stat;
  const name = baseName(path);
  return fs.list(parentPath(path))?.entries.find((entry) => entry.name === name)?.stat;
}
