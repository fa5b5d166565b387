/**
 * `synced verify`: reads everything in a data directory and names all damage. It changes nothing
 * but what is folded anew, and no server may run on the directory meanwhile. Exit 0 clean, 4 damage
 * found. Rules: E1, I25, I27, I37.
 */

import { resolve } from "node:path";
import { defineCommand } from "citty";
import { SyncedError } from "../core/error.ts";
import { EXIT } from "../core/exit-code.ts";
import { mendDataDirectory, type ReadShare, verifyDataDirectory } from "../storage.ts";
import { commonFlags, switchFlag, textFlag } from "./flags.ts";
import { createOutput, type Output } from "./output.ts";

export const command = defineCommand({
  meta: { name: "verify", description: "Check a server's data directory for damage" },
  args: {
    data: { ...textFlag("data", "DIR", "Data directory"), default: "./storage" },
    "read-data": {
      ...textFlag("read-data", "SHARE", "How much to read of all bytes: 1/30 for a part each day"),
      default: "1/1",
    },
    repair: switchFlag("repair", "First put right what the log proves to be wrong"),
    ...commonFlags,
  },
  async run({ args }) {
    const output = createOutput(args);
    const share = parseShare(args["read-data"]);
    const data = resolve(args.data);
    if (args.repair) await repair(data, output);
    const count = await countFindings(data, share, output);
    output.event("verified", { data: args.data, findings: count });
    if (count === 0) {
      output.say(`"${args.data}" is sound`);
      return EXIT.done;
    }
    output.error(`"${args.data}" has ${count === 1 ? "1 finding" : `${count} findings`}`);
    return EXIT.damage;
  },
});

async function repair(path: string, output: Output): Promise<void> {
  for await (const mended of mendDataDirectory(path)) {
    output.event("repaired", { ...mended });
    output.say(`Repaired ${named(mended)}: ${mended.message}`);
  }
}

function named({ where, path }: { readonly where: string; readonly path?: string }): string {
  return path === undefined ? where : `${where} ${JSON.stringify(path)}`;
}

/** Names each finding at once, because reading a large directory takes a while. */
async function countFindings(path: string, share: ReadShare, output: Output): Promise<number> {
  let count = 0;
  for await (const finding of verifyDataDirectory(path, share)) {
    if (NOTES.includes(finding.code)) {
      output.event("note", { ...finding });
      output.say(`${named(finding)}: ${finding.message}`);
      continue;
    }
    count += 1;
    output.event("finding", { ...finding });
    output.warn(`${named(finding)}: ${finding.message}`);
  }
  return count;
}

/** These are about damage, and are none. */
const NOTES = ["version_healed", "repair_hope", "history_dropped"];
const SHARE = /^1\/([1-9][0-9]{0,3})$/;
const DAY_MS = 86_400_000;

/** Another part each day, so that all parts have their turn. @throws {SyncedError} `usage` */
function parseShare(text: string): ReadShare {
  const [, parts] = SHARE.exec(text) ?? [];
  if (parts === undefined) {
    throw new SyncedError("usage", `Cannot use --read-data "${text}": expected such as 1/30`);
  }
  const of = Number(parts);
  return { of, part: Math.floor(Date.now() / DAY_MS) % of };
}
