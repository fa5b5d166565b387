/** Changes in a person's words. */
import type { Action, LogRow, Touch } from "../../protocol/time-answers.ts";
import { deviceName } from "./devices.ts";
import { numberText } from "./words.ts";

const VERBS: Readonly<Record<Action, string>> = {
  upload: "made",
  update: "changed",
  rename: "renamed",
  delete: "deleted",
  restore: "brought back",
  mkdir: "made folder",
  rmdir: "deleted folder",
  symlink: "made link",
  metadata: "marked",
};

/** Of several: "made 54 folders in". */
const MANY: Readonly<Record<Action, readonly [string, string]>> = {
  upload: ["made", "files"],
  update: ["changed", "files"],
  rename: ["renamed", "entries"],
  delete: ["deleted", "files"],
  restore: ["brought back", "entries"],
  mkdir: ["made", "folders"],
  rmdir: ["deleted", "folders"],
  symlink: ["made", "links"],
  metadata: ["marked", "files"],
};

export function verbOf(action: Action): string {
  return VERBS[action];
}

export function whoOf({ device, deviceName: told }: Pick<Touch, "device" | "deviceName">): string {
  return deviceName(device, told);
}

/** "NAS deleted 54 files in", "NAS deleted"; the path follows. */
export function saysOf(row: LogRow): string {
  return `${whoOf(row)} ${deedOf(row)}`;
}

/** "deleted 54 files in", "deleted folder"; the path follows. */
export function deedOf({ action, count }: LogRow): string {
  if (count === 1) return verbOf(action);
  const [verb, noun] = MANY[action];
  return `${verb} ${numberText(count)} ${noun} in`;
}
