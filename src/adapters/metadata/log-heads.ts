/**
 * Reads how far each log is, beside the server that runs on the data directory. It takes no part in
 * the server's writing: the file is opened read-only. Rules: W1.
 */
import { DatabaseSync } from "node:sqlite";
import type { Epoch, FolderName } from "../../core/identifier.ts";
import type { Sequence } from "../../core/node.ts";
import { hex, integer, text } from "./rows.ts";

export interface LogHead {
  readonly folder: FolderName;
  readonly epoch: Epoch;
  readonly head: Sequence;
}

const HEADS = `
  SELECT name, epoch,
    (SELECT coalesce(max(seq), 0) FROM events WHERE events.folder = folders.id) AS head
  FROM folders ORDER BY name`;

/** @param path `metadata.db` of a data directory */
export function readLogHeads(path: string): readonly LogHead[] {
  const database = new DatabaseSync(path, { readOnly: true });
  try {
    const rows = database.prepare(HEADS).all();
    return rows.map((row) => ({
      folder: text(row, "name"),
      epoch: hex(row, "epoch"),
      head: integer(row, "head"),
    }));
  } finally {
    database.close();
  }
}
