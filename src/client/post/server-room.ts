/**
 * ServerRoom: what waits while the server's disk is full, and when that is tried again. Rules: O11,
 * Y3. Only bytes need room: everything else goes on, in both directions.
 */
import { SyncedError } from "../../core/error.ts";
import { RECONNECT_DELAY_MS_MAX, RETRY_DELAY_MS_MIN } from "../../core/limits.ts";
import { type Group, type Op, setsContent } from "../../core/op.ts";
import type { ClientPorts } from "../folder/ports.ts";
import { type Supply, supplyContents } from "./supply.ts";
import type { PackSize } from "./upload.ts";

/** The server has no room for bytes; it takes and gives everything else. */
export function lacksRoom(cause: unknown): cause is SyncedError {
  return cause instanceof SyncedError && cause.code === "storage_full";
}

export class ServerRoom {
  readonly #ports: ClientPorts;
  /** The smallest content of those refused last: where it fits, others may. */
  #probe: Supply | undefined;
  #refusal: SyncedError | undefined;
  #retryAtMs = 0;
  #delayMs = 0;
  #isShort = false;

  constructor(ports: ClientPorts) {
    this.#ports = ports;
  }

  /** Why something waits for room, as a person is told; undefined where nothing does. */
  get reason(): string | undefined {
    return this.#refusal?.message;
  }

  /** When what waits may be tried again (Clock.monotonic); undefined where nothing waits. */
  get retryAtMs(): number | undefined {
    return this.#refusal === undefined ? undefined : this.#retryAtMs;
  }

  /** True where something was left out, or refused, since `begin`. */
  get isShort(): boolean {
    return this.#isShort;
  }

  begin(): void {
    this.#isShort = false;
  }

  /** All that was to be sent has been looked at: where none of it lacked room, that is told. */
  end(): void {
    if (this.#refusal === undefined || this.#isShort) return;
    this.#refusal = undefined;
    this.#probe = undefined;
    this.#delayMs = 0;
    const message = "Nothing waits for room on the server's disk any more";
    this.#ports.observer.emit({ event: "notice", code: "server_has_room", message });
  }

  /** @returns the groups without those that must wait for room now. */
  fitting(groups: readonly Group[]): readonly Group[] {
    if (!this.#isWaiting()) return groups;
    const fitting = groups.filter((group) => !group.some((op) => this.needsRoom(op)));
    if (fitting.length < groups.length) this.#isShort = true;
    return fitting;
  }

  /** The server has the bytes of what the base holds already. */
  needsRoom(op: Op): boolean {
    if (!setsContent(op)) return false;
    const { content, node } = op;
    if (content.kind !== "file" || content.size === 0) return false;
    const base = this.#ports.store.base.get(node)?.content;
    return base?.kind !== "file" || base.manifest !== content.manifest;
  }

  /**
   * Tries what needs least of it.
   *
   * @returns false where that was refused again, or is not due yet.
   * @throws {SyncedError} as `ServerApi` does
   */
  async hasSome(packSize: PackSize, signal: AbortSignal): Promise<boolean> {
    if (this.#isWaiting()) return false;
    if (this.#probe === undefined) return true;
    try {
      await supplyContents(this.#ports, [this.#probe], packSize, signal);
      return true;
    } catch (cause) {
      if (!lacksRoom(cause)) throw cause;
      this.refuse(cause, [this.#probe]);
      return false;
    }
  }

  /**
   * Told once until it is over; each new try waits longer.
   *
   * @param supplies that were not taken.
   */
  refuse(cause: SyncedError, supplies: readonly Supply[] = []): void {
    const { clock, observer, random } = this.#ports;
    this.#isShort = true;
    this.#probe = smallest(supplies) ?? this.#probe;
    if (this.#refusal === undefined) {
      observer.emit({ event: "error", code: cause.code, message: cause.message });
    }
    const isWaiting = this.#isWaiting();
    this.#refusal = cause;
    if (isWaiting) return;
    const doubledMs = Math.max(RETRY_DELAY_MS_MIN, 2 * this.#delayMs);
    this.#delayMs = Math.min(doubledMs, RECONNECT_DELAY_MS_MAX);
    this.#retryAtMs = clock.monotonic() + this.#delayMs * (0.5 + random.fraction());
  }

  #isWaiting(): boolean {
    return this.#refusal !== undefined && this.#ports.clock.monotonic() < this.#retryAtMs;
  }
}

function smallest(supplies: readonly Supply[]): Supply | undefined {
  let least = supplies[0];
  for (const supply of supplies) {
    if (least !== undefined && supply.content.size < least.content.size) least = supply;
  }
  return least;
}
