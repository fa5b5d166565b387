/**
 * `synced webhook add|list|remove|test`: whom a server tells of changes, on the machine where its
 * data is, also while it runs. Rules: W1-W4.
 */
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { defineCommand } from "citty";
import { reasonOf } from "../adapters/disk/system-error.ts";
import { SyncedError } from "../core/error.ts";
import { EXIT, type ExitCode } from "../core/exit-code.ts";
import { parseFolderName } from "../core/identifier.ts";
import { parseWebhookFilter, parseWebhookSecret } from "../core/webhook.ts";
import type { Webhook } from "../ports/webhook-store.ts";
import { type OpenedWebhooks, openWebhooks } from "../storage.ts";
import { commonFlags, textFlag } from "./flags.ts";
import { createOutput, type Output } from "./output.ts";
import { metadataFlags, readMetadataUrl } from "./places.ts";
import { count, quoted } from "./progress.ts";
import { shownTime } from "./shown-time.ts";

const args = {
  action: { type: "positional", description: "add, list, remove or test", required: true },
  target: { type: "positional", description: "add: the URL; else the id", required: false },
  data: { ...textFlag("data", "DIR", "Data directory"), default: "./storage" },
  on: { ...textFlag("on", "ACTION,...:PATTERN", "add: of which changes"), default: "any" },
  folder: textFlag("folder", "NAME,...", "add: only of these folders; of all if absent"),
  "secret-file": textFlag("secret-file", "FILE", "add: whsec_...; a new one is made if absent"),
  ...metadataFlags,
  ...commonFlags,
} as const;

export const command = defineCommand({
  meta: { name: "webhook", description: "Tell another program of changes, by HTTP" },
  args,
  async run({ args: flags }) {
    const output = createOutput(flags);
    const { action, target } = flags;
    if (!["add", "list", "remove", "test"].includes(action)) {
      throw new SyncedError("usage", `Cannot do ${quoted(action)}: use add, list, remove or test`);
    }
    if ((action === "list") !== (target === undefined)) {
      const claim = action === "add" ? "name a URL" : "synced webhook list shows the ids";
      throw new SyncedError("usage", `Cannot take these arguments for "${action}": ${claim}`);
    }
    const opened = await openWebhooks(resolve(flags.data), readMetadataUrl(flags));
    try {
      if (target === undefined) return await list(opened, output);
      if (action === "add") return await add(opened, { ...flags, url: target }, output);
      if (action === "remove") return await remove(opened, target, output);
      return await test(opened, target, output);
    } finally {
      opened.close();
    }
  },
});

interface NewWebhookFlags {
  readonly url: string;
  readonly on: string;
  readonly folder?: string | undefined;
  readonly "secret-file"?: string | undefined;
}

async function add(
  opened: OpenedWebhooks,
  flags: NewWebhookFlags,
  output: Output,
): Promise<ExitCode> {
  const url = parseReceiver(flags.url);
  parseWebhookFilter(flags.on);
  const names = flags.folder?.split(",").map((name) => parseFolderName(name.trim()));
  const file = flags["secret-file"];
  const secret = file === undefined ? undefined : readSecret(file);
  const made = await opened.add({ url, filter: flags.on, folders: names ?? "all", secret });
  const { id } = made;
  const isNew = secret === undefined;
  output.event("webhook_added", { ...told(made), ...(isNew ? { secret: made.secret } : {}) });
  output.say(`Webhook ${id}: ${described(made)}, of what happens from now on`);
  if (isNew) {
    output.say("It signs with this secret, which is shown this once:");
    if (!output.isJson) process.stdout.write(`${made.secret}\n`);
  }
  return EXIT.done;
}

async function list(opened: OpenedWebhooks, output: Output): Promise<ExitCode> {
  const webhooks = await opened.list();
  for (const { behind, ...webhook } of webhooks) {
    const lag = behind === 0 ? "all told" : `${count(behind, "event")} to look at`;
    const fields = { ...told(webhook), behind };
    output.result(fields, `${webhook.id}  ${described(webhook)}, ${stateOf(webhook)}, ${lag}`);
  }
  if (webhooks.length === 0) output.say("There are no webhooks");
  return EXIT.done;
}

async function remove(opened: OpenedWebhooks, id: string, output: Output): Promise<ExitCode> {
  await opened.remove(id);
  output.event("webhook_removed", { id });
  output.say(`Removed webhook ${id}: nothing more is sent to it`);
  return EXIT.done;
}

async function test(opened: OpenedWebhooks, id: string, output: Output): Promise<ExitCode> {
  const outcome = await opened.test(id);
  const why = outcome.kind === "failed" ? outcome.why : undefined;
  output.event("webhook_tested", { id, outcome: outcome.kind, why });
  if (outcome.kind === "delivered") {
    output.say(`Webhook ${id} took a message of type webhook.test`);
    return EXIT.done;
  }
  output.error(`Webhook ${id} did not take it: ${why ?? "it answered 410, gone"}`);
  return EXIT.problems;
}

/** @throws {SyncedError} `usage`; a name or password in the URL would be shown in lists */
function parseReceiver(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const isHttp = url?.protocol === "http:" || url?.protocol === "https:";
  if (url !== undefined && isHttp && url.username === "" && url.password === "") return url.href;
  throw new SyncedError(
    "usage",
    `Cannot send to ${quoted(text)}: expected http:// or https://, without a name or password`,
  );
}

function readSecret(file: string): string {
  try {
    return parseWebhookSecret(readFileSync(file, "utf8"));
  } catch (cause) {
    if (cause instanceof SyncedError) throw cause;
    throw new SyncedError("usage", `Cannot read --secret-file "${file}": ${reasonOf(cause)}`, {
      cause,
    });
  }
}

/** For programs; never the secret. */
function told({ id, url, filter, folders, failingSinceMs, trouble, isStopped }: Webhook) {
  const failing = failingSinceMs === undefined ? null : new Date(failingSinceMs).toISOString();
  return { id, url, on: filter, folders, failing, trouble: trouble ?? null, stopped: isStopped };
}

function described({ url, filter, folders }: Webhook): string {
  return `${url}, ${filter} in ${folders === "all" ? "all folders" : folders.join(", ")}`;
}

function stateOf({ failingSinceMs, trouble, isStopped }: Webhook): string {
  if (isStopped) return "stopped: it answered 410";
  if (failingSinceMs === undefined) return "well";
  return `failing since ${shownTime(failingSinceMs)}: ${trouble ?? ""}`;
}
