/**
 * The client's database: its statements, their latest results, and its transactions. Rules: S1,
 * I41.
 */
import type { DatabaseSync, SQLInputValue, StatementSync } from "node:sqlite";
import { assert, SyncedError } from "../../core/error.ts";
import type { Barrier } from "../../ports/state-store.ts";
import { ReadTurn } from "../sqlite/read-turn.ts";
import { closeDatabase } from "./schema.ts";
import { stateTrouble } from "./trouble.ts";

/** Longer results are not kept. */
const ROWS_KEPT_MAX = 64;

/** Statements by their text, and transactions. */
export class StateDatabase {
  readonly #database: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();
  /**
   * Results, since the last write, of statements without values. An idle client reads the cursor,
   * the journal and the like many times in each turn.
   */
  readonly #results = new Map<string, readonly unknown[]>();
  readonly #reads: ReadTurn | undefined;
  #inTransaction = false;
  #barrier: Barrier = "full";
  readonly #onRollback: (() => void)[] = [];
  readonly isOwner: boolean;
  /**
   * True if the disk failed it. Then its file has to be checked before it is trusted again (I41).
   */
  #hasFailed = false;

  /** @param isOwner false beside the process that owns it, whose every write must be seen. */
  constructor(database: DatabaseSync, isOwner = true) {
    this.#database = database;
    this.isOwner = isOwner;
    this.#reads = isOwner ? new ReadTurn(database) : undefined;
  }

  /** When a transaction is taken back, rows that others keep in memory are void. */
  onRollback(forget: () => void): void {
    this.#onRollback.push(forget);
  }

  /** @throws {FileSystemError} if `work` fails because of the disk */
  guarded<Result>(work: () => Result): Result {
    try {
      return work();
    } catch (error) {
      const trouble = stateTrouble(error, this.#database.location() ?? undefined);
      if (trouble === error || !(trouble instanceof Error)) throw error;
      this.#hasFailed = true;
      // A process that only reads has nothing to begin anew, so a person gets the error.
      if (this.isOwner) throw trouble;
      throw new SyncedError("folder_unusable", trouble.message, { cause: error });
    }
  }

  transaction<Result>(work: () => Result, barrier: Barrier = "full"): Result {
    assert(!this.#inTransaction, "transactions do not nest");
    this.guarded(() => {
      this.#reads?.end();
      this.#setBarrier(barrier);
      this.#database.exec("BEGIN IMMEDIATE");
    });
    this.#inTransaction = true;
    try {
      const result = work();
      this.guarded(() => this.#database.exec("COMMIT"));
      return result;
    } catch (error) {
      this.#rollback();
      throw error;
    } finally {
      this.#inTransaction = false;
    }
  }

  /** Runs several statements as one: in the caller's transaction, or in one of their own. */
  together<Result>(work: () => Result, barrier: Barrier = "full"): Result {
    return this.#inTransaction ? work() : this.transaction(work, barrier);
  }

  run(sql: string, ...values: SQLInputValue[]): number {
    return this.guarded(() => {
      // A write on its own is durable when it returns.
      this.#reads?.end();
      this.#results.clear();
      if (!this.#inTransaction) this.#setBarrier("full");
      return Number(this.#statement(sql).run(...values).changes);
    });
  }

  /** The row type is that of the schema, because its tables are STRICT. */
  one<Row>(sql: string, ...values: SQLInputValue[]): Row | undefined {
    if (values.length === 0) return this.all<Row>(sql)[0];
    const row = this.guarded(() => this.#reading(sql).get(...values));
    return (row ?? undefined) as Row | undefined;
  }

  all<Row>(sql: string, ...values: SQLInputValue[]): readonly Row[] {
    const known = values.length === 0 ? this.#results.get(sql) : undefined;
    if (known !== undefined) return known as readonly Row[];
    const rows = this.guarded(() => this.#reading(sql).all(...values)) as Row[];
    const isKept = this.isOwner && values.length === 0 && rows.length <= ROWS_KEPT_MAX;
    if (isKept) this.#results.set(sql, rows);
    return rows;
  }

  /** Moves everything from the write-ahead log into the database file. */
  checkpoint(): void {
    this.#endReading();
    this.guarded(() => this.#database.exec("PRAGMA wal_checkpoint(TRUNCATE)"));
  }

  close(): void {
    this.#endReading();
    closeDatabase(this.#database, !this.isOwner || this.#hasFailed);
  }

  #endReading(): void {
    this.guarded(() => this.#reads?.end());
  }

  #reading(sql: string): StatementSync {
    if (!this.#inTransaction) this.#reads?.begin();
    return this.#statement(sql);
  }

  #statement(sql: string): StatementSync {
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      statement = this.#database.prepare(sql);
      this.#statements.set(sql, statement);
    }
    return statement;
  }

  #setBarrier(barrier: Barrier): void {
    if (this.#barrier === barrier) return;
    this.#database.exec(`PRAGMA synchronous = ${barrier}`);
    this.#barrier = barrier;
  }

  #rollback(): void {
    this.#results.clear();
    for (const forget of this.#onRollback) forget();
    try {
      this.#database.exec("ROLLBACK");
    } catch (error) {
      // A full disk or an I/O error rolls back by itself. The first error is the one to report.
      if (!String(error).includes("no transaction is active")) throw stateTrouble(error);
    }
  }
}
