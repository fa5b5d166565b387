/**
 * Births: who made a node lately, and when, as far as this device saw it happen. Rules: G6.
 *
 * Nodes that were in the folder or in the log before the first full scan was through have an
 * unknown maker. If a device deletes or overwrites a node that another one made, its birth is
 * forgotten, unless a plan does: there a person saw what goes. So a birth that is left on such a
 * node says that its maker did it, or a person who looked.
 */
import type { Event } from "../../core/event.ts";
import type { BatchId, DeviceId, NodeId } from "../../core/identifier.ts";
import { GUARD_OWN_AGE_MS } from "../../core/limits.ts";
import { sameBytes } from "../../core/node.ts";
import { isPlanBatch } from "../../core/plan-id.ts";
import { KEPT, readKept, writeKept } from "./kept-values.ts";
import type { ClientPorts } from "./ports.ts";
import { hasBeenInSync } from "./status-record.ts";

/** How often old births are removed, if new ones come. */
const CLEAR_INTERVAL_MS = 3_600_000;

export class Births {
  readonly #ports: Pick<ClientPorts, "store" | "clock">;
  #clearAtMs = 0;
  readonly #device: DeviceId;
  #hasBeenInSync = false;
  #looked: { readonly batch: BatchId; readonly isOfPlan: boolean } | undefined;

  constructor(ports: Pick<ClientPorts, "store" | "clock">, device: DeviceId) {
    this.#ports = ports;
    this.#device = device;
  }

  /** Call it after a full scan, if the log was read to its end by then. */
  begin(): void {
    const { store } = this.#ports;
    if (this.#scannedAt() !== undefined) return;
    const seq = store.cursor()?.seq ?? 0;
    store.transaction(() => writeKept(store, KEPT.scannedAt, seq), "normal");
  }

  /**
   * While people work without a pause, their first files come back in the log long before all is in
   * sync, and nobody could say any more which of them were there before.
   *
   * @returns a function for a scan's transaction, to be called for each new file; undefined if
   * nobody needs it: then the log tells.
   */
  get ofScan(): ((id: NodeId) => void) | undefined {
    const { store, clock } = this.#ports;
    if (this.#isSettled() || this.#scannedAt() === undefined) return undefined;
    const birth = { device: this.#device, atMs: clock.now() };
    return (id) => store.putBirth(id, birth);
  }

  /** Call it in the transaction that folds the event, before the fold. */
  note(event: Event): void {
    const { kind, node, device, content } = event;
    if (content.kind === "directory") return;
    const { store, clock } = this.#ports;
    const before = store.remoteRow(node);
    const isOverwritten = before !== undefined && !sameBytes(before.content, content);
    if (kind === "delete" || isOverwritten) {
      const birth = store.birth(node);
      const isKept = birth === undefined || birth.device === device || this.#isOfPlan(event);
      if (!isKept) store.putBirth(node, undefined);
    }
    // A node that was deleted and is back was made earlier.
    if (kind !== "create" || before !== undefined) return;
    if (!this.#isSettled()) {
      const since = device === this.#device ? undefined : this.#scannedAt();
      if (since === undefined || event.seq <= since) return;
    }
    const atMs = clock.now();
    this.#clear(atMs);
    store.putBirth(node, { device, atMs });
  }

  #scannedAt(): number | undefined {
    return readKept(this.#ports.store, KEPT.scannedAt);
  }

  #isSettled(): boolean {
    this.#hasBeenInSync ||= hasBeenInSync(this.#ports.store);
    return this.#hasBeenInSync;
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
