/**
 * The server's edge: parsed JSON and query texts from strangers become core values, or are refused
 * with a code.
 * Rules: H8, N1-N8, O1-O5. Nothing here looks at the log; `decide` does.
 */
import { type DeviceOrder, ORDER_KINDS } from "../core/device-order.ts";
import {
  DEVICE_KINDS,
  HELD_ANSWERS,
  type HeldAnswer,
  type HeldSummary,
  type Paused,
} from "../core/device-state.ts";
import type { Digest } from "../core/digest.ts";
import { SyncedError } from "../core/error.ts";
import type { Cursor } from "../core/event.ts";
import type { BatchId, DeviceId, Epoch, NodeId, OpId } from "../core/identifier.ts";
import {
  DEVICE_NAME_LENGTH_MAX,
  HELD_EXAMPLES_MAX,
  HELD_REASON_LENGTH_MAX,
  OBJECTS_PER_REQUEST_MAX,
  OPS_PER_BATCH_MAX,
  OPS_PER_GROUP_MAX,
} from "../core/limits.ts";
import type { Sequence } from "../core/node.ts";
import type { Batch, Group, Op } from "../core/op.ts";
import { parseName, parsePath } from "../core/path.ts";
import { formatTime, parseTime } from "../core/time.ts";
import type { DeviceReport } from "./messages.ts";
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
  readText,
  readVersion,
  refuse,
} from "./shape.ts";

const BATCH_FIELDS: ReadonlySet<string> = new Set([
  "device",
  "batch",
  "cursor",
  "groups",
  "approval",
]);
const CURSOR_FIELDS: ReadonlySet<string> = new Set(["epoch", "seq", "hash"]);
const OP_FIELDS = ["opId", "node", "kind"];
const CREATE_FIELDS: ReadonlySet<string> = new Set([
  ...OP_FIELDS,
  "parent",
  "name",
  "content",
  "base",
  "conflictOf",
]);
const MODIFY_FIELDS: ReadonlySet<string> = new Set([...OP_FIELDS, "content", "baseContent"]);
const MOVE_FIELDS: ReadonlySet<string> = new Set([...OP_FIELDS, "parent", "name", "basePlace"]);
const DELETE_FIELDS: ReadonlySet<string> = new Set([...OP_FIELDS, "baseContent", "basePlace"]);
const DIGESTS_FIELDS: ReadonlySet<string> = new Set(["digests"]);
const REPORT_FIELDS: ReadonlySet<string> = new Set([
  "name",
  "applied",
  "kind",
  "settled",
  "problems",
  "held",
  "paused",
]);
const HELD_FIELDS: ReadonlySet<string> = new Set([
  "id",
  "direction",
  "reason",
  "count",
  "examples",
  "answers",
]);

const ORDER_FIELDS: ReadonlySet<string> = new Set(["kind", "until", "held"]);

const SEQUENCE = /^(0|[1-9][0-9]{0,15})$/;

/** The body of POST ops. */
export function parseBatch(value: unknown): Batch {
  const fields = readFields(value, "the batch", BATCH_FIELDS, "strict");
  const groups = parseGroups(fields["groups"]);
  const batch = {
    device: readId<DeviceId>(fields["device"], "device"),
    batch: readId<BatchId>(fields["batch"], "batch"),
    cursor: parseCursor(fields["cursor"]),
    groups,
  };
  const approval = fields["approval"];
  return approval === undefined ? batch : { ...batch, approval: readApproval(approval) };
}

function parseGroups(value: unknown): readonly Group[] {
  const groups: Group[] = [];
  const opIds = new Set<OpId>();
  let opCount = 0;
  for (const item of readList(value, "groups", OPS_PER_BATCH_MAX)) {
    const list = readList(item, "a group", OPS_PER_GROUP_MAX);
    if (list.length === 0) throw refuse("malformed_json", "a group", "at least one op");
    opCount += list.length;
    if (opCount > OPS_PER_BATCH_MAX) {
      throw refuse("batch_too_large", "the batch", `at most ${OPS_PER_BATCH_MAX} ops`);
    }
    groups.push(list.map(parseOp));
  }
  for (const group of groups) for (const op of group) opIds.add(op.opId);
  if (opIds.size !== opCount) {
    throw new SyncedError("batch_conflict", "Cannot use the batch: it has the same op id twice");
  }
  return groups;
}

/** A cursor in a body. @throws {SyncedError} `invalid_cursor`, `invalid_id`, `invalid_hash` */
export function parseCursor(value: unknown): Cursor {
  const fields = readFields(value, "the cursor", CURSOR_FIELDS, "strict");
  return {
    epoch: readId<Epoch>(fields["epoch"], "cursor.epoch"),
    seq: readCount(fields["seq"], "cursor.seq", "invalid_cursor"),
    hash: readDigest(fields["hash"], "cursor.hash"),
  };
}

