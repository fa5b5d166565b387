/**
 * Moments as a person writes them: a seq, RFC 3339, `2h`, `2h ago`, `yesterday 18:00`, `friday`.
 * Chrono-node finds dates anywhere in a text and guesses a lot; what it guessed is refused here.
 */
import * as chrono from "chrono-node";
import { SyncedError } from "../core/error.ts";
import { shownTime, two } from "./shown-time.ts";

export type TimeExpression =
  | { readonly kind: "seq"; readonly seq: number }
  | { readonly kind: "time"; readonly timeMs: number };

/** Which end of a day is meant if no hour is given. */
export type DayEdge = "beginning" | "end";

const SEQUENCE = /^(?:0|[1-9][0-9]{0,14})$/;
const RFC_3339 = /^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:[Zz]|[+-]\d\d:\d\d)$/;
const AGE = /^([1-9][0-9]{0,5})\s*([smhdw])$/;
const UNIT_MS: Readonly<Record<string, number>> = {
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
};
/** Chrono puts them at an hour of its own choice. */
const VAGUE = /morning|afternoon|evening|night/i;

/** @returns undefined if the text is no moment at all, so that it may be something else. */
export function readTimeExpression(
  text: string,
  { nowMs, edge }: { readonly nowMs: number; readonly edge: DayEdge },
): TimeExpression | undefined {
  if (SEQUENCE.test(text)) return { kind: "seq", seq: Number(text) };
  const [, number = "", unit = ""] = AGE.exec(text) ?? [];
  const unitMs = UNIT_MS[unit];
  if (unitMs !== undefined) return { kind: "time", timeMs: nowMs - Number(number) * unitMs };
  const timeMs = RFC_3339.test(text) ? Date.parse(text) : readWords(text, { nowMs, edge });
  if (timeMs === undefined || Number.isNaN(timeMs)) return undefined;
  if (timeMs > nowMs) throw refused(text, "it is not over yet");
  return { kind: "time", timeMs };
}

/** @throws {SyncedError} `usage` unless the text is a moment that is over. */
export function parseTimeExpression(
  text: string,
  options: { readonly nowMs: number; readonly edge: DayEdge },
): TimeExpression {
  const expression = readTimeExpression(text, options);
  if (expression !== undefined) return expression;
  throw refused(text, "it is no moment that synced knows");
}

function readWords(
  text: string,
  { nowMs, edge }: { readonly nowMs: number; readonly edge: DayEdge },
): number | undefined {
  const [found, ...more] = chrono.casual.parse(text, { instant: new Date(nowMs) });
  // It would find "yesterday" in "foo yesterday bar".
  if (found === undefined || more.length > 0 || found.text.length !== text.trim().length) {
    return undefined;
  }
  if (text.includes("/")) throw refused(text, "days and months may be meant either way");
  if (found.end != null) throw refused(text, "it is two moments");
  const { start } = found;
  const hasDay = start.isCertain("day") || start.isCertain("weekday");
  const hasHour = start.isCertain("hour");
  if ((VAGUE.test(text) && !hasHour) || !(hasHour || hasDay)) {
    throw refused(text, "it has no hour and no day");
  }
  const date = start.date();
  // Chrono takes the nearest one. What is asked about is over.
  const isWeekday = start.isCertain("weekday") && !start.isCertain("day");
  const fromMs = hasHour ? date.getTime() : startOfDay(date);
  if (isWeekday && fromMs > nowMs) date.setDate(date.getDate() - 7);
  if (hasHour) return date.getTime();
  const beginsMs = startOfDay(date);
  if (edge === "beginning" || beginsMs > nowMs) return beginsMs;
  return Math.min(startOfDay(date, 1) - 1, nowMs);
}

/** @param days how many days later */
function startOfDay(date: Date, days = 0): number {
  return new Date(date.getFullYear(), date.getMonth(), date.getDate() + days).getTime();
}

function refused(text: string, why: string): SyncedError {
  return new SyncedError(
    "usage",
    `Cannot use "${text}" as a moment: ${why}; write an event's number, 2h, "2h ago", ` +
      '"yesterday 18:00", friday, 2026-11-27, "2026-11-27 18:00" or 2026-11-27T18:00:00Z',
  );
}

const WEEKDAYS = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];

/** @returns `Fri 2026-11-27 18:00:05 +01:00`. */
export function shownMoment(time: string | number): string {
  const date = new Date(time);
  const offset = -date.getTimezoneOffset();
  const zone = `${two(Math.floor(Math.abs(offset) / 60))}:${two(Math.abs(offset) % 60)}`;
  return `${WEEKDAYS[date.getDay()]} ${shownTime(time)} ${offset < 0 ? "-" : "+"}${zone}`;
}
