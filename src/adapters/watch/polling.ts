/**
 * Watcher by polling, for file systems without events (`--poll`). Rules: Y2. chokidar does the
 * bookkeeping, with one stat for each file and interval. After any trouble it begins anew, as the
 * native one does.
 */
import { existsSync } from "node:fs";
import { relative } from "node:path";
import type { FSWatcher } from "chokidar";
import { RETRY_DELAY_MS_MAX, RETRY_DELAY_MS_MIN } from "../../core/limits.ts";
import type { Watch, Watcher, WatchHandler } from "../../ports/watcher.ts";
import { errorCode } from "../disk/calls.ts";
import { reportChange } from "./watched-path.ts";

export interface ChokidarWatcherOptions {
  /** Milliseconds between two looks at one file. */
  readonly intervalMs: number;
}

const STATE_PATH = /[/\\]\.synced(?:[/\\]|$)/;
/** Troubles of one path. The scan lists them. */
const PATH_ERRORS = ["EACCES", "ENOENT", "ENOTDIR", "EPERM"];

/** @param rootPath absolute, free of symlinks */
export function createChokidarWatcher(rootPath: string, options: ChokidarWatcherOptions): Watcher {
  return {
    async watch(handler) {
      const watch = new PollingWatch(rootPath, options.intervalMs, handler);
      await watch.begin();
      return watch;
    },
  };
}

class PollingWatch implements Watch {
  readonly #rootPath: string;
  readonly #intervalMs: number;
  readonly #handler: WatchHandler;
  #watcher: FSWatcher | undefined;
  #renewal: ReturnType<typeof setTimeout> | undefined;
  #delayMs = RETRY_DELAY_MS_MIN;
  #isOpen = true;
  #hasFailed = false;
  #isReady = () => {};

  constructor(rootPath: string, intervalMs: number, handler: WatchHandler) {
    this.#rootPath = rootPath;
    this.#intervalMs = intervalMs;
    this.#handler = handler;
  }

  close(): void {
    this.#isOpen = false;
    clearTimeout(this.#renewal);
    this.#end();
  }

  /** Resolves when all of the folder is polled, or polling has failed. */
  async begin(): Promise<void> {
    // Loaded only when needed, because few folders are polled.
    const { watch } = await import("chokidar");
    if (!this.#isOpen) return;
    const rootPath = this.#rootPath;
    const watcher = watch(rootPath, {
      usePolling: true,
      interval: this.#intervalMs,
      binaryInterval: this.#intervalMs,
      followSymlinks: false,
      atomic: false,
      ignoreInitial: true,
      ignorePermissionErrors: true,
      // Only below the root, because the root itself may be inside a directory of that name.
      ignored: (path) => STATE_PATH.test(path.slice(rootPath.length)),
    });
    this.#watcher = watcher;
    const ready = Promise.withResolvers<void>();
    this.#isReady = ready.resolve;
    watcher.on("all", (kind, path) => {
      if (watcher !== this.#watcher) return;
      const changed = relative(rootPath, path);
      if (changed !== "") reportChange(this.#handler, changed);
      else if (kind === "unlinkDir") this.#fail("the folder is gone");
    });
    watcher.on("error", (error) => {
      if (watcher !== this.#watcher) return;
      if (PATH_ERRORS.includes(errorCode(error))) this.#handler.overflow();
      else this.#fail(error instanceof Error ? error.message : String(error));
    });
    watcher.once("ready", ready.resolve);
    await ready.promise;
    if (watcher === this.#watcher) this.#settle();
  }

  #end(): void {
    const watcher = this.#watcher;
    this.#watcher = undefined;
    this.#isReady();
    // Not awaited, because it only stops timers.
    void watcher?.close();
  }

  #fail(reason: string): void {
    this.#end();
    const isNews = !this.#hasFailed;
    this.#hasFailed = true;
    this.#renewal = setTimeout(() => void this.begin(), this.#delayMs);
    this.#delayMs = Math.min(2 * this.#delayMs, RETRY_DELAY_MS_MAX);
    if (isNews) this.#handler.failed(reason);
  }

  #settle(): void {
    if (!existsSync(this.#rootPath)) {
      this.#fail("the folder is gone");
      return;
    }
    this.#delayMs = RETRY_DELAY_MS_MIN;
    if (!this.#hasFailed) return;
    this.#hasFailed = false;
    // Nobody reported changes that were made meanwhile.
    this.#handler.overflow();
    this.#handler.restored();
  }
}
