/**
 * DiskCalls through Linux system calls. Rules: D1, D2, I22, A6.
 *
 * Measured on Bun with 100,000 files in 1,000 directories: list and stat of all take 0.16 s,
 * against 0.3 s for `readdir` and `lstat` of `node:fs`. The kernel walks a path in one call,
 * openat2 with RESOLVE_BENEATH and RESOLVE_NO_SYMLINKS. Kernels and sandboxes without it get one
 * openat for each component.
 */
import { constants } from "node:fs";
import type { Listing, Stat } from "../../ports/filesystem.ts";
import type { NativeCalls } from "../runtime/native-calls.ts";
import {
  type Access,
  CallError,
  type Directory,
  type DiskCalls,
  type OpenFile,
  type RenameMode,
} from "./calls.ts";
import { roomBytesAt } from "./room.ts";
import { STATX_MASK, StatxReader } from "./statx-reader.ts";
import { coversAll, SYNC_ALL_MS_MAX, soonerOf } from "./sync-all.ts";

const { O_CREAT, O_DIRECTORY, O_EXCL, O_NOCTTY, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_WRONLY } =
  constants;
const O_CLOEXEC = 0o2000000;
/** A descriptor only for walking through; it needs no read permission. */
const O_PATH = 0o10000000;
const PASS_FLAGS = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
const LIST_FLAGS = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
const READ_FLAGS = O_RDONLY | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW | O_CLOEXEC;
const CREATE_FLAGS = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
const AT_FDCWD = -100;
const AT_SYMLINK_NOFOLLOW = 0x100;
const AT_EMPTY_PATH = 0x1000;
const AT_REMOVEDIR = 0x200;
const RESOLVE_NO_MAGICLINKS = 0x02;
const RESOLVE_NO_SYMLINKS = 0x04;
const RESOLVE_BENEATH = 0x08;
const OPEN_HOW_BYTES = 24;
/** Leaves the access time alone, as utimensat's nanosecond field. */
const UTIME_OMIT = 0x3ffffffen;
const RENAME_FLAGS: Readonly<Record<RenameMode, number>> = {
  replace: 0,
  no_replace: 1,
  exchange: 2,
};
const DOT = 0x2e;
const EINTR = -4;
const ENOENT = -2;
const EPERM = -1;
const EAGAIN = -11;
const ENOSYS = -38;
const ENAMETOOLONG = -36;
/** PATH_MAX with its NUL. Longer paths are walked component by component. */
const PATH_BYTES = 4096;
const SCRATCH_BYTES = 3 * PATH_BYTES;
const LIST_BUFFER_BYTES = 64 * 1024;
/** A symlink's target is at most PATH_MAX - 1 bytes. */
const LINK_BUFFER_BYTES = 4096;

/**
 * @param rootPath absolute and free of symlinks
 * @throws CallError if the root cannot be opened
 */
export function createNativeDiskCalls(native: NativeCalls, rootPath: string): DiskCalls {
  return new NativeDiskCalls(native, rootPath);
}

const encoder = new TextEncoder();
/** `ignoreBOM`, because a name may begin with U+FEFF, which a decoder would otherwise drop. */
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Scratch memory with a fixed address. Calls are synchronous, so a few of them are enough. */
class Scratch {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly view: DataView;
  readonly address: number;
  /** The last string's length in bytes, without its NUL. */
  length = 0;

  constructor(native: NativeCalls, size: number) {
    this.bytes = new Uint8Array(new ArrayBuffer(size));
    this.view = new DataView(this.bytes.buffer);
    this.address = native.address(this.bytes);
  }

  /** Writes a NUL-terminated string. @returns its address */
  put(text: string): number {
    const { read, written } = encoder.encodeInto(text, this.bytes);
    if (read < text.length || written === this.bytes.length) {
      throw new CallError("path", ENAMETOOLONG);
    }
    this.bytes[written] = 0;
    this.length = written;
    return this.address;
  }
}

class NativeDiskCalls implements DiskCalls {
  readonly hasRenameModes = true;
  readonly mtimeGranularityNs = 1;
  readonly #native: NativeCalls;
  readonly #rootPath: string;
  readonly #root: number;
  readonly #name: Scratch;
  readonly #otherName: Scratch;
  readonly #how: Scratch;
  readonly #entries: Scratch;
  readonly #times: Scratch;
  readonly #statx: StatxReader;
  #hasOpenat2 = true;

  constructor(native: NativeCalls, rootPath: string) {
    this.#native = native;
    this.#rootPath = rootPath;
    this.#name = new Scratch(native, SCRATCH_BYTES);
    this.#otherName = new Scratch(native, SCRATCH_BYTES);
    this.#how = new Scratch(native, OPEN_HOW_BYTES);
    this.#entries = new Scratch(native, LIST_BUFFER_BYTES);
    this.#times = new Scratch(native, 32);
    this.#statx = new StatxReader(native);
    const resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
    this.#how.view.setBigUint64(16, BigInt(resolve), true);
    this.#root = this.#openDirectoryAt(AT_FDCWD, rootPath, LIST_FLAGS);
    this.#fillStat(this.#root, this.#name.put(""), AT_EMPTY_PATH);
    this.#statx.anchor();
  }

