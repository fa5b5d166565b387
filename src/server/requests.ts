/** What a sequencer is asked about paths and events, and what it answers. Rules: H4, H5, H7, L5. */
import type { Digest } from "../core/digest.ts";
import type { Cursor, EventKind } from "../core/event.ts";
import type { DeviceId, FolderName, NodeId } from "../core/identifier.ts";
import type { FileContent, RemoteNode, Sequence } from "../core/node.ts";

/** A node with people's path, as it was at one seq. */
export interface PathNode {
  readonly path: string;
  readonly node: RemoteNode;
}

export interface IndexPage {
  readonly folder: FolderName;
  readonly epoch: Cursor["epoch"];
  /** The seq that the entries were read at. */
  readonly seq: Sequence;
  /** Live nodes in depth-first order, names in byte order, a directory before what is in it. */
  readonly entries: readonly PathNode[];
  /** The path to ask after; undefined on the last page. */
  readonly next?: string;
}

export interface HistoryVersion {
  readonly seq: Sequence;
  readonly time: string;
  readonly device: DeviceId;
  readonly kind: EventKind;
  readonly path: string;
  /** Of the file that is there after it; absent where it has gone. */
  readonly size?: number;
  readonly sha256?: Digest;
}

export interface HistoryPage {
  /** Newest first: of all that ever stood there; of who is there now, across renames too. */
  readonly versions: readonly HistoryVersion[];
  /** `before` of the next page; undefined on the last page. */
  readonly next?: Sequence;
}

export interface PutFileRequest {
  readonly path: string;
  readonly body: AsyncIterable<Uint8Array>;
  readonly device: DeviceId;
  /** Only where the file now has one of these SHA-256s; "*" wants any file. */
  readonly ifMatch?: readonly Digest[] | "*";
  /** `If-None-Match: *`: only where nothing is. */
  readonly ifNoneMatch?: boolean;
  /** @default what the file has, else false */
  readonly executable?: boolean;
  /** @default now where the bytes change */
  readonly mtimeNs?: string;
}

export interface PutFileResult {
  readonly outcome: "created" | "replaced" | "identical";
  readonly node: NodeId;
  readonly content: FileContent;
  /** The event's seq, or for `identical` the seq that the file's content already had. */
  readonly seq: Sequence;
}

export interface DeleteFileRequest {
  readonly path: string;
  readonly device: DeviceId;
  readonly ifMatch?: readonly Digest[] | "*";
}

export interface EventsRequest {
  readonly after: Sequence;
  readonly epoch?: Cursor["epoch"];
  readonly hash?: Digest;
  readonly limit: number;
  /** Small files' bytes travel beside their events. */
  readonly inline?: boolean;
  /** The reader: its own files' bytes do not travel back to it. */
  readonly device?: DeviceId;
}

export interface IndexRequest {
  readonly seq?: Sequence;
  /** A path: entries come after it. */
  readonly after?: string;
  readonly limit: number;
}
