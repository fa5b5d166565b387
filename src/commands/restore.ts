/** `synced restore`: a file, a directory or everything as it was at any moment. Rules: E11, X4. */
import { defineCommand } from "citty";
import { printableName } from "../core/printable.ts";
import { commonFlags, switchFlag, textFlag } from "./flags.ts";
import { momentAt } from "./moment.ts";
import { createOutput } from "./output.ts";
import { carryOut, planFlags } from "./planned.ts";
import { openTarget, targetFlags } from "./target.ts";

export const command = defineCommand({
  meta: { name: "restore", description: "Make a path again as it was at any moment" },
  args: {
    path: { type: "positional", description: "A path in the folder", required: false },
    at: { ...textFlag("at", "MOMENT", 'When: "yesterday 18:00", 2h, an event'), required: true },
    "keep-later": switchFlag("keep-later", "Leave alone what other devices changed later"),
    ...planFlags,
    ...targetFlags,
    ...commonFlags,
  },
  async run({ args }) {
    const output = createOutput(args);
    const { api, path, device } = await openTarget(args, args.path ?? "");
    const { seq, shown } = await momentAt({ api, output }, args.at);
    const place = path === "" ? "everything" : printableName(path);
    const purpose = `${place} would be again as it was at ${shown}`;
    const request = {
      kind: "restore",
      path,
      at: seq,
      ...(args["keep-later"] ? { keepLater: device } : {}),
      ...(args["keep-both"] ? ({ overlaps: "keep-both" } as const) : {}),
    } as const;
    return await carryOut({ api, output, device, request, purpose }, args);
  },
});
