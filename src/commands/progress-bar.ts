/**
 * One line of progress with rate and time left, for work that takes longer than a second. A
 * terminal draws it over itself; elsewhere a line is printed every few seconds.
 */
import type { ClientEvent } from "../ports/observer.ts";

type Progress = Extract<ClientEvent, { readonly event: "progress" }>;

/** A person would not have read the line before shorter work is over. */
const SHOW_AFTER_MS = 1_000;
const REDRAW_INTERVAL_MS = 100;
/** In a log file a line now and then shows that the client is alive. */
const LINE_INTERVAL_MS = 10_000;
const BAR_WIDTH = 24;
const WIDTH_MIN = 20;
const WIDTH_UNKNOWN = 80;
const ERASE_LINE = "\r\u001b[K";

const LABELS: Readonly<Record<Progress["phase"], string>> = {
  scan: "Scanning",
  upload: "Uploading",
  download: "Downloading",
  apply: "Applying",
};

export interface ProgressBar {
  update(progress: Progress): void;
  /** Makes room for another line. The next update draws again. */
  clear(): void;
}

export function createProgressBar(
  terminal: NodeJS.WriteStream,
  say: (line: string) => void,
): ProgressBar {
  let phase: Progress["phase"] | undefined;
  let startedMs = 0;
  let shownMs = 0;
  let isDrawn = false;

  function clear(): void {
    if (isDrawn) terminal.write(ERASE_LINE);
    isDrawn = false;
  }

  return {
    clear,
    update(progress) {
      const nowMs = performance.now();
      if (progress.phase !== phase) {
        clear();
        phase = progress.phase;
        startedMs = nowMs;
        shownMs = 0;
      }
      if (progress.done >= progress.total) {
        clear();
        phase = undefined;
        return;
      }
      if (nowMs - startedMs < SHOW_AFTER_MS) return;
      const interval = terminal.isTTY ? REDRAW_INTERVAL_MS : LINE_INTERVAL_MS;
      if (shownMs !== 0 && nowMs - shownMs < interval) return;
      shownMs = nowMs;
      const line = renderProgress(progress, nowMs - startedMs);
      if (terminal.isTTY) {
        const share = shareOf(progress);
        const filled = Math.round(share * BAR_WIDTH);
        const bar = "█".repeat(filled) + "░".repeat(BAR_WIDTH - filled);
        terminal.write(ERASE_LINE + `${bar} ${line}`.slice(0, widthOf(terminal) - 1));
        isDrawn = true;
      } else {
        say(line);
      }
    },
  };
}

/** Some terminals do not tell their width, or tell 0. */
function widthOf({ columns }: NodeJS.WriteStream): number {
  return columns > 0 ? Math.max(columns, WIDTH_MIN) : WIDTH_UNKNOWN;
}

/**
 * The share of bytes if they are known, so that ten thousand small files and a large one both
 * advance steadily.
 */
function shareOf(progress: Progress): number {
  const share =
    progress.bytesTotal > 0
      ? progress.bytesDone / progress.bytesTotal
      : progress.done / Math.max(progress.total, 1);
  return Math.min(Math.max(share, 0), 1);
}

/** @returns `Uploading 42 %, 420 of 1,000, 1.2 GiB of 2.9 GiB, 90.1 MiB/s, 0:19 left`. */
export function renderProgress(progress: Progress, elapsedMs: number): string {
  const share = shareOf(progress);
  const seconds = elapsedMs / 1_000;
  const parts = [`${LABELS[progress.phase]} ${Math.floor(share * 100)} %`];
  parts.push(`${progress.done.toLocaleString("en")} of ${progress.total.toLocaleString("en")}`);
  if (progress.bytesTotal > 0) {
    parts.push(`${formatBytes(progress.bytesDone)} of ${formatBytes(progress.bytesTotal)}`);
    parts.push(`${formatBytes(progress.bytesDone / seconds)}/s`);
  } else {
    parts.push(`${Math.round(progress.done / seconds).toLocaleString("en")}/s`);
  }
  if (share > 0) parts.push(`${formatDuration((seconds * (1 - share)) / share)} left`);
  return parts.join(", ");
}

export function formatBytes(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let value = bytes;
  let unit = 0;
  while (value >= 1_024 && unit < units.length - 1) {
    value /= 1_024;
    unit += 1;
  }
  return `${unit === 0 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

/** @returns `0:07`, `12:30`, `3:05:00`. */
function formatDuration(seconds: number): string {
  const whole = Math.ceil(seconds);
  const hours = Math.floor(whole / 3_600);
  const minutes = Math.floor((whole % 3_600) / 60);
  const rest = String(whole % 60).padStart(2, "0");
  return hours === 0
    ? `${minutes}:${rest}`
    : `${hours}:${String(minutes).padStart(2, "0")}:${rest}`;
}
