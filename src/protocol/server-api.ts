/**
 * ServerApi: the routes of one folder on one server, typed. `createServerApi`
 * (server-api-client.ts) makes one over a Transport. Every method checks the answer (shape, bounds,
 * digests) and throws `SyncedError`: `server_unreachable` for network trouble, time-outs and 5xx;
 * `unauthenticated`; `not_a_synced_server`; `protocol_violation`; or the server's own `code`. All
 * calls are safe to retry.
 * Rules: H1-H8.
 */

import type { GivenOrder } from "../core/device-order.ts";
import type { Digest } from "../core/digest.ts";
import type { Cursor } from "../core/event.ts";
import type { DeviceId, NodeId, OrderId } from "../core/identifier.ts";
import type { Sequence } from "../core/node.ts";
import type { Batch, BatchResult } from "../core/op.ts";
import type { ObjectMemory } from "../ports/object-store.ts";
import type {
  DeviceReport,
  EventPage,
  FolderCreation,
  Hello,
  IndexPage,
  PackObject,
  StreamMessage,
  TreePage,
} from "./messages.ts";

export interface EventsAfter {
  readonly after: Cursor;
  /** The reader. The server does not send it the bytes of its own small files. */
  readonly device?: DeviceId;
}

export interface IndexRequest {
  readonly seq?: Sequence;
  /** The last path of the page before. */
  readonly after?: string;
  readonly limit: number;
}

export interface ServerApi {
  /** Sends no token, because it is called before anything else, to check the server's id. */
  hello(signal: AbortSignal): Promise<Hello>;
  /**
   * Creates the folder if it is not there and the token may do that.
   *
   * @throws {SyncedError} `forbidden` if the token is not for a folder of that name;
   * `folder_not_found` if there is none, and the token may only read
   */
  createFolder(signal: AbortSignal): Promise<FolderCreation>;
  /**
   * Events after the cursor.
   *
   * @throws {SyncedError} `log_diverged`, `cursor_ahead`, `cursor_expired` if the cursor does not
   * lie on this log.
   */
  events(
    request: EventsAfter & { readonly limit: number },
    signal: AbortSignal,
  ): Promise<EventPage>;
  /**
   * The same, live. Ends when the signal aborts; throws `server_unreachable` if the stream breaks
   * or is silent. The reader's own events are passed over.
   */
  stream(request: EventsAfter, signal: AbortSignal): AsyncIterable<StreamMessage>;
  postOps(batch: Batch, signal: AbortSignal): Promise<BatchResult>;
  /**
   * @returns the objects of these that the folder does not have. At most OBJECTS_PER_REQUEST_MAX.
   */
  missing(digests: readonly Digest[], signal: AbortSignal): Promise<readonly Digest[]>;
  /**
   * Objects that the server had and has not any more: it asks for them.
   *
   * @returns none if the server does not know the question. At most OBJECTS_PER_REQUEST_MAX.
   */
  wanted(signal: AbortSignal): Promise<readonly Digest[]>;
  /**
   * Uploads a pack of at most PACK_BYTES_MAX. Children come before the manifests that list them, in
   * this pack or an earlier one.
   */
  putObjects(objects: readonly PackObject[], signal: AbortSignal): Promise<void>;
  /** `putObjects` of a pack that is made already. Its bytes must stay as they are until it ends. */
  putPack(pack: Uint8Array<ArrayBuffer>, signal: AbortSignal): Promise<void>;
  /**
   * The objects in the order asked for, each verified against its digest; at most
   * OBJECTS_PER_REQUEST_MAX.
   */
  fetchObjects(
    digests: readonly Digest[],
    signal: AbortSignal,
    memory?: ObjectMemory,
  ): AsyncIterable<PackObject>;
  /** True if a version of any file, current or not, has these bytes. */
  hasContent(sha256: Digest, signal: AbortSignal): Promise<boolean>;
  /** True if a version of an entry that is or ever was at the path has these bytes. */
  hadVersion(path: string, sha256: Digest, signal: AbortSignal): Promise<boolean>;
  tree(
    request: { readonly after?: NodeId; readonly limit: number },
    signal: AbortSignal,
  ): Promise<TreePage>;
  /** One page of all paths, ascending, as of `seq`; as of the head if `seq` is absent. */
  index(request: IndexRequest, signal: AbortSignal): Promise<IndexPage>;
  reportDevice(device: DeviceId, report: DeviceReport, signal: AbortSignal): Promise<void>;
  /** Asks for the orders of this device. @returns none if the server keeps no orders */
  orders(device: DeviceId, signal: AbortSignal): Promise<readonly GivenOrder[]>;
  /** The order was obeyed, or will not be. */
  orderDone(device: DeviceId, order: OrderId, signal: AbortSignal): Promise<void>;
}
