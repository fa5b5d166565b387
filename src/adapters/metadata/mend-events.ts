/**
 * Puts events right in which one bit is wrong: of all rows that differ from the damaged one by a
 * bit, only the one that was written has the hash that the chain asks for. Rules: L2, U12.
 */
import type { SQLOutputValue } from "node:sqlite";
import { eventHash } from "../../core/canonical.ts";
import type { Digest } from "../../core/digest.ts";
import type { ServedEvent } from "../../core/event.ts";
import type { Sequence } from "../../core/node.ts";
import type { SqliteDatabase, SqlRow } from "../sqlite/database.ts";
import { hex, integer, toBlob, toServedEvent } from "./rows.ts";

/** Numbers are read as JavaScript has them. */
const INTEGER_BITS = 53;
/** Covered by the hash. */
const COLUMNS = [
  ...["time", "device", "op", "batch", "group_end", "kind", "node", "parent", "name"],
  ...["content_kind", "manifest", "depth", "sha256", "size", "executable", "mtime_ns", "target"],
  ...["base_content", "base_place", "conflict_node", "conflict_version", "approval"],
];
/** As bytes, because a flipped bit may have left no text. */
const TEXTS = ["time", "kind", "name", "mtime_ns", "target", "approval"];
const READ = `SELECT *, ${TEXTS.map((name) => `CAST(${name} AS BLOB) AS ${name}_bytes`).join(", ")}
FROM events WHERE`;

export interface MendedEvent {
  readonly event: ServedEvent;
  /** Absent if the event is as it was written. */
  readonly mended?: string;
}

/**
 * @param previousHash of the event before
 * @returns undefined if the event is not there, or cannot be put right
 */
export function mendEvent(
  database: SqliteDatabase,
  folder: number,
  { seq, previousHash }: { readonly seq: Sequence; readonly previousHash: Digest },
): MendedEvent | undefined {
  const row = database.row(`${READ} folder = ? AND seq = ?`, folder, seq);
  if (row === undefined) return bringBack(database, folder, { seq, previousHash });
  const event = asWritten(row, previousHash);
  if (event !== undefined) return { event };
  return restoreColumn(database, row, previousHash) ?? restoreHash(database, row, previousHash);
}

/** A row whose own seq or folder is wrong has the right hash once it has the right ones. */
function bringBack(
  database: SqliteDatabase,
  folder: number,
  { seq, previousHash }: { readonly seq: Sequence; readonly previousHash: Digest },
): MendedEvent | undefined {
  const elsewhere = database.rows(`${READ} seq = ? AND folder <> ?`, seq, folder);
  const moved = [...flippedInteger(seq)].flatMap((other) => {
    const row = database.row(`${READ} folder = ? AND seq = ?`, folder, other);
    return row === undefined ? [] : [row];
  });
  for (const row of [...elsewhere, ...moved]) {
    const event = asWritten({ ...row, seq }, previousHash);
    if (event === undefined) continue;
    const sql = "UPDATE events SET folder = ?, seq = ? WHERE folder = ? AND seq = ?";
    const from = [integer(row, "folder"), integer(row, "seq")] as const;
    database.write("full", () => database.run(sql, folder, seq, ...from));
    return { event, mended: "Its row had another number" };
  }
  return undefined;
}

function restoreColumn(
  database: SqliteDatabase,
  row: SqlRow,
  previousHash: Digest,
): MendedEvent | undefined {
  for (const column of COLUMNS) {
    for (const value of flipped(row, column)) {
      const event = asWritten({ ...row, [column]: value }, previousHash);
      if (event === undefined) continue;
      const sql = `UPDATE events SET ${column} = ? WHERE folder = ? AND seq = ?`;
      database.write("full", () => {
        database.run(sql, value, integer(row, "folder"), integer(row, "seq"));
      });
      return { event, mended: `One bit of its ${column} was wrong` };
    }
  }
  return undefined;
}

/** The fields are right if they give a hash that differs from the recorded one by a single bit. */
function restoreHash(
  database: SqliteDatabase,
  row: SqlRow,
  previousHash: Digest,
): MendedEvent | undefined {
  const event = converted(row, previousHash);
  if (event === undefined) return undefined;
  const hash = eventHash(previousHash, event);
  if (bitsBetween(toBlob(hash), toBlob(event.hash)) !== 1) return undefined;
  const sql = "UPDATE events SET hash = ? WHERE folder = ? AND seq = ?";
  database.write("full", () => {
    database.run(sql, toBlob(hash), integer(row, "folder"), integer(row, "seq"));
  });
  return { event: { ...event, hash }, mended: "One bit of its hash was wrong" };
}

/** @returns undefined if the row's fields do not have the row's hash */
function asWritten(row: SqlRow, previousHash: Digest): ServedEvent | undefined {
  const event = converted(row, previousHash);
  if (event === undefined) return undefined;
  return eventHash(previousHash, event) === hex(row, "hash") ? event : undefined;
}

function converted(row: SqlRow, previousHash: Digest): ServedEvent | undefined {
  try {
    return toServedEvent(row, previousHash);
  } catch (error) {
    // A value of another type than the column's breaks the conversion.
    if (error instanceof TypeError) return undefined;
    throw error;
  }
}

function* flipped(row: SqlRow, column: string): Generator<SQLOutputValue, void> {
  const value = row[column];
  const text = row[`${column}_bytes`];
  if (typeof value === "number") yield* flippedInteger(value);
  else if (text instanceof Uint8Array) yield* flippedText(text);
  else if (value instanceof Uint8Array) yield* flippedBytes(value);
}

function* flippedInteger(value: number): Generator<number, void> {
  for (let bit = 0; bit < INTEGER_BITS; bit += 1) {
    yield Number(BigInt(value) ^ (1n << BigInt(bit)));
  }
}

function* flippedBytes(bytes: Uint8Array): Generator<Uint8Array<ArrayBuffer>, void> {
  for (let bit = 0; bit < bytes.length * 8; bit += 1) {
    const copy = Uint8Array.from(bytes);
    copy[bit >> 3] = (copy[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    yield copy;
  }
}

function* flippedText(bytes: Uint8Array): Generator<string, void> {
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  for (const changed of flippedBytes(bytes)) {
    try {
      yield decoder.decode(changed);
    } catch {
      // No text, so it is not what was written.
    }
  }
}

function bitsBetween(a: Uint8Array, b: Uint8Array): number {
  let count = 0;
  for (const [index, byte] of a.entries()) {
    for (let rest = byte ^ (b[index] ?? 0); rest > 0; rest >>= 1) count += rest & 1;
  }
  return count;
}
