/**
 * The client's edge: a server's answer becomes core values, or `protocol_violation`. A newer server
 * may send unknown fields, which are passed over. It never gets names, ids or sizes accepted that
 * the core would refuse.
 * Rules: H5, H8, L1, L5, N1-N8.
 */
import { z } from "zod/mini";
import { parseServedProfile } from "../core/chunker.ts";
import type { GivenOrder } from "../core/device-order.ts";
import { type Digest, parseDigest } from "../core/digest.ts";
import { assert, ERROR_KINDS, SyncedError } from "../core/error.ts";
import { EVENT_KINDS, type EventKind, type ServedEvent } from "../core/event.ts";
import {
  type BatchId,
  type DeviceId,
  type Epoch,
  type NodeId,
  type OpId,
  type OrderId,
  parseFolderName,
  parseId,
  type ServerId,
} from "../core/identifier.ts";
import {
  INLINE_BYTES_MAX,
  OBJECTS_PER_REQUEST_MAX,
  OPS_PER_GROUP_MAX,
  ORDERS_PER_FOLDER_MAX,
  PATH_BYTES_MAX,
} from "../core/limits.ts";
import type { Content, RemoteNode } from "../core/node.ts";
import type { Batch, BatchResult, GroupResult, RefusalCode } from "../core/op.ts";
import { parseName, parsePath, parseSymlinkTarget } from "../core/path.ts";
import type {
  EventPage,
  FolderCreation,
  Hello,
  HistoryPart,
  IndexEntry,
  IndexPage,
  StreamMessage,
  TreePage,
} from "./messages.ts";
import {
  type Fields,
  readApproval,
  readConflictOrigin,
  readContent,
  readCount,
  readDigest,
  readFields,
  readFlag,
  readId,
  readList,
  readMtimeNs,
  readText,
  readVersion,
  refuse,
} from "./shape.ts";

/** Answers are read tolerantly, so no field is refused. */
const ANY_FIELDS: ReadonlySet<string> = new Set();
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;
/** Base64 of the largest inlined file. */
const INLINE_LENGTH_MAX = Math.ceil(INLINE_BYTES_MAX / 3) * 4;
/** RFC 4648, section 4, with its padding and nothing else. */
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

const REFUSAL_CODES: ReadonlySet<string> = new Set<RefusalCode>([
  "version_conflict",
  "node_exists",
  "node_missing",
  "name_taken",
  "parent_missing",
  "parent_not_directory",
  "cycle",
  "directory_not_empty",
  "kind_change",
  "chunk_missing",
  "invalid_manifest",
  "file_too_large",
  "quota_exceeded",
  "invalid_path",
  "reserved_name",
  "path_too_long",
  "idempotency_key_reused",
]);

const count = z.int().check(z.minimum(0));

const helloSchema = z.object({
  serverId: z.pipe(
    z.string(),
    z.transform((text) => parseId<ServerId>(text)),
  ),
  protocol: count,
  features: z.array(z.string().check(z.maxLength(64))).check(z.maxLength(100)),
  limits: z.record(z.string().check(z.maxLength(64)), count),
});

const folderCreationSchema = z.object({
  name: z.pipe(z.string(), z.transform(parseFolderName)),
  epoch: z.pipe(
    z.string(),
    z.transform((text) => parseId<Epoch>(text)),
  ),
  head: count,
  hash: z.pipe(z.string(), z.transform(parseDigest)),
  chunker: z.pipe(
    z.object({ minBytes: count, averageBytes: count, maxBytes: count }),
    z.transform(parseServedProfile),
  ),
  nameBytesMax: count.check(z.minimum(1)),
  /** The answer to a GET does not say it. */
  created: z._default(z.boolean(), false),
});

const problemSchema = z.object({
  code: z.string().check(z.maxLength(64)),
  detail: z.exactOptional(z.string().check(z.maxLength(4096))),
});

/** GET /v1/hello. @throws {SyncedError} `not_a_synced_server` if it is no such answer. */
export function parseHello(value: unknown, serverUrl: string): Hello {
  try {
    return helloSchema.parse(value);
  } catch (cause) {
    throw new SyncedError(
      "not_a_synced_server",
      `Cannot use ${serverUrl}: its greeting is not that of synced; check the address`,
      { cause },
    );
  }
}

export function parseFolderCreation(value: unknown): FolderCreation {
  return answered("the folder", () => folderCreationSchema.parse(value));
}

/**
 * GET events. The caller checks the hash chain. Here the seqs must ascend without a gap, and the
 * page must end with a whole group.
 *
 * @param bounds.limit the limit of the request; a page may exceed it by one group.
 */
