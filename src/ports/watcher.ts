/**
 * Watcher: hints that something below the root may have changed. The scan is the truth. Rules: Y2,
 * A6.
 */

export interface WatchHandler {
  /**
   * A path (relative, "/"-separated) that may have changed, appeared or gone. `.synced/` is never
   * reported.
   */
  changed(path: string): void;
  /** Hints were lost (queue overflow, null filename): everything may have changed. */
  overflow(): void;
  /**
   * Watching ended or never began (out of watches, root gone); the caller falls back to polling.
   */
  failed(reason: string): void;
}

export interface Watch {
  close(): void;
}

export interface Watcher {
  /** Begins to watch; hints may come before it resolves. */
  watch(handler: WatchHandler): Promise<Watch>;
}
