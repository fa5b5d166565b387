/**
 * DiskCalls through `node:fs`, if no system call can be made directly. Rules: D1, D6.
 *
 * On Linux it is still anchored: an open directory is named `/proc/self/fd/N`, and each component
 * is opened with O_NOFOLLOW. Elsewhere, and under Deno without --allow-all, paths are plain and are
 * checked component by component. RACE: there, a symlink that takes the place of a checked
 * directory before the next call is followed. macOS and Windows are untested.
 *
 * There is no exchange and no rename that replaces nothing. Times are set in microseconds (Deno
 * reads them in milliseconds). Bun 1.4.5 sets the present time for times before 1970.
 */
import * as fs from "node:fs";
import process from "node:process";
import type { Listing, Stat } from "../../ports/filesystem.ts";
import {
  type Access,
  CallError,
  type Directory,
  type DiskCalls,
  errorCode,
  type OpenFile,
  type RenameMode,
  toStat,
} from "./calls.ts";
import { roomBytesAt } from "./room.ts";

const { O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_WRONLY } = fs.constants;
const LIST_FLAGS = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;
const ENOSYS = -38;
const ENOTDIR = -20;
const NS_PER_SECOND = 1_000_000_000n;
const NS_PER_MICROSECOND = 1000n;

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const REPLACEMENT = "\uFFFD";

/** @param rootPath absolute and free of symlinks */
export function createNodeDiskCalls(rootPath: string): DiskCalls {
  return new NodeDiskCalls(rootPath);
}

class NodeDiskCalls implements DiskCalls {
  readonly hasRenameModes = false;
  readonly mtimeGranularityNs = Number(NS_PER_MICROSECOND);
  readonly #rootPath: string;
  readonly #root: Directory;
  readonly #device: bigint;

  constructor(rootPath: string) {
    this.#rootPath = rootPath;
    this.#root = canAnchor() ? fs.openSync(rootPath, LIST_FLAGS) : rootPath;
    this.#device = fs.statSync(rootPath, { bigint: true }).dev;
  }

  statRoot(): Stat {
    return this.#toStat(fs.lstatSync(this.#rootPath, { bigint: true }));
  }

  roomBytes(): number | undefined {
    return roomBytesAt(this.#rootPath);
  }

  openDirectory(path: string): Directory {
    if (path === "") return this.#root;
    let directory = this.#root;
    for (const name of path.split("/")) {
      const parent = directory;
      try {
        directory = this.#step(parent, name);
      } finally {
        this.closeDirectory(parent);
      }
    }
    return directory;
  }

  #step(parent: Directory, name: string): Directory {
    const path = place(parent, name);
    if (typeof parent === "number") return fs.openSync(path, LIST_FLAGS);
    if (fs.lstatSync(path).isDirectory()) return path;
    throw new CallError("lstat", ENOTDIR);
  }

