/**
 * The tables of `history.db`. All of it is derived from the log: a file of another version is made
 * again, never migrated. Rules: E1, E2.
 */

export const SPAN_COLUMNS =
  "parent, name, from_seq, to_seq, is_deleted, node, kind, size, mtime_ms, fingerprint";

const TABLES = `
CREATE TABLE folders (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  epoch BLOB NOT NULL,
  seq INTEGER NOT NULL,
  hash BLOB NOT NULL
) STRICT;

CREATE TABLE spans (
  folder INTEGER NOT NULL,
  parent BLOB NOT NULL,
  name TEXT NOT NULL,
  from_seq INTEGER NOT NULL,
  to_seq INTEGER NOT NULL,
  is_deleted INTEGER NOT NULL,
  node BLOB NOT NULL,
  kind INTEGER NOT NULL,
  size INTEGER NOT NULL,
  mtime_ms REAL NOT NULL,
  fingerprint INTEGER NOT NULL,
  PRIMARY KEY (folder, parent, name, from_seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX spans_by_node ON spans (folder, node, from_seq);
CREATE INDEX spans_by_from ON spans (folder, from_seq, to_seq);
CREATE INDEX spans_by_to ON spans (folder, to_seq, from_seq);

CREATE TABLE activity (
  folder INTEGER NOT NULL,
  minute INTEGER NOT NULL,
  device BLOB NOT NULL,
  change INTEGER NOT NULL,
  count INTEGER NOT NULL,
  bytes INTEGER NOT NULL,
  first_seq INTEGER NOT NULL,
  last_seq INTEGER NOT NULL,
  PRIMARY KEY (folder, minute, device, change)
) STRICT, WITHOUT ROWID;
`;

export const HISTORY_MIGRATIONS: readonly string[] = [TABLES];
