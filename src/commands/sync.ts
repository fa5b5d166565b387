/**
 * `synced sync`: keeps one folder identical with the server's. Reads the flags, runs the client on
 * the real world, and turns its outcome into an exit code. Rules: S3, S4, G1, G5, Y1-Y5.
 */

import { hostname } from "node:os";
import { resolve } from "node:path";
import { defineCommand } from "citty";
import { requireOpenFiles } from "../adapters/disk/open-files.ts";
import { widenThreadPool } from "../adapters/runtime/native-calls.ts";
import { planDryRun } from "../client/dry-run.ts";
import type { ClientOptions, ClientWorld, RunOutcome } from "../client/folder/options.ts";
import { runClient } from "../client/run.ts";
import { DIRECTIONS, type Direction, parseDirection } from "../core/direction.ts";
import { SyncedError } from "../core/error.ts";
import { EXIT } from "../core/exit-code.ts";
import { DEFAULT_GUARD, type GuardSetting, parseGuardSetting } from "../core/guard-setting.ts";
import { parseFolderName } from "../core/identifier.ts";
import { DEVICE_NAME_LENGTH_MAX, FULL_SCAN_INTERVAL_MS } from "../core/limits.ts";
import {
  type ClientMetricsStart,
  type RunningClientMetrics,
  startClientMetrics,
} from "./client-metrics.ts";
import { openClientWorld } from "./client-world.ts";
import {
  clientTokenFile,
  commonFlags,
  fingerprintFlag,
  parseNumberFlag,
  parsePortFlag,
  readTrust,
  switchFlag,
  textFlag,
  tokenFlag,
  tokenSource,
} from "./flags.ts";
import { type Remembered, rememberedBinding, requireOwnServer } from "./folder-state.ts";
import { onInterruption } from "./interruption.ts";
import { acceptInvitation, readInvitation, withInvitation } from "./invitation.ts";
import { createOutput, type Output } from "./output.ts";
import { count, createProgress, quoted } from "./progress.ts";
import { isExposed, parseServerUrl } from "./server-url.ts";

const DEFAULT_FOLDER = "default";
const DAY_SECONDS = 86_400;
/** Characters that would break out of a conflict copy's name or move a terminal's cursor. */
const ILLEGAL_IN_DEVICE_NAME = /[\p{C}/\\]/gu;

const args = {
  path: { type: "positional", description: "The folder's path", required: true },
  server: textFlag(
    "server",
    "URL",
    "Address of the server, or of several that share their data (URL,URL); remembered",
  ),
  folder: textFlag("folder", "NAME", 'Name on the server; remembered; "default" at first'),
  device: textFlag("device", "NAME", "Name of this device; the host's name at first"),
  invite: textFlag("invite", "CODE", "Join by an invitation, as synced invite prints it"),
  ...fingerprintFlag,
  ...tokenFlag,
  once: switchFlag("once", "End when in sync, or after 30 s without the server"),
  guard: textFlag(
    "guard",
    "COUNT|PERCENT|off",
    'How many files may go at once unasked; remembered; "default" is 50 or 25% of all',
  ),
  "trust-approvals": textFlag(
    "trust-approvals",
    "on|off",
    "Let held changes through that were approved on another device; remembered; off at first",
  ),
  direction: textFlag(
    "direction",
    "both|pull|push",
    "pull only receives, push only sends; remembered; both at first",
  ),
  "dry-run": switchFlag("dry-run", "Only say what would be done"),
  poll: switchFlag("poll", "Watch by polling, for network file systems"),
  interval: {
    ...textFlag("interval", "SECONDS", "Time between full scans"),
    default: String(FULL_SCAN_INTERVAL_MS / 1_000),
  },
  "metrics-port": textFlag("metrics-port", "N", "Port for /metrics, 0 for any free one"),
  "metrics-host": {
    ...textFlag("metrics-host", "ADDRESS", "Address for /metrics to listen on"),
    default: "127.0.0.1",
  },
  ...commonFlags,
} as const;

