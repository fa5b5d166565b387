/**
 * `synced serve --mirror DIR`: a plain copy of each folder as DIR/FOLDER. Rules: V6, V7. The
 * ordinary client keeps it, in this process and without a socket. So a file that is put there is
 * synced too.
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Server } from "../../server.ts";
import { systemClock } from "../adapters/runtime/clock.ts";
import { runClient } from "../client/run.ts";
import { SyncedError } from "../core/error.ts";
import type { FolderName } from "../core/identifier.ts";
import { FULL_SCAN_INTERVAL_MS, RETRY_DELAY_MS_MAX, RETRY_DELAY_MS_MIN } from "../core/limits.ts";
import { openClientWorld } from "./client-world.ts";
import type { Output } from "./output.ts";
import { createProgress } from "./progress.ts";

const DEVICE_NAME = "mirror";
/** How often new folders are looked for. */
const LOOK_INTERVAL_MS = 1_000;
/** Each copy is a client of its own with a database, watches and some megabytes. */
const MIRRORED_FOLDERS_MAX = 100;
const START_PAUSE_MS = 100;
/** Never resolved: requests go straight to the router, which needs a loopback name. */
const SERVER_URL = "http://127.0.0.1";

export interface MirrorOptions {
  readonly server: Pick<Server, "handle" | "folders" | "insideToken">;
  readonly directory: string;
  readonly output: Output;
}

export interface Mirror {
  /** Lets the clients end. The server must still answer meanwhile. */
  stop(): Promise<void>;
}

/** Trouble with a copy is reported and tried again. It never stops the server. */
export function startMirror(options: MirrorOptions): Mirror {
  const stopping = new AbortController();
  const running = followFolders(options, stopping.signal);
  return {
    async stop() {
      stopping.abort();
      await running;
    },
  };
}

async function followFolders(options: MirrorOptions, signal: AbortSignal): Promise<void> {
  const clients = new Map<FolderName, { readonly ending: AbortController; ended: Promise<void> }>();
  let isFull = false;
  while (!signal.aborted) {
    for (const folder of await options.server.folders()) {
      if (signal.aborted || clients.has(folder)) continue;
      if (clients.size >= MIRRORED_FOLDERS_MAX) {
        if (!isFull) sayFull(options, folder);
        isFull = true;
        break;
      }
      const ending = new AbortController();
      clients.set(folder, { ending, ended: keepFolder(options, folder, ending.signal) });
      // To open a copy keeps the processor busy, and the server must answer meanwhile.
      await systemClock.sleep(START_PAUSE_MS, signal);
    }
    await systemClock.sleep(LOOK_INTERVAL_MS, signal);
  }
  // Each waits for the disk as it closes its database. A turn for each lets the server answer, and
  // end in time whatever they do (H25).
  for (const { ending } of clients.values()) {
    ending.abort();
    await systemClock.yield();
  }
  await Promise.all(Array.from(clients.values(), ({ ended }) => ended));
}

function sayFull({ output, directory }: MirrorOptions, folder: FolderName): void {
  output.error(
    `Cannot keep a copy of folder "${folder}" in "${directory}": there are copies of ` +
      `${MIRRORED_FOLDERS_MAX} folders, and more would take too much memory`,
  );
  output.event("error", { folder, code: "mirror_full", message: "too many folders" });
}

async function keepFolder(
  options: MirrorOptions,
  folder: FolderName,
  signal: AbortSignal,
): Promise<void> {
  let delayMs = RETRY_DELAY_MS_MIN;
  let told: string | undefined;
  while (!signal.aborted) {
    const startMs = systemClock.monotonic();
    try {
      await runFolder(options, folder, signal);
      return;
    } catch (error) {
      if (signal.aborted) return;
      const reason = error instanceof Error ? error.message : String(error);
      if (systemClock.monotonic() - startMs > RETRY_DELAY_MS_MAX) {
        // It went well meanwhile.
        told = undefined;
        delayMs = RETRY_DELAY_MS_MIN;
      }
      if (told !== reason) {
        options.output.error(`Cannot keep the copy of folder "${folder}": ${reason}`);
        const code = error instanceof SyncedError ? error.code : "internal";
        options.output.event("error", { folder, code, message: reason });
      }
      told = reason;
    }
    await systemClock.sleep(delayMs, signal);
    delayMs = Math.min(2 * delayMs, RETRY_DELAY_MS_MAX);
  }
}

async function runFolder(
  { server, directory, output }: MirrorOptions,
  folder: FolderName,
  signal: AbortSignal,
): Promise<void> {
  const path = join(directory, folder);
  mkdirSync(path, { recursive: true });
  // Passes on only what needs a person. The ordinary course of things is shown with `--verbose`.
  const quiet: Output = { ...output, event: () => undefined, say: output.detail };
  const observer = createProgress({ output: quiet, folder: path, terminal: undefined });
  const opened = openClientWorld({ folderPath: path, observer, poll: false, isDryRun: false });
  try {
    await runClient(
      { ...opened.world, transport: async (request) => await server.handle(request) },
      {
        serverUrl: SERVER_URL,
        folder,
        deviceName: DEVICE_NAME,
        once: false,
        fullScanIntervalMs: FULL_SCAN_INTERVAL_MS,
        token: server.insideToken,
      },
      signal,
    );
  } finally {
    opened.close();
  }
}
