/**
 * Scanner: looks at the folder and records in the store's local tree what the disk holds. It
 * changes nothing on the disk and tells the server nothing. Rules: A1-A9, I16, I19, I20, Y1.
 *
 * A scan walks directories and notes its findings in an overlay, which it writes in batches
 * whenever the resulting tree is valid. It knows a node by its identity wherever the node turns up,
 * so the order of the walk does not matter. A node that it does not find is only remembered at
 * first. It is removed when nothing else disappeared for a while and a later scan still does not
 * find it.
 */

import { Chunker, type ChunkerProfile } from "../../core/chunker.ts";
import { sha256 } from "../../core/digest.ts";
import { type NodeId, ROOT_ID } from "../../core/identifier.ts";
import type { IgnoreRules } from "../../core/ignore.ts";
import { type LocalNode, samePlace } from "../../core/node.ts";
import { DEVICE_IGNORE_FILE } from "../../core/state-directory.ts";
import { pathOf } from "../../core/tree.ts";
import { FileSystemError, type Stat } from "../../ports/filesystem.ts";
import type { HeldChange } from "../../ports/state-store.ts";
import type { Births } from "../folder/births.ts";
import { KEPT, readKept, writeKept } from "../folder/kept-values.ts";
import { Pace } from "../folder/pace.ts";
import { scanDirectory } from "./directory.ts";
import type { FormerRules, Rename } from "./former-rules.ts";
import { IgnoreFiles } from "./ignore-files.ts";
import { Disappearances, Revisits } from "./memory.ts";
import { MovedDirectories } from "./moved-directories.ts";
import { ScanOverlay } from "./overlay.ts";
import { ScanProblems } from "./problems.ts";
import { type Emptied, type ScanPorts, ScanRun } from "./run.ts";

export type ScanRequest =
  /** `isTold`: the watcher reported more changes than it could name. */
  | { readonly kind: "full"; readonly isTold?: boolean }
  /** Watcher hints: files or directories, relative. A first scan is full whatever is asked. */
  | { readonly kind: "paths"; readonly paths: ReadonlySet<string> };

export interface ScanReport {
  /** False if the scan was stopped, or the root could not be read. */
  readonly complete: boolean;
  /** The number of nodes whose place or content changed, or that went. */
  readonly changed: number;
  /**
   * All paths that need another look, with the time for it (Clock.monotonic): young stamps, files
   * that changed while they were read, disappearances that do not count yet. It replaces all
   * earlier maps.
   */
  readonly again: ReadonlyMap<string, number>;
  /**
   * True if some of those are changes that are not recorded yet; young stamps alone do not count.
   */
  readonly pending: boolean;
  /** The number of files looked at. */
  readonly files: number;
  readonly root: "ok" | "lost";
}

/** Nodes in one transaction: enough to amortise its durability, few enough to hold in memory. */
const BATCH_NODES = 500;
/** A shorter scan is not worth a report. */
const PROGRESS_AFTER_MS = 1_000;
const PROGRESS_INTERVAL_MS = 500;
/**
 * To list a directory of 10,000 files takes 50 ms. One that loses a file again and again may take
 * up a twentieth of one processor.
 */
const BESIDE_REST_RATIO = 20;
/** For paths whose wait is over but where something still stood in the way. */
const BLOCKED_REVISIT_MS = 50;

export class Scanner {
  readonly #ports: ScanPorts;
  readonly #births: Pick<Births, "ofScan"> | undefined;
  readonly #chunker: Chunker;
  readonly #ignoreFiles: IgnoreFiles;
  #rememberedRules: IgnoreRules;
  #rememberedFormer: FormerRules["moments"];
  #rememberedRenames: FormerRules["renames"];
  readonly #revisits = new Revisits();
  readonly #disappearances = new Disappearances();
  readonly #moved = new MovedDirectories();
  /** Paths where found nodes wait for missing ones to leave. */
  #blockedPaths: readonly string[] = [];
  #emptied: readonly Emptied[] = [];
  #besideAtMs = 0;
  /** False until everything was looked at, because before that some rules files are not known. */
  #isWarm = false;

