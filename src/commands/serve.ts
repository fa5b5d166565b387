/**
 * `synced serve`: runs the server until it is interrupted or its storage fails. Rules: H2, H3, I41.
 */

import { resolve } from "node:path";
import { defineCommand } from "citty";
import { createServer, type Server } from "../../server.ts";
import { requireOpenFiles } from "../adapters/disk/open-files.ts";
import { widenThreadPool } from "../adapters/runtime/native-calls.ts";
import { SyncedError } from "../core/error.ts";
import { EXIT } from "../core/exit-code.ts";
import {
  commonFlags,
  parseKeepFlag,
  parsePortFlag,
  readToken,
  switchFlag,
  textFlag,
  tokenFlag,
} from "./flags.ts";
import { type Interruption, onInterruption } from "./interruption.ts";
import { startMirror } from "./mirror.ts";
import { createOutput, type Output } from "./output.ts";
import { formatBytes } from "./progress-bar.ts";

const args = {
  data: { ...textFlag("data", "DIR", "Data directory"), default: "./storage" },
  host: { ...textFlag("host", "ADDRESS", "Address to listen on"), default: "127.0.0.1" },
  port: { ...textFlag("port", "N", "Port to listen on, 0 for any free one"), default: "8080" },
  ...tokenFlag,
  "insecure-no-auth": switchFlag(
    "insecure-no-auth",
    "Listen on an address that others can reach without a token",
  ),
  "metrics-port": textFlag(
    "metrics-port",
    "N",
    "Port for /metrics alone, without a token; it is on the main port too",
  ),
  keep: {
    ...textFlag("keep", "TIME", "How long to keep old versions: 90d, or 90d,FOLDER=30d"),
    default: "forever",
  },
  mirror: textFlag("mirror", "DIR", "Keep a plain copy of each folder as DIR/FOLDER"),
  "database-url": textFlag(
    "database-url",
    "URL",
    "PostgreSQL to write every event to, postgres://USER:PASSWORD@HOST/DATABASE",
  ),
  ...commonFlags,
} as const;

export const command = defineCommand({
  meta: { name: "serve", description: "Run the server" },
  args,
  async run({ args: flags }) {
    widenThreadPool();
    requireOpenFiles();
    const output = createOutput(flags);
    const token = readToken(flags["token-file"], process.env);
    const port = parsePortFlag("port", flags.port);
    const metricsPort = flags["metrics-port"];
    const databaseUrl = flags["database-url"];
    const interruption = onInterruption(output.say);
    const server = await createServer({
      data: resolve(flags.data),
      host: flags.host,
      port,
      isOpenToAll: flags["insecure-no-auth"],
      onError: (error, requestId) => output.error(`Request ${requestId} failed: ${textOf(error)}`),
      ...(token === undefined ? undefined : { token }),
      ...(metricsPort === undefined
        ? undefined
        : { metricsPort: parsePortFlag("metrics-port", metricsPort) }),
      ...(databaseUrl === undefined ? undefined : { databaseUrl }),
      retention: parseKeepFlag(flags.keep),
      onCollected: ({ versions, objects, bytes, skipped }) => {
        output.event("collected", { versions, objects, bytes, skipped });
        for (const message of skipped) output.warn(message);
        output.detail(`Deleted ${objects} objects that no version needs, ${formatBytes(bytes)}`);
      },
      onUpkeepFailure: (error) => output.error(`Collecting garbage failed: ${textOf(error)}`),
      onFilesLog: ({ code, message }) => {
        output.event(code, { message });
        if (code === "files_log_connected") output.say(message);
        else output.warn(message);
      },
    });
    announce(output, server, token !== undefined, flags.data);
    const mirror =
      flags.mirror === undefined
        ? undefined
        : startMirror({ server, directory: resolve(flags.mirror), output });
    try {
      await untilEnd(server, interruption);
    } finally {
      await mirror?.stop();
      await server.close();
    }
    output.event("stopped", { reason: "interrupted" });
    return interruption.exitCode() ?? EXIT.done;
  },
});

function announce(output: Output, server: Server, hasToken: boolean, data: string): void {
  const { url, serverId, metricsUrl } = server;
  const metrics = metricsUrl === undefined ? undefined : { metricsUrl };
  output.event("listening", { url, serverId, ...metrics });
  output.say(`Listening on ${url}, data in "${data}"`);
  if (metricsUrl !== undefined) output.say(`Metrics on ${metricsUrl}`);
  const tokenFlagText = hasToken ? " --token-file FILE" : "";
  output.say(`Try next: synced sync FOLDER --server ${reachable(url)}${tokenFlagText}`);
}

/** Replaces an address that means "all of mine", because no client can be pointed at it. */
function reachable(url: string): string {
  return url.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:");
}

/** Resolves when it is interrupted. @throws the error with which storage failed */
async function untilEnd(server: Server, interruption: Interruption): Promise<void> {
  const { signal } = interruption;
  const interrupted = new Promise<undefined>((resolve) => {
    if (signal.aborted) resolve(undefined);
    signal.addEventListener("abort", () => resolve(undefined), { once: true });
  });
  const failure = await Promise.race([interrupted, server.failure.then((error) => ({ error }))]);
  if (failure !== undefined) {
    const { error } = failure;
    // No data can be promised durable any more. Only a new process can read what the disk really
    // has.
    throw error instanceof SyncedError
      ? error
      : new SyncedError("internal", `Storage failed: ${textOf(error)}`, { cause: error });
  }
}

function textOf(error: unknown): string {
  if (error instanceof SyncedError) return error.message;
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