export function parseEventPage(
  value: unknown,
  bounds: { readonly after: number; readonly limit: number },
): EventPage {
  return answered("the page of events", () => {
    const fields = readFields(value, "the page", ANY_FIELDS, "tolerant");
    const list = readList(fields["events"], "events", bounds.limit + OPS_PER_GROUP_MAX);
    const page: EventPage = {
      epoch: readId<Epoch>(fields["epoch"], "epoch"),
      head: readCount(fields["head"], "head"),
      events: list.map(readEvent),
      next: readCount(fields["next"], "next"),
    };
    let expected = bounds.after + 1;
    for (const event of page.events) {
      if (event.seq !== expected) throw refuse("invalid_cursor", "seq", `${expected}`);
      expected++;
    }
    if (page.events.at(-1)?.groupEnd === false) {
      throw refuse("malformed_json", "the last event", "the end of its group");
    }
    if (page.next !== expected - 1 || page.head < page.next) {
      throw refuse("invalid_cursor", "next", `${expected - 1}, not beyond the head`);
    }
    return page;
  });
}

/**
 * One message of a live stream: an event, the seq up to which the events are the reader's own, or
 * that an order waits.
 */
export function parseStreamMessage(value: unknown): StreamMessage {
  return answered("the event", () => {
    const { passed, order } = readFields(value, "the message", ANY_FIELDS, "tolerant");
    if (order === true) return { kind: "order" };
    if (passed !== undefined) return { kind: "passed", seq: readCount(passed, "passed") };
    return { kind: "event", event: readEvent(value) };
  });
}

/** GET tree. Ids must ascend, so that no server can send the same page for ever. */
export function parseTreePage(
  value: unknown,
  bounds: { readonly after?: NodeId; readonly limit: number },
): TreePage {
  return answered("the page of nodes", () => {
    const fields = readFields(value, "the page", ANY_FIELDS, "tolerant");
    const nodes = readList(fields["nodes"], "nodes", bounds.limit).map(readRemoteNode);
    let last = bounds.after ?? "";
    for (const node of nodes) {
      if (node.id <= last) throw refuse("invalid_id", "id", `more than ${last}`);
      last = node.id;
    }
    const { through } = fields;
    const page = {
      epoch: readId<Epoch>(fields["epoch"], "epoch"),
      seq: readCount(fields["seq"], "seq"),
      hash: readDigest(fields["hash"], "hash"),
      ...(through === undefined ? undefined : { through: readCount(through, "through") }),
      nodes,
    };
    const next = fields["next"];
    if (next === undefined) return page;
    if (next !== nodes.at(-1)?.id) throw refuse("invalid_id", "next", "the last node's id");
    return { ...page, next: readId<NodeId>(next, "next") };
  });
}

/** GET history. */
export function parseHistoryPart(value: unknown, before: number, limit: number): HistoryPart {
  return answered("the page of versions", () => {
    const fields = readFields(value, "the page", ANY_FIELDS, "tolerant");
    const digests = new Set<Digest>();
    for (const version of readList(fields["versions"], "versions", limit)) {
      const { sha256, gone } = readFields(version, "a version", ANY_FIELDS, "tolerant");
      // The server could not give these bytes back.
      if (gone === true) continue;
      if (sha256 !== undefined) digests.add(readDigest(sha256, "sha256"));
    }
    if (fields["next"] === undefined) return { digests };
    const next = readCount(fields["next"], "next");
    if (next >= before) throw refuse("malformed_json", "next", "an earlier event");
    return { digests, next };
  });
}

/** GET index. */
export function parseIndexPage(value: unknown, limit: number): IndexPage {
  return answered("the page of paths", () => {
    const fields = readFields(value, "the page", ANY_FIELDS, "tolerant");
    const entries = readList(fields["entries"], "entries", limit).map(readIndexEntry);
    const page = { seq: readCount(fields["seq"], "seq"), entries };
    const { next } = fields;
    if (next === undefined) return page;
    const last = entries.at(-1)?.path;
    if (next !== last || last === undefined) throw refuse("invalid_path", "next", "the last path");
    return { ...page, next: last };
  });
}

function readIndexEntry(value: unknown): IndexEntry {
  const fields = readFields(value, "an entry", ANY_FIELDS, "tolerant");
  const path = parsePath(readText(fields["path"], "path")).join("/");
  switch (fields["kind"]) {
    case "file":
      return {
        path,
        kind: "file",
        sha256: readDigest(fields["sha256"], "sha256"),
        size: readCount(fields["size"], "size"),
        executable: readFlag(fields["executable"], "executable"),
        mtimeNs: readMtimeNs(fields["mtimeNs"]),
      };
    case "directory":
      return { path, kind: "directory" };
    case "symlink":
      return { path, kind: "symlink", target: parseSymlinkTarget(readText(fields["target"], "t")) };
    default:
      throw refuse("malformed_json", "kind", '"file", "directory" or "symlink"');
  }
}

