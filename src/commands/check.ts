/**
 * `synced check`: proves that a folder equals the server's, or names each difference. Exit 0 equal,
 * 3 different. It changes nothing, and a client may run on the folder meanwhile. Rules: Y6, I43.
 */

import { defineCommand } from "citty";
import { createFetchTransport } from "../adapters/network/fetch-transport.ts";
import { openFolder } from "../adapters/open-folder.ts";
import { systemClock } from "../adapters/runtime/clock.ts";
import { checkFolder } from "../client/check.ts";
import { KEPT, readKept, type TextPair } from "../client/folder/kept-values.ts";
import { SyncedError } from "../core/error.ts";
import { EXIT } from "../core/exit-code.ts";
import { parseFolderName } from "../core/identifier.ts";
import {
  clientTokenFile,
  commonFlags,
  fingerprintFlag,
  readToken,
  readTrust,
  switchFlag,
  textFlag,
  tokenFlag,
} from "./flags.ts";
import {
  openFolderState,
  rememberedBinding,
  requireOwnServer,
  resolveFolder,
} from "./folder-state.ts";
import { onInterruption } from "./interruption.ts";
import { createOutput } from "./output.ts";
import { count, quoted } from "./progress.ts";
import { parseServerUrl } from "./server-url.ts";

export const command = defineCommand({
  meta: { name: "check", description: "Compare a folder with the server's" },
  args: {
    path: { type: "positional", description: "The folder's path", required: true },
    server: textFlag("server", "URL", "Address of the server, if not the remembered one"),
    "read-data": switchFlag("read-data", "Compare every file's bytes, not only size and time"),
    ...fingerprintFlag,
    ...tokenFlag,
    ...commonFlags,
  },
  async run({ args }) {
    const output = createOutput(args);
    const path = resolveFolder(args.path);
    const known = rememberedBinding(path);
    const server = args.server ?? known?.serverUrl;
    if (known === undefined || server === undefined) {
      throw new SyncedError(
        "usage",
        `Cannot check "${args.path}": it is not a synced folder; name one that was synced before`,
      );
    }
    const tokenFile = clientTokenFile(args["token-file"], process.env, path);
    const token = readToken(tokenFile, process.env);
    const options = {
      serverUrl: parseServerUrl(server),
      folder: parseFolderName(known.folder),
      readData: args["read-data"],
      rules: rememberedRules(path),
      ...(token === undefined ? {} : { token }),
    };
    const interruption = onInterruption(output.say);
    const { fs } = openFolder(path, { readOnly: true });
    requireOwnServer(fs, path, { ...options, isServerRemembered: args.server === undefined });
    const trust = readTrust(args.fingerprint, known.fingerprint);
    const world = { fs, clock: systemClock, transport: createFetchTransport(trust) };
    let differences = 0;
    try {
      const tell = (difference: { readonly path: string; readonly what: string }): void => {
        differences += 1;
        output.event("difference", { ...difference });
        output.warn(`${quoted(difference.path)}: ${difference.what}`);
      };
      const { seq, entries } = await checkFolder(world, options, tell, interruption.signal);
      output.event("checked", { seq, entries, differences });
      if (differences === 0) {
        output.say(`Equal: ${count(entries, "path")} as of event ${seq}`);
        return EXIT.done;
      }
      output.error(`${count(differences, "difference")} as of event ${seq}`);
      return EXIT.problems;
    } catch (error) {
      const code = interruption.exitCode();
      if (code === undefined) throw error;
      return code;
    } finally {
      fs.close();
    }
  },
});

/** The rules in force when the client looked last. */
export function rememberedRules(path: string): readonly TextPair[] | undefined {
  const store = openFolderState(path);
  try {
    return store === undefined ? undefined : readKept(store, KEPT.ignoreRules);
  } finally {
    store?.close();
  }
}
