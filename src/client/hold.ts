/**
 * Holding: applies the guards over time. It remembers which changes were let through lately, which
 * ones a person approved, and which are held now. It also keeps what the scanner withholds because
 * of rules of other devices. Rules: A21, G2, G3, G4, G13.
 */

import type { HeldAnswer, HeldSummary } from "../core/device-state.ts";
import { type Changes, type GuardInput, guard, NO_CHANGES, type Verdict } from "../core/guard.ts";
import type { Witness } from "../core/guard-evidence.ts";
import type { GuardSetting } from "../core/guard-setting.ts";
import type { DeviceId, NodeId } from "../core/identifier.ts";
import { GUARD_WINDOW_MS, HELD_EXAMPLES_LENGTH_MAX, HELD_EXAMPLES_MAX } from "../core/limits.ts";
import { sameState } from "../core/node.ts";
import { APPROVAL_FILE } from "../core/state-directory.ts";
import type { Plan } from "../core/transition.ts";
import { pathOf } from "../core/tree.ts";
import type { HeldChange } from "../ports/state-store.ts";
import { Burst, isGrown } from "./burst.ts";
import type { Growth } from "./connect/growth.ts";
import { OthersApprovals } from "./connect/others-approvals.ts";
import type { RemoteLog } from "./connect/remote-log.ts";
import { EarlierChanges } from "./earlier-changes.ts";
import { type ApprovalValue, KEPT, readKept, writeKept } from "./folder/kept-values.ts";
import type { ClientPorts } from "./folder/ports.ts";
import { readSmallFile } from "./folder/small-file.ts";

/** An id and a line end. */
const ANSWER_BYTES_MAX = 256;
const REJECTION = "reject ";

interface Approval {
  readonly id: string;
  readonly nodes: ReadonlySet<string>;
}

interface WindowEntry {
  readonly atMs: number;
  readonly up: Changes;
  readonly down: Changes;
}

/** The device whose changes are judged, and the guard's setting. */
export interface HoldingOptions {
  readonly device: DeviceId;
  readonly setting: GuardSetting;
  /**
   * True if approvals of other devices count. The server and whoever has a token can write them.
   */
  readonly trustsApprovals: boolean;
}

export class Holding {
  readonly #ports: ClientPorts;
  readonly #options: HoldingOptions;
  readonly #approvedThere: OthersApprovals;
  readonly #growth: Growth;
  #window: WindowEntry[] = [];
  readonly #earlierDown = new EarlierChanges();
  /**
   * A copy of the store's value, which nobody else writes. It may name many nodes, and is asked for
   * often.
   */
  #held: HeldChange | undefined;
  /** Held by a guard. It comes first, because a person answers to one change at a time. */
  #guarded: HeldChange | undefined;
  /** Withheld by the scanner (A21). */
  #unignored: HeldChange | undefined;
  /** It takes a look at each node of the held change, so it is made once. */
  #summary: HeldSummary | undefined;
  #approval: Approval | undefined;
  /** The change that was approved last, which may still be arriving. */
  #burst: Burst | undefined;
  /** Ids that the held change had before it grew. A person may have seen one of these. */
  readonly #formerIds = new Set<string>();
  /** True if part of it is held only because of changes that were let through lately. */
  #mayPass = false;
  /** The id that this run reported last. A change that an earlier run held is reported again. */
  #told: string | undefined;

