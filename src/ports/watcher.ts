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
   * Not all of the folder is watched, or nothing (any more): out of watches, an unreadable
   * directory, the root gone. Hints of the rest go on. Said once until `restored`.
   */
  failed(reason: string): void;
  /** All of it is watched again; an overflow came before. */
  restored(): void;
}

export interface Watch {
  close(): void;
}

export interface Watcher {
  /** Begins to watch; hints may come before it resolves. */
  watch(handler: WatchHandler): Promise<Watch>;
}
