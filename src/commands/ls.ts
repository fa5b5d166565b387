/** `synced ls`: a directory as it is, or was at any moment. Rules: E3. */
import { defineCommand } from "citty";
import { EXIT } from "../core/exit-code.ts";
import { joinPath } from "../core/path.ts";
import { commonFlags, switchFlag, textFlag } from "./flags.ts";
import { readEntries } from "./listing.ts";
import { momentAt } from "./moment.ts";
import { createOutput, isRead } from "./output.ts";
import { entryLine, nameLine } from "./shown-past.ts";
import { openTarget, targetFlags } from "./target.ts";

export const command = defineCommand({
  meta: { name: "ls", description: "List a directory, as it is or was at any moment" },
  args: {
    path: { type: "positional", description: "A path in the folder", required: false },
    at: textFlag("at", "MOMENT", 'When: "yesterday 18:00", 2h, friday, an event'),
    long: { ...switchFlag("long", "With size, time, and who changed it last"), alias: "l" },
    recursive: switchFlag("recursive", "With all that is below"),
    deleted: switchFlag("deleted", "With names that were deleted by then, and who did it"),
    ...targetFlags,
    ...commonFlags,
  },
  async run({ args }) {
    const output = createOutput(args);
    const { api, path } = await openTarget(args, args.path ?? "");
    const moment = args.at === undefined ? undefined : await momentAt({ api, output }, args.at);
    const { recursive, deleted } = args;
    const request = { path, at: moment?.seq, isRecursive: recursive, withDeleted: deleted };
    let entries = 0;
    for await (const { entry, directory } of readEntries(api, request)) {
      const place = joinPath(directory, entry.name);
      const shown = recursive ? place.slice(path === "" ? 0 : path.length + 1) : entry.name;
      const line = args.long ? entryLine(entry, shown) : nameLine(entry, shown);
      output.result({ path: place, ...entry }, line);
      entries += 1;
      if (entries % 1_000 === 0 && !(await isRead())) break;
    }
    if (entries === 0) output.say("It is empty");
    return EXIT.done;
  },
});
