/** The dirty marks of the client's database: nodes that a plan has to look at. Rules: S1, Y5. */
import type { NodeId } from "../../core/identifier.ts";
import type { StateDatabase } from "./database.ts";
import { READ, WRITE } from "./rows.ts";

export class DirtyMarks {
  readonly #db: StateDatabase;
  #version = 0;

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
    this.#db.run("INSERT OR IGNORE INTO dirty VALUES (?1)", id);
  }

  clear(id: NodeId): void {
    this.#version += this.#db.run("DELETE FROM dirty WHERE id = ?1", id);
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

  markAll(): void {
    this.#version += this.#db.run(`INSERT OR IGNORE INTO dirty
      SELECT id FROM base UNION SELECT id FROM local UNION SELECT id FROM remote`);
  }

  markRemote(): void {
    this.#version += 1;
    this.#db.run("INSERT OR IGNORE INTO dirty SELECT id FROM remote");
  }

  markUnmaterialised(directories?: readonly NodeId[]): void {
    this.#db.together(() => {
      if (directories === undefined) this.#version += this.#db.run(WRITE.unmaterialisedDirty);
      for (const id of directories ?? []) {
        this.#version += this.#db.run(WRITE.unmaterialisedDirtyBelow, id);
      }
    });
  }
}
