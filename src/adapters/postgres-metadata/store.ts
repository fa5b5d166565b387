/**
 * MetadataStore in PostgreSQL, for any number of processes. Rules: L1-L5, O1, O6, H5, P1-P5.
 *
 * A commit is two statements: one loads, one appends. Nothing is locked in between, so a process
 * that dies leaves nothing behind.
 */
import type { Digest } from "../../core/digest.ts";
import { SyncedError } from "../../core/error.ts";
import type { Cursor, ServedEvent } from "../../core/event.ts";
import {
  type DeviceId,
  type FolderName,
  type NodeId,
  ROOT_ID,
  type ServerId,
} from "../../core/identifier.ts";
import type { Place, RemoteNode, Sequence } from "../../core/node.ts";
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
  type PlaceHistoryRequest,
  type Pruned,
  type PruneRequest,
} from "../../ports/metadata-store.ts";
import type { KnownObject, ObjectRecords } from "../../ports/object-records.ts";
import type { Page } from "../../ports/page.ts";
import { folderGone } from "../metadata/folder-names.ts";
import {
  hex,
  integer,
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
} from "../metadata/rows.ts";
import { stateOf } from "../postgres/trouble.ts";
import type { SqlRow } from "../sqlite/database.ts";
import { loadParameters, toLoaded } from "./load.ts";
import { postgresObjectRecords } from "./object-records.ts";
import { type Move, openTables } from "./open.ts";
import type { Parameter, PostgresPool } from "./pool.ts";
import * as queries from "./queries.ts";
import {
  APPEND,
  appendRows,
  bytea,
  INSERT_FOLDER,
  PRUNE,
  PUT_DEVICE,
  pruneValues,
  STATE,
} from "./writes.ts";

export interface PostgresMetadataOptions {
  /** Closed with the store, and if that cannot be opened. */
  readonly pool: PostgresPool;
  /** Whose database it is. */
  readonly serverId: ServerId;
  /** True to take a database that is none's. @default false */
  readonly isNew?: boolean;
  /** True to take whosever database it is, if it is somebody's. @default false */
  readonly joins?: boolean;
}

/**
 * Makes the tables, or brings them up to date.
 *
 * @throws {SyncedError} `data_newer` (nothing was written), `server_changed` if the database is
 * another server's, or none's; and what keeps it from the database. No message shows the URL's
 * password.
 */
export async function openPostgresMetadataStore({
  pool,
  serverId,
  isNew = false,
  joins = false,
}: PostgresMetadataOptions): Promise<MetadataStore> {
  try {
    const owner = await openTables(pool, { serverId, isNew });
    const found = owner?.id;
    const isFit = found === serverId || joins;
    if (found === undefined || !isFit) throw anotherServer(pool.name, { found, serverId });
    if (owner?.move !== undefined) throw moved(pool.name, owner.move);
    return new PostgresMetadataStore(pool, found, await readFormerNames(pool));
  } catch (error) {
    pool.close();
    throw error;
  }
}

function moved(name: string, move: Move): SyncedError {
  const claim =
    move !== "left"
      ? "data are being moved there; run the same synced migrate again, it goes on and ends that"
      : "its data were moved to a directory, or are on their way: run the same synced migrate " +
        "--back again to end that, or serve that directory; synced migrate brings them here again";
  return new SyncedError("usage", `Cannot use the metadata in ${name}: ${claim}`);
}

async function readFormerNames(
  pool: PostgresPool,
): Promise<ReadonlyMap<FolderName, FolderName | undefined>> {
  const rows = await pool.read(queries.FORMER_NAMES);
  return new Map(
    rows.map((row) => {
      const present = row["name"] === null ? undefined : text<FolderName>(row, "name");
      return [text<FolderName>(row, "former"), present];
    }),
  );
}

function anotherServer(
  name: string,
  { found, serverId }: { readonly found: ServerId | undefined; readonly serverId: ServerId },
): SyncedError {
  const holder = found === undefined ? "it holds no server's" : `they are of server ${found}`;
  const advice = "name the data directory and the database that belong together";
  return new SyncedError(
    "server_changed",
    `Cannot use the metadata in ${name}: ${holder}, not those of server ${serverId}; ${advice}`,
  );
}

/** The facts about a folder that never change. */
interface Folder {
  readonly row: number;
  readonly record: FolderRecord;
}

