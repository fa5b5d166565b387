/**
 * `synced demo`: a server and two folders in sync in one process, to play with. It uses the same
 * parts as `serve` and `sync`, so it shows what those do.
 */

import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { defineCommand } from "citty";
import { createServer } from "../../server.ts";
import { systemClock } from "../adapters/runtime/clock.ts";
import { widenThreadPool } from "../adapters/runtime/native-calls.ts";
import { runClient } from "../client/run.ts";
import { SyncedError } from "../core/error.ts";
import { EXIT } from "../core/exit-code.ts";
import { parseFolderName } from "../core/identifier.ts";
import { FULL_SCAN_INTERVAL_MS } from "../core/limits.ts";
import { openClientWorld } from "./client-world.ts";
import { commonFlags, parsePortFlag, switchFlag, textFlag } from "./flags.ts";
import { onInterruption } from "./interruption.ts";
import { createOutput, type Output } from "./output.ts";
import { createProgress } from "./progress.ts";

const FIRST_FILE = "hello.txt";
const FIRST_TEXT = "Edit me, rename me, delete me: the other folder follows.\n";
/** Any machine that can run the demo needs only a fraction of a second. */
const FIRST_FILE_WITHIN_MS = 30_000;
const LOOK_INTERVAL_MS = 20;

export const command = defineCommand({
  meta: { name: "demo", description: "Run a server and two folders in sync, to play with" },
  args: {
    directory: {
      type: "positional",
      description: "Where the two folders and the server's data are made",
      default: "./synced-demo",
    },
    port: { ...textFlag("port", "N", "Port of the server, 0 for any free one"), default: "0" },
    once: switchFlag("once", "End when the first file is across"),
    ...commonFlags,
  },
  run: ({ args }) =>
    runDemo({
      directory: resolve(args.directory),
      port: parsePortFlag("port", args.port),
      once: args.once,
      output: createOutput(args),
      details: createOutput({ ...args, json: false, quiet: args.quiet || !args.verbose }),
    }),
});

interface DemoOptions {
  readonly directory: string;
  readonly port: number;
  readonly once: boolean;
  readonly output: Output;
  /** Where the two clients' lines go. */
  readonly details: Output;
}

/** @returns the exit code. */
async function runDemo(options: DemoOptions): Promise<number> {
  widenThreadPool();
  const { output, directory } = options;
  const first = join(directory, "synced1");
  const second = join(directory, "synced2");
  for (const path of [first, second]) mkdirSync(path, { recursive: true });
  const interruption = onInterruption(output.say);
  const server = await createServer({ data: join(directory, "storage"), port: options.port });
  output.event("listening", { url: server.url });
  const ending = new AbortController();
  const signal = AbortSignal.any([ending.signal, interruption.signal]);
  const clients = [first, second].map((path) => runFolder(path, server.url, options, signal));
  try {
    // A client ends early only by failing, and then says why.
    await Promise.race([carryFirstFile(first, second, signal), ...clients]);
    if (interruption.exitCode() !== undefined) return interruption.exitCode() ?? EXIT.done;
    output.event("in_sync", { folders: [first, second] });
    output.say(`in sync: ${second} has the same files as ${first}`);
    if (options.once) return EXIT.done;
    output.say(lesson(server.url, first, second));
    await Promise.all(clients);
    return interruption.exitCode() ?? EXIT.done;
  } finally {
    ending.abort();
    await Promise.allSettled(clients);
    await server.close();
  }
}

async function runFolder(
  path: string,
  serverUrl: string,
  options: DemoOptions,
  signal: AbortSignal,
): Promise<void> {
  const observer = createProgress({ output: options.details, folder: path, terminal: undefined });
  const opened = openClientWorld({ folderPath: path, observer, poll: false, isDryRun: false });
  try {
    await runClient(
      opened.world,
      {
        serverUrl,
        folder: parseFolderName("default"),
        deviceName: basename(path),
        once: false,
        fullScanIntervalMs: FULL_SCAN_INTERVAL_MS,
      },
      signal,
    );
  } finally {
    opened.close();
  }
}

/**
 * Puts a file into the first folder, unless an earlier demo did, and waits until the second folder
 * has it.
 */
async function carryFirstFile(first: string, second: string, signal: AbortSignal): Promise<void> {
  const source = join(first, FIRST_FILE);
  const target = join(second, FIRST_FILE);
  if (!existsSync(source) && !existsSync(target)) writeFileSync(source, FIRST_TEXT);
  const deadlineMs = systemClock.monotonic() + FIRST_FILE_WITHIN_MS;
  while (!signal.aborted) {
    if (sameText(source, target)) return;
    if (systemClock.monotonic() > deadlineMs) {
      throw new SyncedError(
        "internal",
        `"${source}" is not in "${second}" after ${FIRST_FILE_WITHIN_MS / 1_000} s: run again with --verbose`,
      );
    }
    await systemClock.sleep(LOOK_INTERVAL_MS, signal);
  }
}

/**
 * Also true if neither has it, because it may have been deleted in one of them since an earlier
 * demo.
 */
function sameText(source: string, target: string): boolean {
  if (!existsSync(source) || !existsSync(target)) return existsSync(source) === existsSync(target);
  return readFileSync(source, "utf8") === readFileSync(target, "utf8");
}

function lesson(serverUrl: string, first: string, second: string): string {
  return [
    "",
    "Now it is your turn: put, edit, rename and delete files in either folder and look into the other:",
    `  ${first}`,
    `  ${second}`,
    "The server has the same files, and every version that they ever had:",
    `  curl "${serverUrl}/v1/folders/default/index"`,
    `  curl "${serverUrl}/v1/folders/default/history?path=${FIRST_FILE}"`,
    "To sync a folder of your own with this server, in another terminal:",
    `  synced sync FOLDER --server ${serverUrl}`,
    "Ctrl-C ends the demo; the files stay.",
  ].join("\n");
}
