/**
 * `synced invite`: makes an invitation for one more device, on the machine where the server's data
 * is, also while it runs. Rules: K12.
 */
import { resolve } from "node:path";
import { defineCommand } from "citty";
import { SyncedError } from "../core/error.ts";
import { EXIT } from "../core/exit-code.ts";
import { parseFingerprint } from "../core/fingerprint.ts";
import { encodeInvitation } from "../protocol/invite.ts";
import { openTokens } from "../storage.ts";
import { commonFlags, fingerprintFlag, parseDurationFlag, textFlag } from "./flags.ts";
import { createOutput } from "./output.ts";
import { metadataFlags, readMetadataUrl } from "./places.ts";
import { parseOneUrl, reachableUrl } from "./server-url.ts";
import { grantFlags, readGrant } from "./token.ts";

/** An invitation may stand in a chat and on a command line, so it is not good for long. */
const LIFE_MS_MAX = 7 * 86_400_000;

export const command = defineCommand({
  meta: { name: "invite", description: "Invite one more device to a server" },
  args: {
    data: { ...textFlag("data", "DIR", "Data directory"), default: "./storage" },
    server: textFlag("server", "URL", "How others reach the server; else as it was started"),
    ...fingerprintFlag,
    ...metadataFlags,
    ...grantFlags,
    expires: {
      ...textFlag("expires", "TIME", "How long the invitation is good, at most 7d"),
      default: "15m",
    },
    ...commonFlags,
  },
  async run({ args }) {
    const output = createOutput(args);
    const lifeMs = parseDurationFlag("expires", args.expires);
    if (lifeMs > LIFE_MS_MAX) {
      throw new SyncedError("usage", `Cannot use --expires "${args.expires}": at most 7d`);
    }
    const grant = readGrant(args);
    const opened = await openTokens(resolve(args.data), readMetadataUrl(args));
    try {
      const { address, tokens } = opened;
      const url = args.server === undefined ? address?.url : parseOneUrl(args.server, "server");
      if (url === undefined) {
        throw new SyncedError("usage", "Cannot tell how others reach the server: add --server URL");
      }
      const fingerprint =
        args.fingerprint === undefined ? address?.fingerprint : parseFingerprint(args.fingerprint);
      const isFirst = tokens.isEmpty;
      const [folder, ...others] = grant.folders === "all" ? [] : grant.folders;
      const code = encodeInvitation({
        serverUrl: reachableUrl(url),
        secret: await tokens.invite({ ...grant, lifeMs }),
        ...(fingerprint === undefined ? undefined : { fingerprint }),
        ...(folder === undefined || others.length > 0 ? undefined : { folder }),
      });
      output.event("invited", { code, server: reachableUrl(url), access: grant.access });
      if (isFirst) output.say("Once it is used, the server wants a token from everybody");
      output.say(
        `Good once, for ${args.expires}. On the other machine: synced sync FOLDER --invite`,
      );
      if (!output.isJson) process.stdout.write(`${code}\n`);
      return EXIT.done;
    } finally {
      opened.close();
    }
  },
});