class PostgresMetadataStore implements MetadataStore {
  readonly serverId: ServerId;
  /** Nothing fails for good: PostgreSQL tells of each write whether it is durable. */
  readonly failure = new Promise<never>(() => undefined);
  readonly objectRecords: ObjectRecords;
  /** They came with data that were moved here, and change no more. */
  readonly formerNames: ReadonlyMap<FolderName, FolderName | undefined>;
  readonly #pool: PostgresPool;
  readonly #folders = new Map<FolderName, Folder>();

  constructor(
    pool: PostgresPool,
    serverId: ServerId,
    names: ReadonlyMap<FolderName, FolderName | undefined>,
  ) {
    this.#pool = pool;
    this.serverId = serverId;
    this.formerNames = names;
    this.objectRecords = postgresObjectRecords(pool, async (name) => (await this.#of(name)).row);
  }

  async createFolder(record: FolderRecord): ReturnType<MetadataStore["createFolder"]> {
    const { name, epoch, genesis, chunker, nameBytesMax } = record;
    if (this.formerNames.has(name)) throw folderGone(name);
    const made = await this.#pool.write(
      INSERT_FOLDER,
      name,
      toBlob(epoch),
      toBlob(genesis),
      chunker.minBytes,
      chunker.averageBytes,
      chunker.maxBytes,
      nameBytesMax,
    );
    return { created: made.length > 0, ...(await this.#head(await this.#of(name))) };
  }

  async folder(name: FolderName): Promise<FolderHead | undefined> {
    const folder = await this.#find(name);
    return folder === undefined ? undefined : await this.#head(folder);
  }

  async folders({ after = "", limit }: Page<string>): Promise<FolderHead[]> {
    const rows = await this.#pool.read(queries.FOLDERS_AFTER, after, limit);
    return rows.map((row) => toHead(toFolder(row), row));
  }

  async load(name: FolderName, request: LoadRequest): Promise<Loaded> {
    const { row, record } = await this.#of(name);
    const [found] = await this.#pool.read(queries.LOAD, row, ...loadParameters(request));
    return toLoaded(record, request, found ?? {});
  }

  async subtreeExtents(
    name: FolderName,
    ids: readonly NodeId[],
  ): ReturnType<MetadataStore["subtreeExtents"]> {
    const rows = await this.#rows(name, queries.SUBTREES, JSON.stringify(ids.map(bytea)));
    return new Map(
      rows.map((row) => {
        const extent = { depth: integer(row, "depth"), pathBytes: integer(row, "bytes") };
        return [hex<NodeId>(row, "top"), extent];
      }),
    );
  }

  async append(name: FolderName, append: Append): ReturnType<MetadataStore["append"]> {
    const { row } = await this.#of(name);
    const { seq, hash } = append.expectedHead;
    const rows = appendRows(row, append);
    const roots = newRoots(append.events).map(({ digest, depth }) => ({
      digest: bytea(digest),
      depth,
    }));
    for (let version = append.objectsVersion; ; ) {
      const outcome = await this.#tryAppend(row, seq, toBlob(hash), version, ...rows);
      if (outcome !== "nothing") return outcome;
      const [state] = await this.#pool.read(STATE, row, JSON.stringify(roots));
      if (state === undefined || integer(state, "seq") !== seq) return "head_moved";
      if (seq > 0 && hex(state, "hash") !== hash) return "head_moved";
      if (integer(state, "version") === version) return "head_moved";
      if (integer(state, "knows_all") !== 1) return "objects_moved";
      version = integer(state, "version");
    }
  }

  async events(name: FolderName, page: EventPageRequest): ReturnType<MetadataStore["events"]> {
    const { row: folder, record } = await this.#of(name);
    const { after, limit, splitsGroups } = page;
    const parameters = [after, limit, splitsGroups === true ? 1 : 0];
    const rows = await this.#pool.read(queries.EVENTS_AFTER, folder, ...parameters);
    const [first] = rows;
    let previous =
      after === 0 || first?.["hash_before"] == null
        ? record.genesis
        : hex<Digest>(first, "hash_before");
    const events: ServedEvent[] = [];
    for (const row of rows) {
      if (row["seq"] === null) continue;
      const event = toServedEvent(row, previous);
      events.push(event);
      previous = event.hash;
    }
    return { head: toPageHead(record, first), events };
  }

  async eventsAt(name: FolderName, seqs: readonly Sequence[]): Promise<ServedEvent[]> {
    return await this.#served(name, queries.EVENTS_AT, JSON.stringify(seqs));
  }

  async eventsBefore(
    name: FolderName,
    { before, limit }: { readonly before: Sequence; readonly limit: number },
  ): Promise<ServedEvent[]> {
    return await this.#served(name, queries.EVENTS_BEFORE, before, limit);
  }

  async conflictEvents(
    name: FolderName,
    { after = 0, limit }: Page<Sequence>,
  ): Promise<ServedEvent[]> {
    return await this.#served(name, queries.CONFLICT_EVENTS, after, limit);
  }

  async hashAt(name: FolderName, seq: Sequence): Promise<Digest | undefined> {
    const { row, record } = await this.#of(name);
    if (seq === 0) return record.genesis;
    const [found] = await this.#pool.read(queries.HASH_AT, row, seq);
    return found === undefined ? undefined : hex(found, "hash");
  }

  async nodes(
    name: FolderName,
    { after = ROOT_ID, tombstones, limit }: NodePageRequest,
  ): ReturnType<MetadataStore["nodes"]> {
    const { row, record } = await this.#of(name);
    const parameters = [toBlob(after), tombstones ? 1 : 0, limit];
    const rows = await this.#pool.read(queries.NODES_AFTER, row, ...parameters);
    const nodes = rows.filter((found) => found["id"] !== null).map(toNode);
    return { head: toPageHead(record, rows[0]), nodes };
  }

  async node(name: FolderName, id: NodeId, seq?: Sequence): Promise<RemoteNode | undefined> {
    const known = toBlob(id);
    if (seq === undefined) return (await this.#rows(name, queries.NODE_NOW, known)).map(toNode)[0];
    return (await this.#rows(name, queries.NODE_AT, known, seq)).map(toNodeAfter)[0];
  }

  async child(
    folder: FolderName,
    { parent, name }: Place,
    seq?: Sequence,
  ): ReturnType<MetadataStore["child"]> {
    const place = [toBlob(parent), name] as const;
    if (seq === undefined) {
      return (await this.#rows(folder, queries.CHILD_NOW, ...place)).map(toNode)[0];
    }
    return (await this.#rows(folder, queries.CHILD_AT, ...place, seq)).map(toNodeAfter)[0];
  }

  async children(
    name: FolderName,
    { parent, after = "", seq, limit }: ChildPageRequest,
  ): ReturnType<MetadataStore["children"]> {
    const from = [toBlob(parent), after] as const;
    if (seq === undefined) {
      return (await this.#rows(name, queries.CHILDREN_NOW, ...from, limit)).map(toNode);
    }
    return (await this.#rows(name, queries.CHILDREN_AT, ...from, seq, limit)).map(toNodeAfter);
  }

  async history(
    name: FolderName,
    { node, before = Number.MAX_SAFE_INTEGER, limit }: NodeHistoryRequest,
  ): ReturnType<MetadataStore["history"]> {
    return await this.#served(name, queries.NODE_HISTORY, toBlob(node), before, limit);
  }

  async placeHistory(
    folder: FolderName,
    { place: { parent, name }, before = Number.MAX_SAFE_INTEGER, limit }: PlaceHistoryRequest,
  ): ReturnType<MetadataStore["placeHistory"]> {
    const parameters = [toBlob(parent), name, before, limit];
    return await this.#served(folder, queries.PLACE_HISTORY, ...parameters);
  }

  async contentBySha256(
    name: FolderName,
    sha256: Digest,
  ): ReturnType<MetadataStore["contentBySha256"]> {
    const [row] = await this.#rows(name, queries.CONTENT_BY_SHA256, toBlob(sha256));
    const content = row === undefined ? undefined : toContent(row);
    if (row === undefined || content?.kind !== "file") return undefined;
    return { content, gone: integer(row, "gone") === 1 };
  }

  async prune(name: FolderName, request: PruneRequest): Promise<Pruned> {
    const { row } = await this.#of(name);
    const [found] = await this.#pool.write(PRUNE, row, ...pruneValues(request));
    if (found === undefined) return { versions: 0, isDone: true };
    const isDone = integer(found, "looked") < request.limit;
    return { versions: integer(found, "versions"), isDone };
  }

  async knownObjects(name: FolderName, digests: readonly Digest[]): Promise<KnownObject[]> {
    const { row } = await this.#of(name);
    if (digests.length === 0) return [];
    const wanted = JSON.stringify(digests.map(bytea));
    return (await this.#pool.read(queries.KNOWN, row, wanted)).map(toKnownObject);
  }

  async objects(name: FolderName, { after, limit }: Page<KnownObject>): Promise<KnownObject[]> {
    const from = [toBlob(after?.digest ?? ""), after?.depth ?? 0] as const;
    const rows = await this.#rows(name, queries.OBJECTS_AFTER, ...from, limit);
    return rows.map(toKnownObject);
  }

  async putDevice(folder: FolderName, record: DeviceRecord): Promise<void> {
    const { row } = await this.#of(folder);
    const { device, name, applied, seenTime, ...state } = record;
    const { epoch, seq, hash } = applied;
    const cursor = [toBlob(epoch), seq, toBlob(hash)] as const;
    const texts = [seenTime, JSON.stringify(state)] as const;
    const label = JSON.stringify(name);
    await this.#pool.write(PUT_DEVICE, row, toBlob(device), label, ...cursor, ...texts);
  }

  async devices(
    name: FolderName,
    { after, limit }: Page<DeviceId>,
  ): ReturnType<MetadataStore["devices"]> {
    const rows = await this.#rows(name, queries.DEVICES_AFTER, toBlob(after ?? ""), limit);
    return rows.map((row) => toDevice({ ...row, name: JSON.parse(text(row, "name")) }));
  }

  async usage(name: FolderName): Promise<FolderUsage> {
    const rows = await this.#rows(name, queries.USAGE);
    const [first] = rows;
    const seq = first === undefined ? 0 : integer(first, "seq");
    return { seq, ...toUsage(rows.filter((row) => row["content_kind"] !== null)) };
  }

  /** PostgreSQL looks after its own format. */
  async check(): Promise<readonly string[]> {
    return [];
  }

  async close(): Promise<void> {
    this.#pool.close();
  }

  async #tryAppend(
    ...parameters: readonly Parameter[]
  ): Promise<"appended" | "nothing" | "head_moved" | "outcome_unknown"> {
    try {
      const [row] = await this.#pool.tryWrite(APPEND, ...parameters);
      return row !== undefined && integer(row, "count") === 1 ? "appended" : "nothing";
    } catch (error) {
      const state = stateOf(error);
      // Another one was in the way: a deadlock, a serialization failure, a key.
      if (state === "23505" || state.startsWith("40")) return "head_moved";
      if (IS_NOTHING_DONE.test(state) || error instanceof SyncedError) {
        throw this.#pool.trouble(error);
      }
      return "outcome_unknown";
    }
  }

  async #find(name: FolderName): Promise<Folder | undefined> {
    const known = this.#folders.get(name);
    if (known !== undefined) return known;
    const [row] = await this.#pool.read(queries.FOLDER_BY_NAME, name);
    if (row === undefined && this.formerNames.has(name)) throw folderGone(name);
    if (row === undefined) return undefined;
    const folder = { row: integer(row, "id"), record: toFolder(row) };
    this.#folders.set(name, folder);
    return folder;
  }

  async #of(name: FolderName): Promise<Folder> {
    const folder = await this.#find(name);
    if (folder !== undefined) return folder;
    throw new SyncedError("folder_not_found", `Cannot find folder "${name}"`);
  }

  async #head({ row, record }: Folder): Promise<FolderHead> {
    const [head] = await this.#pool.read(queries.HEAD, row);
    return toHead(record, head ?? { seq: null });
  }

  async #rows(
    name: FolderName,
    query: string,
    ...parameters: readonly Parameter[]
  ): Promise<readonly SqlRow[]> {
    return await this.#pool.read(query, (await this.#of(name)).row, ...parameters);
  }

  /** Runs a query that also yields the hash before each event. */
  async #served(
    name: FolderName,
    query: string,
    ...parameters: readonly Parameter[]
  ): Promise<ServedEvent[]> {
    const { row: folder, record } = await this.#of(name);
    const rows = await this.#pool.read(query, folder, ...parameters);
    return rows.map((row) => {
      const isFirst = row["previous_hash"] === null;
      return toServedEvent(row, isFirst ? record.genesis : hex(row, "previous_hash"));
    });
  }
}

/**
 * SQLSTATEs of statements that PostgreSQL refused: wrong data or SQL, no room, no rights, a limit.
 * Those of a connection that ended, or of a server that stops, say nothing about the statement.
 */
const IS_NOTHING_DONE = /^(?:0A|2[0-9]|3[0-9]|42|53|54|55|58|XX)...$|^57014$|^28/;

function toHead(record: FolderRecord, row: SqlRow): FolderHead {
  const { epoch, genesis } = record;
  const head: Cursor =
    row["seq"] === null
      ? { epoch, seq: 0, hash: genesis }
      : { epoch, seq: integer(row, "seq"), hash: hex(row, "hash") };
  return { folder: record, head };
}

function toPageHead(record: FolderRecord, row: SqlRow | undefined): Cursor {
  const found = { seq: row?.["head_seq"] ?? null, hash: row?.["head_hash"] ?? null };
  return toHead(record, found).head;
}
