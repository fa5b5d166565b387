/**
 * HistoryStore in one SQLite file of its own, so that its writes never hold the lock of
 * `metadata.db`. Rules: E1, E2.
 *
 * It waits for the disk only when SQLite folds its log in. A power cut may take the latest folds
 * away; the follower then folds them again.
 */
import { rmSync } from "node:fs";
import { CHANGES, changeOf } from "../../core/change.ts";
import { SyncedError } from "../../core/error.ts";
import type { Cursor, Event } from "../../core/event.ts";
import { type FolderName, type NodeId, ROOT_ID } from "../../core/identifier.ts";
import type { Content, Place, Sequence } from "../../core/node.ts";
import {
  type ActivityRow,
  type DirectoryMoment,
  type DirectoryRequest,
  type FoldedSpans,
  type HistoryStore,
  type SequenceRange,
  type Span,
  type SpanKey,
  type SpanSlice,
  STILL_OPEN,
  spanOf,
} from "../../ports/history-store.ts";
import { hex, integer, text, toBlob } from "../metadata/rows.ts";
import { SqliteDatabase, type SqlRow, type SqlValue } from "../sqlite/database.ts";
import {
  ACTIVITY,
  ADD_ACTIVITY,
  CHILD_AT,
  CLOSE_SPAN,
  CLOSED,
  COUNT_AT,
  CROSSING,
  FOLDER,
  listAt,
  NODE_AT,
  OPEN_SPAN,
  OPEN_SPAN_OF_NODE,
  OPENED,
  PUT_FOLDER,
  SEARCH,
  SLICE_END,
  SPANS_OF_DIRECTORY,
} from "./queries.ts";
import { HISTORY_MIGRATIONS } from "./schema.ts";

/**
 * Opens the file, or makes it. A file that is damaged or of another version is made again.
 *
 * @param path a file, or ":memory:"
 * @throws {SyncedError} `data_not_writable`
 */
export function openSqliteHistoryStore(path: string): HistoryStore {
  try {
    return new SqliteHistoryStore(new SqliteDatabase(path, HISTORY_MIGRATIONS));
  } catch (error) {
    const isUseless =
      error instanceof SyncedError &&
      (error.code === "damage_found" || error.code === "data_newer");
    if (!isUseless) throw error;
    for (const end of ["", "-wal", "-shm"]) rmSync(`${path}${end}`, { force: true });
    return new SqliteHistoryStore(new SqliteDatabase(path, HISTORY_MIGRATIONS));
  }
}

const KINDS: readonly Content["kind"][] = ["file", "directory", "symlink"];
/** Sorts before every key of a span. */
const FIRST_KEY: SpanKey = { parent: ROOT_ID, name: "", from: 0 };

class SqliteHistoryStore implements HistoryStore {
  readonly #db: SqliteDatabase;

  constructor(database: SqliteDatabase) {
    this.#db = database;
  }

  async followed(name: FolderName): Promise<Cursor | undefined> {
    const row = this.#db.row(FOLDER, name);
    if (row === undefined) return undefined;
    return { epoch: hex(row, "epoch"), seq: integer(row, "seq"), hash: hex(row, "hash") };
  }

