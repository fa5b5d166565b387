/**
 * Placing: notes which inodes a batch is about to put in place, and which nodes it renames. If the
 * process ends before the batch is recorded, recovery knows them again, whatever their user did to
 * them since. Rules: D7, D23, S2.
 */
import { joinPath } from "../../core/path.ts";
import {
  PARKING_DIRECTORY,
  STAGING_DIRECTORY,
  STATE_DIRECTORY,
} from "../../core/state-directory.ts";
import { type DirectoryEntry, type FileSystem, FileSystemError } from "../../ports/filesystem.ts";
import type { StateStore } from "../../ports/state-store.ts";
import { KEPT, type PlacingValue, readKept, writeKept } from "../folder/kept-values.ts";
import type { Pace } from "../folder/pace.ts";

type NoteStore = Pick<StateStore, "value" | "setValue" | "transaction">;

interface PlacingPorts {
  readonly fs: FileSystem;
  readonly store: NoteStore;
}

/** The part of a plan that was being done, as its note tells. */
export interface Placed {
  /** By node the identity of the file that left staging for its place. */
  readonly files: ReadonlyMap<string, string>;
  /** Nodes that were to be renamed. */
  readonly moved: ReadonlySet<string>;
  /**
   * True if all that the process wrote is still there: what is not in staging then was in place.
   * After a power cut, or in a copy of the folder, the note may tell of more than was done.
   */
  readonly isCertain: boolean;
}

/** Call it before the first of these files leaves staging. */
export function notePlacing(
  { fs, store }: PlacingPorts,
  { files, moved }: Pick<PlacingValue, "files" | "moved">,
): void {
  writeNote(store, { seal: sealOf(fs), files, moved });
}

/** Call it where nothing was recorded; what records a batch removes the note by itself. */
export function dropNote(store: NoteStore): void {
  writeNote(store, undefined);
}

function writeNote(store: NoteStore, note: PlacingValue | undefined): void {
  store.transaction(() => writeKept(store, KEPT.placing, note), "normal");
}

/**
 * Call it before a scan. A batch that could not be recorded has ended by then; the scan finds what
 * it did, and records more than the note knows.
 */
export function forgetNote(store: NoteStore): void {
  if (readKept(store, KEPT.placing) !== undefined) dropNote(store);
}

export function placedByNote({ fs, store }: PlacingPorts): Placed {
  const note = readKept(store, KEPT.placing) ?? { seal: "", files: [], moved: [] };
  const isCertain = note.seal !== "" && note.seal === sealOf(fs);
  return { files: new Map(note.files), moved: new Set(note.moved), isCertain };
}

/**
 * Drops from the note what did not get to its place: files in staging, nodes in the parking. Call
 * it before these are swept.
 */
export function dropUndone({ fs, store }: PlacingPorts): void {
  const note = readKept(store, KEPT.placing);
  if (note === undefined) return;
  const staged = new Set<string>();
  const parked = new Set<string>();
  for (const { stat } of fs.list(STAGING_DIRECTORY)?.entries ?? []) staged.add(stat.identity);
  for (const { name } of fs.list(PARKING_DIRECTORY)?.entries ?? []) parked.add(name);
  const files = note.files.filter(([, identity]) => !staged.has(identity));
  const moved = note.moved.filter((id) => !parked.has(id));
  if (files.length < note.files.length || moved.length < note.moved.length) {
    writeNote(store, { ...note, files, moved });
  }
}

/** A copy of the folder, as a backup brings it back, has another directory for staging. */
function sealOf(fs: FileSystem): string {
  const staging = fs.stat(STAGING_DIRECTORY);
  return fs.boot === undefined || staging === undefined ? "" : `${fs.boot} ${staging.identity}`;
}

/**
 * Looks through the whole folder, unless nothing is asked for.
 *
 * @returns the path of each entry with such an identity, by identity.
 */
export async function findEntries(
  fs: FileSystem,
  identities: ReadonlySet<string>,
  pace: Pace,
): Promise<ReadonlyMap<string, string>> {
  const found = new Map<string, string>();
  const pending = identities.size === 0 ? [] : [""];
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    if (pace.step()) await pace.rest();
    for (const { name, stat } of entriesOf(fs, next)) {
      const path = joinPath(next, name);
      if (identities.has(stat.identity)) found.set(stat.identity, path);
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
