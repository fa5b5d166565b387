/**
 * The sequencer does everything that the server does, without HTTP. There is one for each data
 * directory.
 * Rules: O1-O9, L1-L6, C5, C6, H5, H7.
 */

import { genesisHash } from "../core/canonical.ts";
import type { Digest } from "../core/digest.ts";
import { SyncedError } from "../core/error.ts";
import type { Cursor, ServedEvent } from "../core/event.ts";
import type { DeviceId, Epoch, FolderName, NodeId, ServerId } from "../core/identifier.ts";
import {
  CHUNK_SIZE_BYTES_AVERAGE,
  CHUNK_SIZE_BYTES_MAX,
  CHUNK_SIZE_BYTES_MIN,
  INLINE_BYTES_MAX,
  NAME_BYTES_MAX,
  REPORTS_READ_INTERVAL_MS,
} from "../core/limits.ts";
import type { ByteRange } from "../core/manifest-walk.ts";
import type { FileContent, RemoteNode, Sequence } from "../core/node.ts";
import { type Batch, type BatchResult, setsContent } from "../core/op.ts";
import { formatTime } from "../core/time.ts";
import type { Clock } from "../ports/clock.ts";
import type {
  FolderHead,
  FolderUsage,
  FoundContent,
  MetadataStore,
} from "../ports/metadata-store.ts";
import type { ObjectMemory, ObjectStore, StoreUsage } from "../ports/object-store.ts";
import type {
  DeviceInfo,
  DeviceReport,
  EventPage,
  FolderCreation,
  FolderInfo,
  PackObject,
  TreePage,
} from "../protocol/messages.ts";
import { checkCursor } from "./commit.ts";
import { FileAccess } from "./file-access.ts";
import { FolderLog } from "./folder-log.ts";
import { quotaOf } from "./folder-usage.ts";
import { ObjectSupply } from "./object-supply.ts";
import { readHistory } from "./path-history.ts";
import { isGone, nodeAt, readIndex, requireFolder } from "./path-reads.ts";
import type { SequencerPorts } from "./ports.ts";
import type {
  DeleteFileRequest,
  EventsRequest,
  HistoryPage,
  HistoryRequest,
  IndexPage,
  IndexRequest,
  PutFileRequest,
  PutFileResult,
} from "./requests.ts";

/**
 * Every method throws `folder_not_found` for an unknown folder, `storage_full` if the disk is full
 * (nothing is half-done then), and `storage_failed` after a durability barrier has failed.
 */
export interface Sequencer {
  readonly serverId: ServerId;
  /** The size of the largest file that it takes (O13). */
  readonly fileBytesMax: number | undefined;
  /** Resolves with the error when storage has failed for good (I41). The process must then stop. */
  readonly failure: Promise<unknown>;

  /** Idempotent. */
  createFolder(name: FolderName): Promise<FolderCreation>;
  folder(name: FolderName): Promise<FolderInfo>;
  /** By ascending name, after `after`. */
  folders(page: {
    readonly after?: FolderName;
    readonly limit: number;
  }): Promise<readonly FolderInfo[]>;
  /**
   * The folder's live contents, and the bytes that they may have (O14). The first call counts them;
   * later ones read the kept count.
   */
  usage(name: FolderName): Promise<FolderUsage & { readonly quotaBytes: number | undefined }>;

  /** The disk space of all folders' objects. Cheap except for the first call. */
  storeUsage(): Promise<StoreUsage>;

  /**
   * Commits a batch. When it resolves, the events are durable and listeners were called.
   *
   * @throws {SyncedError} `log_diverged`, `cursor_ahead`: nothing of the batch was done.
   */
  commit(folder: FolderName, batch: Batch): Promise<BatchResult>;

  /**
   * Events after `after`: at least `limit`, if there are so many, and the last group is always
   * whole. `epoch` and `hash` are checked if they are given.
   *
   * @throws {SyncedError} `cursor_ahead`, `log_diverged`
   */
  events(folder: FolderName, request: EventsRequest): Promise<EventPage>;
  /** Adds the file's bytes to the event, if it is a small file. */
  withInline(event: ServedEvent): Promise<ServedEvent>;
  /**
   * Calls `listener` with the head after each durable commit, in order. The listener must not throw
   * or block.
   *
   * @returns a function that ends the subscription.
   */
  subscribe(folder: FolderName, listener: (head: Sequence) => void): () => void;
  /** The same for all folders, also those that are made later. */
  subscribeAll(listener: (folder: FolderName, head: Sequence) => void): () => void;

