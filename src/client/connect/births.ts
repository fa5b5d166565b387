/**
 * Births: who made a node lately, and when, as far as this device saw it happen. Rules: G6.
 *
 * Nodes that were in the folder before it was first in sync have an unknown maker. If a device
 * deletes a node that another one made, its birth is forgotten, unless a plan does: there a person
 * saw what goes. So a birth that is left on a deleted node says that its maker deleted it, or a
 * person who looked.
 */
import type { Event } from "../../core/event.ts";
import type { BatchId } from "../../core/identifier.ts";
import { GUARD_OWN_AGE_MS } from "../../core/limits.ts";
import { isPlanBatch } from "../../core/plan-id.ts";
import type { ClientPorts } from "../folder/ports.ts";
import { hasBeenInSync } from "../folder/status-record.ts";

/** How often old births are removed, if new ones come. */
const CLEAR_INTERVAL_MS = 3_600_000;

export class Births {
  readonly #ports: Pick<ClientPorts, "store" | "clock">;
  #clearAtMs = 0;
  #isInUse = false;
  #looked: { readonly batch: BatchId; readonly isOfPlan: boolean } | undefined;

  constructor(ports: Pick<ClientPorts, "store" | "clock">) {
    this.#ports = ports;
  }

  /** Call it in the transaction that folds the event, before the fold. */
  note(event: Event): void {
    const { kind, node, device, content } = event;
    if (content.kind === "directory") return;
    const { store, clock } = this.#ports;
    if (kind === "delete") {
      const birth = store.birth(node);
      const isKept = birth === undefined || birth.device === device || this.#isOfPlan(event);
      if (!isKept) store.putBirth(node, undefined);
    }
    // A node that was deleted and is back was made earlier.
    if (kind !== "create" || store.remoteRow(node) !== undefined) return;
    this.#isInUse ||= hasBeenInSync(store);
    if (!this.#isInUse) return;
    const atMs = clock.now();
    this.#clear(atMs);
    store.putBirth(node, { device, atMs });
  }

  /** Events of one batch come one after the other. */
  #isOfPlan({ approval, batch }: Event): boolean {
    if (approval === undefined) return false;
    if (this.#looked?.batch !== batch) {
      this.#looked = { batch, isOfPlan: isPlanBatch(approval, batch) };
    }
    return this.#looked.isOfPlan;
  }

  #clear(nowMs: number): void {
    if (nowMs < this.#clearAtMs) return;
    this.#clearAtMs = nowMs + CLEAR_INTERVAL_MS;
    this.#ports.store.forgetBirthsBefore(nowMs - GUARD_OWN_AGE_MS);
  }
}
