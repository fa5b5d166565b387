/**
 * The client's side of the log: joins by snapshot, catches up by pages, and folds events into the
 * remote tree. Every event is checked against the hash chain before it is folded. Rules: L1, L2,
 * H5, Y1, S5.
 */
import { acceptedEvent } from "../../core/accept.ts";
import { eventHash } from "../../core/canonical.ts";
import { type Digest, EMPTY_DIGEST } from "../../core/digest.ts";
import { SyncedError } from "../../core/error.ts";
import type { Cursor, Event, ServedEvent } from "../../core/event.ts";
import { foldEvent } from "../../core/fold.ts";
import type { DeviceId, NodeId } from "../../core/identifier.ts";
import {
  EVENTS_PER_PAGE_MAX,
  STREAM_EVENTS_KEPT_MAX,
  TREE_NODES_PER_PAGE_MAX,
} from "../../core/limits.ts";
import type { RemoteNode } from "../../core/node.ts";
import type { Batch, BatchResult } from "../../core/op.ts";
import type { ClientPorts } from "../folder/ports.ts";
import { Births } from "./births.ts";
import { OthersApprovals } from "./others-approvals.ts";
import { OwnOps } from "./own-ops.ts";

/** Inlined small contents that wait to be staged: a few pages' worth, in bytes. */
const INLINE_BYTES_KEPT_MAX = 16 * 1024 * 1024;

export class RemoteLog {
  readonly #ports: ClientPorts;
  readonly device: DeviceId;
  readonly #inlined = new Map<Digest, Uint8Array>();
  #inlinedBytes = 0;
  /**
   * Events that came by the stream and are not folded yet. They are whole up to the last group end.
   */
  #streamed: ServedEvent[] = [];
  /** The log's head, as far as the client knows. */
  head = 0;
  /** The number of events of others that were folded in this run. */
  newsCount = 0;
  /** Ops that were posted and have not come back yet. */
  readonly own: OwnOps;
  readonly approvals: OthersApprovals;
  readonly #births: Births;

  constructor(ports: ClientPorts, device: DeviceId) {
    this.#ports = ports;
    this.own = new OwnOps(ports.store);
    this.approvals = new OthersApprovals(ports.store);
    this.#births = new Births(ports);
    this.device = device;
  }

  /** Small contents that came beside events, by SHA-256. */
  get inlined(): ReadonlyMap<Digest, Uint8Array> {
    return this.#inlined;
  }

  dropInlined(): void {
    this.#inlined.clear();
    this.#inlinedBytes = 0;
  }