  /** @returns the digests of these that the folder does not have, in the order asked. */
  missing(folder: FolderName, digests: readonly Digest[]): Promise<readonly Digest[]>;
  /**
   * Objects of the folder that are damaged or lost, and manifests that hold such. Devices are asked
   * for them; to `missing` they are missing.
   */
  wanted(folder: FolderName): Promise<readonly Digest[]>;
  /**
   * Stores objects; durable when it resolves. Children come before the manifests that list them, in
   * this call or an earlier one. The pack decoder has checked that the bytes have their digests.
   *
   * @throws {SyncedError} `invalid_manifest`, `chunk_missing`: nothing of the call was stored
   */
  putObjects(folder: FolderName, objects: readonly PackObject[]): Promise<void>;
  /**
   * The objects in the order asked; each was verified. All are looked up before the first is
   * yielded.
   *
   * @throws {SyncedError} `chunk_missing` (before the first) if the folder does not have one,
   * `chunk_corrupt`
   */
  readObjects(
    folder: FolderName,
    digests: readonly Digest[],
    memory?: ObjectMemory,
  ): AsyncIterable<PackObject>;

  tree(
    folder: FolderName,
    page: { readonly after?: NodeId; readonly limit: number },
  ): Promise<TreePage>;
  /** @throws {SyncedError} `cursor_ahead` if `seq` is beyond the head. */
  index(folder: FolderName, request: IndexRequest): Promise<IndexPage>;
  /** @returns no versions if there never was such a node */
  history(folder: FolderName, request: HistoryRequest): Promise<HistoryPage>;
  /** The live node at a path now, or as of event `seq`. "" and illegal paths have none. */
  nodeAt(folder: FolderName, path: string, seq?: Sequence): Promise<RemoteNode | undefined>;
  /** Any current or historical content of this folder with that SHA-256. */
  contentBySha256(folder: FolderName, sha256: Digest): Promise<FoundContent | undefined>;
  /**
   * @throws {SyncedError} `version_gone` if the bytes belong to no version that is kept, also while
   * they still lie there
   */
  requireKept(folder: FolderName, content: FileContent): Promise<void>;
  /**
   * A content's bytes. The first chunk is read before the iterable is returned, so that damage
   * there becomes an error and not a broken body.
   *
   * @throws {SyncedError} `version_gone`, `chunk_missing`, `chunk_corrupt`
   */
  readContent(
    folder: FolderName,
    content: FileContent,
    range?: ByteRange,
  ): Promise<AsyncIterable<Uint8Array>>;
  /**
   * Chunks, stores and commits a whole file as ordinary ops, and makes its parents. If another
   * change comes first, it tries again.
   *
   * @throws {SyncedError} `precondition_failed`, `invalid_path`, `reserved_name`, `path_too_long`,
   * `parent_not_directory`, `kind_change` (a directory is there)
   */
  putFile(folder: FolderName, request: PutFileRequest): Promise<PutFileResult>;
  /**
   * Deletes a file, a symlink or an empty directory.
   *
   * @throws {SyncedError} `not_found`, `directory_not_empty`, `precondition_failed`
   */
  deleteFile(folder: FolderName, request: DeleteFileRequest): Promise<{ readonly seq: Sequence }>;

  reportDevice(folder: FolderName, device: DeviceId, report: DeviceReport): Promise<void>;
  /** Calls `listener` after each report of a device, or more often. @returns a function that ends it */
  subscribeReports(folder: FolderName, listener: () => void): () => void;
  /** By ascending device id, after `after`. */
  devices(
    folder: FolderName,
    page: { readonly after?: DeviceId; readonly limit: number },
  ): Promise<readonly DeviceInfo[]>;

  /** Waits for commits under way and refuses new ones. It does not close the stores. */
  close(): Promise<void>;
}

