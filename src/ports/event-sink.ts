/**
 * EventSink: a second home for events, for people who ask questions in SQL. Rules: M1-M6.
 *
 * Sync neither reads it nor waits for it. Its writer continues from the cursor that the sink itself
 * keeps. So neither an outage nor a kill nor a lost answer makes a gap or a double row.
 */
import type { Digest } from "../core/digest.ts";
import type { DeviceId, Epoch, FolderName, ServerId } from "../core/identifier.ts";
import type { Sequence } from "../core/node.ts";

/** How a person would name the change. */
export const FILE_ACTIONS = [
  "upload",
  "update",
  "rename",
  "delete",
  "restore",
  "mkdir",
  "rmdir",
  "symlink",
  "metadata",
] as const;
export type FileAction = (typeof FILE_ACTIONS)[number];

/** One event, in the form that people read. */
export interface FilesLogRow {
  readonly seq: Sequence;
  /** RFC 3339. */
  readonly time: string;
  readonly action: FileAction;
  /** The path after the event; for a deletion, the path before it. */
  readonly path: string;
  /** Only for renames. */
  readonly oldPath?: string;
  /** In bytes; only for files, deleted ones too. */
  readonly size?: number;
  readonly sha256?: Digest;
  /** The device's name if it is known, else its id. */
  readonly device: string;
  readonly deviceId: DeviceId;
}

/** Names one event log. A restored log has another epoch and begins anew. */
export interface LogName {
  readonly server: ServerId;
  readonly folder: FolderName;
  readonly epoch: Epoch;
}

export interface SinkCursor {
  /** The seq of the last row; 0 before the first one. */
  readonly seq: Sequence;
  /**
   * The hash of event `seq`, which tells this log from one that was rolled back; absent at seq 0.
   */
  readonly hash?: Digest;
}

export interface SinkBatch {
  /** If the sink's cursor is elsewhere, nothing is done. */
  readonly after: Sequence;
  /** At least one row; their seqs are `after` + 1 and so on. */
  readonly rows: readonly FilesLogRow[];
  /** The hash of the last row's event. */
  readonly hash: Digest;
}

/**
 * Callers make one call at a time; only `close` may come during another. A call that threw a
 * SyncedError may be repeated later, except after `data_newer`: then a newer version wrote there
 * and this one must stay away. Messages say what to do next and hold no secret.
 */
export interface EventSink {
  /** The sink's address, without credentials. */
  readonly name: string;
  /**
   * Makes or migrates the tables if needed. Idempotent and cheap, so it also serves to find out
   * whether the sink is there.
   */
  open(): Promise<void>;
  cursor(log: LogName): Promise<SinkCursor>;
  /**
   * Writes rows and cursor in one transaction, durable when it resolves. If it throws, it may still
   * have written them.
   */
  append(log: LogName, batch: SinkBatch): Promise<"appended" | "cursor_moved">;
  /** Closes at once: a call under way fails, and later calls throw. */
  close(): Promise<void>;
}