/** POST ops. One result for each group; an accepted one has one seq for each op. */
export function parseBatchResult(value: unknown, batch: Batch): BatchResult {
  return answered("the batch's result", () => {
    const fields = readFields(value, "the result", ANY_FIELDS, "tolerant");
    const list = readList(fields["results"], "results", batch.groups.length);
    if (list.length !== batch.groups.length) {
      throw refuse("malformed_json", "results", `${batch.groups.length} of them`);
    }
    const { hash, time } = fields;
    return {
      results: list.map((item, index) => readGroupResult(item, batch.groups[index]?.length ?? 0)),
      head: readCount(fields["head"], "head"),
      ...(hash === undefined ? undefined : { hash: readDigest(hash, "hash") }),
      ...(time === undefined ? undefined : { time: readTime(time) }),
    };
  });
}

/** GET chunks/wanted. */
export function parseWanted(value: unknown): readonly Digest[] {
  return answered("the list of wanted objects", () => {
    const fields = readFields(value, "the list", ANY_FIELDS, "tolerant");
    return readList(fields["wanted"], "wanted", OBJECTS_PER_REQUEST_MAX).map((digest) =>
      readDigest(digest, "wanted"),
    );
  });
}

/** POST chunks/missing. @returns a subset of `asked`: no digest that was not asked for [B68]. */
export function parseMissing(value: unknown, asked: readonly Digest[]): readonly Digest[] {
  return answered("the list of missing objects", () => {
    const fields = readFields(value, "the list", ANY_FIELDS, "tolerant");
    const known = new Set<Digest>(asked);
    const missing = readList(fields["missing"], "missing", asked.length).map((item) =>
      readDigest(item, "a digest"),
    );
    for (const digest of missing) {
      if (!known.has(digest)) throw refuse("invalid_hash", digest, "a digest that was asked for");
    }
    return missing;
  });
}

/**
 * Makes the error that a problem+json body stands for.
 *
 * @returns undefined if the body is no problem, or has a code that this version does not know.
 */
export function parseProblem(value: unknown): SyncedError | undefined {
  const result = problemSchema.safeParse(value);
  if (!result.success) return undefined;
  const code = Object.keys(ERROR_KINDS).find((known) => known === result.data.code);
  if (!isErrorCode(code)) return undefined;
  return new SyncedError(code, oneLine(result.data.detail ?? ERROR_KINDS[code].title));
}

/** A server's words go into logs of one line each, and must not begin a line of their own. */
function oneLine(text: string): string {
  return text.replaceAll(/[\p{Cc}\u2028\u2029]+/gu, " ");
}

function isErrorCode(code: string | undefined): code is keyof typeof ERROR_KINDS {
  return code !== undefined && Object.hasOwn(ERROR_KINDS, code);
}

function readEvent(value: unknown): ServedEvent {
  const fields = readFields(value, "an event", ANY_FIELDS, "tolerant");
  const seq = readCount(fields["seq"], "seq");
  if (seq === 0) throw refuse("invalid_cursor", "seq", "at least 1");
  const event: ServedEvent = {
    seq,
    time: readTime(fields["time"]),
    device: readId<DeviceId>(fields["device"], "device"),
    opId: readId<OpId>(fields["opId"], "opId"),
    batch: readId<BatchId>(fields["batch"], "batch"),
    groupEnd: readFlag(fields["groupEnd"], "groupEnd"),
    kind: readEventKind(fields["kind"]),
    node: readId<NodeId>(fields["node"], "node"),
    parent: readId<NodeId>(fields["parent"], "parent"),
    name: parseName(readText(fields["name"], "name")),
    content: readContent(fields["content"], "tolerant"),
    baseContent: readVersion(fields["baseContent"], "baseContent"),
    basePlace: readVersion(fields["basePlace"], "basePlace"),
    previousHash: readDigest(fields["previousHash"], "previousHash"),
    hash: readDigest(fields["hash"], "hash"),
    path: readShownPath(fields["path"], "path"),
  };
  return { ...event, ...readOptionalFields(fields, event.content) };
}

/** Only people read it, so it need not be legal; but it is kept while the event waits. */
function readShownPath(value: unknown, what: string): string {
  const path = readText(value, what);
  if (path.length > PATH_BYTES_MAX) throw refuse("path_too_long", what, `${PATH_BYTES_MAX} bytes`);
  return path;
}

