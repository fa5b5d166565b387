/**
 * Planning: makes the next plan for a part or all of the dirty nodes. Adoptions come first, and the
 * plan uses the history's answers about the nodes. Rules: R9, R15-R17, Y5, Y10.
 */
import type { NodeId } from "../../core/identifier.ts";
import type { IgnoreRules } from "../../core/ignore.ts";
import { NEW_NODES_PER_PLAN_MAX } from "../../core/limits.ts";
import type { Plan } from "../../core/transition.ts";
import type { ClientPorts } from "../folder/ports.ts";
import type { Scanner } from "../scan/scanner.ts";
import { isBesideHeld } from "./beside-held.ts";
import type { DeferredNodes } from "./deferred.ts";
import { sliceOfDirty } from "./dirty-slice.ts";
import { EarlierVersions } from "./earlier-versions.ts";
import { type PlannedPart, planOfState } from "./plan-of-state.ts";

export interface PlanningParts {
  readonly ports: ClientPorts;
  readonly scanner: Scanner;
  readonly deferred: DeferredNodes;
  readonly deviceName: string;
}

export class Planning {
  readonly #parts: PlanningParts;
  readonly #earlier: EarlierVersions;
  /** The rules under which ignored remote nodes were left out. */
  #judgedBy: IgnoreRules | undefined;

  constructor(parts: PlanningParts) {
    this.#parts = parts;
    this.#earlier = new EarlierVersions(parts.ports);
  }

  /** The server was restored. */
  forgetHistory(): void {
    this.#earlier.forget();
  }

  /**
   * Nodes that other rules left out may be wanted by now. A run begins with rules of its own (R15).
   */
  lookAgainAtIgnored(): void {
    const { ports, scanner } = this.#parts;
    if (this.#judgedBy === scanner.ignoreRules) return;
    this.#judgedBy = scanner.ignoreRules;
    ports.store.markUnmaterialisedDirty();
  }

  /**
   * @param isWhole true for all dirty nodes, however many.
   * @returns undefined if nothing is dirty.
   * @throws {SyncedError} if the history cannot be asked now
   */
  async next(isWhole: boolean, signal: AbortSignal): Promise<PlannedPart | undefined> {
    const { ports, deferred } = this.#parts;
    const { store } = ports;
    for (;;) {
      const dirty = isWhole
        ? { ids: store.dirty(), isWhole }
        : sliceOfDirty(store, NEW_NODES_PER_PLAN_MAX + deferred.size);
      if (dirty.isWhole) store.noteAllPlanned();
      if (dirty.ids.length === 0) return undefined;
      const plan = await this.#plan(dirty.ids, signal);
      if (plan !== undefined) return { plan, isWhole: dirty.isWhole };
    }
  }

  /**
   * Plans the nodes that became dirty after the last full plan, leaving held nodes out.
   *
   * @returns `bound` if they depend on a held node, so that all must be planned together
   */
  async nextBeside(
    held: ReadonlySet<NodeId>,
    signal: AbortSignal,
  ): Promise<Plan | "nothing" | "bound"> {
    const { store } = this.#parts.ports;
    for (;;) {
      const news = store.dirtySincePlanned();
      if (news === undefined || !isBesideHeld(store, news, held)) return "bound";
      if (news.length === 0) return "nothing";
      const plan = await this.#plan(news, signal);
      if (plan !== undefined) return plan;
    }
  }

  /** @returns undefined if the nodes are others by now, or more is known of them. */
  async #plan(ids: readonly NodeId[], signal: AbortSignal): Promise<Plan | undefined> {
    const { ports, scanner, deviceName } = this.#parts;
    const { store } = ports;
    const plan = planOfState(store, ids, { scanner, device: deviceName, earlier: this.#earlier });
    if (plan.adoptions.length === 0) {
      return (await this.#earlier.learn(plan, signal)) ? undefined : plan;
    }
    store.adopt(plan.adoptions);
    return undefined;
  }
}
