/**
 * `synced export TARGET`: writes a folder as of any event or time as plain files, from a data
 * directory, also beside the server that runs on it. Rules: U10.
 */
import { resolve } from "node:path";
import { defineCommand } from "citty";
import { SyncedError } from "../core/error.ts";
import { EXIT } from "../core/exit-code.ts";
import { parseFolderName } from "../core/identifier.ts";
import { exportFolder } from "../storage.ts";
import { commonFlags, textFlag } from "./flags.ts";
import { createOutput } from "./output.ts";
import { count } from "./progress.ts";
import { formatBytes } from "./progress-bar.ts";

const SEQ = /^(?:0|[1-9][0-9]{0,14})$/;

export const command = defineCommand({
  meta: { name: "export", description: "Write a folder of any time as plain files" },
  args: {
    target: { type: "positional", description: "Empty, or not there", required: true },
    data: { ...textFlag("data", "DIR", "Data directory"), default: "./storage" },
    folder: { ...textFlag("folder", "NAME", "Which folder"), default: "default" },
    at: textFlag(
      "at",
      "SEQ|TIME",
      "As of an event, or a time such as 2026-11-28T09:00Z; now if absent",
    ),
    ...commonFlags,
  },
  async run({ args }) {
    const output = createOutput(args);
    const { seq, files, bytes, missing, ...rest } = await exportFolder(resolve(args.data), {
      folder: parseFolderName(args.folder),
      at: args.at === undefined ? undefined : parseAt(args.at),
      target: resolve(args.target),
    });
    output.event("exported", { target: args.target, seq, files, bytes, ...rest, missing });
    for (const message of missing) output.warn(message);
    output.say(`Wrote ${count(files, "file")}, ${formatBytes(bytes)}, as of event ${seq}`);
    if (missing.length === 0) return EXIT.done;
    output.error(`${count(missing.length, "file")} cannot be had`);
    return EXIT.damage;
  },
});

/** @throws {SyncedError} `usage` */
function parseAt(text: string): { readonly seq: number } | { readonly timeMs: number } {
  if (SEQ.test(text)) return { seq: Number(text) };
  const timeMs = Date.parse(text);
  if (!Number.isNaN(timeMs)) return { timeMs };
  const claim = "expected an event's number, or a time such as 2026-11-28T09:00Z";
  throw new SyncedError("usage", `Cannot use --at "${text}": ${claim}`);
}
