/**
 * MetadataStore: folders, their logs and what is folded from them. Rules: L1-L5, O1, O6, O7.
 *
 * Asynchronous, since a networked database follows. Every write is atomic and, unless it says
 * otherwise, durable when it resolves; a write that throws has done nothing. Reads see whole writes
 * only, and one read sees one moment. Everything may be called concurrently. `folder` is always one
 * that `createFolder` made; another one throws `folder_not_found`. Full disk: `storage_full`; a
 * failed barrier: `storage_failed`, for good (I41).
 */
import type { Digest } from "../core/digest.ts";
import type { Cursor, ServedEvent } from "../core/event.ts";
import type { DeviceId, Epoch, FolderName, NodeId, OpId, ServerId } from "../core/identifier.ts";
import type { FileContent, Place, RemoteNode, Sequence } from "../core/node.ts";

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
  /** seq 0 and the genesis hash before the first event. */
  readonly head: Cursor;
}

/** An object as a folder knows it: bytes, and what they mean at that depth. */
export interface KnownObject {
  readonly digest: Digest;
  /** 0 for a chunk, else a manifest object of that depth. */
  readonly depth: number;
  /** In file bytes: of a manifest, what all its chunks add up to. */
  readonly size: number;
}

/** Exactly what a set of batches touches. */
export interface LoadRequest {
  /** Nodes that are changed or become parents. */
  readonly nodes: readonly NodeId[];
  /** Places that a node is put to. */
  readonly places: readonly Place[];
  readonly ops: readonly OpKey[];
  /** Directories that are deleted. */
  readonly deleted: readonly NodeId[];
  readonly objects: readonly Digest[];
  /** Seqs of the cursors that the batches carry. */
  readonly cursors: readonly Sequence[];
}

export interface OpKey {
  readonly device: DeviceId;
  readonly opId: OpId;
}

export interface OpRecord extends OpKey {
  readonly seq: Sequence;
  /** What tells another body under the same id. */
  readonly body: Digest;
}

export interface Loaded {
  readonly folder: FolderRecord;
  readonly head: Cursor;
  /**
   * The nodes asked for (tombstones too), the live ones at the places asked for, and all their
   * ancestors.
   */
  readonly nodes: readonly RemoteNode[];
  /** Of each deleted directory: its live children, counted up to one more than `nodes` are many. */
  readonly childCounts: ReadonlyMap<NodeId, number>;
  readonly ops: readonly OpRecord[];
  /** All depths at which the folder knows the objects asked for. */
  readonly objects: readonly KnownObject[];
  /** The hash of each event asked for that there is; of seq 0 the genesis hash. */
  readonly hashes: ReadonlyMap<Sequence, Digest>;
}

/** How far a directory's live descendants reach below it. */
export interface SubtreeExtent {
  /** 0 for an empty directory. */
  readonly depth: number;
  /** Longest path from the directory, with the leading "/". */
  readonly pathBytes: number;
}

/** An event to append, with what is stored beside it. */
export interface EventRecord {
  /** `path` and `from` as of the event. */
  readonly event: ServedEvent;
  readonly body: Digest;
}

export interface Append {
  /** Nothing is done where the head has moved on. */
  readonly expectedHead: Sequence;
  readonly events: readonly EventRecord[];
  /** The last state of every node in `events`. */
  readonly nodes: readonly RemoteNode[];
}

export interface EventSlice {
  readonly head: Cursor;
  readonly events: readonly ServedEvent[];
}

export interface NodePage {
  readonly head: Cursor;
  readonly nodes: readonly RemoteNode[];
}

/** What lives in a folder at one seq. */
export interface FolderUsage {
  readonly seq: Sequence;
  readonly files: number;
  readonly directories: number;
  readonly symlinks: number;
  /** Of the files' contents, each counted as often as it is there. */
  readonly bytes: number;
}

export interface DeviceRecord {
  readonly device: DeviceId;
  readonly name: string;
  readonly applied: Cursor;
  readonly seenTime: string;
}

export interface MetadataStore {
  readonly serverId: ServerId;
  /** Resolves with the error once a durability barrier failed. */
  readonly failure: Promise<unknown>;

