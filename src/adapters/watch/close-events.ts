/**
 * The inotify instance that tells this process of closed files, one for all folders that it
 * watches. Rules: Y13.
 *
 * To read from it holds a thread of the runtime's pool until something happens. One for each folder
 * would hold all of them as soon as a server keeps many copies, and no fsync would ever end; and a
 * user has only 128 instances.
 */

import { closeSync, read as readFrom } from "node:fs";
import process from "node:process";
import { type NativeCalls, nativeCalls } from "../runtime/native-calls.ts";

const IN_CLOSE_WRITE = 0x8;
const IN_Q_OVERFLOW = 0x4000;
const IN_IGNORED = 0x8000;
const IN_ONLYDIR = 0x0100_0000;
const IN_DONT_FOLLOW = 0x0200_0000;
const IN_EXCL_UNLINK = 0x0400_0000;
const IN_CLOEXEC = 0x8_0000;
const MASK = IN_CLOSE_WRITE | IN_ONLYDIR | IN_DONT_FOLLOW | IN_EXCL_UNLINK;
/** The bytes of `struct inotify_event` before the name: watch, mask, cookie, length of the name. */
const EVENT_BYTES = 16;
const BUFFER_BYTES = 64 * 1024;

/** Whoever watches one folder. */
export interface CloseListener {
  /** A file of that name was closed in a directory that it watches. */
  closed(watch: number, name: string): void;
  /** The kernel ended the watch, because the directory is gone. */
  ended(watch: number): void;
  /** Some events were lost. */
  overflow(): void;
}

let shared: CloseEvents | undefined;

/**
 * @returns undefined if the system does not have it. Whoever gets it must leave it, because a
 * thread waits as long as somebody listens.
 */
export function listenToCloses(listener: CloseListener): CloseEvents | undefined {
  if (shared === undefined) {
    const native = nativeCalls();
    // Deno's numbers for files are not the kernel's.
    if (native === undefined || !("bun" in process.versions)) return undefined;
    const fd = native.call("inotify_init1", IN_CLOEXEC);
    if (fd < 0) return undefined;
    shared = new CloseEvents(native, fd);
  }
  shared.join(listener);
  return shared;
}

export class CloseEvents {
  readonly #native: NativeCalls;
  readonly #fd: number;
  readonly #buffer = Buffer.alloc(BUFFER_BYTES);
  readonly #listeners = new Set<CloseListener>();
  /** The kernel gives a directory one watch, so who watches it last hears of it. */
  readonly #owners = new Map<number, CloseListener>();
  #isReading = false;

  constructor(native: NativeCalls, fd: number) {
    this.#native = native;
    this.#fd = fd;
  }

  join(listener: CloseListener): void {
    this.#listeners.add(listener);
  }

  /** @returns the watch's number, or below 0 the negative error number */
  add(absolute: string, listener: CloseListener): number {
    const watch = this.#add(absolute);
    if (watch < 0) return watch;
    this.#owners.set(watch, listener);
    // Without a watch, nothing would ever wake the thread that reads.
    if (!this.#isReading) this.#read();
    return watch;
  }

  /** Ends all watches of the listener, which hears nothing from now on. */
  leave(listener: CloseListener): void {
    this.#listeners.delete(listener);
    for (const [watch, owner] of this.#owners) {
      if (owner === listener) this.#remove(watch);
    }
    if (this.#listeners.size > 0) return;
    if (!this.#isReading) return this.#close();
    // Removing a watch wakes the thread that reads. Where that fails, it waits for the next who
    // listens.
    const watch = this.#add("/");
    if (watch < 0) return;
    shared = undefined;
    this.#remove(watch);
  }

  #add(absolute: string): number {
    const name = Buffer.from(`${absolute}\0`);
    return this.#native.call("inotify_add_watch", this.#fd, this.#native.address(name), MASK);
  }

  #remove(watch: number): void {
    this.#owners.delete(watch);
    this.#native.call("inotify_rm_watch", this.#fd, watch);
  }

  #read(): void {
    this.#isReading = true;
    readFrom(this.#fd, this.#buffer, 0, BUFFER_BYTES, null, (error, count) => {
      if (error !== null || this.#listeners.size === 0) return this.#close();
      this.#tell(count);
      this.#read();
    });
  }

  #close(): void {
    if (shared === this) shared = undefined;
    closeSync(this.#fd);
  }

  #tell(count: number): void {
    for (let at = 0; at + EVENT_BYTES <= count; ) {
      const watch = this.#buffer.readInt32LE(at);
      const mask = this.#buffer.readUInt32LE(at + 4);
      const end = at + EVENT_BYTES + this.#buffer.readUInt32LE(at + 12);
      const name = this.#buffer.toString("utf8", at + EVENT_BYTES, end).replace(/\0+$/, "");
      at = end;
      const owner = this.#owners.get(watch);
      if ((mask & IN_Q_OVERFLOW) !== 0) {
        for (const listener of this.#listeners) listener.overflow();
      } else if ((mask & IN_IGNORED) !== 0) {
        this.#owners.delete(watch);
        owner?.ended(watch);
      } else owner?.closed(watch, name);
    }
  }
}
