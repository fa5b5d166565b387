/** Requests to a sequencer about paths and events, and its answers. Rules: H4, H5, H7, L5. */
import type { Digest } from "../core/digest.ts";
import type { Cursor } from "../core/event.ts";
import type { DeviceId, FolderName, NodeId } from "../core/identifier.ts";
import type { FileContent, RemoteNode, Sequence } from "../core/node.ts";
import type { Version } from "../protocol/time-answers.ts";

/** A node with its full path, as of one seq. */
export interface PathNode {
  readonly path: string;
  readonly node: RemoteNode;
}

export interface IndexPage {
  readonly folder: FolderName;
  readonly epoch: Cursor["epoch"];
  /** The seq as of which the entries were read. */
  readonly seq: Sequence;
  /**
   * Live nodes in depth-first order, names in byte order. A directory comes before its contents.
   */
  readonly entries: readonly PathNode[];
  /** The `after` of the next request; undefined on the last page. */
  readonly next?: string;
}

export interface HistoryRequest {
  /**
   * All that ever stood at a path; or the one node that was there as of event `at`; or one node.
   */
  readonly of:
    | { readonly path: string; readonly at?: Sequence | undefined }
    | { readonly id: NodeId };
  readonly before?: Sequence | undefined;
  readonly limit: number;
}

export interface HistoryPage {
  /**
   * Newest first. Of a path they are of all nodes that ever stood there; those of the present one
   * also cover its other paths, before renames.
   */
  readonly versions: readonly Version[];
  /** The `before` of the next request; undefined on the last page. */
  readonly next?: Sequence;
}

export interface PutFileRequest {
  readonly path: string;
  readonly body: AsyncIterable<Uint8Array>;
  readonly device: DeviceId;
  /** Only if the file now has one of these SHA-256s; "*" accepts any file. */
  readonly ifMatch?: readonly Digest[] | "*";
  /** `If-None-Match: *`: only if nothing is there. */
  readonly ifNoneMatch?: boolean;
  /** @default the file's present bit, else false */
  readonly executable?: boolean;
  /** @default now if the bytes change, else the present time */
  readonly mtimeNs?: string;
}

export interface PutFileResult {
  readonly outcome: "created" | "replaced" | "identical";
  readonly node: NodeId;
  readonly content: FileContent;
  /** The event's seq; for `identical`, the seq that the file's content already had. */
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
  /** True if the page may end inside a group. @default false */
  readonly splitsGroups?: boolean;
  /** True if small files' bytes are to come beside their events. */
  readonly inline?: boolean;
  /** The reader. The bytes of its own files are not sent back to it. */
  readonly device?: DeviceId;
}

export interface IndexRequest {
  readonly seq?: Sequence;
  /** A path. The answer has the entries after it. */
  readonly after?: string;
  readonly limit: number;
}
