/**
 * `synced verify`: reads everything in a data directory and names all damage. Changes nothing; no
 * server may run on
 * it meanwhile. Exit 0 clean, 4 damage found. Rules: I25, I27, I37.
 */
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { defineCommand } from "citty";
import { openDataDirectory } from "../adapters/data-directory.ts";
import { SyncedError } from "../core/error.ts";
import { verifyData } from "../server/verify.ts";
import { commonFlags, textFlag } from "./flags.ts";
import { createOutput, type Output } from "./output.ts";

const EXIT_DAMAGE = 4;

export const command = defineCommand({
  meta: { name: "verify", description: "Check a server's data directory for damage" },
  args: {
    data: { ...textFlag("data", "DIR", "Data directory"), default: "./storage" },
    ...commonFlags,
  },
  async run({ args }) {
    const output = createOutput(args);
    const count = await countFindings(resolve(args.data), output);
    output.event("verified", { data: args.data, findings: count });
    if (count === 0) {
      output.say(`"${args.data}" is sound`);
      return 0;
    }
    output.error(`"${args.data}" has ${count === 1 ? "1 finding" : `${count} findings`}`);
    return EXIT_DAMAGE;
  },
});

/** Names each finding as it is found: reading a large directory takes a while. */
async function countFindings(path: string, output: Output): Promise<number> {
  // Opening would make it.
  if (!existsSync(join(path, "format"))) {
    throw new SyncedError("usage", `Cannot verify "${path}": there is no data directory of synced`);
  }
  const directory = openDataDirectory(path);
  let count = 0;
  try {
    for await (const { where, code, message } of verifyData(directory)) {
      count += 1;
      output.event("finding", { where, code, message });
      output.warn(`${where}: ${message}`);
    }
  } finally {
    await directory.close();
  }
  return count;
}
