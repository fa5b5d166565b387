/**
 * Placing: remembers which inodes a batch is about to put in place. If the process ends before the
 * batch is recorded, recovery knows these files again, whatever their user did to them since.
 * Rules: D7, D23, S2.
 */
import { joinPath } from "../../core/path.ts";
import { STAGING_DIRECTORY, STATE_DIRECTORY } from "../../core/state-directory.ts";
import { type DirectoryEntry, type FileSystem, FileSystemError } from "../../ports/filesystem.ts";
import type { StateStore } from "../../ports/state-store.ts";
import { KEPT, readKept, type TextPair, writeKept } from "../folder/kept-values.ts";
import type { Pace } from "../folder/pace.ts";

/**
 * Call it before the first of these files leaves staging. A kill does not take the note back; a
 * power cut may, and then the bytes alone tell.
 *
 * @param files each node with the identity of its new file; none of them removes the note.
 */
export function notePlacing(
  store: Pick<StateStore, "setValue" | "transaction">,
  files: readonly TextPair[],
): void {
  const note = files.length > 0 ? files : undefined;
  store.transaction(() => writeKept(store, KEPT.placing, note), "normal");
}

/** By node the identity of the file that had left staging for its place when the process ended. */
export function placedFiles(store: Pick<StateStore, "value">): ReadonlyMap<string, string> {
  return new Map(readKept(store, KEPT.placing));
}

/** Drops files from the note that never left staging. Call it before staging is swept. */
export function dropStaged(
  fs: FileSystem,
  store: Pick<StateStore, "value" | "setValue" | "transaction">,
): void {
  const noted = [...placedFiles(store)];
  if (noted.length === 0) return;
  const staged = new Set<string>();
  for (const { stat } of fs.list(STAGING_DIRECTORY)?.entries ?? []) staged.add(stat.identity);
  const placed = noted.filter(([, identity]) => !staged.has(identity));
  if (placed.length < noted.length) notePlacing(store, placed);
}

/**
 * Looks through the whole folder.
 *
 * @returns the path of each file with such an identity, by identity.
 */
export async function findFiles(
  fs: FileSystem,
  identities: ReadonlySet<string>,
  pace: Pace,
): Promise<ReadonlyMap<string, string>> {
  const found = new Map<string, string>();
  const pending = [""];
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    if (pace.step()) await pace.rest();
    for (const { name, stat } of entriesOf(fs, next)) {
      const path = joinPath(next, name);
      if (stat.kind === "file" && identities.has(stat.identity)) found.set(stat.identity, path);
      if (stat.kind !== "directory" || !stat.sameDevice || path === STATE_DIRECTORY) continue;
      pending.push(path);
    }
  }
  return found;
}

/** The scan will report what cannot be listed. */
function entriesOf(fs: FileSystem, directory: string): readonly DirectoryEntry[] {
  try {
    return fs.list(directory)?.entries ?? [];
  } catch (error) {
    if (error instanceof FileSystemError) return [];
    throw error;
  }
}
