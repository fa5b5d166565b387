/**
 * One cycle: pull, scan what is dirty, reconcile, guard, supply and post, apply, record.
 * Rules: Y1, Y4, Y5, R12, O5. Single-threaded; decides when, the modules that it calls decide what.
 */
import type { ErrorCode } from "../core/error.ts";
import { SyncedError } from "../core/error.ts";
import { groupOps } from "../core/group-ops.ts";
import type { BatchId, DeviceId, NodeId, OpId } from "../core/identifier.ts";
import type { IgnoreRules } from "../core/ignore.ts";
import { OPS_PER_BATCH_MAX } from "../core/limits.ts";
import type { Batch, Group, GroupResult, Op } from "../core/op.ts";
import { reconcile } from "../core/reconcile.ts";
import type { OpDraft, Plan } from "../core/transition.ts";
import { pathOf } from "../core/tree.ts";
import type { Holding } from "./hold.ts";
import type { ClientPorts } from "./ports.ts";
import type { RemoteLog } from "./remote-log.ts";
import type { Scanner } from "./scan.ts";
import { SCAN_CODES } from "./scan-problems.ts";
import { type Supply, supplyContents } from "./supply.ts";
import { applyTransitions } from "./transition.ts";

/** A node whose last try failed is left alone for a while: doubled each time. */
const PARK_DELAY_MS_MIN = 1_000;
const PARK_DELAY_MS_MAX = 300_000;
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

interface Parked {
  readonly code: ErrorCode;
  readonly untilMs: number;
  readonly delayMs: number;
}

/**
 * Turns dirty nodes into settled ones. Keeps what it must know between cycles: who was refused or
 * failed lately.
 */
export class Rounds {
  readonly #context: CycleContext;
  readonly #parked = new Map<NodeId, Parked>();
  readonly #refusals = new Map<NodeId, { readonly count: number; readonly head: number }>();
  /** Under which rules ignored remote nodes were left out. */
  #judgedBy: IgnoreRules | undefined;
  #rescan = new Set<string>();
  #conflicts = 0;

  constructor(context: CycleContext) {
    this.#context = context;
    this.#forgetEarlier();
  }