/** These fields are rare. A common event has none of them, so it is copied only once. */
function readOptionalFields(fields: Fields, content: Content): Partial<ServedEvent> | undefined {
  const { conflictOf, approval, from, inline } = fields;
  if (
    conflictOf === undefined &&
    approval === undefined &&
    from === undefined &&
    inline === undefined
  ) {
    return undefined;
  }
  return {
    ...(conflictOf === undefined
      ? undefined
      : { conflictOf: readConflictOrigin(conflictOf, "tolerant") }),
    ...(approval === undefined ? undefined : { approval: readApproval(approval) }),
    ...(from === undefined ? undefined : { from: readShownPath(from, "from") }),
    ...(inline === undefined ? undefined : { inline: readInline(inline, content) }),
  };
}

/** A whole small file's bytes in base64. Whether they have its digest is looked at later. */
function readInline(value: unknown, content: Content): string {
  const text = readText(value, "inline");
  const size = content.kind === "file" ? content.size : 0;
  const length = Math.ceil(size / 3) * 4;
  if (length > INLINE_LENGTH_MAX || text.length !== length || !BASE64.test(text)) {
    throw refuse(
      "malformed_json",
      "inline",
      `${size} bytes in base64, at most ${INLINE_BYTES_MAX}`,
    );
  }
  return text;
}

function readTime(value: unknown): string {
  const text = readText(value, "time");
  if (!TIME.test(text)) throw refuse("malformed_json", "time", "RFC 3339 with milliseconds in UTC");
  return text;
}

function readEventKind(value: unknown): EventKind {
  const kind = EVENT_KINDS.find((known) => known === value);
  if (kind === undefined)
    throw refuse("malformed_json", "kind", `one of ${EVENT_KINDS.join(", ")}`);
  return kind;
}

function readRemoteNode(value: unknown): RemoteNode {
  const fields = readFields(value, "a node", ANY_FIELDS, "tolerant");
  return {
    id: readId<NodeId>(fields["id"], "id"),
    parent: readId<NodeId>(fields["parent"], "parent"),
    name: parseName(readText(fields["name"], "name")),
    content: readContent(fields["content"], "tolerant"),
    deleted: readFlag(fields["deleted"], "deleted"),
    contentVersion: readVersion(fields["contentVersion"], "contentVersion"),
    placeVersion: readVersion(fields["placeVersion"], "placeVersion"),
  };
}

function readGroupResult(value: unknown, opCount: number): GroupResult {
  const fields = readFields(value, "a result", ANY_FIELDS, "tolerant");
  if (fields["status"] === "accepted") {
    const seqs = readList(fields["seqs"], "seqs", opCount).map((item) => readCount(item, "a seq"));
    if (seqs.length !== opCount) throw refuse("malformed_json", "seqs", `${opCount} of them`);
    return { status: "accepted", seqs };
  }
  const code = fields["code"];
  if (fields["status"] !== "refused" || !isRefusalCode(code)) {
    throw refuse("malformed_json", "status", '"accepted", or "refused" with a known code');
  }
  assert(opCount > 0, "a posted group has an op");
  const result = {
    status: "refused" as const,
    code,
    detail: oneLine(readText(fields["detail"], "detail").slice(0, 4096)),
    op: readCount(fields["op"], "op", "invalid_parameter", opCount - 1),
  };
  const current = fields["current"];
  return current === undefined ? result : { ...result, current: readRemoteNode(current) };
}

function isRefusalCode(code: unknown): code is RefusalCode {
  return typeof code === "string" && REFUSAL_CODES.has(code);
}

function answered<Answer>(what: string, read: () => Answer): Answer {
  try {
    return read();
  } catch (cause) {
    const reason = cause instanceof SyncedError ? cause.message : "its shape is wrong";
    throw new SyncedError("protocol_violation", `Cannot use ${what} from the server: ${reason}`, {
      cause,
    });
  }
}

/** GET devices/{id}/orders. Orders of a kind that is not known here are left out. */
export function parseOrders(value: unknown): readonly GivenOrder[] {
  return answered("the orders", () => {
    const fields = readFields(value, "the answer", ANY_FIELDS, "tolerant");
    return readList(fields["orders"], "orders", ORDERS_PER_FOLDER_MAX).flatMap(readOrder);
  });
}

function readOrder(value: unknown): readonly GivenOrder[] {
  const fields = readFields(value, "the order", ANY_FIELDS, "tolerant");
  const id = readId<OrderId>(fields["id"], "id");
  const time = readText(fields["time"], "time");
  const { kind, until, held } = readFields(fields["order"], "the order", ANY_FIELDS, "tolerant");
  if (kind === "resume") return [{ id, time, order: { kind } }];
  if (kind === "approve" || kind === "reject") {
    return [{ id, time, order: { kind, held: readApproval(held) } }];
  }
  if (kind !== "pause") return [];
  const end = until === undefined ? {} : { until: readText(until, "until") };
  return [{ id, time, order: { kind, ...end } }];
}
