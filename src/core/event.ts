/**
 * Events: ops that the server accepted and ordered. An event carries the node's whole state after
 * it, so a fold never needs to look back, and history at any seq is "the node's last event up to
 * there". Rules: L1-L6.
 */
import type { Digest } from "./digest.ts";
import type { BatchId, DeviceId, Epoch, NodeId, OpId } from "./identifier.ts";
import type { ConflictOrigin, Content, Place, Sequence } from "./node.ts";

export type EventKind = "create" | "modify" | "move" | "delete";

export interface Event extends Place {
  readonly seq: Sequence;
  /** The server's clock, RFC 3339 with milliseconds in UTC. For people; orders nothing. */
  readonly time: string;
  readonly device: DeviceId;
  readonly opId: OpId;
  readonly batch: BatchId;
  /** True on the last event of a group; a group is never split across pages, folds or cycles. */
  readonly groupEnd: boolean;
  readonly kind: EventKind;
  readonly node: NodeId;
  /** State after the event; after a `delete` the last state before it. */
  readonly content: Content;
  /** The versions that the op was based on; 0 where the node was new. */
  readonly baseContent: Sequence;
  readonly basePlace: Sequence;
  readonly conflictOf?: ConflictOrigin;
  /** The id of the held change that a person let through; receivers then let it through too. */
  readonly approval?: string;
  readonly previousHash: Digest;
  readonly hash: Digest;
}

/** An event as served: with what people and small-file receivers want, outside the hash chain. */
export interface ServedEvent extends Event {
  /** The node's full path after the event (before it, for a delete). */
  readonly path: string;
  /** The full path before a move. */
  readonly from?: string;
  /** A small file's bytes in base64, verified by `content.sha256`; only when asked for. */
  readonly inline?: string;
}

/** A client's place in the log. `hash` is the hash of event `seq`, or the genesis hash at seq 0. */
export interface Cursor {
  readonly epoch: Epoch;
  readonly seq: Sequence;
  readonly hash: Digest;
}
