/**
 * MetadataStore in one SQLite file (WAL, synchronous = FULL), for one process.
 * Rules: L1-L5, O1, O6, O7, H5.
 *
 * SQLite is synchronous here. Between two awaits of a caller nearly every call is one step, so
 * reads see whole writes. A point look-up through a cached statement takes about 3 microseconds,
 * less than one clever query. It stays whole because each method is one statement of the port's.
 */

import type { Digest } from "../../core/digest.ts";
import { SyncedError } from "../../core/error.ts";
import { type Cursor, type ServedEvent, sameCursor } from "../../core/event.ts";
import {
  type DeviceId,
  type FolderName,
  type NodeId,
  parseId,
  ROOT_ID,
  type ServerId,
} from "../../core/identifier.ts";
import { type Place, type RemoteNode, type Sequence, samePlace } from "../../core/node.ts";
import { turnsOf } from "../../ports/clock.ts";
import {
  type Append,
  type ChildPageRequest,
  type DeviceRecord,
  type EventPageRequest,
  type FolderHead,
  type FolderRecord,
  type FolderUsage,
  type Loaded,
  type LoadRequest,
  type MetadataStore,
  type NodeHistoryRequest,
  type NodePageRequest,
  newRoots,
  type OpRecord,
  type PlaceHistoryRequest,
  type Pruned,
  type PruneRequest,
} from "../../ports/metadata-store.ts";
import type { KnownObject, ObjectRecords } from "../../ports/object-records.ts";
import type { Page } from "../../ports/page.ts";
import { systemClock } from "../runtime/clock.ts";
import { SqliteDatabase, type SqlValue } from "../sqlite/database.ts";
import { folderGone, formerNames } from "./folder-names.ts";
import { knowsAll, objectsVersion, sqliteObjectRecords } from "./object-records.ts";
import {
  CHILD_AT,
  CHILD_NOW,
  CHILDREN_AT,
  CHILDREN_NOW,
  CONFLICT_EVENTS,
  CONTENT_BY_SHA256,
  COUNT_CHILDREN,
  DELETE_NODE,
  EVENT_AT,
  EVENTS_BEFORE,
  EVENTS_BETWEEN,
  FIND_OP,
  GROUP_END,
  HEAD,
  NEXT_OF_NODE,
  NODE_AT,
  NODE_HISTORY,
  NODES_AFTER,
  OBJECTS_AFTER,
  PLACE_HISTORY,
  TIME_AT,
  USAGE,
} from "./queries.ts";
import { prune } from "./retention.ts";
import { checkRows } from "./row-check.ts";
import {
  eventValues,
  hex,
  INSERT_EVENT,
  INSERT_NODE,
  integer,
  nodeValues,
  text,
  toBlob,
  toContent,
  toDevice,
  toFolder,
  toKnownObject,
  toNode,
  toNodeAfter,
  toServedEvent,
  toUsage,
} from "./rows.ts";
import { METADATA_MIGRATIONS } from "./schema.ts";
import { measureSubtrees } from "./subtree-extents.ts";

export interface SqliteMetadataOptions {
  /** A file, or ":memory:". */
  readonly path: string;
  /** Becomes the server's id if the file is new. */
  readonly newServerId: ServerId;
  /** True to read beside the process that writes. @default false */
  readonly isReader?: boolean;
}

/** @throws {SyncedError} `data_newer` (nothing was written), `damage_found`, `data_not_writable` */
export function openSqliteMetadataStore(options: SqliteMetadataOptions): MetadataStore {
  const { path, isReader = false } = options;
  const database = new SqliteDatabase(path, METADATA_MIGRATIONS, { isReader });
  return new SqliteMetadataStore(database, serverIdOf(database, options.newServerId));
}

/** The facts about a folder that never change. */
interface Folder {
  readonly row: number;
  readonly record: FolderRecord;
}

