/**
 * `synced pause` and `synced resume`: a folder here waits and goes on, or another device does,
 * through the server. Rules: V9, Y21.
 */
import { rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { type ArgsDef, defineCommand } from "citty";
import { systemClock } from "../adapters/runtime/clock.ts";
import { systemRandom } from "../adapters/runtime/random.ts";
import { pauseText } from "../client/folder/pause.ts";
import type { DeviceOrder } from "../core/device-order.ts";
import { SyncedError } from "../core/error.ts";
import { EXIT, type ExitCode } from "../core/exit-code.ts";
import type { OrderId } from "../core/identifier.ts";
import { printableName } from "../core/printable.ts";
import { PAUSE_FILE } from "../core/state-directory.ts";
import { formatTime } from "../core/time.ts";
import { commonFlags, parseDurationFlag, textFlag } from "./flags.ts";
import { writeStateFile } from "./folder-state.ts";
import { createOutput, type Output } from "./output.ts";
import { pausedText, quoted } from "./progress.ts";
import { shownTime } from "./shown-time.ts";
import { deviceNamed, openTarget, rootAbove, type TargetArguments, targetFlags } from "./target.ts";

const args = {
  path: {
    type: "positional",
    description: "A path in the folder; default: this one",
    required: false,
  },
  device: textFlag("device", "NAME", "Another device of the folder, by way of the server"),
  ...targetFlags,
  ...commonFlags,
} as const satisfies ArgsDef;

export const pauseCommand = defineCommand({
  meta: { name: "pause", description: "Let a folder's changes wait, both ways" },
  args: { ...args, for: textFlag("for", "TIME", "Go on by itself after 10m, 2h, 3d") },
  async run({ args: flags }) {
    const spanMs = flags.for === undefined ? undefined : parseDurationFlag("for", flags.for);
    const end = spanMs === undefined ? {} : { until: formatTime(systemClock.now() + spanMs) };
    const output = createOutput(flags);
    if (isAfar(flags)) {
      const until = end.until === undefined ? "" : ` until ${shownTime(end.until)}`;
      return await order(flags, { kind: "pause", ...end }, { output, does: `pauses${until}` });
    }
    const root = joinedRoot(flags.path);
    writeStateFile(root, PAUSE_FILE, pauseText(end));
    output.event("paused", end);
    output.say(pausedText(end.until, flags.path ?? "."));
    return EXIT.done;
  },
});

export const resumeCommand = defineCommand({
  meta: { name: "resume", description: "Let a paused folder go on" },
  args,
  async run({ args: flags }) {
    const output = createOutput(flags);
    if (isAfar(flags)) {
      return await order(flags, { kind: "resume" }, { output, does: "goes on" });
    }
    const root = joinedRoot(flags.path);
    rmSync(join(root, PAUSE_FILE), { force: true });
    output.event("resumed");
    output.say(`${quoted(flags.path ?? ".")} goes on`);
    return EXIT.done;
  },
});

interface Flags extends TargetArguments {
  readonly path?: string | undefined;
  readonly device?: string | undefined;
}

function isAfar({ device, server }: Flags): boolean {
  return device !== undefined || server !== undefined;
}

function joinedRoot(path = "."): string {
  const root = rootAbove(resolve(path));
  if (root !== undefined) return root;
  const message = `"${path}" is in no synced folder: name one, or --device NAME with --server URL`;
  throw new SyncedError("usage", message);
}

async function order(
  flags: Flags,
  wanted: DeviceOrder,
  { output, does }: { readonly output: Output; readonly does: string },
): Promise<ExitCode> {
  if (flags.device === undefined) {
    throw new SyncedError("usage", "Say which device is meant, with --device NAME");
  }
  const { api } = await openTarget(flags, flags.path ?? "");
  const device = await deviceNamed(api, flags.device);
  await api.order(device, systemRandom.id<OrderId>(), wanted);
  output.event("ordered", { device, order: wanted });
  output.say(`${printableName(flags.device)} ${does} as soon as it hears of it`);
  return EXIT.done;
}
