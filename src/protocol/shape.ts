/**
 * Reads the shapes that both directions share out of parsed JSON: fields, ids, digests, numbers,
 * content. Written by hand, because pages of a thousand events pass through here and zod takes four
 * times as long.
 * Rules: H8, N3, N7, N8, C2, C4. Each failure carries the code that names it. The client's side
 * turns all of them into `protocol_violation`.
 */
import { type Digest, EMPTY_DIGEST, parseDigest } from "../core/digest.ts";
import { type ErrorCode, SyncedError } from "../core/error.ts";
import { type HexId, type NodeId, parseId } from "../core/identifier.ts";
import { FILE_SIZE_BYTES_MAX, MANIFEST_DEPTH_MAX, OBJECT_SIZE_BYTES_MAX } from "../core/limits.ts";
import type { ConflictOrigin, Content, FileContent, Sequence } from "../core/node.ts";
import { parseSymlinkTarget } from "../core/path.ts";

/** A JSON object, its fields unread. */
export type Fields = Readonly<Record<string, unknown>>;

/**
 * Requests are read strictly: an unknown field is refused. Answers are read tolerantly, because a
 * newer server may send more fields.
 */
export type Strictness = "strict" | "tolerant";

const MTIME = /^(0|-?[1-9][0-9]{0,27})$/;
/** The kernel's seconds have 64 bits. */
const MTIME_NS_MIN = -(2n ** 63n) * 1_000_000_000n;
const MTIME_NS_MAX = 2n ** 63n * 1_000_000_000n - 1n;
/** A text shorter than this cannot overflow an i64. */
const MTIME_SAFE_LENGTH = 18;
const APPROVAL = /^[A-Za-z0-9_-]{1,128}$/;

const FILE_FIELDS: ReadonlySet<string> = new Set([
  "kind",
  "manifest",
  "depth",
  "sha256",
  "size",
  "executable",
  "mtimeNs",
]);
const DIRECTORY_FIELDS: ReadonlySet<string> = new Set(["kind"]);
const SYMLINK_FIELDS: ReadonlySet<string> = new Set(["kind", "target"]);
const CONFLICT_FIELDS: ReadonlySet<string> = new Set(["node", "version"]);

export function refuse(code: ErrorCode, what: string, expected: string): SyncedError {
  return new SyncedError(code, `Cannot use ${what}: expected ${expected}`);
}

function isFields(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** @throws {SyncedError} `malformed_json` unless it is an object; `unknown_field` when strict. */
export function readFields(
  value: unknown,
  what: string,
  known: ReadonlySet<string>,
  strictness: Strictness,
): Fields {
  if (!isFields(value)) throw refuse("malformed_json", what, "an object");
  if (strictness === "strict") {
    for (const key of Object.keys(value)) {
      if (!known.has(key)) {
        throw new SyncedError(
          "unknown_field",
          `Cannot use ${what}: it has an unknown field ${JSON.stringify(key.slice(0, 80))}`,
        );
      }
    }
  }
  return value;
}

/** @throws {SyncedError} `malformed_json`, or `code` if the list is longer than `max`. */
export function readList(
  value: unknown,
  what: string,
  max: number,
  code: ErrorCode = "batch_too_large",
): readonly unknown[] {
  if (!Array.isArray(value)) throw refuse("malformed_json", what, "a list");
  if (value.length > max) throw refuse(code, what, `at most ${max} elements`);
  return value;
}

export function readText(value: unknown, what: string): string {
  if (typeof value !== "string") throw refuse("malformed_json", what, "a string");
  return value;
}

export function readFlag(
  value: unknown,
  what: string,
  code: ErrorCode = "malformed_json",
): boolean {
  if (typeof value !== "boolean") throw refuse(code, what, "true or false");
  return value;
}

/** A whole number in [0, 2^53 - 1], or [0, max]. */
export function readCount(
  value: unknown,
  what: string,
  code: ErrorCode = "invalid_parameter",
  max: number = Number.MAX_SAFE_INTEGER,
): number {
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0 || value > max) {
    throw refuse(code, what, `a whole number from 0 to ${max}`);
  }
  // Turns -0 into 0, because -0 would be stored and hashed otherwise.
  return value + 0;
}

