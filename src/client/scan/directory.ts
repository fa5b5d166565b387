/**
 * Scans one directory: compares its entries with the nodes that are known there. If an entry is not
 * the node of its place, `place.ts` decides which node it is. Rules: A1-A4, A6, A7, I16.
 */
import type { Digest } from "../../core/digest.ts";
import type { ErrorCode } from "../../core/error.ts";
import { type NodeId, ROOT_ID } from "../../core/identifier.ts";
import { IGNORE_FILE } from "../../core/ignore.ts";
import { PATH_BYTES_MAX, PATH_DEPTH_MAX } from "../../core/limits.ts";
import type { LocalNode } from "../../core/node.ts";
import { checkName, joinPath, RESERVED_NAME, utf8LengthBytes } from "../../core/path.ts";
import type { TreeView } from "../../core/tree.ts";
import { FileSystemError, type Stat } from "../../ports/filesystem.ts";
import { KEPT } from "../folder/kept-values.ts";
import { statExactly } from "../folder/spelling.ts";
import { isDueForAnotherLook, RACY_MARK, readContent, reportUnreadable } from "./content.ts";
import type { IsReceived } from "./ignore-files.ts";
import { DATA_FORMAT_FILE, reasonToLeaveAlone } from "./left-alone.ts";
import { placeEntry } from "./place.ts";
import type { Entry, ScanRun, Task } from "./run.ts";

/** The directory's entries, sorted by the work that they need. */
interface Findings {
  /** Nodes in their places whose stamps show that they may have changed. */
  readonly changed: { readonly node: LocalNode; readonly entry: Entry }[];
  /** Entries that are not the node of their place, or whose place has no node. */
  readonly unknown: Entry[];
  readonly ignored: LocalNode[];
  /** Nodes that are not in their places, by name. */
  readonly missing: Map<string, LocalNode>;
  readonly directories: { readonly node: LocalNode; readonly path: string }[];
}

/**
 * Looks at the entries that the task names, notes the findings in the overlay, and adds further
 * tasks.
 */
export async function scanDirectory(run: ScanRun, task: Task): Promise<void> {
  if (task.id !== ROOT_ID && run.overlay.get(task.id) === undefined) return;
  const stats =
    task.names === undefined ? listEntries(run, task) : statNames(run, task, task.names);
  if (stats === undefined || isSyncedOnItsOwn(run, task, stats)) return;

  const rules = loadRules(run, task, stats);
  if (rules === "changed" && !(task.names === undefined && task.deep)) {
    run.add({ ...task, names: undefined, deep: true });
    return;
  }
  const findings = await sortEntries(run, task, stats);
  if (findings === undefined) return;
  const { changed, unknown, ignored, missing } = findings;
  const isQuiet = changed.length + unknown.length + ignored.length + missing.size === 0;
  // RACE: the path may lead elsewhere since it was listed. Then nothing that was seen counts.
  if (!isQuiet && !isStillThere(run, task)) return run.climb(task.path);

  for (const node of ignored) forget(run, node);
  for (const { node, entry } of changed) await lookAtChanged(run, task, node, entry);
  for (const entry of unknown) {
    if (run.pace.step()) await run.pace.rest();
    if (run.pace.isStopped) return;
    await placeEntry(run, task, entry, missing);
  }
  for (const node of missing.values()) miss(run, task, node);
  for (const { node, path } of findings.directories) {
    const under = run.overlay.has(node.id) ? node.id : task.under;
    run.add({ id: node.id, path, names: undefined, deep: task.deep, under });
  }
}

/**
 * True if the directory is a synced folder itself, which its own client syncs, or a server's data
 * directory (A6). If these were synced, they would grow into themselves for ever.
 */
function isSyncedOnItsOwn(run: ScanRun, task: Task, stats: ReadonlyMap<string, Stat>): boolean {
  if (task.path === "") return false;
  // Not checked if nodes in it are known already, so that a hint stays one look.
  const mayBe =
    task.names === undefined
      ? stats.has(RESERVED_NAME) || stats.has(DATA_FORMAT_FILE)
      : [...task.names].some((name) => run.overlay.child(task.id, name) === undefined);
  if (!mayBe) return false;
  const reason = reasonToLeaveAlone(run.ports.fs, task.path);
  if (reason === undefined) return false;
  const message = `Cannot sync the files in "${task.path}": ${reason}`;
  run.problems.leaveBelow(task.path);
  run.problems.report(task.path, "folder_nested", message);
  return true;
}

function isStillThere(run: ScanRun, task: Task): boolean {
  try {
    return run.isStillThere(task);
  } catch (error) {
    if (error instanceof FileSystemError) return false;
    throw error;
  }
}

