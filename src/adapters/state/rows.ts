/**
 * Converts rows of the client's database into nodes, and has the statements that overlay one tree
 * on another.
 * Rules: S1, T1.
 */
import type { SQLInputValue } from "node:sqlite";
import type { Digest } from "../../core/digest.ts";
import { assert } from "../../core/error.ts";
import type { NodeId } from "../../core/identifier.ts";
import type {
  BaseNode,
  Content,
  LocalNode,
  NodeState,
  RemoteNode,
  Sequence,
} from "../../core/node.ts";
import type { OverlayRow } from "./cache.ts";

/**
 * A row as SQLite returns it: columns by name. The types are right because the schema's tables are
 * STRICT.
 */
export interface NodeRow {
  readonly id: NodeId;
  readonly parent: NodeId;
  readonly name: string;
  readonly kind: number;
  readonly manifest: Digest | null;
  readonly depth: number;
  readonly sha256: Digest;
  readonly size: number;
  readonly executable: number;
  readonly mtime: string;
  readonly target: string;
}

export interface LocalRow extends NodeRow {
  readonly identity: string;
  readonly stamp: string;
  readonly conflict_node: NodeId | null;
  readonly conflict_version: Sequence | null;
}

export interface LocalOverlayRow extends LocalRow {
  readonly gone: number;
}

export interface BaseRow extends NodeRow {
  readonly identity: string;
  readonly stamp: string;
  readonly content_version: Sequence;
  readonly place_version: Sequence;
}

export interface RemoteRow extends NodeRow {
  readonly content_version: Sequence;
  readonly place_version: Sequence;
  readonly gone: number;
}

const NODE = "id, parent, name, kind, manifest, depth, sha256, size, executable, mtime, target";
const BASE = `${NODE}, identity, stamp, content_version, place_version`;
const LOCAL = `${NODE}, identity, stamp, conflict_node, conflict_version`;
const BASE_AS_LOCAL = `${NODE}, identity, stamp, NULL AS conflict_node, NULL AS conflict_version`;
const REMOTE = `${NODE}, content_version, place_version, gone`;

/** Base rows without an overlay row, and the overlay's live rows: one statement for a look. */
function overlaid(where: string, overlay: "local" | "remote"): string {
  const ofBase =
    overlay === "local" ? BASE_AS_LOCAL : `${NODE}, content_version, place_version, 0 AS gone`;
  return `SELECT ${ofBase} FROM base WHERE ${where}
      AND NOT EXISTS (SELECT 1 FROM ${overlay} AS o WHERE o.id = base.id)
    UNION ALL
    SELECT ${overlay === "local" ? LOCAL : REMOTE} FROM ${overlay} WHERE ${where} AND gone = 0`;
}

/** True if the table has a row of that node. An index answers, without reading the row. */
function has(table: "base" | "local" | "remote" | "dirty", of: string): string {
  return `EXISTS (SELECT 1 FROM ${table} WHERE id = ${of}.id)`;
}

/** Dirty nodes that only this overlay has, oldest first. */
function dirtyNew(own: "local" | "remote", other: "local" | "remote"): string {
  return `SELECT * FROM (SELECT id FROM ${own} AS o
    WHERE NOT ${has("base", "o")} AND NOT ${has(other, "o")} AND ${has("dirty", "o")}
    ORDER BY rowid LIMIT ?1)`;
}

const BY_ID = "id = ?1";
const BY_PLACE = "parent = ?1 AND name = ?2";
const BY_PARENT = "parent = ?1";

export const READ = {
  base: {
    get: `SELECT ${BASE} FROM base WHERE ${BY_ID}`,
    child: `SELECT ${BASE} FROM base WHERE ${BY_PLACE}`,
    children: `SELECT ${BASE} FROM base WHERE ${BY_PARENT} ORDER BY name`,
  },
  local: {
    child: overlaid(BY_PLACE, "local"),
    children: overlaid(BY_PARENT, "local"),
  },
  remote: {
    child: overlaid(BY_PLACE, "remote"),
    children: overlaid(BY_PARENT, "remote"),
  },
  localByIdentity: `SELECT ${LOCAL} FROM local WHERE identity = ?1 AND gone = 0`,
  baseByIdentity: `SELECT ${BASE_AS_LOCAL} FROM base WHERE identity = ?1
    AND NOT EXISTS (SELECT 1 FROM local AS o WHERE o.id = base.id)`,
  dirtySome: `SELECT id FROM dirty AS d
      WHERE ${has("base", "d")} OR ${has("local", "d")} = ${has("remote", "d")}
    UNION ALL ${dirtyNew("local", "remote")} UNION ALL ${dirtyNew("remote", "local")}`,
  /** A node that is only a tombstone is in no tree. */
  overlaid: `SELECT id FROM local AS o WHERE NOT ${has("dirty", "o")}
    UNION SELECT id FROM remote AS o
      WHERE NOT ${has("dirty", "o")} AND (gone = 0 OR ${has("base", "o")})`,
  localOverlay: `SELECT ${LOCAL}, gone FROM local WHERE ${BY_ID}`,
  remoteOverlay: `SELECT ${REMOTE} FROM remote WHERE ${BY_ID}`,
} as const;