export function readId<Id extends HexId>(value: unknown, what: string): Id {
  if (typeof value !== "string") throw refuse("invalid_id", what, "32 lower-case hex digits");
  return parseId<Id>(value);
}

export function readDigest(value: unknown, what: string): Digest {
  if (typeof value !== "string") throw refuse("invalid_hash", what, "64 lower-case hex digits");
  return parseDigest(value);
}

/** An approval is the id of a held change. Only clients interpret it. */
export function readApproval(value: unknown): string {
  if (typeof value !== "string" || !APPROVAL.test(value)) {
    throw refuse("invalid_id", "the approval", '1 to 128 of A-Z, a-z, 0-9, "_", "-"');
  }
  return value;
}

/** @throws {SyncedError} `invalid_metadata` unless its seconds are a signed 64-bit integer. */
export function readMtimeNs(value: unknown): string {
  if (typeof value === "string" && MTIME.test(value)) {
    if (value.length <= MTIME_SAFE_LENGTH) return value;
    const nanoseconds = BigInt(value);
    if (nanoseconds >= MTIME_NS_MIN && nanoseconds <= MTIME_NS_MAX) return value;
  }
  throw refuse(
    "invalid_metadata",
    "mtimeNs",
    "nanoseconds in decimal, as a string, of at most 64 bits of seconds",
  );
}

export function readConflictOrigin(value: unknown, strictness: Strictness): ConflictOrigin {
  const fields = readFields(value, "conflictOf", CONFLICT_FIELDS, strictness);
  return {
    node: readId<NodeId>(fields["node"], "conflictOf.node"),
    version: readVersion(fields["version"], "conflictOf.version"),
  };
}

export function readVersion(value: unknown, what: string): Sequence {
  return readCount(value, what);
}

/**
 * @throws {SyncedError} `invalid_metadata`, `invalid_manifest`, `invalid_hash`, `malformed_json`,
 * `unknown_field`, `invalid_path`, `path_too_long`
 */
export function readContent(value: unknown, strictness: Strictness): Content {
  if (!isFields(value)) throw refuse("malformed_json", "content", "an object");
  switch (value["kind"]) {
    case "file":
      return readFileContent(readFields(value, "content", FILE_FIELDS, strictness));
    case "directory":
      readFields(value, "content", DIRECTORY_FIELDS, strictness);
      return { kind: "directory" };
    case "symlink": {
      const fields = readFields(value, "content", SYMLINK_FIELDS, strictness);
      return { kind: "symlink", target: parseSymlinkTarget(readText(fields["target"], "target")) };
    }
    default:
      throw refuse("malformed_json", "content.kind", '"file", "directory" or "symlink"');
  }
}

function readFileContent(fields: Fields): FileContent {
  const content: FileContent = {
    kind: "file",
    manifest: readDigest(fields["manifest"], "content.manifest"),
    depth: readCount(fields["depth"], "content.depth", "invalid_manifest", MANIFEST_DEPTH_MAX),
    sha256: readDigest(fields["sha256"], "content.sha256"),
    size: readCount(fields["size"], "content.size", "invalid_metadata", FILE_SIZE_BYTES_MAX),
    executable: readFlag(fields["executable"], "content.executable", "invalid_metadata"),
    mtimeNs: readMtimeNs(fields["mtimeNs"]),
  };
  // A single chunk is its own manifest, so the two digests must be the same. Only an empty content
  // may have the size 0 [C2].
  if (content.depth === 0 && content.manifest !== content.sha256) {
    throw refuse("invalid_manifest", "content.manifest", "sha256 itself at depth 0");
  }
  if (content.depth === 0 && content.size > OBJECT_SIZE_BYTES_MAX) {
    throw refuse("invalid_manifest", "content.size", `at most ${OBJECT_SIZE_BYTES_MAX} at depth 0`);
  }
  if ((content.size === 0) !== (content.sha256 === EMPTY_DIGEST && content.depth === 0)) {
    throw refuse("invalid_manifest", "content.size", "0 for the digest of no bytes, and only then");
  }
  return content;
}
