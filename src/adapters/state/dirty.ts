/** The dirty marks of the client's database: nodes that a plan has to look at. Rules: S1, Y5. */
import type { NodeId } from "../../core/identifier.ts";
import type { StateDatabase } from "./database.ts";
import { READ, WRITE } from "./rows.ts";

/** Of more news all is planned anew: that costs little more than their own plan. */
const SINCE_MAX = 1_000;

export class DirtyMarks {
  readonly #db: StateDatabase;
  #version = 0;
  /** Became dirty since all were planned; undefined if those are many, or others changed. */
  #since: Set<NodeId> | undefined;

  constructor(db: StateDatabase) {
    this.#db = db;
  }

  /** Grows with each change: see StateStore.dirtyVersion. */
  get version(): number {
    return this.#version;
  }

  /** The inputs of a plan have changed so many times. */
  noteChanges(count: number): void {
    this.#version += count;
  }

  mark(id: NodeId): void {
    this.#version += 1;
    const count = this.#db.run("INSERT OR IGNORE INTO dirty VALUES (?1)", id);
    if (count > 0) this.#since?.add(id);
    if (this.#since === undefined) return;
    if (this.#since.size > SINCE_MAX || this.#isWaiting(id)) this.#since = undefined;
  }

  /** True if it was dirty when all were planned. */
  #isWaiting(id: NodeId): boolean {
    return this.#since?.has(id) === false;
  }

  clear(id: NodeId): void {
    const count = this.#db.run("DELETE FROM dirty WHERE id = ?1", id);
    this.#version += count;
    if (count > 0 && this.#isWaiting(id)) this.#since = undefined;
  }

  all(): readonly NodeId[] {
    return this.#db.all<{ id: NodeId }>("SELECT id FROM dirty ORDER BY id").map(({ id }) => id);
  }

  count(): number {
    return this.#db.one<{ count: number }>("SELECT count(*) AS count FROM dirty")?.count ?? 0;
  }

  some(newMax: number): readonly NodeId[] {
    return this.#db.all<{ id: NodeId }>(READ.dirtySome, newMax).map(({ id }) => id);
  }

  noteAllPlanned(): void {
    this.#since = new Set();
  }

  since(): readonly NodeId[] | undefined {
    for (const id of this.#since ?? []) {
      const row = this.#db.one<{ id: NodeId }>("SELECT id FROM dirty WHERE id = ?1", id);
      if (row === undefined) this.#since?.delete(id);
    }
    return this.#since === undefined ? undefined : [...this.#since];
  }

  markAll(): void {
    this.#since = undefined;
    this.#version += this.#db.run(`INSERT OR IGNORE INTO dirty
      SELECT id FROM base UNION SELECT id FROM local UNION SELECT id FROM remote`);
  }

  markRemote(): void {
    this.#since = undefined;
    this.#version += 1;
    this.#db.run("INSERT OR IGNORE INTO dirty SELECT id FROM remote");
  }

  markUnmaterialised(directories?: readonly NodeId[]): void {
    const before = this.#version;
    this.#db.together(() => {
      if (directories === undefined) this.#version += this.#db.run(WRITE.unmaterialisedDirty);
      for (const id of directories ?? []) {
        this.#version += this.#db.run(WRITE.unmaterialisedDirtyBelow, id);
      }
    });
    if (this.#version !== before) this.#since = undefined;
  }
}
