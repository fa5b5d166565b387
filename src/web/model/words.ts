/** Sizes, counts and times as a person reads them. */

const UNITS = ["B", "kB", "MB", "GB", "TB", "PB"];
const DAY_MS = 86_400_000;

/**
 * Written out here: the first formatter that a browser makes of its tables costs a tenth of a
 * second, before the first row is there.
 */
const WEEKDAYS = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");

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
  return String(value).replace(/\B(?=(?:\d{3})+$)/g, ",");
}

/** "1 file", "20 files" */
export function countText(count: number, noun: string, plural = `${noun}s`): string {
  return `${numberText(count)} ${count === 1 ? noun : plural}`;
}

/** "today 18:04", "yesterday 17:59", "1 Nov 09:12", "3 May 2025" */
export function timeText(time: string | number, nowMs = Date.now()): string {
  const date = new Date(time);
  const midnight = new Date(nowMs).setHours(0, 0, 0, 0);
  const clock = clockText(date);
  if (date.getTime() >= midnight && date.getTime() < midnight + DAY_MS) return `today ${clock}`;
  if (date.getTime() >= midnight - DAY_MS && date.getTime() < midnight) return `yesterday ${clock}`;
  if (date.getFullYear() === new Date(nowMs).getFullYear()) return `${dayText(date)} ${clock}`;
  return dayOfYearText(date);
}

/** A time below a chart that spans a range: only what tells its ticks apart. */
export function tickText(time: number, [from, to]: readonly [number, number]): string {
  const date = new Date(time);
  if (to - from < 10 * 60_000) return secondsText(date);
  if (to - from < DAY_MS) return clockText(date);
  if (to - from < 14 * DAY_MS) return `${dayText(date)} ${clockText(date)}`;
  return to - from < 365 * DAY_MS ? dayText(date) : dayOfYearText(date);
}

/** "Fri, 27 Nov 2026, 18:04:05" */
export function exactTimeText(time: string | number): string {
  const date = new Date(time);
  return `${WEEKDAYS[date.getDay()]}, ${dayOfYearText(date)}, ${secondsText(date)}`;
}

/** "18:04" */
function clockText(date: Date): string {
  return `${twoDigits(date.getHours())}:${twoDigits(date.getMinutes())}`;
}

/** "18:04:05" */
function secondsText(date: Date): string {
  return `${clockText(date)}:${twoDigits(date.getSeconds())}`;
}

/** "27 Nov" */
function dayText(date: Date): string {
  return `${date.getDate()} ${MONTHS[date.getMonth()]}`;
}

/** "27 Nov 2026" */
function dayOfYearText(date: Date): string {
  return `${dayText(date)} ${date.getFullYear()}`;
}

function twoDigits(value: number): string {
  return String(value).padStart(2, "0");
}
