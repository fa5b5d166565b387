/**
 * Spelling: on a file system that folds names an entry answers to other spellings than its own, so
 * a path that can be read need not be the name that stands there. Rules: D9, N3, A1.
 */
import { baseName, parentPath } from "../../core/path.ts";
import type { FileSystem, Stat } from "../../ports/filesystem.ts";

/**
 * Does as `fs.stat`, but returns undefined if the entry has the path's last name in another
 * spelling.
 */
export function statExactly(fs: FileSystem, path: string): Stat | undefined {
  const stat = fs.stat(path);
  if (stat === undefined || path === "" || !fs.capabilities.foldsNames) return stat;
  const name = baseName(path);
  return fs.list(parentPath(path))?.entries.find((entry) => entry.name === name)?.stat;
}
