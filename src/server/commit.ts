/**
 * decide(): answers batches, given exactly the data that they touch. Pure.
 * Rules: O1-O6, O8, O9, O14, L1-L5.
 */
import { acceptedEvent } from "../core/accept.ts";
import { eventHash, type HashedEvent, opBodyDigest } from "../core/canonical.ts";
import type { Digest } from "../core/digest.ts";
import { assert, SyncedError } from "../core/error.ts";
import type { Cursor } from "../core/event.ts";
import { foldEvent } from "../core/fold.ts";
import type { NodeId } from "../core/identifier.ts";
import type { RemoteNode, Sequence } from "../core/node.ts";
import type { Batch, BatchResult, Group, GroupResult, Op } from "../core/op.ts";
import type {
  EventRecord,
  Loaded,
  OpKey,
  OpRecord,
  SubtreeExtent,
} from "../ports/metadata-store.ts";
import {
  checkContent,
  checkGroupEnd,
  checkOp,
  checkRoom,
  checkSize,
  growthOf,
  type Refusal,
} from "./commit-checks.ts";
import { type Climb, WorkingTree } from "./working-tree.ts";

export interface Proposal {
  readonly loaded: Loaded;
  /** The extents of the directories that `movesToMeasure` names. */
  readonly extents: ReadonlyMap<NodeId, SubtreeExtent>;
  /** The batches, decided one after another. */
  readonly batches: readonly Batch[];
  /** The time of the new events. */
  readonly time: string;
  /** @default every size is taken */
  readonly fileBytesMax?: number | undefined;
  /** By how much the folder's files may still grow (O14). @default as much as they like */
  readonly roomBytes?: number | undefined;
}

export interface Decision {
  /** One result for each batch. An error means that nothing of the batch was done. */
  readonly results: readonly (BatchResult | SyncedError)[];
  readonly events: readonly EventRecord[];
  /** The last state of every node in `events`. */
  readonly nodes: readonly RemoteNode[];
}

/**
 * Decides each group of each batch in order. Each is decided on top of the groups that were
 * accepted before it. Yields after each group, so that the caller can let others run.
 */
export function* decide(proposal: Proposal): Generator<void, Decision, void> {
  const deciding = new Deciding(proposal);
  const results: (BatchResult | SyncedError)[] = [];
  for (const batch of proposal.batches) results.push(yield* deciding.decideBatch(batch));
  return { results, events: deciding.events, nodes: [...deciding.tree.touched()] };
}

/**
 * Finds out whether a cursor lies on the log (O5).
 *
 * @param hash of the log's event `cursor.seq`; undefined if there is none
 */
export function checkCursor(
  cursor: Cursor,
  head: Cursor,
  hash: Digest | undefined,
): SyncedError | undefined {
  if (cursor.epoch !== head.epoch) {
    const claim = `epoch ${cursor.epoch} is not this log's ${head.epoch}`;
    return new SyncedError("log_diverged", `Cannot use the cursor: its ${claim}`);
  }
  if (cursor.seq > head.seq) {
    const claim = `seq ${cursor.seq} is beyond the head ${head.seq}`;
    return new SyncedError("cursor_ahead", `Cannot use the cursor: its ${claim}`);
  }
  if (cursor.hash === hash) return undefined;
  const claim = `event ${cursor.seq} has another hash than on this log`;
  return new SyncedError("log_diverged", `Cannot use the cursor: its ${claim}`);
}

class Deciding {
  readonly tree: WorkingTree;
  readonly events: EventRecord[] = [];
  readonly #loaded: Loaded;
  readonly #extents: ReadonlyMap<NodeId, SubtreeExtent>;
  readonly #time: string;
  readonly #fileBytesMax: number | undefined;
  #roomBytes: number | undefined;
  readonly #ops = new Map<string, OpRecord>();
  /** Sizes in bytes of the file, by `digest/depth`. */
  readonly #objects = new Map<string, number>();
  #head: Sequence;
  #hash: Digest;

  constructor({ loaded, extents, time, fileBytesMax, roomBytes }: Proposal) {
    this.#fileBytesMax = fileBytesMax;
    this.#roomBytes = roomBytes;
    this.tree = new WorkingTree(loaded);
    this.#loaded = loaded;
    this.#extents = extents;
    this.#time = time;
    for (const record of loaded.ops) this.#ops.set(opKey(record), record);
    for (const { digest, depth, size } of loaded.objects) {
      this.#objects.set(`${digest}/${depth}`, size);
    }
    this.#head = loaded.head.seq;
    this.#hash = loaded.head.hash;
  }

