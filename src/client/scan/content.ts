/**
 * Reads the content of an entry: a file's digest or a symlink's target.
 * Rules: A2, A5, A11, A14, A16, A20, I19, I20, F60, F62.
 */
import { SyncedError } from "../../core/error.ts";
import {
  BUSY_FILE_BYTES_MIN,
  ONE_WRITE_BYTES_MAX,
  TEMPORARY_AGE_MS_MIN,
  UNWRITTEN_AGE_MS_MIN,
} from "../../core/limits.ts";
import type { EncodedManifestObject } from "../../core/manifest.ts";
import { type Content, type FileContent, sameBytes } from "../../core/node.ts";
import { parseSymlinkTarget } from "../../core/path.ts";
import { FileSystemError, type Stat } from "../../ports/filesystem.ts";
import { shownMtime } from "../folder/shown-time.ts";
import { confirmFile, digestFile, type FileDigest } from "./digest-file.ts";
import { digestGrowing, type MomentDigest } from "./growing-file.ts";
import type { Entry, ScanRun } from "./run.ts";

/**
 * Ends a stamp that must not be trusted, because it was taken within the racy window. It equals no
 * stamp of a file system, so a comparison always leads to a look at the bytes.
 */
export const RACY_MARK = "~";

export interface ReadContent {
  readonly content: Content;
  readonly stamp: string;
  readonly objects: readonly EncodedManifestObject[];
}

/** After so many looks in a row that find a file changing, it is listed as a problem. */
const TRIES_BEFORE_PROBLEM = 5;
/**
 * After so many looks in a row that find a large file changing, it is read as it was at one moment.
 * Most such files are being copied, and are complete in some seconds.
 */
const TRIES_BEFORE_MOMENT = 3;

/**
 * Reads the entry's content.
 *
 * @param known the node's former content; metadata that this disk cannot keep are taken from it.
 * @param guess the most likely content; confirming it costs less than digesting anew.
 * @returns undefined if it could not be read now. Then the time for another look, or the problem,
 * is recorded.
 */
export async function readContent(
  run: ScanRun,
  entry: Entry,
  known: Content | undefined,
  guess?: Content,
): Promise<ReadContent | undefined> {
  try {
    switch (entry.stat.kind) {
      case "file": {
        const before = known?.kind === "file" ? known : undefined;
        if (isBeingWritten(run, entry, before)) return undefined;
        return await readFile(run, entry, before, guess?.kind === "file" ? guess : undefined);
      }
      case "symlink":
        return readSymlink(run, entry);
      case "directory":
        // A change of its entries changes a directory's stamp, so the stamp says nothing about the
        // directory itself.
        return { content: { kind: "directory" }, stamp: entry.stat.stamp, objects: [] };
      case "other":
        return undefined;
    }
  } catch (error) {
    if (!(error instanceof FileSystemError)) throw error;
    reportUnreadable(run, entry.path, error);
    return undefined;
  }
}

/** @returns true if an equal stamp is not enough, so that the file must be read again now. */
export function isDueForAnotherLook(run: ScanRun, entry: Entry): boolean {
  const { path, stat } = entry;
  const now = run.ports.clock.monotonic();
  if (!run.isYoung(stat) || run.revisits.isRipe(path, stat.stamp, now)) return true;
  run.revisits.racy(path, stat.stamp, now);
  return false;
}

/** Records why an entry cannot be read, and when to try again if time may help. */
export function reportUnreadable(run: ScanRun, path: string, error: FileSystemError): void {
  const code = error.code === "illegible" ? "unsupported_name" : "file_unreadable";
  run.problems.report(path, code, error.message);
  if (error.code === "exhausted" || error.code === "io") {
    run.revisits.retry(path, run.ports.clock.monotonic());
  } else if (error.code === "denied") {
    // A change of permissions is not always reported, and never below a directory without a watch.
    run.revisits.later(path, run.ports.clock.monotonic());
  }
}

/**
 * A20: true for a file that was made or emptied just now and is still empty, or that is new and
 * grows. Its writer is about to go on, so the present bytes are nobody's version of it.
 */
function isBeingWritten(
  { ports, revisits, startedMs }: ScanRun,
  { path, stat }: Entry,
  known: FileContent | undefined,
): boolean {
  // It was read meanwhile, and its writer has gone on for longer than this waits.
  if (revisits.triesOf(path) > 0) return false;
  const isNew = known === undefined && stat.size > ONE_WRITE_BYTES_MAX;
  const isEmptied = known?.size !== 0 && stat.size === 0;
  if (!isNew && !isEmptied) return false;
  const next = isEmptied ? UNWRITTEN_AGE_MS_MIN : TEMPORARY_AGE_MS_MIN;
  if (stat.changedMs <= startedMs - next) return false;
  const waitMs = { next, last: UNWRITTEN_AGE_MS_MIN };
  return revisits.waitsFor(path, stat.identity, ports.clock.monotonic(), waitMs);
}

