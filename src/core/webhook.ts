/**
 * Webhooks as values: which changes one is told of, and how a message is named and signed (Standard
 * Webhooks 1.0). Rules: W1, W2.
 */
import { hmacSha256Base64 } from "./digest.ts";
import { SyncedError } from "./error.ts";
import type { Event } from "./event.ts";
import { IgnoreRules } from "./ignore.ts";

export const WEBHOOK_ACTIONS = [
  "upload",
  "mkdir",
  "symlink",
  "restore",
  "update",
  "metadata",
  "rename",
  "delete",
  "rmdir",
] as const;
export type WebhookAction = (typeof WEBHOOK_ACTIONS)[number];

/** Words for several actions. */
const GROUPS: Readonly<Record<string, readonly WebhookAction[]>> = {
  any: WEBHOOK_ACTIONS,
  create: ["upload", "mkdir", "symlink"],
};

const SECRET_PREFIX = "whsec_";
const SECRET_BYTES_MIN = 24;
const SECRET_BYTES_MAX = 64;

export interface WebhookFilter {
  readonly actions: ReadonlySet<WebhookAction>;
  /** @param isDirectory of the entry that is at the path */
  matchesPath(path: string, isDirectory: boolean): boolean;
}

/**
 * Reads `ACTION,...` or `ACTION,...:PATTERN`, the pattern in the syntax of .gitignore.
 *
 * @throws {SyncedError} `usage`
 */
export function parseWebhookFilter(text: string): WebhookFilter {
  const colon = text.indexOf(":");
  const words = (colon === -1 ? text : text.slice(0, colon)).split(",").map((word) => word.trim());
  const actions = new Set<WebhookAction>();
  for (const word of words) {
    const meant = GROUPS[word] ?? WEBHOOK_ACTIONS.filter((action) => action === word);
    if (meant.length === 0) {
      const known = [...Object.keys(GROUPS), ...WEBHOOK_ACTIONS].join(", ");
      throw new SyncedError("usage", `Cannot watch for "${word}": expected some of ${known}`);
    }
    for (const action of meant) actions.add(action);
  }
  const pattern = colon === -1 ? "" : text.slice(colon + 1).trim();
  if (pattern === "") return { actions, matchesPath: () => true };
  if (pattern.includes("\n") || pattern.startsWith("#") || pattern.startsWith("!")) {
    throw new SyncedError("usage", `Cannot use "${pattern}" as a pattern: it would match nothing`);
  }
  const rules = IgnoreRules.none.withFile("", pattern);
  return { actions, matchesPath: (path, isDirectory) => rules.ignores(path, isDirectory) };
}

/**
 * @param last the delivery's last event
 * @returns the same for the same events of the same log, also after a restart. The hash tells two
 * logs apart of which one was restored from an older backup of the other.
 */
export function webhookMessageId(epoch: string, first: number, last: Pick<Event, "seq" | "hash">) {
  return `${epoch.slice(0, 8)}-${first}-${last.seq}-${last.hash.slice(0, 8)}`;
}

/** @throws {SyncedError} `usage` unless it is `whsec_` and 24 to 64 bytes in base64 */
export function parseWebhookSecret(text: string): string {
  const secret = text.trim();
  try {
    const { length } = keyOf(secret);
    const isLong = length >= SECRET_BYTES_MIN && length <= SECRET_BYTES_MAX;
    if (secret.startsWith(SECRET_PREFIX) && isLong) return secret;
  } catch {
    // Told below, as one that is too short.
  }
  throw new SyncedError(
    "usage",
    `Cannot use the secret: expected ${SECRET_PREFIX} and ${SECRET_BYTES_MIN} to ` +
      `${SECRET_BYTES_MAX} bytes in base64, as synced webhook add makes one`,
  );
}

/** @param hex random digits */
export function webhookSecretOf(hex: string): string {
  return SECRET_PREFIX + Uint8Array.fromHex(hex).toBase64();
}

/** @returns the headers of one attempt to deliver a body. @param nowMs when it is made */
export function webhookHeaders(
  { id, body, nowMs }: { readonly id: string; readonly body: string; readonly nowMs: number },
  secret: string,
): Readonly<Record<string, string>> {
  const timestamp = String(Math.floor(nowMs / 1000));
  const signature = hmacSha256Base64(keyOf(secret), `${id}.${timestamp}.${body}`);
  return {
    "content-type": "application/json",
    "webhook-id": id,
    "webhook-timestamp": timestamp,
    "webhook-signature": `v1,${signature}`,
  };
}

function keyOf(secret: string): Uint8Array {
  return Uint8Array.fromBase64(secret.slice(SECRET_PREFIX.length));
}
