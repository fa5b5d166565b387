/**
 * Watcher: hints that something below the root may have changed. Only the scan tells what did.
 * Rules: Y2, A6.
 */

export interface WatchHandler {
  /**
   * Something at the path (relative, "/"-separated) may have changed, appeared or gone. Nothing in
   * `.synced/` is reported.
   */
  changed(path: string): void;
  /**
   * Hints were lost (the queue overflowed, or a file name was null), so everything may have
   * changed.
   */
  overflow(): void;
  /**
   * Part of the folder, or all of it, is not watched (any more): no watches left, an unreadable
   * directory, or the root gone. Hints of the rest go on. Called once until `restored`.
   */
  failed(reason: string): void;
  /** All of it is watched again. An overflow was told before. */
  restored(): void;
}

export interface Watch {
  close(): void;
}

export interface Watcher {
  /** Begins to watch; hints may come before it resolves. */
  watch(handler: WatchHandler): Promise<Watch>;
}
