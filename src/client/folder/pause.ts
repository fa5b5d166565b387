/**
 * Pause: while the file `.synced/paused` is there, nothing is sent and nothing on the disk changes.
 * A person writes it (`synced pause`), or this client for an order. Rules: Y21.
 */
import type { Paused } from "../../core/device-state.ts";
import { PAUSE_FILE, STAGING_DIRECTORY, STATE_DIRECTORY } from "../../core/state-directory.ts";
import { parseTime } from "../../core/time.ts";
import type { ClientPorts } from "./ports.ts";
import { readSmallFile } from "./small-file.ts";

const BYTES_MAX = 256;
const TIME = /^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z$/;

/** The file's text. */
export function pauseText(paused: Paused): string {
  return `${JSON.stringify(paused)}\n`;
}

/** @returns a pause without an end if the text is no pause: better too long than not at all */
export function parsePause(text: string): Paused {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== "object" || value === null || !("until" in value)) return {};
    const { until } = value;
    return typeof until === "string" && TIME.test(until) ? { until } : {};
  } catch {
    return {};
  }
}

/** @returns undefined if there is none, or its time is over */
export function readPause({ fs, clock }: Pick<ClientPorts, "fs" | "clock">): Paused | undefined {
  const text = readSmallFile(fs, PAUSE_FILE, BYTES_MAX);
  if (text === undefined) return undefined;
  const paused = parsePause(text);
  const { until } = paused;
  return until !== undefined && parseTime(until) <= clock.now() ? undefined : paused;
}

/** Durable when it resolves. @param paused undefined lets the folder go on */
export async function writePause(
  { fs, random }: Pick<ClientPorts, "fs" | "random">,
  paused: Paused | undefined,
): Promise<void> {
  fs.removeFile(PAUSE_FILE);
  if (paused !== undefined) {
    const staged = `${STAGING_DIRECTORY}/paused-${random.id()}`;
    const writer = fs.createFile(staged);
    try {
      writer.write(new TextEncoder().encode(pauseText(paused)));
      await writer.sync();
    } finally {
      writer.close();
    }
    fs.moveNoReplace(staged, PAUSE_FILE);
  }
  await fs.syncDirectories([STATE_DIRECTORY, STAGING_DIRECTORY]);
}
