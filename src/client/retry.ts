/**
 * Retry: decides when dirty nodes are planned again. Rules: Y5, Y11, Y16, O11.
 *
 * Nothing is planned twice for the same reason. A plan is made only if something dirty or a rule
 * has changed, a person has answered, or the time of a waiting node has come.
 */
import type { NodeId } from "../core/identifier.ts";
import type { IgnoreRules } from "../core/ignore.ts";
import { RETRY_DELAY_MS_MAX } from "../core/limits.ts";
import type { ClientPorts } from "./folder/ports.ts";
import type { Holding } from "./hold.ts";
import type { DeferredNodes } from "./plan/deferred.ts";
import type { ServerRoom } from "./post/server-room.ts";
import type { Scanner } from "./scan/scanner.ts";

const UNREST_DELAY_MS_MIN = 1_000;

/** The inputs of the last plan. */
interface Planned {
  readonly dirtyVersion: number;
  readonly rules: IgnoreRules;
}

export interface RetryParts {
  readonly ports: ClientPorts;
  readonly scanner: Scanner;
  readonly holding: Holding;
  readonly deferred: DeferredNodes;
  readonly room: ServerRoom;
  /** Nodes whose changes stay where they are, whatever happens (R21). */
  readonly left: ReadonlySet<NodeId>;
}

export class Retry {
  readonly #parts: RetryParts;
  /** undefined if a plan has to be made, whatever is dirty. */
  #planned: Planned | undefined;
  /** When the waiting nodes may be tried again (Clock.monotonic), however full the server is. */
  #tryAtMs: number | undefined;
  #unrestDelayMs = 0;
  #isResting = false;

  constructor(parts: RetryParts) {
    this.#parts = parts;
  }

  /** Makes the next plan anew, even if nothing is known to have changed. */
  ask(): void {
    this.#planned = undefined;
  }

  /** Call it if nothing became dirty since the last rest. */
  restAgain(): void {
    const { ports, scanner, holding } = this.#parts;
    this.#planned = { dirtyVersion: ports.store.dirtyVersion(), rules: scanner.ignoreRules };
    this.#tryAtMs = holding.rejudgeAtMs;
  }

  /** Nothing more can be done now. Decides when the next try comes. */
  rest(hasRescans: boolean): void {
    const { ports, scanner, holding, deferred, room, left } = this.#parts;
    const { store } = ports;
    const held = new Set(holding.guarded?.nodes ?? []);
    const waits = (id: NodeId) => deferred.has(id) || held.has(id) || left.has(id);
    this.#isResting = store.dirty().every(waits);
    this.#planned = { dirtyVersion: store.dirtyVersion(), rules: scanner.ignoreRules };
    this.#tryAtMs = earlier(deferred.setNextTry(), holding.rejudgeAtMs);
    if (this.#isResting || hasRescans || room.retryAtMs !== undefined) {
      this.#unrestDelayMs = 0;
      return;
    }
    // A node can neither be done nor wait for anything known. It is tried again all the same.
    const doubledMs = Math.max(UNREST_DELAY_MS_MIN, 2 * this.#unrestDelayMs);
    this.#unrestDelayMs = Math.min(doubledMs, RETRY_DELAY_MS_MAX);
    this.#tryAtMs = earlier(this.#tryAtMs, ports.clock.monotonic() + this.#unrestDelayMs);
  }

  /** When a plan is due if nothing happens before (Clock.monotonic). */
  get atMs(): number | undefined {
    return earlier(this.#tryAtMs, this.#parts.room.retryAtMs);
  }

  /** True if a plan may achieve something, and the time of the waiting nodes has come. */
  get isDue(): boolean {
    return this.#hasNews || this.#isPast(this.atMs);
  }

  /** True if every node of the last plan is held, so that only newly dirty nodes need planning. */
  get hasNewsBesideHeld(): boolean {
    const { scanner, holding, deferred, room } = this.#parts;
    if (holding.guarded === undefined || !this.#isResting || this.#planned === undefined)
      return false;
    if (deferred.size > 0 || room.retryAtMs !== undefined || this.#isPast(this.atMs)) return false;
    return this.#planned.rules === scanner.ignoreRules;
  }

  /** True if all dirty nodes wait for a later try or for a person. */
  get isResting(): boolean {
    return this.#isResting && !this.isDue;
  }

  /** True if everything that could be done now waits for room on the server's disk. */
  get awaitsRoomOnly(): boolean {
    const { room } = this.#parts;
    return room.retryAtMs !== undefined && !this.#hasNews && !this.#isPast(this.#tryAtMs);
  }

  #isPast(atMs: number | undefined): boolean {
    return atMs !== undefined && atMs <= this.#parts.ports.clock.monotonic();
  }

  get #hasNews(): boolean {
    const { ports, scanner } = this.#parts;
    if (this.#planned === undefined) return true;
    const { dirtyVersion, rules } = this.#planned;
    return dirtyVersion !== ports.store.dirtyVersion() || rules !== scanner.ignoreRules;
  }
}

function earlier(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined || b === undefined ? (a ?? b) : Math.min(a, b);
}
