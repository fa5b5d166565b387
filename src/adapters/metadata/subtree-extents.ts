/**
 * Measures how deep and how long the paths below directories are. Rules: N4. It visits no node
 * twice, and lets others run: a directory may hold a million files.
 */
import type { NodeId } from "../../core/identifier.ts";
import { turnsOf } from "../../ports/clock.ts";
import type { SubtreeExtent } from "../../ports/metadata-store.ts";
import { systemClock } from "../runtime/clock.ts";
import type { SqliteDatabase, SqlRow } from "../sqlite/database.ts";
import { CHILD_SIZES } from "./queries.ts";
import { hex, integer, isDirectory, text, toBlob } from "./rows.ts";

/** About a millisecond. */
const ROWS_PER_READ = 1000;

/** @returns what `MetadataStore.subtreeExtents` promises */
export async function measureSubtrees(
  database: SqliteDatabase,
  folder: number,
  ids: readonly NodeId[],
): Promise<ReadonlyMap<NodeId, SubtreeExtent>> {
  const tops = new Set(ids);
  const extents = new Map<NodeId, SubtreeExtent>();
  const turn = turnsOf(systemClock);
  for (const top of tops) {
    const walk = new SubtreeWalk(top, tops);
    for (let at = walk.next(); at !== undefined; at = walk.next()) {
      for (const rows of childRows(database, folder, at.id)) {
        for (const row of rows) walk.visit(at, row);
        await turn();
      }
    }
    extents.set(top, walk.extent);
  }
  return extents;
}

interface Directory extends SubtreeExtent {
  readonly id: NodeId;
}

class SubtreeWalk {
  readonly #others: ReadonlySet<NodeId>;
  readonly #pending: Directory[];
  #depth = 0;
  #pathBytes = 0;

  /** @param others are not entered */
  constructor(top: NodeId, others: ReadonlySet<NodeId>) {
    this.#others = others;
    this.#pending = [{ id: top, depth: 0, pathBytes: 0 }];
  }

  get extent(): SubtreeExtent {
    return { depth: this.#depth, pathBytes: this.#pathBytes };
  }

  next(): Directory | undefined {
    return this.#pending.pop();
  }

  visit(parent: Directory, row: SqlRow): void {
    const depth = parent.depth + 1;
    const pathBytes = parent.pathBytes + 1 + integer(row, "bytes");
    if (isDirectory(row)) {
      const id = hex<NodeId>(row, "id");
      if (this.#others.has(id)) return;
      this.#pending.push({ id, depth, pathBytes });
    }
    this.#depth = Math.max(this.#depth, depth);
    this.#pathBytes = Math.max(this.#pathBytes, pathBytes);
  }
}

function* childRows(
  database: SqliteDatabase,
  folder: number,
  parent: NodeId,
): Generator<readonly SqlRow[]> {
  for (let after = ""; ; ) {
    const rows = database.rows(CHILD_SIZES, folder, toBlob(parent), after, ROWS_PER_READ);
    yield rows;
    const last = rows.at(-1);
    if (last === undefined || rows.length < ROWS_PER_READ) return;
    after = text(last, "name");
  }
}
