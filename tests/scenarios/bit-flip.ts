/** Flips one bit of a server's data, anywhere in its rows and segments, and says whose it was. */
import { closeSync, openSync, readdirSync, readSync, statSync, writeSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";

export interface Flip {
  readonly what: string;
  /** Digest of the object that it is about. */
  readonly digest?: string;
  /** Path of the event, or name of the node, that it is about. */
  readonly path?: string;
  /** Puts the bit back. */
  readonly undo: () => void;
}

/** Below a bound. */
export type Draw = (bound: number) => number;

type Row = Record<string, unknown>;

const KEYS: Readonly<Record<string, readonly string[]>> = {
  objects: ["digest"],
  places: ["digest"],
  events: ["folder", "seq"],
  nodes: ["folder", "id"],
  folder_objects: ["folder", "digest", "depth"],
};
/** When an object was last asked about, and in which order recorded: any that was is as good. */
const UNCHECKED = ["touched", "turn"];
const KINDS = ["segment", ...Object.keys(KEYS)];

/** @param nth decides in what, so that each kind has its turn */
export function flipBit(data: string, nth: number, draw: Draw): Flip {
  for (;;) {
    const kind = KINDS[nth % KINDS.length] ?? "";
    const flip = kind === "segment" ? flipSegment(data, draw) : flipRow(data, kind, draw);
    if (flip !== undefined) return flip;
  }
}

function flipSegment(data: string, draw: Draw): Flip | undefined {
  const database = open(data, "objects.db");
  const places = database.prepare("SELECT * FROM places ORDER BY digest").all();
  database.close();
  const place: Row = places[draw(places.length)] ?? {};
  const [segment, offset, size] = ["segment", "offset", "size"].map((name) => Number(place[name]));
  const path = pathOf(data, String(segment));
  if (path === undefined || offset === undefined || size === undefined) return undefined;
  const at = offset + draw(size);
  const bit = 1 << draw(8);
  flipAt(path, at, bit);
  const undo = () => flipAt(path, at, bit);
  return { what: `segment ${segment} byte ${at}`, digest: hexOf(place["digest"]), undo };
}

function flipAt(path: string, at: number, bit: number): void {
  const file = openSync(path, "r+");
  const byte = new Uint8Array(1);
  readSync(file, byte, 0, 1, at);
  byte[0] = (byte[0] ?? 0) ^ bit;
  writeSync(file, byte, 0, 1, at);
  closeSync(file);
}

function pathOf(data: string, segment: string): string | undefined {
  const directory = join(data, "objects", "segments");
  const paths = readdirSync(directory).map((group) => join(directory, group, segment));
  return paths.find((path) => statSync(path, { throwIfNoEntry: false }) !== undefined);
}

/** @returns undefined if SQLite did not take it */
function flipRow(data: string, table: string, draw: Draw): Flip | undefined {
  const database = open(data, KEYS[table]?.length === 1 ? "objects.db" : "metadata.db");
  try {
    database.exec("PRAGMA foreign_keys = OFF");
    const keys = KEYS[table] ?? [];
    const rows = database.prepare(`SELECT * FROM ${table} ORDER BY ${keys.join(", ")}`).all();
    const row: Row = rows[draw(rows.length)] ?? {};
    const columns = Object.keys(row).filter((name) => !UNCHECKED.includes(name));
    const column = columns[draw(columns.length)] ?? "";
    const where = keys.map((name) => `${name} = ?`).join(" AND ");
    const at = keys.map((name) => boundValue(row[name]));
    const raw = database.prepare(
      `SELECT CAST(${column} AS BLOB) AS raw FROM ${table} WHERE ${where}`,
    );
    const flipped = flippedValue(row[column], raw.get(...at)?.["raw"], draw);
    if (flipped === undefined) return undefined;
    const value = typeof row[column] === "string" ? "CAST(? AS TEXT)" : "?";
    database.prepare(`UPDATE ${table} SET ${column} = ${value} WHERE ${where}`).run(flipped, ...at);
    const path = typeof row["path"] === "string" ? row["path"] : row["name"];
    const undo = () => {
      const again = open(data, "objects.db");
      const there = keys.map((name) => (name === column ? flipped : boundValue(row[name])));
      const sql = `UPDATE ${table} SET ${column} = ? WHERE ${where}`;
      again.prepare(sql).run(boundValue(row[column]), ...there);
      again.close();
    };
    return {
      undo,
      what: `${table}.${column} of ${JSON.stringify(at.map(shown))}`,
      ...(row["digest"] === undefined ? {} : { digest: hexOf(row["digest"]) }),
      ...(typeof path === "string" ? { path } : {}),
    };
  } catch (error) {
    if (error instanceof Error && /constraint/i.test(error.message)) return undefined;
    throw error;
  } finally {
    database.close();
  }
}

function flippedValue(value: unknown, raw: unknown, draw: Draw): number | Uint8Array | undefined {
  if (typeof value === "number") return Number(BigInt(value) ^ (1n << BigInt(draw(40))));
  if (!(raw instanceof Uint8Array) || raw.length === 0) return undefined;
  const bytes = Uint8Array.from(raw);
  const bit = draw(bytes.length * 8);
  bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7));
  return bytes;
}

function open(data: string, file: string): DatabaseSync {
  return new DatabaseSync(join(data, file));
}

function boundValue(value: unknown): number | string | Uint8Array {
  if (value instanceof Uint8Array || typeof value === "number") return value;
  return String(value);
}

function hexOf(value: unknown): string {
  return value instanceof Uint8Array ? value.toHex() : "";
}

function shown(value: number | string | Uint8Array): number | string {
  return value instanceof Uint8Array ? value.toHex() : value;
}
