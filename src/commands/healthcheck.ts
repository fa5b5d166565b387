/**
 * `synced healthcheck`: asks a server whether it is well, for containers. Exit 0 if it is, else 1
 * for any reason.
 */

import { defineCommand } from "citty";
import { createFetchTransport } from "../adapters/network/fetch-transport.ts";
import { EXIT } from "../core/exit-code.ts";
import { parseJson } from "../protocol/json.ts";
import { commonFlags, textFlag } from "./flags.ts";
import { createOutput } from "./output.ts";
import { parseOneUrl } from "./server-url.ts";

/** A healthy server needs a millisecond. Docker's own time-out for a check is 30 s. */
const TIMEOUT_MS = 5_000;

export const command = defineCommand({
  meta: { name: "healthcheck", description: "Ask a server whether it is well" },
  args: {
    url: {
      ...textFlag("url", "URL", "Address of the server"),
      default: "http://127.0.0.1:8080",
    },
    ...commonFlags,
  },
  async run({ args }) {
    const output = createOutput(args);
    const url = parseOneUrl(args.url, "url");
    const trouble = await findTrouble(url);
    output.event("health", { ok: trouble === undefined, url });
    if (trouble === undefined) {
      output.say(`${url} is well`);
      return EXIT.done;
    }
    output.error(`${url} is not well: ${trouble}`);
    return EXIT.failed;
  },
});

/** @returns the reason why it is not well; undefined if it is. */
async function findTrouble(url: string): Promise<string | undefined> {
  try {
    const request = new Request(`${url}/healthz`, { signal: AbortSignal.timeout(TIMEOUT_MS) });
    // It sends nothing that is worth something to somebody else.
    const response = await createFetchTransport({ kind: "anybody" })(request);
    if (response.status !== 200) return `it answered ${response.status}`;
    return isWell(await response.text()) ? undefined : "it is no synced server";
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

function isWell(text: string): boolean {
  try {
    const answer = parseJson(text);
    return typeof answer === "object" && answer !== null && "ok" in answer && answer.ok === true;
  } catch {
    return false;
  }
}
