/**
 * DeferredNodes: nodes whose last try failed. They are left alone for a while, longer each time,
 * and their trouble is listed as long as it lasts. Rules: D8, Y3, I43.
 */
import type { ErrorCode } from "../../core/error.ts";
import type { NodeId } from "../../core/identifier.ts";
import { parentPath } from "../../core/path.ts";
import { nodeOf, type Plan } from "../../core/transition.ts";
import { pathOf } from "../../core/tree.ts";
import type { Problem } from "../../ports/state-store.ts";
import { NEVER_SYNCED } from "../folder/lasting-trouble.ts";
import type { ClientPorts } from "../folder/ports.ts";
import { SCAN_CODES } from "../scan/problems.ts";

const DELAY_MS_MIN = 1_000;
const DELAY_MS_MAX = 300_000;
/**
 * A plan costs about 0.04 ms for each dirty node, whether or not it achieves anything. With this
 * delay tries take a few thousandths of a processor, however much waits.
 */
const DELAY_MS_PER_DIRTY_NODE = 15;
/**
 * Trouble that neither time nor news mends is also tried again, because not every change of a disk
 * is reported.
 */
const LASTING_DELAY_MS_MAX = 1_800_000;
const LASTING_DELAY_MS_PER_NODE = 250;

interface Deferral {
  readonly code: ErrorCode;
  readonly untilMs: number;
  readonly delayMs: number;
  /**
   * The other node whose trouble it is, if it is not this one's. This one waits no longer than
   * that.
   */
  readonly awaited?: NodeId;
}

export class DeferredNodes {
  readonly #ports: Pick<ClientPorts, "store" | "clock" | "observer">;
  readonly #deferred = new Map<NodeId, Deferral>();
  /**
   * The kept answer, because each turn asks, however many wait; undefined if it has to be found out
   * anew.
   */
  #awaitsRetry: boolean | undefined;
  /** When nodes with lasting trouble may be tried again (Clock.monotonic). */
  #lastingAtMs = 0;
  readonly #delays = new Map<NodeId, number>();
  readonly #troubles = new Map<NodeId, Problem>();
  /** Where troubles were listed before the directory above them got another path. */
  readonly #formerPaths = new Set<string>();
  /** Their paths and the directories of these; undefined if it has to be computed anew. */
  #places: Set<string> | undefined;

  /**
   * Nodes that an earlier run could not do are tried again at once, and reported again if they
   * fail.
   */
  constructor(ports: Pick<ClientPorts, "store" | "clock" | "observer">) {
    this.#ports = ports;
    const { store } = ports;
    for (const { path, code } of store.problems()) {
      if (!SCAN_CODES.has(code)) store.setProblem(path, undefined);
    }
  }

  get size(): number {
    return this.#deferred.size;
  }

  has(id: NodeId): boolean {
    return this.#deferred.has(id);
  }

  /** True if something waits that the next try may well carry out. */
  get awaitsRetry(): boolean {
    this.#awaitsRetry ??= this.#deferred.values().some(({ code }) => !NEVER_SYNCED.has(code));
    return this.#awaitsRetry;
  }

  /**
   * Call it when nothing more can be done now.
   *
   * @returns when the next try is due (Clock.monotonic); undefined if nothing waits for one.
   */
  setNextTry(): number | undefined {
    if (this.#deferred.size === 0) return undefined;
    const { store, clock } = this.#ports;
    const now = clock.monotonic();
    let soonMs = Number.POSITIVE_INFINITY;
    let lastingMs = Number.POSITIVE_INFINITY;
    let lasting = 0;
    for (const { untilMs, code } of this.#deferred.values()) {
      if (SCANNED.has(code)) continue;
      if (!NEVER_SYNCED.has(code)) soonMs = Math.min(soonMs, untilMs);
      else {
        lastingMs = Math.min(lastingMs, untilMs);
        lasting += 1;
      }
    }
    const spreadMs = Math.min(DELAY_MS_MAX, store.dirtyCount() * DELAY_MS_PER_DIRTY_NODE);
    const rareMs = Math.min(LASTING_DELAY_MS_MAX, lasting * LASTING_DELAY_MS_PER_NODE);
    if (lasting > 0 && this.#lastingAtMs <= now) this.#lastingAtMs = now + rareMs;
    const lastingAtMs = Math.max(lastingMs, this.#lastingAtMs);
    const nextMs = Math.min(Math.max(soonMs, now + spreadMs), lastingAtMs);
    return nextMs === Number.POSITIVE_INFINITY ? undefined : nextMs;
  }

  /**
   * Something happened at the path, so nodes there, or right below it, need not wait longer.
   *
   * @returns false if no node waits there.
   */
  hear(path: string): boolean {
    const troubles = this.#troubles.values();
    this.#places ??= new Set(
      troubles.flatMap((trouble) => [trouble.path, parentPath(trouble.path)]),
    );
    if (!this.#places.has(path)) return false;
    for (const [id, { path: at }] of this.#troubles) {
      if (at === path || parentPath(at) === path) this.#delete(id);
    }
    return true;
  }

  /** Leaves a node alone whose trouble is recorded already. */
  defer({ id, path, code, message }: Problem & { readonly id: NodeId }): void {
    this.#delay(id, code);
    this.#trouble(id, { path, code, message });
  }

  #trouble(id: NodeId, trouble: Problem): void {
    const formerPath = this.#troubles.get(id)?.path;
    if (formerPath !== trouble.path) this.#places = undefined;
    if (formerPath !== undefined && formerPath !== trouble.path) this.#formerPaths.add(formerPath);
    this.#troubles.set(id, trouble);
  }

  /** Leaves a node alone, records its trouble and reports it. */
  tell(id: NodeId, code: ErrorCode, message: string): void {
    const { store, observer } = this.#ports;
    this.#delay(id, code);
    const path = pathOf(store.local, id) ?? pathOf(store.remote, id);
    if (path === undefined) return;
    this.#trouble(id, { path, code, message });
    store.setProblem(path, { path, code, message });
    observer.emit({ event: "problem", path, code, message });
  }

  #delay(id: NodeId, code: ErrorCode): void {
    const before = this.#deferred.get(id)?.delayMs ?? this.#delays.get(id);
    const delayMs = Math.min(DELAY_MS_MAX, (before ?? DELAY_MS_MIN / 2) * 2);
    this.#delays.set(id, delayMs);
    const untilMs = SCANNED.has(code)
      ? Number.POSITIVE_INFINITY
      : this.#ports.clock.monotonic() + delayMs;
    this.#set(id, { untilMs, delayMs, code });
  }

  #set(id: NodeId, deferral: Deferral): void {
    this.#deferred.set(id, deferral);
    this.#awaitsRetry = undefined;
  }

