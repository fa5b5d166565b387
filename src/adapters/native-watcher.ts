/**
 * Watcher on the runtime's recursive `fs.watch` (inotify on Linux). Rules: Y2, W1-W4.
 *
 * Measured in Bun: 100,000 files are watched after 0.5 s with 33 MB. A lost hint shows as an event without a
 * file name (Bun: null or undefined, Deno: empty); the root's own end looks the same and is followed by
 * "close".
 */
import { type FSWatcher, watch } from "node:fs";
import type { Watcher, WatchHandler } from "../ports/watcher.ts";
import { reportChange } from "./watched-path.ts";

/** @param rootPath absolute, free of symlinks */
export function createNativeWatcher(rootPath: string): Watcher {
  return {
    watch: (handler) => Promise.resolve(begin(rootPath, handler)),
  };
}

function begin(rootPath: string, handler: WatchHandler) {
  let watcher: FSWatcher | undefined;
  let isOpen = true;
  const fail = (reason: string) => {
    if (!isOpen) return;
    isOpen = false;
    watcher?.close();
    handler.failed(reason);
  };
  const close = () => {
    if (isOpen) watcher?.close();
    isOpen = false;
  };
  try {
    watcher = watch(rootPath, { recursive: true }, (_type, name) => {
      if (!isOpen) return;
      if (name === null || name === undefined || name === "") handler.overflow();
      else reportChange(handler, name);
    });
  } catch (error) {
    fail(reasonOf(error));
    return { close };
  }
  watcher.on("error", (error) => fail(reasonOf(error)));
  watcher.on("close", () => fail("watching ended"));
  return { close };
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
