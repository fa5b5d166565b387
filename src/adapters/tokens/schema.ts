/** The tables of the server's tokens, version by version. Rules: K2. */

/** `folders` is null for all of them, else names with spaces between them. */
const VERSION_1 = `
CREATE TABLE tokens (
  id TEXT PRIMARY KEY,
  digest TEXT NOT NULL,
  label TEXT NOT NULL,
  access TEXT NOT NULL CHECK (access IN ('read', 'write', 'admin')),
  folders TEXT,
  created_ms INTEGER NOT NULL,
  expires_ms INTEGER,
  revoked_ms INTEGER,
  used_ms INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE token_devices (
  token TEXT NOT NULL,
  folder TEXT NOT NULL,
  device TEXT NOT NULL,
  seen_ms INTEGER NOT NULL,
  PRIMARY KEY (token, folder, device)
) STRICT, WITHOUT ROWID;
`;

const VERSION_2 = `
CREATE TABLE invites (
  digest TEXT PRIMARY KEY,
  label TEXT NOT NULL,
  access TEXT NOT NULL CHECK (access IN ('read', 'write', 'admin')),
  folders TEXT,
  created_ms INTEGER NOT NULL,
  expires_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
`;

const VERSION_3 = `
CREATE TABLE links (
  id TEXT PRIMARY KEY,
  digest TEXT NOT NULL,
  folder TEXT NOT NULL,
  node TEXT NOT NULL,
  path TEXT NOT NULL,
  at INTEGER,
  password TEXT,
  token TEXT,
  created_ms INTEGER NOT NULL,
  expires_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
`;

/** `sending_to` is null while no delivery is under way. */
const VERSION_4 = `
CREATE TABLE webhooks (
  id TEXT PRIMARY KEY,
  url TEXT NOT NULL,
  secret TEXT NOT NULL,
  filter TEXT NOT NULL,
  folders TEXT,
  created_ms INTEGER NOT NULL,
  failing_since_ms INTEGER,
  trouble TEXT,
  stopped INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE webhook_cursors (
  webhook TEXT NOT NULL,
  epoch TEXT NOT NULL,
  seq INTEGER NOT NULL,
  sending_to INTEGER,
  PRIMARY KEY (webhook, epoch)
) STRICT, WITHOUT ROWID;
`;

/** Entry n brings a database from version n to n + 1. Released entries are never edited. */
export const TOKEN_MIGRATIONS: readonly string[] = [VERSION_1, VERSION_2, VERSION_3, VERSION_4];
