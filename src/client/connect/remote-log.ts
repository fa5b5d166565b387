/**
 * The client's side of the log: joins by snapshot, catches up by pages, and folds events into the
 * remote tree. Every event is checked against the hash chain and the rules of the tree before it is
 * folded. Rules: L1, L2, L7, H5, Y1, S5.
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
import type { EventPage } from "../../protocol/messages.ts";
import { Births } from "../folder/births.ts";
import type { ClientPorts } from "../folder/ports.ts";
import { Growth } from "./growth.ts";
import { checkEvents, checkTree } from "./log-gate.ts";
import { OthersApprovals } from "./others-approvals.ts";
import { OwnOps } from "./own-ops.ts";

/** Inlined small contents that wait to be staged: a few pages' worth, in bytes. */
const INLINE_BYTES_KEPT_MAX = 16 * 1024 * 1024;

/** Events of this device that were foreseen come without anything that the server adds. */
type FoldedEvent = Event & Pick<ServedEvent, "inline">;

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
  /** True if the stream has told of an order for this device. */
  hasOrder = false;
  /** Ops that were posted and have not come back yet. */
  readonly own: OwnOps;
  readonly approvals: OthersApprovals;
  readonly growth = new Growth();
  readonly births: Births;

  constructor(ports: ClientPorts, device: DeviceId) {
    this.#ports = ports;
    this.own = new OwnOps(ports.store);
    this.approvals = new OthersApprovals(ports.store);
    this.births = new Births(ports, device);
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
   * Keeps an event of the live stream for the next cycle.
   *
   * @returns false if too many wait. Pages bring it, and what follows it.
   */
  take(event: ServedEvent): boolean {
    this.head = Math.max(this.head, event.seq);
    if (this.#streamed.length >= STREAM_EVENTS_KEPT_MAX) return false;
    this.#streamed.push(event);
    return true;
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
  async foldStreamed(signal: AbortSignal): Promise<boolean> {
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
      if (whole > 0) await this.#fold(cursor, events.slice(0, whole), signal);
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
    let cursor = this.#ports.store.cursor() ?? (await this.#join(signal));
    for (;;) {
      const page = await this.#page(cursor, signal);
      if (page.events.length > 0) cursor = await this.#fold(cursor, page.events, signal);
      if (cursor.seq >= page.head) return;
    }
  }

  async #page(cursor: Cursor, signal: AbortSignal): Promise<EventPage> {
    signal.throwIfAborted();
    const request = { after: cursor, device: this.device, limit: EVENTS_PER_PAGE_MAX };
    const page = await this.#ports.api.events(request, signal);
    if (page.epoch !== cursor.epoch) throw diverged("its epoch is another");
    this.head = page.head;
    if (page.events.length === 0 && cursor.seq < page.head) {
      throw violation(`it sends no event after ${cursor.seq}`);
    }
    return page;
  }

  /**
   * Reads the snapshot at a moving head, and the events since its first page on top of it. The
   * cursor is set once the tree is whole and legal; until then it is as if nothing had been read.
   */
  async #join(signal: AbortSignal): Promise<Cursor> {
    const { store } = this.#ports;
    store.clearRemote();
    try {
      const { cursor, through, count } = await this.#readTree(signal);
      const reached = await this.#replay(cursor, through, signal);
      await checkTree(this.#ports, count + reached.added, signal);
      store.setCursor(reached.cursor);
      return reached.cursor;
    } catch (cause) {
      store.clearRemote();
      throw cause;
    }
  }

  /** @returns the first page's cursor, the head after the last page, and the number of nodes. */
  async #readTree(
    signal: AbortSignal,
  ): Promise<{ readonly cursor: Cursor; readonly through: number; readonly count: number }> {
    const { store, api, observer } = this.#ports;
    let cursor: Cursor | undefined;
    let through = 0;
    let after: NodeId | undefined;
    let count = 0;
    do {
      signal.throwIfAborted();
      const limit = TREE_NODES_PER_PAGE_MAX;
      const page = await api.tree(after === undefined ? { limit } : { after, limit }, signal);
      cursor ??= { epoch: page.epoch, seq: page.seq, hash: page.hash };
      if (page.epoch !== cursor.epoch) throw diverged("its epoch changed during the snapshot");
      if (page.nodes.some(({ deleted }) => deleted)) throw violation("its tree has a deleted node");
      store.transaction(() => {
        for (const node of page.nodes) store.putRemote(node);
      });
      through = Math.max(through, page.through ?? page.seq);
      count += page.nodes.length;
      if (page.next !== undefined) progress(observer, count);
      after = page.next;
    } while (after !== undefined);
    return { cursor, through, count };
  }

  /**
   * Puts the events up to `through` on top of a tree that was read while they happened. It has some
   * of them already, so only the whole can be checked.
   */
  async #replay(
    start: Cursor,
    through: number,
    signal: AbortSignal,
  ): Promise<{ readonly cursor: Cursor; readonly added: number }> {
    const { store } = this.#ports;
    let cursor = start;
    let added = 0;
    while (cursor.seq < through) {
      const { events } = await this.#page(cursor, signal);
      cursor = checkChain(cursor, events);
      store.transaction(() => {
        for (const event of events) {
          const before = store.remote.get(event.node) === undefined ? 0 : 1;
          this.#record(event);
          added += (store.remote.get(event.node) === undefined ? 0 : 1) - before;
        }
      });
    }
    return { cursor, added };
  }

  /**
   * Folds the events that a batch of this device became, without asking for them. The client
   * foresees them. If their chain ends in the hash of the server's answer, that proves it right
   * (L2).
   *
   * @returns false if events of others lie between, or if the answer was to a retry.
   */
  async foldOwn(
    batch: Batch,
    { results, head, hash, time }: BatchResult,
    signal: AbortSignal,
  ): Promise<boolean> {
    const cursor = this.#ports.store.cursor();
    if (cursor === undefined || hash === undefined || time === undefined) return false;
    const seqs = results.flatMap((result) => (result.status === "accepted" ? result.seqs : []));
    if (seqs.length === 0 || head !== cursor.seq + seqs.length) return false;
    if (seqs.some((seq, index) => seq !== cursor.seq + 1 + index)) return false;
    const accepted = batch.groups.filter((_, index) => results[index]?.status === "accepted");
    const row = (id: NodeId) => this.#ports.store.remoteRow(id);
    const events = foresee({ ...batch, groups: accepted }, { cursor, time, row });
    if (events?.at(-1)?.hash !== hash) return false;
    // A server that took a part of what hangs together has made a tree that is none.
    await checkEvents(this.#ports, events, signal);
    this.#recordAll({ epoch: cursor.epoch, seq: head, hash }, events);
    return true;
  }

  async #fold(
    cursor: Cursor,
    events: readonly ServedEvent[],
    signal: AbortSignal,
  ): Promise<Cursor> {
    const folded = checkChain(cursor, events);
    await checkEvents(this.#ports, events, signal);
    this.#recordAll(folded, events);
    for (const event of events) {
      if (event.device === this.device) continue;
      this.#keepInlined(event);
    }
    return folded;
  }

  #recordAll(folded: Cursor, events: readonly FoldedEvent[]): void {
    const { store } = this.#ports;
    const approved = events.filter((event) => event.approval !== undefined).map((e) => e.node);
    store.transaction(() => {
      for (const event of events) this.#record(event);
      this.approvals.add(approved);
      store.setCursor(folded);
    });
    this.head = Math.max(this.head, folded.seq);
  }

  /** Call it in a transaction. */
  #record(event: FoldedEvent): void {
    const { store } = this.#ports;
    this.births.note(event);
    const isOwn = event.device === this.device && this.own.take(event.opId);
    // The disk durably had it before it was posted. The disk may also hold others' news, but by
    // chance and perhaps only in memory; so the cycle settles that (I15).
    if (isOwn) store.agreeOwn(event);
    else {
      this.newsCount += 1;
      if (event.kind === "modify") this.growth.note(store.remoteRow(event.node)?.content, event);
      store.putRemote(foldEvent(event));
    }
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
