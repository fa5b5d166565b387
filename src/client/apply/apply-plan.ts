/**
 * Transition: carries out the disk's half of a plan, in batches with one durability barrier each.
 * Within a batch the order is: contents staged and durable, journal, renames, directories durable,
 * one transaction with the base last. A failure on one path concerns that path only; the others go
 * on.
 * Rules: D1-D20, S2, Y1, I3, I13-I15.
 */

import type { Digest } from "../../core/digest.ts";
import type { NodeId } from "../../core/identifier.ts";
import type { FileContent } from "../../core/node.ts";
import { joinPath, parentPath } from "../../core/path.ts";
import { STATE_DIRECTORY } from "../../core/state-directory.ts";
import { nodeOf, type Transition } from "../../core/transition.ts";
import { pathOf } from "../../core/tree.ts";
import { FileSystemError, type Stat } from "../../ports/filesystem.ts";
import { codeOfTrouble } from "../folder/disk-trouble.ts";
import type { ClientPorts } from "../folder/ports.ts";
import { ProgressReport } from "../folder/progress-report.ts";
import { statExactly } from "../folder/spelling.ts";
import type { DisplacedContents } from "../stage/displaced-contents.ts";
import {
  type StagedFile,
  type StageReport,
  type StageWant,
  stageContents,
} from "../stage/stage.ts";
import { ApplyBatch, type ApplyFailure } from "./batch.ts";
import { Journal } from "./journal.ts";
import { applyMove } from "./move.ts";
import { notePlacing } from "./placing.ts";
import { prepareStateDirectories, recoverJournal } from "./recover.ts";
import { applyCreate, applyDelete, applyMetadata, applyReplace, reportOccupied } from "./step.ts";
import { unparkAll } from "./unpark.ts";

export type { ApplyFailure } from "./batch.ts";

type TransitionPorts = Pick<ClientPorts, "fs" | "store" | "api" | "observer" | "clock" | "random">;

export interface ApplyOptions {
  /** The device's name, for conflict copies. */
  readonly deviceName: string;
  /** Contents that came beside their events, by whole-file SHA-256. */
  readonly known?: ReadonlyMap<Digest, Uint8Array>;
  /**
   * Outlives the calls: a later call may read from files that an earlier one put into quarantine.
   */
  readonly displaced?: DisplacedContents;
  /**
   * Tells which paths are not synced. They keep a deleted directory alive here (A8). @default
   * nothing is ignored
   */
  readonly ignores?: (path: string, isDirectory: boolean) => boolean;
}

export interface ApplyReport {
  /** The number of transitions that were done and recorded. */
  readonly applied: number;
  /** The number of conflict copies that were made. */
  readonly conflicts: number;
  /** Paths that did not look as the last scan saw them, so nothing was done there. */
  readonly rescan: ReadonlySet<string>;
  /** Paths with trouble of their own, recorded as problems. */
  readonly failed: readonly ApplyFailure[];
}

/** One fsync barrier and one transaction for so many steps, or for so many bytes. */
const STEPS_PER_BATCH_MAX = 1_000;
const BYTES_PER_BATCH_MAX = 64 * 1024 * 1024;

/**
 * Carries out these steps in their order. It may be called again with the same steps. A step that
 * was done already finds another disk than expected, and is skipped.
 *
 * @throws {SyncedError} as ServerApi does if contents cannot be fetched, and if `signal` aborts;
 * all that was done before is recorded
 * @throws {FileSystemError} if a directory cannot be made durable
 */
export async function applyTransitions(
  ports: TransitionPorts,
  transitions: readonly Transition[],
  options: ApplyOptions,
  signal: AbortSignal,
): Promise<ApplyReport> {
  prepareStateDirectories(ports.fs);
  const application = new Application(ports, options, signal);
  if (ports.store.journal().length > 0) application.rescan(await recoverJournal(ports, options));
  return application.run(transitions);
}