/** @returns undefined if the entries are not known. The reason is recorded then. */
function listEntries(run: ScanRun, task: Task): Map<string, Stat> | undefined {
  try {
    const listing = run.ports.fs.list(task.path);
    if (listing === undefined) {
      run.climb(task.path);
      return undefined;
    }
    if (run.problems.clear(task.path) && !task.deep) {
      // Nobody reported changes below it while it could not be read.
      run.add({ ...task, deep: true });
      return undefined;
    }
    for (const { nameHex } of listing.illegible) {
      const path = joinPath(task.path, nameHex.replace(/../g, "\\x$&"));
      const message = `Cannot sync the name of bytes ${nameHex} in "${task.path}": it is not UTF-8`;
      run.problems.report(path, "unsupported_name", message);
    }
    const stats = new Map(listing.entries.map((entry) => [entry.name, entry.stat]));
    // A full scan does this once for everything.
    if (!task.deep) run.problems.clearVanished(task.path, stats);
    return stats;
  } catch (error) {
    if (!(error instanceof FileSystemError)) throw error;
    run.problems.leaveBelow(task.path);
    if (error.code === "not_directory" && task.path !== "") run.climb(task.path);
    else reportUnreadable(run, task.path, error);
    return undefined;
  }
}

/**
 * Looks once at each entry that was hinted. A name that cannot be looked at is left out of both
 * trees.
 */
function statNames(
  run: ScanRun,
  task: Task,
  names: ReadonlySet<string>,
): Map<string, Stat> | undefined {
  const stats = new Map<string, Stat>();
  for (const name of names) {
    const path = joinPath(task.path, name);
    try {
      const stat = statExactly(run.ports.fs, path);
      if (stat === undefined) run.problems.clearBelow(path);
      else stats.set(name, stat);
    } catch (error) {
      if (!(error instanceof FileSystemError)) throw error;
      if (error.code === "not_directory" && task.path !== "") {
        run.climb(task.path);
        return undefined;
      }
      reportUnreadable(run, path, error);
      // Unknown is not absent (A3), whatever an earlier look said.
      const node = run.overlay.child(task.id, name);
      if (node !== undefined) run.disappearances.delete(node.id);
      const rest = new Set(names);
      rest.delete(name);
      run.add({ ...task, names: rest });
      return undefined;
    }
  }
  return stats;
}

function loadRules(run: ScanRun, task: Task, stats: ReadonlyMap<string, Stat>): "same" | "changed" {
  if (task.names !== undefined && !task.names.has(IGNORE_FILE)) return "same";
  const isReceived: IsReceived = (digest) => isRulesFileReceived(run, task.id, digest);
  const load = run.ignoreFiles.load(task.path, stats.get(IGNORE_FILE), isReceived);
  if (load.kind === "same" || load.kind === "changed") return load.kind;
  const path = joinPath(task.path, IGNORE_FILE);
  const code = load.kind === "unusable" ? "invalid_ignore_rules" : "formerly_ignored";
  run.problems.report(path, code, load.message);
  return "same";
}

/**
 * A21: true if the rules file is as other devices made it. A user's own change is found before it
 * is sent, so it differs from the base and from the log. After a crash the disk may be ahead of the
 * base, but not of the log.
 */
function isRulesFileReceived(run: ScanRun, directory: NodeId, digest: Digest | undefined): boolean {
  const { store } = run.ports;
  const [base, remote] = [store.base, store.remote].map((tree) => rulesDigestIn(tree, directory));
  if (digest !== undefined) return digest === base || digest === remote;
  if (base !== undefined || remote !== undefined) return base === undefined || remote === undefined;
  // Nobody else has heard of it, nor of a directory that was made here.
  const isShared = [store.base, store.remote].some((tree) => tree.get(directory) !== undefined);
  const mayBe = directory === ROOT_ID || isShared;
  return mayBe && rulesDigestIn(run.overlay, directory) === undefined;
}

function rulesDigestIn(tree: Pick<TreeView, "child">, directory: NodeId): Digest | undefined {
  const content = tree.child(directory, IGNORE_FILE)?.content;
  return content?.kind === "file" ? content.sha256 : undefined;
}

/** @returns undefined if the scan was stopped. */
async function sortEntries(
  run: ScanRun,
  task: Task,
  stats: ReadonlyMap<string, Stat>,
): Promise<Findings | undefined> {
  const missing = knownNodes(run, task);
  const findings: Findings = { changed: [], unknown: [], ignored: [], missing, directories: [] };
  for (const [name, stat] of stats) {
    if (run.pace.step()) await run.pace.rest();
    if (run.pace.isStopped) return undefined;
    const entry = { name, path: joinPath(task.path, name), stat };
    if (stat.kind === "file") run.files += 1;
    const node = missing.get(name);
    switch (judge(run, task, entry, node)) {
      case "ignored":
        if (node !== undefined) findings.ignored.push(node);
        missing.delete(name);
        break;
      case "unknown":
        missing.delete(name);
        if (node !== undefined) run.disappearances.delete(node.id);
        break;
      case "unsupported":
        break;
      case "syncable":
        if (node?.identity === stat.identity && node.content.kind === stat.kind) {
          missing.delete(name);
          sortInPlace(run, task, findings, node, entry);
        } else {
          findings.unknown.push(entry);
        }
    }
  }
  return findings;
}

