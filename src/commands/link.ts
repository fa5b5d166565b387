/**
 * `synced link create|list|revoke`: addresses that show one file or directory to whoever has them.
 * Rules: H40, H41.
 */
import { readFileSync } from "node:fs";
import { defineCommand } from "citty";
import { reasonOf } from "../adapters/disk/system-error.ts";
import { SyncedError } from "../core/error.ts";
import { EXIT, type ExitCode } from "../core/exit-code.ts";
import { printableName } from "../core/printable.ts";
import type { LinkInfo } from "../protocol/link-messages.ts";
import { ServerUrls } from "../protocol/server-urls.ts";
import { commonFlags, parseDurationFlag, switchFlag, textFlag } from "./flags.ts";
import { momentAt } from "./moment.ts";
import { createOutput, type Output } from "./output.ts";
import { quoted } from "./progress.ts";
import { shownTime } from "./shown-time.ts";
import { openTarget, type Target, targetFlags } from "./target.ts";

const args = {
  action: { type: "positional", description: "create, list or revoke", required: true },
  path: {
    type: "positional",
    description: "create: what to share; revoke: the link's id",
    required: false,
  },
  at: textFlag("at", "MOMENT", "create: as it was then; now if absent"),
  "follow-changes": switchFlag("follow-changes", "create: show what is there when it is opened"),
  expires: textFlag("expires", "TIME", "create: how long it is good, such as 12h; 7d if absent"),
  "password-file": textFlag("password-file", "FILE", "create: it wants the password in this file"),
  ...targetFlags,
  ...commonFlags,
} as const;

const LIFE = "7d";

interface NewLinkFlags {
  readonly at?: string | undefined;
  readonly "follow-changes": boolean;
  readonly expires?: string | undefined;
  readonly "password-file"?: string | undefined;
}

export const command = defineCommand({
  meta: { name: "link", description: "Share a file or directory by a link that expires" },
  args,
  async run({ args: flags }) {
    const output = createOutput(flags);
    const { action } = flags;
    if (!["create", "list", "revoke"].includes(action)) {
      throw new SyncedError("usage", `Cannot do ${quoted(action)}: use create, list or revoke`);
    }
    if (action === "create") {
      return await create(await openTarget(flags, flags.path ?? ""), flags, output);
    }
    const target = await openTarget(flags, "");
    if (action === "list") return await list(target, output);
    if (flags.path === undefined) {
      throw new SyncedError("usage", "Say which link to revoke: synced link list shows their ids");
    }
    await target.api.revokeLink(flags.path);
    output.event("link_revoked", { id: flags.path });
    output.say(`Revoked link ${printableName(flags.path)}: it opens nothing any more`);
    return EXIT.done;
  },
});

async function create(target: Target, flags: NewLinkFlags, output: Output): Promise<ExitCode> {
  const { api, path, serverUrl } = target;
  const follows = flags["follow-changes"];
  if (follows && flags.at !== undefined) {
    throw new SyncedError("usage", "Use either --at MOMENT or --follow-changes");
  }
  const at = flags.at === undefined ? undefined : (await momentAt({ api, output }, flags.at)).seq;
  const lifeMs = parseDurationFlag("expires", flags.expires ?? LIFE);
  const password = readPassword(flags["password-file"]);
  const link = await api.makeLink({ path, at, follows, lifeMs, password });
  const url = `${new ServerUrls(serverUrl).current}${link.address}`;
  const { id, expires, hasPassword } = link;
  output.event("link", { id, path, url, at: link.at, expires, hasPassword });
  output.say(`${described(link)}. The link is shown this once; end it: synced link revoke ${id}`);
  if (!output.isJson) process.stdout.write(`${url}\n`);
  return EXIT.done;
}

async function list({ api }: Target, output: Output): Promise<ExitCode> {
  const links = await api.links();
  for (const link of links) output.result({ ...link }, `${link.id}  ${described(link)}`);
  if (links.length === 0) output.say("There are no links");
  return EXIT.done;
}

function described({ path, at, expires, hasPassword, over }: LinkInfo): string {
  const what = path === "" ? "the whole folder" : printableName(path);
  const moment = at === undefined ? "follows changes" : `as of event ${at.toLocaleString("en")}`;
  const end =
    over === "token"
      ? "ended with its maker's token"
      : `${over === "expired" ? "expired" : "until"} ${shownTime(expires)}`;
  return `${what}, ${moment}, ${end}${hasPassword ? ", with a password" : ""}`;
}

/** From a file, because every user of the machine can read command lines. */
function readPassword(file: string | undefined): string | undefined {
  if (file === undefined) return undefined;
  try {
    return readFileSync(file, "utf8").replace(/\r?\n$/, "");
  } catch (cause) {
    throw new SyncedError("usage", `Cannot read --password-file "${file}": ${reasonOf(cause)}`, {
      cause,
    });
  }
}