  /** Creates the folder unless it is there; either way what is there then. */
  createFolder(record: FolderRecord): Promise<{ readonly created: boolean } & FolderHead>;
  /** @returns undefined for an unknown folder. */
  folder(name: FolderName): Promise<FolderHead | undefined>;
  /** By ascending name, after `after`. */
  folders(page: {
    readonly after?: FolderName;
    readonly limit: number;
  }): Promise<readonly FolderHead[]>;

  load(folder: FolderName, request: LoadRequest): Promise<Loaded>;
  /** Of live directories, as they are now. */
  subtreeExtents(
    folder: FolderName,
    ids: readonly NodeId[],
  ): Promise<ReadonlyMap<NodeId, SubtreeExtent>>;
  append(folder: FolderName, append: Append): Promise<"appended" | "head_moved">;

  /**
   * At least `limit` events after `after` where there are so many, up to the end of the last one's
   * group.
   */
  events(
    folder: FolderName,
    page: { readonly after: Sequence; readonly limit: number },
  ): Promise<EventSlice>;
  /** The hash of that event, of seq 0 the genesis hash; undefined beyond the head. */
  hashAt(folder: FolderName, seq: Sequence): Promise<Digest | undefined>;

  /** Rows by ascending node id, after `after`; with tombstones only where asked for. */
  nodes(
    folder: FolderName,
    page: { readonly after?: NodeId; readonly limit: number; readonly tombstones: boolean },
  ): Promise<NodePage>;
  /** A node's row, or as of event `seq`; tombstones too. */
  node(folder: FolderName, id: NodeId, seq?: Sequence): Promise<RemoteNode | undefined>;
  /** The live node at a place now, or as of event `seq`. */
  child(folder: FolderName, place: Place, seq?: Sequence): Promise<RemoteNode | undefined>;
  /** Live nodes in a directory now, or as of event `seq`; by name in byte order, after `after`. */
  children(
    folder: FolderName,
    page: {
      readonly parent: NodeId;
      readonly after?: string;
      readonly limit: number;
      readonly seq?: Sequence;
    },
  ): Promise<readonly RemoteNode[]>;
  /** A node's events, newest first, those before `before`. */
  history(
    folder: FolderName,
    page: { readonly node: NodeId; readonly before?: Sequence; readonly limit: number },
  ): Promise<readonly ServedEvent[]>;
  /**
   * The events that put a node into this place, changed one there or took it away, whichever nodes
   * these were; newest first, those before `before`.
   */
  placeHistory(
    folder: FolderName,
    page: { readonly place: Place; readonly before?: Sequence; readonly limit: number },
  ): Promise<readonly ServedEvent[]>;
  /** The newest content of the folder with that SHA-256, current or not. */
  contentBySha256(folder: FolderName, sha256: Digest): Promise<FileContent | undefined>;

  /** All depths at which the folder knows these. */
  knownObjects(folder: FolderName, digests: readonly Digest[]): Promise<readonly KnownObject[]>;
  /**
   * Idempotent. Durable not later than the next `append` to this folder; a crash before that may
   * forget it.
   */
  recordObjects(folder: FolderName, objects: readonly KnownObject[]): Promise<void>;
  /** By ascending digest and depth. */
  objects(
    folder: FolderName,
    page: { readonly after?: KnownObject; readonly limit: number },
  ): Promise<readonly KnownObject[]>;

  /** Not durable at once: a crash may forget the newest report. */
  putDevice(folder: FolderName, record: DeviceRecord): Promise<void>;
  /** By ascending id, after `after`. */
  devices(
    folder: FolderName,
    page: { readonly after?: DeviceId; readonly limit: number },
  ): Promise<readonly DeviceRecord[]>;

  /** Counts the live nodes: costs in proportion to the folder, so callers keep what they got. */
  usage(folder: FolderName): Promise<FolderUsage>;

  /** Finds damage in the store's own format. @returns one message each; none when it is sound. */
  check(): Promise<readonly string[]>;
  /** Ends it; calls after that throw. */
  close(): Promise<void>;
}
