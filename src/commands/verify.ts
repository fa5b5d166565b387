/**
 * `synced verify`: reads everything in a data directory and names all damage. It changes nothing,
 * and no server may run on the directory meanwhile. Exit 0 clean, 4 damage found. Rules: I25, I27,
 * I37.
 */

import { resolve } from "node:path";
import { defineCommand } from "citty";
import { SyncedError } from "../core/error.ts";
import { EXIT } from "../core/exit-code.ts";
import { type ReadShare, verifyDataDirectory } from "../storage.ts";
import { commonFlags, textFlag } from "./flags.ts";
import { createOutput, type Output } from "./output.ts";

export const command = defineCommand({
  meta: { name: "verify", description: "Check a server's data directory for damage" },
  args: {
    data: { ...textFlag("data", "DIR", "Data directory"), default: "./storage" },
    "read-data": {
      ...textFlag("read-data", "SHARE", "How much to read of all bytes: 1/30 for a part each day"),
      default: "1/1",
    },
    ...commonFlags,
  },
  async run({ args }) {
    const output = createOutput(args);
    const share = parseShare(args["read-data"]);
    const count = await countFindings(resolve(args.data), share, output);
    output.event("verified", { data: args.data, findings: count });
    if (count === 0) {
      output.say(`"${args.data}" is sound`);
      return EXIT.done;
    }
    output.error(`"${args.data}" has ${count === 1 ? "1 finding" : `${count} findings`}`);
    return EXIT.damage;
  },
});

/** Names each finding at once, because reading a large directory takes a while. */
async function countFindings(path: string, share: ReadShare, output: Output): Promise<number> {
  let count = 0;
  for await (const { where, code, message } of verifyDataDirectory(path, share)) {
    count += 1;
    output.event("finding", { where, code, message });
    output.warn(`${where}: ${message}`);
  }
  return count;
}

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
