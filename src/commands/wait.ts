/**
 * `synced wait`: waits until what a folder holds now is on the server and what the server has is
 * here, or until other devices have it. Rules: V8, X6.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { defineCommand } from "citty";
import { SyncedError } from "../core/error.ts";
import { EXIT, type ExitCode } from "../core/exit-code.ts";
import type { DeviceId } from "../core/identifier.ts";
import type { Sequence } from "../core/node.ts";
import { printableName } from "../core/printable.ts";
import type { PastApi, SeenDevice, WaitedFor } from "../protocol/past-api.ts";
import { commonFlags, parseDurationFlag, parseNumberFlag, switchFlag, textFlag } from "./flags.ts";
import { createOutput, type Output } from "./output.ts";
import { type Arrival, lookAtOwn } from "./own-arrival.ts";
import { count, quoted } from "./progress.ts";
import { shownTime } from "./shown-time.ts";
import { deviceNamed, openTarget, type Target, targetFlags } from "./target.ts";

/** A look at the disk costs as much as a scan, so the looks become rarer. */
const PAUSE_MS_MIN = 100;
const PAUSE_MS_MAX = 2_000;
/** How long the server waits for devices before it is seen whether one of them holds something. */
const WITHIN_SECONDS = 2;
const TIMEOUT = "60s";

const args = {
  path: {
    type: "positional",
    description: "The folder's path; default: this one",
    required: false,
  },
  seq: textFlag("seq", "N", "Until this event is there; default: what is there now"),
  device: textFlag("device", "NAME", "Until this device has it"),
  all: switchFlag("all", "Until all devices have it that were seen in the last 7 days"),
  timeout: { ...textFlag("timeout", "TIME", "How long: 10s, 5m, 2h"), default: TIMEOUT },
  ...targetFlags,
  ...commonFlags,
} as const;

export const command = defineCommand({
  meta: { name: "wait", description: "Wait until a folder, or other devices, have everything" },
  args,
  async run({ args: flags }) {
    const output = createOutput(flags);
    if (flags.all && flags.device !== undefined) {
      throw new SyncedError("usage", "Use either --device NAME or --all");
    }
    const max = Number.MAX_SAFE_INTEGER;
    const seq =
      flags.seq === undefined ? undefined : parseNumberFlag("seq", flags.seq, { min: 0, max });
    const deadline = AbortSignal.timeout(parseTimeout(flags.timeout));
    const target = await greet(deadline, () => openTarget(flags, flags.path ?? "", deadline));
    const { api, root, device: own } = target;
    const isOwn = flags.device === undefined && !flags.all;
    if (isOwn && root === undefined) {
      throw new SyncedError("usage", "Say for whom to wait, with --device NAME or --all");
    }
    if (seq === undefined && root !== undefined) {
      const folder = { root, tokenFile: flags["token-file"], fingerprint: flags.fingerprint };
      const arrival = await last(deadline, () => lookAtOwn(folder, deadline));
      if (isOwn || arrival.kind !== "reached") return tell(output, arrival, "here");
    }
    const device = flags.all ? "all" : await whom(target, flags.device, own);
    const wanted = seq ?? (await greet(deadline, () => api.head()));
    // The first look does not wait, so that a short time-out, too, says who is behind.
    let within: number | undefined;
    const arrival = await last(deadline, async () => {
      const seen = await lookAt(api, { device, seq: wanted, within });
      within = WITHIN_SECONDS;
      return seen;
    });
    return tell(output, arrival, flags.all ? "on all devices" : (flags.device ?? "here"));
  },
});

async function whom({ api }: Target, name: string | undefined, own: DeviceId): Promise<DeviceId> {
  return name === undefined ? own : await deviceNamed(api, name);
}

function tell(output: Output, { kind, why, seq }: Arrival, where: string): ExitCode {
  const place = ["here", "on all devices"].includes(where) ? where : `on ${printableName(where)}`;
  if (kind === "reached") {
    output.event("reached", { seq });
    const shown = seq.toLocaleString("en");
    output.say(`Everything up to event ${shown} is on the server, and ${place}`);
    return EXIT.done;
  }
  output.event(kind, { seq, reason: why });
  if (kind === "held") output.error(why);
  else output.error(`${kind === "behind" ? "Not there yet" : "Not all"}: ${why}`);
  return kind === "held" ? EXIT.held : EXIT.problems;
}

