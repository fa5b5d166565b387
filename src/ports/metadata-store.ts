/**
 * MetadataStore: folders, their logs, and the folds of these. Rules: L1-L5, O1, O6, O7.
 *
 * Asynchronous, because a network may lie between. Every write is atomic and, unless it says
 * otherwise, durable when it resolves. A write that throws has done nothing; over a network it may
 * have done all, and to do it again is right. Reads see only whole writes, and one read sees one
 * moment. All calls may run concurrently. `folder` must be one that `createFolder` made; any other
 * throws `folder_not_found`, and a deleted one `folder_gone`. A full disk throws `storage_full`. A
 * failed barrier throws `storage_failed`, and so does every later write (I41).
 */

import type { DeviceState } from "../core/device-state.ts";
import type { Digest } from "../core/digest.ts";
import type { Cursor, ServedEvent } from "../core/event.ts";
import type { DeviceId, Epoch, FolderName, NodeId, OpId, ServerId } from "../core/identifier.ts";
import type { FileContent, Place, RemoteNode, Sequence } from "../core/node.ts";
import { setsContent } from "../core/op.ts";
import type { KnownObject, ObjectPlace, ObjectRecords } from "./object-records.ts";
import type { Page } from "./page.ts";

export interface FolderRecord {
  readonly name: FolderName;
  readonly epoch: Epoch;
  readonly genesis: Digest;
  readonly chunker: {
    readonly minBytes: number;
    readonly averageBytes: number;
    readonly maxBytes: number;
  };
  readonly nameBytesMax: number;
}

export interface FolderHead {
  readonly folder: FolderRecord;
  /** seq 0 and the genesis hash, before the first event. */
  readonly head: Cursor;
}

/** Everything that a set of batches touches. */
export interface LoadRequest {
  /** Nodes that the ops change or make a parent. */
  readonly nodes: readonly NodeId[];
  /** Places where the ops put a node. */
  readonly places: readonly Place[];
  readonly ops: readonly OpKey[];
  /** Directories that the ops delete. */
  readonly deleted: readonly NodeId[];
  readonly objects: readonly Digest[];
  /** The seqs of the batches' cursors. */
  readonly cursors: readonly Sequence[];
}

export interface OpKey {
  readonly device: DeviceId;
  readonly opId: OpId;
}

export interface OpRecord extends OpKey {
  readonly seq: Sequence;
  /** A digest that differs if another body comes under the same id. */
  readonly body: Digest;
}

export interface Loaded {
  readonly folder: FolderRecord;
  readonly head: Cursor;
  /** The time of event `head`; absent before the first one. */
  readonly headTime?: string;
  /**
   * The nodes asked for (tombstones too), the live nodes at the places asked for, and all ancestors
   * of both.
   */
  readonly nodes: readonly RemoteNode[];
  /**
   * The number of live children of each deleted directory. The count stops at one more than the
   * number of `nodes`.
   */
  readonly childCounts: ReadonlyMap<NodeId, number>;
  readonly ops: readonly OpRecord[];
  /** Every depth at which the folder knows one of the objects asked for. */
  readonly objects: readonly KnownObject[];
  /** The hash of each event asked for that exists; for seq 0 the genesis hash. */
  readonly hashes: ReadonlyMap<Sequence, Digest>;
}

/** The extent of a directory's live descendants. */
export interface SubtreeExtent {
  /** 0 for an empty directory. */
  readonly depth: number;
  /** The longest path from the directory, with the leading "/". */
  readonly pathBytes: number;
}

/** An event to append, with the values that are stored beside it. */
export interface EventRecord {
  /** `path` and `from` are as of the event. */
  readonly event: ServedEvent;
  readonly body: Digest;
}

export interface Append {
  /** If the head is another one, nothing is done. */
  readonly expectedHead: Cursor;
  /** If a content's root was forgotten since this version of `ObjectRecords`, nothing is done. */
  readonly objectsVersion: number;
  readonly events: readonly EventRecord[];
  /** The last state of every node in `events`. */
  readonly nodes: readonly RemoteNode[];
}

/** The roots of the contents that these events bring: what the folder must know (O6). */
export function newRoots(events: readonly EventRecord[]): readonly ObjectPlace[] {
  return events.flatMap(({ event: { kind, content } }) => {
    if (!setsContent({ kind }) || content.kind !== "file" || content.size === 0) return [];
    return [{ digest: content.manifest, depth: content.depth }];
  });
}

export interface FoundContent {
  readonly content: FileContent;
  /** True if all versions with these bytes are gone (U7). */
  readonly gone: boolean;
}

export interface PruneRequest {
  /** RFC 3339, in UTC, as in events. */
  readonly before: string;
  /** How many events it looks at. */
  readonly limit: number;
}

export interface Pruned {
  readonly versions: number;
  /** True if the next event, if any, is younger. */
  readonly isDone: boolean;
}

export interface EventSlice {
  readonly head: Cursor;
  readonly events: readonly ServedEvent[];
}

export interface NodePage {
  readonly head: Cursor;
  readonly nodes: readonly RemoteNode[];
}

/** The live contents of a folder at one seq. */
export interface FolderUsage {
  readonly seq: Sequence;
  readonly files: number;
  readonly directories: number;
  readonly symlinks: number;
  /** The sum of the files' sizes in bytes; equal contents count each time. */
  readonly bytes: number;
}

export interface DeviceRecord extends DeviceState {
  readonly device: DeviceId;
  readonly name: string;
  readonly applied: Cursor;
  readonly seenTime: string;
}

export interface EventPageRequest extends Page<Sequence> {
  readonly after: Sequence;
  /** True if the page may end inside a group. @default false */
  readonly splitsGroups?: boolean;
}

