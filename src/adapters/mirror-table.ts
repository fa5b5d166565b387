/**
 * Makes a table like another one, whichever databases they are in. Rules: P14.
 *
 * The target is a beginning of the source at any moment: what differs is deleted from there on
 * first. So an interrupted run goes on where it was, no row is in the way of another one, and a run
 * that changes nothing has proven that both are equal.
 */
import { EVENT_COLUMNS, NODE_COLUMNS } from "./postgres-metadata/schema.ts";
import type { SqlRow } from "./sqlite/database.ts";

export interface Table {
  readonly name: string;
  /** The first columns, by which its rows are ordered. */
  readonly key: readonly string[];
  readonly columns: readonly string[];
}

const FOLDER_COLUMNS = [
  "id",
  "name",
  "epoch",
  "genesis",
  "chunk_min",
  "chunk_average",
  "chunk_max",
  "name_bytes_max",
  "pruned",
] as const;

/** All that a server knows of its folders, what is referred to first. */
export const TABLES: readonly Table[] = [
  { name: "folders", key: ["id"], columns: FOLDER_COLUMNS },
  { name: "former_names", key: ["name"], columns: ["name", "folder"] },
  { name: "events", key: ["folder", "seq"], columns: [...EVENT_COLUMNS, "gone"] },
  { name: "nodes", key: ["folder", "id"], columns: NODE_COLUMNS },
  {
    name: "folder_objects",
    key: ["folder", "digest", "depth"],
    columns: ["folder", "digest", "depth", "size", "touched", "turn"],
  },
  {
    name: "devices",
    key: ["folder", "device"],
    columns: ["folder", "device", "name", "epoch", "seq", "hash", "seen_time", "state"],
  },
];

export interface RowStore {
  /** The next rows after one, by ascending key. */
  after(table: Table, row: SqlRow | undefined, limit: number): Promise<readonly SqlRow[]>;
  /** Deletes all rows after one, the last first. */
  dropAfter(table: Table, row: SqlRow | undefined): Promise<void>;
  /** All or none. */
  add(table: Table, rows: readonly SqlRow[]): Promise<void>;
}

export interface Mirroring {
  readonly from: RowStore;
  readonly to: RowStore;
  /** Called with the number of rows that are equal now. */
  readonly onRows: (count: number) => void;
}

const PAGE = 1000;

/** @returns true if anything was changed */
export async function mirrorTable({ from, to, onRows }: Mirroring, table: Table): Promise<boolean> {
  let last: SqlRow | undefined;
  let isChanged = false;
  for (;;) {
    const [wanted, found] = await Promise.all([
      from.after(table, last, PAGE),
      to.after(table, last, PAGE),
    ]);
    const same = commonLength(table, wanted, found);
    last = wanted[same - 1] ?? last;
    if (found.length > same) await to.dropAfter(table, last);
    const missing = wanted.slice(same);
    if (missing.length > 0) await to.add(table, missing);
    isChanged ||= missing.length > 0 || found.length > same;
    last = missing.at(-1) ?? last;
    onRows(wanted.length);
    if (wanted.length < PAGE) return isChanged;
  }
}

/** A row as text: the same for both databases, and what PostgreSQL reads as one. */
export function textOfRow({ columns }: Table, row: SqlRow): string {
  return JSON.stringify(
    Object.fromEntries(
      columns.map((column) => {
        const value = row[column];
        return [column, value instanceof Uint8Array ? `\\x${value.toHex()}` : value];
      }),
    ),
  );
}

function commonLength(table: Table, wanted: readonly SqlRow[], found: readonly SqlRow[]): number {
  const differing = wanted.findIndex((row, index) => {
    const other = found[index];
    return other === undefined || textOfRow(table, row) !== textOfRow(table, other);
  });
  return differing === -1 ? wanted.length : differing;
}
