/**
 * Types of the messages under /v1. The server parses untrusted messages in `parse-request.ts`, the
 * client in `parse-answer.ts`. Rules: H1-H8.
 */
import type { ChunkerProfile } from "../core/chunker.ts";
import type { DeviceState } from "../core/device-state.ts";
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
  /** The events after `after`, ascending, ending with a whole group. */
  readonly events: readonly ServedEvent[];
  /** The `after` of the next request. */
  readonly next: Sequence;
}

/** GET tree?after= : live nodes by ascending node id, without the root. */
export interface TreePage {
  readonly epoch: Epoch;
  /**
   * The head before this page was read. A joiner replays events after the seq of the FIRST page.
   */
  readonly seq: Sequence;
  readonly hash: Digest;
  /** The head when the last of its nodes was read; older servers do not tell. */
  readonly through?: Sequence;
  readonly nodes: readonly RemoteNode[];
  /** undefined on the last page. */
  readonly next?: NodeId;
}

/** An element of GET index: the entry at a path. */
export type IndexEntry = { readonly path: string } & (
  | Omit<FileContent, "manifest" | "depth">
  | DirectoryContent
  | SymlinkContent
);

/** GET index?after= : live nodes by path, as of one event. */
export interface IndexPage {
  readonly seq: Sequence;
  readonly entries: readonly IndexEntry[];
  /** The `after` of the next request; undefined on the last page. */
  readonly next?: string;
}

/** GET history: the part of some of a path's versions that a client needs, newest first. */
export interface HistoryPart {
  readonly digests: ReadonlySet<Digest>;
  /** The `before` of the next request; undefined on the last page. */
  readonly next?: Sequence;
}

/** PUT devices/{id} */
export interface DeviceReport extends DeviceState {
  readonly name: string;
  /** That device's disk has all events up to this cursor. */
  readonly applied: Cursor;
}

/** In `Hello.features` of a server that takes a device's state with its report. */
export const STATE_FEATURE = "settled";
/** Of a server that keeps orders, and takes `paused` and all of `held` with a report. */
export const ORDERS_FEATURE = "orders";

/** GET devices */
export interface DeviceInfo extends DeviceReport {
  readonly device: DeviceId;
  readonly seenTime: string;
}

/** GET wait */
export interface WaitAnswer {
  readonly seq: Sequence;
  /** False also if there is no such device. */
  readonly reached: boolean;
  readonly devices: readonly {
    readonly device: DeviceId;
    readonly name: string;
    readonly applied: Sequence;
    readonly settled: boolean;
    readonly seenTime: string;
  }[];
}

/** POST tickets */
export interface TicketAnswer {
  /** For the parameter `ticket` of GET files, contents and archive. */
  readonly ticket: string;
  /** RFC 3339. */
  readonly expires: string;
}

/** One object of a pack: a data chunk (depth 0) or a manifest object (depth 1 to 3). */
export interface PackObject {
  readonly depth: number;
  readonly digest: Digest;
  readonly bytes: Uint8Array;
}

/** A message of a live stream. */
export type StreamMessage =
  | { readonly kind: "event"; readonly event: ServedEvent }
  /** Events up to `seq` are the reader's own. It knows them, or asks for them by page. */
  | { readonly kind: "passed"; readonly seq: Sequence }
  /** An order waits for the reader. */
  | { readonly kind: "order" }
  | { readonly kind: "heartbeat" };
