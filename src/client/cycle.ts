/**
 * The cycle: pull, scan, plan, guard, post, apply, record. Rules: Y1, Y4, Y5, R12, O5.
 *
 * The log is pulled before the disk is scanned, so that one plan sees both sides. Guards judge the
 * plan before anything leaves the device. Ops are posted before the disk is changed: whoever comes
 * first in the log wins, and what the answer brings may be about what was to be done here. What was
 * done is recorded last, because the state may only claim what disk and log durably hold (S2).
 *
 * Single-threaded; this decides when, the rooms that it calls decide what.
 */
import type { DeviceId, NodeId } from "../core/identifier.ts";
import type { Plan } from "../core/transition.ts";
import { pathOf } from "../core/tree.ts";
import { applyTransitions } from "./apply/apply-plan.ts";
import type { RemoteLog } from "./connect/remote-log.ts";
import type { Session } from "./connect/session.ts";
import type { ClientPorts } from "./folder/ports.ts";
import type { Holding } from "./hold.ts";
import { DeferredNodes } from "./plan/deferred.ts";
import { Planning } from "./plan/planning.ts";
import { makeDurableOrDefer } from "./post/make-durable.ts";
import { Posting } from "./post/posting.ts";
import { Retry } from "./retry.ts";
import type { Scanner } from "./scan/scanner.ts";
import { DisplacedContents } from "./stage/displaced-contents.ts";

/**
 * Rounds of plan to record in one cycle; each makes progress, the bound only stops a mistake from
 * spinning.
 */
const ROUNDS_MAX = 1_000;

export interface CycleParts {
  readonly ports: ClientPorts;
  readonly session: Pick<Session, "keepUp" | "attempt"> & {
    readonly connection: Pick<Session["connection"], "isOnline" | "tookAll">;
  };
  readonly log: RemoteLog;
  readonly scanner: Scanner;
  readonly holding: Holding;
  readonly device: DeviceId;
  readonly deviceName: string;
}

export interface CycleReport {
  /** Something was scanned. */
  readonly scanned: boolean;
  /** Paths that did not look as the last scan saw them; undefined where nothing was planned. */
  readonly rescan?: ReadonlySet<string>;
  /** Conflict copies that were made. */
  readonly conflicts: number;
}

export class Cycle {
  readonly retry: Retry;
  readonly deferred: DeferredNodes;
  readonly #parts: CycleParts;
  readonly #planning: Planning;
  readonly #posting: Posting;
  readonly #displaced = new DisplacedContents();
  #rescan = new Set<string>();
  #conflicts = 0;
  /** This device's disk is full, and all that was to be applied last takes more of it. */
  #lacksRoom = false;

