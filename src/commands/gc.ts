/**
 * `synced gc`: collects the garbage of a data directory on which no server runs; a running server
 * does it by itself. Rules: U1-U4.
 */
import { resolve } from "node:path";
import { defineCommand } from "citty";
import { SyncedError } from "../core/error.ts";
import { EXIT } from "../core/exit-code.ts";
import { collectDataDirectory } from "../storage.ts";
import { commonFlags, parseAgeFlag, parseKeepFlag, switchFlag, textFlag } from "./flags.ts";
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
    keep: {
      ...textFlag("keep", "TIME", "How long to keep old versions: 90d, or 90d,FOLDER=30d"),
      default: "forever",
    },
    "older-than": {
      ...textFlag("older-than", "AGE", "Leave younger uploads alone: 36h, 2d, 0 for none"),
      default: "1d",
    },
    ...commonFlags,
  },
  async run({ args }) {
    const output = createOutput(args);
    const isDryRun = args["dry-run"];
    if (isDryRun && args.keep !== "forever") {
      throw new SyncedError("usage", "Cannot use --keep with --dry-run: it would delete versions");
    }
    const ageMsMin = parseAgeFlag("older-than", args["older-than"]);
    const { versions, objects, bytes, skipped } = await collectDataDirectory(resolve(args.data), {
      isDryRun,
      ageMsMin,
      retention: parseKeepFlag(args.keep),
    });
    output.event("collected", {
      data: args.data,
      versions,
      objects,
      bytes,
      dryRun: isDryRun,
      skipped,
    });
    for (const message of skipped) output.warn(message);
    if (versions > 0) output.say(`${versions} old versions are gone`);
    const what = `${objects} objects, ${formatBytes(bytes)}`;
    output.say(isDryRun ? `Would delete ${what}` : `Deleted ${what}`);
    return skipped.length === 0 ? EXIT.done : EXIT.damage;
  },
});
