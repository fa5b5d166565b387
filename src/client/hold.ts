/**
 * Holding: the guards' verdict over time: what was let through lately, what a person approved, what
 * is held now. Rules: G2, G3, G4.
 */
import { guard, type Toll } from "../core/guard.ts";
import type { NodeId } from "../core/identifier.ts";
import { GUARD_WINDOW_MS } from "../core/limits.ts";
import type { Plan } from "../core/transition.ts";
import type { HeldChange } from "../ports/state-store.ts";
import { readSmallFile } from "./marker.ts";
import type { ClientPorts } from "./ports.ts";
import { approvedByOthers, clearApprovedByOthers } from "./remote-log.ts";

/** Written by `synced approve`: the id of the held change that a person lets through. */
export const APPROVAL_FILE = ".synced/approved";
const HELD_KEY = "held";
const APPROVAL_KEY = "approval";

interface Approval {
  readonly id: string;
  readonly nodes: readonly string[];
}

interface WindowEntry {
  readonly atMs: number;
  readonly up: Toll;
  readonly down: Toll;
}

export class Holding {
  readonly #ports: ClientPorts;
  #window: WindowEntry[] = [];
  /** The id of what this run has told: what an earlier one held is told again. */
  #told: string | undefined;

  constructor(ports: ClientPorts) {
    this.#ports = ports;
  }

  get held(): HeldChange | undefined {
    return parseHeld(this.#ports.store.value(HELD_KEY));
  }

  /** The approval that a batch with this node must carry, so that receivers let it through too. */
  approvalOf(id: NodeId): string | undefined {
    const approval = this.#approval();
    return approval?.nodes.includes(id) === true ? approval.id : undefined;
  }

  /** Takes what is held out of the plan, and tells about what is newly held or released. */
  judge(plan: Plan): Plan {
    const { store, clock } = this.#ports;
    this.#takeApproval();
    const now = clock.monotonic();
    this.#window = this.#window.filter(({ atMs }) => now - atMs < GUARD_WINDOW_MS);
    const approvedHere = new Set<string>(this.#approval()?.nodes ?? []);
    const approvedThere = approvedByOthers(store);
    const verdict = guard({
      plan,
      base: store.base,
      fileCount: store.baseFileCount(),
      recentUp: sum(this.#window.map(({ up }) => up)),
      recentDown: sum(this.#window.map(({ down }) => down)),
      isApproved: (id) => approvedHere.has(id) || approvedThere.has(id),
    });
    const { up, down } = verdict;
    if (up.deletes + up.overwrites + down.deletes + down.overwrites > 0) {
      this.#window.push({ atMs: now, up, down });
    }
    this.#tell(verdict.held);
    return verdict.plan;
  }

  /** Nothing is dirty: every approved change has been made. */
  settle(): void {
    const { store } = this.#ports;
    this.#tell(undefined);
    if (this.#approval() !== undefined) store.setValue(APPROVAL_KEY, undefined);
    clearApprovedByOthers(store);
  }

  /** True when a person has spoken since the last look. */
  hasAnswer(): boolean {
    return this.held !== undefined && this.#readAnswer() !== undefined;
  }

  #tell(held: HeldChange | undefined): void {
    const { store, observer } = this.#ports;
    const before = this.held;
    if (before?.id !== held?.id) store.setValue(HELD_KEY, held);
    const told = this.#told;
    this.#told = held?.id;
    if (held === undefined) {
      if (before !== undefined) observer.emit({ event: "released", id: before.id });
      return;
    }
    if (told === held.id) return;
    const { id, reason, count } = held;
    observer.emit({ event: "held", id, reason, count });
  }

  #takeApproval(): void {
    const { store, fs } = this.#ports;
    const answer = this.#readAnswer();
    if (answer === undefined) return;
    const held = this.held;
    if (held?.id === answer) {
      store.setValue(APPROVAL_KEY, { id: held.id, nodes: held.nodes });
      store.setValue(HELD_KEY, undefined);
      this.#ports.observer.emit({ event: "released", id: held.id });
    }
    // An answer to what is not held any more says nothing about what is held now.
    fs.removeFile(APPROVAL_FILE);
  }

  #readAnswer(): string | undefined {
    return readSmallFile(this.#ports.fs, APPROVAL_FILE, 256)?.trim();
  }

  #approval(): Approval | undefined {
    const value = this.#ports.store.value(APPROVAL_KEY);
    if (typeof value !== "object" || value === null) return undefined;
    if (!("id" in value) || typeof value.id !== "string") return undefined;
    if (!("nodes" in value) || !Array.isArray(value.nodes)) return undefined;
    return { id: value.id, nodes: value.nodes.filter((id) => typeof id === "string") };
  }
}

function sum(tolls: readonly Toll[]): Toll {
  let deletes = 0;
  let overwrites = 0;
  for (const toll of tolls) {
    deletes += toll.deletes;
    overwrites += toll.overwrites;
  }
  return { deletes, overwrites };
}

function isHeld(value: unknown): value is HeldChange {
  return typeof value === "object" && value !== null && "id" in value && "nodes" in value;
}

function parseHeld(value: unknown): HeldChange | undefined {
  return isHeld(value) ? value : undefined;
}
