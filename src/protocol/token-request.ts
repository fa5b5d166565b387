/** An admin's request for a token, which says its grant. Rules: K1, K2, H8. */
import { ACCESSES, type Access } from "../core/access.ts";
import { type FolderName, parseFolderName } from "../core/identifier.ts";
import { DEVICE_NAME_LENGTH_MAX, FOLDERS_PER_TOKEN_MAX, LIFE_MS_MAX } from "../core/limits.ts";
import { parseChoice } from "./parse-request.ts";
import { readCount, readFields, readList, readText, refuse } from "./shape.ts";

const FIELDS: ReadonlySet<string> = new Set(["label", "access", "folders", "lifeMs"]);

export interface GrantRequest {
  readonly label: string;
  readonly access: Access;
  readonly folders: "all" | readonly FolderName[];
  readonly lifeMs?: number;
}

/** The body of POST tokens. Without `folders` the token is for all, without `lifeMs` for ever. */
export function parseTokenRequest(value: unknown): GrantRequest {
  const fields = readFields(value, "the token", FIELDS, "strict");
  const { label, folders, lifeMs } = fields;
  return {
    label: label === undefined ? "" : readLabel(label),
    access: parseChoice(readText(fields["access"], "access"), "access", ACCESSES),
    folders: folders === undefined ? "all" : readFolders(folders),
    ...(lifeMs === undefined
      ? {}
      : { lifeMs: readCount(lifeMs, "lifeMs", "invalid_parameter", LIFE_MS_MAX) }),
  };
}

/** An empty list would be a token for nothing, and most likely a script's mistake. */
function readFolders(value: unknown): readonly FolderName[] {
  const names = readList(value, "folders", FOLDERS_PER_TOKEN_MAX);
  if (names.length === 0) throw refuse("invalid_parameter", "folders", "at least one name");
  return names.map((name) => parseFolderName(readText(name, "a folder's name")));
}

function readLabel(value: unknown): string {
  const label = readText(value, "label");
  if (label.length <= DEVICE_NAME_LENGTH_MAX && label.isWellFormed()) return label;
  throw refuse("invalid_parameter", "label", `up to ${DEVICE_NAME_LENGTH_MAX} characters`);
}
