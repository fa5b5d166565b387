/**
 * Says what the errors of PostgreSQL and of the network mean to a person, and what to do next.
 * Rules: M4.
 */
import { type ErrorCode, SyncedError } from "../../core/error.ts";
import type { DatabaseAddress } from "./client.ts";

/** A use of a database, in the words of its messages. */
export interface DatabaseUse {
  /** Says that it failed. */
  readonly failure: string;
  /** Where its URL comes from. */
  readonly variable: string;
  /** Says how it goes on. */
  readonly outlook: string;
  /** How a user is let make and write the tables. */
  grant(address: DatabaseAddress): string;
  /** Advice on a table that is not there. */
  readonly lost: string;
  /** Advice on tables that are not as they were made. */
  readonly foreign: string;
}

export const FILES_LOG: DatabaseUse = {
  failure: "Cannot write to files_log",
  variable: "SYNCED_DATABASE_URL",
  outlook: "It is tried again, nothing is missed, sync goes on",
  grant: ({ user, database }) =>
    `Allow it in database "${database}": GRANT CREATE, USAGE ON SCHEMA public TO "${user}"; ` +
    "if another user made them: GRANT SELECT, INSERT, UPDATE, DELETE ON files_log, " +
    `files_log_cursors, files_log_schema TO "${user}"`,
  lost:
    "If files_log was dropped, synced makes and writes it anew. If files_log_cursors was dropped: " +
    "DROP TABLE files_log",
  foreign:
    "Give synced a database of its own, or rename files_log, files_log_cursors and files_log_schema",
};

interface Trouble {
  readonly code: ErrorCode;
  readonly what: string;
  readonly next: string;
}

/**
 * @returns an error whose message holds no credential. It has no cause, because the driver puts the
 * whole query and its parameters there.
 */
export function describeTrouble(
  error: unknown,
  address: DatabaseAddress,
  use: DatabaseUse,
): SyncedError {
  const reason = error instanceof Error ? error.message : String(error);
  const { code, what, next } = troubleOf(stateOf(error), address, use) ?? {
    code: "temporarily_unavailable",
    what: `PostgreSQL at ${address.host} said: ${reason}`,
    next: "",
  };
  const advice = next === "" ? "" : `. ${next}`;
  return new SyncedError(code, `${use.failure}: ${what}${advice}. ${use.outlook}`);
}

/** The SQLSTATE, or the network's error code. */
export function stateOf(error: unknown): string {
  if (typeof error !== "object" || error === null || !("code" in error)) return "";
  return typeof error.code === "string" ? error.code : "";
}

function troubleOf(state: string, address: DatabaseAddress, use: DatabaseUse): Trouble | undefined {
  const { host, user, database } = address;
  switch (state) {
    case "28P01":
    case "28000":
    case "SASL_SIGNATURE_MISMATCH":
      return {
        code: "unauthenticated",
        what: `PostgreSQL at ${host} does not let "${user}" in to database "${database}"`,
        next: `Check the user and password in ${use.variable}, and pg_hba.conf`,
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
        next: use.grant(address),
      };
    case "42P01":
      return {
        code: "temporarily_unavailable",
        what: `database "${database}" at ${host} lacks a table that synced made`,
        next: use.lost,
      };
    case "42P07":
    case "42703":
      return {
        code: "temporarily_unavailable",
        what: `database "${database}" at ${host} has tables of these names that are not as synced made them`,
        next: use.foreign,
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
        next: `Point ${use.variable} at the primary`,
      };
    default:
      return isAway(state) ? awayTrouble(state, host, use) : undefined;
  }
}

/**
 * 08: connection, 53: resources, 57: an operator or a limit. The others come from the runtime and
 * the driver.
 */
export function isAway(state: string): boolean {
  return /^(08|53|57|E[A-Z_]+$|CONNECT|FailedToOpenSocket)/.test(state);
}

/**
 * Uses few words for many codes, so that a restart gives one message although it shows many codes.
 */
function awayTrouble(state: string, host: string, use: DatabaseUse): Trouble {
  const name = /^(ENOTFOUND|EAI_)/.test(state);
  const silence = /TIMEDOUT|TIMEOUT|57014/.test(state);
  const what = name ? "has an unknown host name" : silence ? "does not answer" : "is not reachable";
  return {
    code: "temporarily_unavailable",
    what: `PostgreSQL at ${host} ${what}`,
    next: `Check that it runs and that its address in ${use.variable} is right`,
  };
}
