/**
 * `synced backup TARGET`: a copy of a data directory, also beside the server that runs on it; again
 * to the same target it copies what is new. Rules: U9.
 */
import { resolve } from "node:path";
import { defineCommand } from "citty";
import { EXIT } from "../core/exit-code.ts";
import { backUpDataDirectory } from "../storage.ts";
import { commonFlags, textFlag } from "./flags.ts";
import { createOutput } from "./output.ts";
import { count } from "./progress.ts";
import { formatBytes } from "./progress-bar.ts";

export const command = defineCommand({
  meta: { name: "backup", description: "Copy a server's data directory, also while it runs" },
  args: {
    target: { type: "positional", description: "Empty, or an earlier backup", required: true },
    data: { ...textFlag("data", "DIR", "Data directory"), default: "./storage" },
    ...commonFlags,
  },
  async run({ args }) {
    const output = createOutput(args);
    const report = await backUpDataDirectory(resolve(args.data), resolve(args.target));
    const { copied, copiedBytes, deleted, damaged } = report;
    const { length: damagedCount } = damaged;
    output.event("backed_up", { target: args.target, copied, copiedBytes, deleted, damaged });
    for (const digest of damaged) output.warn(`Object ${digest} cannot be read, and is not copied`);
    output.say(
      `Backed up to "${args.target}": ${count(copied, "new object")}, ${formatBytes(copiedBytes)}`,
    );
    if (damagedCount === 0) return EXIT.done;
    output.error(`${count(damagedCount, "object")} cannot be read: run synced verify`);
    return EXIT.damage;
  },
});
