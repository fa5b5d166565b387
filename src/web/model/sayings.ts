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

export function verbOf(action: Action): string {
  return VERBS[action];
}

export function whoOf({ device, deviceName: told }: Pick<Touch, "device" | "deviceName">): string {
  return deviceName(device, told);
}

/** "NAS deleted 54 in"; the path follows. */
export function saysOf(row: LogRow): string {
  const many = row.count > 1 ? ` ${numberText(row.count)} in` : "";
  return `${whoOf(row)} ${verbOf(row.action)}${many}`;
}