/** Makes the one sequencer of a data directory. It does nothing until it is called. */
export function createSequencer(ports: SequencerPorts): Sequencer {
  const { metadata, objects, clock, news } = ports;
  const supply = new ObjectSupply(ports);
  const logs = new FolderLogs(ports, supply);
  const files = new FileAccess(ports, supply, (folder, batch) => logs.commit(folder, batch));
  const reportListeners = new Map<FolderName, Set<() => void>>();
  return {
    serverId: metadata.serverId,
    fileBytesMax: ports.fileBytesMax,
    failure: Promise.race([metadata.failure, objects.failure, ...(news ? [news.failure] : [])]),

    createFolder: (name) => createFolder(ports, name),
    folder: async (name) => toFolderInfo(await requireFolder(metadata, name)),
    folders: async (page) => (await metadata.folders(page)).map(toFolderInfo),

    usage: async (name) => {
      const { head } = await requireFolder(metadata, name);
      const usage = await logs.of(name).usage(head.seq);
      return { ...usage, quotaBytes: quotaOf(ports.quota, name) };
    },

    storeUsage: () => objects.usage(),

    commit: (folder, batch) => logs.commit(folder, batch),
    events: (folder, request) => readEvents(ports, folder, request),
    withInline: (event) => withInline(objects, event),
    subscribe: (folder, listener) => logs.of(folder).subscribe(listener),
    subscribeAll: (listener) => logs.subscribeAll(listener),

    missing: (folder, digests) => supply.missing(folder, digests),
    wanted: (folder) => supply.wanted(folder),
    putObjects: (folder, pack) => supply.put(folder, pack),
    readObjects: (folder, digests, memory) => supply.read(folder, digests, memory),

    tree: (folder, page) => readTree(metadata, folder, page),
    index: (folder, request) => readIndex(metadata, folder, request),
    history: (folder, request) => readHistory(metadata, folder, request),
    nodeAt: (folder, path, seq) =>
      nodeAt(metadata, folder, seq === undefined ? { path } : { path, seq }),
    contentBySha256: (folder, digest) => metadata.contentBySha256(folder, digest),
    requireKept: (folder, content) => requireKept(metadata, folder, content),
    readContent: async (folder, content, range) => {
      await requireKept(metadata, folder, content);
      return await supply.readContent(content, range);
    },
    putFile: (folder, request) => files.put(folder, request),
    deleteFile: (folder, request) => files.delete(folder, request),

    reportDevice: async (folder, device, report) => {
      const { head } = await requireFolder(metadata, folder);
      await requireCursor(metadata, folder, { cursor: report.applied, head });
      await metadata.putDevice(folder, { device, ...report, seenTime: formatTime(clock.now()) });
      for (const listener of reportListeners.get(folder) ?? []) listener();
    },
    subscribeReports: (folder, listener) => {
      const listeners = reportListeners.get(folder) ?? new Set();
      reportListeners.set(folder, listeners);
      listeners.add(listener);
      const ended = new AbortController();
      if (news !== undefined) void callAgain(clock, listener, ended.signal);
      return () => {
        ended.abort();
        listeners.delete(listener);
        if (listeners.size === 0) reportListeners.delete(folder);
      };
    },
    devices: (folder, page) => metadata.devices(folder, page),
    close: () => logs.close(),
  };
}

/** Devices report to other servers, too. */
async function callAgain(clock: Clock, listener: () => void, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await clock.sleep(REPORTS_READ_INTERVAL_MS, signal);
    if (!signal.aborted) listener();
  }
}

async function requireKept(
  metadata: MetadataStore,
  folder: FolderName,
  content: FileContent,
): Promise<void> {
  if (!(await isGone(metadata, folder, content))) return;
  const claim = "it was replaced or deleted longer ago than the server keeps versions";
  throw new SyncedError("version_gone", `Cannot get ${content.sha256}: ${claim}`);
}

/** One queue for each folder, made when it is first needed. */
class FolderLogs {
  readonly #ports: SequencerPorts;
  readonly #supply: ObjectSupply;
  readonly #logs = new Map<FolderName, FolderLog>();
  readonly #listeners = new Set<(folder: FolderName, head: Sequence) => void>();
  #isClosed = false;

  constructor(ports: SequencerPorts, supply: ObjectSupply) {
    this.#ports = ports;
    this.#supply = supply;
    ports.news?.watch((name, head) => this.of(name).hear(head));
  }

