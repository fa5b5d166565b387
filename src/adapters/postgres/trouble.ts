/**
 * Says what the errors of PostgreSQL and of the network mean to a person, and what to do next.
 * Rules: M4.
 */
import { type ErrorCode, SyncedError } from "../../core/error.ts";

export interface SinkAddress {
  /** Host and port, or a socket's path. */
  readonly host: string;
  readonly user: string;
  readonly database: string;
}

interface Trouble {
  readonly code: ErrorCode;
  readonly what: string;
  readonly next: string;
}

/**
 * @returns an error whose message holds no credential. It has no cause, because the driver puts the
 * whole query and its parameters there.
 */
export function describeTrouble(error: unknown, address: SinkAddress): SyncedError {
  const reason = error instanceof Error ? error.message : String(error);
  const state = codeOf(error);
  const { code, what, next } = troubleOf(state, address) ?? {
    code: "temporarily_unavailable",
    what: `PostgreSQL at ${address.host} said: ${reason}`,
    next: "",
  };
  const advice = next === "" ? "" : `. ${next}`;
  return new SyncedError(
    code,
    `Cannot write to files_log: ${what}${advice}. It is tried again, nothing is missed, sync goes on`,
  );
}

/** The SQLSTATE, or the network's error code. */
function codeOf(error: unknown): string {
  if (typeof error !== "object" || error === null || !("code" in error)) return "";
  return typeof error.code === "string" ? error.code : "";
}

function troubleOf(state: string, { host, user, database }: SinkAddress): Trouble | undefined {
  switch (state) {
    case "28P01":
    case "28000":
    case "SASL_SIGNATURE_MISMATCH":
      return {
        code: "unauthenticated",
        what: `PostgreSQL at ${host} does not let "${user}" in to database "${database}"`,
        next: "Check the user and password in SYNCED_DATABASE_URL, and pg_hba.conf",
      };
    case "3D000":
      return {
        code: "not_found",
        what: `PostgreSQL at ${host} has no database "${database}"`,
        next: `Create it: CREATE DATABASE "${database}" ENCODING 'UTF8'`,
      };
    case "42501":
      return {
        code: "forbidden",
        what: `PostgreSQL at ${host} does not let "${user}" make or write the tables`,
        next:
          `Allow it in database "${database}": GRANT CREATE, USAGE ON SCHEMA public TO "${user}"; ` +
          "if another user made them: GRANT SELECT, INSERT, UPDATE, DELETE ON files_log, " +
          `files_log_cursors, files_log_schema TO "${user}"`,
      };
    case "42P01":
      return {
        code: "temporarily_unavailable",
        what: `database "${database}" at ${host} lacks a table that synced made`,
        next:
          "If files_log was dropped, synced makes and writes it anew. If files_log_cursors was dropped: " +
          "DROP TABLE files_log",
      };
    case "42P07":
    case "42703":
      return {
        code: "temporarily_unavailable",
        what: `database "${database}" at ${host} has tables of these names that are not as synced made them`,
        next: "Give synced a database of its own, or rename files_log, files_log_cursors and files_log_schema",
      };
    case "53100":
      return {
        code: "storage_full",
        what: `the disk of PostgreSQL at ${host} is full`,
        next: "Make room there",
      };
    case "25006":
      return {
        code: "temporarily_unavailable",
        what: `PostgreSQL at ${host} is read-only`,
        next: "Point SYNCED_DATABASE_URL at the primary",
      };
    default:
      return isAway(state) ? awayTrouble(state, host) : undefined;
  }
}

/**
 * 08: connection, 53: resources, 57: an operator or a limit. The others come from the runtime and
 * the driver.
 */
function isAway(state: string): boolean {
  return /^(08|53|57|E[A-Z_]+$|CONNECT|FailedToOpenSocket)/.test(state);
}

/**
 * Uses few words for many codes, so that a restart gives one message although it shows many codes.
 */
function awayTrouble(state: string, host: string): Trouble {
  const name = /^(ENOTFOUND|EAI_)/.test(state);
  const silence = /TIMEDOUT|TIMEOUT|57014/.test(state);
  const what = name ? "has an unknown host name" : silence ? "does not answer" : "is not reachable";
  return {
    code: "temporarily_unavailable",
    what: `PostgreSQL at ${host} ${what}`,
    next: "Check that it runs and that its address in SYNCED_DATABASE_URL is right",
  };
}
