/**
 * Reads what all devices last reported, beside the server that runs on the data directory. Rules:
 * K5. It takes no part in the server's writing: the file is opened read-only.
 */
import { DatabaseSync } from "node:sqlite";
import type { DeviceId, FolderName } from "../../core/identifier.ts";
import type { Sequence } from "../../core/node.ts";
import { hex, integer, text } from "./rows.ts";

export interface ReportedDevice {
  readonly folder: FolderName;
  readonly device: DeviceId;
  readonly name: string;
  readonly appliedSeq: Sequence;
  readonly headSeq: Sequence;
  /** As RFC 3339, in UTC. */
  readonly seenTime: string;
}

const REPORTS = `
  SELECT folders.name AS folder, device, devices.name AS name, seq, seen_time,
    (SELECT coalesce(max(seq), 0) FROM events WHERE events.folder = folders.id) AS head
  FROM devices JOIN folders ON folders.id = devices.folder
  ORDER BY folders.name, device`;

/** @param path `metadata.db` of a data directory */
export function readReportedDevices(path: string): readonly ReportedDevice[] {
  const database = new DatabaseSync(path, { readOnly: true });
  try {
    const rows = database.prepare(REPORTS).all();
    return rows.map((row) => ({
      folder: text(row, "folder"),
      device: hex(row, "device"),
      name: text(row, "name"),
      appliedSeq: integer(row, "seq"),
      headSeq: integer(row, "head"),
      seenTime: text(row, "seen_time"),
    }));
  } finally {
    database.close();
  }
}