class SqliteMetadataStore implements MetadataStore {
  readonly serverId: ServerId;
  readonly failure: Promise<unknown>;
  readonly objectRecords: ObjectRecords;
  readonly formerNames: ReadonlyMap<FolderName, FolderName | undefined>;
  readonly #db: SqliteDatabase;
  readonly #folders = new Map<FolderName, Folder>();

  constructor(database: SqliteDatabase, serverId: ServerId) {
    this.#db = database;
    this.serverId = serverId;
    this.failure = database.failure;
    this.formerNames = formerNames(database);
    this.objectRecords = sqliteObjectRecords(database, (name) => this.#folder(name).row);
  }

  async createFolder(record: FolderRecord): ReturnType<MetadataStore["createFolder"]> {
    const { name, epoch, genesis, chunker, nameBytesMax } = record;
    const known = this.#find(name);
    if (known !== undefined) return { created: false, ...this.#head(known) };
    this.#db.write("full", () =>
      this.#db.run(
        `INSERT INTO folders (name, epoch, genesis, chunk_min, chunk_average, chunk_max,
        name_bytes_max) VALUES (?, ?, ?, ?, ?, ?, ?)`,
        name,
        toBlob(epoch),
        toBlob(genesis),
        chunker.minBytes,
        chunker.averageBytes,
        chunker.maxBytes,
        nameBytesMax,
      ),
    );
    return { created: true, ...this.#head(this.#folder(name)) };
  }

  async folder(name: FolderName): Promise<FolderHead | undefined> {
    const folder = this.#find(name);
    return folder === undefined ? undefined : this.#head(folder);
  }

  async folders(page: Page<FolderName>): Promise<FolderHead[]> {
    const sql = "SELECT name FROM folders WHERE name > ? ORDER BY name LIMIT ?";
    const rows = this.#db.rows(sql, page.after ?? "", page.limit);
    return rows.map((row) => this.#head(this.#folder(text(row, "name"))));
  }

  async load(name: FolderName, request: LoadRequest): Promise<Loaded> {
    const folder = this.#folder(name);
    const { head } = this.#head(folder);
    const turn = turnsOf(systemClock);
    const nodes = new Map<NodeId, RemoteNode>();
    for (const id of request.nodes) {
      this.#loadUpwards(folder, id, nodes);
      await turn();
    }
    for (const { parent, name: child } of request.places) {
      await turn();
      const node = this.#childNow(folder, parent, child);
      if (node !== undefined) this.#loadUpwards(folder, node.id, nodes);
    }
    const childCounts = new Map<NodeId, number>();
    for (const id of request.deleted) {
      const row = this.#db.row(COUNT_CHILDREN, folder.row, toBlob(id), request.nodes.length + 1);
      childCounts.set(id, row === undefined ? 0 : integer(row, "count"));
    }
    const ops: OpRecord[] = [];
    for (const key of request.ops) {
      await turn();
      const row = this.#db.row(FIND_OP, folder.row, toBlob(key.device), toBlob(key.opId));
      if (row !== undefined) ops.push({ ...key, seq: integer(row, "seq"), body: hex(row, "body") });
    }
    const hashes = new Map<Sequence, Digest>();
    for (const seq of request.cursors) {
      const hash = this.#hashAt(folder, seq);
      if (hash !== undefined) hashes.set(seq, hash);
    }
    const objects = this.#known(folder, request.objects);
    const found = { nodes: [...nodes.values()], childCounts, ops, objects, hashes };
    const last = this.#db.row(TIME_AT, folder.row, head.seq);
    const headTime = last === undefined ? undefined : { headTime: text(last, "time") };
    return { folder: folder.record, head, ...headTime, ...found };
  }

  async subtreeExtents(
    name: FolderName,
    ids: readonly NodeId[],
  ): ReturnType<MetadataStore["subtreeExtents"]> {
    return await measureSubtrees(this.#db, this.#folder(name).row, ids);
  }

  async append(name: FolderName, append: Append): ReturnType<MetadataStore["append"]> {
    const folder = this.#folder(name);
    const { events, nodes, expectedHead } = append;
    if (!sameCursor(this.#head(folder).head, expectedHead)) return "head_moved";
    if (objectsVersion(this.#db) !== append.objectsVersion) {
      if (!knowsAll(this.#db, folder.row, newRoots(events))) return "objects_moved";
    }
    this.#db.write("full", () => {
      for (const record of events) {
        this.#db.run(INSERT_EVENT, ...eventValues(folder.row, record));
      }
      // Two nodes may trade places in one append, so leaving nodes go before arriving ones.
      for (const { event } of events) {
        if (event.kind !== "move" && event.kind !== "delete") continue;
        this.#db.run(DELETE_NODE, folder.row, toBlob(event.node));
      }
      for (const node of nodes) this.#db.run(INSERT_NODE, ...nodeValues(folder.row, node));
    });
    return "appended";
  }

  async events(name: FolderName, page: EventPageRequest): ReturnType<MetadataStore["events"]> {
    const folder = this.#folder(name);
    const { head } = this.#head(folder);
    let previous = this.#hashAt(folder, page.after);
    if (previous === undefined) return { head, events: [] };
    const last = this.#lastOfPage(folder, page);
    const events: ServedEvent[] = [];
    for (const row of this.#db.rows(EVENTS_BETWEEN, folder.row, page.after, last)) {
      const event = toServedEvent(row, previous);
      events.push(event);
      previous = event.hash;
    }
    return { head, events };
  }

  async eventsAt(name: FolderName, seqs: readonly Sequence[]): Promise<ServedEvent[]> {
    const folder = this.#folder(name);
    return seqs.flatMap((seq) => this.#served(folder, EVENT_AT, folder.row, seq));
  }

  async eventsBefore(
    name: FolderName,
    { before, limit }: { readonly before: Sequence; readonly limit: number },
  ): Promise<ServedEvent[]> {
    const folder = this.#folder(name);
    return this.#served(folder, EVENTS_BEFORE, folder.row, before, limit);
  }

  async conflictEvents(name: FolderName, page: Page<Sequence>): Promise<ServedEvent[]> {
    const folder = this.#folder(name);
    return this.#served(folder, CONFLICT_EVENTS, folder.row, page.after ?? 0, page.limit);
  }

  async hashAt(name: FolderName, seq: Sequence): Promise<Digest | undefined> {
    return this.#hashAt(this.#folder(name), seq);
  }

  async nodes(name: FolderName, page: NodePageRequest): ReturnType<MetadataStore["nodes"]> {
    const folder = this.#folder(name);
    const after = toBlob(page.after ?? ROOT_ID);
    const deleted = page.tombstones ? 1 : 0;
    const rows = this.#db.rows(NODES_AFTER, folder.row, after, deleted, page.limit);
    return { head: this.#head(folder).head, nodes: rows.map(toNode) };
  }

  async node(name: FolderName, id: NodeId, seq?: Sequence): Promise<RemoteNode | undefined> {
    const folder = this.#folder(name);
    if (seq === undefined) return this.#nodeNow(folder, id);
    const row = this.#db.row(NODE_AT, folder.row, toBlob(id), seq);
    return row === undefined ? undefined : toNodeAfter(row);
  }

  async child(name: FolderName, place: Place, seq?: Sequence): ReturnType<MetadataStore["child"]> {
    const folder = this.#folder(name);
    if (seq === undefined) return this.#childNow(folder, place.parent, place.name);
    const row = this.#db.row(CHILD_AT, folder.row, toBlob(place.parent), place.name, seq, seq);
    return row === undefined ? undefined : toNodeAfter(row);
  }

  async children(name: FolderName, page: ChildPageRequest): ReturnType<MetadataStore["children"]> {
    const { row: folder } = this.#folder(name);
    const parent = toBlob(page.parent);
    const after = page.after ?? "";
    if (page.seq === undefined) {
      return this.#db.rows(CHILDREN_NOW, folder, parent, after, page.limit).map(toNode);
    }
    const { seq, limit } = page;
    return this.#db.rows(CHILDREN_AT, folder, parent, after, seq, seq, limit).map(toNodeAfter);
  }

  async history(name: FolderName, page: NodeHistoryRequest): ReturnType<MetadataStore["history"]> {
    const folder = this.#folder(name);
    const before = page.before ?? Number.MAX_SAFE_INTEGER;
    return this.#served(folder, NODE_HISTORY, folder.row, toBlob(page.node), before, page.limit);
  }

  async placeHistory(
    name: FolderName,
    { place, before = Number.MAX_SAFE_INTEGER, limit }: PlaceHistoryRequest,
  ): ReturnType<MetadataStore["placeHistory"]> {
    const folder = this.#folder(name);
    const at = [folder.row, toBlob(place.parent), place.name] as const;
    // Within a group a node may arrive before its predecessor leaves, so one more event is read.
    const events = this.#served(folder, PLACE_HISTORY, ...at, before, limit + 1);
    const departures = events.flatMap(({ node, seq }) => {
      const next = this.#served(folder, NEXT_OF_NODE, folder.row, toBlob(node), seq);
      return next.filter((event) => event.kind === "move" && !samePlace(event, place));
    });
    return [...events, ...departures.filter(({ seq }) => seq < before)]
      .sort((a, b) => b.seq - a.seq)
      .slice(0, limit);
  }

  async contentBySha256(
    name: FolderName,
    sha256: Digest,
  ): ReturnType<MetadataStore["contentBySha256"]> {
    const values = [this.#folder(name).row, toBlob(sha256)] as const;
    const kept = this.#db.row(CONTENT_BY_SHA256, ...values, 0);
    const row = kept ?? this.#db.row(CONTENT_BY_SHA256, ...values, 1);
    const content = row === undefined ? undefined : toContent(row);
    return content?.kind === "file" ? { content, gone: kept === undefined } : undefined;
  }

  async prune(name: FolderName, request: PruneRequest): Promise<Pruned> {
    return prune(this.#db, this.#folder(name).row, request);
  }

  async knownObjects(name: FolderName, digests: readonly Digest[]): Promise<KnownObject[]> {
    return this.#known(this.#folder(name), digests);
  }

  async objects(name: FolderName, page: Page<KnownObject>): Promise<KnownObject[]> {
    const folder = this.#folder(name);
    const digest = toBlob(page.after?.digest ?? "");
    const rows = this.#db.rows(
      OBJECTS_AFTER,
      folder.row,
      digest,
      page.after?.depth ?? 0,
      page.limit,
    );
    return rows.map(toKnownObject);
  }

  async putDevice(name: FolderName, record: DeviceRecord): Promise<void> {
    const folder = this.#folder(name);
    const { device, name: label, applied, seenTime, ...state } = record;
    this.#db.write("normal", () =>
      this.#db.run(
        "INSERT OR REPLACE INTO devices VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        folder.row,
        toBlob(device),
        label,
        toBlob(applied.epoch),
        applied.seq,
        toBlob(applied.hash),
        seenTime,
        JSON.stringify(state),
      ),
    );
  }

  async devices(name: FolderName, page: Page<DeviceId>): ReturnType<MetadataStore["devices"]> {
    const after = toBlob(page.after ?? "");
    const sql = "SELECT * FROM devices WHERE folder = ? AND device > ? ORDER BY device LIMIT ?";
    return this.#db.rows(sql, this.#folder(name).row, after, page.limit).map(toDevice);
  }

  async usage(name: FolderName): Promise<FolderUsage> {
    const folder = this.#folder(name);
    const { seq } = this.#head(folder).head;
    return { seq, ...toUsage(this.#db.rows(USAGE, folder.row)) };
  }

  async check(): Promise<readonly string[]> {
    const damage = this.#db.check();
    try {
      return [...damage, ...checkRows(this.#db, this.serverId)];
    } catch (error) {
      if (damage.length === 0 || !(error instanceof Error)) throw error;
      return [...damage, error.message];
    }
  }

  async close(): Promise<void> {
    this.#db.close();
  }

  #find(name: FolderName): Folder | undefined {
    this.#db.refuseFailed();
    const known = this.#folders.get(name);
    if (known !== undefined) return known;
    const row = this.#db.row("SELECT * FROM folders WHERE name = ?", name);
    if (row === undefined && this.formerNames.has(name)) throw folderGone(name);
    if (row === undefined) return undefined;
    const folder = { row: integer(row, "id"), record: toFolder(row) };
    this.#folders.set(name, folder);
    return folder;
  }

  #folder(name: FolderName): Folder {
    const folder = this.#find(name);
    if (folder === undefined) {
      throw new SyncedError("folder_not_found", `Cannot find folder "${name}"`);
    }
    return folder;
  }

  #head({ row: folder, record }: Folder): FolderHead {
    const row = this.#db.row(HEAD, folder);
    const { epoch, genesis } = record;
    const head: Cursor =
      row === undefined
        ? { epoch, seq: 0, hash: genesis }
        : { epoch, seq: integer(row, "seq"), hash: hex(row, "hash") };
    return { folder: record, head };
  }

  /** Runs a query that also yields the hash before each event. */
  #served({ record }: Folder, query: string, ...values: readonly SqlValue[]): ServedEvent[] {
    return this.#db.rows(query, ...values).map((row) => {
      const first = row["previous_hash"] === null;
      return toServedEvent(row, first ? record.genesis : hex(row, "previous_hash"));
    });
  }

  #hashAt({ row: folder, record }: Folder, seq: Sequence): Digest | undefined {
    if (seq === 0) return record.genesis;
    const row = this.#db.row("SELECT hash FROM events WHERE folder = ? AND seq = ?", folder, seq);
    return row === undefined ? undefined : hex(row, "hash");
  }

  #lastOfPage(folder: Folder, { after, limit, splitsGroups }: EventPageRequest): Sequence {
    if (splitsGroups === true) return after + limit;
    const end = this.#db.row(GROUP_END, folder.row, after + limit);
    return end === undefined ? this.#head(folder).head.seq : integer(end, "seq");
  }

  #nodeNow(folder: Folder, id: NodeId): RemoteNode | undefined {
    const sql = "SELECT * FROM nodes WHERE folder = ? AND id = ?";
    const row = this.#db.row(sql, folder.row, toBlob(id));
    return row === undefined ? undefined : toNode(row);
  }

  #childNow(folder: Folder, parent: NodeId, name: string): RemoteNode | undefined {
    const row = this.#db.row(CHILD_NOW, folder.row, toBlob(parent), name);
    return row === undefined ? undefined : toNode(row);
  }

  #loadUpwards(folder: Folder, from: NodeId, into: Map<NodeId, RemoteNode>): void {
    for (let id = from; id !== ROOT_ID && !into.has(id); ) {
      const node = this.#nodeNow(folder, id);
      if (node === undefined) return;
      into.set(id, node);
      id = node.parent;
    }
  }

  #known(folder: Folder, digests: readonly Digest[]): KnownObject[] {
    const sql = "SELECT * FROM folder_objects WHERE folder = ? AND digest = ?";
    return digests.flatMap((digest) =>
      this.#db.rows(sql, folder.row, toBlob(digest)).map(toKnownObject),
    );
  }
}

function serverIdOf(database: SqliteDatabase, newServerId: ServerId): ServerId {
  const row = database.row("SELECT id FROM server");
  if (row !== undefined) return parseId<ServerId>(hex(row, "id"));
  database.write("full", () =>
    database.run("INSERT INTO server (singleton, id) VALUES (1, ?)", toBlob(newServerId)),
  );
  return newServerId;
}
