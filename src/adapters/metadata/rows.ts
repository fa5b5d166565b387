/**
 * Converts between SQLite rows and values of core. The casts are true because the schema's tables
 * are STRICT and only this file's writers fill them. `synced verify` checks the values by hash.
 */
import type { SQLInputValue } from "node:sqlite";
import type { DeviceState } from "../../core/device-state.ts";
import type { Digest } from "../../core/digest.ts";
import type { Event, EventKind, ServedEvent } from "../../core/event.ts";
import { foldEvent } from "../../core/fold.ts";
import type { FolderName } from "../../core/identifier.ts";
import type { Content, RemoteNode } from "../../core/node.ts";
import type {
  DeviceRecord,
  EventRecord,
  FolderRecord,
  FolderUsage,
} from "../../ports/metadata-store.ts";
import type { KnownObject } from "../../ports/object-records.ts";
import type { SqlRow } from "../sqlite/database.ts";

const FILE = 0;
const DIRECTORY = 1;
const SYMLINK = 2;

export function toBlob(hex: string): Uint8Array {
  return Uint8Array.fromHex(hex);
}

/** Decodes a BLOB column to one of the hex brands. */
export function hex<Hex extends string>(row: SqlRow, column: string): Hex {
  return (row[column] as Uint8Array).toHex() as Hex;
}

export function text<Text extends string>(row: SqlRow, column: string): Text {
  return row[column] as Text;
}

export function blob(row: SqlRow, column: string): Uint8Array {
  return row[column] as Uint8Array;
}

export function integer(row: SqlRow, column: string): number {
  return row[column] as number;
}

/** Values for CONTENT_COLUMNS, in their order. */
export function contentValues(content: Content): SQLInputValue[] {
  switch (content.kind) {
    case "file":
      return [
        FILE,
        content.depth === 0 ? null : toBlob(content.manifest),
        content.depth,
        toBlob(content.sha256),
        content.size,
        content.executable ? 1 : 0,
        content.mtimeNs,
        null,
      ];
    case "directory":
      return [DIRECTORY, null, null, null, null, null, null, null];
    case "symlink":
      return [SYMLINK, null, null, null, null, null, null, content.target];
  }
}

export function toContent(row: SqlRow): Content {
  switch (integer(row, "content_kind")) {
    case FILE: {
      const depth = integer(row, "depth");
      const sha256 = hex<Digest>(row, "sha256");
      return {
        kind: "file",
        manifest: depth === 0 ? sha256 : hex(row, "manifest"),
        depth,
        sha256,
        size: integer(row, "size"),
        executable: integer(row, "executable") === 1,
        mtimeNs: text(row, "mtime_ns"),
      };
    }
    case DIRECTORY:
      return { kind: "directory" };
    default:
      return { kind: "symlink", target: text(row, "target") };
  }
}

export function toNode(row: SqlRow): RemoteNode {
  return {
    id: hex(row, "id"),
    parent: hex(row, "parent"),
    name: text(row, "name"),
    content: toContent(row),
    deleted: integer(row, "deleted") === 1,
    contentVersion: integer(row, "content_version"),
    placeVersion: integer(row, "place_version"),
  };
}

export function isDirectory(row: SqlRow): boolean {
  return integer(row, "content_kind") === DIRECTORY;
}

/** @param rows one for each kind of content: the number of nodes, and the sum of their sizes */
export function toUsage(rows: readonly SqlRow[]): Omit<FolderUsage, "seq"> {
  const usage = { files: 0, directories: 0, symlinks: 0, bytes: 0 };
  for (const row of rows) {
    const count = integer(row, "count");
    const kind = integer(row, "content_kind");
    if (kind === DIRECTORY) usage.directories = count;
    else if (kind === SYMLINK) usage.symlinks = count;
    else {
      usage.files = count;
      usage.bytes = integer(row, "bytes");
    }
  }
  return usage;
}

/** The node's state after an event's row. */
export function toNodeAfter(row: SqlRow): RemoteNode {
  return foldEvent(toEvent(row, hex(row, "hash")));
}

