/**
 * HistoryStore: what the log says about the past, arranged for questions about a moment. A span is
 * one state of a node, from the event that made it to the event that ended it. Rules: E1, E2, E4.
 *
 * All of it is derived from the log. Whoever deletes it loses time, not data. Every `fold` is
 * atomic; a crash may forget the latest ones, never tear one. Reads see whole folds. All calls may
 * run concurrently.
 */
import { canonicalContent } from "../core/canonical.ts";
import type { Change } from "../core/change.ts";
import { sha256 } from "../core/digest.ts";
import type { Cursor, Event } from "../core/event.ts";
import type { DeviceId, FolderName, NodeId } from "../core/identifier.ts";
import type { Content, Place, Sequence } from "../core/node.ts";

/** The `to` of a span that no event has ended yet. */
export const STILL_OPEN = Number.MAX_SAFE_INTEGER;

export interface Span extends Place {
  /** The seq of the event that made this state. */
  readonly from: Sequence;
  /** The seq of the event that ended it, or STILL_OPEN. The state is there from `from` to before. */
  readonly to: Sequence;
  /** True if the event that ended it deleted the node. */
  readonly isDeleted: boolean;
  readonly node: NodeId;
  readonly kind: Content["kind"];
  /** In bytes; 0 if it is no file. */
  readonly size: number;
  /** Milliseconds since 1970, rounded to what a double holds; 0 if it is no file. */
  readonly mtimeMs: number;
  /** 52 bits of a digest over bytes and metadata: equal for equal contents. */
  readonly fingerprint: number;
}

/** The span that an event opens. A deletion opens none. */
export function spanOf({ parent, name, seq, node, content }: Event): Span {
  const isFile = content.kind === "file";
  return {
    parent,
    name,
    from: seq,
    to: STILL_OPEN,
    isDeleted: false,
    node,
    kind: content.kind,
    size: isFile ? content.size : 0,
    mtimeMs: isFile ? Number(content.mtimeNs) / 1e6 : 0,
    fingerprint: fingerprintOf(content),
  };
}

function fingerprintOf(content: Content): number {
  const digest = sha256(JSON.stringify(canonicalContent(content)));
  return Number.parseInt(digest.slice(0, 13), 16);
}

/** All events of one device, one minute and one kind of change. */
export interface ActivityRow {
  /** Minutes since 1970. */
  readonly minute: number;
  readonly device: DeviceId;
  readonly change: Change;
  readonly count: number;
  /** Bytes of the files that were created or changed. */
  readonly bytes: number;
  readonly first: Sequence;
  readonly last: Sequence;
}

/** The spans that a fold opened and closed. */
export interface FoldedSpans {
  readonly opened: readonly Span[];
  /** As they are after it. */
  readonly closed: readonly Span[];
}

export const LIST_SORTS = ["name", "size", "time", "changed"] as const;
export type ListSort = (typeof LIST_SORTS)[number];

/** A directory at a moment. */
export interface DirectoryMoment {
  readonly parent: NodeId;
  readonly at: Sequence;
  /**
   * True to have, for each name that is free at that moment, also the node that was last there and
   * was deleted there.
   */
  readonly withDeleted: boolean;
}

export interface DirectoryRequest extends DirectoryMoment {
  readonly sort: ListSort;
  readonly descending: boolean;
  /** Only names beyond this one. */
  readonly after?: string | undefined;
  readonly offset: number;
  readonly limit: number;
}

/** A place in the order in which `search` and `crossing` go through all spans. */
export interface SpanKey extends Place {
  readonly from: Sequence;
}

export interface SpanSlice {
  readonly found: readonly Span[];
  /** Where the next slice begins; undefined at the end. */
  readonly next?: SpanKey;
}

export interface HistoryStore {
  /** The last event that was folded; undefined before the first one. */
  followed(folder: FolderName): Promise<Cursor | undefined>;
  /**
   * Folds the events that come after the cursor which `followed` answers.
   *
   * @param events ascending, without a gap
   * @param after the cursor after them
   */
  fold(folder: FolderName, events: readonly Event[], after: Cursor): Promise<FoldedSpans>;
  /** Drops all of a folder. */
  forget(folder: FolderName): Promise<void>;

  /** Spans of a directory by name (in byte order), then `from`; after `after`. */
  spans(
    folder: FolderName,
    page: { readonly parent: NodeId; readonly after?: SpanKey; readonly limit: number },
  ): Promise<readonly Span[]>;
  /** Ties are in the order of names, which is the order of bytes. */
  list(folder: FolderName, request: DirectoryRequest): Promise<readonly Span[]>;
  /** How many `list` would answer without a limit. */
  count(folder: FolderName, moment: DirectoryMoment): Promise<number>;
  /** A node's state at a moment; the last one before its deletion if it was deleted by then. */
  nodeAt(folder: FolderName, node: NodeId, at: Sequence): Promise<Span | undefined>;
  childAt(folder: FolderName, place: Place, at: Sequence): Promise<Span | undefined>;
  /** Spans with `after` < from <= `upTo` that are still there at `at`, by `from`. */
  opened(folder: FolderName, range: SequenceRange, at: Sequence): Promise<readonly Span[]>;
  /** Spans with `after` < to <= `upTo` that were there at `at` already, by `to`. */
  closed(folder: FolderName, range: SequenceRange, at: Sequence): Promise<readonly Span[]>;
  /**
   * Looks at up to `scan` spans after `after` for those that are there at `after` or at `upTo` of
   * the range, but not at both. Of a long range this finds them sooner than `opened` and `closed`.
   */
  crossing(
    folder: FolderName,
    request: {
      readonly range: SequenceRange;
      readonly after?: SpanKey | undefined;
      readonly scan: number;
    },
  ): Promise<SpanSlice>;
  /**
   * Looks at up to `scan` spans after `after` for names that have `text` in them, whatever the case
   * of ASCII letters.
   */
  search(
    folder: FolderName,
    request: { readonly text: string; readonly after?: SpanKey; readonly scan: number },
  ): Promise<SpanSlice>;
  /** Rows that overlap the range, by minute. */
  activity(folder: FolderName, range: SequenceRange): Promise<readonly ActivityRow[]>;

  close(): Promise<void>;
}

export interface SequenceRange {
  readonly after: Sequence;
  readonly upTo: Sequence;
}