  closeDirectory(directory: Directory): void {
    if (typeof directory === "number" && directory !== this.#root) fs.closeSync(directory);
  }

  async syncAll(): Promise<boolean> {
    return false;
  }

  async syncDirectory(directory: Directory): Promise<void> {
    if (typeof directory === "number") await syncDescriptor(directory);
    // Windows has no such call. macOS would need F_FULLFSYNC, which `node:fs` sends for files only.
  }

  stat(directory: Directory, name: string): Stat {
    return this.#toStat(fs.lstatSync(place(directory, name), { bigint: true }));
  }

  list(directory: Directory): Listing {
    const entries: { name: string; stat: Stat }[] = [];
    const illegible: { nameHex: string }[] = [];
    for (const bytes of fs.readdirSync(place(directory, ""), { encoding: "buffer" })) {
      const name = decode(bytes);
      if (name === undefined) {
        illegible.push({ nameHex: bytes.toString("hex") });
        continue;
      }
      try {
        entries.push({ name, stat: this.stat(directory, name) });
      } catch (error) {
        if (errorCode(error) !== "ENOENT") throw error;
      }
    }
    return { entries, illegible };
  }

  readLink(directory: Directory, name: string): Uint8Array {
    return fs.readlinkSync(place(directory, name), { encoding: "buffer" });
  }

  openFile(directory: Directory, name: string, mode: "read" | "create"): OpenFile {
    const flags =
      mode === "read"
        ? O_RDONLY | O_NONBLOCK | O_NOFOLLOW
        : O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW;
    const fd = fs.openSync(place(directory, name), flags, 0o600);
    return {
      stat: () => this.#toStat(fs.fstatSync(fd, { bigint: true })),
      permissions: () => fs.fstatSync(fd).mode & 0o777,
      setPermissions: (permissions) => fs.fchmodSync(fd, permissions),
      setModified: (mtimeNs) => fs.futimesSync(fd, fs.fstatSync(fd).atime, toSeconds(mtimeNs)),
      read: (buffer, position) => fs.readSync(fd, buffer, 0, buffer.length, position),
      write: (bytes) => fs.writeSync(fd, bytes, 0, bytes.length),
      sync: () => syncDescriptor(fd),
      close: () => fs.closeSync(fd),
    };
  }

  makeDirectory(directory: Directory, name: string): void {
    fs.mkdirSync(place(directory, name));
  }

  accessOf(directory: Directory): Access {
    const { mode, uid, gid } = fs.statSync(place(directory, "."));
    return { mode: mode & 0o7777, uid, gid };
  }

  setAccess(directory: Directory, { mode, uid, gid }: Access): void {
    const path = place(directory, ".");
    try {
      fs.chownSync(path, uid, gid);
    } catch (error) {
      if (errorCode(error) !== "EPERM") throw error;
    }
    fs.chmodSync(path, mode);
  }

  makeSymlink(directory: Directory, name: string, target: string): void {
    fs.symlinkSync(target, place(directory, name));
  }

  rename(from: Directory, source: string, to: Directory, target: string, mode: RenameMode): void {
    if (mode !== "replace") throw new CallError("rename", ENOSYS);
    fs.renameSync(place(from, source), place(to, target));
  }

  link(from: Directory, source: string, to: Directory, target: string): void {
    fs.linkSync(place(from, source), place(to, target));
  }

  removeFile(directory: Directory, name: string): void {
    fs.unlinkSync(place(directory, name));
  }

  removeDirectory(directory: Directory, name: string): void {
    fs.rmdirSync(place(directory, name));
  }

  close(): void {
    if (typeof this.#root === "number") fs.closeSync(this.#root);
  }

  #toStat(stats: fs.BigIntStats): Stat {
    // Some runtimes leave it out if the file system keeps none.
    const birth = stats.birthtimeNs ?? 0n;
    const [birthSeconds, birthNs] = split(birth);
    const [mtimeSeconds, mtimeNs] = split(stats.mtimeNs);
    const [ctimeSeconds, ctimeNs] = split(stats.ctimeNs);
    return toStat({
      mode: Number(stats.mode),
      inode: stats.ino,
      device: String(stats.dev),
      birthSeconds,
      birthNs,
      size: Number(stats.size),
      mtimeSeconds,
      mtimeNs,
      ctimeSeconds,
      ctimeNs,
      links: Number(stats.nlink),
      sameDevice: stats.dev === this.#device,
    });
  }
}

function canAnchor(): boolean {
  if (process.platform !== "linux") return false;
  try {
    return fs.existsSync("/proc/self/fd");
  } catch {
    // Deno without --allow-all throws on any read of /proc.
    return false;
  }
}

function place(directory: Directory, name: string): string {
  return typeof directory === "number"
    ? `/proc/self/fd/${directory}/${name}`
    : `${directory}/${name}`;
}

function syncDescriptor(fd: number): Promise<void> {
  return new Promise((resolve, reject) => {
    fs.fsync(fd, (error) => (error === null ? resolve() : reject(error)));
  });
}

/**
 * A name with U+FFFD counts as illegible if the runtime may have put it there: Deno decodes names
 * before it returns them as buffers, so that two names may become one.
 */
function decode(bytes: Uint8Array): string | undefined {
  try {
    const name = decoder.decode(bytes);
    return decodesItself && name.includes(REPLACEMENT) ? undefined : name;
  } catch (error) {
    if (error instanceof TypeError) return undefined;
    throw error;
  }
}

const decodesItself = "Deno" in globalThis;

/**
 * Adds half a microsecond. The runtime takes seconds as a double, whose steps are some 0.2 µs
 * today, and without it the time could land just below the wanted microsecond.
 */
function toSeconds(ns: bigint): number {
  const remainder = ((ns % NS_PER_MICROSECOND) + NS_PER_MICROSECOND) % NS_PER_MICROSECOND;
  return Number((ns - remainder) / NS_PER_MICROSECOND) / 1e6 + 0.5e-6;
}

function split(ns: bigint): readonly [seconds: number, ns: number] {
  const rest = ((ns % NS_PER_SECOND) + NS_PER_SECOND) % NS_PER_SECOND;
  return [Number((ns - rest) / NS_PER_SECOND), Number(rest)];
}
