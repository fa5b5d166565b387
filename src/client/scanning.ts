/**
 * Scanning: decides what is scanned next, and when. Rules: A2, A4, Y1, Y2, Y5.
 *
 * A scan looks at the paths that hints name, at paths for which an earlier scan asked, and at paths
 * that did not look as planned. Now and then, and when hints were lost, it looks at everything.
 */
import { RETRY_DELAY_MS_MAX, RETRY_DELAY_MS_MIN } from "../core/limits.ts";
import type { Agenda, Reason } from "./agenda.ts";
import { countQuarantineScan } from "./apply/quarantine.ts";
import type { ClientPorts } from "./folder/ports.ts";
import { Hints } from "./scan/hints.ts";
import { removeEmptied } from "./scan/remove-emptied.ts";
import type { Scanner } from "./scan/scanner.ts";

/**
 * Between two looks at one path. The delay doubles each time the path does not look as expected.
 */
const LOOK_DELAY_MS_MIN = 20;
/** Between full scans if not all is watched: at least this, and so many times as long as a scan. */
const UNWATCHED_SCAN_INTERVAL_MS_MIN = 2_000;
const UNWATCHED_SCAN_RATIO = 50;

export interface ScanningParts {
  readonly ports: ClientPorts;
  readonly scanner: Scanner;
  readonly agenda: Agenda;
  readonly fullScanIntervalMs: number;
  /** Called if something may have changed at the path. */
  readonly heard: (path: string) => void;
  readonly wake: () => void;
}

export class Scanning {
  readonly hints: Hints;
  readonly #parts: ScanningParts;
  /** Paths that a scan wants to see again, and when. */
  #again: ReadonlyMap<string, number> = new Map();
  /** Paths that did not look as the last plan expected. */
  #unexpected: ReadonlySet<string> = new Set();
  #unexpectedDelayMs = 0;
  #isPending = false;

  constructor(parts: ScanningParts) {
    this.#parts = parts;
    this.hints = new Hints(parts.ports, {
      heard: (path, atMs) => this.#hear(path, atMs),
      lost: () => {
        this.scanAll();
        parts.wake();
      },
    });
  }

  /** True if no known path waits for a look. */
  get isQuiet(): boolean {
    return !this.#isPending && this.hints.size + this.#unexpected.size === 0;
  }

  scanAll(): void {
    this.#parts.agenda.at("full scan", this.#parts.ports.clock.monotonic());
  }

  /** A path that waits for a change need not wait any longer. */
  #hear(path: string, atMs: number): void {
    this.#parts.heard(path);
    if (this.#unexpected.has(path)) {
      this.#unexpectedDelayMs = 0;
      this.#parts.agenda.at("unexpected", atMs);
    }
    this.#parts.wake();
  }

  /** @returns the kind of scan that was done, if any was due. */
  async scanDue(
    due: ReadonlySet<Reason>,
    signal: AbortSignal,
  ): Promise<"full" | "paths" | undefined> {
    const { ports, scanner, agenda } = this.#parts;
    const { clock } = ports;
    const now = clock.monotonic();
    const isFull = due.has("full scan") || scanner.hasNewDeviceRules;
    const others = this.#pathsDue(due, now);
    if (!isFull && this.hints.size + others.length === 0) return undefined;
    const paths = this.hints.take();
    for (const path of others) paths.add(path);
    const request = isFull
      ? ({ kind: "full", isTold: this.hints.takeTold() } as const)
      : ({ kind: "paths", paths } as const);
    const report = await scanner.scan(request, signal);
    const endMs = clock.monotonic();
    if (!report.complete) {
      this.hints.putBack(paths);
      if (isFull) agenda.at("full scan", endMs + RETRY_DELAY_MS_MIN);
    } else if (isFull) {
      agenda.at("full scan", endMs + this.#fullScanIntervalMs(endMs - now));
    }
    this.#lookAgain(report.again, endMs);
    this.#isPending = report.pending;
    countQuarantineScan(ports);
    removeEmptied(ports, scanner.emptied);
    return isFull && report.complete ? "full" : "paths";
  }

  /** Looks again at paths that did not look as planned. */
  expect(paths: ReadonlySet<string>): void {
    const { agenda, ports } = this.#parts;
    this.#unexpected = paths;
    if (paths.size === 0) {
      this.#unexpectedDelayMs = 0;
      agenda.enter("unexpected", undefined);
      return;
    }
    // The first look comes at once. A path that still does not look as expected (a disappearance
    // that must settle, a busy writer, a device in its place) is then asked for less and less
    // often.
    agenda.enter("unexpected", ports.clock.monotonic() + this.#unexpectedDelayMs);
    const doubledMs = Math.max(LOOK_DELAY_MS_MIN, 2 * this.#unexpectedDelayMs);
    this.#unexpectedDelayMs = Math.min(doubledMs, RETRY_DELAY_MS_MAX);
  }

  #pathsDue(due: ReadonlySet<Reason>, nowMs: number): readonly string[] {
    const paths: string[] = [];
    if (due.has("look"))
      for (const [path, atMs] of this.#again) if (atMs <= nowMs) paths.push(path);
    if (due.has("unexpected")) for (const path of this.#unexpected) paths.push(path);
    return paths;
  }

  #lookAgain(again: ReadonlyMap<string, number>, nowMs: number): void {
    this.#again = again;
    const soonestMs = again.values().reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY);
    const isAny = again.size > 0;
    const atMs = isAny ? Math.max(soonestMs, nowMs + LOOK_DELAY_MS_MIN) : undefined;
    this.#parts.agenda.enter("look", atMs);
  }

  /** If nothing reports changes (F67, F68), scans may take a small share of the time. */
  #fullScanIntervalMs(scanMs: number): number {
    const { fullScanIntervalMs } = this.#parts;
    if (!this.hints.isUnwatched) return fullScanIntervalMs;
    const unwatchedMs = Math.max(UNWATCHED_SCAN_INTERVAL_MS_MIN, UNWATCHED_SCAN_RATIO * scanMs);
    return Math.min(fullScanIntervalMs, unwatchedMs);
  }
}
