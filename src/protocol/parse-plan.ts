/** The server's edge for plans: bodies of strangers become requests, or are refused. Rules: E9, H8. */
import type { DeviceId, NodeId } from "../core/identifier.ts";
import { PLAN_IDS_MAX } from "../core/limits.ts";
import type { Sequence } from "../core/node.ts";
import { parsePath } from "../core/path.ts";
import { parseChoice } from "./parse-request.ts";
import { type PlanApplication, type PlanRequest, REVERTED_PARTS } from "./plan-messages.ts";
import {
  type Fields,
  readCount,
  readFields,
  readFlag,
  readId,
  readList,
  readText,
  refuse,
} from "./shape.ts";

const FIELDS: Readonly<Record<PlanRequest["kind"], readonly string[]>> = {
  restore: ["path", "at", "keepLater", "overlaps"],
  undo: ["device", "since", "until", "path", "overlaps"],
  revert: ["first", "last", "of", "overlaps"],
  delete: ["ids"],
  copy: ["path", "at", "to"],
  resolve: ["copy", "keep"],
};
const APPLICATION_FIELDS: ReadonlySet<string> = new Set(["request", "head", "device", "partial"]);

/** The body of POST plans. Equal requests become equal texts as JSON. */
export function parsePlanRequest(value: unknown): PlanRequest {
  const kind = kindOf(value);
  const known = new Set(["kind", ...FIELDS[kind]]);
  const fields = readFields(value, "the plan", known, "strict");
  switch (kind) {
    case "restore":
      return {
        kind,
        path: readPath(fields["path"]),
        at: readSequence(fields, "at"),
        ...optional(fields["keepLater"], (keepLater) => ({
          keepLater: readId<DeviceId>(keepLater, "keepLater"),
        })),
        ...keepsBoth(fields),
      };
    case "undo":
      return {
        kind,
        device: readId<DeviceId>(fields["device"], "device"),
        since: readSequence(fields, "since"),
        ...optional(fields["until"], () => ({ until: readSequence(fields, "until") })),
        ...optional(fields["path"], (path) => ({ path: readPath(path) })),
        ...keepsBoth(fields),
      };
    case "revert":
      return {
        kind,
        first: readSequence(fields, "first"),
        last: readSequence(fields, "last"),
        ...optional(fields["of"], (of) => ({
          of: parseChoice(readText(of, "of"), "of", REVERTED_PARTS),
        })),
        ...keepsBoth(fields),
      };
    case "delete": {
      const ids = readList(fields["ids"], "ids", PLAN_IDS_MAX);
      return { kind, ids: ids.map((id) => readId<NodeId>(id, "an id")) };
    }
    case "copy": {
      const to = readPath(fields["to"]);
      if (to === "") throw refuse("invalid_path", "to", "the path of an entry");
      return { kind, path: readPath(fields["path"]), at: readSequence(fields, "at"), to };
    }
    case "resolve": {
      const copy = readId<NodeId>(fields["copy"], "copy");
      const keep = parseChoice(readText(fields["keep"], "keep"), "keep", KEEPS);
      return { kind, copy, keep };
    }
  }
}

const KEEPS = ["copy", "original", "both"] as const;

/** The body of PUT plans/{id}. */
export function parsePlanApplication(value: unknown): PlanApplication {
  const fields = readFields(value, "the plan", APPLICATION_FIELDS, "strict");
  const { request, partial } = fields;
  return {
    request: parsePlanRequest(request),
    head: readSequence(fields, "head"),
    device: readId<DeviceId>(fields["device"], "device"),
    partial: partial === undefined ? false : readFlag(partial, "partial"),
  };
}

function kindOf(value: unknown): PlanRequest["kind"] {
  const kind = typeof value === "object" && value !== null && "kind" in value ? value.kind : "";
  if (typeof kind === "string" && isKind(kind)) return kind;
  throw refuse("malformed_json", "a plan's kind", Object.keys(FIELDS).join(", "));
}

function isKind(kind: string): kind is PlanRequest["kind"] {
  return Object.hasOwn(FIELDS, kind);
}

/** "" is the root. */
function readPath(value: unknown): string {
  const path = readText(value, "path");
  return path === "" ? "" : parsePath(path).join("/");
}

function readSequence(fields: Fields, name: string): Sequence {
  return readCount(fields[name], name, "invalid_cursor");
}

function keepsBoth(fields: Fields): { readonly overlaps?: "keep-both" } {
  return optional(fields["overlaps"], (value) => ({
    overlaps: parseChoice(readText(value, "overlaps"), "overlaps", ["keep-both"] as const),
  }));
}

function optional<Part extends object>(
  value: unknown,
  part: (value: unknown) => Part,
): Part | Record<never, never> {
  return value === undefined ? {} : part(value);
}
