/**
 * Reports files that are closed after somebody had opened them to write. Rules: Y13.
 *
 * Writes through a memory map give no other hint, and the runtime's watcher does not ask for this
 * one. So this runs beside that watcher, on Linux with FFI only. If it is not available, or watches
 * run out, the full scan finds such writes. A watch stays with its directory. When a directory was
 * moved, `follow` gives its watch the new path.
 */

import { readdirSync } from "node:fs";
import { join } from "node:path";
import { STATE_DIRECTORY } from "../../core/state-directory.ts";
import { type CloseEvents, type CloseListener, listenToCloses } from "./close-events.ts";

/** ENOSPC: no watches are left, or no memory for them. */
const ENOSPC = 28;
const ENOMEM = 12;
/** So many directories are listed before other work may run. */
const DIRECTORIES_PER_TURN = 50;

interface Handler {
  /** @param path relative to the root. */
  closed(path: string): void;
  /** Some events were lost. */
  overflow(): void;
}

export class CloseWatch {
  readonly #rootPath: string;
  readonly #listener: CloseListener;
  /** Undefined where the system has none, and once this is closed. */
  #events: CloseEvents | undefined;
  /** Paths of the watched directories, relative to the root. */
  readonly #paths = new Map<number, string>();
  /** Directories that are still to be listed. */
  readonly #waiting: string[] = [];

  constructor(rootPath: string, handler: Handler) {
    this.#rootPath = rootPath;
    this.#listener = {
      closed: (watch, name) => {
        const directory = this.#paths.get(watch);
        if (directory !== undefined) handler.closed(join(directory, name));
      },
      ended: (watch) => this.#paths.delete(watch),
      overflow: () => handler.overflow(),
    };
    this.#events = listenToCloses(this.#listener);
    this.follow("");
  }

  /** The directory at the path may be new, or may have come from elsewhere. */
  follow(path: string): void {
    if (this.#events === undefined || path.split("/").includes(STATE_DIRECTORY)) return;
    this.#waiting.push(path);
    if (this.#waiting.length === 1) setImmediate(() => this.#walk());
  }

  close(): void {
    this.#events?.leave(this.#listener);
    this.#events = undefined;
  }

  #walk(): void {
    for (let count = 0; count < DIRECTORIES_PER_TURN; count += 1) {
      const path = this.#waiting.pop();
      if (path === undefined || this.#events === undefined) return;
      const absolute = join(this.#rootPath, path);
      const watch = this.#events.add(absolute, this.#listener);
      if (watch === -ENOSPC || watch === -ENOMEM) return this.close();
      if (watch < 0) continue;
      this.#paths.set(watch, path);
      for (const name of directoriesIn(absolute)) {
        if (name !== STATE_DIRECTORY) this.#waiting.push(join(path, name));
      }
    }
    if (this.#waiting.length > 0) setImmediate(() => this.#walk());
  }
}

function directoriesIn(path: string): readonly string[] {
  try {
    const entries = readdirSync(path, { withFileTypes: true });
    return entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
  } catch {
    // Gone or unreadable. The other watcher reports that.
    return [];
  }
}
