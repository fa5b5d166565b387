/**
 * The cycle: pull, scan, plan, guard, post, apply, record. Rules: Y1, Y4, Y5, R12, O5.
 *
 * The log is pulled before the disk is scanned, so that one plan sees both sides. Guards judge the
 * plan before anything leaves the device. Ops are posted before the disk is changed, because the
 * first in the log wins, and the answer may bring news about the very nodes that were to change
 * here. The outcome is recorded last, because the state may only claim what disk and log durably
 * hold (S2).
 *
 * It is single-threaded. This file decides when work is done; the rooms that it calls decide how.
 */
import { type Direction, oneWay } from "../core/direction.ts";
import type { DeviceId, NodeId } from "../core/identifier.ts";
import { IGNORE_FILE } from "../core/ignore.ts";
import type { Place } from "../core/node.ts";
import { joinPath } from "../core/path.ts";
import type { Plan } from "../core/transition.ts";
import { pathOf } from "../core/tree.ts";
import { applyTransitions } from "./apply/apply-plan.ts";
import { forgetNote } from "./apply/placing.ts";
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
 * Rounds of plan to record in one cycle. Each makes progress, so this bound only stops a bug from
 * spinning.
 */
const ROUNDS_MAX = 1_000;

export interface CycleParts {
  readonly ports: ClientPorts;
  readonly session: Pick<Session, "keepUp" | "attempt" | "onRestored" | "fileBytesMax"> & {
    readonly connection: Pick<Session["connection"], "isOnline" | "tookAll">;
  };
  readonly log: RemoteLog;
  readonly scanner: Scanner;
  readonly holding: Holding;
  readonly device: DeviceId;
  readonly deviceName: string;
  readonly direction: Direction;
}

export interface CycleReport {
  /** True if something was scanned. */
  readonly scanned: boolean;
  /** Paths that did not look as the last scan saw them; undefined if nothing was planned. */
  readonly rescan?: ReadonlySet<string>;
  /** The number of conflict copies that were made. */
  readonly conflicts: number;
}

/** "news": sending brought some, so the plan has to be made anew, and nothing of it was applied. */
type Done = "something" | "news" | "nothing";

export class Cycle {
  readonly retry: Retry;
  readonly deferred: DeferredNodes;
  readonly #parts: CycleParts;
  readonly #planning: Planning;
  readonly #posting: Posting;
  readonly #displaced = new DisplacedContents();
  #rescan = new Set<string>();
  #conflicts = 0;
  /** Nodes whose changes go the other way (R21). */
  readonly #left = new Set<NodeId>();
  /** True if this device's disk is full, and all the last transitions need more room. */
  #lacksRoom = false;