  /**
   * Reconciles until nothing more can be done now.
   *
   * @throws {SyncedError} as ServerApi does when the server cannot be reached; what was done is
   * recorded
   */
  async run(signal: AbortSignal): Promise<RoundsReport> {
    this.#unpark();
    this.#lookAgainAtIgnored();
    this.#rescan = new Set();
    this.#conflicts = 0;
    for (let round = 0; round < ROUNDS_MAX; round += 1) {
      signal.throwIfAborted();
      const plan = this.#plan();
      if (plan === undefined) break;
      const progress = await this.#carryOut(plan, signal);
      // What did not look as expected is scanned before anything else is decided about it.
      if (!progress || this.#rescan.size > 0) break;
    }
    this.#forgetSolved();
    return {
      rescan: this.#rescan,
      retryAtMs: this.#nextRetry(),
      conflicts: this.#conflicts,
    };
  }

  /** True while something waits that the next try may well carry out. */
  get awaitsRetry(): boolean {
    for (const { code } of this.#parked.values()) if (!NEVER_SYNCED.has(code)) return true;
    return false;
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

  #plan(): Plan | undefined {
    const { ports, scanner, holding, deviceName } = this.#context;
    const { store } = ports;
    for (;;) {
      const dirty = store.dirty();
      if (dirty.length === 0) {
        holding.settle();
        return undefined;
      }
      const plan = reconcile({
        base: store.base,
        local: store.local,
        remote: store.remote,
        remoteRow: (id) => store.remoteRow(id),
        dirty,
        ignores: (path, isDirectory) => scanner.ignoreRules.ignores(path, isDirectory),
        device: deviceName,
      });
      if (plan.adoptions.length === 0) return this.#withoutParked(holding.judge(plan));
      store.transaction(() => {
        for (const { local, remote } of plan.adoptions) store.adopt(local, remote);
      });
    }
  }

  #withoutParked(plan: Plan): Plan {
    if (this.#parked.size === 0) return plan;
    const ops = new Map([...plan.ops].filter(([id]) => !this.#parked.has(id)));
    const transitions = plan.transitions.filter(
      (step) => !this.#parked.has(step.kind === "create" ? step.node.id : step.id),
    );
    return { ...plan, ops, transitions };
  }

  async #carryOut(plan: Plan, signal: AbortSignal): Promise<boolean> {
    const { ports } = this.#context;
    const { store } = ports;
    if (plan.settled.length + plan.skipped.length > 0) {
      store.transaction(() => {
        for (const id of plan.settled) store.settle(id);
        for (const id of plan.skipped) store.clearDirty(id);
      });
    }
    const { posted, refusal } = await this.#tryToPost(plan, signal);
    const applied = plan.transitions.length > 0 && (await this.#apply(plan, signal));
    if (refusal !== undefined) throw refusal;
    return posted || applied;
  }

  /** A server that is full takes nothing, but gives all the same: downloads do not wait for it. */
  async #tryToPost(
    plan: Plan,
    signal: AbortSignal,
  ): Promise<{ readonly posted: boolean; readonly refusal?: SyncedError }> {
    try {
      return { posted: await this.#post(plan, signal) };
    } catch (cause) {
      if (!(cause instanceof SyncedError) || cause.code !== "storage_full") throw cause;
      return { posted: false, refusal: cause };
    }
  }

  async #apply(plan: Plan, signal: AbortSignal): Promise<boolean> {
    const { ports, deviceName, log, scanner } = this.#context;
    const ignores = (path: string, isDirectory: boolean): boolean =>
      scanner.ignoreRules.ignores(path, isDirectory);
    const options = { deviceName, known: log.inlined, ignores };
    const report = await applyTransitions(ports, plan.transitions, options, signal);
    log.dropInlined();
    for (const path of report.rescan) this.#rescan.add(path);
    for (const { id, path, code } of report.failed) {
      this.#park(id, code);
      this.#troubles.set(id, path);
    }
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
      this.#problem(
        id,
        "batch_too_large",
        "more names change places in a circle than one group may hold",
      );
    }
    if (groups.length === 0) return false;
    let moved = false;
    for (const batch of this.#batches(groups)) {
      signal.throwIfAborted();
      if (await this.#postBatch(batch, signal)) moved = true;
    }
    // Nothing to ask for where all that happened is what was just posted.
    const { log } = this.#context;
    if (!moved || log.isBehind) await log.catchUp(signal);
    return moved;
  }

  async #postBatch(batch: Batch, signal: AbortSignal): Promise<boolean> {
    const { ports } = this.#context;
    const report = await supplyContents(ports, this.#supplies(batch.groups), signal);
    for (const path of report.rescan) this.#rescan.add(path);
    const groups = batch.groups.filter(
      (group) => !group.some(({ node }) => report.unavailable.has(node)),
    );
    if (groups.length === 0) return false;
    return this.#send({ ...batch, groups }, signal);
  }

  async #send(posted: Batch, signal: AbortSignal): Promise<boolean> {
    const { own } = this.#context.log;
    own.expect(posted);
    try {
      await this.#sendExpected(posted, signal);
    } catch (cause) {
      own.keep();
      throw cause;
    }
    own.settle(posted);
    return true;
  }

  async #sendExpected(posted: Batch, signal: AbortSignal): Promise<void> {
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
    if (isFinal || count >= REFUSALS_MAX) this.#problem(op.node, result.code, result.detail);
  }