function upsert(table: string, columns: string): string {
  const names = columns.split(", ");
  const marks = names.map((_, index) => `?${index + 1}`).join(", ");
  const updates = names.slice(1).map((name) => `${name} = excluded.${name}`);
  return `INSERT INTO ${table} (${columns}) VALUES (${marks})
    ON CONFLICT (id) DO UPDATE SET ${updates.join(", ")}`;
}

export const WRITE = {
  base: upsert("base", BASE),
  local: upsert("local", `${LOCAL}, gone`),
  remote: upsert("remote", REMOTE),
  /** Gives every base row without an overlay row one that says the same. */
  localFromBase: `INSERT OR IGNORE INTO local (${LOCAL}, gone)
    SELECT ${NODE}, identity, stamp, NULL, NULL, 0 FROM base`,
  remoteFromBase: `INSERT OR IGNORE INTO remote (${REMOTE})
    SELECT ${NODE}, content_version, place_version, 0 FROM base`,
  unmaterialisedDirty: `INSERT OR IGNORE INTO dirty SELECT id FROM remote
    WHERE gone = 0 AND id NOT IN (SELECT id FROM base)`,
  /** Files of the base have nothing below them. */
  unmaterialisedDirtyBelow: `WITH RECURSIVE below (id) AS (
      VALUES (?1)
      UNION SELECT remote.id FROM below JOIN remote ON remote.parent = below.id
        WHERE remote.gone = 0
      UNION SELECT base.id FROM below JOIN base ON base.parent = below.id
        WHERE base.kind = 1 AND base.id NOT IN (SELECT id FROM remote)
    )
    INSERT OR IGNORE INTO dirty SELECT id FROM below JOIN remote USING (id)
      WHERE gone = 0 AND id NOT IN (SELECT id FROM base)`,
} as const;

export function decodeBase(row: BaseRow): BaseNode {
  return {
    id: row.id,
    parent: row.parent,
    name: row.name,
    content: decodeContent(row),
    identity: row.identity,
    stamp: row.stamp,
    contentVersion: row.content_version,
    placeVersion: row.place_version,
  };
}

export function decodeLocal(row: LocalRow): LocalNode {
  const { id, parent, name, identity, stamp } = row;
  const content = decodeContent(row);
  if (row.conflict_node === null || row.conflict_version === null) {
    return { id, parent, name, content, identity, stamp };
  }
  const conflictOf = { node: row.conflict_node, version: row.conflict_version };
  return { id, parent, name, content, identity, stamp, conflictOf };
}

const GONE = { missed: 1, seen: 2 } as const;

export function decodeGone({ gone }: LocalOverlayRow): OverlayRow["gone"] {
  if (gone === 0) return undefined;
  return gone === GONE.seen ? "seen" : "missed";
}

export function decodeRemote(row: RemoteRow): RemoteNode {
  return {
    id: row.id,
    parent: row.parent,
    name: row.name,
    content: decodeContent(row),
    deleted: row.gone === 1,
    contentVersion: row.content_version,
    placeVersion: row.place_version,
  };
}

function decodeContent(row: NodeRow): Content {
  switch (row.kind) {
    case 0:
      return {
        kind: "file",
        manifest: row.manifest ?? row.sha256,
        depth: row.depth,
        sha256: row.sha256,
        size: row.size,
        executable: row.executable === 1,
        mtimeNs: row.mtime,
      };
    case 1:
      return { kind: "directory" };
    default:
      assert(row.kind === 2, `a row's kind is 0, 1 or 2, not ${row.kind}`);
      return { kind: "symlink", target: row.target };
  }
}

function encodeNode(node: NodeState): SQLInputValue[] {
  const { id, parent, name, content } = node;
  switch (content.kind) {
    case "file": {
      const { depth, sha256, size, executable, mtimeNs } = content;
      const manifest = content.manifest === sha256 ? null : content.manifest;
      const bit = executable ? 1 : 0;
      return [id, parent, name, 0, manifest, depth, sha256, size, bit, mtimeNs, null];
    }
    case "directory":
      return [id, parent, name, 1, null, null, null, null, null, null, null];
    case "symlink":
      return [id, parent, name, 2, null, null, null, null, null, null, content.target];
  }
}

export function encodeBase(node: BaseNode): SQLInputValue[] {
  const { identity, stamp, contentVersion, placeVersion } = node;
  return [...encodeNode(node), identity, stamp, contentVersion, placeVersion];
}

export function encodeLocal(node: LocalNode, gone: OverlayRow["gone"]): SQLInputValue[] {
  const { identity, stamp, conflictOf } = node;
  const origin = [conflictOf?.node ?? null, conflictOf?.version ?? null];
  return [...encodeNode(node), identity, stamp, ...origin, gone === undefined ? 0 : GONE[gone]];
}

export function encodeRemote(node: RemoteNode): SQLInputValue[] {
  const { contentVersion, placeVersion, deleted } = node;
  return [...encodeNode(node), contentVersion, placeVersion, deleted ? 1 : 0];
}
