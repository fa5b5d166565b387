/**
 * Watcher on the runtime's recursive `fs.watch` (inotify on Linux). Rules: Y2, A6.
 *
 * Measured: 20,000 directories are watched after 0.5 s, in which `watch` blocks. Lost hints show as
 * an event without a file name (Bun: null or undefined, Deno: empty), and so does the root's own
 * end. A directory that cannot be watched (not readable, a path beyond PATH_MAX, out of watches)
 * shows as an error: Bun tells of the first one of a walk and watches the rest, Deno ends. Neither
 * ever comes back to such a directory, nor does Bun to one that was made while hints were lost. So
 * after each trouble the whole watch is made anew; the old one ends first, since it may hold the
 * watches that are wanted.
 */
import { existsSync, type FSWatcher, watch } from "node:fs";
import { RETRY_DELAY_MS_MAX, RETRY_DELAY_MS_MIN } from "../../core/limits.ts";
import type { Watch, Watcher, WatchHandler } from "../../ports/watcher.ts";
import { CloseWatch } from "./close-watch.ts";
import { reportChange } from "./watched-path.ts";

/** Errors come within milliseconds after `watch`; what holds for so long is whole. */
const SETTLED_AFTER_MS = 1_000;
const REASON_LENGTH_MAX = 200;

/** @param rootPath absolute, free of symlinks */
export function createNativeWatcher(rootPath: string): Watcher {
  return {
    watch: (handler) => Promise.resolve(new NativeWatch(rootPath, handler)),
  };
}

class NativeWatch implements Watch {
  readonly #rootPath: string;
  readonly #handler: WatchHandler;
  #watcher: FSWatcher | undefined;
  #closes: CloseWatch | undefined;
  #settling: ReturnType<typeof setTimeout> | undefined;
  #renewal: ReturnType<typeof setTimeout> | undefined;
  #delayMs = RETRY_DELAY_MS_MIN;
  #hasFailed = false;

  constructor(rootPath: string, handler: WatchHandler) {
    this.#rootPath = rootPath;
    this.#handler = handler;
    this.#begin();
  }

  close(): void {
    clearTimeout(this.#renewal);
    this.#end();
  }

  #begin(): void {
    let watcher: FSWatcher;
    try {
      watcher = watch(this.#rootPath, { recursive: true }, (type, name) => {
        if (watcher === this.#watcher) this.#hear(type, name);
      });
    } catch (error) {
      this.#fail(reasonOf(error));
      return;
    }
    this.#watcher = watcher;
    watcher.on("error", (error) => {
      if (watcher === this.#watcher) this.#fail(reasonOf(error));
    });
    watcher.on("close", () => {
      if (watcher === this.#watcher) this.#fail("watching ended");
    });
    this.#closes = CloseWatch.begin(this.#rootPath, {
      closed: (path) => reportChange(this.#handler, path),
      overflow: () => this.#handler.overflow(),
    });
    this.#settling = setTimeout(() => this.#settle(), SETTLED_AFTER_MS);
  }

  #end(): void {
    clearTimeout(this.#settling);
    this.#closes?.close();
    this.#closes = undefined;
    const watcher = this.#watcher;
    this.#watcher = undefined;
    watcher?.close();
  }

  #hear(type: string, name: string | null | undefined): void {
    if (name !== null && name !== undefined && name !== "") {
      reportChange(this.#handler, name);
      if (type === "rename") this.#closes?.follow(name);
    } else if (existsSync(this.#rootPath)) {
      this.#handler.overflow();
      this.#renewLater();
    } else this.#fail("the folder is gone");
  }

  #fail(reason: string): void {
    // What it watches may be wanted more elsewhere.
    this.#closes?.close();
    const isNews = !this.#hasFailed;
    this.#hasFailed = true;
    this.#renewLater();
    if (isNews) this.#handler.failed(reason);
  }

  #renewLater(): void {
    if (this.#renewal !== undefined) return;
    this.#renewal = setTimeout(() => this.#renew(), this.#delayMs);
    this.#delayMs = Math.min(2 * this.#delayMs, RETRY_DELAY_MS_MAX);
  }

  #renew(): void {
    this.#renewal = undefined;
    this.#end();
    this.#begin();
    // What happened meanwhile, and where nothing was watched, nobody told.
    this.#handler.overflow();
  }

  #settle(): void {
    if (this.#renewal !== undefined) return;
    this.#delayMs = RETRY_DELAY_MS_MIN;
    if (!this.#hasFailed) return;
    this.#hasFailed = false;
    this.#handler.restored();
  }
}

/** With the path, which may be longer than anybody reads. */
function reasonOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.length <= REASON_LENGTH_MAX ? text : `${text.slice(0, REASON_LENGTH_MAX)}...`;
}
