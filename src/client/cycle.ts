/**
 * One cycle: pull, scan what is dirty, reconcile, guard, supply and post, apply, record.
 * Rules: Y1, Y4, Y5, R12, O5. Single-threaded; decides when, the modules that it calls decide what.
 */
import { SyncedError } from "../core/error.ts";
import { groupOps } from "../core/group-ops.ts";
import type { DeviceId, NodeId } from "../core/identifier.ts";
import type { IgnoreRules } from "../core/ignore.ts";
import { NEW_NODES_PER_PLAN_MAX, RETRY_DELAY_MS_MAX } from "../core/limits.ts";
import { type RemoteNode, sameContent, samePlace } from "../core/node.ts";
import type { Batch, Group, GroupResult, Op } from "../core/op.ts";
import type { Plan } from "../core/transition.ts";
import { pathOf } from "../core/tree.ts";
import type { FileSystemError } from "../ports/filesystem.ts";
import { applyTransitions } from "./apply/apply-plan.ts";
import type { RemoteLog } from "./connect/remote-log.ts";
import { codeOfTrouble } from "./folder/disk-trouble.ts";
import { FINAL_REFUSALS } from "./folder/lasting-trouble.ts";
import type { ClientPorts } from "./folder/ports.ts";
import type { Holding } from "./hold.ts";
import { ParkedNodes } from "./plan/deferred.ts";
import { sliceOfDirty } from "./plan/dirty-slice.ts";
import { EarlierVersions } from "./plan/earlier-versions.ts";
import { type PlannedPart, planOfState } from "./plan/plan-of-state.ts";
import { makeDurable } from "./post/make-durable.ts";
import { packBatches } from "./post/pack-batches.ts";
import { ServerRoom } from "./post/server-room.ts";
import { type SupplyReport, suppliesOf, supplyContents } from "./post/supply.ts";
import { PackSize } from "./post/upload.ts";
import type { Scanner } from "./scan/scanner.ts";
import { DisplacedContents } from "./stage/displaced-contents.ts";

/**
 * Refused again without any news from the log: after so many times it is a problem of that path.
 */
const REFUSALS_MAX = 3;
/**
 * Rounds of reconcile in one cycle; each makes progress, the bound only stops a mistake from
 * spinning.
 */
const ROUNDS_MAX = 1_000;
const UNREST_DELAY_MS_MIN = 1_000;

export interface CycleContext {
  readonly ports: ClientPorts;
  readonly log: RemoteLog;
  readonly scanner: Scanner;
  readonly holding: Holding;
  readonly device: DeviceId;
  readonly deviceName: string;
}

export interface RoundsReport {
  /** Paths that did not look as the last scan saw them. */
  readonly rescan: ReadonlySet<string>;
  readonly conflicts: number;
}

/** What the last plan was made of. */
interface Planned {
  readonly dirtyVersion: number;
  readonly rules: IgnoreRules;
}

/**
 * Turns dirty nodes into settled ones. Keeps what it must know between cycles: who was refused or
 * failed lately.
 */
export class Rounds {
  readonly #context: CycleContext;
  readonly #parked: ParkedNodes;
  readonly #refusals = new Map<NodeId, { readonly count: number; readonly head: number }>();
  /** Under which rules ignored remote nodes were left out. */
  #judgedBy: IgnoreRules | undefined;
  readonly #displaced = new DisplacedContents();
  readonly #earlier: EarlierVersions;
  #rescan = new Set<string>();
  #conflicts = 0;
  readonly #room: ServerRoom;
  readonly #packSize = new PackSize();
  /** Undefined where something is to be planned, whatever is dirty. */
  #planned: Planned | undefined;
  /** When what waits here may be tried again (Clock.monotonic), however full the server is. */
  #tryAtMs: number | undefined;
  #unrestDelayMs = 0;
  /** All that is dirty waits for a later try or for a person. */
  #isResting = false;
  /** This device's disk is full, and all that was to be applied last takes more of it. */
  #lacksRoom = false;

  constructor(context: CycleContext) {
    this.#context = context;
    this.#room = new ServerRoom(context.ports);
    this.#parked = new ParkedNodes(context.ports);
    this.#earlier = new EarlierVersions(context.ports);
  }

