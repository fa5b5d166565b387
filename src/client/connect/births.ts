/**
 * Births: who made a node of late, and when, as far as this device saw it happen. Rules: G6.
 *
 * What lies in the folder before it is in sync for the first time was made nobody knows when. A
 * birth whose node somebody else deletes is forgotten: what is left on a deleted node says that its
 * maker deleted it.
 */
import type { Event } from "../../core/event.ts";
import { GUARD_OWN_AGE_MS } from "../../core/limits.ts";
import type { ClientPorts } from "../folder/ports.ts";
import { hasBeenInSync } from "../folder/status-record.ts";

/** How often births of long ago are cleared away, where new ones come. */
const CLEAR_INTERVAL_MS = 3_600_000;

export class Births {
  readonly #ports: Pick<ClientPorts, "store" | "clock">;
  #clearAtMs = 0;
  #isInUse = false;

  constructor(ports: Pick<ClientPorts, "store" | "clock">) {
    this.#ports = ports;
  }

  /** To be called in the transaction that folds the event, and before that. */
  note({ kind, node, device, content }: Event): void {
    if (content.kind === "directory") return;
    const { store, clock } = this.#ports;
    if (kind === "delete") {
      const birth = store.birth(node);
      if (birth !== undefined && birth.device !== device) store.putBirth(node, undefined);
    }
    // What was deleted and is back was made before.
    if (kind !== "create" || store.remoteRow(node) !== undefined) return;
    this.#isInUse ||= hasBeenInSync(store);
    if (!this.#isInUse) return;
    const atMs = clock.now();
    this.#clear(atMs);
    store.putBirth(node, { device, atMs });
  }

  #clear(nowMs: number): void {
    if (nowMs < this.#clearAtMs) return;
    this.#clearAtMs = nowMs + CLEAR_INTERVAL_MS;
    this.#ports.store.forgetBirthsBefore(nowMs - GUARD_OWN_AGE_MS);
  }
}
