/** Share links: what is asked and answered about them. Rules: H40, H8. */
import { z } from "zod/mini";
import { LIFE_MS_MAX, LINK_PASSWORD_LENGTH_MAX, LINK_PASSWORD_LENGTH_MIN } from "../core/limits.ts";
import type { Sequence } from "../core/node.ts";
import { parsePath } from "../core/path.ts";
import { readCount, readFields, readFlag, readText, refuse } from "./shape.ts";

/** POST links */
export interface LinkRequest {
  /** "" is all of the folder. */
  readonly path: string;
  /** @default the head, unless it follows */
  readonly at?: Sequence | undefined;
  /** True to show what is there whenever it is looked at. */
  readonly follows: boolean;
  readonly lifeMs: number;
  readonly password?: string | undefined;
}

const linkSchema = z.object({
  id: z.string(),
  path: z.string(),
  /** Absent if it follows what changes. */
  at: z.optional(z.int().check(z.minimum(0))),
  created: z.string(),
  expires: z.string(),
  hasPassword: z.boolean(),
  /** Why it opens nothing any more. */
  over: z.optional(z.enum(["expired", "token"])),
});
export type LinkInfo = z.infer<typeof linkSchema>;

/** The answer to POST links. */
export const madeLinkSchema = z.extend(linkSchema, {
  /** The link's path on the server. It is told this once. */
  address: z.string(),
});
export type MadeLink = z.infer<typeof madeLinkSchema>;

/** GET links */
export const linksSchema = z.object({ links: z.array(linkSchema) });

const FIELDS: ReadonlySet<string> = new Set(["path", "at", "follows", "lifeMs", "password"]);

/** @throws {SyncedError} */
export function parseLinkRequest(value: unknown): LinkRequest {
  const fields = readFields(value, "the link", FIELDS, "strict");
  const { at, follows, password } = fields;
  const path = readText(fields["path"], "path");
  const request = {
    path: path === "" ? "" : parsePath(path).join("/"),
    at: at === undefined ? undefined : readCount(at, "at", "invalid_cursor"),
    follows: follows === undefined ? false : readFlag(follows, "follows"),
    lifeMs: readCount(fields["lifeMs"], "lifeMs", "invalid_parameter", LIFE_MS_MAX),
    password: password === undefined ? undefined : readPassword(password),
  };
  if (request.follows && request.at !== undefined) {
    throw refuse("invalid_parameter", "at", "none of a link that follows what changes");
  }
  return request;
}

function readPassword(value: unknown): string {
  const text = readText(value, "password");
  if (text.length >= LINK_PASSWORD_LENGTH_MIN && text.length <= LINK_PASSWORD_LENGTH_MAX)
    return text;
  const claim = `${LINK_PASSWORD_LENGTH_MIN} to ${LINK_PASSWORD_LENGTH_MAX} characters`;
  throw refuse("invalid_parameter", "the password", claim);
}