  constructor(parts: CycleParts) {
    const { ports, scanner, holding } = parts;
    const deferred = new DeferredNodes(ports);
    const approvalOf = (id: NodeId) => holding.approvalOf(id);
    this.#parts = parts;
    this.deferred = deferred;
    this.#planning = new Planning({ ...parts, deferred });
    parts.session.onRestored(() => this.#planning.forgetHistory());
    this.#posting = new Posting({ ...parts, deferred, approvalOf });
    const { room } = this.#posting;
    this.retry = new Retry({ ports, scanner, holding, deferred, room, left: this.#left });
  }

  /**
   * @param scan scans all paths that are due; resolves with true if there were any.
   * @param isPaused true if both sides are only looked at
   * @throws {SyncedError} trouble that ends the run. If trouble with the server passes by itself,
   * the client goes offline instead, and all that was done is recorded.
   */
  async run(
    scan: () => Promise<boolean>,
    signal: AbortSignal,
    isPaused = false,
  ): Promise<CycleReport> {
    const { ports, session } = this.#parts;
    await session.keepUp(signal);
    forgetNote(ports.store);
    const scanned = await scan();
    let rescan: ReadonlySet<string> | undefined;
    this.#conflicts = 0;
    if (session.connection.isOnline && !isPaused) {
      await session.attempt(async () => {
        if (this.retry.isDue) rescan = await this.#reconcile(signal);
        session.connection.tookAll();
      });
    }
    const conflicts = this.#conflicts;
    return rescan === undefined ? { scanned, conflicts } : { scanned, conflicts, rescan };
  }

  /** The reason why something waits for room on the server, if anything does. */
  get shortage(): string | undefined {
    return this.#posting.room.reason;
  }

  /** How many changes stay on their side because this folder goes one way only. */
  get leftCount(): number {
    return this.#left.size;
  }

  /** Something happened at the path, so nodes that wait for it are tried again at once. */
  hear(path: string): void {
    if (this.deferred.hear(path)) this.retry.ask();
  }

  /**
   * Repeats plan, guard, post, apply and record until nothing more can be done now.
   *
   * @returns paths to be scanned again; undefined if nothing was planned because the server's disk
   * is still full.
   */
  async #reconcile(signal: AbortSignal): Promise<ReadonlySet<string> | undefined> {
    const { room } = this.#posting;
    // One content is enough to find out whether the server's disk is still full, however much
    // waits.
    if (this.retry.awaitsRoomOnly && !(await this.#posting.hasRoom(signal))) return undefined;
    const isBeside = this.retry.hasNewsBesideHeld;
    this.retry.ask();
    this.#rescan = new Set();
    this.deferred.takeUpAgain();
    this.#planning.lookAgainAtIgnored();
    room.begin();
    const isDone = isBeside && (await this.#goBesideHeld(signal));
    if (!isDone && this.#rescan.size === 0) await this.#goRound(signal);
    this.deferred.forgetSolved();
    if (this.#rescan.size === 0) room.end();
    if (isDone) this.retry.restAgain();
    else this.retry.rest(this.#rescan.size > 0);
    return this.#rescan;
  }

  /**
   * Plans news without the held nodes, so that its cost does not grow with their number.
   *
   * @returns true if all that is dirty now is held.
   */
  async #goBesideHeld(signal: AbortSignal): Promise<boolean> {
    const { holding } = this.#parts;
    const held = new Set<NodeId>(holding.guarded?.nodes);
    let hasMoved = true;
    for (let round = 0; round < ROUNDS_MAX; round += 1) {
      signal.throwIfAborted();
      const news = await this.#planning.nextBeside(held, signal);
      if (news === "nothing") return true;
      const plan = news === "bound" || !hasMoved ? undefined : holding.judgeBeside(news);
      if (plan === undefined) return false;
      const done: Done = await this.#carryOut(this.deferred.takenOut(plan), signal);
      hasMoved = done !== "nothing";
      if (this.#rescan.size > 0) return false;
    }
    return false;
  }

  async #goRound(signal: AbortSignal): Promise<void> {
    const { ports, holding } = this.#parts;
    let isWhole = false;
    let isOnlyToApply = false;
    this.#left.clear();
    for (let round = 0; round < ROUNDS_MAX; round += 1) {
      signal.throwIfAborted();
      const part = await this.#planning.next(isWhole, signal);
      if (part === undefined) {
        holding.nothingWaits();
        break;
      }
      const { plan: wanted, left } = oneWay(part.plan, this.#parts.direction);
      for (const id of left) this.#left.add(id);
      const plan = this.deferred.takenOut(holding.judge(wanted));
      const waiting = ports.store.dirtyCount();
      const done = await this.#carryOut(plan, signal, isOnlyToApply);
      const progress = done !== "nothing";
      // Paths that did not look as expected are scanned before anything else is sent. Where people
      // never pause there are such paths each time, and others' work may not wait for them.
      if (this.#rescan.size > 0) {
        if (done !== "news" || isOnlyToApply) break;
        isOnlyToApply = true;
        continue;
      }
      if (!progress && (part.isWhole || this.#posting.room.isShort || this.#lacksRoom)) break;
      // If nothing can be done in this part, the rest may still have work.
      isWhole = !progress && ports.store.dirtyCount() >= waiting;
    }
  }

  /**
   * @param isOnlyToApply true if nothing may be sent now
   */
  async #carryOut(plan: Plan, signal: AbortSignal, isOnlyToApply = false): Promise<Done> {
    const { ports, log } = this.#parts;
    const moved = this.#movedDirectories(plan);
    await this.#recordAgreed(plan);
    const { newsCount } = log;
    this.#lacksRoom = false;
    const wanted = isOnlyToApply ? { ...plan, ops: new Map() } : plan;
    const posted = await this.#posting.post(wanted, signal);
    for (const path of posted.rescan) this.#rescan.add(path);
    // The answer may have brought news about nodes that were to change here. An older version that
    // is put in place now would pass for this user's edit.
    const isStale = log.newsCount !== newsCount;
    const applies = plan.transitions.length > 0 && !isStale;
    const applied = applies && (await this.#apply(plan, signal));
    if (posted.moved || applied) ports.store.markUnmaterialisedDirty(moved);
    if (isStale) return "news";
    return posted.moved || applied ? "something" : "nothing";
  }

  /** Both sides are the same already, so this only records it. */
  async #recordAgreed({ settled, agreed, skipped }: Plan): Promise<void> {
    if (settled.length + agreed.length + skipped.length === 0) return;
    const { ports } = this.#parts;
    const { store } = ports;
    const failed = await makeDurableOrDefer(ports, this.deferred, [...settled, ...agreed]);
    store.transaction(() => {
      for (const id of settled) if (!failed.has(id)) store.settle(id);
      for (const id of agreed) if (!failed.has(id)) store.agree(id);
      for (const id of skipped) {
        store.forget(id);
        // A21: the log has it, so it arrives, or waits for what is withheld at its place.
        if (!this.#isIgnored(id)) store.markDirty(id);
      }
    });
  }

  #isIgnored(id: NodeId): boolean {
    const { ports, scanner } = this.#parts;
    const path = pathOf(ports.store.remote, id);
    const isDirectory = ports.store.remote.get(id)?.content.kind === "directory";
    return path === undefined || scanner.ignoreRules.ignores(path, isDirectory);
  }

  async #apply(plan: Plan, signal: AbortSignal): Promise<boolean> {
    const { ports, deviceName, log, scanner } = this.#parts;
    const ignores = (path: string, isDirectory: boolean): boolean =>
      scanner.ignoreRules.ignores(path, isDirectory);
    const options = { deviceName, known: log.inlined, ignores, displaced: this.#displaced };
    const rulesIn = this.#directoriesOfRules(plan);
    scanner.loseRules(rulesIn.before, this.#renamesOf(plan));
    this.#noteMoves(plan);
    const report = await applyTransitions(ports, plan.transitions, options, signal);
    log.dropInlined();
    for (const path of report.rescan) this.#rescan.add(path);
    if (report.applied > 0) {
      for (const directory of [...rulesIn.before, ...rulesIn.after]) {
        this.#rescan.add(joinPath(directory, IGNORE_FILE));
      }
    }
    for (const failure of report.failed) this.deferred.defer(failure);
    this.deferred.deferWithOthers(plan);
    this.#lacksRoom =
      report.failed.some(({ code }) => code === "storage_full") &&
      plan.transitions.every(({ kind }) => kind === "create" || kind === "replace");
    this.#conflicts += report.conflicts;
    return report.applied > 0;
  }

  /**
   * Rules that others changed hold from now on, so a scan has to find them before all is in sync.
   *
   * @returns the directories from which a rules file goes, and those in which one is put
   */
  #directoriesOfRules({ transitions }: Plan) {
    const { local } = this.#parts.ports.store;
    const before: string[] = [];
    const after: string[] = [];
    const note = (list: string[], place: Place | undefined): void => {
      const directory = place?.name === IGNORE_FILE ? pathOf(local, place.parent) : undefined;
      if (directory !== undefined) list.push(directory);
    };
    for (const step of transitions) {
      if (step.kind === "create") note(after, step.node);
      else if (step.kind === "replace") note(after, local.get(step.id));
      else if (step.kind !== "metadata") note(before, local.get(step.id));
      if (step.kind === "move") note(after, step);
    }
    return { before, after };
  }

  /** Paths of directories before and after the plan, whose rules may depend on them (A22). */
  #renamesOf({ transitions }: Plan): readonly (readonly [string, string])[] {
    const { local } = this.#parts.ports.store;
    const moves = new Map<NodeId, Place>();
    for (const step of transitions) if (step.kind === "move") moves.set(step.id, step);
    const after = { get: (id: NodeId) => moves.get(id) ?? local.get(id) };
    return [...moves.keys()].flatMap((id) => {
      if (local.get(id)?.content.kind !== "directory") return [];
      const [from, to] = [pathOf(local, id), pathOf(after, id)];
      return from === undefined || to === undefined || from === to ? [] : [[from, to] as const];
    });
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

  /** If a directory has another path now, other nodes below it may be ignored than before (R15). */
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
