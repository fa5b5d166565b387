/** The tables in PostgreSQL, version by version. Rules: M1, M5. */

/** A number on which all synced servers agree: "synced" in ASCII. */
export const MIGRATION_LOCK = "126943925970276";

/**
 * `path` has no index, because one entry of PostgreSQL's B-tree holds 2,704 bytes and a path up to
 * 4,096. `time` has one, for questions such as "which files changed last night".
 */
const VERSION_1 = `
CREATE TABLE files_log (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  time timestamptz NOT NULL,
  folder text NOT NULL,
  seq bigint NOT NULL,
  action text NOT NULL,
  path text NOT NULL,
  old_path text,
  size bigint,
  sha256 text,
  device text NOT NULL,
  version bigint NOT NULL,
  server_id text NOT NULL,
  epoch text NOT NULL,
  device_id text NOT NULL,
  UNIQUE (server_id, folder, epoch, seq)
);
CREATE INDEX files_log_by_time ON files_log (time);
CREATE TABLE files_log_cursors (
  server_id text NOT NULL,
  folder text NOT NULL,
  epoch text NOT NULL,
  seq bigint NOT NULL,
  hash text,
  PRIMARY KEY (server_id, folder, epoch)
);
COMMENT ON TABLE files_log IS
  'What happened to synced files, one row an event, in order. Written by synced; '
  'deleting old rows is safe.';
COMMENT ON TABLE files_log_cursors IS
  'Up to which event files_log was written. Deleting a row writes that log anew.';
`;

/** Entry n brings the tables from version n to n + 1. Released entries are never edited. */
export const FILES_LOG_MIGRATIONS: readonly string[] = [VERSION_1];
