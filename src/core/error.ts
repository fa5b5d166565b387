/**
 * One error class and one table of codes, with meaning, exit code and HTTP status. A code never
 * changes its meaning. HTTP problems take their titles from here. Rules: H1.
 */

import { EXIT, type ExitCode } from "./exit-code.ts";

interface ErrorKind {
  /** The problem's title: sentence case, no period. */
  readonly title: string;
  /** The status of an HTTP answer with this problem. */
  readonly httpStatus: number;
  /** The exit code of a command that ends with this error. */
  readonly exitCode: ExitCode;
  /** True if the same call may succeed later without a person's help. */
  readonly retriable: boolean;
}

function kind(
  title: string,
  httpStatus: number,
  exitCode: ExitCode = EXIT.failed,
  retriable = false,
): ErrorKind {
  return { title, httpStatus, exitCode, retriable };
}

export const ERROR_KINDS = {
  // Requests
  malformed_json: kind("Body is not acceptable JSON", 400, EXIT.usage),
  unknown_field: kind("Body has an unknown field", 400, EXIT.usage),
  invalid_id: kind("Identifier is malformed", 400, EXIT.usage),
  invalid_hash: kind("Digest is malformed", 400, EXIT.usage),
  invalid_cursor: kind("Cursor is malformed", 400, EXIT.usage),
  invalid_parameter: kind("Parameter is malformed", 400, EXIT.usage),
  invalid_host: kind("Host header is malformed", 400),
  unexpected_body: kind("Method takes no body", 400),
  invalid_folder_name: kind("Folder name is not legal", 400, EXIT.usage),
  idempotency_key_required: kind("Idempotency key is required", 400),
  invalid_idempotency_key: kind("Idempotency key is malformed", 400),
  unauthenticated: kind("Token is missing or wrong", 401, EXIT.unauthorised),
  token_expired: kind("Token has expired", 401, EXIT.unauthorised),
  token_revoked: kind("Token was revoked", 401, EXIT.unauthorised),
  ticket_expired: kind("Ticket has expired", 401, EXIT.unauthorised),
  link_password: kind("Link wants another password", 401, EXIT.unauthorised),
  forbidden: kind("Token does not allow this", 403, EXIT.unauthorised),
  csrf: kind("Cross-site request refused", 403),
  not_found: kind("Not found", 404, EXIT.absent),
  folder_not_found: kind("No such folder", 404, EXIT.usage),
  method_not_allowed: kind("Method is not allowed here", 405),
  not_acceptable: kind("Answer cannot have that type", 406),
  request_timeout: kind("Request came too slowly", 408, EXIT.failed, true),
  version_conflict: kind("Version is not current", 409),
  node_exists: kind("Node exists already", 409),
  node_missing: kind("No such node", 409),
  name_taken: kind("Name is taken", 409),
  parent_missing: kind("Parent directory is missing", 409),
  parent_not_directory: kind("Parent is not a directory", 409),
  cycle: kind("Directory would contain itself", 409),
  directory_not_empty: kind("Directory is not empty", 409),
  kind_change: kind("A node keeps its kind", 409),
  chunk_missing: kind("Chunk or manifest is missing", 409, EXIT.failed, true),
  cursor_ahead: kind("Cursor is ahead of the log", 409, EXIT.absent),
  log_diverged: kind("Cursor is not on this log", 409),
  folder_gone: kind("Folder was deleted", 410, EXIT.unusable),
  version_gone: kind("Version is not kept any more", 410, EXIT.absent),
  link_expired: kind("Link has expired", 410, EXIT.absent),
  cursor_expired: kind("Cursor is older than the log's horizon", 410),
  precondition_failed: kind("Precondition failed", 412),
  body_too_large: kind("Body is too large", 413),
  file_too_large: kind("File is larger than the server takes", 413, EXIT.problems),
  batch_too_large: kind("Batch is too large", 413),
  unsupported_media_type: kind("Body has the wrong type", 415),
  unsupported_encoding: kind("Body must not be encoded", 415),
  range_not_satisfiable: kind("Range is outside the file", 416),
  misdirected_request: kind("Host is not this server", 421, EXIT.wrongServer),
  invalid_path: kind("Path is not legal", 422, EXIT.usage),
  path_too_long: kind("Path is too long", 422, EXIT.usage),
  reserved_name: kind("Name is reserved", 422, EXIT.usage),
  hash_mismatch: kind("Bytes do not have that digest", 422),
  invalid_chunk: kind("Chunk is not legal", 422),
  invalid_manifest: kind("Manifest is not legal", 422),
  invalid_metadata: kind("Metadata is not legal", 422),
  plan_stale: kind("Others changed what the plan is about", 409, EXIT.held),
  plan_mismatch: kind("Plan is another one than was shown", 422, EXIT.held),
  archive_too_large: kind("Archive would have too many entries, or too long names", 422),
  plan_too_large: kind("Plan has too many steps", 422),
  too_many_spans: kind("Too much history for one answer", 422),
  idempotency_key_reused: kind("Op id was used for another op", 422),
  batch_conflict: kind("Batch contradicts itself", 422),
  upgrade_required: kind("Protocol is not supported", 426, EXIT.wrongServer),
  rate_limited: kind("Too many requests", 429, EXIT.failed, true),
  too_many_streams: kind("Too many event streams", 429, EXIT.failed, true),
  internal: kind("Internal error", 500),
  chunk_corrupt: kind("Stored chunk is damaged", 500, EXIT.damage),
  history_pending: kind("History is still being indexed", 503, EXIT.failed, true),
  temporarily_unavailable: kind("Temporarily unavailable", 503, EXIT.failed, true),
  storage_failed: kind("Storage failed and must be looked at", 500, EXIT.unusable),
  quota_exceeded: kind("Folder would be larger than its quota", 507, EXIT.problems),
  storage_full: kind("The server's storage is full", 507, EXIT.failed, true),
  // Commands
  usage: kind("Command line is not valid", 400, EXIT.usage),
  damage_found: kind("Damage found", 500, EXIT.damage),
  held: kind("A change is held for a person", 409, EXIT.held),
  halted: kind("Folder is halted for a person", 409, EXIT.held),
  server_unreachable: kind("Server is unreachable", 503, EXIT.unreachable, true),
  not_a_synced_server: kind("Not a synced server", 502, EXIT.wrongServer),
  untrusted_server: kind("Server's certificate is not trusted", 502, EXIT.wrongServer),
  body_refused: kind("Body was refused on its way", 502, EXIT.problems, true),
  server_changed: kind("Another server than before", 409, EXIT.wrongServer),
  data_in_use: kind("Data directory is in use by another server", 409, EXIT.unusable),
  data_not_writable: kind("Data directory is not writable", 500, EXIT.unusable),
  data_newer: kind("Data was written by a newer version", 500, EXIT.unusable),
  data_older: kind("Data was written by an older version", 500, EXIT.unusable),
  port_in_use: kind("Port is in use", 409, EXIT.unusable),
  invalid_token: kind("Token is not legal", 400, EXIT.usage),
  folder_in_use: kind("Folder is in use by another process", 409, EXIT.inUse),
  folder_nested: kind("Folder lies inside another synced folder", 409, EXIT.usage),
  folder_bound_elsewhere: kind("Folder is bound to another server or name", 409, EXIT.usage),
  folder_not_writable: kind("Folder is not writable", 500, EXIT.unusable),
  folder_unusable: kind("Folder cannot be used", 500, EXIT.usage),
  protocol_violation: kind("Server sent something illegal", 502, EXIT.wrongServer),
  interrupted: kind("Interrupted", 499, EXIT.interrupted),
  false_in_sync: kind("Entries were taken for in sync and are not", 500),
  // File system, one path each
  file_changed: kind("File changed while it was used", 409, EXIT.problems, true),
  file_unreadable: kind("File cannot be read", 409, EXIT.problems, true),
  file_unwritable: kind("File cannot be written", 409, EXIT.problems, true),
  file_protected: kind("File may not be changed by this user", 409, EXIT.problems),
  unsupported_name: kind("Name cannot be synced", 422, EXIT.problems),
  unsupported_kind: kind("Kind of file cannot be synced", 422, EXIT.problems),
  other_file_system: kind("Another file system is mounted there", 409, EXIT.problems),
  formerly_ignored: kind("Path was ignored until another device changed the rules", 409, EXIT.held),
  invalid_ignore_rules: kind("Ignore rules cannot be used", 422, EXIT.problems),
  name_collision: kind("Name collides on this file system", 409, EXIT.problems),
} as const satisfies Record<string, ErrorKind>;

export type ErrorCode = keyof typeof ERROR_KINDS;

export interface ErrorDetails {
  /** The path that failed, relative to the folder or absolute, as the person knows it. */
  readonly path?: string;
  readonly cause?: unknown;
  /** Values for programs, sent as extension members of problem+json. */
  readonly extensions?: Readonly<Record<string, unknown>>;
  /** For how long the server asks not to be called. */
  readonly retryAfterMs?: number | undefined;
}

export class SyncedError extends Error {
  override readonly name = "SyncedError";
  readonly code: ErrorCode;
  readonly path: string | undefined;
  readonly extensions: Readonly<Record<string, unknown>>;
  readonly retryAfterMs: number | undefined;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.path = details.path;
    this.extensions = details.extensions ?? {};
    this.retryAfterMs = details.retryAfterMs;
  }

  get kind(): ErrorKind {
    return ERROR_KINDS[this.code];
  }
}

/** Crashes on a broken invariant, in production too. */
export function assert(condition: unknown, claim: string): asserts condition {
  if (!condition) throw new Error(`Broken invariant: ${claim}`);
}
