/**
 * Posting: sends the ops of a plan to the server, their bytes first. Rules: Y1, O1, O5, O11, O13,
 * H18, R12.
 *
 * It goes batch by batch. A user's changes are synced to the disk while their bytes are on the way.
 * Op ids are durable before anything is sent. The answer is folded before the next batch.
 */
import { SyncedError } from "../../core/error.ts";
import { groupOps } from "../../core/group-ops.ts";
import { type DeviceId, type NodeId, ROOT_ID } from "../../core/identifier.ts";
import { sameBytes } from "../../core/node.ts";
import { type Batch, type Group, type GroupResult, setsContent } from "../../core/op.ts";
import type { Plan } from "../../core/transition.ts";
import type { RemoteLog } from "../connect/remote-log.ts";
import type { ClientPorts } from "../folder/ports.ts";
import type { DeferredNodes } from "../plan/deferred.ts";
import { Answers } from "./answers.ts";
import { makeDurableOrDefer } from "./make-durable.ts";
import { packBatches } from "./pack-batches.ts";
import { lacksRoom, ServerRoom } from "./server-room.ts";
import { type SupplyReport, suppliesOf, supplyContents } from "./supply.ts";
import { PackSize } from "./upload.ts";

/** Fewer are no sign that another device joins with the same files. */
const LATE_GROUPS_MIN = 100;
/** Longer than a device needs for a batch of small files. */
const OTHERS_QUIET_MS = 1_000;
/** This device's own files wait as long. */
const OTHERS_WAIT_MS_MAX = 10_000;

export interface PostingParts {
  readonly ports: ClientPorts;
  readonly log: RemoteLog;
  readonly session: { readonly fileBytesMax: number | undefined };
  readonly device: DeviceId;
  readonly deferred: DeferredNodes;
  /** The approval that an op about this node carries (G4). */
  readonly approvalOf: (id: NodeId) => string | undefined;
}

export interface PostReport {
  /** True if the log moved, or the server refused for a reason that the log explains. */
  readonly moved: boolean;
  /** Paths that did not look as the last scan saw them. */
  readonly rescan: ReadonlySet<string>;
}

export class Posting {
  /** Nodes that wait because the server's disk is full. */
  readonly room: ServerRoom;
  readonly #parts: PostingParts;
  readonly #answers: Answers;
  readonly #packSize = new PackSize();
  #rescan = new Set<string>();
  /** True if others were faster with all of the last batch. */
  #isLate = false;

  constructor(parts: PostingParts) {
    this.room = new ServerRoom(parts.ports);
    this.#parts = parts;
    this.#answers = new Answers(parts);
  }

  /** True if one of the waiting contents shows that the server has some room again. */
  hasRoom(signal: AbortSignal): Promise<boolean> {
    return this.room.hasSome(this.#packSize, signal);
  }

  /**
   * A server whose disk is full takes nothing, but still gives, and so does one that lets this
   * token only read. That is only noted here, and the changes for this disk do not wait for it.
   *
   * @throws {SyncedError} as `ServerApi` does; all that was done is recorded.
   */
  async post(plan: Plan, signal: AbortSignal): Promise<PostReport> {
    this.#rescan = new Set();
    let moved = false;
    try {
      moved = await this.#postAll(plan, signal);
    } catch (cause) {
      if (lacksRoom(cause)) this.room.refuse(cause);
      else if (mayOnlyRead(cause)) this.#keepHere(plan);
      else throw cause;
    }
    return { moved, rescan: this.#rescan };
  }

  /** The changes stay on this device, listed, until a token lets them through. */
  #keepHere({ ops }: Plan): void {
    const message = "The token may only read on the server: this change is kept here, and not sent";
    for (const id of ops.keys()) this.#parts.deferred.tell(id, "forbidden", message);
  }

  async #postAll(plan: Plan, signal: AbortSignal): Promise<boolean> {
    const { ports, deferred, log } = this.#parts;
    this.#deferTooLarge(plan);
    const { ops } = deferred.takenOut(plan);
    const { groups, oversized } = groupOps({ ops, remote: ports.store.remote });
    const message = "more names change places in a circle than one group may hold";
    for (const id of oversized) deferred.tell(id, "batch_too_large", message);
    if (groups.length === 0) return false;
    let moved = false;
    for (const batch of packBatches(this.#parts, groups)) {
      signal.throwIfAborted();
      if (await this.#postBatch(batch, signal)) moved = true;
      if (this.#isLate) await this.#letOthersFinish(signal);
    }
    // If only our own ops came, there is nothing to ask for.
    if (!moved || log.isBehind) await log.catchUp(signal);
    return moved;
  }

  /** Y23: who plans and sends between the batches of another device costs both more than it saves. */
  async #letOthersFinish(signal: AbortSignal): Promise<void> {
    const { ports, log } = this.#parts;
    const { clock } = ports;
    this.#isLate = false;
    const untilMs = clock.monotonic() + OTHERS_WAIT_MS_MAX;
    let known: number;
    do {
      known = log.newsCount;
      await clock.sleep(OTHERS_QUIET_MS, signal);
      await log.catchUp(signal);
    } while (log.newsCount !== known && clock.monotonic() < untilMs);
  }

  /** O13: not one byte of them is sent. */
  #deferTooLarge(plan: Plan): void {
    const { session, deferred, ports } = this.#parts;
    const { fileBytesMax } = session;
    if (fileBytesMax === undefined) return;
    for (const op of [...plan.ops.values()].flat()) {
      if (!setsContent(op) || op.content.kind !== "file") continue;
      const { size } = op.content;
      const known = ports.store.remote.get(op.node)?.content;
      if (size <= fileBytesMax || (known !== undefined && sameBytes(known, op.content))) continue;
      const message = `It has ${size} bytes, and the server takes files of up to ${fileBytesMax}`;
      deferred.tell(op.node, "file_too_large", message);
    }
  }

  async #postBatch(packed: Batch, signal: AbortSignal): Promise<boolean> {
    const { ports, deferred, log } = this.#parts;
    const fitting = this.room.fitting(packed.groups);
    const batch = { ...packed, groups: this.#withoutOutdated(fitting) };
    const isMoved = batch.groups.length < fitting.length;
    if (batch.groups.length === 0) return isMoved;
    // Waits for the disk while the bytes are on their way.
    const nodes = batch.groups.flatMap((group) => group.map((op) => op.node));
    const durable = makeDurableOrDefer(ports, deferred, nodes);
    const supply = this.#supply(batch, signal);
    const { own } = log;
    const expected = (async () => own.expect(batch))();
    await Promise.allSettled([durable, supply, expected]);
    await expected;
    const failed = await durable;
    const { unavailable, refused, rescan } = await supply;
    for (const path of rescan) this.#rescan.add(path);
    for (const [id, { code, message }] of refused) deferred.tell(id, code, message);
    const groups = batch.groups.filter(
      (group) => !group.some(({ node }) => unavailable.has(node) || failed.has(node)),
    );
    const unknown =
      groups.length === 0 ? [] : await this.#sendInHalves({ ...batch, groups }, signal);
    own.answered({ ...batch, groups: batch.groups.filter((group) => !unknown.includes(group)) });
    return isMoved || groups.length > unknown.length;
  }

  /**
   * Leaves out what the server would refuse for all that the log says by now: another device made
   * something in its place, or its directory was refused. Two devices that join with the same files
   * would send most of them twice.
   */
  #withoutOutdated(groups: readonly Group[]): readonly Group[] {
    const { remote } = this.#parts.ports.store;
    const made = new Set<NodeId>();
    return groups.filter((group) => {
      const creates = group.filter((op) => op.kind === "create");
      for (const { node } of creates) made.add(node);
      const isOutdated = creates.some(
        ({ parent, name }) =>
          (parent !== ROOT_ID && !made.has(parent) && remote.get(parent) === undefined) ||
          // In a larger group the other node may leave.
          (group.length === 1 && remote.child(parent, name) !== undefined),
      );
      if (isOutdated) for (const { node } of creates) made.delete(node);
      return !isOutdated;
    });
  }