  #delete(id: NodeId): void {
    this.#deferred.delete(id);
    this.#awaitsRetry = undefined;
  }

  /**
   * If a directory cannot be made, or a node cannot leave its place, nodes that belong there wait
   * with it. A node for which others wait comes first in a plan. A directory that is to go waits
   * while something in it cannot go.
   */
  deferWithOthers({ transitions }: Plan): void {
    if (this.#deferred.size === 0) return;
    for (const step of transitions) {
      const awaited = this.#awaitedBy(step);
      if (awaited === undefined) continue;
      const deferral = this.#deferred.get(awaited);
      if (deferral !== undefined) this.#set(nodeOf(step), { awaited, ...deferral });
    }
  }

  #awaitedBy(step: Plan["transitions"][number]): NodeId | undefined {
    const { local } = this.#ports.store;
    if (step.kind === "delete") {
      if (step.expected.content.kind !== "directory") return undefined;
      return local.children(step.id).find(({ id }) => this.#deferred.has(id))?.id;
    }
    if (step.kind !== "create" && step.kind !== "move") return undefined;
    const { parent, name } = step.kind === "create" ? step.node : step;
    return this.#deferred.has(parent) ? parent : local.child(parent, name)?.id;
  }

  /** Whose trouble is over, nobody waits for any more. */
  #releaseOthers(): void {
    for (const [id, { awaited }] of this.#deferred)
      if (awaited !== undefined && !this.#deferred.has(awaited)) this.#delete(id);
  }

  /** The plan without the waiting nodes. */
  takenOut(plan: Plan): Plan {
    if (this.#deferred.size === 0) return plan;
    this.deferWithOthers(plan);
    const ops = new Map([...plan.ops].filter(([id]) => !this.#deferred.has(id)));
    const transitions = plan.transitions.filter((step) => !this.#deferred.has(nodeOf(step)));
    return { ...plan, ops, transitions };
  }

  /**
   * Clears problems whose change is no longer wanted because the node was settled some other way. A
   * problem that lasts stays listed, also after a scan that found nothing wrong at its path.
   */
  forgetSolved(): void {
    if (this.#troubles.size === 0) return;
    const { store } = this.#ports;
    const dirty = new Set(store.dirty());
    const listed = new Map(store.problems().map((problem) => [problem.path, problem]));
    for (const path of this.#formerPaths) {
      const problem = listed.get(path);
      if (problem === undefined || SCAN_CODES.has(problem.code)) continue;
      store.setProblem(path, undefined);
      // Another node that is in trouble there now is listed again below.
      listed.delete(path);
    }
    this.#formerPaths.clear();
    for (const [id, trouble] of this.#troubles) {
      const { path } = trouble;
      const problem = listed.get(path);
      if (dirty.has(id)) {
        if (problem === undefined && this.#deferred.has(id)) store.setProblem(path, trouble);
        continue;
      }
      this.#troubles.delete(id);
      this.#places = undefined;
      this.#delays.delete(id);
      this.#delete(id);
      if (problem !== undefined && !SCAN_CODES.has(problem.code)) store.setProblem(path, undefined);
    }
    this.#releaseOthers();
  }

  /** Lets nodes be tried again whose trouble of that kind may be gone. */
  release(code: ErrorCode): void {
    for (const [id, deferral] of this.#deferred) if (deferral.code === code) this.#delete(id);
    this.#releaseOthers();
  }

  /**
   * Lets nodes be tried again whose time has come, or whose obstacle the scans do not find any
   * more.
   */
  takeUpAgain(): void {
    if (this.#deferred.size === 0) return;
    const { clock, store } = this.#ports;
    const now = clock.monotonic();
    const listed = new Set(store.problems().map(({ path }) => path));
    const mayLastingBeTried = this.#lastingAtMs <= now;
    for (const [id, { untilMs, code }] of this.#deferred) {
      const trouble = this.#troubles.get(id);
      const isObstacle = trouble !== undefined && OBSTACLES.has(trouble.code);
      const isGone = isObstacle && !listed.has(trouble.path);
      const isDue = untilMs <= now && (mayLastingBeTried || !NEVER_SYNCED.has(code));
      if (isDue || isGone) this.#delete(id);
    }
    this.#releaseOthers();
  }
}

/** Only scans find these and their end; no try does. */
const SCANNED: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  "unsupported_kind",
  "file_unreadable",
  "formerly_ignored",
]);

/** The codes of obstacles that a scan finds in the place of a node from elsewhere. */
const OBSTACLES: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  "unsupported_kind",
  "other_file_system",
  "file_unreadable",
  "formerly_ignored",
]);
