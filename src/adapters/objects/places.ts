/** The rows that say where in a segment an object is, and what may be wrong with them. Rules: I37. */
import { type Digest, digestToBytes } from "../../core/digest.ts";
import { OBJECT_SIZE_BYTES_MAX } from "../../core/limits.ts";
import { hex, integer } from "../metadata/rows.ts";
import type { SqliteDatabase } from "../sqlite/database.ts";
import type { SegmentPlace } from "./segments.ts";

export function placeIn(db: SqliteDatabase, digest: Digest): SegmentPlace | undefined {
  const sql = "SELECT segment, offset, size FROM places WHERE digest = ?";
  const row = db.row(sql, digestToBytes(digest));
  if (row === undefined) return undefined;
  const [segment, offset] = [integer(row, "segment"), integer(row, "offset")];
  return { segment, offset, size: integer(row, "size") };
}

/** No memory is made for a size that no object has. */
export function isPossible({ offset, size }: SegmentPlace): boolean {
  return offset >= 0 && size >= 0 && size <= OBJECT_SIZE_BYTES_MAX;
}

/** A segment's last object is read rightly although its row says that it is longer. */
export function placesBeyond(db: SqliteDatabase): readonly string[] {
  const sql = `SELECT digest, segment FROM places JOIN segments ON number = segment
    WHERE offset + size > bytes`;
  return db.rows(sql).map((row) => {
    const segment = integer(row, "segment");
    return `the row of object ${hex(row, "digest")} goes beyond the end of segment ${segment}`;
  });
}

/** @param size of the object's bytes, whose digest was compared */
export function correctSize(db: SqliteDatabase, digest: Digest, size: number): void {
  const sql = "UPDATE places SET size = ? WHERE digest = ?";
  db.write("normal", () => db.run(sql, size, digestToBytes(digest)));
}