  /** A full server takes no bytes, but it takes ops that need none. */
  async #supply(batch: Batch, signal: AbortSignal): Promise<SupplyReport> {
    const { ports } = this.#parts;
    try {
      return await supplyContents(ports, suppliesOf(batch.groups), this.#packSize, signal);
    } catch (cause) {
      if (!lacksRoom(cause)) throw cause;
      this.room.refuse(cause, suppliesOf(batch.groups));
      const waiting = batch.groups.flat().filter((op) => this.room.needsRoom(op));
      const unavailable = new Set(waiting.map(({ node }) => node));
      return { unavailable, refused: new Map(), rescan: new Set() };
    }
  }

  /**
   * Posts a batch that something on the way refuses in halves. Ops and their ids stay, because the
   * server may have taken the batch all the same (O1).
   *
   * @returns groups that were refused alone. Nobody knows whether the server took them.
   */
  async #sendInHalves(posted: Batch, signal: AbortSignal): Promise<readonly Group[]> {
    try {
      await this.#send(posted, signal);
      return [];
    } catch (cause) {
      if (!(cause instanceof SyncedError) || cause.code !== "body_refused") throw cause;
      const { groups } = posted;
      const middle = groups.length >> 1;
      if (middle === 0) {
        const { deferred } = this.#parts;
        for (const { node } of groups.flat()) deferred.tell(node, cause.code, cause.message);
        return groups;
      }
      const halves = [groups.slice(0, middle), groups.slice(middle)];
      const unknown: Group[] = [];
      for (const half of halves) {
        const some = await this.#sendInHalves({ ...posted, groups: half }, signal);
        for (const one of some) unknown.push(one);
      }
      return unknown;
    }
  }

  async #send(posted: Batch, signal: AbortSignal): Promise<void> {
    const { ports, log } = this.#parts;
    const { groups } = posted;
    const answer = await ports.api.postOps(posted, signal);
    const { results, head } = answer;
    if (results.length !== groups.length) {
      throw new SyncedError("protocol_violation", "Server answered for another number of groups");
    }
    log.head = Math.max(log.head, head);
    this.#isLate = groups.length >= LATE_GROUPS_MIN && results.every(isMadeByOthers);
    const paths = this.#answers.pathsOf(groups);
    const isKnown = await log.foldOwn(posted, answer, signal);
    this.#answers.take(groups, results, paths);
    if (isKnown) return;
    // The next batch is posted on top of it.
    await log.catchUp(signal);
    this.#answers.checkAccepted(groups, results);
  }
}

function isMadeByOthers(result: GroupResult): boolean {
  if (result.status === "accepted") return false;
  return result.code === "name_taken" || result.code === "parent_missing";
}

function mayOnlyRead(cause: unknown): boolean {
  return cause instanceof SyncedError && cause.code === "forbidden";
}