async function readFile(
  run: ScanRun,
  entry: Entry,
  known: FileContent | undefined,
  guess: FileContent | undefined,
): Promise<ReadContent | undefined> {
  const { path } = entry;
  const { clock } = run.ports;
  const { size } = entry.stat;
  if (run.revisits.rests(path, size, clock.monotonic(), guess === undefined)) return undefined;
  const result = await digestEntry(run, entry, guess);
  run.revisits.read(path, size, clock.monotonic());
  if (result === undefined) {
    if (!run.pace.isStopped) retry(run, path);
    return undefined;
  }
  const { digest, stat } = result;
  run.problems.clear(path);
  const content = fileContent(run, digest, stat, known);
  const now = clock.monotonic();
  const isTrusted = !run.isYoung(stat) || run.revisits.isRipe(path, stat.stamp, now);
  if (result.isBusy) run.revisits.taken(path, stat.stamp, now);
  else if (!isTrusted) run.revisits.racy(path, stat.stamp, now);
  const stamp = isTrusted ? stat.stamp : `${stat.stamp}${RACY_MARK}`;
  return { content, stamp, objects: digest.objects };
}

interface EntryDigest extends MomentDigest {
  /** True if it changed while it was read. */
  readonly isBusy: boolean;
}

/** @returns undefined if it changed so that there is nothing to record. */
async function digestEntry(
  run: ScanRun,
  { path, stat }: Entry,
  guess: FileContent | undefined,
): Promise<EntryDigest | undefined> {
  const { fs } = run.ports;
  const file = { path, expected: stat };
  const isGrowing = run.revisits.triesOf(path) >= TRIES_BEFORE_MOMENT;
  if (isGrowing && stat.size >= BUSY_FILE_BYTES_MIN) {
    const taken = await digestGrowing(fs, file, run.chunker, run.pace);
    return taken && { ...taken, isBusy: taken.stat.stamp !== stat.stamp };
  }
  const confirmed =
    guess !== undefined && isWorthConfirming(run, guess, stat)
      ? await confirmFile(fs, file, guess, run.pace)
      : undefined;
  const result = confirmed ?? (await digestFile(fs, file, run.chunker, run.pace));
  return result.kind === "digested" ? { digest: result.digest, stat, isBusy: false } : undefined;
}

/** The store must have its manifest already, because confirming makes none. */
function isWorthConfirming({ ports }: ScanRun, guess: FileContent, { size }: Stat): boolean {
  if (guess.depth === 0 || guess.size !== size) return false;
  return ports.store.manifest(guess.manifest) !== undefined;
}

function retry(run: ScanRun, path: string): void {
  const tries = run.revisits.retry(path, run.ports.clock.monotonic());
  if (tries < TRIES_BEFORE_PROBLEM) return;
  const message = `Cannot read "${path}" in one piece: it keeps changing`;
  run.problems.report(path, "file_changed", message);
}

function readSymlink(run: ScanRun, { path, stat }: Entry): ReadContent | undefined {
  const target = run.ports.fs.readLink(path);
  if (target === undefined) {
    retry(run, path);
    return undefined;
  }
  try {
    const content: Content = { kind: "symlink", target: parseSymlinkTarget(target) };
    run.problems.clear(path);
    // A symlink is only ever replaced, never written to, so its identity shows every change.
    return { content, stamp: stat.stamp, objects: [] };
  } catch (error) {
    if (!(error instanceof SyncedError)) throw error;
    run.problems.report(path, error.code, error.message);
    return undefined;
  }
}

function fileContent(
  run: ScanRun,
  digest: FileDigest,
  stat: Stat,
  known: FileContent | undefined,
): FileContent {
  const { manifest, depth, sha256, size } = digest;
  const { executable } = run.ports.fs.capabilities;
  const content: FileContent = {
    kind: "file",
    manifest,
    depth,
    sha256,
    size,
    executable: executable ? stat.executable : (known?.executable ?? false),
    mtimeNs: stat.mtimeNs,
  };
  if (known === undefined || !sameBytes(content, known)) return content;
  const mtimeNs = shownMtime(run.ports.fs, stat, known);
  return { ...known, executable: content.executable, mtimeNs };
}
