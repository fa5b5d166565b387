/**
 * Marks the versions whose time is over. Rules: U7, U8. An event that brings or deletes a content
 * ends the version before it: of the event that brought that, and of all moves since.
 */
import type { Pruned, PruneRequest } from "../../ports/metadata-store.ts";
import type { SqliteDatabase } from "../sqlite/database.ts";
import { blob, integer, text } from "./rows.ts";

const JUDGED = "SELECT pruned AS seq FROM folders WHERE id = ?";
const NEXT = `
SELECT seq, time, kind, node, base_content FROM events
WHERE folder = ? AND seq > ? ORDER BY seq LIMIT ?`;
const MARK = `
UPDATE events INDEXED BY events_by_node SET gone = 1
WHERE folder = ? AND node = ? AND seq BETWEEN ? AND ? AND size > 0 AND gone = 0`;

export function prune(
  database: SqliteDatabase,
  folder: number,
  { before, limit }: PruneRequest,
): Pruned {
  const judged = database.row(JUDGED, folder);
  const from = judged === undefined ? 0 : integer(judged, "seq");
  const rows = database.rows(NEXT, folder, from, limit);
  const end = rows.findIndex((row) => text<string>(row, "time") >= before);
  const old = end === -1 ? rows : rows.slice(0, end);
  const last = old.at(-1);
  if (last === undefined) return { versions: 0, isDone: true };
  const versions = database.write("normal", () => {
    let count = 0;
    for (const row of old) {
      const [kind, from, seq] = [
        text<string>(row, "kind"),
        integer(row, "base_content"),
        integer(row, "seq"),
      ];
      if (kind === "move" || from === 0) continue;
      // A tombstone carries the content that it ended.
      const end = kind === "delete" ? seq : seq - 1;
      if (database.run(MARK, folder, blob(row, "node"), from, end) > 0) count += 1;
    }
    database.run("UPDATE folders SET pruned = ? WHERE id = ?", integer(last, "seq"), folder);
    return count;
  });
  return { versions, isDone: old.length < limit };
}