function knownNodes(run: ScanRun, task: Task): Map<string, LocalNode> {
  const known = new Map<string, LocalNode>();
  if (task.names === undefined) {
    for (const node of run.overlay.children(task.id)) known.set(node.name, node);
    return known;
  }
  for (const name of task.names) {
    const node = run.overlay.child(task.id, name);
    if (node !== undefined) known.set(name, node);
  }
  return known;
}

/** The node is in its place, but its content may have changed. */
function sortInPlace(
  run: ScanRun,
  task: Task,
  findings: Findings,
  node: LocalNode,
  entry: Entry,
): void {
  run.disappearances.delete(node.id);
  const { stamp } = entry.stat;
  switch (node.content.kind) {
    case "directory":
      if (task.deep || task.names !== undefined) {
        findings.directories.push({ node, path: entry.path });
      }
      return;
    case "symlink":
      if (node.stamp !== stamp) findings.changed.push({ node, entry });
      else run.problems.clear(entry.path);
      return;
    case "file":
      if (node.stamp === stamp) run.problems.clear(entry.path);
      else if (node.stamp !== `${stamp}${RACY_MARK}` || isDueForAnotherLook(run, entry)) {
        findings.changed.push({ node, entry });
      }
  }
}

/** Decides whether an entry may be synced. If not, records the problem. */
function judge(
  run: ScanRun,
  task: Task,
  { name, path, stat }: Entry,
  node: LocalNode | undefined,
): "syncable" | "ignored" | "unknown" | "unsupported" {
  if (name === RESERVED_NAME && task.id === ROOT_ID) return "ignored";
  // The name of a known node was checked when it became one.
  const refusal = node === undefined ? refuse(name, path) : undefined;
  if (refusal !== undefined) return refused(run, path, refusal, "its name or path is not legal");
  if (run.isIgnored(path, stat.kind === "directory")) {
    run.problems.clearBelow(path);
    return "ignored";
  }
  if (!stat.sameDevice) {
    const message = `Cannot sync "${path}": another file system is mounted there`;
    run.problems.report(path, "other_file_system", message);
    run.problems.leaveBelow(path);
    // Nobody reports when it is unmounted.
    run.revisits.later(path, run.ports.clock.monotonic());
    return "unknown";
  }
  if (stat.kind === "other") {
    return refused(run, path, "unsupported_kind", "it is no file, directory or symlink");
  }
  return "syncable";
}

function refuse(name: string, path: string): ErrorCode | undefined {
  const refusal = checkName(name);
  if (refusal !== undefined) return refusal;
  // Each name takes a byte and a slash, so a short path cannot be too deep.
  if (path.length <= PATH_DEPTH_MAX) return undefined;
  const isTooDeep = path.split("/").length > PATH_DEPTH_MAX;
  return isTooDeep || utf8LengthBytes(path) > PATH_BYTES_MAX ? "path_too_long" : undefined;
}

function refused(run: ScanRun, path: string, code: ErrorCode, reason: string): "unsupported" {
  run.problems.report(path, code, `Cannot sync "${path}": ${reason}`);
  return "unsupported";
}

async function lookAtChanged(
  run: ScanRun,
  task: Task,
  node: LocalNode,
  entry: Entry,
): Promise<void> {
  if (run.pace.isStopped) return;
  // The stamp is still that of the last look, which came too early to be trusted.
  const guess = node.stamp === entry.stat.stamp + RACY_MARK ? node.content : undefined;
  const read = await readContent(run, entry, node.content, guess);
  if (read === undefined) return;
  const { content, stamp, objects } = read;
  run.overlay.put({ node: { ...node, content, stamp }, under: task.under, objects });
}

/** A7: the node is ignored from now on. Nothing happens to it anywhere. */
function forget(run: ScanRun, node: LocalNode): void {
  for (const id of run.overlay.subtree(node.id)) {
    run.disappearances.delete(id);
    run.overlay.remove(id, "forget");
  }
}

function miss(run: ScanRun, task: Task, node: LocalNode): void {
  const { id, name, content } = node;
  const now = run.overlay.get(id);
  // It was found elsewhere meanwhile, in this directory or another one.
  if (now === undefined || now.parent !== task.id || now.name !== name) return;
  if (run.isIgnored(joinPath(task.path, name), content.kind === "directory")) {
    forget(run, node);
  } else if (isNobodysLoss(run, now)) {
    run.disappearances.delete(id);
    run.overlay.remove(id);
  } else {
    run.lose(id);
  }
}

/**
 * True if nobody else knows the node. Then its end need not wait, because nobody hears of it. While
 * an answer is due, the server may have what was posted, and others may have worked on it.
 */
function isNobodysLoss(run: ScanRun, { id, conflictOf }: LocalNode): boolean {
  if (conflictOf !== undefined || !run.overlay.isOnlyLocal(id)) return false;
  if (run.ports.store.value(KEPT.posted.key) !== undefined) return false;
  return run.overlay.children(id).length === 0;
}