  /**
   * Keeps an event of the live stream for the next cycle. If too many wait, all are dropped, and
   * pages fill the gap.
   */
  take(event: ServedEvent): void {
    if (this.#streamed.length >= STREAM_EVENTS_KEPT_MAX) this.#streamed = [];
    this.#streamed.push(event);
    this.head = Math.max(this.head, event.seq);
  }

  /** A new stream begins. Events of an earlier one may be of a log that is gone. */
  dropStreamed(): void {
    this.#streamed = [];
  }

  /**
   * The stream passed over this device's own events up to `seq`.
   *
   * @returns true if they are not folded yet.
   */
  pass(seq: number): boolean {
    this.head = Math.max(this.head, seq);
    return this.isBehind;
  }

  /** True if the log is ahead of everything that was folded or waits to be folded. */
  get isBehind(): boolean {
    const known = this.#streamed.at(-1)?.seq ?? this.#ports.store.cursor()?.seq ?? 0;
    return known < this.head;
  }

  get hasStreamed(): boolean {
    return this.#streamed.length > 0;
  }

  /**
   * Folds the events that the stream brought.
   *
   * @returns false if there is a gap, or an event does not fit. Then catch up by pages, which tell
   * whether the cursor is still on the log.
   */
  foldStreamed(): boolean {
    const cursor = this.#ports.store.cursor();
    if (cursor === undefined) return false;
    const events = this.#streamed.filter((event) => event.seq > cursor.seq);
    let joined = 0;
    while (events[joined]?.seq === cursor.seq + 1 + joined) joined += 1;
    let whole = joined;
    while (whole > 0 && events[whole - 1]?.groupEnd !== true) whole -= 1;
    const hasGap = joined < events.length;
    this.#streamed = hasGap ? [] : events.slice(whole);
    try {
      if (whole > 0) this.#fold(cursor, events.slice(0, whole));
      return !hasGap;
    } catch (cause) {
      if (!(cause instanceof SyncedError) || cause.code !== "protocol_violation") throw cause;
      this.#streamed = [];
      return false;
    }
  }

  /**
   * Joins by snapshot if there is no cursor, then folds pages until the head.
   *
   * @throws {SyncedError} `log_diverged`, `cursor_ahead`, `cursor_expired` if the cursor is not on
   * this log.
   */
  async catchUp(signal: AbortSignal): Promise<void> {
    const { store, api } = this.#ports;
    let cursor = store.cursor() ?? (await this.#join(signal));
    for (;;) {
      signal.throwIfAborted();
      const request = { after: cursor, device: this.device, limit: EVENTS_PER_PAGE_MAX };
      const page = await api.events(request, signal);
      if (page.epoch !== cursor.epoch) throw diverged("its epoch is another");
      this.head = page.head;
      if (page.events.length > 0) cursor = this.#fold(cursor, page.events);
      if (cursor.seq >= page.head) return;
      if (page.events.length === 0) throw violation(`it sends no event after ${cursor.seq}`);
    }
  }

  /**
   * Reads the snapshot at a moving head. `catchUp` replays events since the first page's seq on top
   * of it.
   */
  async #join(signal: AbortSignal): Promise<Cursor> {
    const { store, api, observer } = this.#ports;
    store.clearRemote();
    let cursor: Cursor | undefined;
    let after: NodeId | undefined;
    let count = 0;
    do {
      const limit = TREE_NODES_PER_PAGE_MAX;
      const page = await api.tree(after === undefined ? { limit } : { after, limit }, signal);
      cursor ??= { epoch: page.epoch, seq: page.seq, hash: page.hash };
      if (page.epoch !== cursor.epoch) throw diverged("its epoch changed during the snapshot");
      store.transaction(() => {
        for (const node of page.nodes) store.putRemote(node);
      });
      count += page.nodes.length;
      if (page.next !== undefined) progress(observer, count);
      after = page.next;
    } while (after !== undefined);
    store.setCursor(cursor);
    return cursor;
  }

  /**
   * Folds the events that a batch of this device became, without asking for them. The client
   * foresees them. If their chain ends in the hash of the server's answer, that proves it right
   * (L2).
   *
   * @returns false if events of others lie between, or if the answer was to a retry.
   */
  foldOwn(batch: Batch, { results, head, hash, time }: BatchResult): boolean {
    const cursor = this.#ports.store.cursor();
    if (cursor === undefined || hash === undefined || time === undefined) return false;
    const seqs = results.flatMap((result) => (result.status === "accepted" ? result.seqs : []));
    if (seqs.length === 0 || head !== cursor.seq + seqs.length) return false;
    if (seqs.some((seq, index) => seq !== cursor.seq + 1 + index)) return false;
    const accepted = batch.groups.filter((_, index) => results[index]?.status === "accepted");
    const row = (id: NodeId) => this.#ports.store.remoteRow(id);
    const events = foresee({ ...batch, groups: accepted }, { cursor, time, row });
    if (events?.at(-1)?.hash !== hash) return false;
    this.#record({ epoch: cursor.epoch, seq: head, hash }, events);
    return true;
  }

  #fold(cursor: Cursor, events: readonly ServedEvent[]): Cursor {
    const folded = checkChain(cursor, events);
    this.#record(folded, events);
    for (const event of events) {
      if (event.device === this.device) continue;
      this.#keepInlined(event);
    }
    return folded;
  }

