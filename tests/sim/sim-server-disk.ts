/**
 * What a simulated server's disk holds, over its crashes, and what was written but not yet durable.
 * One log a folder; every query is a fold of it, so a restore from a backup is a shorter log.
 */

import type { Digest } from "../../src/core/digest.ts";
import { sameCursor } from "../../src/core/event.ts";
import type { FolderName, NodeId } from "../../src/core/identifier.ts";
import type { Place, RemoteNode, Sequence } from "../../src/core/node.ts";
import {
  type Append,
  type DeviceRecord,
  type EventRecord,
  type FolderRecord,
  newRoots,
} from "../../src/ports/metadata-store.ts";
import type { KnownObject } from "../../src/ports/object-records.ts";

/** One folder's log and what is folded from it. */
export class SimLog {
  readonly record: FolderRecord;
  readonly events: EventRecord[] = [];
  /** Current rows, tombstones too. */
  readonly nodes = new Map<NodeId, RemoteNode>();
  readonly objects = new Map<string, KnownObject>();
  /** The head when each object was recorded. */
  readonly recordedAt = new Map<string, Sequence>();
  /** When each object was recorded or asked about last. */
  readonly touched = new Map<string, number>();
  /** In which call each object was recorded, over all folders. */
  readonly turns = new Map<string, number>();
  /** Events whose versions are gone (U7), and the last event that was judged for that. */
  readonly gone = new Set<Sequence>();
  pruned: Sequence = 0;
  readonly devices = new Map<string, DeviceRecord>();
  /** Recorded since the last append, call by call: a crash may forget the last of these. */
  volatileObjects: (readonly string[])[] = [];

  constructor(record: FolderRecord) {
    this.record = record;
  }

  get head(): { epoch: FolderRecord["epoch"]; seq: Sequence; hash: Digest } {
    const last = this.events.at(-1)?.event;
    const { epoch, genesis } = this.record;
    return last === undefined
      ? { epoch, seq: 0, hash: genesis }
      : { epoch, seq: last.seq, hash: last.hash };
  }

  /** A node's events go that have bytes. @returns true if there were any */
  goes({ node, from, end }: { node: NodeId; from: Sequence; end: Sequence }): boolean {
    const known = this.gone.size;
    for (const { event } of this.events.slice(from - 1, end)) {
      const { content, seq } = event;
      if (event.node === node && content.kind === "file" && content.size > 0) this.gone.add(seq);
    }
    return this.gone.size > known;
  }

  served(event: EventRecord["event"]): EventRecord["event"] {
    return this.gone.has(event.seq) ? { ...event, gone: true } : event;
  }

  /** False if a root that these events need was forgotten meanwhile (U3). */
  knowsRoots({ events }: Pick<Append, "events">): boolean {
    return newRoots(events).every((root) => this.objects.has(objectKey(root)));
  }

  append({ events }: Pick<Append, "events">): void {
    for (const record of events) {
      this.events.push(record);
      this.nodes.set(record.event.node, after(record, this.nodes.get(record.event.node)));
    }
    this.volatileObjects = [];
  }

  /** All rows as of event `seq`, tombstones too. */
  rowsAt(seq: Sequence | undefined): ReadonlyMap<NodeId, RemoteNode> {
    if (seq === undefined || seq >= this.events.length) return this.nodes;
    const rows = new Map<NodeId, RemoteNode>();
    for (const record of this.events.slice(0, seq)) {
      rows.set(record.event.node, after(record, rows.get(record.event.node)));
    }
    return rows;
  }

  /** One node's row as of event `seq`. */
  rowAt(id: NodeId, seq: Sequence): RemoteNode | undefined {
    let row: RemoteNode | undefined;
    for (const record of this.events) {
      if (record.event.seq > seq) break;
      if (record.event.node === id) row = after(record, row);
    }
    return row;
  }

  live(place: Place, seq?: Sequence): RemoteNode | undefined {
    for (const node of this.rowsAt(seq).values()) {
      if (!node.deleted && node.parent === place.parent && node.name === place.name) return node;
    }
    return undefined;
  }

  /** Goes back to what a backup made at `seq` held. */
  restore(seq: Sequence): void {
    this.events.length = Math.min(seq, this.events.length);
    const rows = this.rowsAt(undefined);
    const kept = [...this.events];
    this.events.length = 0;
    if (rows === this.nodes) this.nodes.clear();
    this.append({ events: kept });
    this.devices.clear();
    for (const [key, since] of this.recordedAt) {
      if (since <= seq) continue;
      this.objects.delete(key);
      this.recordedAt.delete(key);
    }
  }
}

export class SimServerDisk {
  readonly folders = new Map<FolderName, SimLog>();
  readonly objects = new Map<Digest, Uint8Array>();
  objectsVersion = 0;
  turn = 0;
  readonly condemned = new Set<Digest>();
  /** The version after which bytes were not there any more. */
  readonly deletedAt = new Map<Digest, number>();
  /** Appends whose barrier has not come yet: the power may go now. */
  readonly pendingAppends = new Set<{ readonly log: SimLog; readonly append: Append }>();

  /** SIGKILL or power cut: what was not answered is there or not. */
  crash(chance: () => boolean): void {
    for (const { log, append } of this.pendingAppends) {
      if (!log.knowsRoots(append)) continue;
      if (sameCursor(append.expectedHead, log.head) && chance()) log.append(append);
    }
    this.pendingAppends.clear();
    for (const log of this.folders.values()) {
      // As a write-ahead log does: no record outlives one that was made before it.
      const first = log.volatileObjects.findIndex(() => chance());
      const forgotten = first === -1 ? [] : log.volatileObjects.slice(first);
      for (const key of forgotten.flat()) log.objects.delete(key);
      log.volatileObjects = [];
    }
  }
}

/** A node's row after one more event. */
function after({ event }: EventRecord, before: RemoteNode | undefined): RemoteNode {
  const { node, parent, name, content, kind, seq } = event;
  return {
    id: node,
    parent,
    name,
    content,
    deleted: kind === "delete",
    contentVersion: kind === "move" && before !== undefined ? before.contentVersion : seq,
    placeVersion: kind === "modify" && before !== undefined ? before.placeVersion : seq,
  };
}

export function objectKey(object: Pick<KnownObject, "digest" | "depth">): string {
  return `${object.digest}:${object.depth}`;
}