  statRoot(): Stat {
    this.#fillStat(AT_FDCWD, this.#name.put(this.#rootPath), AT_SYMLINK_NOFOLLOW);
    return this.#statx.read();
  }

  roomBytes(): number | undefined {
    return roomBytesAt(this.#rootPath);
  }

  openDirectory(path: string, purpose: "pass" | "list"): number {
    if (path === "" && purpose === "pass") return this.#root;
    const flags = purpose === "pass" ? PASS_FLAGS : LIST_FLAGS;
    // Opened anew, because all who list a descriptor share its place in the listing.
    if (path === "") return this.#openDirectoryAt(this.#root, ".", flags);
    const address = this.#name.put(path);
    if (this.#hasOpenat2 && this.#name.length < PATH_BYTES) {
      this.#how.view.setBigUint64(0, BigInt(flags), true);
      const how = this.#how.address;
      const fd = this.#native.call("openat2", this.#root, address, how, OPEN_HOW_BYTES);
      if (fd >= 0) return fd;
      // EAGAIN: a rename ran meanwhile. EPERM: old container sandboxes refuse unknown calls with
      // it.
      if (fd === ENOSYS || fd === EPERM) this.#hasOpenat2 = false;
      else if (fd !== EAGAIN && fd !== EINTR) throw new CallError("openat2", fd);
    }
    return this.#walk(path, flags);
  }

  #walk(path: string, flags: number): number {
    const names = path.split("/");
    let fd = this.#root;
    for (const [index, name] of names.entries()) {
      const parent = fd;
      try {
        fd = this.#openDirectoryAt(parent, name, index < names.length - 1 ? PASS_FLAGS : flags);
      } finally {
        this.closeDirectory(parent);
      }
    }
    return fd;
  }

