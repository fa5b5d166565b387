/**
 * What crosses the wire under /v1, as types. Parsers for the untrusted direction live in
 * `parse-request.ts` (server side) and `parse-answer.ts` (client side). Rules: H1-H8.
 */
import type { ChunkerProfile } from "../core/chunker.ts";
import type { Digest } from "../core/digest.ts";
import type { Cursor, ServedEvent } from "../core/event.ts";
import type { DeviceId, Epoch, FolderName, NodeId, ServerId } from "../core/identifier.ts";
import type {
  DirectoryContent,
  FileContent,
  RemoteNode,
  Sequence,
  SymlinkContent,
} from "../core/node.ts";

export const PROTOCOL_VERSION = 1;

/** GET /v1/hello */
export interface Hello {
  readonly serverId: ServerId;
  readonly protocol: number;
  readonly features: readonly string[];
  readonly limits: Readonly<Record<string, number>>;
}

/** PUT /v1/folders/{folder} and an element of GET /v1/folders */
export interface FolderInfo {
  readonly name: FolderName;
  readonly epoch: Epoch;
  readonly head: Sequence;
  /** Hash of event `head`, or the genesis hash. */
  readonly hash: Digest;
  readonly chunker: ChunkerProfile;
  readonly nameBytesMax: number;
}

export interface FolderCreation extends FolderInfo {
  readonly created: boolean;
}

/** GET events?after= */
export interface EventPage {
  readonly epoch: Epoch;
  readonly head: Sequence;
  /** After `after`, ascending, ending at a group's end. */
  readonly events: readonly ServedEvent[];
  /** The seq to ask after next time. */
  readonly next: Sequence;
}

/** GET tree?after= : live nodes by ascending node id, without the root. */
export interface TreePage {
  readonly epoch: Epoch;
  /** The head when this page was read; the joiner replays events after the FIRST page's seq. */
  readonly seq: Sequence;
  readonly hash: Digest;
  readonly nodes: readonly RemoteNode[];
  /** undefined on the last page. */
  readonly next?: NodeId;
}

/** An element of GET index: what stands at a path. */
export type IndexEntry = { readonly path: string } & (
  | Omit<FileContent, "manifest" | "depth">
  | DirectoryContent
  | SymlinkContent
);

/** GET index?after= : live nodes by path, as of one event. */
export interface IndexPage {
  readonly seq: Sequence;
  readonly entries: readonly IndexEntry[];
  /** The path to ask after next time; undefined on the last page. */
  readonly next?: string;
}

/** GET history: what a client must know of some of a path's versions, newest first. */
export interface HistoryPart {
  readonly digests: ReadonlySet<Digest>;
  /** What to ask before next time; undefined on the last page. */
  readonly next?: Sequence;
}

/** PUT devices/{id} */
export interface DeviceReport {
  readonly name: string;
  /** The cursor whose events are all applied on that device's disk. */
  readonly applied: Cursor;
}

/** GET devices */
export interface DeviceInfo extends DeviceReport {
  readonly device: DeviceId;
  readonly seenTime: string;
}

/** One object of a pack: a data chunk (depth 0) or a manifest object (depth 1 to 3). */
export interface PackObject {
  readonly depth: number;
  readonly digest: Digest;
  readonly bytes: Uint8Array;
}

/** What a live stream yields. */
export type StreamMessage =
  | { readonly kind: "event"; readonly event: ServedEvent }
  /** Events up to `seq` are the reader's own: it knows them, or asks for them by page. */
  | { readonly kind: "passed"; readonly seq: Sequence }
  | { readonly kind: "heartbeat" };
