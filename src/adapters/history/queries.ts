/** The queries of SqliteHistoryStore. One index answers each. */
import type { ListSort } from "../../ports/history-store.ts";
import { SPAN_COLUMNS } from "./schema.ts";

export const FOLDER = "SELECT * FROM folders WHERE name = ?";
export const PUT_FOLDER = `
INSERT INTO folders (name, epoch, seq, hash) VALUES (?, ?, ?, ?)
ON CONFLICT (name) DO UPDATE SET epoch = excluded.epoch, seq = excluded.seq, hash = excluded.hash`;

export const OPEN_SPAN_OF_NODE = `
SELECT ${SPAN_COLUMNS} FROM spans INDEXED BY spans_by_node
WHERE folder = ? AND node = ? ORDER BY from_seq DESC LIMIT 1`;
export const CLOSE_SPAN = `
UPDATE spans SET to_seq = ?, is_deleted = ?
WHERE folder = ? AND parent = ? AND name = ? AND from_seq = ?`;
export const OPEN_SPAN = "INSERT INTO spans VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
export const ADD_ACTIVITY = `
INSERT INTO activity VALUES (?, ?, ?, ?, 1, ?, ?, ?)
ON CONFLICT (folder, minute, device, change) DO UPDATE SET
  count = count + 1, bytes = bytes + excluded.bytes, last_seq = excluded.last_seq`;

export const SPANS_OF_DIRECTORY = `
SELECT ${SPAN_COLUMNS} FROM spans
WHERE folder = ? AND parent = ? AND (name, from_seq) > (?, ?)
ORDER BY name, from_seq LIMIT ?`;

/** Values: folder, parent, seq three times, 1 to have deleted ones too, seq. */
const AT = `
FROM spans AS s WHERE folder = ? AND parent = ? AND from_seq <= ? AND (to_seq > ? OR (
  to_seq <= ? AND is_deleted = ? AND NOT EXISTS (SELECT 1 FROM spans AS later
  WHERE later.folder = s.folder AND later.parent = s.parent AND later.name = s.name
  AND later.from_seq > s.from_seq AND later.from_seq <= ?)))`;

const ORDERS: Readonly<Record<ListSort, string>> = {
  name: "name",
  size: "size",
  time: "mtime_ms",
  changed: "from_seq",
};

export function listAt(sort: ListSort, descending: boolean): string {
  const direction = descending ? "DESC" : "ASC";
  const ties = sort === "name" ? "" : ", name ASC";
  const order = `ORDER BY ${ORDERS[sort]} ${direction}${ties}`;
  return `SELECT ${SPAN_COLUMNS} ${AT} AND name > ? ${order} LIMIT ? OFFSET ?`;
}
export const COUNT_AT = `SELECT count(*) AS count ${AT}`;

export const NODE_AT = `
SELECT ${SPAN_COLUMNS} FROM spans INDEXED BY spans_by_node
WHERE folder = ? AND node = ? AND from_seq <= ? ORDER BY from_seq DESC LIMIT 1`;
export const CHILD_AT = `
SELECT ${SPAN_COLUMNS} FROM spans
WHERE folder = ? AND parent = ? AND name = ? AND from_seq <= ? AND to_seq > ?
ORDER BY from_seq DESC LIMIT 1`;
export const OPENED = `
SELECT ${SPAN_COLUMNS} FROM spans INDEXED BY spans_by_from
WHERE folder = ? AND from_seq > ? AND from_seq <= ? AND to_seq > ? ORDER BY from_seq`;
export const CLOSED = `
SELECT ${SPAN_COLUMNS} FROM spans INDEXED BY spans_by_to
WHERE folder = ? AND to_seq > ? AND to_seq <= ? AND from_seq <= ? ORDER BY to_seq`;

/** Values: folder, six of a slice, then from, to, to, from, to, from. */
export const CROSSING = `
SELECT ${SPAN_COLUMNS} FROM spans
WHERE folder = ? AND (parent, name, from_seq) > (?, ?, ?)
AND (parent, name, from_seq) <= (?, ?, ?)
AND ((from_seq > ? AND from_seq <= ? AND to_seq > ?)
  OR (to_seq > ? AND to_seq <= ? AND from_seq <= ?))
ORDER BY parent, name, from_seq`;

/** The key of the last span of a slice. */
export const SLICE_END = `
SELECT parent, name, from_seq FROM spans
WHERE folder = ? AND (parent, name, from_seq) > (?, ?, ?)
ORDER BY parent, name, from_seq LIMIT 1 OFFSET ?`;
export const SEARCH = `
SELECT ${SPAN_COLUMNS} FROM spans
WHERE folder = ? AND (parent, name, from_seq) > (?, ?, ?)
AND (parent, name, from_seq) <= (?, ?, ?) AND name LIKE ? ESCAPE '\\'
ORDER BY parent, name, from_seq`;

export const ACTIVITY = `
SELECT * FROM activity WHERE folder = ? AND last_seq > ? AND first_seq <= ?
ORDER BY minute, device, change`;