  #openDirectoryAt(fd: number, name: string, flags: number): number {
    const address = this.#name.put(name);
    return this.#check(
      "openat",
      this.#retried(() => this.#native.call("openat", fd, address, flags)),
    );
  }

  closeDirectory(directory: Directory): void {
    if (directory !== this.#root) this.#native.call("close", descriptor(directory));
  }

  async syncDirectory(directory: Directory): Promise<void> {
    this.#check("fsync", await this.#native.sync(descriptor(directory)));
  }

  async syncAll(): Promise<boolean> {
    if (!coversAll(this.#rootPath)) return false;
    const work = this.#native.syncFileSystem(this.#root);
    return (await soonerOf(work, SYNC_ALL_MS_MAX)) === 0;
  }

  stat(directory: Directory, name: string): Stat {
    return this.#stat(descriptor(directory), name);
  }

  #stat(fd: number, name: string): Stat {
    const flags = AT_SYMLINK_NOFOLLOW | (name === "" ? AT_EMPTY_PATH : 0);
    this.#fillStat(fd, this.#name.put(name), flags);
    return this.#statx.read();
  }

  #fillStat(fd: number, address: number, flags: number): void {
    const result = this.#native.call("statx", fd, address, flags, STATX_MASK, this.#statx.address);
    this.#check("statx", result);
  }

  list(directory: Directory): Listing {
    const fd = descriptor(directory);
    const entries: { name: string; stat: Stat }[] = [];
    const illegible: { nameHex: string }[] = [];
    const { bytes, view, address } = this.#entries;
    for (;;) {
      const filled = this.#native.call("getdents64", fd, address, LIST_BUFFER_BYTES);
      if (filled === EINTR) continue;
      if (this.#check("getdents64", filled) === 0) return { entries, illegible };
      // struct linux_dirent64: inode 8, offset 8, length 2, type 1, then the name up to a NUL.
      for (let start = 0; start < filled; start += view.getUint16(start + 16, true)) {
        const nameStart = start + 19;
        const nameEnd = bytes.indexOf(0, nameStart);
        if (isDots(bytes, nameStart, nameEnd)) continue;
        const nameBytes = bytes.subarray(nameStart, nameEnd);
        const name = decode(nameBytes);
        if (name === undefined) {
          illegible.push({ nameHex: hex(nameBytes) });
          continue;
        }
        const result = this.#native.call(
          "statx",
          fd,
          address + nameStart,
          AT_SYMLINK_NOFOLLOW,
          STATX_MASK,
          this.#statx.address,
        );
        if (result === ENOENT) continue;
        this.#check("statx", result);
        entries.push({ name, stat: this.#statx.read() });
      }
    }
  }

  readLink(directory: Directory, name: string): Uint8Array {
    const { bytes, address } = this.#entries;
    const nameAddress = this.#name.put(name);
    const fd = descriptor(directory);
    const length = this.#native.call("readlinkat", fd, nameAddress, address, LINK_BUFFER_BYTES);
    return bytes.slice(0, this.#check("readlinkat", length));
  }

  openFile(directory: Directory, name: string, mode: "read" | "create"): OpenFile {
    const flags = mode === "read" ? READ_FLAGS : CREATE_FLAGS;
    const address = this.#name.put(name);
    const fd = this.#retried(() =>
      this.#native.call("openat", descriptor(directory), address, flags, 0o600),
    );
    return this.#openedFile(this.#check("openat", fd));
  }

  #openedFile(fd: number): OpenFile {
    const native = this.#native;
    return {
      stat: () => this.#stat(fd, ""),
      permissions: () => {
        this.#stat(fd, "");
        return this.#statx.permissions();
      },
      setPermissions: (mode) => {
        this.#check("fchmod", native.call("fchmod", fd, mode));
      },
      setModified: (mtimeNs) => this.#setModified(fd, mtimeNs),
      read: (buffer, position) => {
        const result = this.#retried(() =>
          native.call("pread64", fd, native.address(buffer), buffer.length, position),
        );
        return this.#check("pread64", result);
      },
      write: (bytes) => {
        const result = this.#retried(() =>
          native.call("write", fd, native.address(bytes), bytes.length),
        );
        return this.#check("write", result);
      },
      sync: async () => {
        this.#check("fsync", await native.sync(fd));
      },
      close: () => {
        native.call("close", fd);
      },
    };
  }

  #setModified(fd: number, mtimeNs: bigint): void {
    const { view, address } = this.#times;
    const ns = ((mtimeNs % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n;
    view.setBigInt64(0, 0n, true);
    view.setBigInt64(8, UTIME_OMIT, true);
    view.setBigInt64(16, (mtimeNs - ns) / 1_000_000_000n, true);
    view.setBigInt64(24, ns, true);
    this.#check("utimensat", this.#native.call("utimensat", fd, 0, address, 0));
  }

  makeDirectory(directory: Directory, name: string): void {
    const address = this.#name.put(name);
    this.#check("mkdirat", this.#native.call("mkdirat", descriptor(directory), address, 0o777));
  }

  accessOf(directory: Directory): Access {
    this.#fillStat(descriptor(directory), this.#name.put(""), AT_EMPTY_PATH);
    return this.#statx.access();
  }

  setAccess(directory: Directory, { mode, uid, gid }: Access): void {
    const fd = descriptor(directory);
    const owned = this.#native.call("fchown", fd, uid, gid);
    if (owned !== EPERM) this.#check("fchown", owned);
    this.#check("fchmod", this.#native.call("fchmod", fd, mode));
  }

  makeSymlink(directory: Directory, name: string, target: string): void {
    const targetAddress = this.#otherName.put(target);
    const fd = descriptor(directory);
    const address = this.#name.put(name);
    this.#check("symlinkat", this.#native.call("symlinkat", targetAddress, fd, address));
  }

  rename(from: Directory, source: string, to: Directory, target: string, mode: RenameMode): void {
    const sourceAddress = this.#name.put(source);
    const targetAddress = this.#otherName.put(target);
    const result = this.#native.call(
      "renameat2",
      descriptor(from),
      sourceAddress,
      descriptor(to),
      targetAddress,
      RENAME_FLAGS[mode],
    );
    this.#check("renameat2", result);
  }

  link(from: Directory, source: string, to: Directory, target: string): void {
    const sourceAddress = this.#name.put(source);
    const targetAddress = this.#otherName.put(target);
    const [a, b] = [descriptor(from), descriptor(to)];
    this.#check("linkat", this.#native.call("linkat", a, sourceAddress, b, targetAddress));
  }

  removeFile(directory: Directory, name: string): void {
    const address = this.#name.put(name);
    this.#check("unlinkat", this.#native.call("unlinkat", descriptor(directory), address));
  }

  removeDirectory(directory: Directory, name: string): void {
    const address = this.#name.put(name);
    const fd = descriptor(directory);
    this.#check("unlinkat", this.#native.call("unlinkat", fd, address, AT_REMOVEDIR));
  }

  close(): void {
    this.#native.call("close", this.#root);
  }

  /** Repeats a call that a signal interrupted before it did anything. */
  #retried(attempt: () => number): number {
    for (;;) {
      const result = attempt();
      if (result !== EINTR) return result;
    }
  }

  #check(call: string, result: number): number {
    if (result < 0) throw new CallError(call, result);
    return result;
  }
}

function descriptor(directory: Directory): number {
  if (typeof directory === "number") return directory;
  throw new Error("Broken invariant: native calls work on descriptors");
}

function isDots(bytes: Uint8Array, start: number, end: number): boolean {
  if (bytes[start] !== DOT) return false;
  return end === start + 1 || (end === start + 2 && bytes[start + 1] === DOT);
}

function decode(bytes: Uint8Array): string | undefined {
  try {
    return decoder.decode(bytes);
  } catch (error) {
    if (error instanceof TypeError) return undefined;
    throw error;
  }
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
