/**
 * Hints: the watcher's reports of changes, kept until they are scanned. Rules: Y1, Y2, F66-F68.
 *
 * A hint only marks a path. Hints come in bursts (one save gives several), so the paths are taken
 * when none has come for a moment.
 */
import type { Watch } from "../../ports/watcher.ts";
import type { ClientPorts } from "../folder/ports.ts";

/** A cycle begins this long after the last hint of a burst. */
const HINT_QUIET_MS = 5;
/** If a burst does not end, the cycle begins after this time. */
const HINT_WAIT_MS_MAX = 60;

export interface HintListener {
  /** Called if something may have changed at the path. */
  readonly heard: (path: string, atMs: number) => void;
  /** Called if something may have changed anywhere. */
  readonly lost: () => void;
}

export class Hints {
  readonly #ports: Pick<ClientPorts, "watcher" | "clock" | "observer">;
  readonly #listener: HintListener;
  #watch: Watch | undefined;
  #paths = new Set<string>();
  #lastAtMs = 0;
  #isUnwatched = false;
  #isTold = false;

  constructor(ports: Pick<ClientPorts, "watcher" | "clock" | "observer">, listener: HintListener) {
    this.#ports = ports;
    this.#listener = listener;
  }

  async start(): Promise<void> {
    const { watcher, clock, observer } = this.#ports;
    this.#watch = await watcher.watch({
      changed: (path) => {
        this.#paths.add(path);
        this.#lastAtMs = clock.monotonic();
        this.#listener.heard(path, this.#lastAtMs);
      },
      overflow: () => {
        this.#isTold = !this.#isUnwatched;
        this.#listener.lost();
      },
      failed: (reason) => {
        this.#isUnwatched = true;
        this.#listener.lost();
        const message =
          `Cannot watch all of the folder (${reason}). Scans find changes in the rest after ` +
          "seconds to minutes, and synced tries again to watch it";
        observer.emit({ event: "notice", code: "watch_failed", message });
      },
      restored: () => {
        this.#isUnwatched = false;
        const message = "All of the folder is watched again";
        observer.emit({ event: "notice", code: "watch_restored", message });
      },
    });
  }

  close(): void {
    this.#watch?.close();
  }

  /** True if changes may happen that nobody reports. */
  get isUnwatched(): boolean {
    return this.#isUnwatched;
  }

  get size(): number {
    return this.#paths.size;
  }

  /** The waiting paths. Later hints are for the next scan. */
  take(): Set<string> {
    const paths = this.#paths;
    this.#paths = new Set();
    return paths;
  }

  /** The paths were not scanned after all, so they wait again. */
  putBack(paths: Iterable<string>): void {
    for (const path of paths) this.#paths.add(path);
  }

  /** True, once, if the system reported more changes than it could name. A full scan finds them. */
  takeTold(): boolean {
    const isTold = this.#isTold;
    this.#isTold = false;
    return isTold;
  }

  /**
   * @param isUrgent ends the wait, because news need not wait for hints that this client's own work
   * made.
   */
  async quiet(isUrgent: () => boolean, signal: AbortSignal): Promise<void> {
    const { clock } = this.#ports;
    const untilMs = clock.monotonic() + HINT_WAIT_MS_MAX;
    while (this.#paths.size > 0 && !isUrgent() && !signal.aborted) {
      const now = clock.monotonic();
      const quietMs = this.#lastAtMs + HINT_QUIET_MS - now;
      if (quietMs <= 0 || now >= untilMs) return;
      await clock.sleep(quietMs, signal);
    }
  }
}