function parseOp(value: unknown): Op {
  const kind = typeof value === "object" && value !== null && "kind" in value ? value.kind : "";
  switch (kind) {
    case "create":
      return parseCreate(readFields(value, "a create op", CREATE_FIELDS, "strict"));
    case "modify": {
      const fields = readFields(value, "a modify op", MODIFY_FIELDS, "strict");
      return {
        kind,
        ...opHeader(fields),
        content: readContent(fields["content"], "strict"),
        baseContent: readVersion(fields["baseContent"], "baseContent"),
      };
    }
    case "move": {
      const fields = readFields(value, "a move op", MOVE_FIELDS, "strict");
      return {
        kind,
        ...opHeader(fields),
        ...place(fields),
        basePlace: readVersion(fields["basePlace"], "basePlace"),
      };
    }
    case "delete": {
      const fields = readFields(value, "a delete op", DELETE_FIELDS, "strict");
      return {
        kind,
        ...opHeader(fields),
        baseContent: readVersion(fields["baseContent"], "baseContent"),
        basePlace: readVersion(fields["basePlace"], "basePlace"),
      };
    }
    default:
      throw refuse("malformed_json", "an op's kind", '"create", "modify", "move" or "delete"');
  }
}

function parseCreate(fields: Fields): Op {
  const op = {
    kind: "create" as const,
    ...opHeader(fields),
    ...place(fields),
    content: readContent(fields["content"], "strict"),
    base: readVersion(fields["base"], "base"),
  };
  const conflictOf = fields["conflictOf"];
  if (conflictOf === undefined) return op;
  return { ...op, conflictOf: readConflictOrigin(conflictOf, "strict") };
}

function opHeader(fields: Fields) {
  return {
    opId: readId<OpId>(fields["opId"], "opId"),
    node: readId<NodeId>(fields["node"], "node"),
  };
}

function place(fields: Fields) {
  return {
    parent: readId<NodeId>(fields["parent"], "parent"),
    name: parseName(readText(fields["name"], "name")),
  };
}

/** The body of POST chunks/missing and chunks/fetch: `{digests: [...]}`. */
export function parseDigests(value: unknown): readonly Digest[] {
  const fields = readFields(value, "the request", DIGESTS_FIELDS, "strict");
  const list = readList(fields["digests"], "digests", OBJECTS_PER_REQUEST_MAX);
  return list.map((item) => readDigest(item, "a digest"));
}

/** The body of PUT devices/{id}. */
export function parseDeviceReport(value: unknown): DeviceReport {
  const fields = readFields(value, "the report", REPORT_FIELDS, "strict");
  const { kind, settled, problems, held, paused } = fields;
  return {
    name: parseDeviceName(fields["name"]),
    applied: parseCursor(fields["applied"]),
    ...(kind === undefined
      ? {}
      : { kind: parseChoice(readText(kind, "kind"), "kind", DEVICE_KINDS) }),
    ...(settled === undefined ? {} : { settled: readFlag(settled, "settled") }),
    ...(problems === undefined ? {} : { problems: readCount(problems, "problems") }),
    ...(held === undefined ? {} : { held: parseHeld(held) }),
    ...(paused === undefined ? {} : { paused: parsePaused(paused) }),
  };
}

function parseHeld(value: unknown): HeldSummary {
  const fields = readFields(value, "held", HELD_FIELDS, "strict");
  const reason = readText(fields["reason"], "held.reason");
  if (reason.length > HELD_REASON_LENGTH_MAX || !reason.isWellFormed()) {
    throw refuse("invalid_parameter", "held.reason", `up to ${HELD_REASON_LENGTH_MAX} characters`);
  }
  const direction = readText(fields["direction"], "held.direction");
  const { examples, answers } = fields;
  return {
    id: readApproval(fields["id"]),
    direction: parseChoice(direction, "held.direction", ["up", "down"]),
    reason,
    count: readCount(fields["count"], "held.count"),
    ...(examples === undefined ? {} : { examples: parseExamples(examples) }),
    ...(answers === undefined ? {} : { answers: parseAnswers(answers) }),
  };
}

function parseAnswers(value: unknown): readonly HeldAnswer[] {
  const answers = readList(value, "held.answers", HELD_ANSWERS.length);
  return answers.map((one) =>
    parseChoice(readText(one, "an answer"), "held.answers", HELD_ANSWERS),
  );
}

function parseExamples(value: unknown): readonly string[] {
  const paths = readList(value, "held.examples", HELD_EXAMPLES_MAX);
  return paths.map((path) => parsePath(readText(path, "an example")).join("/"));
}

