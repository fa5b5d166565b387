/**
 * Watcher on the runtime's recursive `fs.watch` (inotify on Linux). Rules: Y2, A6.
 *
 * Measured: it watches 20,000 directories after 0.5 s, during which `watch` blocks. Lost hints show
 * as an event without a file name (Bun: null or undefined, Deno: empty), and so does the end of the
 * root itself. A directory that cannot be watched (not readable, a path beyond PATH_MAX, out of
 * watches) shows as an error. Bun reports the first one of a walk and watches the rest; Deno ends.
 * Neither ever comes back to such a directory, and Bun does not come back to one that was made
 * while hints were lost. So after each trouble the whole watch is made anew. The old one ends
 * first, because it may hold the watches that are needed.
 *
 * Deno hands hints over through a queue of 16 and drops the others without a word, the one about
 * lost hints included (its source, `fs_events.rs`). So under Deno a burst counts as lost hints.
 */
import { existsSync, type FSWatcher, watch } from "node:fs";
import process from "node:process";
import { RETRY_DELAY_MS_MAX, RETRY_DELAY_MS_MIN } from "../../core/limits.ts";
import type { Watch, Watcher, WatchHandler } from "../../ports/watcher.ts";
import { CloseWatch } from "./close-watch.ts";
import { unwatchState } from "./unwatch-state.ts";
import { reportChange } from "./watched-path.ts";

/** Errors come within milliseconds after `watch`, so a watch that lasted this long is whole. */
const SETTLED_AFTER_MS = 1_000;
const REASON_LENGTH_MAX = 200;
/** A queue that was full gives so many hints in one burst. */
const DENO_QUEUE_LENGTH = 16;
/** A burst ends when no hint came for so long. */
const BURST_GAP_MS = 50;
/** A longer burst is told as lost hints this often. */
const BURST_MS_MAX = 2_000;

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
  /** Hints of this burst, and when it began; only counted under Deno. */
  #burst = { count: 0, sinceMs: 0 };
  #burstEnd: ReturnType<typeof setTimeout> | undefined;

  constructor(rootPath: string, handler: WatchHandler) {
    this.#rootPath = rootPath;
    this.#handler = handler;
    this.#begin();
  }

  close(): void {
    clearTimeout(this.#renewal);
    clearTimeout(this.#burstEnd);
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
    unwatchState(this.#rootPath);
    watcher.on("error", (error) => {
      if (watcher === this.#watcher) this.#fail(reasonOf(error));
    });
    watcher.on("close", () => {
      if (watcher === this.#watcher) this.#fail("watching ended");
    });
    this.#closes = new CloseWatch(this.#rootPath, {
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
    if ("deno" in process.versions) this.#countBurst();
    if (name !== null && name !== undefined && name !== "") {
      reportChange(this.#handler, name);
      if (type === "rename") this.#closes?.follow(name);
    } else if (existsSync(this.#rootPath)) {
      this.#handler.overflow();
      this.#renewLater();
    } else this.#fail("the folder is gone");
  }

  #countBurst(): void {
    const now = performance.now();
    if (this.#burst.count === 0) this.#burst.sinceMs = now;
    this.#burst.count += 1;
    clearTimeout(this.#burstEnd);
    if (now - this.#burst.sinceMs >= BURST_MS_MAX) this.#endBurst();
    else this.#burstEnd = setTimeout(() => this.#endBurst(), BURST_GAP_MS);
  }

  #endBurst(): void {
    const { count } = this.#burst;
    this.#burst.count = 0;
    if (count >= DENO_QUEUE_LENGTH) this.#handler.overflow();
  }

  #fail(reason: string): void {
    // Other programs may need its watches.
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
    // Nobody reported changes that were made meanwhile, or in places that were not watched.
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

/** The message holds the path, which may be very long. */
function reasonOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.length <= REASON_LENGTH_MAX ? text : `${text.slice(0, REASON_LENGTH_MAX)}...`;
}
