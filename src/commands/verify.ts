/**
 * `synced verify`: reads everything in a data directory and names all damage. It changes nothing,
 * and no server may run on the directory meanwhile. Exit 0 clean, 4 damage found. Rules: I25, I27,
 * I37.
 */

import { resolve } from "node:path";
import { defineCommand } from "citty";
import { verifyDataDirectory } from "../../storage.ts";
import { EXIT } from "../core/exit-code.ts";
import { commonFlags, textFlag } from "./flags.ts";
import { createOutput, type Output } from "./output.ts";

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
      return EXIT.done;
    }
    output.error(`"${args.data}" has ${count === 1 ? "1 finding" : `${count} findings`}`);
    return EXIT.damage;
  },
});

/** Names each finding at once, because reading a large directory takes a while. */
async function countFindings(path: string, output: Output): Promise<number> {
  let count = 0;
  for await (const { where, code, message } of verifyDataDirectory(path)) {
    count += 1;
    output.event("finding", { where, code, message });
    output.warn(`${where}: ${message}`);
  }
  return count;
}