export const command = defineCommand({
  meta: { name: "sync", description: "Keep a folder identical with the server's" },
  args,
  async run({ args: flags }) {
    widenThreadPool();
    requireOpenFiles();
    const output = createOutput(flags);
    const path = resolve(flags.path);
    const known = rememberedBinding(path);
    const invitation = readInvitation(flags);
    const asked = withInvitation(flags, invitation);
    const trust = readTrust(asked.fingerprint, known?.fingerprint);
    const tokenFile = clientTokenFile(flags["token-file"], process.env, path);
    const options = {
      ...readOptions({ ...asked, "token-file": tokenFile }, known),
      ...pinOf(trust),
    };
    if (isExposed(options.serverUrl)) {
      output.warn(
        `${options.serverUrl} is not encrypted: others on the network can read the files` +
          `${options.token === undefined ? "" : " and the token"}; put the server behind https`,
      );
    }
    const progress = createProgress({
      output,
      folder: flags.path,
      terminal: flags.quiet || flags.json ? undefined : process.stderr,
    });
    const interruption = onInterruption(output.say);
    const metrics = await serveMetrics(flags, { folderPath: path, observer: progress, output });
    const opened = openClientWorld({
      folderPath: path,
      observer: metrics?.observer ?? progress,
      poll: flags.poll,
      trust,
      isDryRun: flags["dry-run"],
    });
    try {
      const { signal } = interruption;
      requireOwnServer(opened.world.fs, path, options);
      if (flags["dry-run"]) return await dryRun(opened.world, options, signal, output);
      const world =
        metrics === undefined
          ? opened.world
          : { ...opened.world, instruments: metrics.instruments };
      const device = { folderPath: path, name: options.deviceName, signal };
      const token =
        invitation === undefined
          ? undefined
          : { token: await acceptInvitation(world, invitation, device) };
      const outcome = await runClient(world, { ...options, ...token }, signal);
      progress.finish();
      sayOutcome(output, outcome, flags.path);
      return interruption.exitCode() ?? exitCodeOf(outcome);
    } catch (error) {
      const code = interruption.exitCode();
      if (code === undefined || !isInterruption(error)) throw error;
      return code;
    } finally {
      progress.finish();
      opened.close();
      await metrics?.stop();
    }
  },
});

async function serveMetrics(
  flags: { readonly "metrics-port"?: string | undefined; readonly "metrics-host": string },
  { output, ...parts }: Omit<ClientMetricsStart, "host" | "port"> & { readonly output: Output },
): Promise<RunningClientMetrics | undefined> {
  const text = flags["metrics-port"];
  if (text === undefined) return undefined;
  const port = parsePortFlag("metrics-port", text);
  const metrics = await startClientMetrics({ ...parts, host: flags["metrics-host"], port });
  output.event("metrics", { url: metrics.url });
  output.say(`Metrics on ${metrics.url}`);
  return metrics;
}

interface OptionFlags {
  readonly server?: string | undefined;
  readonly folder?: string | undefined;
  readonly device?: string | undefined;
  readonly "token-file"?: string | undefined;
  readonly guard?: string | undefined;
  readonly "trust-approvals"?: string | undefined;
  readonly direction?: string | undefined;
  readonly once: boolean;
  readonly interval: string;
}

/** @throws {SyncedError} `usage`, `invalid_folder_name`, `invalid_token` */
function readOptions(flags: OptionFlags, known: Remembered | undefined): ClientOptions {
  const server = flags.server ?? known?.serverUrl;
  if (server === undefined) {
    throw new SyncedError("usage", "The first run needs the server's address: add --server URL");
  }
  const token = tokenSource(flags["token-file"], process.env);
  const bounds = { min: 1, max: DAY_SECONDS };
  return {
    serverUrl: parseServerUrl(server),
    isServerRemembered: flags.server === undefined,
    folder: parseFolderName(flags.folder ?? known?.folder ?? DEFAULT_FOLDER),
    deviceName: parseDeviceName(flags.device) ?? known?.deviceName ?? ownDeviceName(),
    ...(token === undefined ? {} : { token }),
    guard: parseGuard(flags.guard) ?? parseGuardSetting(known?.guard ?? "") ?? DEFAULT_GUARD,
    trustsApprovals: (parseSwitch(flags) ?? known?.trustApprovals) === "on",
    direction: readDirection(flags.direction) ?? parseDirection(known?.direction ?? "") ?? "both",
    once: flags.once,
    fullScanIntervalMs: parseNumberFlag("interval", flags.interval, bounds) * 1_000,
  };
}

