/** `synced blame`: who changed what in a directory last, the latest first. Rules: E3. */
import { defineCommand } from "citty";
import { EXIT } from "../core/exit-code.ts";
import { HISTORY_ROWS_PER_PAGE_MAX } from "../core/limits.ts";
import { joinPath } from "../core/path.ts";
import { commonFlags, textFlag } from "./flags.ts";
import { momentAt } from "./moment.ts";
import { createOutput, isRead } from "./output.ts";
import { blameLine } from "./shown-past.ts";
import { openTarget, targetFlags } from "./target.ts";

export const command = defineCommand({
  meta: { name: "blame", description: "Say who changed what in a directory last" },
  args: {
    path: { type: "positional", description: "A directory in the folder", required: false },
    at: textFlag("at", "MOMENT", "As of then"),
    ...targetFlags,
    ...commonFlags,
  },
  async run({ args }) {
    const output = createOutput(args);
    const { api, path } = await openTarget(args, args.path ?? "");
    let at = args.at === undefined ? undefined : (await momentAt({ api, output }, args.at)).seq;
    let offset: number | undefined = 0;
    do {
      const order = { sort: "changed", order: "desc", deleted: 1 };
      const limit = HISTORY_ROWS_PER_PAGE_MAX;
      const page = await api.list({ path, at, offset, limit, ...order });
      at ??= page.seq;
      for (const entry of page.entries) {
        output.result({ path: joinPath(path, entry.name), ...entry }, blameLine(entry, entry.name));
      }
      offset = page.next;
    } while (offset !== undefined && (await isRead()));
    return EXIT.done;
  },
});
