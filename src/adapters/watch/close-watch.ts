/**
 * Reports files that are closed after somebody had opened them to write. Rules: Y13.
 *
 * Writes through a memory map give no other hint, and the runtime's watcher does not ask for this
 * one. So this runs beside that watcher, on Linux with FFI only. If it is not available, or watches
 * run out, the full scan finds such writes. A watch stays with its directory. When a directory was
 * moved, `follow` gives its watch the new path.
 */

import { closeSync, readdirSync, read as readFrom } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { STATE_DIRECTORY } from "../../core/state-directory.ts";
import { type NativeCalls, nativeCalls } from "../runtime/native-calls.ts";

const IN_CLOSE_WRITE = 0x8;
const IN_Q_OVERFLOW = 0x4000;
const IN_IGNORED = 0x8000;
const IN_ONLYDIR = 0x0100_0000;
const IN_DONT_FOLLOW = 0x0200_0000;
const IN_EXCL_UNLINK = 0x0400_0000;
const IN_CLOEXEC = 0x8_0000;
const MASK = IN_CLOSE_WRITE | IN_ONLYDIR | IN_DONT_FOLLOW | IN_EXCL_UNLINK;
/** ENOSPC: no watches are left, or no memory for them. */
const ENOSPC = 28;
const ENOMEM = 12;
/** The bytes of `struct inotify_event` before the name: watch, mask, cookie, length of the name. */
const EVENT_BYTES = 16;
const BUFFER_BYTES = 64 * 1024;
/** So many directories are listed before other work may run. */
const DIRECTORIES_PER_TURN = 50;
interface Handler {
  /** @param path relative to the root. */
  closed(path: string): void;
  /** Some events were lost. */
  overflow(): void;
}

export class CloseWatch {
  readonly #native: NativeCalls;
  readonly #fd: number;
  readonly #rootPath: string;
  readonly #handler: Handler;
  /** Paths of the watched directories, relative to the root. */
  readonly #paths = new Map<number, string>();
  readonly #buffer = Buffer.alloc(BUFFER_BYTES);
  /** Directories that are still to be listed. */
  readonly #waiting: string[] = [];
  #isClosed = false;

  /** @returns undefined if the system does not have it. */
  static begin(rootPath: string, handler: Handler): CloseWatch | undefined {
    const native = nativeCalls();
    // Deno's numbers for files are not the kernel's.
    if (native === undefined || !("bun" in process.versions)) return undefined;
    const fd = native.call("inotify_init1", IN_CLOEXEC);
    return fd < 0 ? undefined : new CloseWatch(native, fd, rootPath, handler);
  }

  private constructor(native: NativeCalls, fd: number, rootPath: string, handler: Handler) {
    this.#native = native;
    this.#fd = fd;
    this.#rootPath = rootPath;
    this.#handler = handler;
    const root = this.#add(rootPath);
    if (root >= 0) {
      this.#paths.set(root, "");
      this.#listen();
      this.follow("");
    } else {
      // Without a watch, nothing would ever wake the thread that reads.
      this.#isClosed = true;
      closeSync(fd);
    }
  }

  /** The directory at the path may be new, or may have come from elsewhere. */
  follow(path: string): void {
    if (this.#isClosed || path.split("/").includes(STATE_DIRECTORY)) return;
    this.#waiting.push(path);
    if (this.#waiting.length === 1) setImmediate(() => this.#walk());
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    // Removing a watch wakes the thread that reads.
    const watch = this.#add("/");
    if (watch >= 0) this.#native.call("inotify_rm_watch", this.#fd, watch);
    for (const known of this.#paths.keys()) this.#native.call("inotify_rm_watch", this.#fd, known);
  }

  #walk(): void {
    for (let count = 0; count < DIRECTORIES_PER_TURN; count += 1) {
      const path = this.#waiting.pop();
      if (path === undefined || this.#isClosed) return;
      const absolute = join(this.#rootPath, path);
      const watch = this.#add(absolute);
      if (watch === -ENOSPC || watch === -ENOMEM) return this.close();
      if (watch < 0) continue;
      this.#paths.set(watch, path);
      for (const name of directoriesIn(absolute)) {
        if (name !== STATE_DIRECTORY) this.#waiting.push(join(path, name));
      }
    }
    if (this.#waiting.length > 0) setImmediate(() => this.#walk());
  }

  #add(absolute: string): number {
    const name = Buffer.from(`${absolute}\0`);
    return this.#native.call("inotify_add_watch", this.#fd, this.#native.address(name), MASK);
  }

  #listen(): void {
    readFrom(this.#fd, this.#buffer, 0, BUFFER_BYTES, null, (error, count) => {
      if (this.#isClosed || error !== null) {
        this.#isClosed = true;
        closeSync(this.#fd);
        return;
      }
      this.#take(count);
      this.#listen();
    });
  }

  #take(count: number): void {
    for (let at = 0; at + EVENT_BYTES <= count; ) {
      const watch = this.#buffer.readInt32LE(at);
      const mask = this.#buffer.readUInt32LE(at + 4);
      const end = at + EVENT_BYTES + this.#buffer.readUInt32LE(at + 12);
      const name = this.#buffer.toString("utf8", at + EVENT_BYTES, end).replace(/\0+$/, "");
      at = end;
      const directory = this.#paths.get(watch);
      if ((mask & IN_Q_OVERFLOW) !== 0) this.#handler.overflow();
      else if ((mask & IN_IGNORED) !== 0) this.#paths.delete(watch);
      else if (directory !== undefined) this.#handler.closed(join(directory, name));
    }
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
