/**
 * EventSink: a second home for events, for people who ask questions in SQL. Rules: M1-M6.
 *
 * It is never read by sync and never waited for by it. Whoever writes to it goes by the cursor that
 * it keeps itself, so that an outage, a kill or an answer that got lost makes neither a gap nor a
 * double row.
 */
import type { Digest } from "../core/digest.ts";
import type { DeviceId, Epoch, FolderName, ServerId } from "../core/identifier.ts";
import type { Sequence } from "../core/node.ts";

/** What a person would say that happened. */
export type FileAction =
  | "upload"
  | "update"
  | "rename"
  | "delete"
  | "restore"
  | "mkdir"
  | "rmdir"
  | "symlink"
  | "metadata";

/** One event as people read it. */
export interface FilesLogRow {
  readonly seq: Sequence;
  /** RFC 3339. */
  readonly time: string;
  readonly action: FileAction;
  /** After the event; before it for what was deleted. */
  readonly path: string;
  /** Renames only. */
  readonly oldPath?: string;
  /** Files only, also deleted ones. */
  readonly size?: number;
  readonly sha256?: Digest;
  /** The device's name where it is known, else its id. */
  readonly device: string;
  readonly deviceId: DeviceId;
}

/** One event log; a restored one has another epoch and begins anew. */
export interface LogName {
  readonly server: ServerId;
  readonly folder: FolderName;
  readonly epoch: Epoch;
}

export interface SinkCursor {
  /** Of the last row; 0 before the first one. */
  readonly seq: Sequence;
  /** That event's hash, which tells a log from one that was rolled back; none at seq 0. */
  readonly hash?: Digest;
}

export interface SinkBatch {
  /** Nothing is done where the cursor is elsewhere. */
  readonly after: Sequence;
  /** At least one; seqs are `after` + 1 and so on. */
  readonly rows: readonly FilesLogRow[];
  /** The last row's hash. */
  readonly hash: Digest;
}

/**
 * One call at a time, `close` excepted. A call that throws a SyncedError may be made again later,
 * but for `data_newer`: a newer version wrote there and this one must stay away. Messages say what
 * to do next and hold no secret.
 */
export interface EventSink {
  /** Where it is, without credentials. */
  readonly name: string;
  /**
   * Makes or migrates the tables where that is needed. Idempotent and cheap: also tells whether it
   * is there.
   */
  open(): Promise<void>;
  cursor(log: LogName): Promise<SinkCursor>;
  /**
   * Rows and cursor in one transaction, durable when it resolves. A call that throws may have been
   * done.
   */
  append(log: LogName, batch: SinkBatch): Promise<"appended" | "cursor_moved">;
  /** At once: a call under way fails. Later calls throw. */
  close(): Promise<void>;
}
