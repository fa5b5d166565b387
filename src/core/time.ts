/** Formats and parses the times of events. Rules: L6. */

const DAY_MS = 86_400_000;

/**
 * Writes a time as RFC 3339 with milliseconds, in UTC. Computed here, because only adapters may use
 * Date.
 *
 * Source of the calendar: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms",
 * civil_from_days.
 *
 * @param nowMs milliseconds since 1970, not before year 0
 */
export function formatTime(nowMs: number): string {
  const whole = Math.floor(nowMs);
  const days = Math.floor(whole / DAY_MS);
  const ms = whole - days * DAY_MS;
  const shifted = days + 719_468;
  const era = Math.floor(shifted / 146_097);
  const dayOfEra = shifted - era * 146_097;
  const yearOfEra = Math.floor(
    (dayOfEra -
      Math.floor(dayOfEra / 1460) +
      Math.floor(dayOfEra / 36_524) -
      Math.floor(dayOfEra / 146_096)) /
      365,
  );
  const leapDays = Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100);
  const dayOfYear = dayOfEra - (365 * yearOfEra + leapDays);
  const shiftedMonth = Math.floor((5 * dayOfYear + 2) / 153);
  const day = dayOfYear - Math.floor((153 * shiftedMonth + 2) / 5) + 1;
  const month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9;
  const year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0);
  const date = `${digits(year, 4)}-${digits(month, 2)}-${digits(day, 2)}`;
  const hour = digits(Math.floor(ms / 3_600_000), 2);
  const minute = digits(Math.floor(ms / 60_000) % 60, 2);
  const second = digits(Math.floor(ms / 1000) % 60, 2);
  return `${date}T${hour}:${minute}:${second}.${digits(ms % 1000, 3)}Z`;
}

function digits(value: number, count: number): string {
  return String(value).padStart(count, "0");
}

/**
 * @param time in the form that `formatTime` writes
 * @returns milliseconds since 1970
 */
export function parseTime(time: string): number {
  const field = (from: number, to: number) => Number(time.slice(from, to));
  const month = field(5, 7);
  // Years begin in March here, so that a leap day is a year's last day.
  const year = field(0, 4) - (month <= 2 ? 1 : 0);
  const era = Math.floor(year / 400);
  const yearOfEra = year - era * 400;
  const dayOfYear = Math.floor((153 * ((month + 9) % 12) + 2) / 5) + field(8, 10) - 1;
  const leapDays = Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100);
  const days = era * 146_097 + yearOfEra * 365 + leapDays + dayOfYear - 719_468;
  const seconds = (field(11, 13) * 60 + field(14, 16)) * 60 + field(17, 19);
  return days * DAY_MS + seconds * 1000 + field(20, 23);
}
