/**
 * The flat half of the client's database: cursors, problems, conflicts, births, journal,
 * quarantine, manifests and values. Rules: S1, S5, D7.
 */
import type { Digest } from "../../core/digest.ts";
import type { Cursor } from "../../core/event.ts";
import type { NodeId } from "../../core/identifier.ts";
import { CURSORS_RECENT_MAX } from "../../core/limits.ts";
import { parseManifestObject } from "../../core/manifest.ts";
import type {
  Binding,
  Birth,
  ConflictCopy,
  JournalEntry,
  Problem,
  QuarantineEntry,
  QuarantineGroup,
} from "../../ports/state-store.ts";
import type { StateDatabase } from "./database.ts";
import type { DirtyMarks } from "./dirty.ts";

interface JournalRow extends Omit<JournalEntry, "oldDigest" | "newDigest" | "order"> {
  readonly ordinal: number;
  readonly old_digest: Digest | null;
  readonly new_digest: Digest | null;
}

interface ConflictRow extends Omit<ConflictCopy, "ofNode"> {
  readonly of_node?: NodeId | null;
}

export class StateRecords {
  readonly #db: StateDatabase;
  readonly #dirty: DirtyMarks;
  /** JSON by key, as in the table, because a cycle reads the same few again and again. */
  readonly #values = new Map<string, string | undefined>();