export const INSERT_NODE = `
INSERT INTO nodes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (folder, id) DO UPDATE SET
  parent = excluded.parent, name = excluded.name, deleted = excluded.deleted,
  content_kind = excluded.content_kind, manifest = excluded.manifest, depth = excluded.depth,
  sha256 = excluded.sha256, size = excluded.size, executable = excluded.executable,
  mtime_ns = excluded.mtime_ns, target = excluded.target,
  content_version = excluded.content_version, place_version = excluded.place_version`;

export function nodeValues(folder: number, node: RemoteNode): SQLInputValue[] {
  return [
    folder,
    toBlob(node.id),
    toBlob(node.parent),
    node.name,
    node.deleted ? 1 : 0,
    ...contentValues(node.content),
    node.contentVersion,
    node.placeVersion,
  ];
}

export const INSERT_EVENT = `INSERT INTO events VALUES (${Array(28).fill("?").join(", ")}, 0)`;

export function eventValues(folder: number, { event, body }: EventRecord): SQLInputValue[] {
  const { conflictOf } = event;
  return [
    folder,
    event.seq,
    event.time,
    toBlob(event.device),
    toBlob(event.opId),
    toBlob(body),
    toBlob(event.batch),
    event.groupEnd ? 1 : 0,
    event.kind,
    toBlob(event.node),
    toBlob(event.parent),
    event.name,
    ...contentValues(event.content),
    event.baseContent,
    event.basePlace,
    conflictOf === undefined ? null : toBlob(conflictOf.node),
    conflictOf === undefined ? null : conflictOf.version,
    event.approval ?? null,
    event.path,
    event.from ?? null,
    toBlob(event.hash),
  ];
}

/** @param previousHash the hash of the event before, or the genesis hash */
export function toServedEvent(row: SqlRow, previousHash: Digest): ServedEvent {
  const from = row["from_path"];
  const gone = integer(row, "gone") === 1 ? { gone: true } : {};
  const event = { ...toEvent(row, previousHash), path: text(row, "path"), ...gone };
  return from === null ? event : { ...event, from: text(row, "from_path") };
}

function toEvent(row: SqlRow, previousHash: Digest): Event {
  return {
    seq: integer(row, "seq"),
    time: text(row, "time"),
    device: hex(row, "device"),
    opId: hex(row, "op"),
    batch: hex(row, "batch"),
    groupEnd: integer(row, "group_end") === 1,
    kind: text<EventKind>(row, "kind"),
    node: hex(row, "node"),
    parent: hex(row, "parent"),
    name: text(row, "name"),
    content: toContent(row),
    baseContent: integer(row, "base_content"),
    basePlace: integer(row, "base_place"),
    ...(row["conflict_node"] === null
      ? {}
      : {
          conflictOf: {
            node: hex(row, "conflict_node"),
            version: integer(row, "conflict_version"),
          },
        }),
    ...(row["approval"] === null ? {} : { approval: text(row, "approval") }),
    previousHash,
    hash: hex(row, "hash"),
  };
}

export function toFolder(row: SqlRow): FolderRecord {
  return {
    name: text<FolderName>(row, "name"),
    epoch: hex(row, "epoch"),
    genesis: hex(row, "genesis"),
    chunker: {
      minBytes: integer(row, "chunk_min"),
      averageBytes: integer(row, "chunk_average"),
      maxBytes: integer(row, "chunk_max"),
    },
    nameBytesMax: integer(row, "name_bytes_max"),
  };
}

export function toKnownObject(row: SqlRow): KnownObject {
  return {
    digest: hex(row, "digest"),
    depth: integer(row, "depth"),
    size: integer(row, "size"),
  };
}

export function toDevice(row: SqlRow): DeviceRecord {
  return {
    device: hex(row, "device"),
    name: text(row, "name"),
    applied: { epoch: hex(row, "epoch"), seq: integer(row, "seq"), hash: hex(row, "hash") },
    seenTime: text(row, "seen_time"),
    ...(JSON.parse(text(row, "state")) as DeviceState),
  };
}