  /** @param profile the folder's chunker profile. */
  /** @param births hears of new files. @default nobody does */
  constructor(ports: ScanPorts, profile: ChunkerProfile, births?: Pick<Births, "ofScan">) {
    this.#ports = ports;
    this.#births = births;
    this.#chunker = new Chunker(profile);
    const { fs, store } = ports;
    const texts = readKept(store, KEPT.ignoreRules);
    this.#ignoreFiles = new IgnoreFiles(
      fs,
      texts,
      readKept(store, KEPT.formerRules),
      readKept(store, KEPT.formerPaths),
    );
    this.#rememberedRules = this.#ignoreFiles.rules;
    this.#rememberedFormer = this.#ignoreFiles.former.moments;
    this.#rememberedRenames = this.#ignoreFiles.former.renames;
  }

  /** Left-over directories that the last scan found empty, inner ones first. */
  get emptied(): readonly Emptied[] {
    return this.#emptied;
  }

  /**
   * The reason why new entries are not offered, if rules that cannot be used may exclude them
   * (A19).
   */
  get withheld(): string | undefined {
    const path = this.#ignoreFiles.unknownFile;
    if (path === undefined) return undefined;
    return `the rules in ${JSON.stringify(path)} cannot be used, so new files beside or below it wait`;
  }

  /**
   * The entries that would be sent if this device's person agreed to the rules of others (A21);
   * undefined if there are none. The reason names no path, because the server is told of it.
   */
  get unignored(): HeldChange | undefined {
    const problems = this.#ports.store.problems();
    const count = problems.filter(({ code }) => code === "formerly_ignored").length;
    if (count === 0) return undefined;
    const { former, texts } = this.#ignoreFiles;
    const id = sha256(JSON.stringify([former.texts, former.renames, texts])).slice(0, 16);
    const entries = count === 1 ? "1 entry that was" : `${count} entries that were`;
    const reason = `this device would send ${entries} ignored here until another device changed the rules or renamed a directory`;
    return { id, direction: "up", kinds: ["unignoring"], reason, count, nodes: [] };
  }

  /**
   * Others' deletions or moves are about to be done here (A21, A22).
   *
   * @param directories whose rules files go from this disk
   * @param renames of directories
   */
  loseRules(directories: readonly string[], renames: readonly Rename[]): void {
    this.#ignoreFiles.lose(directories);
    this.#ignoreFiles.rename(renames);
    this.#rememberRules();
  }

  /** A person agreed to the rules as they are. The next full scan offers what waits. */
  agreeToRules(): void {
    this.#ignoreFiles.former.forget();
    this.#rememberRules();
  }

  /** The rules that the last scan found. */
  get ignoreRules(): IgnoreRules {
    return this.#ignoreFiles.rules;
  }

  /**
   * True if this device's own rules have changed since the last scan. Only a full scan loads them.
   * Nobody watches them, because nothing in `.synced` is watched.
   */
  get hasNewDeviceRules(): boolean {
    return this.#ignoreFiles.hasDeviceFileChanged;
  }

  /** This device moved a directory away from there. Hints about its contents may still come. */
  noteMove(path: string, id: NodeId): void {
    this.#moved.note(path, id, this.#ports.clock.monotonic());
  }

  /**
   * Scans once. Only one scan of a folder may run at a time.
   *
   * @throws nothing for trouble with single paths, which becomes problems in the store.
   */
  async scan(request: ScanRequest, signal: AbortSignal): Promise<ScanReport> {
    const root = this.#lookAtRoot();
    if (root === undefined) return this.#lost();
    const paths = request.kind === "paths" && this.#isWarm ? request.paths : undefined;
    const isTold = this.#isWarm && (request.kind === "paths" || request.isTold === true);
    this.#ignoreFiles.former.beginScan();
    const run = this.#begin(root, { paths, isTold }, signal);
    if (paths === undefined) this.#loadDeviceRules(run);
    else await this.#lookBeside(run);

    for (let task = run.next(); task !== undefined && !signal.aborted; task = run.next()) {
      await scanDirectory(run, task);
      if (run.overlay.fresh >= BATCH_NODES) run.overlay.write();
    }
    if (run.isRootLost) return this.#lost();
    this.#rememberRules();
    this.#end(run);
    const isComplete = !signal.aborted;
    if (isComplete) this.#revisits.finish();
    else this.#revisits.restore();
    if (isComplete && paths === undefined) {
      this.#isWarm = true;
      run.problems.clearUnseen();
    }
    return this.#report(run, isComplete);
  }

  #lookAtRoot(): Stat | undefined {
    try {
      const stat = this.#ports.fs.stat("");
      return stat?.kind === "directory" ? stat : undefined;
    } catch (error) {
      if (error instanceof FileSystemError) return undefined;
      throw error;
    }
  }

  #lost(): ScanReport {
    this.#revisits.restore();
    const again = this.#again(this.#missing());
    return { complete: false, changed: 0, again, pending: true, files: 0, root: "lost" };
  }

  #begin(
    root: Stat,
    { paths, isTold }: { paths: ReadonlySet<string> | undefined; isTold: boolean },
    signal: AbortSignal,
  ): ScanRun {
    const { store, observer, clock } = this.#ports;
    this.#forgetGone();
    let onRest = () => {};
    const pace = new Pace(clock, { signal, onRest: () => onRest() });
    const run = new ScanRun({
      ports: this.#ports,
      overlay: new ScanOverlay(store, {
        placed: (id) => this.#disappearances.delete(id),
        born: this.#births?.ofScan,
      }),
      problems: new ScanProblems(store, observer),
      revisits: this.#revisits,
      disappearances: this.#disappearances,
      ignoreFiles: this.#ignoreFiles,
      chunker: this.#chunker,
      pace,
      rootIdentity: root.identity,
      isTold,
    });
    onRest = this.#progress(run);
    if (paths === undefined) {
      this.#revisits.begin(undefined);
      run.add({ id: ROOT_ID, path: "", names: undefined, deep: true, under: undefined });
      return run;
    }
    const hints = new Set([...paths, ...this.#settled()]);
    this.#revisits.begin(hints);
    for (const hint of hints) {
      for (const path of this.#moved.follow(hint, store.local)) run.hint(path);
    }
    return run;
  }

  /** Paths whose disappearance counts by now. They get their last look. */
  #settled(): string[] {
    const now = this.#ports.clock.monotonic();
    const paths: string[] = [];
    for (const id of this.#disappearances.ids()) {
      const path = pathOf(this.#ports.store.local, id);
      if (path !== undefined && this.#disappearances.counts(id, now)) paths.push(path);
    }
    return paths.length === 0 ? paths : [...paths, ...this.#blockedPaths];
  }

  /**
   * A thing that is to count as gone may have another name beside its old one, of which no hint
   * came (A4). Found there later, it would be something new, without what others did to it.
   */
  async #lookBeside(run: ScanRun): Promise<void> {
    const { clock, store } = this.#ports;
    const startedMs = clock.monotonic();
    if (startedMs < this.#besideAtMs) return;
    const directories = new Set<NodeId>();
    for (const id of this.#disappearances.ids()) {
      const parent = store.local.get(id)?.parent;
      if (parent === undefined || this.#disappearances.has(parent)) continue;
      if (this.#disappearances.counts(id, startedMs)) directories.add(parent);
    }
    for (const id of directories) {
      const path = pathOf(store.local, id);
      if (path === undefined) continue;
      await scanDirectory(run, { id, path, names: undefined, deep: false, under: undefined });
    }
    const nowMs = clock.monotonic();
    this.#besideAtMs = nowMs + BESIDE_REST_RATIO * (nowMs - startedMs);
  }

  #loadDeviceRules(run: ScanRun): void {
    const load = this.#ignoreFiles.loadDevice();
    if (load.kind !== "unusable") return;
    run.problems.report(DEVICE_IGNORE_FILE, "invalid_ignore_rules", load.message);
  }

  /** If a rules file is not usable after a restart, its former text stays in force. */
  #rememberRules(): void {
    const { rules, texts, former } = this.#ignoreFiles;
    // The former ones first: without them a kill would leave only the rules that un-ignore.
    if (former.moments !== this.#rememberedFormer) {
      this.#rememberedFormer = former.moments;
      const kept = former.texts;
      writeKept(this.#ports.store, KEPT.formerRules, kept.length === 0 ? undefined : kept);
    }
    if (former.renames !== this.#rememberedRenames) {
      this.#rememberedRenames = former.renames;
      const { renames } = former;
      writeKept(this.#ports.store, KEPT.formerPaths, renames.length === 0 ? undefined : renames);
    }
    if (rules === this.#rememberedRules) return;
    this.#rememberedRules = rules;
    writeKept(this.#ports.store, KEPT.ignoreRules, texts.length === 0 ? undefined : texts);
  }

  /**
   * Writes the rest of the overlay. Nodes that were missed again and whose absence counts go with
   * it.
   */
  #end(run: ScanRun): void {
    const now = this.#ports.clock.monotonic();
    const lost = [...run.confirmed].filter((id) => this.#disappearances.counts(id, now));
    const paths = new Map(lost.map((id) => [id, pathOf(this.#ports.store.local, id)]));
    const leaving = lost.filter((id) => !run.overlay.has(id) && !this.#revive(run, id));
    const wasSeen = (id: NodeId): boolean => this.#disappearances.wasSeen(id);
    for (const id of run.overlay.write(leaving, wasSeen)) {
      this.#disappearances.delete(id);
      const path = paths.get(id);
      if (path !== undefined) run.problems.clearBelow(path);
    }
    const blocked = run.overlay.blocked();
    this.#blockedPaths = blocked.flatMap((node) => pathOf(run.overlay, node.id) ?? []);
    for (const id of run.overlay.unremoved()) this.#disappearances.add(id, now, run.isTold);
    // They are not where the store has them. If they leave their present places before that can be
    // written, only this makes the scanner look for them.
    for (const node of blocked) {
      const stored = this.#ports.store.local.get(node.id);
      if (stored === undefined || samePlace(stored, node)) continue;
      this.#disappearances.add(node.id, now, run.isTold);
    }
  }

  /**
   * An editor renames a file to a backup, writes it anew, and removes the backup. A scan in between
   * saw a move and a new file. When the backup goes, the new file becomes the old node again.
   */
  #revive(run: ScanRun, id: NodeId): boolean {
    const base = this.#ports.store.base.get(id);
    if (base?.content.kind !== "file") return false;
    const heir = run.overlay.child(base.parent, base.name);
    if (heir === undefined || heir.id === id || heir.content.kind !== "file") return false;
    if (heir.conflictOf !== undefined || !run.overlay.isOnlyLocal(heir.id)) return false;
    const under = run.overlay.has(base.parent) ? base.parent : undefined;
    run.overlay.remove(heir.id);
    const node: LocalNode = { ...heir, id };
    run.overlay.put({ node, under });
    return true;
  }

  #progress(run: ScanRun): () => void {
    const { clock, observer, store } = this.#ports;
    const startedAt = clock.monotonic();
    let saidAt = startedAt + PROGRESS_AFTER_MS - PROGRESS_INTERVAL_MS;
    let known: number | undefined;
    return () => {
      const now = clock.monotonic();
      if (now - saidAt < PROGRESS_INTERVAL_MS) return;
      saidAt = now;
      known ??= store.counts().files;
      const total = Math.max(run.files, known);
      const bytes = { bytesDone: 0, bytesTotal: 0 };
      observer.emit({ event: "progress", phase: "scan", done: run.files, total, ...bytes });
    };
  }

  #report(run: ScanRun, complete: boolean): ScanReport {
    this.#emptied = run.emptied;
    const { files } = run;
    const missing = this.#missing();
    const pending = missing.size > 0 || this.#revisits.hasUnread;
    const again = this.#again(missing);
    return { complete, changed: run.overlay.written, again, pending, files, root: "ok" };
  }

  #again(missing: ReadonlySet<string>): Map<string, number> {
    const again = new Map<string, number>();
    this.#revisits.addTo(again);
    const now = this.#ports.clock.monotonic();
    const at = Math.max(this.#disappearances.countsAtMs, now + BLOCKED_REVISIT_MS);
    for (const path of missing) again.set(path, at);
    return again;
  }

  /** Paths of missing nodes, and of nodes that wait for these to leave. */
  #missing(): Set<string> {
    this.#forgetGone();
    const paths = new Set(this.#blockedPaths);
    for (const id of this.#disappearances.ids()) {
      const path = pathOf(this.#ports.store.local, id);
      if (path !== undefined) paths.add(path);
    }
    return paths;
  }

  /** A node that went with a directory above it, or by this device's own work, is not missing. */
  #forgetGone(): void {
    const { local } = this.#ports.store;
    for (const id of [...this.#disappearances.ids()]) {
      if (local.get(id) === undefined) this.#disappearances.delete(id);
    }
  }
}