  constructor(parts: CycleParts) {
    const { ports, scanner, holding } = parts;
    const deferred = new DeferredNodes(ports);
    const approvalOf = (id: NodeId) => holding.approvalOf(id);
    this.#parts = parts;
    this.deferred = deferred;
    this.#planning = new Planning({ ...parts, deferred });
    this.#posting = new Posting({ ...parts, deferred, approvalOf });
    this.retry = new Retry({ ports, scanner, holding, deferred, room: this.#posting.room });
  }

  /**
   * @param scan looks at what is due to be looked at; true where something was.
   * @throws {SyncedError} trouble that ends the run; trouble with the server that passes means
   * offline, and what was done is recorded
   */
  async run(scan: () => Promise<boolean>, signal: AbortSignal): Promise<CycleReport> {
    const { session } = this.#parts;
    await session.keepUp(signal);
    const scanned = await scan();
    let rescan: ReadonlySet<string> | undefined;
    this.#conflicts = 0;
    if (session.connection.isOnline) {
      await session.attempt(async () => {
        if (this.retry.isDue) rescan = await this.#reconcile(signal);
        session.connection.tookAll();
      });
    }
    const conflicts = this.#conflicts;
    return rescan === undefined ? { scanned, conflicts } : { scanned, conflicts, rescan };
  }

  /** Why something waits for room on the server, if anything does. */
  get shortage(): string | undefined {
    return this.#posting.room.reason;
  }

  /** Something happened at the path: what waits for it is tried again at once. */
  hear(path: string): void {
    if (this.deferred.hear(path)) this.retry.ask();
  }

  /**
   * Rounds of plan, guard, post, apply and record, until nothing more can be done now.
   *
   * @returns paths to be scanned again; undefined if nothing was planned because the server's disk
   * is still full.
   */
  async #reconcile(signal: AbortSignal): Promise<ReadonlySet<string> | undefined> {
    const { room } = this.#posting;
    // However much waits for a full server's disk, one content tells whether it is still full.
    if (this.retry.awaitsRoomOnly && !(await this.#posting.hasRoom(signal))) return undefined;
    this.retry.ask();
    this.#rescan = new Set();
    this.deferred.takeUpAgain();
    this.#planning.lookAgainAtIgnored();
    room.begin();
    await this.#goRound(signal);
    this.deferred.forgetSolved();
    if (this.#rescan.size === 0) room.end();
    this.retry.rest(this.#rescan.size > 0);
    return this.#rescan;
  }

  async #goRound(signal: AbortSignal): Promise<void> {
    const { ports, holding } = this.#parts;
    let isWhole = false;
    for (let round = 0; round < ROUNDS_MAX; round += 1) {
      signal.throwIfAborted();
      const part = await this.#planning.next(isWhole, signal);
      if (part === undefined) {
        holding.nothingWaits();
        break;
      }
      const plan = this.deferred.takenOut(holding.judge(part.plan));
      const waiting = ports.store.dirtyCount();
      const progress = await this.#carryOut(plan, signal);
      // What did not look as expected is scanned before anything else is decided about it.
      if (this.#rescan.size > 0) break;
      if (!progress && (part.isWhole || this.#posting.room.isShort || this.#lacksRoom)) break;
      // A part in which nothing can be done says nothing about the rest.
      isWhole = !progress && ports.store.dirtyCount() >= waiting;
    }
  }

  /** @returns true where it changed something. */
  async #carryOut(plan: Plan, signal: AbortSignal): Promise<boolean> {
    const { ports, log } = this.#parts;
    const moved = this.#movedDirectories(plan);
    await this.#recordAgreed(plan);
    const { newsCount } = log;
    this.#lacksRoom = false;
    const posted = await this.#posting.post(plan, signal);
    for (const path of posted.rescan) this.#rescan.add(path);
    // What came with the answer may be about what is to be done here: put in place without knowing
    // of it, an older version would pass for this user's edit.
    const isStale = log.newsCount !== newsCount;
    const applies = plan.transitions.length > 0 && !isStale;
    const applied = applies && (await this.#apply(plan, signal));
    if (posted.moved || applied) ports.store.markUnmaterialisedDirty(moved);
    return posted.moved || applied || isStale;
  }

  /** Both sides are the same: nothing is to be done but to say so. */
  async #recordAgreed({ settled, agreed, skipped }: Plan): Promise<void> {
    if (settled.length + agreed.length + skipped.length === 0) return;
    const { ports } = this.#parts;
    const { store } = ports;
    const failed = await makeDurableOrDefer(ports, this.deferred, [...settled, ...agreed]);
    store.transaction(() => {
      for (const id of settled) if (!failed.has(id)) store.settle(id);
      for (const id of agreed) if (!failed.has(id)) store.agree(id);
      for (const id of skipped) store.forget(id);
    });
  }

  async #apply(plan: Plan, signal: AbortSignal): Promise<boolean> {
    const { ports, deviceName, log, scanner } = this.#parts;
    const ignores = (path: string, isDirectory: boolean): boolean =>
      scanner.ignoreRules.ignores(path, isDirectory);
    const options = { deviceName, known: log.inlined, ignores, displaced: this.#displaced };
    this.#noteMoves(plan);
    const report = await applyTransitions(ports, plan.transitions, options, signal);
    log.dropInlined();
    for (const path of report.rescan) this.#rescan.add(path);
    for (const failure of report.failed) this.deferred.defer(failure);
    this.deferred.deferWithOthers(plan);
    this.#lacksRoom =
      report.failed.some(({ code }) => code === "storage_full") &&
      plan.transitions.every(({ kind }) => kind === "create" || kind === "replace");
    this.#conflicts += report.conflicts;
    return report.applied > 0;
  }

  #noteMoves({ transitions }: Plan): void {
    const { ports, scanner } = this.#parts;
    const { local } = ports.store;
    for (const step of transitions) {
      if (step.kind !== "move" || step.expected.content.kind !== "directory") continue;
      const path = pathOf(local, step.id);
      if (path !== undefined) scanner.noteMove(path, step.id);
    }
  }

  /** Below a directory that has another path by now other nodes are ignored than before (R15). */
  #movedDirectories({ ops, transitions }: Plan): readonly NodeId[] {
    const { ports, scanner } = this.#parts;
    if (scanner.ignoreRules.isEmpty) return [];
    const moved = [...ops.values()].flat().filter(({ kind }) => kind === "move");
    const ids = moved.map(({ node }) => node);
    for (const step of transitions) {
      if (step.kind === "move") ids.push(step.id);
      else if (step.kind === "create") ids.push(step.node.id);
    }
    return ids.filter((id) => ports.store.remote.get(id)?.content.kind === "directory");
  }
}
