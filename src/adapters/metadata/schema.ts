/** The tables of the server's metadata, version by version. Rules: L1, L5, O1, O3, O6, U1. */

/**
 * The columns for a content in `nodes` and `events`. `manifest` is null at depth 0, because it
 * equals `sha256` there.
 */
const CONTENT_COLUMNS = `
  content_kind INTEGER NOT NULL,
  manifest BLOB,
  depth INTEGER,
  sha256 BLOB,
  size INTEGER,
  executable INTEGER,
  mtime_ns TEXT,
  target TEXT`;

/**
 * Identifiers and digests are BLOBs, because they take half the room of hex in the table and in
 * every index.
 */
const VERSION_1 = `
CREATE TABLE server (
  singleton INTEGER PRIMARY KEY CHECK (singleton = 1),
  id BLOB NOT NULL
) STRICT;

CREATE TABLE folders (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  epoch BLOB NOT NULL,
  genesis BLOB NOT NULL,
  chunk_min INTEGER NOT NULL,
  chunk_average INTEGER NOT NULL,
  chunk_max INTEGER NOT NULL,
  name_bytes_max INTEGER NOT NULL
) STRICT;

CREATE TABLE events (
  folder INTEGER NOT NULL REFERENCES folders (id),
  seq INTEGER NOT NULL,
  time TEXT NOT NULL,
  device BLOB NOT NULL,
  op BLOB NOT NULL,
  body BLOB NOT NULL,
  batch BLOB NOT NULL,
  group_end INTEGER NOT NULL,
  kind TEXT NOT NULL,
  node BLOB NOT NULL,
  parent BLOB NOT NULL,
  name TEXT NOT NULL,
  ${CONTENT_COLUMNS},
  base_content INTEGER NOT NULL,
  base_place INTEGER NOT NULL,
  conflict_node BLOB,
  conflict_version INTEGER,
  approval TEXT,
  path TEXT NOT NULL,
  from_path TEXT,
  hash BLOB NOT NULL,
  PRIMARY KEY (folder, seq)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX events_by_op ON events (folder, device, op);
CREATE INDEX events_by_node ON events (folder, node, seq);
CREATE INDEX events_by_place ON events (folder, parent, name, seq);
CREATE INDEX events_by_sha256 ON events (folder, sha256, seq) WHERE sha256 IS NOT NULL;

CREATE TABLE nodes (
  folder INTEGER NOT NULL REFERENCES folders (id),
  id BLOB NOT NULL,
  parent BLOB NOT NULL,
  name TEXT NOT NULL,
  deleted INTEGER NOT NULL,
  ${CONTENT_COLUMNS},
  content_version INTEGER NOT NULL,
  place_version INTEGER NOT NULL,
  PRIMARY KEY (folder, id)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX nodes_by_place ON nodes (folder, parent, name) WHERE deleted = 0;

CREATE TABLE folder_objects (
  folder INTEGER NOT NULL REFERENCES folders (id),
  digest BLOB NOT NULL,
  depth INTEGER NOT NULL,
  size INTEGER NOT NULL,
  PRIMARY KEY (folder, digest, depth)
) STRICT, WITHOUT ROWID;

CREATE TABLE devices (
  folder INTEGER NOT NULL REFERENCES folders (id),
  device BLOB NOT NULL,
  name TEXT NOT NULL,
  epoch BLOB NOT NULL,
  seq INTEGER NOT NULL,
  hash BLOB NOT NULL,
  seen_time TEXT NOT NULL,
  PRIMARY KEY (folder, device)
) STRICT, WITHOUT ROWID;
`;

/** Objects can be forgotten. Rows of before count as touched long ago. */
const VERSION_2 = `
ALTER TABLE server ADD COLUMN objects_version INTEGER NOT NULL DEFAULT 0;
ALTER TABLE server ADD COLUMN objects_turn INTEGER NOT NULL DEFAULT 0;

ALTER TABLE folder_objects ADD COLUMN touched INTEGER NOT NULL DEFAULT 0;
ALTER TABLE folder_objects ADD COLUMN turn INTEGER NOT NULL DEFAULT 0;
CREATE INDEX manifests_by_turn ON folder_objects (folder, depth, turn) WHERE depth > 0;

CREATE TABLE condemned (digest BLOB PRIMARY KEY) STRICT, WITHOUT ROWID;

CREATE INDEX events_by_manifest ON events (folder, manifest) WHERE manifest IS NOT NULL;
`;

/** Names that folders had before they were renamed; with no folder, those of deleted ones. */
const VERSION_3 = `
CREATE TABLE former_names (
  name TEXT PRIMARY KEY,
  folder INTEGER REFERENCES folders (id)
) STRICT, WITHOUT ROWID;
`;

/**
 * The bytes of an event's version may be gone. The indexes of contents have that first, so that
 * "does a kept event name it?" is one look.
 */
const VERSION_4 = `
ALTER TABLE events ADD COLUMN gone INTEGER NOT NULL DEFAULT 0;
DROP INDEX events_by_sha256;
CREATE INDEX events_by_sha256 ON events (folder, sha256, gone, seq) WHERE sha256 IS NOT NULL;
DROP INDEX events_by_manifest;
CREATE INDEX events_by_manifest ON events (folder, manifest, gone) WHERE manifest IS NOT NULL;
ALTER TABLE folders ADD COLUMN pruned INTEGER NOT NULL DEFAULT 0;
`;

/** How devices are, as JSON; and where the conflict copies are. */
const VERSION_5 = `
ALTER TABLE devices ADD COLUMN state TEXT NOT NULL DEFAULT '{}';
CREATE INDEX events_by_conflict ON events (folder, seq) WHERE conflict_node IS NOT NULL;
`;

/** Entry n brings a database from version n to n + 1. Released entries are never edited. */
export const METADATA_MIGRATIONS: readonly string[] = [
  VERSION_1,
  VERSION_2,
  VERSION_3,
  VERSION_4,
  VERSION_5,
];
