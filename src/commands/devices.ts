/** `synced devices`: how far each device of a folder is. Rules: V8, X7. */
import { defineCommand } from "citty";
import { type DeviceStanding, standingOf } from "../core/device-state.ts";
import { EXIT } from "../core/exit-code.ts";
import { printableName } from "../core/printable.ts";
import type { SeenDevice } from "../protocol/past-api.ts";
import { commonFlags } from "./flags.ts";
import { createOutput, isRead } from "./output.ts";
import { count } from "./progress.ts";
import { shownTime } from "./shown-time.ts";
import { openTarget, targetFlags } from "./target.ts";

interface Log {
  readonly epoch: string;
  readonly head: number;
}

/** The shape of `--json`. Scripts rely on it. */
interface DeviceLine {
  readonly device: string;
  readonly name: string;
  readonly kind: "client" | "page";
  readonly state: DeviceStanding;
  readonly applied: number;
  readonly behind: { readonly events: number };
  readonly seenTime: string;
  readonly held: NonNullable<SeenDevice["held"]> | null;
  readonly problems: number;
}

const NAME_COLUMNS = 12;
const STATE_COLUMNS = 24;
const EVENT_COLUMNS = 16;

export const command = defineCommand({
  meta: { name: "devices", description: "Say how far each device of a folder is" },
  args: {
    path: { type: "positional", description: "A path in the folder", required: false },
    ...targetFlags,
    ...commonFlags,
  },
  async run({ args }) {
    const output = createOutput(args);
    const { api } = await openTarget(args, args.path ?? "");
    const log = await api.folder();
    const devices = await api.devices();
    const lines = devices.map((one) => lineOf(one, log));
    lines.sort((one, other) => (one.name < other.name ? -1 : one.name > other.name ? 1 : 0));
    for (const line of lines) {
      output.result({ ...line }, textOf(line));
      if (!(await isRead())) return EXIT.done;
    }
    if (lines.length === 0) output.say("No device syncs this folder yet");
    return EXIT.done;
  },
});

function lineOf(device: SeenDevice, log: Log): DeviceLine {
  const { applied, held, kind = "client", problems = 0, name, seenTime } = device;
  const isSame = applied.epoch === log.epoch;
  const events = isSame ? Math.max(0, log.head - applied.seq) : log.head;
  return {
    device: device.device,
    name,
    kind,
    state: standingOf(device, events === 0 && isSame),
    applied: applied.seq,
    behind: { events },
    seenTime,
    held: held ?? null,
    problems,
  };
}

/** `PHONE         12 behind                 event 1,228       heard of 2026-11-27 17:40:00`. */
function textOf(line: DeviceLine): string {
  const { applied, problems, seenTime } = line;
  const left = problems === 0 ? "" : `  ${count(problems, "path")} left alone`;
  const held = line.held === null ? "" : `  ${line.held.reason}`;
  const columns = [
    printableName(line.name).padEnd(NAME_COLUMNS),
    wordOf(line).padEnd(STATE_COLUMNS),
    `event ${applied.toLocaleString("en")}`.padEnd(EVENT_COLUMNS),
    `heard of ${shownTime(seenTime)}`,
  ];
  return `${columns.join("  ")}${left}${held}`;
}

function wordOf({ state, kind, behind, held }: DeviceLine): string {
  switch (state) {
    case "in_sync":
      return "in sync";
    case "syncing":
      return "syncing";
    case "held":
      return `holds ${count(held?.count ?? 0, "change")}`;
    case "paused":
      return "paused";
    case "behind":
      return `${behind.events.toLocaleString("en")} behind`;
    case "unknown":
      return kind === "page" ? "a browser" : "does not say";
  }
}
