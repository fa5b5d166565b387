/** Conditional and range requests on files: RFC 9110, sections 13 and 14. Rules: H7, B80, B81. */

import { type Digest, isDigest } from "../core/digest.ts";
import { SyncedError } from "../core/error.ts";
import type { ByteRange } from "../core/manifest-walk.ts";

/**
 * The entity tags that a header names. Tags that are not of this server's form match nothing and
 * are left out.
 */
export interface EntityTags {
  /** For If-Match, which compares strongly. */
  readonly strong: readonly Digest[];
  /** For If-None-Match, which also accepts weak ones. */
  readonly any: readonly Digest[];
}

/** The repeats do not overlap, so that a stranger's header cannot make it backtrack. */
const ENTITY_TAGS = /^(?:W\/)?"[\x21\x23-\x7e]*"(?:[ \t]*,[ \t]*(?:W\/)?"[\x21\x23-\x7e]*")*$/;
const ENTITY_TAG = /(W\/)?"([\x21\x23-\x7e]*)"/g;
/** Enough for a header that names a hundred of our tags. */
const HEADER_LENGTH_MAX = 8192;
const RANGE = /^bytes=\s*([0-9]{0,16})-([0-9]{0,16})\s*$/;

export function etagOf(sha256: Digest): string {
  return `"${sha256}"`;
}

/**
 * @returns undefined if the header is absent.
 * @throws {SyncedError} `invalid_parameter` if it is neither "*" nor a list of entity tags
 */
export function parseMatch(header: string | null, name: string): EntityTags | "*" | undefined {
  if (header === null) return undefined;
  if (header.trim() === "*") return "*";
  if (header.length > HEADER_LENGTH_MAX || !ENTITY_TAGS.test(header.trim())) {
    throw new SyncedError("invalid_parameter", `Cannot use ${name}: expected "*" or entity tags`);
  }
  const strong: Digest[] = [];
  const any: Digest[] = [];
  for (const [, weak, tag = ""] of header.matchAll(ENTITY_TAG)) {
    if (!isDigest(tag)) continue;
    any.push(tag);
    if (weak === undefined) strong.push(tag);
  }
  return { strong, any };
}

/**
 * If-Range: true if the file is still the one of which the requester has a part. Only then a range
 * is served.
 */
export function wantsRange(ifRange: string | null, etag: string): boolean {
  return ifRange === null || ifRange.trim() === etag;
}

/**
 * Parses one range of bytes.
 *
 * @returns undefined if the whole file is to be sent: no header, another unit, bad syntax, or
 * several ranges (RFC 9110 lets a server ignore those, and serving them would multiply the work).
 * @throws {SyncedError} `range_not_satisfiable`
 */
export function parseRange(header: string | null, size: number): ByteRange | undefined {
  const match = RANGE.exec(header ?? "");
  if (match === null) return undefined;
  const [, first = "", last = ""] = match;
  if (first === "" && last === "") return undefined;
  if (first === "") return satisfiable(Math.max(0, size - Number(last)), size, size);
  if (last !== "" && Number(last) < Number(first)) return undefined;
  return satisfiable(Number(first), last === "" ? size : Math.min(size, Number(last) + 1), size);
}

function satisfiable(start: number, end: number, size: number): ByteRange {
  if (start < end && start < size) return { start, end };
  throw new SyncedError(
    "range_not_satisfiable",
    `Cannot send that range: the file has ${size} bytes`,
    {
      extensions: { size },
    },
  );
}