  #record(folded: Cursor, events: readonly Event[]): void {
    const { store } = this.#ports;
    const approved = events.filter((event) => event.approval !== undefined).map((e) => e.node);
    store.transaction(() => {
      for (const event of events) {
        this.#births.note(event);
        const isOwn = event.device === this.device && this.own.take(event.opId);
        // The disk durably had it before it was posted. The disk may also hold others' news, but by
        // chance and perhaps only in memory; so the cycle settles that (I15).
        if (isOwn) store.agreeOwn(event);
        else {
          this.newsCount += 1;
          store.putRemote(foldEvent(event));
        }
      }
      this.approvals.add(approved);
      store.setCursor(folded);
    });
    this.head = Math.max(this.head, folded.seq);
  }

  #keepInlined({ inline, content }: ServedEvent): void {
    if (inline === undefined || content.kind !== "file" || content.depth !== 0) return;
    if (content.sha256 === EMPTY_DIGEST) return;
    if (this.#inlinedBytes + content.size > INLINE_BYTES_KEPT_MAX) return;
    // Verified when it is staged, like every other chunk.
    this.#inlined.set(content.sha256, Uint8Array.fromBase64(inline));
    this.#inlinedBytes += content.size;
  }
}

/** @returns undefined if an op is about a node that is not known here. */
function foresee(
  batch: Batch,
  before: {
    readonly cursor: Cursor;
    readonly time: string;
    readonly row: (id: NodeId) => RemoteNode | undefined;
  },
): Event[] | undefined {
  const { device, approval } = batch;
  let { seq, hash } = before.cursor;
  const changed = new Map<NodeId, RemoteNode>();
  const events: Event[] = [];
  for (const group of batch.groups) {
    for (const [index, op] of group.entries()) {
      const current = changed.get(op.node) ?? before.row(op.node);
      if (current === undefined && op.kind !== "create") return undefined;
      seq += 1;
      const groupEnd = index === group.length - 1;
      const header = { seq, time: before.time, device, batch: batch.batch, groupEnd, approval };
      const hashed = acceptedEvent(op, current, header);
      const event = { ...hashed, previousHash: hash, hash: eventHash(hash, hashed) };
      hash = event.hash;
      changed.set(op.node, foldEvent(event));
      events.push(event);
    }
  }
  return events;
}

/**
 * Checks that each event follows the one before by seq and hash, and that the last one ends a
 * group. The server has just said that the cursor is on its log, so an event that does not fit is
 * no log at all.
 */
function checkChain(cursor: Cursor, events: readonly ServedEvent[]): Cursor {
  let { seq, hash } = cursor;
  for (const event of events) {
    if (event.seq !== seq + 1) throw violation(`event ${event.seq} follows event ${seq}`);
    if (event.previousHash !== hash || eventHash(hash, event) !== event.hash) {
      throw violation(`the hash of event ${event.seq} does not fit the chain`);
    }
    seq = event.seq;
    hash = event.hash;
  }
  if (events.at(-1)?.groupEnd !== true) throw violation(`a page ends inside a group at ${seq}`);
  return { epoch: cursor.epoch, seq, hash };
}

function progress(observer: ClientPorts["observer"], done: number): void {
  observer.emit({
    event: "progress",
    phase: "download",
    done,
    total: done,
    bytesDone: 0,
    bytesTotal: 0,
  });
}

function diverged(why: string): SyncedError {
  return new SyncedError("log_diverged", `Cannot go on in the server's log: ${why}`);
}

/** True for the error of a work that a signal ended. */
export function isAbort(cause: unknown): boolean {
  return cause instanceof Error && cause.name === "AbortError";
}

function violation(why: string): SyncedError {
  return new SyncedError("protocol_violation", `Cannot use the server's log: ${why}`);
}