class Application {
  readonly #ports: TransitionPorts;
  readonly #options: ApplyOptions;
  readonly #signal: AbortSignal;
  readonly #progress: ProgressReport;
  readonly #rescan = new Set<string>();
  /** How many steps of each node are still to come. */
  readonly #coming = new Map<NodeId, number>();
  /** Nodes whose places are taken by other spellings. */
  readonly #taken = new Set<NodeId>();
  readonly #failed: ApplyFailure[] = [];
  /**
   * Metadata steps of files that belong to another user. Each becomes a copy of this user's own.
   */
  readonly #asCopies: Transition[] = [];
  #applied = 0;
  #conflicts = 0;

  constructor(ports: TransitionPorts, options: ApplyOptions, signal: AbortSignal) {
    this.#ports = ports;
    this.#options = options;
    this.#signal = signal;
    this.#progress = new ProgressReport(ports, "apply");
  }

  rescan(paths: Iterable<string>): void {
    for (const path of paths) this.#rescan.add(path);
  }

  async run(planned: readonly Transition[]): Promise<ApplyReport> {
    const transitions = planned.map((step) => replacingShared(this.#ports, step));
    for (const step of transitions) {
      this.#progress.expect(contentOf(step)?.size ?? 0);
      this.#coming.set(nodeOf(step), (this.#coming.get(nodeOf(step)) ?? 0) + 1);
    }
    for (const step of transitions) if (this.#isTaken(step)) this.#taken.add(nodeOf(step));
    await this.#runBatches(cutBatches(transitions));
    const copies = this.#asCopies.splice(0);
    for (const step of copies) this.#progress.expect(contentOf(step)?.size ?? 0);
    if (copies.length > 0) await this.#runBatches(cutBatches(copies));
    this.#progress.end();
    // An entry that could not be judged gets another chance now, before its user misses it.
    if (this.#ports.store.journal().length > 0) {
      this.rescan(await recoverJournal(this.#ports, this.#options));
    }
    const rescan = new Set([...this.#rescan].filter((path) => !isOurs(path)));
    return { applied: this.#applied, conflicts: this.#conflicts, rescan, failed: this.#failed };
  }

  async #runBatches(batches: readonly (readonly Transition[])[]): Promise<void> {
    let staging = this.#stage(batches[0] ?? []);
    for (const [index, steps] of batches.entries()) {
      const stage = await staging;
      // The next contents are fetched while these are put in place.
      const next = stage.stop === undefined ? (batches[index + 1] ?? []) : [];
      staging = this.#stage(next);
      const isFull = stage.failed.some(({ code }) => code === "storage_full");
      const isLast = next.length === 0 || isFull || this.#signal.aborted;
      try {
        await this.#apply(steps, stage, isLast);
        if (stage.stop !== undefined) throw stage.stop;
        if (isLast) this.#signal.throwIfAborted();
      } catch (error) {
        this.#drop(await staging);
        throw error;
      }
      if (!isLast) continue;
      this.#drop(await staging);
      break;
    }
  }

  /** Never rejects because of trouble with the server; the report tells of it. */
  #stage(steps: readonly Transition[]): Promise<StageReport> {
    const wants: StageWant[] = [];
    for (const step of steps) {
      const content = contentOf(step);
      if (content === undefined || this.#taken.has(nodeOf(step))) continue;
      const displaced = this.#options.displaced?.sourcesOf(nodeOf(step), content) ?? [];
      const reuse = [...displaced, ...this.#reuse(step)];
      wants.push({ id: nodeOf(step), content, replaces: step.kind === "replace", reuse });
    }
    const { known } = this.#options;
    const options = { signal: this.#signal, ...(known === undefined ? {} : { known }) };
    return stageContents(this.#ports, wants, options);
  }

  /**
   * True if a twin has the place and stays, if the node in the place cannot leave it, or if the
   * directory cannot be made. Then the content is not fetched again and again in vain (D9). The
   * step itself finds the same and reports it.
   */
  #isTaken(step: Transition): boolean {
    const { fs, store } = this.#ports;
    if (!fs.capabilities.foldsNames || (step.kind !== "create" && step.kind !== "move"))
      return false;
    const { id, parent, name } = step.kind === "create" ? step.node : step;
    const occupant = store.local.child(parent, name)?.id;
    if (this.#taken.has(parent) || (occupant !== undefined && this.#taken.has(occupant)))
      return true;
    const directory = pathOf(store.local, parent);
    if (directory === undefined) return false;
    const path = joinPath(directory, name);
    const there = this.#look(path);
    if (there === undefined || statExactly(fs, path) !== undefined) return false;
    const twin = store.localByIdentity(there.identity)?.id;
    return twin !== undefined && twin !== id && (!this.#coming.has(twin) || this.#taken.has(twin));
  }

  #look(path: string): Stat | undefined {
    try {
      return this.#ports.fs.stat(path);
    } catch (error) {
      if (error instanceof FileSystemError) return undefined;
      throw error;
    }
  }

  /** Sources of chunks, because an edited file has most of its new chunks already. */
  #reuse(step: Transition): StageWant["reuse"] & object {
    if (step.kind !== "replace") return [];
    const { content } = step.expected;
    const path = pathOf(this.#ports.store.local, step.id);
    return path === undefined || content.kind !== "file" ? [] : [{ path, content }];
  }

  /** @param isLast true if nothing may stay in the parking after it. */
  async #apply(steps: readonly Transition[], stage: StageReport, isLast: boolean): Promise<void> {
    const batch = new ApplyBatch(this.#ports, this.#options.deviceName);
    batch.isComing = (id) => (this.#coming.get(id) ?? 0) > 0;
    const known = new Set(this.#failed.map(({ id }) => id));
    batch.hasFailed = (id) => known.has(id) || batch.failed.some((failure) => failure.id === id);
    for (const path of this.#rescan) batch.rescan.add(path);
    for (const failure of stage.failed) {
      const path = this.#pathAt(batch, steps, failure.id);
      batch.fail({ ...failure, path });
    }
    const staged = new Map(stage.staged);
    const files = [...staged].map(([id, { stat }]) => [id, stat.identity] as const);
    const moved = steps.flatMap((step) => (step.kind === "move" ? [step.id] : []));
    batch.isPlacing = files.length > 0 || moved.length > 0;
    if (batch.isPlacing) notePlacing(this.#ports, { files, moved });
    const journal = new Journal(this.#ports, batch, staged);
    for (const [index, step] of steps.entries()) {
      this.#coming.set(nodeOf(step), (this.#coming.get(nodeOf(step)) ?? 0) - 1);
      const file = staged.get(nodeOf(step));
      if (contentOf(step) !== undefined && file === undefined) {
        this.#reportTaken(batch, step);
        continue;
      }
      const id = journal.write(steps, index);
      await this.#take(batch, step, file, id);
      this.#progress.done();
      if (batch.pace.step()) await batch.pace.rest();
    }
    if (isLast) unparkAll(batch);
    await batch.commit();
    this.#options.displaced?.add(batch.displaced, this.#ports.store);
    this.#applied += batch.applied;
    this.#conflicts += batch.conflicts;
    for (const failure of batch.failed) this.#failed.push(failure);
    for (const path of batch.rescan) this.#rescan.add(path);
  }

  #reportTaken(batch: ApplyBatch, step: Transition): void {
    if (!this.#taken.has(nodeOf(step))) return;
    const path = step.kind === "create" ? batch.pathOfPlace(step.node) : undefined;
    // If its directory could not be made, or another node could not leave, that was reported.
    if (path === undefined) return;
    try {
      if (statExactly(batch.ports.fs, path) === undefined)
        reportOccupied(batch, nodeOf(step), path);
    } catch (error) {
      if (!(error instanceof FileSystemError)) throw error;
      this.#blame(batch, step, error);
    }
  }

  async #take(
    batch: ApplyBatch,
    step: Transition,
    staged: StagedFile | undefined,
    journal: string | undefined,
  ): Promise<void> {
    try {
      switch (step.kind) {
        case "create":
          return applyCreate(batch, step, staged);
        case "replace":
          return await applyReplace(batch, step, staged, journal ?? this.#ports.random.id());
        case "metadata":
          return applyMetadata(batch, step);
        case "move":
          return applyMove(batch, step, this.#options.ignores ?? (() => false));
        case "delete":
          return await applyDelete(batch, step, journal, this.#options.ignores ?? (() => false));
      }
    } catch (error) {
      if (!(error instanceof FileSystemError)) throw error;
      this.#blame(batch, step, error);
    }
  }

  /**
   * Makes a failed step a problem of its path. It is none if the step only found another entry than
   * the scan.
   */
  #blame(batch: ApplyBatch, step: Transition, error: FileSystemError): void {
    if (step.kind === "metadata" && error.code === "denied") {
      const { id, content, expected } = step;
      this.#asCopies.push({ kind: "replace", id, content, expected });
      return;
    }
    const id = nodeOf(step);
    const path = this.#pathAt(batch, [step], id);
    if (error.code === "denied") {
      batch.fail({ id, path, ...protection(path) });
      return;
    }
    batch.rescan.add(path);
    if (error.code === "not_directory" || isGone(this.#ports, parentPath(path))) {
      batch.rescan.add(parentPath(path));
      return;
    }
    batch.fail({ id, path, code: codeOfTrouble(error), message: error.message });
  }

  #pathAt(batch: ApplyBatch, steps: readonly Transition[], id: NodeId): string {
    const step = steps.find((candidate) => nodeOf(candidate) === id);
    if (step?.kind === "create") return batch.pathOfPlace(step.node) ?? step.node.name;
    if (step?.kind === "move") return batch.pathOfPlace(step) ?? step.name;
    return batch.path(id) ?? pathOf(this.#ports.store.remote, id) ?? "";
  }

  /** Removes files that were staged for a batch which will not come. */
  #drop(stage: StageReport): void {
    for (const { path } of stage.staged.values()) {
      try {
        this.#ports.fs.removeFile(path);
      } catch (error) {
        // Recovery removes it at the next start.
        if (!(error instanceof FileSystemError)) throw error;
      }
    }
  }
}

/**
 * Metadata that is set through one hard link shows through all of them. So such a file is replaced
 * by a copy of its own.
 */
function replacingShared({ fs, store }: TransitionPorts, step: Transition): Transition {
  if (step.kind !== "metadata") return step;
  const path = pathOf(store.local, step.id);
  if (path === undefined) return step;
  try {
    if ((fs.stat(path)?.links ?? 1) === 1) return step;
  } catch (error) {
    if (!(error instanceof FileSystemError)) throw error;
    return step;
  }
  const { id, content, expected } = step;
  return { kind: "replace", id, content, expected };
}

/** Only a person can help. Looking at it again and again would not. */
function protection(path: string) {
  const step = "see who owns it and its directory, their permissions and their flags";
  const message = `Cannot change "${path}": this user may not; ${step}`;
  return { code: "file_protected", message } as const;
}

/** The file content that has to be staged for a step. */
function contentOf(step: Transition): FileContent | undefined {
  if (step.kind !== "create" && step.kind !== "replace") return undefined;
  const content = step.kind === "create" ? step.node.content : step.content;
  return content.kind === "file" ? content : undefined;
}

/**
 * Begins a batch at the first replace after a move, so that the move is recorded by then. A
 * replaced file has another identity. If a crash left it at a place that no record tells of, it
 * would be taken for a new file, and the node for deleted (D2).
 */
function cutBatches(transitions: readonly Transition[]): Transition[][] {
  const batches: Transition[][] = [];
  let bytes = 0;
  let hasMoved = false;
  for (const step of transitions) {
    const size = contentOf(step)?.size ?? 0;
    const last = batches.at(-1);
    const isFull = last === undefined || last.length >= STEPS_PER_BATCH_MAX;
    const isTooBig = bytes + size > BYTES_PER_BATCH_MAX && size > 0;
    if (isFull || isTooBig || (hasMoved && step.kind === "replace")) {
      batches.push([step]);
      bytes = size;
      hasMoved = step.kind === "move";
    } else {
      last.push(step);
      bytes += size;
      hasMoved ||= step.kind === "move";
    }
  }
  return batches;
}

/** True for paths below the state directory, where no scan looks. */
function isOurs(path: string): boolean {
  return path === STATE_DIRECTORY || path.startsWith(`${STATE_DIRECTORY}/`);
}

function isGone({ fs }: TransitionPorts, directory: string): boolean {
  try {
    return fs.stat(directory)?.kind !== "directory";
  } catch (error) {
    if (error instanceof FileSystemError) return false;
    throw error;
  }
}
