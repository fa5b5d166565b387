/**
 * ServerRoom: knows what waits while the server's disk is full, and when to try again. Only bytes
 * need room, so everything else goes on, in both directions. Rules: O11, Y3.
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
  /** The smallest content that was refused last. If it fits, others may fit too. */
  #probe: Supply | undefined;
  #refusal: SyncedError | undefined;
  #retryAtMs = 0;
  #delayMs = 0;
  #isShort = false;

  constructor(ports: ClientPorts) {
    this.#ports = ports;
  }

  /** The reason for a person why something waits for room; undefined if nothing does. */
  get reason(): string | undefined {
    return this.#refusal?.message;
  }

  /** When the waiting ops may be tried again (Clock.monotonic); undefined if none waits. */
  get retryAtMs(): number | undefined {
    return this.#refusal === undefined ? undefined : this.#retryAtMs;
  }

  /** True if something was left out or refused since `begin`. */
  get isShort(): boolean {
    return this.#isShort;
  }

  begin(): void {
    this.#isShort = false;
  }

  /** Everything to be sent was looked at. If nothing lacked room, this reports it. */
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

  /** False for bytes that the base has, because then the server has them already. */
  needsRoom(op: Op): boolean {
    if (!setsContent(op)) return false;
    const { content, node } = op;
    if (content.kind !== "file" || content.size === 0) return false;
    const base = this.#ports.store.base.get(node)?.content;
    return base?.kind !== "file" || base.manifest !== content.manifest;
  }

  /**
   * Tries the content that needs the least room.
   *
   * @returns false if the server refused it again, or if it is not due yet.
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
   * Reported once until it is over. Each new try waits longer.
   *
   * @param supplies the contents that the server did not take.
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
