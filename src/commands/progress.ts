/**
 * Renders the client's events: JSON lines for programs, sentences for people, and a progress bar on
 * a terminal.
 *
 * Names come from other devices, so they are escaped before they are shown. Rules: N3, Y3.
 */

import { printableName } from "../core/printable.ts";
import { DEVICE_IGNORE_FILE } from "../core/state-directory.ts";
import type { ClientEvent, Observer } from "../ports/observer.ts";
import type { Output } from "./output.ts";
import { createProgressBar } from "./progress-bar.ts";
import { shownTime } from "./shown-time.ts";

export interface ProgressOptions {
  readonly output: Output;
  /** The person's name for the folder, used in advice. */
  readonly folder: string;
  /** The terminal that gets the bar; undefined for none (`--quiet`, `--json`). */
  readonly terminal: NodeJS.WriteStream | undefined;
}

/** @returns an observer; `finish` clears the bar and must be called at the end. */
export function createProgress(options: ProgressOptions): Observer & { finish(): void } {
  const { output } = options;
  const bar =
    options.terminal === undefined ? undefined : createProgressBar(options.terminal, output.say);
  let lastInSync = "";
  return {
    emit(event) {
      const { event: name, ...fields } = event;
      output.event(name, fields);
      if (event.event === "progress") {
        bar?.update(event);
        return;
      }
      bar?.clear();
      if (event.event === "in_sync") {
        const line = `In sync: ${count(event.files, "file")}, event ${event.seq}`;
        if (line !== lastInSync) output.say(line);
        lastInSync = line;
        return;
      }
      tell(output, event, options.folder);
    },
    finish: () => bar?.clear(),
  };
}

type HeldEvent = Extract<ClientEvent, { readonly event: "held" }>;

type Told = Exclude<ClientEvent, { readonly event: "progress" | "in_sync" }>;

function tell(output: Output, event: Told, folder: string): void {
  switch (event.event) {
    case "joined":
      output.say(joined(event));
      break;
    case "conflict":
      output.warn(`Conflict: both versions are kept, the other one as ${quoted(event.path)}`);
      break;
    case "problem":
      output.warn(`Left alone: ${quoted(event.path)}: ${event.message}`);
      break;
    case "held":
      output.warn(held(event, folder));
      break;
    case "released":
      output.say("Nothing is held any more");
      break;
    case "paused":
      output.say(pausedText(event.until, folder));
      break;
    case "resumed":
      output.say("Goes on");
      break;
    case "offline":
      output.warn(`Offline: ${event.reason}. Your changes are kept and sent later`);
      break;
    case "online":
      output.say("Online again");
      break;
    case "notice":
      output.say(event.message);
      break;
    case "change":
      output.detail(changed(event));
      break;
    case "error":
      output.error(event.message);
      break;
    case "stopped":
      output.detail(`Stopped: ${event.reason}`);
      break;
    default:
      event satisfies never;
  }
}

function joined(event: Extract<ClientEvent, { readonly event: "joined" }>): string {
  const created = event.created ? " The folder is new on the server." : "";
  const union = event.union ? " What both sides have is merged; nothing is deleted." : "";
  return `Joined "${event.folder}" on ${event.server} as "${event.device}".${created}${union}`;
}

/** A halt holds no changes, so there is nothing to approve. Its reason says what to mend. */
export function held(
  { reason, count: changes, kinds }: Pick<HeldEvent, "reason" | "count" | "kinds">,
  folder: string,
): string {
  if (changes === 0) return `Halted: ${reason}`;
  if (kinds.includes("unignoring")) {
    return (
      `Held: ${reason}. Everything else goes on. To send it: synced approve ${quoted(folder)}. ` +
      `To keep it here: name it in ${quoted(`${folder}/${DEVICE_IGNORE_FILE}`)}`
    );
  }
  return (
    `Held: ${reason} (${count(changes, "change")}). Everything else goes on, and nothing is lost, ` +
    "because the server's history keeps every version. To let exactly this through: " +
    `synced approve ${quoted(folder)}. To take back what this device did: synced reject ` +
    `${quoted(folder)}; what another device did: synced undo --device NAME`
  );
}

/** @param until RFC 3339 */
export function pausedText(until: string | undefined, folder: string): string {
  const end = until === undefined ? "" : ` until ${shownTime(until)}`;
  return `Paused${end}: what changes here or there waits. To go on at once: synced resume ${quoted(folder)}`;
}

function changed(event: Extract<ClientEvent, { readonly event: "change" }>): string {
  const direction = event.direction === "up" ? "Sent" : "Received";
  const from = event.from === undefined ? "" : ` from ${quoted(event.from)}`;
  return `${direction}: ${event.kind} ${quoted(event.path)}${from}`;
}

export function quoted(name: string): string {
  return `"${printableName(name)}"`;
}

/** @returns "1 file", "2 files". */
export function count(number: number, noun: string): string {
  return `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;
}