function parsePaused(value: unknown): Paused {
  const { until } = readFields(value, "paused", new Set(["until"]), "strict");
  return until === undefined ? {} : { until: readTime(until, "paused.until") };
}

/** The body of PUT devices/{id}/orders/{id}. */
export function parseOrder(value: unknown): DeviceOrder {
  const fields = readFields(value, "the order", ORDER_FIELDS, "strict");
  const { until, held } = fields;
  const kind = parseChoice(readText(fields["kind"], "kind"), "kind", ORDER_KINDS);
  const isAnswer = kind === "approve" || kind === "reject";
  if (isAnswer !== (held !== undefined)) {
    throw refuse("invalid_parameter", "held", "the id of a held change to approve or reject");
  }
  if (until !== undefined && kind !== "pause") {
    throw refuse("invalid_parameter", "until", "none: only a pause ends by itself");
  }
  if (isAnswer) return { kind, held: readApproval(held) };
  if (kind === "resume" || until === undefined) return { kind };
  return { kind, until: readTime(until, "until") };
}

/** @returns RFC 3339, in the form that `parseTime` reads */
function readTime(value: unknown, what: string): string {
  return formatTime(parseTimeText(readText(value, what), what));
}

function parseDeviceName(value: unknown): string {
  if (
    typeof value !== "string" ||
    value === "" ||
    value.length > DEVICE_NAME_LENGTH_MAX ||
    !value.isWellFormed()
  ) {
    throw refuse("invalid_parameter", "name", `1 to ${DEVICE_NAME_LENGTH_MAX} characters`);
  }
  return value;
}

/** The body of POST invites/redeem. */
export function parseRedemption(value: unknown): {
  readonly secret: string;
  readonly label: string;
} {
  const fields = readFields(value, "the request", new Set(["secret", "label"]), "strict");
  return { secret: readText(fields["secret"], "secret"), label: parseDeviceName(fields["label"]) };
}

/** The body of PUT folders/{folder}, which may have no field yet. */
export function parseFolderRequest(value: unknown): void {
  readFields(value, "the folder", new Set(), "strict");
}

/**
 * @throws {SyncedError} `invalid_cursor` unless it is a decimal up to 2^53 - 1 without leading
 * zeros.
 */
export function parseSequenceText(text: string, what: string): Sequence {
  const seq = Number(text);
  if (!SEQUENCE.test(text) || !Number.isSafeInteger(seq)) {
    throw refuse("invalid_cursor", what, "a whole number from 0 to 2^53 - 1 in decimal");
  }
  return seq;
}

/** @throws {SyncedError} `invalid_parameter` unless it is a decimal from 1 to `max`. */
export function parseLimitText(text: string, max: number): number {
  const limit = Number(text);
  if (!SEQUENCE.test(text) || limit < 1 || limit > max) {
    throw refuse("invalid_parameter", "limit", `a whole number from 1 to ${max}`);
  }
  return limit;
}

/** @throws {SyncedError} `invalid_parameter` unless it is one of the choices. */
export function parseChoice<Choice extends string>(
  text: string,
  what: string,
  choices: readonly Choice[],
): Choice {
  const choice = choices.find((one) => one === text);
  if (choice === undefined) throw refuse("invalid_parameter", what, choices.join(", "));
  return choice;
}

/** Up to milliseconds; a time zone is wanted, since the server's own is nobody's. */
const TIME =
  /^(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:[Zz]|([+-])(\d\d):(\d\d))$/;

/**
 * A time in RFC 3339.
 *
 * @returns milliseconds since 1970
 * @throws {SyncedError} `invalid_parameter`
 */
export function parseTimeText(text: string, what: string): number {
  const match = TIME.exec(text);
  const field = (index: number) => Number(match?.[index] ?? 0);
  const isLegal =
    match !== null &&
    field(2) >= 1 &&
    field(2) <= 12 &&
    field(3) >= 1 &&
    field(3) <= 31 &&
    field(4) <= 23 &&
    field(5) <= 59 &&
    field(6) <= 60 &&
    field(9) <= 23 &&
    field(10) <= 59;
  if (!isLegal) throw refuse("invalid_parameter", what, "a time like 2026-11-27T18:00:00Z");
  const local = parseTime(`${text.slice(0, 10)}T${text.slice(11, 19)}.000Z`);
  const ms = Number((match[7] ?? "").slice(0, 3).padEnd(3, "0"));
  const offsetMs = (field(9) * 60 + field(10)) * 60_000 * (match[8] === "-" ? -1 : 1);
  return local + ms - offsetMs;
}
