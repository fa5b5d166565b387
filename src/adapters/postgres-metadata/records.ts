/**
 * Small records that all servers of one PostgreSQL hold in memory: tokens, links, orders. Rules:
 * P15.
 *
 * A write changes their version in the same statement. So a server that finds the version it knows
 * has nothing to read.
 */
import { SyncedError } from "../../core/error.ts";
import { integer, text } from "../metadata/rows.ts";
import type { PostgresPool } from "./pool.ts";

export type RecordKind =
  | "token"
  | "revoked"
  | "used"
  | "invite"
  | "link"
  | "order"
  | "webhook"
  | "webhook_state";

/** By id, what the writer said of it. */
export type Records = ReadonlyMap<string, string>;

/** One row without a record if the version is $1, without a look at the records. */
export const RECORDS_UNLESS = `
SELECT v.version, r.kind, r.id, r.body FROM synced.records_version AS v LEFT JOIN LATERAL (
  SELECT kind, id, body FROM synced.records WHERE v.version <> $1 OFFSET 0
) AS r ON true`;

/** @param change returns the rows that it changed */
function withVersion(change: string): string {
  return `
WITH done AS (${change} RETURNING body), told AS (
  UPDATE synced.records_version SET version = version + 1 WHERE EXISTS (SELECT 1 FROM done)
) SELECT body FROM done`;
}

const INSERT = "INSERT INTO synced.records (kind, id, body) VALUES ($1, $2, $3)";
const ADD = withVersion(`${INSERT} ON CONFLICT DO NOTHING`);
const REPLACE = `${INSERT} ON CONFLICT (kind, id) DO UPDATE SET body = $3`;
const PUT = withVersion(REPLACE);
/** $3: only if the body is that. */
const REMOVE = withVersion(`
  DELETE FROM synced.records WHERE kind = $1 AND id = $2 AND body = coalesce($3, body)`);

/** No records have this version. */
const NONE = -1;

export class SharedRecords {
  readonly #pool: PostgresPool;
  readonly #watchers = new Set<() => void>();
  #version = NONE;
  /** True if the next look reads all. */
  #isWhole = false;
  #records = new Map<RecordKind, Map<string, string>>();
  #reading: Promise<void> = Promise.resolve();
  #next: Promise<void> | undefined;
  #tell: () => void = () => undefined;

  constructor(pool: PostgresPool) {
    this.#pool = pool;
  }

  /** @param tell tells other servers to look */
  tellBy(tell: () => void): void {
    this.#tell = tell;
  }

  /** Calls `listener` when there are other records than before. */
  watch(listener: () => void): void {
    this.#watchers.add(listener);
  }

  of(kind: RecordKind): Records {
    return this.#records.get(kind) ?? new Map();
  }

  /**
   * Resolves when all is known that was there when it was called.
   *
   * @param isWhole true for what was only noted, too
   */
  refresh(isWhole = false): Promise<void> {
    this.#isWhole ||= isWhole;
    // A look that is under way may have missed it.
    this.#next ??= this.#reading.then(() => {
      this.#next = undefined;
      const read = this.#read();
      this.#reading = read.catch(() => undefined);
      return read;
    });
    return this.#next;
  }

  /** False if there is one of that id. */
  async add(kind: RecordKind, id: string, body: string): Promise<boolean> {
    return (await this.#write(ADD, kind, id, body)) !== undefined;
  }

  async put(kind: RecordKind, id: string, body: string): Promise<void> {
    await this.#write(PUT, kind, id, body);
  }

  /** As `put`, but others need not hear of it. */
  async note(kind: RecordKind, id: string, body: string): Promise<void> {
    await this.#pool.write(REPLACE, kind, id, body);
  }

  /** @returns its body; undefined if there is none, or none with that body any more */
  async remove(kind: RecordKind, id: string, body?: string): Promise<string | undefined> {
    return await this.#write(REMOVE, kind, id, body ?? null);
  }

  async #write(
    statement: string,
    ...parameters: readonly (string | null)[]
  ): Promise<string | undefined> {
    const [row] = await this.#pool.write(statement, ...parameters);
    if (row === undefined) return undefined;
    this.#tell();
    // It is done. If PostgreSQL is away now, it is known here later.
    await this.refresh().catch(ignoreTrouble);
    return text(row, "body");
  }

  async #read(): Promise<void> {
    const known = this.#isWhole ? NONE : this.#version;
    this.#isWhole = false;
    const rows = await this.#pool.read(RECORDS_UNLESS, known);
    const [first] = rows;
    if (first === undefined || integer(first, "version") === known) return;
    const records = new Map<RecordKind, Map<string, string>>();
    for (const row of rows) {
      if (row["kind"] === null) continue;
      const kind = text<RecordKind>(row, "kind");
      const some = records.get(kind) ?? new Map<string, string>();
      records.set(kind, some.set(text(row, "id"), text(row, "body")));
    }
    this.#records = records;
    this.#version = integer(first, "version");
    for (const watcher of this.#watchers) watcher();
  }
}

function ignoreTrouble(error: unknown): void {
  if (!(error instanceof SyncedError)) throw error;
}
