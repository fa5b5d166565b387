/**
 * The tables of the server's metadata in PostgreSQL, version by version. Rules: L1, O1, O6, P1, P2.
 *
 * Columns are named, ordered and valued as in SQLite, so that both read rows alike. Names sort by
 * their bytes (`COLLATE "C"`). No secondary index begins with the folder: a planner without
 * statistics would take any index that does.
 */

/** A number on which all synced servers agree: "meta" in ASCII. */
export const METADATA_LOCK = "1835365473";

const CONTENT_COLUMNS = `
  content_kind smallint NOT NULL,
  manifest bytea,
  depth smallint,
  sha256 bytea,
  size bigint,
  executable smallint,
  mtime_ns text,
  target text`;

/**
 * `objects_version` is compared by every write that relies on objects, under a lock that whoever
 * changes it must wait for. `deletions_from` is the first version since which all deletions of
 * bytes are in `condemned`. `turns` is a row of its own, so that uploads do not change the row that
 * commits lock.
 */
const VERSION_1 = `
CREATE TABLE synced.server (
  singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
  id bytea NOT NULL,
  objects_version bigint NOT NULL DEFAULT 0,
  deletions_from bigint NOT NULL DEFAULT 0
);
CREATE TABLE synced.turns (
  singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
  turn bigint NOT NULL
);
INSERT INTO synced.turns (turn) VALUES (0);

CREATE TABLE synced.folders (
  id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name text COLLATE "C" NOT NULL UNIQUE,
  epoch bytea NOT NULL,
  genesis bytea NOT NULL,
  chunk_min bigint NOT NULL,
  chunk_average bigint NOT NULL,
  chunk_max bigint NOT NULL,
  name_bytes_max integer NOT NULL,
  pruned bigint NOT NULL DEFAULT 0
);

CREATE TABLE synced.events (
  folder integer NOT NULL,
  seq bigint NOT NULL,
  time text COLLATE "C" NOT NULL,
  device bytea NOT NULL,
  op bytea NOT NULL,
  body bytea NOT NULL,
  batch bytea NOT NULL,
  group_end smallint NOT NULL,
  kind text NOT NULL,
  node bytea NOT NULL,
  parent bytea NOT NULL,
  name text COLLATE "C" NOT NULL,
  ${CONTENT_COLUMNS},
  base_content bigint NOT NULL,
  base_place bigint NOT NULL,
  conflict_node bytea,
  conflict_version bigint,
  approval text,
  path text NOT NULL,
  from_path text,
  hash bytea NOT NULL,
  gone smallint NOT NULL,
  PRIMARY KEY (folder, seq)
);
CREATE UNIQUE INDEX events_by_op ON synced.events (op, device, folder);
CREATE INDEX events_by_node ON synced.events (node, folder, seq);
CREATE INDEX events_by_place ON synced.events (parent, folder, name, seq);
CREATE INDEX events_by_sha256 ON synced.events (sha256, folder, gone, seq)
  WHERE sha256 IS NOT NULL;
CREATE INDEX events_by_manifest ON synced.events (manifest, folder, gone)
  WHERE manifest IS NOT NULL;
CREATE INDEX events_by_conflict ON synced.events (folder, seq) WHERE conflict_node IS NOT NULL;

CREATE TABLE synced.nodes (
  folder integer NOT NULL,
  id bytea NOT NULL,
  parent bytea NOT NULL,
  name text COLLATE "C" NOT NULL,
  deleted smallint NOT NULL,
  ${CONTENT_COLUMNS},
  content_version bigint NOT NULL,
  place_version bigint NOT NULL,
  live_name text COLLATE "C" GENERATED ALWAYS AS (CASE WHEN deleted = 0 THEN name END) STORED,
  PRIMARY KEY (folder, id),
  -- Checked at the end of a statement, because two nodes may trade places in one.
  UNIQUE (parent, folder, live_name) DEFERRABLE INITIALLY IMMEDIATE
) WITH (fillfactor = 85);

CREATE TABLE synced.folder_objects (
  folder integer NOT NULL,
  digest bytea NOT NULL,
  depth smallint NOT NULL,
  size bigint NOT NULL,
  touched bigint NOT NULL,
  turn bigint NOT NULL,
  PRIMARY KEY (folder, digest, depth)
);
CREATE INDEX manifests_by_turn ON synced.folder_objects (depth, folder, turn, digest)
  WHERE depth > 0;

CREATE TABLE synced.condemned (
  digest bytea PRIMARY KEY,
  -- The objects' version at which the bytes were gone; null while they are about to go.
  deleted_at bigint
);

CREATE TABLE synced.devices (
  folder integer NOT NULL,
  device bytea NOT NULL,
  -- As JSON: text cannot hold U+0000.
  name text NOT NULL,
  epoch bytea NOT NULL,
  seq bigint NOT NULL,
  hash bytea NOT NULL,
  seen_time text NOT NULL,
  state text NOT NULL,
  PRIMARY KEY (folder, device)
) WITH (fillfactor = 50);
`;

