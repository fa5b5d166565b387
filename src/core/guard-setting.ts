/** How many deletions a person lets pass unasked, as `sync --guard` says it. Rules: G9. Pure. */
import { GUARD_DELETE_COUNT, GUARD_DELETE_SHARE } from "./limits.ts";

export type GuardSetting =
  /** More than GUARD_DELETE_COUNT files, and more than GUARD_DELETE_SHARE of all. */
  | { readonly kind: "default" }
  | { readonly kind: "count"; readonly count: number }
  | { readonly kind: "percent"; readonly percent: number }
  /** Nothing is held, whatever happens. */
  | { readonly kind: "off" };

export const DEFAULT_GUARD: GuardSetting = { kind: "default" };

const COUNT = /^[1-9][0-9]{0,8}$/;
const PERCENT = /^(100|[1-9][0-9]?)%$/;

/** @returns undefined for what is no setting. */
export function parseGuardSetting(text: string): GuardSetting | undefined {
  if (text === "default" || text === "off") return { kind: text };
  if (COUNT.test(text)) return { kind: "count", count: Number(text) };
  const percent = PERCENT.exec(text)?.[1];
  return percent === undefined ? undefined : { kind: "percent", percent: Number(percent) };
}

/** As `parseGuardSetting` takes it. */
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

/** Of so many files, how many may go before a person is asked. */
export function boundOf(setting: GuardSetting, files: number): number {
  switch (setting.kind) {
    case "default":
      return Math.max(GUARD_DELETE_COUNT, GUARD_DELETE_SHARE * files);
    case "count":
      return setting.count;
    case "percent":
      return (setting.percent / 100) * files;
    case "off":
      return Number.POSITIVE_INFINITY;
  }
}