  constructor(
    ports: ClientPorts,
    { approvals, growth }: Pick<RemoteLog, "approvals" | "growth">,
    options: HoldingOptions,
  ) {
    this.#ports = ports;
    this.#approvedThere = approvals;
    this.#growth = growth;
    this.#options = options;
    this.#held = readKept(ports.store, KEPT.held);
    if (this.#held?.kinds?.includes("unignoring") === true) this.#unignored = this.#held;
    else this.#guarded = this.#held;
    this.#approval = approvalOf(readKept(ports.store, KEPT.approval));
  }

  get held(): HeldChange | undefined {
    return this.#held;
  }

  /** The part of the plan that the guards hold. */
  get guarded(): HeldChange | undefined {
    return this.#guarded;
  }

  /** The scanner looked at what it withholds (A21). */
  withhold(unignored: HeldChange | undefined): void {
    const known = this.#unignored;
    if (known?.id === unignored?.id && known?.count === unignored?.count) return;
    this.#unignored = unignored;
    this.#tell(this.#guarded);
  }

  /** @returns true if a person has agreed to the rules that un-ignore what is withheld. */
  takeAgreement(): boolean {
    if (this.#guarded !== undefined || this.#unignored === undefined) return false;
    const answer = this.#answer;
    if (answer === undefined) return false;
    this.#ports.fs.removeFile(APPROVAL_FILE);
    if (answer !== this.#unignored.id) return false;
    this.withhold(undefined);
    return true;
  }

  /** True if a person has answered to the held change. `judge` then reads an approval. */
  get hasAnswer(): boolean {
    return this.#answer !== undefined;
  }

  /** @returns true if the person's answer was no, and the change is taken back */
  takeRejection(): boolean {
    const answer = this.#answer;
    if (answer?.startsWith(REJECTION) !== true) return false;
    const isTaken = this.reject(answer.slice(REJECTION.length));
    this.#ports.fs.removeFile(APPROVAL_FILE);
    return isTaken;
  }

  get #answer(): string | undefined {
    return readSmallFile(this.#ports.fs, APPROVAL_FILE, ANSWER_BYTES_MAX)?.trim();
  }

  /**
   * Lets the held change through. Durable when it returns.
   *
   * @returns false if it is another one by now
   */
  approve(id: string): boolean {
    const held = this.#heldAs(id);
    if (held === undefined) return false;
    const { store, clock, observer } = this.#ports;
    this.#burst = new Burst(held, store.base, clock.monotonic());
    this.#approve(held.id, held.nodes);
    this.#formerIds.clear();
    this.#guarded = undefined;
    this.#hold(undefined);
    observer.emit({ event: "released", id: held.id });
    return true;
  }

  /**
   * Takes back what this device did of the held change: its nodes count as never having been here,
   * so the next scan and plan bring what the server has, and whatever stands in its place is kept
   * beside it, as where a folder joins (S9). What others did stays held. Durable when it returns.
   *
   * @returns false if it is another one by now, or nothing of it was done here
   */
  reject(id: string): boolean {
    const held = this.#heldAs(id);
    if (held?.direction !== "up") return false;
    const { store, observer } = this.#ports;
    const { base, local } = store;
    store.transaction(() => {
      for (const node of held.nodes) {
        if (sameState(base.get(node), local.get(node))) continue;
        store.forget(node);
        store.markDirty(node);
      }
      this.#guarded = undefined;
      this.#hold(undefined);
    });
    this.#formerIds.clear();
    observer.emit({ event: "released", id: held.id });
    return true;
  }

  /** @param id as a person saw it, perhaps before it grew */
  #heldAs(id: string): HeldChange | undefined {
    const held = this.#guarded;
    return held !== undefined && (held.id === id || this.#formerIds.has(id)) ? held : undefined;
  }

  /** `approve` for an order from afar. @returns false also if it needs an answer here (V10) */
  approveFromAfar(id: string): boolean {
    const held = this.#heldAs(id);
    return held !== undefined && this.#answersTo(held).includes("approve") && this.approve(id);
  }

  /** As the server is told of it. */
  get summary(): HeldSummary | undefined {
    const held = this.#held;
    if (held === undefined) return undefined;
    const { id, direction, reason, count } = held;
    this.#summary ??= {
      id,
      direction,
      reason,
      count,
      examples: this.#examplesOf(held),
      answers: this.#answersTo(held),
    };
    return this.#summary;
  }

  /**
   * V10: whoever may give orders may as well delete on the server what this device would delete
   * there. What would be done here is another matter, and so is what this device ignored: its names
   * are not told either (A21).
   */
  #answersTo({ direction, kinds, nodes }: HeldChange): readonly HeldAnswer[] {
    if (kinds?.includes("unignoring") === true) return [];
    const { base, remote } = this.#ports.store;
    const isUp = direction === "up";
    const isUpOnly = isUp && nodes.every((id) => sameState(base.get(id), remote.get(id)));
    const mayApprove = isUpOnly || this.#options.trustsApprovals;
    return [...(mayApprove ? (["approve"] as const) : []), ...(isUp ? (["reject"] as const) : [])];
  }

  #examplesOf({ nodes }: HeldChange): readonly string[] {
    const paths: string[] = [];
    let length = 0;
    for (const node of nodes) {
      const path = pathOf(this.#ports.store.base, node);
      if (path === undefined || path === "") continue;
      length += path.length;
      if (paths.length === HELD_EXAMPLES_MAX || length > HELD_EXAMPLES_LENGTH_MAX) break;
      paths.push(path);
    }
    return paths;
  }

  /** When the held change may be judged otherwise although nothing happened (Clock.monotonic). */
  get rejudgeAtMs(): number | undefined {
    const [oldest] = this.#window;
    if (!this.#mayPass || oldest === undefined) return undefined;
    return oldest.atMs + GUARD_WINDOW_MS;
  }

  /** The approval that a batch with this node must carry, so that receivers let it through too. */
  approvalOf(id: NodeId): string | undefined {
    return this.#approval?.nodes.has(id) === true ? this.#approval.id : undefined;
  }

  /** Takes held changes out of the plan, and reports those that are newly held or released. */
  judge(plan: Plan): Plan {
    const { clock } = this.#ports;
    this.#takeAnswer();
    const now = clock.monotonic();
    this.#window = this.#window.filter(({ atMs }) => now - atMs < GUARD_WINDOW_MS);
    this.#earlierDown.forgetOld(now);
    let verdict = this.#verdictAfter(plan, this.#window);
    if (this.#approveRest(verdict.held, now)) verdict = this.#verdictAfter(plan, this.#window);
    const { up, down, held } = verdict;
    this.#mayPass =
      held !== undefined &&
      this.#window.length > 0 &&
      this.#verdictAfter(plan, []).held?.id !== held.id;
    if (isSome(up) || isSome(down)) this.#window.push({ atMs: now, up, down });
    this.#earlierDown.add(down);
    this.#tell(held === undefined ? undefined : this.#withOthersWord(held));
    return verdict.plan;
  }

  /** Another device's approval lifts no guard, but tells a person that it may be meant. */
  #withOthersWord(held: HeldChange): HeldChange {
    const isApproved = held.nodes.every((id) => this.#approvedThere.has(id));
    if (held.direction === "up" || !isApproved) return held;
    return { ...held, reason: `${held.reason} (it was approved on the device that did it)` };
  }

  /**
   * Lets a plan through that has nothing to do with what is held.
   *
   * @returns undefined if all has to be judged together, because what is held may be more by it.
   */
  judgeBeside(plan: Plan): Plan | undefined {
    const atMs = this.#ports.clock.monotonic();
    this.#window = this.#window.filter((entry) => atMs - entry.atMs < GUARD_WINDOW_MS);
    this.#earlierDown.forgetOld(atMs);
    const verdict = this.#verdictAfter(plan, this.#window);
    const { up, down } = verdict;
    const held = this.#guarded;
    if (held === undefined || verdict.held !== undefined) return undefined;
    if (mayJoin(up, held) || mayJoin(down, held)) return undefined;
    if (isSome(up) || isSome(down)) this.#window.push({ atMs, up, down });
    this.#earlierDown.add(down);
    return verdict.plan;
  }

  #verdictAfter(plan: Plan, window: readonly WindowEntry[]): Verdict {
    const { trustsApprovals } = this.#options;
    return verdictOn(this.#ports, plan, {
      ...this.#options,
      recentUp: () => together(window.map(({ up }) => up)),
      recentDown: () => together(window.map(({ down }) => down)),
      earlierDown: this.#earlierDown,
      isGrowth: (before, after) => this.#growth.isKnown(before, after),
      isApproved: (id) =>
        this.#approval?.nodes.has(id) === true || (trustsApprovals && this.#approvedThere.has(id)),
      isEmptied: isEmptiedIn(this.#guarded),
    });
  }

  /** Nothing is dirty, so every approved change has been made. */
  nothingWaits(): void {
    this.#tell(undefined);
    if (this.#approval !== undefined) this.#setApproval(undefined);
    this.#approvedThere.clear();
    this.#growth.clear();
  }

  #tell(guarded: HeldChange | undefined): void {
    const { observer } = this.#ports;
    const before = this.#held;
    this.#guarded = guarded;
    const held = guarded ?? this.#unignored;
    if (before?.id === held?.id) {
      if (before?.count !== held?.count) this.#hold(held);
    } else {
      if (before !== undefined && held !== undefined && isGrown(before, held)) {
        this.#formerIds.add(before.id);
      } else this.#formerIds.clear();
      this.#hold(held);
    }
    const told = this.#told;
    this.#told = held?.id;
    if (held === undefined) {
      if (before !== undefined) observer.emit({ event: "released", id: before.id });
      return;
    }
    if (told === held.id) return;
    const { id, reason, count, kinds = [] } = held;
    observer.emit({ event: "held", id, kinds, reason, count });
  }

  #takeAnswer(): void {
    const answer = this.#answer;
    if (answer === undefined) return;
    // A no is read before anything is planned.
    if (answer.startsWith(REJECTION) && this.#guarded !== undefined) return;
    this.approve(answer);
    // An answer to a change that is not held any more says nothing about the present one.
    this.#ports.fs.removeFile(APPROVAL_FILE);
  }

  #hold(held: HeldChange | undefined): void {
    this.#held = held;
    this.#summary = undefined;
    writeKept(this.#ports.store, KEPT.held, held);
  }

  /** @returns true if some of the held change is the rest of one that a person approved. */
  #approveRest(held: HeldChange | undefined, nowMs: number): boolean {
    const burst = this.#burst;
    if (held === undefined || burst === undefined) return false;
    const members = burst.membersOf(held, this.#ports.store.base, nowMs);
    if (members.length === 0) return false;
    this.#approve(burst.id, members);
    return true;
  }

  /** Nodes that were approved earlier and still have to be carried out stay approved. */
  #approve(id: string, nodes: readonly NodeId[]): void {
    this.#setApproval({ id, nodes: [...(this.#approval?.nodes ?? []), ...nodes] });
  }

  #setApproval(value: ApprovalValue | undefined): void {
    this.#approval = approvalOf(value);
    writeKept(this.#ports.store, KEPT.approval, value);
  }
}

/** @returns whether a node is held since all files were lost, one way or the other (G3). */
function isEmptiedIn(held: HeldChange | undefined): GuardInput["isEmptied"] {
  if (held?.kinds?.includes("emptying") !== true) return () => false;
  const nodes = new Set(held.nodes);
  return (id) => nodes.has(id);
}

type Known = Pick<HoldingOptions, "device" | "setting"> &
  Pick<
    GuardInput,
    "recentUp" | "recentDown" | "earlierDown" | "isApproved" | "isEmptied" | "isGrowth"
  >;

/** Judges a plan by the guards; changes nothing. */
export function verdictOn(
  { store, clock }: Pick<ClientPorts, "store" | "clock">,
  plan: Plan,
  { device, ...known }: Known,
): Verdict {
  const now = clock.now();
  const ageMs = (id: NodeId): number | undefined => {
    const birth = store.birth(id);
    if (birth !== undefined) return now - birth.atMs;
    // The node is on this disk and nobody else has heard of it.
    return store.remoteRow(id) === undefined ? 0 : undefined;
  };
  const seenUp: Witness = {
    tree: store.local,
    wasSeenGoing: (id) => store.wasSeenGoing(id),
    isOfMaker: (id) => store.birth(id)?.device === device,
    ageMs,
  };
  const seenDown: Witness = {
    tree: store.remote,
    // Only the deleting device can know. If it had not seen it, it asked its user.
    wasSeenGoing: () => true,
    isOfMaker: (id) => store.birth(id) !== undefined,
    ageMs,
  };
  const fileCount = store.baseFileCount();
  return guard({ ...known, plan, base: store.base, fileCount, seenUp, seenDown });
}

/** The approved changes so far that count, and those that are held, from the state. */
export function answeredIn(
  store: ClientPorts["store"],
  trustsApprovals: boolean,
): Pick<Known, "isApproved" | "isEmptied"> {
  const here = approvalOf(readKept(store, KEPT.approval))?.nodes;
  const there = trustsApprovals ? new OthersApprovals(store) : undefined;
  return {
    isApproved: (id) => here?.has(id) === true || there?.has(id) === true,
    isEmptied: isEmptiedIn(readKept(store, KEPT.held)),
  };
}

function together(changes: readonly Changes[]): Changes {
  const [only] = changes;
  if (changes.length <= 1) return only ?? NO_CHANGES;
  return {
    deletes: new Map(changes.flatMap(({ deletes }) => [...deletes])),
    overwrites: new Set(changes.flatMap(({ overwrites }) => [...overwrites])),
    truncations: new Set(changes.flatMap(({ truncations }) => [...truncations])),
    renames: new Map(changes.flatMap(({ renames }) => [...renames])),
  };
}

/** True if it may be more of what is held. */
function mayJoin({ deletes, overwrites, truncations, renames }: Changes, held: HeldChange) {
  if (deletes.size + truncations.size + renames.size > 0) return true;
  return overwrites.size > 0 && held.kinds?.includes("overwriting") !== false;
}

function isSome({ deletes, overwrites, renames }: Changes): boolean {
  return deletes.size + overwrites.size + renames.size > 0;
}

function approvalOf(value: ApprovalValue | undefined): Approval | undefined {
  return value === undefined ? undefined : { id: value.id, nodes: new Set(value.nodes) };
}