/**
 * Asks a server until it answers.
 *
 * @throws {SyncedError} `server_unreachable`, or the last trouble, at the deadline
 */
async function greet<Value>(deadline: AbortSignal, ask: () => Promise<Value>): Promise<Value> {
  const answer = await persist(deadline, ask);
  if (answer instanceof SyncedError) throw answer;
  if (answer !== undefined) return answer;
  throw new SyncedError("server_unreachable", "The server did not answer in time");
}

/** Looks until it is reached, or will not be. @returns what was seen last, at the deadline */
async function last(deadline: AbortSignal, look: () => Promise<Arrival>): Promise<Arrival> {
  let seen: Arrival = { kind: "behind", why: "there was no time to look at all of it", seq: 0 };
  const trouble = await persist(deadline, async () => {
    seen = await look();
    return seen.kind === "behind" ? undefined : seen;
  });
  if (trouble instanceof SyncedError) throw trouble;
  return seen;
}

/**
 * Tries again until there is a value, also while the server is away.
 *
 * @returns at the deadline undefined, or the trouble of the last attempt
 */
async function persist<Value>(
  deadline: AbortSignal,
  attempt: () => Promise<Value | undefined>,
): Promise<Value | SyncedError | undefined> {
  let trouble: SyncedError | undefined;
  for (let pauseMs = PAUSE_MS_MIN; ; pauseMs = Math.min(pauseMs * 2, PAUSE_MS_MAX)) {
    try {
      const value = await attempt();
      if (value !== undefined) return value;
      trouble = undefined;
    } catch (error) {
      if (deadline.aborted) return trouble;
      if (!(error instanceof SyncedError) || !error.kind.retriable) throw error;
      trouble = error;
    }
    await sleep(pauseMs, undefined, { signal: deadline }).catch(() => undefined);
    if (deadline.aborted) return trouble;
  }
}

async function lookAt(
  api: PastApi,
  request: {
    readonly device: DeviceId | "all";
    readonly seq: Sequence;
    /** Seconds that the server waits; not at all if absent. */
    readonly within: number | undefined;
  },
): Promise<Arrival> {
  const { device, seq } = request;
  const { reached, devices } = await api.wait({ ...request });
  if (reached) return { kind: "reached", why: "", seq };
  const behind = devices.filter((one) => !one.settled || one.applied < seq);
  if (behind.length === 0) {
    const none = device === "all" ? "no device was seen in the last 7 days" : "it never reported";
    return { kind: "behind", why: none, seq };
  }
  const seen = new Map((await api.devices()).map((one) => [one.device, one]));
  const [first] = behind.flatMap((one) => heldBy(seen.get(one.device)));
  if (first !== undefined) return { kind: "held", why: first, seq };
  const lags = behind.map((one) => `${lagOf(one, seq)}${pausedBy(seen.get(one.device))}`);
  return { kind: "behind", why: lags.join("; "), seq };
}

function heldBy(device: SeenDevice | undefined): string[] {
  if (device?.held === undefined) return [];
  const { reason, count: changes } = device.held;
  const name = printableName(device.name);
  return [`${name} holds ${count(changes, "change")} for a person: ${reason}`];
}

function pausedBy(device: SeenDevice | undefined): string {
  if (device?.paused === undefined) return "";
  const { until } = device.paused;
  const end = until === undefined ? "" : ` until ${shownTime(until)}`;
  const command = `synced resume --device ${quoted(device.name)}`;
  return `; it is paused${end}, and goes on with: ${command}`;
}

function lagOf({ name, applied, seenTime }: WaitedFor["devices"][number], seq: Sequence): string {
  const lag =
    applied < seq ? `${count(seq - applied, "event")} behind` : "not done with everything";
  return `${printableName(name)} is ${lag}, last seen ${shownTime(seenTime)}`;
}

/** @returns milliseconds */
function parseTimeout(text: string): number {
  const [, seconds] = /^([1-9][0-9]{0,5})s$/.exec(text) ?? [];
  return seconds === undefined ? parseDurationFlag("timeout", text) : Number(seconds) * 1_000;
}
