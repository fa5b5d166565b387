/** How many deletions a person lets pass unasked, as given to `sync --guard`. Pure. Rules: G9. */
import { GUARD_DELETE_COUNT, GUARD_DELETE_SHARE } from "./limits.ts";

export type GuardSetting =
  /** More than GUARD_DELETE_COUNT files, and more than GUARD_DELETE_SHARE of all. */
  | { readonly kind: "default" }
  | { readonly kind: "count"; readonly count: number }
  | { readonly kind: "percent"; readonly percent: number }
  /** The guard holds nothing, whatever happens. */
  | { readonly kind: "off" };

export const DEFAULT_GUARD: GuardSetting = { kind: "default" };

const COUNT = /^[1-9][0-9]{0,8}$/;
const PERCENT = /^(100|[1-9][0-9]?)%$/;

/** @returns undefined if the text is no setting. */
export function parseGuardSetting(text: string): GuardSetting | undefined {
  if (text === "default" || text === "off") return { kind: text };
  if (COUNT.test(text)) return { kind: "count", count: Number(text) };
  const percent = PERCENT.exec(text)?.[1];
  return percent === undefined ? undefined : { kind: "percent", percent: Number(percent) };
}

/** Writes the setting in the form that `parseGuardSetting` reads. */
export function guardSettingText(setting: GuardSetting): string {
  switch (setting.kind) {
    case "default":
    case "off":
      return setting.kind;
    case "count":
      return String(setting.count);
    case "percent":
      return `${setting.percent}%`;
  }
}

/**
 * @param times by how much the share or number is multiplied, for a window that is longer
 * @returns how many of so many files may go before the guard asks a person.
 */
export function boundOf(setting: GuardSetting, files: number, times = 1): number {
  switch (setting.kind) {
    case "default":
      return Math.max(GUARD_DELETE_COUNT, GUARD_DELETE_SHARE * times * files);
    case "count":
      return setting.count * times;
    case "percent":
      return (setting.percent / 100) * times * files;
    case "off":
      return Number.POSITIVE_INFINITY;
  }
}