function pinOf(trust: ReturnType<typeof readTrust>): Pick<ClientOptions, "fingerprint"> {
  return trust.kind === "key" ? { fingerprint: trust.fingerprint } : {};
}

function parseDeviceName(name: string | undefined): string | undefined {
  if (name === undefined) return undefined;
  const isLegal = name !== "" && name.search(ILLEGAL_IN_DEVICE_NAME) === -1;
  if (isLegal && name.length <= DEVICE_NAME_LENGTH_MAX) return name;
  throw new SyncedError(
    "usage",
    `Cannot use --device "${name}": expected 1 to ${DEVICE_NAME_LENGTH_MAX} characters without "/"`,
  );
}

function parseGuard(text: string | undefined): GuardSetting | undefined {
  const setting = text === undefined ? undefined : parseGuardSetting(text);
  if (text === undefined || setting !== undefined) return setting;
  throw new SyncedError(
    "usage",
    `Cannot use --guard "${text}": expected a number of files, 1% to 100%, off or default`,
  );
}

function parseSwitch({ "trust-approvals": text }: OptionFlags): string | undefined {
  if (text === undefined || text === "on" || text === "off") return text;
  throw new SyncedError("usage", `Cannot use --trust-approvals "${text}": expected on or off`);
}

function readDirection(text: string | undefined): Direction | undefined {
  const direction = text === undefined ? undefined : parseDirection(text);
  if (text === undefined || direction !== undefined) return direction;
  const known = DIRECTIONS.join(", ");
  throw new SyncedError("usage", `Cannot use --direction "${text}": expected one of ${known}`);
}

function ownDeviceName(): string {
  const name = hostname().replace(ILLEGAL_IN_DEVICE_NAME, "").slice(0, DEVICE_NAME_LENGTH_MAX);
  return name === "" ? "device" : name;
}

function exitCodeOf(outcome: RunOutcome): number {
  switch (outcome.end) {
    case "held":
      return EXIT.held;
    case "paused":
      return EXIT.problems;
    case "unreachable":
      return EXIT.unreachable;
    case "in_sync":
    case "stopped":
      return outcome.conflicts + outcome.problems + outcome.left > 0 ? EXIT.problems : EXIT.done;
  }
}

function sayOutcome(output: Output, outcome: RunOutcome, folder: string): void {
  if (outcome.end === "unreachable") {
    output.error(
      "Ended without the server. Nothing is lost: run it again when the server can be reached",
    );
  }
  if (outcome.conflicts > 0) {
    output.warn(
      `${count(outcome.conflicts, "conflict")} in this run: see synced status ${quoted(folder)}`,
    );
  }
  if (outcome.left > 0) {
    output.warn(
      `${count(outcome.left, "change")} left on one side by --direction: see synced status ${quoted(folder)}`,
    );
  }
  if (outcome.problems > 0) {
    output.warn(`${count(outcome.problems, "open problem")}: see synced status ${quoted(folder)}`);
  }
}

/** True for the error of an aborted wait or request. */
function isInterruption(error: unknown): boolean {
  if (error instanceof SyncedError) return error.code === "interrupted";
  return error instanceof Error && error.name === "AbortError";
}

async function dryRun(
  world: ClientWorld,
  options: ClientOptions,
  signal: AbortSignal,
  output: Output,
): Promise<number> {
  const { ops, transitions, held } = await planDryRun(world, options, signal);
  for (const [direction, steps] of [
    ["up", ops],
    ["down", transitions],
  ] as const) {
    for (const step of steps) {
      output.event("would", { direction, ...step });
      const { kind, path, from } = step;
      const origin = from === undefined ? "" : ` from ${quoted(from)}`;
      const verb = direction === "up" ? "send" : "do here";
      const would = step.held === true ? `hold, and not ${verb}` : verb;
      output.say(`Would ${would}: ${kind} ${quoted(path)}${origin}`);
    }
  }
  if (held !== undefined) {
    output.event("would_hold", held);
    output.say(`Would be held until you approve it: ${held.reason}`);
  }
  output.say(
    `Nothing was changed: ${count(ops.length, "change")} to send, ` +
      `${count(transitions.length, "change")} to make here`,
  );
  return EXIT.done;
}
