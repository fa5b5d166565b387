/**
 * Watcher by polling, for file systems without events (`--poll`). Rules: Y2. chokidar replaces our
 * own bookkeeping of one stat a file and interval.
 */
import { relative } from "node:path";
import type { FSWatcher } from "chokidar";
import type { Watcher, WatchHandler } from "../ports/watcher.ts";
import { errorCode } from "./disk-calls.ts";
import { reportChange } from "./watched-path.ts";

export interface ChokidarWatcherOptions {
  /** Time between two looks at one file. */
  readonly intervalMs: number;
}

const STATE_PATH = /[/\\]\.synced(?:[/\\]|$)/;
/** Troubles of one path; the scan lists them. */
const PATH_ERRORS = ["EACCES", "ENOENT", "ENOTDIR", "EPERM"];

/** @param rootPath absolute, free of symlinks */
export function createChokidarWatcher(rootPath: string, options: ChokidarWatcherOptions): Watcher {
  return { watch: (handler) => begin(rootPath, options.intervalMs, handler) };
}

async function begin(rootPath: string, intervalMs: number, handler: WatchHandler) {
  // Loaded only where it is used: few folders are polled.
  const { watch } = await import("chokidar");
  const watcher: FSWatcher = watch(rootPath, {
    usePolling: true,
    interval: intervalMs,
    binaryInterval: intervalMs,
    followSymlinks: false,
    atomic: false,
    ignoreInitial: true,
    ignorePermissionErrors: true,
    // Below the root only: the root may itself lie below a directory of that name.
    ignored: (path) => STATE_PATH.test(path.slice(rootPath.length)),
  });
  let isOpen = true;
  const ready = Promise.withResolvers<void>();
  const close = () => {
    if (!isOpen) return;
    isOpen = false;
    ready.resolve();
    // Nothing waits for its end: it only stops timers.
    void watcher.close();
  };
  const fail = (reason: string) => {
    if (!isOpen) return;
    close();
    handler.failed(reason);
  };
  watcher.on("all", (kind, path) => {
    if (!isOpen) return;
    const changed = relative(rootPath, path);
    if (changed !== "") reportChange(handler, changed);
    else if (kind === "unlinkDir") fail("the folder is gone");
  });
  watcher.on("error", (error) => {
    if (PATH_ERRORS.includes(errorCode(error))) handler.overflow();
    else fail(error instanceof Error ? error.message : String(error));
  });
  watcher.once("ready", ready.resolve);
  await ready.promise;
  return { close };
}
