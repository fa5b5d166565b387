/**
 * The flat half of the client's database: cursors, problems, conflicts, journal, quarantine,
 * manifests, values. Rules: S1, S5, D7. Also holds the statement cache and the transaction that the
 * tree half shares.
 */
import type { DatabaseSync, SQLInputValue, StatementSync } from "node:sqlite";
import type { Digest } from "../../core/digest.ts";
import { assert, SyncedError } from "../../core/error.ts";
import type { Cursor } from "../../core/event.ts";
import type { NodeId } from "../../core/identifier.ts";
import { CURSORS_RECENT_MAX } from "../../core/limits.ts";
import { parseManifestObject } from "../../core/manifest.ts";
import type {
  Barrier,
  Binding,
  Birth,
  ConflictCopy,
  JournalEntry,
  Problem,
  QuarantineEntry,
  QuarantineGroup,
} from "../../ports/state-store.ts";
import { ReadTurn } from "../sqlite/read-turn.ts";
import { stateTrouble } from "./trouble.ts";

/** Longer results are not kept. */
const ROWS_KEPT_MAX = 64;

/** Statements by their text, and transactions. */
export class StateDatabase {
  readonly #database: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();
  /**
   * What statements without values gave since the last write: the cursor, the journal and the like
   * are looked at many times in each turn of an idle client.
   */
  readonly #results = new Map<string, readonly unknown[]>();
  readonly #reads: ReadTurn | undefined;
  #inTransaction = false;
  #barrier: Barrier = "full";
  protected readonly isOwner: boolean;
  #hasFailed = false;

  /** @param isOwner false beside the process that owns it, whose every write is to be seen. */
  constructor(database: DatabaseSync, isOwner = true) {
    this.#database = database;
    this.isOwner = isOwner;
    this.#reads = isOwner ? new ReadTurn(database) : undefined;
  }

  /** The disk failed it: what its file holds has to be checked before it is trusted again (I41). */
  protected get hasFailed(): boolean {
    return this.#hasFailed;
  }

