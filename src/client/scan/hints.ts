/**
 * Hints: what the watcher tells of the disk, kept until it is scanned. Rules: Y1, Y2, F66-F68.
 *
 * A hint only marks a path. Hints come in bursts (one save is several), so the paths are taken once
 * nothing has come for a moment.
 */
import type { Watch } from "../../ports/watcher.ts";
import type { ClientPorts } from "../folder/ports.ts";

/** Hints come in bursts (a save is several): a cycle begins this long after the last one. */
const HINT_QUIET_MS = 5;
/** A burst that does not end is looked at all the same. */
const HINT_WAIT_MS_MAX = 60;

export interface HintListener {
  /** Something may have changed at the path. */
  readonly heard: (path: string, atMs: number) => void;
  /** Something may have changed anywhere. */
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
          `Cannot watch all of the folder (${reason}): what is not watched is found by scans, ` +
          "after seconds to minutes; watching it is tried again";
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

  /** True where changes may come of which nothing tells. */
  get isUnwatched(): boolean {
    return this.#isUnwatched;
  }

  get size(): number {
    return this.#paths.size;
  }

  /** The paths that are waiting. What comes from now on is for the next scan. */
  take(): Set<string> {
    const paths = this.#paths;
    this.#paths = new Set();
    return paths;
  }

  /** The paths were not scanned after all. */
  putBack(paths: Iterable<string>): void {
    for (const path of paths) this.#paths.add(path);
  }

  /** True once where the system told of more changes than it could name: a full scan finds them. */
  takeTold(): boolean {
    const isTold = this.#isTold;
    this.#isTold = false;
    return isTold;
  }

  /** @param isUrgent ends the wait: news does not wait for hints that this client's own work made. */
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