export interface NodePageRequest extends Page<NodeId> {
  readonly tombstones: boolean;
}

export interface ChildPageRequest extends Page<string> {
  readonly parent: NodeId;
  readonly seq?: Sequence;
}

export interface NodeHistoryRequest {
  readonly node: NodeId;
  readonly before?: Sequence;
  readonly limit: number;
}

export interface PlaceHistoryRequest {
  readonly place: Place;
  readonly before?: Sequence;
  readonly limit: number;
}

export interface MetadataStore {
  readonly serverId: ServerId;
  /** Resolves with the error when a durability barrier has failed. */
  readonly failure: Promise<unknown>;
  readonly objectRecords: ObjectRecords;
  /**
   * The names that folders had when the store was opened and before, with the present one, or
   * undefined if the folder was deleted.
   */
  readonly formerNames: ReadonlyMap<FolderName, FolderName | undefined>;

  /** Creates the folder if it is not there, and returns the folder in either case. */
  createFolder(record: FolderRecord): Promise<{ readonly created: boolean } & FolderHead>;
  /** @returns undefined for an unknown folder. */
  folder(name: FolderName): Promise<FolderHead | undefined>;
  /** By ascending name, after `after`. */
  folders(page: Page<FolderName>): Promise<readonly FolderHead[]>;

  /** May take several moments, the head's first. If the head is still the same, all are one. */
  load(folder: FolderName, request: LoadRequest): Promise<Loaded>;
  /**
   * The extents of live directories, each without the others of `ids` and what is below these. So
   * nothing is visited twice. May take several moments, as `load` does.
   */
  subtreeExtents(
    folder: FolderName,
    ids: readonly NodeId[],
  ): Promise<ReadonlyMap<NodeId, SubtreeExtent>>;
  /**
   * @returns "outcome_unknown" if the connection was lost in the middle: all of it was done, or
   * nothing, or it may yet be. Whoever loads anew finds the ops if they are there; an append that
   * comes first then keeps a late one out.
   */
  append(
    folder: FolderName,
    append: Append,
  ): Promise<"appended" | "head_moved" | "objects_moved" | "outcome_unknown">;

  /**
   * At least `limit` events after `after`, if there are so many. The last group is whole unless the
   * request says otherwise; then there are at most `limit`.
   */
  events(folder: FolderName, page: EventPageRequest): Promise<EventSlice>;
  /** The events of these seqs, in this order; those beyond the head are left out. */
  eventsAt(folder: FolderName, seqs: readonly Sequence[]): Promise<readonly ServedEvent[]>;
  /** The events before `before`, newest first. */
  eventsBefore(
    folder: FolderName,
    page: { readonly before: Sequence; readonly limit: number },
  ): Promise<readonly ServedEvent[]>;
  /** Events that made a conflict copy, after `after`, ascending. */
  conflictEvents(folder: FolderName, page: Page<Sequence>): Promise<readonly ServedEvent[]>;
  /** The hash of that event; of seq 0 the genesis hash; undefined beyond the head. */
  hashAt(folder: FolderName, seq: Sequence): Promise<Digest | undefined>;

  /** Rows by ascending node id, after `after`; with tombstones only if asked for. */
  nodes(folder: FolderName, page: NodePageRequest): Promise<NodePage>;
  /** A node's row now, or as of event `seq`; also if it is a tombstone. */
  node(folder: FolderName, id: NodeId, seq?: Sequence): Promise<RemoteNode | undefined>;
  /** The live node at a place now, or as of event `seq`. */
  child(folder: FolderName, place: Place, seq?: Sequence): Promise<RemoteNode | undefined>;
  /** Live nodes in a directory now, or as of event `seq`; by name in byte order, after `after`. */
  children(folder: FolderName, page: ChildPageRequest): Promise<readonly RemoteNode[]>;
  /** A node's events before `before`, newest first. */
  history(folder: FolderName, page: NodeHistoryRequest): Promise<readonly ServedEvent[]>;
  /**
   * The events before `before` that put a node into this place, changed a node there or took one
   * away, whichever node it was; newest first.
   */
  placeHistory(folder: FolderName, page: PlaceHistoryRequest): Promise<readonly ServedEvent[]>;
  /** The newest content of the folder with that SHA-256, current or not; kept before gone. */
  contentBySha256(folder: FolderName, sha256: Digest): Promise<FoundContent | undefined>;
  /**
   * Marks as gone the versions that were replaced or deleted before a time; the log stays. Looks at
   * a few events that it has not looked at yet. Durable when the next `append` or `condemn` is.
   */
  prune(folder: FolderName, request: PruneRequest): Promise<Pruned>;

  /** Every depth at which the folder knows one of these. */
  knownObjects(folder: FolderName, digests: readonly Digest[]): Promise<readonly KnownObject[]>;
  /** By ascending digest, then depth. */
  objects(folder: FolderName, page: Page<KnownObject>): Promise<readonly KnownObject[]>;

  /** Not durable at once: a crash may forget the newest report. */
  putDevice(folder: FolderName, record: DeviceRecord): Promise<void>;
  /** By ascending id, after `after`. */
  devices(folder: FolderName, page: Page<DeviceId>): Promise<readonly DeviceRecord[]>;

  /** Counts the live nodes. The cost grows with the folder, so callers keep the result. */
  usage(folder: FolderName): Promise<FolderUsage>;

  /** Looks for damage in the store's own format. @returns one message each; none if it is sound. */
  check(): Promise<readonly string[]>;
  /** Closes the store; later calls throw. */
  close(): Promise<void>;
}
