/**
 * SimMetadataStore: the MetadataStore port of one incarnation of a simulated server, held to the
 * same contract suite as the SQLite one. Writes take virtual time; a dead incarnation's calls never
 * return. Rules: O7, I26.
 */

import { SyncedError } from "../../src/core/error.ts";
import { sameCursor } from "../../src/core/event.ts";
import type { FolderName } from "../../src/core/identifier.ts";
import { type NodeId, ROOT_ID, type ServerId } from "../../src/core/identifier.ts";
import { type Place, type RemoteNode, type Sequence, samePlace } from "../../src/core/node.ts";
import type {
  Append,
  DeviceRecord,
  EventPageRequest,
  EventSlice,
  FolderHead,
  FolderRecord,
  FolderUsage,
  FoundContent,
  Loaded,
  LoadRequest,
  MetadataStore,
  NodePage,
  Pruned,
  PruneRequest,
  SubtreeExtent,
} from "../../src/ports/metadata-store.ts";
import type { KnownObject } from "../../src/ports/object-records.ts";
import { SimObjectRecords } from "./sim-object-records.ts";
import { objectKey, SimLog, type SimServerDisk } from "./sim-server-disk.ts";

export interface SimMetadataStoreOptions {
  readonly disk: SimServerDisk;
  readonly serverId: ServerId;
  /**
   * Waits as long as a read or a write takes; never resolves for a dead incarnation; may throw a
   * fault.
   */
  readonly latency: (kind: "read" | "write") => Promise<void>;
}

const encoder = new TextEncoder();

export class SimMetadataStore implements MetadataStore {
  readonly serverId: ServerId;
  readonly failure = new Promise<unknown>(() => {});
  readonly objectRecords: SimObjectRecords;
  readonly formerNames = new Map<FolderName, FolderName | undefined>();
  readonly #disk: SimServerDisk;
  readonly #latency: (kind: "read" | "write") => Promise<void>;
  #closed = false;

  constructor(options: SimMetadataStoreOptions) {
    this.serverId = options.serverId;
    this.#disk = options.disk;
    this.#latency = options.latency;
    const logOf = (folder: FolderName) => this.#log(folder);
    this.objectRecords = new SimObjectRecords({ ...options, logOf });
  }

  async #read(folder: FolderName): Promise<SimLog> {
    if (this.#closed) throw new Error("Store is closed");
    await this.#latency("read");
    return this.#log(folder);
  }

