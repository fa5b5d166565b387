/**
 * Takes `.synced` out of a recursive watch of the runtime, which itself leaves out nothing. Rules:
 * A6.
 *
 * Every page that SQLite writes there, and each step of a staged file, would wake the thread that
 * reads hints, only for the hint to be dropped. The kernel tells in `/proc/self/fdinfo` which watch
 * is on which inode. Where it does not, or the numbers are others (Deno, btrfs), all stays watched.
 */

import { readdirSync, readFileSync, type Stats, statSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { STATE_DIRECTORY } from "../../core/state-directory.ts";
import { nativeCalls } from "../runtime/native-calls.ts";

const FDINFO = "/proc/self/fdinfo";

/** Call it when the runtime has begun to watch the root, because that is where its walk ends. */
export function unwatchState(rootPath: string): void {
  const native = nativeCalls();
  if (native === undefined || !("bun" in process.versions)) return;
  const state = statesIn(rootPath).map(inWatchList);
  if (state.length === 0) return;
  for (const { fd, watches } of watchLists()) {
    for (const inode of state) {
      const watch = new RegExp(`^inotify wd:([0-9a-f]+) ${inode} `, "m").exec(watches)?.[1];
      if (watch !== undefined) native.call("inotify_rm_watch", fd, Number.parseInt(watch, 16));
    }
  }
}

/** @returns `.synced` and the directories in it; none if there is none yet */
function statesIn(rootPath: string): readonly Stats[] {
  const state = join(rootPath, STATE_DIRECTORY);
  try {
    const entries = readdirSync(state, { withFileTypes: true });
    const directories = entries.filter((entry) => entry.isDirectory());
    return [state, ...directories.map(({ name }) => join(state, name))].map((path) =>
      statSync(path),
    );
  } catch {
    return [];
  }
}

/** An inode as the kernel prints it: its device is 12 bits major and 20 bits minor there. */
function inWatchList({ ino, dev }: Stats): string {
  const high = Math.floor(dev / 2 ** 32);
  const major = ((dev >>> 8) & 0xfff) | (high & ~0xfff);
  const minor = (dev & 0xff) | ((dev >>> 12) & 0xf_ff00);
  return `ino:${ino.toString(16)} sdev:${(major * 2 ** 20 + minor).toString(16)}`;
}

/** Each open file that has watches, with their list. */
function* watchLists(): Generator<{ readonly fd: number; readonly watches: string }> {
  for (const fd of namesIn(FDINFO)) {
    let watches: string;
    try {
      watches = readFileSync(join(FDINFO, fd), "utf8");
    } catch {
      // Closed meanwhile, as the one that lists this directory.
      continue;
    }
    if (watches.includes("\ninotify wd:")) yield { fd: Number(fd), watches };
  }
}

function namesIn(path: string): readonly string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}
