/** Turns a path that a watcher heard of into a hint. Rules: A6, Y2. */

import { sep } from "node:path";
import { STATE_DIRECTORY } from "../../core/state-directory.ts";
import type { WatchHandler } from "../../ports/watcher.ts";

/** Stands for bytes of a name that is not UTF-8. */
const REPLACEMENT = "\uFFFD";

/** @param path relative to the root, in the platform's spelling */
export function reportChange(handler: WatchHandler, path: string): void {
  const names = path.split(sep);
  if (names.includes(STATE_DIRECTORY)) return;
  handler.changed(names.join("/"));
  // This path may not exist. But its directory does, and has one illegible entry more or less.
  if (path.includes(REPLACEMENT)) handler.changed(names.slice(0, -1).join("/"));
}
