/**
 * Ops: the changes that a client proposes. Each names the versions that it is based on
 * (compare-and-set).
 * Rules: O1-O9.
 */

import type { Digest } from "./digest.ts";
import type { Cursor } from "./event.ts";
import type { BatchId, DeviceId, NodeId, OpId } from "./identifier.ts";
import type { ConflictOrigin, Content, Place, RemoteNode, Sequence } from "./node.ts";

interface OpHeader {
  readonly opId: OpId;
  readonly node: NodeId;
}

/** Creates a node. If `base` is a tombstone's seq, it revives that node with its id and history. */
export interface CreateOp extends OpHeader, Place {
  readonly kind: "create";
  readonly content: Content;
  readonly base: Sequence;
  readonly conflictOf?: ConflictOrigin;
}

export interface ModifyOp extends OpHeader {
  readonly kind: "modify";
  readonly content: Content;
  readonly baseContent: Sequence;
}

/** Renames or reparents a node: one event, however large the directory. */
export interface MoveOp extends OpHeader, Place {
  readonly kind: "move";
  readonly basePlace: Sequence;
}

/**
 * Deletes one node. Ops go bottom-up, because the server refuses to delete a directory with a live
 * child.
 */
export interface DeleteOp extends OpHeader {
  readonly kind: "delete";
  readonly baseContent: Sequence;
  readonly basePlace: Sequence;
}

export type Op = CreateOp | ModifyOp | MoveOp | DeleteOp;

interface OfKind {
  readonly kind: Op["kind"];
}

/**
 * True for ops that give their node a place. A new kind does not compile until somebody decides
 * here.
 */
export function setsPlace<O extends OfKind>(
  op: O,
): op is Extract<O, { readonly kind: "create" | "move" }> {
  switch (op.kind) {
    case "create":
    case "move":
      return true;
    case "modify":
    case "delete":
      return false;
  }
}

/** True of ops that name the content version that they are based on (O2). */
export function namesContentVersion<O extends OfKind>(
  op: O,
): op is Extract<O, { readonly kind: "modify" | "delete" }> {
  switch (op.kind) {
    case "modify":
    case "delete":
      return true;
    case "create":
    case "move":
      return false;
  }
}

/** True of ops that name the place version that they are based on (O2). */
export function namesPlaceVersion<O extends OfKind>(
  op: O,
): op is Extract<O, { readonly kind: "move" | "delete" }> {
  switch (op.kind) {
    case "move":
    case "delete":
      return true;
    case "create":
    case "modify":
      return false;
  }
}

/** True for ops that give their node bytes, a target or metadata. */
export function setsContent<O extends OfKind>(
  op: O,
): op is Extract<O, { readonly kind: "create" | "modify" }> {
  switch (op.kind) {
    case "create":
    case "modify":
      return true;
    case "move":
    case "delete":
      return false;
  }
}

/** Accepted or refused as a whole. The tree must be valid after the group, not after each op. */
export type Group = readonly Op[];

export interface Batch {
  readonly device: DeviceId;
  readonly batch: BatchId;
  /** Must lie on this log, because sequence numbers repeat after a restore. */
  readonly cursor: Cursor;
  readonly groups: readonly Group[];
  readonly approval?: string;
}

export type GroupResult =
  | {
      readonly status: "accepted";
      /** One an op, in the group's order. */
      readonly seqs: readonly Sequence[];
    }
  | {
      readonly status: "refused";
      readonly code: RefusalCode;
      readonly detail: string;
      /** The index in the group of the op that was refused. */
      readonly op: number;
      /** The node's state now, if it exists. */
      readonly current?: RemoteNode;
    };

export type RefusalCode =
  | "version_conflict"
  | "node_exists"
  | "node_missing"
  | "name_taken"
  | "parent_missing"
  | "parent_not_directory"
  | "cycle"
  | "directory_not_empty"
  | "kind_change"
  | "chunk_missing"
  | "invalid_manifest"
  | "file_too_large"
  | "quota_exceeded"
  | "invalid_path"
  | "reserved_name"
  | "path_too_long"
  | "idempotency_key_reused";

/**
 * One result for each group, in the batch's order. A refused group does not stop the later ones.
 */
export interface BatchResult {
  readonly results: readonly GroupResult[];
  /** The log's head after the batch. */
  readonly head: Sequence;
  /**
   * The hash of event `head` and the time of the batch's new events. The author needs both to
   * foresee the events.
   */
  readonly hash?: Digest;
  readonly time?: string;
}
