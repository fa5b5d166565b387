/**
 * One cycle: pull, scan what is dirty, reconcile, guard, supply and post, apply, record.
 * Rules: Y1, Y4, Y5, R12, O5. Single-threaded; decides when, the modules that it calls decide what.
 */
import { SyncedError } from "../core/error.ts";
import { groupOps } from "../core/group-ops.ts";
import type { DeviceId, NodeId } from "../core/identifier.ts";
import type { IgnoreRules } from "../core/ignore.ts";
import { NEW_NODES_PER_PLAN_MAX } from "../core/limits.ts";
import type { Batch, Group, GroupResult } from "../core/op.ts";
import { reconcile } from "../core/reconcile.ts";
import type { Plan } from "../core/transition.ts";
import { pathOf } from "../core/tree.ts";
import type { FileSystemError } from "../ports/filesystem.ts";
import { sliceOfDirty } from "./dirty-slice.ts";
import { codeOfTrouble } from "./disk-trouble.ts";
import { DisplacedContents } from "./displaced-contents.ts";
import type { Holding } from "./hold.ts";
import { FINAL_REFUSALS } from "./lasting-trouble.ts";
import { makeDurable } from "./make-durable.ts";
import { packBatches } from "./pack-batches.ts";
import { ParkedNodes } from "./parked-nodes.ts";
import type { ClientPorts } from "./ports.ts";
import type { RemoteLog } from "./remote-log.ts";
import type { Scanner } from "./scan.ts";
import { ServerRoom } from "./server-room.ts";
import { type SupplyReport, suppliesOf, supplyContents } from "./supply.ts";
import { applyTransitions } from "./transition.ts";
import { PackSize } from "./upload.ts";

/**
 * Refused again without any news from the log: after so many times it is a problem of that path.
 */
const REFUSALS_MAX = 3;
/**
 * Rounds of reconcile in one cycle; each makes progress, the bound only stops a mistake from
 * spinning.
 */
const ROUNDS_MAX = 1_000;

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
  /** When the next parked node may be tried again (Clock.monotonic). */
  readonly retryAtMs: number | undefined;
  readonly conflicts: number;
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
  #rescan = new Set<string>();
  #conflicts = 0;
  readonly #room: ServerRoom;
  readonly #packSize = new PackSize();
  /** This device's disk is full, and all that was to be applied last takes more of it. */
  #lacksRoom = false;

  constructor(context: CycleContext) {
    this.#context = context;
    this.#room = new ServerRoom(context.ports);
    this.#parked = new ParkedNodes(context.ports);
  }

  /**
   * Reconciles until nothing more can be done now.
   *
   * @throws {SyncedError} as ServerApi does when the server cannot be reached; what was done is
   * recorded
   */
  async run(signal: AbortSignal): Promise<RoundsReport> {
    this.#parked.unpark();
    this.#lookAgainAtIgnored();
    this.#rescan = new Set();
    this.#conflicts = 0;
    this.#room.begin();
    const { store } = this.#context.ports;
    let isWhole = false;
    for (let round = 0; round < ROUNDS_MAX; round += 1) {
      signal.throwIfAborted();
      const planned = this.#plan(isWhole);
      if (planned === undefined) break;
      const waiting = store.dirtyCount();
      const progress = await this.#carryOut(planned.plan, signal);
      // What did not look as expected is scanned before anything else is decided about it.
      if (this.#rescan.size > 0) break;
      if (!progress && (planned.isWhole || this.#room.isShort || this.#lacksRoom)) break;
      // A part in which nothing can be done says nothing about the rest.
      isWhole = !progress && store.dirtyCount() >= waiting;
    }
    this.#parked.forgetSolved();
    if (this.#rescan.size === 0) this.#room.end();
    return {
      rescan: this.#rescan,
      retryAtMs: earlier(this.#room.retryAtMs, this.#parked.retryAtMs),
      conflicts: this.#conflicts,
    };
  }

  /** True while something waits that the next try may well carry out. */
  get awaitsRetry(): boolean {
    return this.#parked.awaitsRetry;
  }

  /** Why something waits for room on the server, if anything does. */
  get shortage(): string | undefined {
    return this.#room.reason;
  }

  isParked(id: NodeId): boolean {
    return this.#parked.has(id);
  }

  /** What other rules left out may be wanted by now; a run begins with rules of its own (R15). */
  #lookAgainAtIgnored(): void {
    const { ports, scanner } = this.#context;
    if (this.#judgedBy === scanner.ignoreRules) return;
    this.#judgedBy = scanner.ignoreRules;
    ports.store.markUnmaterialisedDirty();
  }

  /** @param isWhole of all that is dirty, however much it is. */
  #plan(isWhole: boolean): { readonly plan: Plan; readonly isWhole: boolean } | undefined {
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
      const plan = reconcile({
        base: store.base,
        local: store.local,
        remote: store.remote,
        remoteRow: (id) => store.remoteRow(id),
        dirty: dirty.ids,
        ignores: (path, isDirectory) => scanner.ignoreRules.ignores(path, isDirectory),
        device: deviceName,
      });
      if (plan.adoptions.length === 0) {
        return { plan: this.#withoutParked(holding.judge(plan)), isWhole: dirty.isWhole };
      }
      store.transaction(() => {
        for (const { local, remote } of plan.adoptions) store.adopt(local, remote);
      });
    }
  }

  #withoutParked(plan: Plan): Plan {
    if (this.#parked.size === 0) return plan;
    this.#parked.parkWithOthers(plan);
    const ops = new Map([...plan.ops].filter(([id]) => !this.#parked.has(id)));
    const transitions = plan.transitions.filter(
      (step) => !this.#parked.has(step.kind === "create" ? step.node.id : step.id),
    );
    return { ...plan, ops, transitions };
  }

  async #carryOut(plan: Plan, signal: AbortSignal): Promise<boolean> {
    const { ports } = this.#context;
    const { store } = ports;
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
    // Below a directory that has another path by now other nodes are ignored than before.
    const { isEmpty } = this.#context.scanner.ignoreRules;
    if ((posted || applied) && !isEmpty && placesDirectories(plan)) this.#judgedBy = undefined;
    return posted || applied || isStale;
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
      this.#room.refuse(cause);
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
    // What follows is posted on top of it.
    if (!isKnown) await this.#context.log.catchUp(signal);
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

function earlier(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined || b === undefined ? (a ?? b) : Math.min(a, b);
}

function placesDirectories({ ops, transitions }: Plan): boolean {
  const drafts = [...ops.values()].flat();
  return (
    drafts.some(({ kind }) => kind === "move") ||
    transitions.some(
      (step) =>
        step.kind === "move" || (step.kind === "create" && step.node.content.kind === "directory"),
    )
  );
}