  constructor(db: StateDatabase, dirty: DirtyMarks) {
    this.#db = db;
    this.#dirty = dirty;
    db.onRollback(() => this.#values.clear());
  }

  cursor(): Cursor | undefined {
    return this.#db.one<Cursor>("SELECT epoch, seq, hash FROM cursor ORDER BY seq DESC LIMIT 1");
  }

  /**
   * Keeps all of the last CURSORS_RECENT_MAX events. Of the older ones it keeps the oldest at each
   * distance of 2^k to 2^(k+1): about 54 at most.
   */
  setCursor(cursor: Cursor): void {
    this.#db.together(() => {
      // All kept cursors are of one epoch, so one is enough to look at. Looking at each would cost
      // time at every event.
      const known = this.cursor();
      if (known !== undefined && known.epoch !== cursor.epoch) this.clearCursors();
      this.#db.run("DELETE FROM cursor WHERE seq >= ?1", cursor.seq);
      const recent = cursor.seq - CURSORS_RECENT_MAX;
      const old = "SELECT seq FROM cursor WHERE seq < ?1 ORDER BY seq";
      let previous = -1;
      for (const { seq } of this.#db.all<Cursor>(old, recent)) {
        const span = Math.floor(Math.log2(cursor.seq - seq));
        if (span === previous) this.#db.run("DELETE FROM cursor WHERE seq = ?1", seq);
        previous = span;
      }
      const { seq, epoch, hash } = cursor;
      this.#db.run("INSERT INTO cursor (seq, epoch, hash) VALUES (?1, ?2, ?3)", seq, epoch, hash);
    });
  }

  cursorHistory(): readonly Cursor[] {
    return this.#db.all<Cursor>("SELECT epoch, seq, hash FROM cursor ORDER BY seq DESC");
  }

  clearCursors(): void {
    this.#db.run("DELETE FROM cursor");
  }

  binding(): Binding | undefined {
    // Trusted, because only `setBinding` writes this value.
    return this.value("binding") as Binding | undefined;
  }

  setBinding(binding: Binding): void {
    this.setValue("binding", binding);
  }

  problems(): readonly Problem[] {
    return this.#db.all<Problem>("SELECT path, code, message FROM problem ORDER BY path");
  }

  setProblem(path: string, problem: Problem | undefined): void {
    this.#db.together(() => {
      if (problem === undefined) {
        this.#dirty.noteChanges(this.#db.run("DELETE FROM problem WHERE path = ?1", path));
        return;
      }
      this.#db.run(
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
      this.#db.run("DELETE FROM problem");
      return;
    }
    // "0" follows "/", so all paths that begin with `path/` lie between the two.
    this.#db.run(
      "DELETE FROM problem WHERE path = ?1 OR (path >= ?2 AND path < ?3)",
      path,
      `${path}/`,
      `${path}0`,
    );
  }

  conflicts(): readonly ConflictCopy[] {
    // `status` may read a database of an earlier version, which does not have the last column.
    return this.#db
      .all<ConflictRow>("SELECT * FROM conflict ORDER BY path")
      .map(({ of_node, ...copy }) => (of_node == null ? copy : { ...copy, ofNode: of_node }));
  }

  putConflict({ node, path, of, ofNode }: ConflictCopy): void {
    this.#db.run(
      "INSERT OR REPLACE INTO conflict (node, path, of, of_node) VALUES (?1, ?2, ?3, ?4)",
      node,
      path,
      of,
      ofNode ?? null,
    );
  }

  removeConflict(node: NodeId): void {
    this.#db.run("DELETE FROM conflict WHERE node = ?1", node);
  }

  birth(id: NodeId): Birth | undefined {
    return this.#db.one<Birth>("SELECT device, at_ms AS atMs FROM birth WHERE node = ?1", id);
  }

  putBirth(id: NodeId, birth: Birth | undefined): void {
    if (birth === undefined) this.#db.run("DELETE FROM birth WHERE node = ?1", id);
    else {
      const sql = "INSERT OR REPLACE INTO birth (node, device, at_ms) VALUES (?1, ?2, ?3)";
      this.#db.run(sql, id, birth.device, Math.floor(birth.atMs));
    }
  }

  forgetBirthsBefore(atMs: number): void {
    this.#db.run("DELETE FROM birth WHERE at_ms < ?1", Math.floor(atMs));
  }

  journal(): readonly JournalEntry[] {
    const rows = this.#db.all<JournalRow>(
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
    this.#db.run(
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
    this.#db.run("DELETE FROM journal WHERE id = ?1", id);
  }

  quarantine(): readonly QuarantineEntry[] {
    return this.#db.all<QuarantineEntry>(
      `SELECT id, node, path, digest, since_ms AS sinceMs, scans FROM quarantine
        ORDER BY since_ms, id`,
    );
  }

  quarantineGroups(): readonly QuarantineGroup[] {
    return this.#db.all<QuarantineGroup>(
      `SELECT scans, MIN(since_ms) AS firstMs, MAX(since_ms) AS lastMs FROM quarantine
        GROUP BY scans ORDER BY scans`,
    );
  }

  putQuarantine({ id, node, path, digest, sinceMs, scans }: QuarantineEntry): void {
    this.#db.run(
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
    this.#db.run("DELETE FROM quarantine WHERE id = ?1", id);
  }

  isLeftover(identity: string): boolean {
    return this.#db.one("SELECT 1 FROM leftover WHERE identity = ?1", identity) !== undefined;
  }

  setLeftover(identity: string, leftover: boolean): void {
    if (leftover) this.#db.run("INSERT OR IGNORE INTO leftover VALUES (?1)", identity);
    else this.#db.run("DELETE FROM leftover WHERE identity = ?1", identity);
  }

  value(key: string): unknown {
    const json = this.#values.has(key) ? this.#values.get(key) : this.#readValue(key);
    return json === undefined ? undefined : JSON.parse(json);
  }

  #readValue(key: string): string | undefined {
    const row = this.#db.one<{ json: string }>("SELECT json FROM value WHERE key = ?1", key);
    if (this.#db.isOwner) this.#values.set(key, row?.json);
    return row?.json;
  }

  setValue(key: string, value: unknown): void {
    this.#values.delete(key);
    if (value === undefined) {
      this.#db.run("DELETE FROM value WHERE key = ?1", key);
      return;
    }
    this.#db.run(
      `INSERT INTO value (key, json) VALUES (?1, ?2)
        ON CONFLICT (key) DO UPDATE SET json = excluded.json`,
      key,
      JSON.stringify(value),
    );
  }

  manifest(digest: Digest): Uint8Array | undefined {
    const sql = "SELECT bytes FROM manifest WHERE digest = ?1";
    return this.#db.one<{ bytes: Uint8Array }>(sql, digest)?.bytes;
  }

  putManifest(digest: Digest, bytes: Uint8Array): void {
    this.#db.run("INSERT OR IGNORE INTO manifest (digest, bytes) VALUES (?1, ?2)", digest, bytes);
  }

  pruneManifests(): void {
    this.#db.together(() => {
      const reached = new Set<Digest>();
      const roots = this.#db.all<{ digest: Digest; depth: number }>(
        `SELECT manifest AS digest, depth FROM base WHERE depth > 0 UNION
          SELECT manifest, depth FROM local WHERE depth > 0 UNION
          SELECT manifest, depth FROM remote WHERE depth > 0`,
      );
      const pending = [...roots];
      for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
        const { digest, depth } = next;
        if (reached.has(digest)) continue;
        reached.add(digest);
        // Most objects list only chunks. Those need not be read.
        const bytes = depth > 1 ? this.manifest(digest) : undefined;
        if (bytes === undefined) continue;
        for (const child of parseManifestObject(bytes).children) {
          pending.push({ digest: child.digest, depth: depth - 1 });
        }
      }
      for (const digest of this.manifestDigests()) {
        if (!reached.has(digest)) this.#db.run("DELETE FROM manifest WHERE digest = ?1", digest);
      }
    });
  }

  manifestDigests(): readonly Digest[] {
    const rows = this.#db.all<{ digest: Digest }>("SELECT digest FROM manifest ORDER BY digest");
    return rows.map((row) => row.digest);
  }
}
