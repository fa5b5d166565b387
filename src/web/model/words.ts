/** Sizes, counts and times as a person reads them. */

const UNITS = ["B", "kB", "MB", "GB", "TB", "PB"];
const DAY_MS = 86_400_000;

const CLOCK = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const SECONDS = new Intl.DateTimeFormat("en-GB", {
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
});
const DAY = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });
const DAY_OF_YEAR = new Intl.DateTimeFormat("en-GB", {
  day: "numeric",
  month: "short",
  year: "numeric",
});
const WEEKDAY = new Intl.DateTimeFormat("en-GB", {
  weekday: "short",
  day: "numeric",
  month: "short",
  year: "numeric",
});
const NUMBER = new Intl.NumberFormat("en-GB");

/** "12 kB", "3.1 MB" */
export function sizeText(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < UNITS.length - 1) {
    value /= 1000;
    unit++;
  }
  const digits = unit > 0 && value < 9.95 ? 1 : 0;
  return `${value.toFixed(digits)} ${UNITS[unit] ?? ""}`;
}

/** "20,000" */
export function numberText(value: number): string {
  return NUMBER.format(value);
}

/** "1 file", "20 files" */
export function countText(count: number, noun: string, plural = `${noun}s`): string {
  return `${numberText(count)} ${count === 1 ? noun : plural}`;
}

/** "today 18:04", "yesterday 17:59", "1 Nov 09:12", "3 May 2025" */
export function timeText(time: string | number, nowMs = Date.now()): string {
  const date = new Date(time);
  const midnight = new Date(nowMs).setHours(0, 0, 0, 0);
  const clock = CLOCK.format(date);
  if (date.getTime() >= midnight && date.getTime() < midnight + DAY_MS) return `today ${clock}`;
  if (date.getTime() >= midnight - DAY_MS && date.getTime() < midnight) return `yesterday ${clock}`;
  if (date.getFullYear() === new Date(nowMs).getFullYear()) return `${DAY.format(date)} ${clock}`;
  return DAY_OF_YEAR.format(date);
}

/** A time below a chart that spans a range: only what tells its ticks apart. */
export function tickText(time: number, [from, to]: readonly [number, number]): string {
  if (to - from < 10 * 60_000) return SECONDS.format(time);
  if (to - from < DAY_MS) return CLOCK.format(time);
  if (to - from < 14 * DAY_MS) return `${DAY.format(time)} ${CLOCK.format(time)}`;
  return to - from < 365 * DAY_MS ? DAY.format(time) : DAY_OF_YEAR.format(time);
}

/** "Fri, 27 Nov 2026, 18:04:05" */
export function exactTimeText(time: string | number): string {
  const date = new Date(time);
  return `${WEEKDAY.format(date)}, ${SECONDS.format(date)}`;
}