  /** @throws {FileSystemError} where `work` fails for the disk's sake */
  protected guarded<Result>(work: () => Result): Result {
    try {
      return work();
    } catch (error) {
      const trouble = stateTrouble(error);
      if (trouble === error || !(trouble instanceof Error)) throw error;
      this.#hasFailed = true;
      // Who only looks has nothing to begin anew: it is told to a person.
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
  protected together<Result>(work: () => Result, barrier: Barrier = "full"): Result {
    return this.#inTransaction ? work() : this.transaction(work, barrier);
  }

  protected run(sql: string, ...values: SQLInputValue[]): number {
    return this.guarded(() => {
      // What is written on its own is durable when it returns.
      this.#reads?.end();
      this.#results.clear();
      if (!this.#inTransaction) this.#setBarrier("full");
      return Number(this.#statement(sql).run(...values).changes);
    });
  }

  /** The row type is the schema's: STRICT tables vouch for it. */
  protected one<Row>(sql: string, ...values: SQLInputValue[]): Row | undefined {
    if (values.length === 0) return this.all<Row>(sql)[0];
    const row = this.guarded(() => this.#reading(sql).get(...values));
    return (row ?? undefined) as Row | undefined;
  }

  protected all<Row>(sql: string, ...values: SQLInputValue[]): readonly Row[] {
    const known = values.length === 0 ? this.#results.get(sql) : undefined;
    if (known !== undefined) return known as readonly Row[];
    const rows = this.guarded(() => this.#reading(sql).all(...values)) as Row[];
    const isKept = this.isOwner && values.length === 0 && rows.length <= ROWS_KEPT_MAX;
    if (isKept) this.#results.set(sql, rows);
    return rows;
  }

  /** To be called before the database is used behind this class's back. */
  protected endReading(): void {
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
    try {
      this.#database.exec("ROLLBACK");
    } catch (error) {
      // A full disk or an I/O error rolls back by itself; the first error is the one to tell.
      if (!String(error).includes("no transaction is active")) throw stateTrouble(error);
    }
  }
}

interface JournalRow extends Omit<JournalEntry, "oldDigest" | "newDigest" | "order"> {
  readonly ordinal: number;
  readonly old_digest: Digest | null;
  readonly new_digest: Digest | null;
}

export class StateRecords extends StateDatabase {
  protected dirtyChanges = 0;
  /** JSON by key, as in the table: a cycle asks for the same few again and again. */
  readonly #values = new Map<string, string | undefined>();

  override transaction<Result>(work: () => Result, barrier?: Barrier): Result {
    try {
      return super.transaction(work, barrier);
    } catch (error) {
      this.#values.clear();
      throw error;
    }
  }

  cursor(): Cursor | undefined {
    return this.one<Cursor>("SELECT epoch, seq, hash FROM cursor ORDER BY seq DESC LIMIT 1");
  }

  /**
   * Keeps all of the last CURSORS_RECENT_MAX events, and of the older ones the oldest of each
   * distance 2^k to 2^(k+1): about 54 at most.
   */
  setCursor(cursor: Cursor): void {
    this.together(() => {
      // All that are kept are of one epoch: a look at each of them would cost at every event.
      const known = this.cursor();
      if (known !== undefined && known.epoch !== cursor.epoch) this.clearCursors();
      this.run("DELETE FROM cursor WHERE seq >= ?1", cursor.seq);
      const recent = cursor.seq - CURSORS_RECENT_MAX;
      const old = "SELECT seq FROM cursor WHERE seq < ?1 ORDER BY seq";
      let previous = -1;
      for (const { seq } of this.all<Cursor>(old, recent)) {
        const span = Math.floor(Math.log2(cursor.seq - seq));
        if (span === previous) this.run("DELETE FROM cursor WHERE seq = ?1", seq);
        previous = span;
      }
      const { seq, epoch, hash } = cursor;
      this.run("INSERT INTO cursor (seq, epoch, hash) VALUES (?1, ?2, ?3)", seq, epoch, hash);
    });
  }

  cursorHistory(): readonly Cursor[] {
    return this.all<Cursor>("SELECT epoch, seq, hash FROM cursor ORDER BY seq DESC");
  }

  clearCursors(): void {
    this.run("DELETE FROM cursor");
  }

  binding(): Binding | undefined {
    // Only `setBinding` writes this value.
    return this.value("binding") as Binding | undefined;
  }

  setBinding(binding: Binding): void {
    this.setValue("binding", binding);
  }

  problems(): readonly Problem[] {
    return this.all<Problem>("SELECT path, code, message FROM problem ORDER BY path");
  }

  setProblem(path: string, problem: Problem | undefined): void {
    this.together(() => {
      if (problem === undefined) {
        this.dirtyChanges += this.run("DELETE FROM problem WHERE path = ?1", path);
        return;
      }
      this.run(
        `INSERT INTO problem (path, code, message) VALUES (?1, ?2, ?3)
          ON CONFLICT (path) DO UPDATE SET code = excluded.code, message = excluded.message`,
        path,
        problem.code,
        problem.message,
      );
    }, "normal");
  }

  clearProblemsBelow(path: string): void {
    if (path === "") {
      this.run("DELETE FROM problem");
      return;
    }
    // "0" follows "/": all paths that begin with `path/` lie between the two.
    this.run(
      "DELETE FROM problem WHERE path = ?1 OR (path >= ?2 AND path < ?3)",
      path,
      `${path}/`,
      `${path}0`,
    );
  }

  conflicts(): readonly ConflictCopy[] {
    return this.all<ConflictCopy>("SELECT node, path, of FROM conflict ORDER BY path");
  }

  putConflict({ node, path, of }: ConflictCopy): void {
    this.run(
      `INSERT INTO conflict (node, path, of) VALUES (?1, ?2, ?3)
        ON CONFLICT (node) DO UPDATE SET path = excluded.path, of = excluded.of`,
      node,
      path,
      of,
    );
  }

  removeConflict(node: NodeId): void {
    this.run("DELETE FROM conflict WHERE node = ?1", node);
  }

  dirtyVersion(): number {
    return this.dirtyChanges;
  }

  markDirty(id: NodeId): void {
    this.dirtyChanges += 1;
    this.run("INSERT OR IGNORE INTO dirty VALUES (?1)", id);
  }

  clearDirty(id: NodeId): void {
    this.dirtyChanges += this.run("DELETE FROM dirty WHERE id = ?1", id);
  }

  birth(id: NodeId): Birth | undefined {
    return this.one<Birth>("SELECT device, at_ms AS atMs FROM birth WHERE node = ?1", id);
  }

  putBirth(id: NodeId, birth: Birth | undefined): void {
    if (birth === undefined) this.run("DELETE FROM birth WHERE node = ?1", id);
    else {
      const sql = "INSERT OR REPLACE INTO birth (node, device, at_ms) VALUES (?1, ?2, ?3)";
      this.run(sql, id, birth.device, Math.floor(birth.atMs));
    }
  }

  forgetBirthsBefore(atMs: number): void {
    this.run("DELETE FROM birth WHERE at_ms < ?1", Math.floor(atMs));
  }

  journal(): readonly JournalEntry[] {
    const rows = this.all<JournalRow>(
      `SELECT ordinal, id, kind, node, path, old_digest, new_digest FROM journal ORDER BY ordinal`,
    );
    return rows.map(({ ordinal, id, kind, node, path, old_digest, new_digest }) => ({
      id,
      kind,
      node,
      path,
      ...(old_digest === null ? {} : { oldDigest: old_digest }),
      ...(new_digest === null ? {} : { newDigest: new_digest }),
      order: ordinal,
    }));
  }

  addJournal(entry: Omit<JournalEntry, "order">): void {
    this.run(
      `INSERT INTO journal (id, kind, node, path, old_digest, new_digest)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6)`,
      entry.id,
      entry.kind,
      entry.node,
      entry.path,
      entry.oldDigest ?? null,
      entry.newDigest ?? null,
    );
  }

  removeJournal(id: string): void {
    this.run("DELETE FROM journal WHERE id = ?1", id);
  }

  quarantine(): readonly QuarantineEntry[] {
    return this.all<QuarantineEntry>(
      `SELECT id, node, path, digest, since_ms AS sinceMs, scans FROM quarantine
        ORDER BY since_ms, id`,
    );
  }

  quarantineGroups(): readonly QuarantineGroup[] {
    return this.all<QuarantineGroup>(
      `SELECT scans, MIN(since_ms) AS firstMs, MAX(since_ms) AS lastMs FROM quarantine
        GROUP BY scans ORDER BY scans`,
    );
  }

  putQuarantine({ id, node, path, digest, sinceMs, scans }: QuarantineEntry): void {
    this.run(
      `INSERT INTO quarantine (id, node, path, digest, since_ms, scans)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6)
        ON CONFLICT (id) DO UPDATE SET node = excluded.node, path = excluded.path,
          digest = excluded.digest, since_ms = excluded.since_ms, scans = excluded.scans`,
      id,
      node,
      path,
      digest,
      Math.floor(sinceMs),
      scans,
    );
  }

  removeQuarantine(id: string): void {
    this.run("DELETE FROM quarantine WHERE id = ?1", id);
  }

  isLeftover(identity: string): boolean {
    return this.one("SELECT 1 FROM leftover WHERE identity = ?1", identity) !== undefined;
  }

  setLeftover(identity: string, leftover: boolean): void {
    if (leftover) this.run("INSERT OR IGNORE INTO leftover VALUES (?1)", identity);
    else this.run("DELETE FROM leftover WHERE identity = ?1", identity);
  }

  value(key: string): unknown {
    const json = this.#values.has(key) ? this.#values.get(key) : this.#readValue(key);
    return json === undefined ? undefined : JSON.parse(json);
  }

  #readValue(key: string): string | undefined {
    const row = this.one<{ json: string }>("SELECT json FROM value WHERE key = ?1", key);
    if (this.isOwner) this.#values.set(key, row?.json);
    return row?.json;
  }

  setValue(key: string, value: unknown): void {
    this.#values.delete(key);
    if (value === undefined) {
      this.run("DELETE FROM value WHERE key = ?1", key);
      return;
    }
    this.run(
      `INSERT INTO value (key, json) VALUES (?1, ?2)
        ON CONFLICT (key) DO UPDATE SET json = excluded.json`,
      key,
      JSON.stringify(value),
    );
  }

  manifest(digest: Digest): Uint8Array | undefined {
    const sql = "SELECT bytes FROM manifest WHERE digest = ?1";
    return this.one<{ bytes: Uint8Array }>(sql, digest)?.bytes;
  }

  putManifest(digest: Digest, bytes: Uint8Array): void {
    this.run("INSERT OR IGNORE INTO manifest (digest, bytes) VALUES (?1, ?2)", digest, bytes);
  }

  pruneManifests(): void {
    this.together(() => {
      const reached = new Set<Digest>();
      const roots = this.all<{ digest: Digest; depth: number }>(
        `SELECT manifest AS digest, depth FROM base WHERE depth > 0 UNION
          SELECT manifest, depth FROM local WHERE depth > 0 UNION
          SELECT manifest, depth FROM remote WHERE depth > 0`,
      );
      const pending = [...roots];
      for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
        const { digest, depth } = next;
        if (reached.has(digest)) continue;
        reached.add(digest);
        // What lists only chunks, as most do, need not be read.
        const bytes = depth > 1 ? this.manifest(digest) : undefined;
        if (bytes === undefined) continue;
        for (const child of parseManifestObject(bytes).children) {
          pending.push({ digest: child.digest, depth: depth - 1 });
        }
      }
      for (const digest of this.manifestDigests()) {
        if (!reached.has(digest)) this.run("DELETE FROM manifest WHERE digest = ?1", digest);
      }
    });
  }

  manifestDigests(): readonly Digest[] {
    const rows = this.all<{ digest: Digest }>("SELECT digest FROM manifest ORDER BY digest");
    return rows.map((row) => row.digest);
  }
}