  *decideBatch(batch: Batch): Generator<void, BatchResult | SyncedError, void> {
    const { cursor } = batch;
    const { head, hashes } = this.#loaded;
    const refusal = checkCursor(cursor, head, hashes.get(cursor.seq));
    if (refusal !== undefined) return refusal;
    const results: GroupResult[] = [];
    for (const group of batch.groups) {
      results.push(this.#decideGroup(batch, group));
      yield;
    }
    return { results, head: this.#head, hash: this.#hash, time: this.#time };
  }

  #decideGroup(batch: Batch, group: Group): GroupResult {
    const bodies = group.map(opBodyDigest);
    const answered = this.#answerRetry(batch, group, bodies);
    if (answered !== undefined) return answered;
    const before = group.map((op) => pathBefore(this.tree, op));
    const { events, growth, refusal } = this.#apply(batch, group);
    const found =
      refusal ??
      checkRoom(group, growth, this.#roomBytes) ??
      checkGroupEnd(this.tree, group, { before, extents: this.#extents });
    if (found !== undefined) {
      this.tree.rollBack();
      return this.#refuse(group, found);
    }
    const shown = events.map((event, index) => shownPaths(this.tree, event, before[index]));
    this.tree.commit();
    for (const bytes of growth) if (this.#roomBytes !== undefined) this.#roomBytes -= bytes;
    return this.#accept(events, shown, bodies);
  }

  /** A group that was accepted before gets the same answer again (O1). */
  #answerRetry(batch: Batch, group: Group, bodies: readonly Digest[]): GroupResult | undefined {
    const { device } = batch;
    const seqs: Sequence[] = [];
    const inGroup = new Set<string>();
    for (const [index, { opId }] of group.entries()) {
      const key = opKey({ device, opId });
      const record = this.#ops.get(key);
      const reused = inGroup.has(key) || (record !== undefined && record.body !== bodies[index]);
      const partly = index > 0 && (record === undefined) !== (seqs.length === 0);
      if (reused || partly) {
        const detail = `Cannot commit op ${opId}: its id was used for another op or group`;
        return this.#refuse(group, { code: "idempotency_key_reused", detail, op: index });
      }
      inGroup.add(key);
      if (record !== undefined) seqs.push(record.seq);
    }
    return seqs.length === 0 ? undefined : { status: "accepted", seqs };
  }

  /** Applies op by op. The tree need not be valid between two ops of a group (O3). */
  #apply(
    batch: Batch,
    group: Group,
  ): { events: HashedEvent[]; growth: number[]; refusal?: Refusal } {
    const events: HashedEvent[] = [];
    const growth: number[] = [];
    for (const [index, op] of group.entries()) {
      const current = this.tree.get(op.node);
      const problem =
        checkOp(op, current) ??
        checkSize(op, current, this.#fileBytesMax) ??
        checkContent(op, this.#objects);
      if (problem !== undefined) return { events, growth, refusal: { ...problem, op: index } };
      growth.push(growthOf(op, current));
      const event = acceptedEvent(op, current, {
        seq: this.#head + 1 + index,
        time: this.#time,
        device: batch.device,
        batch: batch.batch,
        groupEnd: index === group.length - 1,
        approval: batch.approval,
      });
      events.push(event);
      this.tree.put(foldEvent({ ...event, previousHash: this.#hash, hash: this.#hash }));
    }
    return { events, growth };
  }

  #accept(
    events: readonly HashedEvent[],
    shown: readonly ShownPaths[],
    bodies: readonly Digest[],
  ): GroupResult {
    const seqs: Sequence[] = [];
    for (const [index, hashed] of events.entries()) {
      const hash = eventHash(this.#hash, hashed);
      const body = bodies[index];
      assert(body !== undefined, "every op has a body digest");
      const event = { ...hashed, previousHash: this.#hash, hash, path: "", ...shown[index] };
      this.events.push({ event, body });
      const { device, opId, seq } = event;
      this.#ops.set(opKey(event), { device, opId, seq, body });
      seqs.push(seq);
      this.#hash = hash;
      this.#head = seq;
    }
    return { status: "accepted", seqs };
  }

  #refuse(group: Group, { code, detail, op }: Refusal): GroupResult {
    const id = group[op]?.node;
    const current = id === undefined ? undefined : this.tree.get(id);
    const answer = { status: "refused", code, detail, op } as const;
    return current === undefined ? answer : { ...answer, current };
  }
}

export interface ShownPaths {
  readonly path: string;
  readonly from?: string;
}

function opKey({ device, opId }: OpKey): string {
  return `${device}/${opId}`;
}

/**
 * The node's path before the group, as people knew it. The group may move or delete its parents.
 */
export function pathBefore(tree: WorkingTree, op: Pick<Op, "kind" | "node">): Climb | undefined {
  if (op.kind !== "move" && op.kind !== "delete") return undefined;
  const node = tree.get(op.node);
  return node === undefined || node.deleted ? undefined : tree.climb(node);
}

/** @param tree after the event's group. @param before of `pathBefore` */
export function shownPaths(
  tree: WorkingTree,
  event: HashedEvent,
  before: Climb | undefined,
): ShownPaths {
  const from = before?.kind === "path" ? before.path : undefined;
  if (event.kind === "delete" && from !== undefined) return { path: from };
  const node = tree.get(event.node);
  const after = node === undefined ? undefined : tree.climb(node);
  const path = after?.kind === "path" ? after.path : event.name;
  return event.kind === "move" && from !== undefined ? { path, from } : { path };
}