  async fold(name: FolderName, events: readonly Event[], after: Cursor): Promise<FoldedSpans> {
    return this.#db.write("normal", () => {
      const { epoch, seq, hash } = after;
      this.#db.run(PUT_FOLDER, name, toBlob(epoch), seq, toBlob(hash));
      const folder = this.#folder(name);
      const opened: Span[] = [];
      const closed: Span[] = [];
      for (const event of events) {
        // The log makes only nodes that are not there (O2), so none of these ends another span.
        const before = event.kind === "create" ? undefined : this.#closeSpan(folder, event);
        if (before !== undefined) closed.push(before);
        if (event.kind !== "delete") opened.push(this.#openSpan(folder, event));
        this.#countActivity(folder, event);
      }
      return { opened, closed };
    });
  }

  async forget(name: FolderName): Promise<void> {
    const folder = this.#folder(name);
    this.#db.write("normal", () => {
      this.#db.run("DELETE FROM spans WHERE folder = ?", folder);
      this.#db.run("DELETE FROM activity WHERE folder = ?", folder);
      this.#db.run("DELETE FROM folders WHERE id = ?", folder);
    });
  }

  async spans(
    name: FolderName,
    page: { readonly parent: NodeId; readonly after?: SpanKey; readonly limit: number },
  ): Promise<readonly Span[]> {
    const { parent, after = FIRST_KEY, limit } = page;
    const values = [this.#folder(name), toBlob(parent), after.name, after.from];
    return this.#db.rows(SPANS_OF_DIRECTORY, ...values, limit).map(toSpan);
  }

  async list(name: FolderName, request: DirectoryRequest): Promise<readonly Span[]> {
    const { sort, descending, after = "", limit, offset } = request;
    const values = momentValues(this.#folder(name), request);
    return this.#db.rows(listAt(sort, descending), ...values, after, limit, offset).map(toSpan);
  }

  async count(name: FolderName, moment: DirectoryMoment): Promise<number> {
    const row = this.#db.row(COUNT_AT, ...momentValues(this.#folder(name), moment));
    return row === undefined ? 0 : integer(row, "count");
  }

  async nodeAt(name: FolderName, node: NodeId, at: Sequence): Promise<Span | undefined> {
    const row = this.#db.row(NODE_AT, this.#folder(name), toBlob(node), at);
    return row === undefined ? undefined : toSpan(row);
  }

  async childAt(name: FolderName, place: Place, at: Sequence): Promise<Span | undefined> {
    const folder = this.#folder(name);
    const row = this.#db.row(CHILD_AT, folder, toBlob(place.parent), place.name, at, at);
    return row === undefined ? undefined : toSpan(row);
  }

  async opened(name: FolderName, range: SequenceRange, at: Sequence): Promise<readonly Span[]> {
    const { after, upTo } = range;
    return this.#db.rows(OPENED, this.#folder(name), after, upTo, at).map(toSpan);
  }

  async closed(name: FolderName, range: SequenceRange, at: Sequence): Promise<readonly Span[]> {
    const { after, upTo } = range;
    return this.#db.rows(CLOSED, this.#folder(name), after, upTo, at).map(toSpan);
  }

  async crossing(
    name: FolderName,
    request: {
      readonly range: SequenceRange;
      readonly after?: SpanKey | undefined;
      readonly scan: number;
    },
  ): Promise<SpanSlice> {
    const { after: from, upTo: to } = request.range;
    return this.#slice(CROSSING, name, request, [from, to, to, from, to, from]);
  }

  async search(
    name: FolderName,
    request: { readonly text: string; readonly after?: SpanKey; readonly scan: number },
  ): Promise<SpanSlice> {
    const pattern = `%${request.text.replace(/[\\%_]/g, "\\$&")}%`;
    return this.#slice(SEARCH, name, request, [pattern]);
  }

  async activity(name: FolderName, { after, upTo }: SequenceRange): Promise<ActivityRow[]> {
    return this.#db.rows(ACTIVITY, this.#folder(name), after, upTo).map(toActivity);
  }

  async close(): Promise<void> {
    this.#db.close();
  }

  /** Runs `sql` over the next `scan` spans. */
  #slice(
    sql: string,
    name: FolderName,
    request: { readonly after?: SpanKey | undefined; readonly scan: number },
    values: readonly SqlValue[],
  ): SpanSlice {
    const folder = this.#folder(name);
    const after = keyValues(request.after ?? FIRST_KEY);
    const end = this.#db.row(SLICE_END, folder, ...after, request.scan - 1);
    const next = end === undefined ? undefined : toKey(end);
    const upTo = next === undefined ? BEYOND_ALL : keyValues(next);
    const found = this.#db.rows(sql, folder, ...after, ...upTo, ...values).map(toSpan);
    return next === undefined ? { found } : { found, next };
  }

  /** 0 for a folder of which nothing was folded yet; no row has that. */
  #folder(name: FolderName): number {
    const row = this.#db.row(FOLDER, name);
    return row === undefined ? 0 : integer(row, "id");
  }

  #closeSpan(folder: number, event: Event): Span | undefined {
    const row = this.#db.row(OPEN_SPAN_OF_NODE, folder, toBlob(event.node));
    const before = row === undefined ? undefined : toSpan(row);
    if (before === undefined || before.to !== STILL_OPEN) return undefined;
    const isDeleted = event.kind === "delete";
    const { parent, name, from } = before;
    const ended = [event.seq, isDeleted ? 1 : 0];
    this.#db.run(CLOSE_SPAN, ...ended, folder, toBlob(parent), name, from);
    return { ...before, to: event.seq, isDeleted };
  }

  #openSpan(folder: number, event: Event): Span {
    const span = spanOf(event);
    this.#db.run(
      OPEN_SPAN,
      folder,
      toBlob(span.parent),
      span.name,
      span.from,
      span.to,
      0,
      toBlob(span.node),
      KINDS.indexOf(span.kind),
      span.size,
      span.mtimeMs,
      span.fingerprint,
    );
    return span;
  }

  #countActivity(folder: number, event: Event): void {
    const { seq, time, device } = event;
    const { change, bytes } = changeOf(event);
    const minute = Math.floor(Date.parse(time) / 60_000);
    const key = [folder, minute, toBlob(device), CHANGES.indexOf(change)];
    this.#db.run(ADD_ACTIVITY, ...key, bytes, seq, seq);
  }
}

/** Sorts after every key of a span, since an id has 16 bytes. */
const BEYOND_ALL = [new Uint8Array(17).fill(0xff), "", 0] as const;

function momentValues(folder: number, moment: DirectoryMoment): SqlValue[] {
  const { parent, at, withDeleted } = moment;
  return [folder, toBlob(parent), at, at, at, withDeleted ? 1 : 2, at];
}

function keyValues({ parent, name, from }: SpanKey): readonly [Uint8Array, string, number] {
  return [toBlob(parent), name, from];
}

function toKey(row: SqlRow): SpanKey {
  return { parent: hex(row, "parent"), name: text(row, "name"), from: integer(row, "from_seq") };
}

function toSpan(row: SqlRow): Span {
  return {
    parent: hex(row, "parent"),
    name: text(row, "name"),
    from: integer(row, "from_seq"),
    to: integer(row, "to_seq"),
    isDeleted: integer(row, "is_deleted") === 1,
    node: hex(row, "node"),
    kind: KINDS[integer(row, "kind")] ?? "file",
    size: integer(row, "size"),
    mtimeMs: integer(row, "mtime_ms"),
    fingerprint: integer(row, "fingerprint"),
  };
}

function toActivity(row: SqlRow): ActivityRow {
  return {
    minute: integer(row, "minute"),
    device: hex(row, "device"),
    change: CHANGES[integer(row, "change")] ?? "changed",
    count: integer(row, "count"),
    bytes: integer(row, "bytes"),
    first: integer(row, "first_seq"),
    last: integer(row, "last_seq"),
  };
}