/** Where a bucket's objects are; empty while objects are in a directory. */
const VERSION_2 = `
CREATE TABLE synced.segments (
  id bytea PRIMARY KEY,
  -- Of its objects, without the pack's headers.
  bytes bigint NOT NULL,
  -- 0: on its way to the bucket; 1: there; 2: condemned.
  state smallint NOT NULL,
  -- When that began, in milliseconds.
  since bigint NOT NULL
);

CREATE TABLE synced.objects (
  digest bytea PRIMARY KEY,
  size integer NOT NULL,
  -- Where its bytes are in the bucket; or the bytes.
  segment bytea,
  at integer,
  bytes bytea
);
ALTER TABLE synced.objects ALTER COLUMN bytes SET STORAGE EXTERNAL;
CREATE INDEX objects_by_segment ON synced.objects (segment) WHERE segment IS NOT NULL;
CREATE INDEX objects_waiting ON synced.objects (digest) INCLUDE (size) WHERE segment IS NULL;

CREATE TABLE synced.damage (
  digest bytea PRIMARY KEY,
  -- In milliseconds.
  found bigint NOT NULL,
  healed bigint
);
`;

/** For several servers: whether there may be others, and a key that all of them know. */
const VERSION_3 = `
ALTER TABLE synced.server ADD COLUMN is_shared smallint NOT NULL DEFAULT 0;
ALTER TABLE synced.server ADD COLUMN key text;
`;

/**
 * For data that are moved here, or from here: while `move` says so no server may start. Names that
 * folders had before that are as in SQLite.
 */
const VERSION_4 = `
ALTER TABLE synced.server ADD COLUMN move text;
CREATE TABLE synced.former_names (
  name text COLLATE "C" PRIMARY KEY,
  folder integer
);
`;

/** For several servers: tokens, links and orders, as `records.ts` keeps them. */
const VERSION_5 = `
CREATE TABLE synced.records_version (
  singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
  version bigint NOT NULL
);
INSERT INTO synced.records_version (version) VALUES (0);
CREATE TABLE synced.records (
  kind text COLLATE "C" NOT NULL,
  id text COLLATE "C" NOT NULL,
  body text NOT NULL,
  PRIMARY KEY (kind, id)
);
`;

/** For several servers: which of them tells webhooks, and how far each was told. */
const VERSION_6 = `
CREATE TABLE synced.leases (
  name text COLLATE "C" PRIMARY KEY,
  holder text COLLATE "C" NOT NULL,
  until timestamptz NOT NULL
);
CREATE TABLE synced.webhook_cursors (
  webhook text COLLATE "C" NOT NULL,
  epoch text COLLATE "C" NOT NULL,
  body text NOT NULL,
  PRIMARY KEY (webhook, epoch)
);
`;

/** Entry n brings the tables from version n to n + 1. Released entries are never edited. */
export const POSTGRES_METADATA_MIGRATIONS: readonly string[] = [
  VERSION_1,
  VERSION_2,
  VERSION_3,
  VERSION_4,
  VERSION_5,
  VERSION_6,
];

/** In the order of `eventValues`. */
export const EVENT_COLUMNS = [
  "folder",
  "seq",
  "time",
  "device",
  "op",
  "body",
  "batch",
  "group_end",
  "kind",
  "node",
  "parent",
  "name",
  "content_kind",
  "manifest",
  "depth",
  "sha256",
  "size",
  "executable",
  "mtime_ns",
  "target",
  "base_content",
  "base_place",
  "conflict_node",
  "conflict_version",
  "approval",
  "path",
  "from_path",
  "hash",
] as const;

/** In the order of `nodeValues`. */
export const NODE_COLUMNS = [
  "folder",
  "id",
  "parent",
  "name",
  "deleted",
  "content_kind",
  "manifest",
  "depth",
  "sha256",
  "size",
  "executable",
  "mtime_ns",
  "target",
  "content_version",
  "place_version",
] as const;