  #log(folder: FolderName): SimLog {
    const log = this.#disk.folders.get(folder);
    if (log === undefined) throw new SyncedError("folder_not_found", `No folder "${folder}"`);
    return log;
  }

  async createFolder(record: FolderRecord): Promise<{ created: boolean } & FolderHead> {
    await this.#latency("write");
    const created = !this.#disk.folders.has(record.name);
    if (created) this.#disk.folders.set(record.name, new SimLog(record));
    return { created, ...headOf(this.#log(record.name)) };
  }

  async folder(name: FolderName): Promise<FolderHead | undefined> {
    await this.#latency("read");
    const log = this.#disk.folders.get(name);
    return log === undefined ? undefined : headOf(log);
  }

  async folders(page: { after?: FolderName; limit: number }): Promise<readonly FolderHead[]> {
    await this.#latency("read");
    const names = [...this.#disk.folders.keys()].sort();
    const wanted = names.filter((name) => page.after === undefined || name > page.after);
    return wanted.slice(0, page.limit).map((name) => headOf(this.#log(name)));
  }

  async load(folder: FolderName, request: LoadRequest): Promise<Loaded> {
    const log = await this.#read(folder);
    const nodes = new Map<NodeId, RemoteNode>();
    const add = (start: RemoteNode | undefined) => {
      let node = start;
      while (node !== undefined && !nodes.has(node.id)) {
        nodes.set(node.id, node);
        node = node.parent === ROOT_ID ? undefined : log.nodes.get(node.parent);
      }
    };
    for (const id of request.nodes) add(log.nodes.get(id));
    for (const id of request.deleted) add(log.nodes.get(id));
    for (const place of request.places) {
      add(log.nodes.get(place.parent));
      add(log.live(place));
    }
    const childCounts = new Map<NodeId, number>();
    for (const id of request.deleted) {
      const live = [...log.nodes.values()].filter((node) => !node.deleted && node.parent === id);
      childCounts.set(id, Math.min(live.length, request.nodes.length + 1));
    }
    const wantedOps = new Set(request.ops.map(({ device, opId }) => `${device}:${opId}`));
    const ops = log.events
      .filter(({ event }) => wantedOps.has(`${event.device}:${event.opId}`))
      .map(({ event, body }) => ({ device: event.device, opId: event.opId, seq: event.seq, body }));
    const digests = new Set<string>(request.objects);
    const objects = [...log.objects.values()].filter(({ digest }) => digests.has(digest));
    const hashes = new Map<Sequence, Loaded["head"]["hash"]>();
    for (const seq of request.cursors) {
      const hash = seq === 0 ? log.record.genesis : log.events[seq - 1]?.event.hash;
      if (hash !== undefined) hashes.set(seq, hash);
    }
    const last = log.events.at(-1);
    const headTime = last === undefined ? undefined : { headTime: last.event.time };
    const found = { nodes: [...nodes.values()], childCounts, ops, objects, hashes };
    return { ...headOf(log), ...headTime, ...found };
  }

  async subtreeExtents(
    folder: FolderName,
    ids: readonly NodeId[],
  ): Promise<ReadonlyMap<NodeId, SubtreeExtent>> {
    const log = await this.#read(folder);
    const tops = new Set(ids);
    return new Map(ids.map((id) => [id, extentOf(log, id, tops)]));
  }

  async append(folder: FolderName, append: Append): ReturnType<MetadataStore["append"]> {
    const log = this.#log(folder);
    const pending = { log, append };
    this.#disk.pendingAppends.add(pending);
    try {
      await this.#latency("write");
    } finally {
      this.#disk.pendingAppends.delete(pending);
    }
    if (!sameCursor(log.head, append.expectedHead)) return "head_moved";
    if (this.#disk.objectsVersion !== append.objectsVersion && !log.knowsRoots(append)) {
      return "objects_moved";
    }
    log.append(append);
    return "appended";
  }

  async events(folder: FolderName, page: EventPageRequest): Promise<EventSlice> {
    const log = await this.#read(folder);
    let end = Math.min(page.after + page.limit, log.events.length);
    const isWhole = page.splitsGroups !== true;
    while (
      isWhole &&
      end > page.after &&
      end < log.events.length &&
      !log.events[end - 1]?.event.groupEnd
    )
      end++;
    const events = log.events.slice(page.after, end).map(({ event }) => log.served(event));
    return { head: log.head, events };
  }

  async eventsAt(folder: FolderName, seqs: readonly Sequence[]) {
    const log = await this.#read(folder);
    return seqs.flatMap((seq) => log.events[seq - 1]?.event ?? []);
  }

  async eventsBefore(folder: FolderName, page: { before: Sequence; limit: number }) {
    const log = await this.#read(folder);
    const events = log.events.slice(0, Math.max(0, page.before - 1)).map(({ event }) => event);
    return events.reverse().slice(0, page.limit);
  }

  async conflictEvents(folder: FolderName, page: { after?: Sequence; limit: number }) {
    const log = await this.#read(folder);
    return log.events
      .map(({ event }) => event)
      .filter(({ seq, conflictOf }) => conflictOf !== undefined && seq > (page.after ?? 0))
      .slice(0, page.limit);
  }

  async hashAt(folder: FolderName, seq: Sequence): Promise<Loaded["head"]["hash"] | undefined> {
    const log = await this.#read(folder);
    return seq === 0 ? log.record.genesis : log.events[seq - 1]?.event.hash;
  }

  async nodes(
    folder: FolderName,
    page: { after?: NodeId; limit: number; tombstones: boolean },
  ): Promise<NodePage> {
    const log = await this.#read(folder);
    const nodes = [...log.nodes.values()]
      .filter((node) => page.tombstones || !node.deleted)
      .filter(({ id }) => page.after === undefined || id > page.after)
      .sort((a, b) => (a.id < b.id ? -1 : 1));
    return { head: log.head, nodes: nodes.slice(0, page.limit) };
  }

  async node(folder: FolderName, id: NodeId, seq?: Sequence): Promise<RemoteNode | undefined> {
    return (await this.#read(folder)).rowsAt(seq).get(id);
  }

  async child(
    folder: FolderName,
    place: { parent: NodeId; name: string },
    seq?: Sequence,
  ): Promise<RemoteNode | undefined> {
    return (await this.#read(folder)).live(place, seq);
  }

  async children(
    folder: FolderName,
    page: { parent: NodeId; after?: string; limit: number; seq?: Sequence },
  ): Promise<readonly RemoteNode[]> {
    const log = await this.#read(folder);
    return [...log.rowsAt(page.seq).values()]
      .filter((node) => !node.deleted && node.parent === page.parent)
      .filter(({ name }) => page.after === undefined || byBytes(name, page.after) > 0)
      .sort((a, b) => byBytes(a.name, b.name))
      .slice(0, page.limit);
  }

  async history(
    folder: FolderName,
    page: { node: NodeId; before?: Sequence; limit: number },
  ): Promise<readonly EventSlice["events"][number][]> {
    const log = await this.#read(folder);
    return log.events
      .map(({ event }) => event)
      .filter(
        ({ node, seq }) => node === page.node && (page.before === undefined || seq < page.before),
      )
      .reverse()
      .slice(0, page.limit);
  }

  async placeHistory(
    folder: FolderName,
    page: { place: Place; before?: Sequence; limit: number },
  ): Promise<readonly EventSlice["events"][number][]> {
    const log = await this.#read(folder);
    const there = new Set<NodeId>();
    const found: EventSlice["events"][number][] = [];
    for (const { event } of log.events) {
      const isThere = samePlace(event, page.place);
      if (isThere || (event.kind === "move" && there.has(event.node))) found.push(event);
      if (isThere) there.add(event.node);
      else there.delete(event.node);
    }
    return found
      .filter(({ seq }) => page.before === undefined || seq < page.before)
      .reverse()
      .slice(0, page.limit);
  }

  async contentBySha256(folder: FolderName, sha256: string): Promise<FoundContent | undefined> {
    const log = await this.#read(folder);
    let found: FoundContent | undefined;
    for (const { event } of [...log.events].reverse()) {
      if (event.content.kind !== "file" || event.content.sha256 !== sha256) continue;
      const gone = log.gone.has(event.seq);
      if (!gone) return { content: event.content, gone };
      found ??= { content: event.content, gone };
    }
    return found;
  }

  async prune(folder: FolderName, { before, limit }: PruneRequest): Promise<Pruned> {
    await this.#latency("write");
    const log = this.#log(folder);
    let versions = 0;
    const events = log.events.slice(log.pruned, log.pruned + limit).map(({ event }) => event);
    const end = events.findIndex(({ time }) => time >= before);
    const old = end === -1 ? events : events.slice(0, end);
    for (const { seq, kind, node, baseContent } of old) {
      if (kind === "move" || baseContent === 0) continue;
      const range = { node, from: baseContent, end: kind === "delete" ? seq : seq - 1 };
      if (log.goes(range)) versions += 1;
    }
    log.pruned += old.length;
    return { versions, isDone: old.length < limit };
  }

  async knownObjects(
    folder: FolderName,
    digests: readonly string[],
  ): Promise<readonly KnownObject[]> {
    const log = await this.#read(folder);
    const wanted = new Set(digests);
    return [...log.objects.values()].filter(({ digest }) => wanted.has(digest));
  }

  async objects(
    folder: FolderName,
    page: { after?: KnownObject; limit: number },
  ): Promise<readonly KnownObject[]> {
    const log = await this.#read(folder);
    const from = page.after === undefined ? "" : objectKey(page.after);
    const keys = [...log.objects.keys()].filter((key) => key > from).sort();
    return keys.slice(0, page.limit).flatMap((key) => log.objects.get(key) ?? []);
  }

  async putDevice(folder: FolderName, record: DeviceRecord): Promise<void> {
    (await this.#read(folder)).devices.set(record.device, record);
  }

  async devices(
    folder: FolderName,
    page: { after?: string; limit: number },
  ): Promise<readonly DeviceRecord[]> {
    const log = await this.#read(folder);
    const ids = [...log.devices.keys()]
      .filter((id) => page.after === undefined || id > page.after)
      .sort();
    return ids.slice(0, page.limit).flatMap((id) => log.devices.get(id) ?? []);
  }

  async usage(folder: FolderName): Promise<FolderUsage> {
    const log = await this.#read(folder);
    const live = [...log.nodes.values()].filter((node) => !node.deleted);
    const count = (kind: string) => live.filter(({ content }) => content.kind === kind).length;
    const sizes = live.map(({ content }) => (content.kind === "file" ? content.size : 0));
    return {
      seq: log.head.seq,
      files: count("file"),
      directories: count("directory"),
      symlinks: count("symlink"),
      bytes: sizes.reduce((sum, size) => sum + size, 0),
    };
  }

  async check(): Promise<readonly string[]> {
    return [];
  }

  async close(): Promise<void> {
    this.#closed = true;
  }
}

function headOf(log: SimLog): FolderHead {
  return { folder: log.record, head: log.head };
}

function byBytes(a: string, b: string): number {
  return Buffer.compare(encoder.encode(a), encoder.encode(b));
}

function extentOf(log: SimLog, id: NodeId, tops: ReadonlySet<NodeId>): SubtreeExtent {
  let depth = 0;
  let pathBytes = 0;
  for (const node of log.nodes.values()) {
    if (node.deleted || node.parent !== id || tops.has(node.id)) continue;
    const below =
      node.content.kind === "directory" ? extentOf(log, node.id, tops) : { depth: 0, pathBytes: 0 };
    depth = Math.max(depth, 1 + below.depth);
    pathBytes = Math.max(pathBytes, 1 + encoder.encode(node.name).length + below.pathBytes);
  }
  return { depth, pathBytes };
}