  /** Where it is, or for what is gone from both sides where it was. */
  #lastPathOf(id: NodeId): string | undefined {
    const { local, remote, base } = this.#context.ports.store;
    return pathOf(local, id) ?? pathOf(remote, id) ?? pathOf(base, id);
  }

  #problem(id: NodeId, code: ErrorCode, message: string): void {
    const { store, observer } = this.#context.ports;
    this.#park(id, code);
    const path = pathOf(store.local, id) ?? pathOf(store.remote, id);
    if (path === undefined) return;
    this.#troubles.set(id, path);
    store.setProblem(path, { path, code, message });
    observer.emit({ event: "problem", path, code, message });
  }

  #park(id: NodeId, code: ErrorCode): void {
    const before = this.#parked.get(id)?.delayMs ?? this.#delays.get(id);
    const delayMs = Math.min(PARK_DELAY_MS_MAX, (before ?? PARK_DELAY_MS_MIN / 2) * 2);
    this.#delays.set(id, delayMs);
    this.#parked.set(id, {
      untilMs: this.#context.ports.clock.monotonic() + delayMs,
      delayMs,
      code,
    });
  }

  readonly #delays = new Map<NodeId, number>();
  /** Paths of the problems that were recorded here, by node. */
  readonly #troubles = new Map<NodeId, string>();

  /** A problem ends with the wish: its node was settled in another way than by being carried out. */
  #forgetSolved(): void {
    if (this.#troubles.size === 0) return;
    const { store } = this.#context.ports;
    const dirty = new Set(store.dirty());
    for (const [id, path] of this.#troubles) {
      if (dirty.has(id)) continue;
      this.#troubles.delete(id);
      this.#delays.delete(id);
      this.#parked.delete(id);
      const problem = store.problems().find((one) => one.path === path);
      if (problem !== undefined && !SCAN_CODES.has(problem.code)) store.setProblem(path, undefined);
    }
  }

  /** What an earlier run could not do is tried again at once, and told again where it still fails. */
  #forgetEarlier(): void {
    const { store } = this.#context.ports;
    for (const { path, code } of store.problems()) {
      if (!SCAN_CODES.has(code)) store.setProblem(path, undefined);
    }
  }

  /** Lets those be tried again whose time has come. */
  #unpark(): void {
    const now = this.#context.ports.clock.monotonic();
    for (const [id, { untilMs }] of this.#parked) if (untilMs <= now) this.#parked.delete(id);
  }

  #nextRetry(): number | undefined {
    let next: number | undefined;
    for (const { untilMs } of this.#parked.values()) {
      if (next === undefined || untilMs < next) next = untilMs;
    }
    return next;
  }

  /** Groups packed into batches; one batch carries one approval or none. */
  *#batches(groups: readonly (readonly OpDraft[])[]): Generator<Batch> {
    const { ports, holding, device } = this.#context;
    const { random, store } = ports;
    const batchId = random.id<BatchId>();
    let current: Op[][] = [];
    let size = 0;
    let approval: string | undefined;
    const close = (): Batch => {
      const cursor = store.cursor();
      if (cursor === undefined) throw new SyncedError("internal", "Cannot post without a cursor");
      const batch = { device, batch: batchId, cursor, groups: current };
      return approval === undefined ? batch : { ...batch, approval };
    };
    for (const group of groups) {
      const groupApproval = approvalOf(holding, group);
      const isFull = size + group.length > OPS_PER_BATCH_MAX || groupApproval !== approval;
      if (current.length > 0 && isFull) {
        yield close();
        current = [];
        size = 0;
      }
      approval = groupApproval;
      current.push(group.map((draft) => ({ ...draft, opId: random.id<OpId>() })));
      size += group.length;
    }
    if (current.length > 0) yield close();
  }

  #supplies(groups: readonly Group[]): readonly Supply[] {
    const supplies: Supply[] = [];
    for (const op of groups.flat()) {
      if (op.kind !== "create" && op.kind !== "modify") continue;
      const { content, node } = op;
      if (content.kind === "file") supplies.push({ node, content });
    }
    return supplies;
  }
}

/** Such a path is no part of what can be in sync here: it is only listed. */
const NEVER_SYNCED: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  "name_collision",
  "unsupported_name",
  "other_file_system",
  "invalid_path",
  "reserved_name",
  "path_too_long",
  "batch_too_large",
]);

/** No news from the log will change these. */
const FINAL_REFUSALS: ReadonlySet<string> = new Set([
  "invalid_path",
  "reserved_name",
  "path_too_long",
  "kind_change",
  "invalid_manifest",
  "idempotency_key_reused",
]);

function approvalOf(holding: Holding, group: readonly OpDraft[]): string | undefined {
  for (const { node } of group) {
    const approval = holding.approvalOf(node);
    if (approval !== undefined) return approval;
  }
  return undefined;
}