  of(name: FolderName): FolderLog {
    const known = this.#logs.get(name);
    if (known !== undefined) return known;
    const made = new FolderLog(this.#ports, this.#supply, name);
    made.subscribe((head) => {
      for (const listener of this.#listeners) listener(name, head);
    });
    this.#logs.set(name, made);
    return made;
  }

  subscribeAll(listener: (folder: FolderName, head: Sequence) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async commit(name: FolderName, batch: Batch): Promise<BatchResult> {
    if (this.#isClosed) {
      throw new SyncedError("temporarily_unavailable", "Cannot commit: the server is stopping");
    }
    // Checks the name first. Otherwise each unknown name would leave a queue behind, and there are
    // more names than memory.
    if (!this.#logs.has(name)) await requireFolder(this.#ports.metadata, name);
    return this.of(name).commit(batch);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.all([...this.#logs.values()].map((log) => log.idle()));
  }
}

async function createFolder(
  { metadata, random }: SequencerPorts,
  name: FolderName,
): Promise<FolderCreation> {
  const epoch = random.id<Epoch>();
  const { created, ...head } = await metadata.createFolder({
    name,
    epoch,
    genesis: genesisHash({ server: metadata.serverId, folder: name, epoch }),
    chunker: {
      minBytes: CHUNK_SIZE_BYTES_MIN,
      averageBytes: CHUNK_SIZE_BYTES_AVERAGE,
      maxBytes: CHUNK_SIZE_BYTES_MAX,
    },
    nameBytesMax: NAME_BYTES_MAX,
  });
  return { created, ...toFolderInfo(head) };
}

function toFolderInfo({ folder, head }: FolderHead): FolderInfo {
  const { name, epoch, chunker, nameBytesMax } = folder;
  return { name, epoch, head: head.seq, hash: head.hash, chunker, nameBytesMax };
}

async function requireCursor(
  metadata: MetadataStore,
  folder: FolderName,
  { cursor, head }: { readonly cursor: Cursor; readonly head: Cursor },
): Promise<void> {
  const refusal = checkCursor(cursor, head, await metadata.hashAt(folder, cursor.seq));
  if (refusal !== undefined) throw refusal;
}

async function readEvents(
  { metadata, objects, instruments }: SequencerPorts,
  folder: FolderName,
  request: EventsRequest,
): Promise<EventPage> {
  const { after, epoch, hash } = request;
  const { head } = await requireFolder(metadata, folder);
  const known = await metadata.hashAt(folder, after);
  // If the reader does not give the epoch or the hash, the log's own is used. So only the reader's
  // claims are judged.
  const cursor = { epoch: epoch ?? head.epoch, seq: after, hash: hash ?? known ?? head.hash };
  const refusal = checkCursor(cursor, head, known);
  if (refusal !== undefined) throw refusal;
  const slice = await metadata.events(folder, request);
  const events =
    request.inline === true
      ? await Promise.all(
          slice.events.map((event) =>
            event.device === request.device ? event : withInline(objects, event),
          ),
        )
      : slice.events;
  for (const event of events) instruments?.bytesSent(inlinedBytes(event));
  const next = events.at(-1)?.seq ?? after;
  return { epoch: head.epoch, head: slice.head.seq, events, next };
}

/** @returns the number of the file's bytes that travel beside this event. */
export function inlinedBytes({ inline, content }: ServedEvent): number {
  return inline === undefined || content.kind !== "file" ? 0 : content.size;
}

async function withInline(objects: ObjectStore, event: ServedEvent): Promise<ServedEvent> {
  const { kind, content } = event;
  if (!setsContent({ kind }) || content.kind !== "file") return event;
  if (content.depth > 0 || content.size === 0 || content.size > INLINE_BYTES_MAX) return event;
  try {
    const bytes = await objects.get(content.manifest);
    if (bytes === undefined) return event;
    return { ...event, inline: bytes.toBase64() };
  } catch (error) {
    // Damage to one file must not stop the log. A device that fetches these bytes gets the error.
    if (error instanceof SyncedError && error.code === "chunk_corrupt") return event;
    throw error;
  }
}

async function readTree(
  metadata: MetadataStore,
  folder: FolderName,
  page: { readonly after?: NodeId; readonly limit: number },
): Promise<TreePage> {
  const { head, nodes } = await metadata.nodes(folder, { ...page, tombstones: false });
  const answer = { epoch: head.epoch, seq: head.seq, hash: head.hash, nodes };
  const next = nodes.length < page.limit ? undefined : nodes.at(-1)?.id;
  return next === undefined ? answer : { ...answer, next };
}
