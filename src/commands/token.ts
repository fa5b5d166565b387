/**
 * `synced token create|list|revoke`: the tokens of a server, on the machine where its data is, also
 * while it runs. Rules: K2, K4, K5.
 */
import { resolve } from "node:path";
import { defineCommand } from "citty";
import { ACCESSES, type Access } from "../core/access.ts";
import { SyncedError } from "../core/error.ts";
import { EXIT } from "../core/exit-code.ts";
import { parseFolderName } from "../core/identifier.ts";
import { DEVICE_NAME_LENGTH_MAX } from "../core/limits.ts";
import { openTokens, type TokenInfo, type Tokens } from "../storage.ts";
import { commonFlags, parseDurationFlag, textFlag } from "./flags.ts";
import { createOutput, type Output } from "./output.ts";
import { metadataFlags, readMetadataUrl } from "./places.ts";
import { count, quoted } from "./progress.ts";

/** Of a token that shall be made. */
export const grantFlags = {
  folder: textFlag("folder", "NAME,...", "Only these folders; all of them if absent"),
  access: { ...textFlag("access", "read|write|admin", "What it allows"), default: "write" },
  label: textFlag("label", "TEXT", "Whose it is, for the list"),
} as const;

export const command = defineCommand({
  meta: { name: "token", description: "Make, list and revoke tokens of a server" },
  args: {
    action: { type: "positional", description: "create, list or revoke", required: true },
    id: { type: "positional", description: "Which token to revoke", required: false },
    data: { ...textFlag("data", "DIR", "Data directory"), default: "./storage" },
    ...metadataFlags,
    ...grantFlags,
    expires: textFlag(
      "expires",
      "TIME",
      "How long it is good, such as 12h, 30d; for ever if absent",
    ),
    ...commonFlags,
  },
  async run({ args }) {
    const output = createOutput(args);
    const { action, id } = args;
    const isRevocation = action === "revoke";
    if (!["create", "list", "revoke"].includes(action)) {
      throw new SyncedError("usage", `Cannot do ${quoted(action)}: use create, list or revoke`);
    }
    if (isRevocation !== (id !== undefined)) {
      const claim = isRevocation ? "say which: synced token list shows their ids" : "one is enough";
      throw new SyncedError("usage", `Cannot take these arguments for "${action}": ${claim}`);
    }
    const opened = await openTokens(resolve(args.data), readMetadataUrl(args));
    try {
      if (action === "create") await create(opened.tokens, args, output);
      else if (id !== undefined) await revoke(opened.tokens, id, output);
      else list(opened.list(), output);
      return EXIT.done;
    } finally {
      opened.close();
    }
  },
});

interface GrantFlags {
  readonly folder?: string | undefined;
  readonly access: string;
  readonly label?: string | undefined;
}

/** @throws {SyncedError} `usage`, `invalid_folder_name` */
export function readGrant(flags: GrantFlags) {
  const access = ACCESSES.find((name) => name === flags.access);
  if (access === undefined) {
    throw new SyncedError(
      "usage",
      `Cannot use --access "${flags.access}": expected read, write or admin`,
    );
  }
  const label = flags.label ?? "";
  if (label.length > DEVICE_NAME_LENGTH_MAX) {
    throw new SyncedError(
      "usage",
      `Cannot use --label "${label}": it has more than ${DEVICE_NAME_LENGTH_MAX} characters`,
    );
  }
  const folders = flags.folder?.split(",").map((name) => parseFolderName(name.trim())) ?? "all";
  return { access, label, folders } as const;
}

async function create(
  tokens: Tokens,
  flags: GrantFlags & { readonly expires?: string | undefined },
  output: Output,
): Promise<void> {
  const { expires } = flags;
  const life =
    expires === undefined ? undefined : { lifeMs: parseDurationFlag("expires", expires) };
  const isFirst = tokens.isEmpty;
  const { record, text } = await tokens.make({ ...readGrant(flags), ...life });
  output.event("token_created", { ...told(record), token: text });
  if (isFirst) output.say("From now on the server wants a token from everybody");
  output.say(`Made token ${record.id}: ${described(record)}. It is shown this once:`);
  if (!output.isJson) process.stdout.write(`${text}\n`);
}

async function revoke(tokens: Tokens, id: string, output: Output): Promise<void> {
  const wasGood = await tokens.revoke(id);
  output.event("token_revoked", { id });
  output.say(wasGood ? `Revoked token ${id}` : `Token ${id} was revoked before`);
}

function list(records: readonly TokenInfo[], output: Output): void {
  for (const record of records) {
    output.event("token", { ...told(record), devices: record.devices });
    output.say(`${record.id}  ${described(record)}`);
    for (const { name, folder, behind, seenTime } of record.devices) {
      const state = behind === 0 ? "in sync" : `${count(behind, "event")} behind`;
      output.say(`    ${quoted(name)} in "${folder}": ${state}, seen ${seenTime}`);
    }
  }
  if (records.length === 0) output.say("There are no tokens");
}

type Told = Omit<TokenInfo, "devices" | "digest">;

/** For programs. */
function told(record: Told) {
  const { id, label, access, folders } = record;
  return {
    id,
    label,
    access,
    folders,
    created: timeText(record.createdMs),
    expires: timeText(record.expiresMs),
    revoked: timeText(record.revokedMs),
    used: timeText(record.usedMs),
  };
}

function timeText(timeMs: number | undefined): string | null {
  return timeMs === undefined ? null : new Date(timeMs).toISOString();
}

/** For people. */
function described(record: Told): string {
  const { label, access, folders, expiresMs, revokedMs, usedMs } = record;
  const whose = label === "" ? "" : `${quoted(label)}, `;
  const reach = folders === "all" ? "all folders" : folders.join(", ");
  const isExpired = expiresMs !== undefined && expiresMs <= Date.now();
  const end =
    revokedMs !== undefined
      ? `revoked ${timeText(revokedMs)}`
      : expiresMs === undefined
        ? "never expires"
        : `${isExpired ? "expired" : "expires"} ${timeText(expiresMs)}`;
  const use = usedMs === undefined ? "not used yet" : `used ${timeText(usedMs)}`;
  return `${whose}${accessText(access)} ${reach}, ${end}, ${use}`;
}

function accessText(access: Access): string {
  return { read: "reads", write: "reads and writes", admin: "administers" }[access];
}
