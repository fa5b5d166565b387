/**
 * Events are ops that the server accepted and ordered. An event carries the node's whole state
 * after it. So a fold never looks back, and the state at any seq is the node's last event up to
 * that seq. Rules: L1-L6.
 */
import type { Digest } from "./digest.ts";
import type { BatchId, DeviceId, Epoch, NodeId, OpId } from "./identifier.ts";
import type { ConflictOrigin, Content, Place, Sequence } from "./node.ts";

export const EVENT_KINDS = ["create", "modify", "move", "delete"] as const;

export type EventKind = (typeof EVENT_KINDS)[number];

export interface Event extends Place {
  readonly seq: Sequence;
  /**
   * From the server's clock: RFC 3339 with milliseconds, in UTC. Only people read it; it orders
   * nothing.
   */
  readonly time: string;
  readonly device: DeviceId;
  readonly opId: OpId;
  readonly batch: BatchId;
  /** True on the last event of a group. Pages, folds and cycles never split a group. */
  readonly groupEnd: boolean;
  readonly kind: EventKind;
  readonly node: NodeId;
  /** The state after the event; after a `delete`, the last state before it. */
  readonly content: Content;
  /** The versions that the op was based on; 0 if the node was new. */
  readonly baseContent: Sequence;
  readonly basePlace: Sequence;
  readonly conflictOf?: ConflictOrigin;
  /** The id of the held change that a person approved. Receivers let it through because of this. */
  readonly approval?: string;
  readonly previousHash: Digest;
  readonly hash: Digest;
}

/** An event as the server hands it out. The added fields are outside the hash chain. */
export interface ServedEvent extends Event {
  /** The node's full path after the event (before it, for a delete). */
  readonly path: string;
  /** The full path before a move. */
  readonly from?: string;
  /** True if the bytes of this version are not kept any more (U7). */
  readonly gone?: boolean;
  /**
   * A small file's bytes in base64, sent only if asked for; the receiver checks them against
   * `content.sha256`.
   */
  readonly inline?: string;
}

/** A client's place in the log. `hash` is the hash of event `seq`, or the genesis hash at seq 0. */
export interface Cursor {
  readonly epoch: Epoch;
  readonly seq: Sequence;
  readonly hash: Digest;
}

/** True if both name the same event of the same log. */
export function sameCursor(one: Cursor, other: Cursor): boolean {
  return one.epoch === other.epoch && one.seq === other.seq && one.hash === other.hash;
}
