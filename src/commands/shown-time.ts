/** Times as people at this machine read them. */

/** @returns `2026-11-27 18:00:05`, in this machine's time zone. */
export function shownTime(time: string | number): string {
  const date = new Date(time);
  const day = [date.getFullYear(), two(date.getMonth() + 1), two(date.getDate())].join("-");
  return `${day} ${[date.getHours(), date.getMinutes(), date.getSeconds()].map(two).join(":")}`;
}

/** Two digits. */
export function two(value: number): string {
  return String(value).padStart(2, "0");
}