  /**
   * Reconciles until nothing more can be done now.
   *
   * @returns undefined where nothing was planned, since the server has no room yet.
   * @throws {SyncedError} as ServerApi does when the server cannot be reached; what was done is
   * recorded
   */
  async run(signal: AbortSignal): Promise<RoundsReport | undefined> {
    if (await this.#awaitsRoomOnly(signal)) return undefined;
    this.#planned = undefined;
    this.#rescan = new Set();
    this.#conflicts = 0;
    this.#parked.unpark();
    this.#lookAgainAtIgnored();
    this.#room.begin();
    await this.#goRound(signal);
    this.#parked.forgetSolved();
    if (this.#rescan.size === 0) this.#room.end();
    this.#rest();
    return { rescan: this.#rescan, conflicts: this.#conflicts };
  }

  async #goRound(signal: AbortSignal): Promise<void> {
    const { store } = this.#context.ports;
    let isWhole = false;
    for (let round = 0; round < ROUNDS_MAX; round += 1) {
      signal.throwIfAborted();
      const planned = await this.#plan(isWhole, signal);
      if (planned === undefined) break;
      const waiting = store.dirtyCount();
      const progress = await this.#carryOut(planned.plan, signal);
      // What did not look as expected is scanned before anything else is decided about it.
      if (this.#rescan.size > 0) break;
      if (!progress && (planned.isWhole || this.#room.isShort || this.#lacksRoom)) break;
      // A part in which nothing can be done says nothing about the rest.
      isWhole = !progress && store.dirtyCount() >= waiting;
    }
  }

  /** However much waits for a full server's disk, one content tells whether it is still full. */
  async #awaitsRoomOnly(signal: AbortSignal): Promise<boolean> {
    if (this.#room.retryAtMs === undefined || this.#hasNews || this.#isPast(this.#tryAtMs)) {
      return false;
    }
    return !(await this.#room.hasSome(this.#packSize, signal));
  }

  /** Nothing more can be done now: says what comes next. */
  #rest(): void {
    const { ports, scanner, holding } = this.#context;
    const { store } = ports;
    const held = new Set(holding.held?.nodes ?? []);
    this.#isResting = store.dirty().every((id) => this.#parked.has(id) || held.has(id));
    this.#planned = { dirtyVersion: store.dirtyVersion(), rules: scanner.ignoreRules };
    this.#tryAtMs = earlier(this.#parked.retryAtMs, holding.rejudgeAtMs);
    if (this.#isResting || this.#rescan.size > 0 || this.#room.retryAtMs !== undefined) {
      this.#unrestDelayMs = 0;
      return;
    }
    // What can neither be done nor waits for anything that is known: looked at again all the same.
    const doubledMs = Math.max(UNREST_DELAY_MS_MIN, 2 * this.#unrestDelayMs);
    this.#unrestDelayMs = Math.min(doubledMs, RETRY_DELAY_MS_MAX);
    this.#tryAtMs = earlier(this.#tryAtMs, ports.clock.monotonic() + this.#unrestDelayMs);
  }

  /** When it is due again if nothing happens (Clock.monotonic). */
  get retryAtMs(): number | undefined {
    return earlier(this.#tryAtMs, this.#room.retryAtMs);
  }

  /** True where a plan may come to something, and when the time of what waits has come. */
  get isDue(): boolean {
    return this.#hasNews || this.#isPast(this.retryAtMs);
  }

  #isPast(atMs: number | undefined): boolean {
    return atMs !== undefined && atMs <= this.#context.ports.clock.monotonic();
  }

  get isResting(): boolean {
    return this.#isResting && !this.isDue;
  }

  /** What was planned last is to be planned anew, though nothing is known to have changed. */
  ask(): void {
    this.#planned = undefined;
  }

  /** Something happened at the path: what waits for it is tried again at once. */
  hear(path: string): void {
    if (this.#parked.hear(path)) this.ask();
  }

  get #hasNews(): boolean {
    const { ports, scanner } = this.#context;
    if (this.#planned === undefined) return true;
    const { dirtyVersion, rules } = this.#planned;
    return dirtyVersion !== ports.store.dirtyVersion() || rules !== scanner.ignoreRules;
  }

  /** True while something waits that the next try may well carry out. */
  get awaitsRetry(): boolean {
    return this.#parked.awaitsRetry;
  }

  /** Why something waits for room on the server, if anything does. */
  get shortage(): string | undefined {
    return this.#room.reason;
  }

  /** What other rules left out may be wanted by now; a run begins with rules of its own (R15). */
  #lookAgainAtIgnored(): void {
    const { ports, scanner } = this.#context;
    if (this.#judgedBy === scanner.ignoreRules) return;
    this.#judgedBy = scanner.ignoreRules;
    ports.store.markUnmaterialisedDirty();
  }

  /** @param isWhole of all that is dirty, however much it is. */
  async #plan(isWhole: boolean, signal: AbortSignal): Promise<PlannedPart | undefined> {
    const { ports, scanner, holding, deviceName } = this.#context;
    const { store } = ports;
    for (;;) {
      const dirty = isWhole
        ? { ids: store.dirty(), isWhole }
        : sliceOfDirty(store, NEW_NODES_PER_PLAN_MAX + this.#parked.size);
      if (dirty.ids.length === 0) {
        holding.settle();
        return undefined;
      }
      const parts = { scanner, device: deviceName, earlier: this.#earlier };
      const plan = planOfState(store, dirty.ids, parts);
      if (plan.adoptions.length === 0) {
        if (await this.#earlier.learn(plan, signal)) continue;
        return { plan: this.#parked.takenOut(holding.judge(plan)), isWhole: dirty.isWhole };
      }
      store.transaction(() => {
        for (const { local, remote } of plan.adoptions) store.adopt(local, remote);
      });
    }
  }

  async #carryOut(plan: Plan, signal: AbortSignal): Promise<boolean> {
    const { store } = this.#context.ports;
    const moved = this.#movedDirectories(plan);
    const { settled, agreed } = plan;
    if (settled.length + agreed.length + plan.skipped.length > 0) {
      const failed = await this.#makeDurable([...settled, ...agreed]);
      store.transaction(() => {
        for (const id of settled) if (!failed.has(id)) store.settle(id);
        for (const id of agreed) if (!failed.has(id)) store.agree(id);
        for (const id of plan.skipped) store.forget(id);
      });
    }
    const { log } = this.#context;
    const { newsCount } = log;
    this.#lacksRoom = false;
    const posted = await this.#tryToPost(plan, signal);
    // What came with the answer may be about what is to be done here: put in place without knowing
    // of it, an older version would pass for this user's edit.
    const isStale = log.newsCount !== newsCount;
    const applies = plan.transitions.length > 0 && !isStale;
    const applied = applies && (await this.#apply(plan, signal));
    if (posted || applied) store.markUnmaterialisedDirty(moved);
    return posted || applied || isStale;
  }

  /** Below a directory that has another path by now other nodes are ignored than before (R15). */
  #movedDirectories({ ops, transitions }: Plan): readonly NodeId[] {
    const { ports, scanner } = this.#context;
    if (scanner.ignoreRules.isEmpty) return [];
    const moved = [...ops.values()].flat().filter(({ kind }) => kind === "move");
    const ids = moved.map(({ node }) => node);
    for (const step of transitions) {
      if (step.kind === "move") ids.push(step.id);
      else if (step.kind === "create") ids.push(step.node.id);
    }
    return ids.filter((id) => ports.store.remote.get(id)?.content.kind === "directory");
  }

  /** A server that is full takes nothing, but gives all the same: downloads do not wait for it. */
  async #tryToPost(plan: Plan, signal: AbortSignal): Promise<boolean> {
    try {
      return await this.#post(plan, signal);
    } catch (cause) {
      if (!(cause instanceof SyncedError) || cause.code !== "storage_full") throw cause;
      this.#room.refuse(cause);
      return false;
    }
  }

  async #apply(plan: Plan, signal: AbortSignal): Promise<boolean> {
    const { ports, deviceName, log, scanner } = this.#context;
    const ignores = (path: string, isDirectory: boolean): boolean =>
      scanner.ignoreRules.ignores(path, isDirectory);
    const options = { deviceName, known: log.inlined, ignores, displaced: this.#displaced };
    this.#noteMoves(plan);
    const report = await applyTransitions(ports, plan.transitions, options, signal);
    log.dropInlined();
    for (const path of report.rescan) this.#rescan.add(path);
    for (const failure of report.failed) this.#parked.park(failure);
    this.#parked.parkWithOthers(plan);
    this.#lacksRoom =
      report.failed.some(({ code }) => code === "storage_full") &&
      plan.transitions.every(({ kind }) => kind === "create" || kind === "replace");
    this.#conflicts += report.conflicts;
    return report.applied > 0;
  }

  #noteMoves({ transitions }: Plan): void {
    const { ports, scanner } = this.#context;
    const { local } = ports.store;
    for (const step of transitions) {
      if (step.kind !== "move" || step.expected.content.kind !== "directory") continue;
      const path = pathOf(local, step.id);
      if (path !== undefined) scanner.noteMove(path, step.id);
    }
  }

  /** @returns true when the log moved, or said no in a way that it explains. */
  async #post(plan: Plan, signal: AbortSignal): Promise<boolean> {
    const { groups, oversized } = groupOps({
      ops: plan.ops,
      remote: this.#context.ports.store.remote,
    });
    for (const id of oversized) {
      this.#parked.tell(
        id,
        "batch_too_large",
        "more names change places in a circle than one group may hold",
      );
    }
    if (groups.length === 0) return false;
    let moved = false;
    for (const batch of packBatches(this.#context, groups)) {
      signal.throwIfAborted();
      if (await this.#postBatch(batch, signal)) moved = true;
    }
    // Nothing to ask for where all that happened is what was just posted.
    const { log } = this.#context;
    if (!moved || log.isBehind) await log.catchUp(signal);
    return moved;
  }

  async #postBatch(packed: Batch, signal: AbortSignal): Promise<boolean> {
    const batch = { ...packed, groups: this.#room.fitting(packed.groups) };
    if (batch.groups.length === 0) return false;
    // The disk is waited for while the bytes are on their way.
    const durable = this.#makeDurable(batch.groups.flatMap((group) => group.map((op) => op.node)));
    const supply = this.#supply(batch, signal);
    const { own } = this.#context.log;
    const expected = (async () => own.expect(batch))();
    await Promise.allSettled([durable, supply, expected]);
    await expected;
    const failed = await durable;
    const { unavailable, refused, rescan } = await supply;
    for (const path of rescan) this.#rescan.add(path);
    for (const [id, { code, message }] of refused) this.#parked.tell(id, code, message);
    const groups = batch.groups.filter(
      (group) => !group.some(({ node }) => unavailable.has(node) || failed.has(node)),
    );
    const unknown =
      groups.length === 0 ? [] : await this.#sendInHalves({ ...batch, groups }, signal);
    own.settle({ ...batch, groups: batch.groups.filter((group) => !unknown.includes(group)) });
    return groups.length > unknown.length;
  }

  /** A server that is full takes no bytes, but it takes what needs none. */
  async #supply(batch: Batch, signal: AbortSignal): Promise<SupplyReport> {
    const { ports } = this.#context;
    try {
      return await supplyContents(ports, suppliesOf(batch.groups), this.#packSize, signal);
    } catch (cause) {
      if (!(cause instanceof SyncedError) || cause.code !== "storage_full") throw cause;
      this.#room.refuse(cause, suppliesOf(batch.groups));
      const waiting = batch.groups.flat().filter((op) => this.#room.needsRoom(op));
      const unavailable = new Set(waiting.map(({ node }) => node));
      return { unavailable, refused: new Map(), rescan: new Set() };
    }
  }

  /** @returns those that cannot be, which is a problem of their paths. */
  async #makeDurable(ids: Iterable<NodeId>): Promise<ReadonlyMap<NodeId, FileSystemError>> {
    const failed = await makeDurable(this.#context.ports, ids);
    for (const [id, error] of failed) this.#parked.tell(id, codeOfTrouble(error), error.message);
    return failed;
  }

  /**
   * A batch that something on the way refuses is posted in halves, ops and their ids as they are:
   * the server may have taken it all the same (O1).
   *
   * @returns groups that were refused alone, of which nobody knows what became of them.
   */
  async #sendInHalves(posted: Batch, signal: AbortSignal): Promise<readonly Group[]> {
    try {
      await this.#send(posted, signal);
      return [];
    } catch (cause) {
      if (!(cause instanceof SyncedError) || cause.code !== "body_refused") throw cause;
      const { groups } = posted;
      const middle = groups.length >> 1;
      if (middle === 0) {
        for (const { node } of groups.flat()) this.#parked.tell(node, cause.code, cause.message);
        return groups;
      }
      const halves = [groups.slice(0, middle), groups.slice(middle)];
      const unknown: Group[] = [];
      for (const half of halves) {
        const some = await this.#sendInHalves({ ...posted, groups: half }, signal);
        for (const one of some) unknown.push(one);
      }
      return unknown;
    }
  }

  async #send(posted: Batch, signal: AbortSignal): Promise<void> {
    const { ports } = this.#context;
    const { groups } = posted;
    const answer = await ports.api.postOps(posted, signal);
    const { results, head } = answer;
    if (results.length !== groups.length) {
      throw new SyncedError("protocol_violation", "Server answered for another number of groups");
    }
    this.#context.log.head = Math.max(this.#context.log.head, head);
    // What is deleted has no path any more once it is folded.
    const paths = new Map(groups.flat().map(({ node }) => [node, this.#lastPathOf(node)]));
    const isKnown = this.#context.log.foldOwn(posted, answer);
    ports.store.transaction(() => {
      for (const [i, result] of results.entries()) this.#takeResult(groups[i] ?? [], result, paths);
    });
    if (isKnown) return;
    // What follows is posted on top of it.
    await this.#context.log.catchUp(signal);
    for (const [i, result] of results.entries()) this.#checkAccepted(groups[i] ?? [], result);
  }

  /** What the log does not have, or has otherwise, would be posted again and again. */
  #checkAccepted(group: Group, result: GroupResult): void {
    if (result.status !== "accepted") return;
    for (const [i, op] of group.entries()) {
      const row = this.#context.ports.store.remoteRow(op.node);
      if (row !== undefined && holds(row, op, result.seqs[i] ?? 0)) continue;
      const message = "Cannot go on: the server's log does not have what it accepted";
      throw new SyncedError("protocol_violation", message);
    }
  }

  #takeResult(
    group: Group,
    result: GroupResult,
    paths: ReadonlyMap<NodeId, string | undefined>,
  ): void {
    const { ports, log } = this.#context;
    if (result.status === "accepted") {
      for (const op of group) {
        this.#refusals.delete(op.node);
        const path = paths.get(op.node);
        ports.observer.emit({ event: "change", direction: "up", kind: op.kind, path: path ?? "" });
        if (path !== undefined) ports.store.setProblem(path, undefined);
      }
      return;
    }
    const op = group[result.op] ?? group[0];
    if (op === undefined) return;
    const { current } = result;
    if (current?.deleted === true && ports.store.remoteRow(current.id) === undefined) {
      // A snapshot does not tell of the deleted: joined anew after a restore, this device learns
      // of a tombstone only here. On top of it the node is revived (O2).
      ports.store.putRemote(current);
      return;
    }
    const before = this.#refusals.get(op.node);
    const count = before !== undefined && before.head === log.head ? before.count + 1 : 1;
    this.#refusals.set(op.node, { count, head: log.head });
    const isFinal = FINAL_REFUSALS.has(result.code);
    if (isFinal || count >= REFUSALS_MAX) this.#parked.tell(op.node, result.code, result.detail);
  }

  /** Where it is, or for what is gone from both sides where it was. */
  #lastPathOf(id: NodeId): string | undefined {
    const { local, remote, base } = this.#context.ports.store;
    return pathOf(local, id) ?? pathOf(remote, id) ?? pathOf(base, id);
  }
}

/** True where the node is as the op made it with event `seq`, or was changed again since. */
function holds(row: RemoteNode, op: Op, seq: number): boolean {
  const { contentVersion, placeVersion } = row;
  if (Math.max(contentVersion, placeVersion) < seq) return false;
  if (op.kind === "delete") return row.deleted || contentVersion > seq || placeVersion > seq;
  const isPlaced = op.kind === "modify" || placeVersion > seq || samePlace(row, op);
  return (
    isPlaced && (op.kind === "move" || contentVersion > seq || sameContent(row.content, op.content))
  );
}

function earlier(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined || b === undefined ? (a ?? b) : Math.min(a, b);
}
