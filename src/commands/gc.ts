/**
 * `synced gc`: collects the garbage of a data directory on which no server runs; a running server
 * does it by itself. Rules: U1-U4.
 */
import { resolve } from "node:path";
import { defineCommand } from "citty";
import { collectDataDirectory } from "../../storage.ts";
import { EXIT } from "../core/exit-code.ts";
import { commonFlags, parseAgeFlag, switchFlag, textFlag } from "./flags.ts";
import { createOutput } from "./output.ts";
import { formatBytes } from "./progress-bar.ts";

export const command = defineCommand({
  meta: {
    name: "gc",
    description: "Delete what no version of any file needs from a data directory",
  },
  args: {
    data: { ...textFlag("data", "DIR", "Data directory"), default: "./storage" },
    "dry-run": switchFlag("dry-run", "Say what would be deleted, and delete nothing"),
    "older-than": {
      ...textFlag("older-than", "AGE", "Leave younger uploads alone: 36h, 2d, 0 for none"),
      default: "1d",
    },
    ...commonFlags,
  },
  async run({ args }) {
    const output = createOutput(args);
    const isDryRun = args["dry-run"];
    const ageMsMin = parseAgeFlag("older-than", args["older-than"]);
    const { objects, bytes, skipped } = await collectDataDirectory(resolve(args.data), {
      isDryRun,
      ageMsMin,
    });
    output.event("collected", { data: args.data, objects, bytes, dryRun: isDryRun, skipped });
    for (const message of skipped) output.warn(message);
    const what = `${objects} objects, ${formatBytes(bytes)}`;
    output.say(isDryRun ? `Would delete ${what}` : `Deleted ${what}`);
    return skipped.length === 0 ? EXIT.done : EXIT.damage;
  },
});
