/** `synced history`: the versions of a path, across renames, deletion and return. Rules: H14. */
import { defineCommand } from "citty";
import { SyncedError } from "../core/error.ts";
import { EXIT } from "../core/exit-code.ts";
import { EVENTS_PER_PAGE_MAX } from "../core/limits.ts";
import { commonFlags, textFlag } from "./flags.ts";
import { momentAt } from "./moment.ts";
import { createOutput, isRead } from "./output.ts";
import { versionLine } from "./shown-past.ts";
import { openTarget, targetFlags } from "./target.ts";

export const command = defineCommand({
  meta: { name: "history", description: "List the versions of a file or directory, newest first" },
  args: {
    path: { type: "positional", description: "A path in the folder", required: true },
    at: textFlag("at", "MOMENT", "Of what was at the path then, wherever it is now"),
    ...targetFlags,
    ...commonFlags,
  },
  async run({ args }) {
    const output = createOutput(args);
    const { api, path } = await openTarget(args, args.path);
    if (path === "") {
      throw new SyncedError("usage", "The folder itself has no versions: use synced log");
    }
    const at = args.at === undefined ? undefined : (await momentAt({ api, output }, args.at)).seq;
    let before: number | undefined;
    do {
      const page = await api.history({ path, at, before, limit: EVENTS_PER_PAGE_MAX });
      for (const version of page.versions) output.result(version, versionLine(version));
      before = page.next;
    } while (before !== undefined && (await isRead()));
    return EXIT.done;
  },
});
