/**
 * SimDisk: a disk in memory with a page cache. Inodes, birth times, hard links, symlinks,
 * nanosecond times; bytes and names are durable only after a sync, and `powerCut` keeps or drops
 * each unsynced change by chance. May fold names, keeping the spelling in which they were made.
 * Clients reach it through SimFileSystem, simulated users directly. Rules: I3, I14, I15, F51, F52.
 */
import { STATE_DIRECTORY } from "../../src/core/state-directory.ts";
import type { EntryKind } from "../../src/ports/filesystem.ts";

interface InodeCommon {
  readonly ino: number;
  /** Another one once an overlay has copied the file up. */
  birthNs: bigint;
  mtimeNs: bigint;
  ctimeNs: bigint;
  links: number;
  /** When it last got a name, by SimDiskOptions.elapsedMs. */
  placedMs: number;
  /** EACCES on listing or opening. */
  unreadable: boolean;
  /** Another file system is mounted here. */
  mounted: boolean;
}

interface FileState {
  readonly bytes: Uint8Array;
  readonly executable: boolean;
  readonly mtimeNs: bigint;
}

export interface FileInode extends InodeCommon {
  readonly kind: "file";
  /** Replaced, never written to: snapshots may be kept. */
  bytes: Uint8Array;
  executable: boolean;
  /** What a power cut cannot take; undefined until the first sync. */
  durable: FileState | undefined;
  /** Who wrote last: an unsynced user file may legally be torn by a power cut. */
  writer: "user" | "client";
}

export interface DirectoryInode extends InodeCommon {
  readonly kind: "directory";
  entries: Map<string, Inode>;
  durableEntries: Map<string, Inode>;
  parent: DirectoryInode | undefined;
  /** Of an overlay's lower layer: rename(2) answers EXDEV. */
  isLower: boolean;
}

export interface SymlinkInode extends InodeCommon {
  readonly kind: "symlink";
  readonly target: string;
}

export interface OtherInode extends InodeCommon {
  readonly kind: "other";
}

export type Inode = FileInode | DirectoryInode | SymlinkInode | OtherInode;

interface Slot {
  readonly directory: DirectoryInode;
  readonly name: string;
  readonly after: Inode | undefined;
}

/** One atomic metadata change that is not yet durable. */
interface Change {
  readonly slots: readonly Slot[];
  /** Metadata of a file, journalled with its directory as ext4 does. */
  readonly meta?: {
    readonly inode: FileInode;
    readonly executable: boolean;
    readonly mtimeNs: bigint;
  };
  /**
   * Directory moves and removals are ordered after everything before them, or trees would come
   * apart.
   */
  readonly barrier: boolean;
}

export interface SimDiskOptions {
  readonly nowMs: () => number;
  /** Time that no clock jump touches. @default nowMs */
  readonly elapsedMs?: () => number;
  /** In [0, 1): what a power cut keeps. */
  readonly fraction: () => number;
  /** Kernel time granularity; 1 is multigrain. */
  readonly granularityNs: bigint;
  /** A journalling disk keeps a prefix of the changes; otherwise each goes by chance. */
  readonly ordered: boolean;
  /** Names that this makes equal are one name here. @default every name is its own */
  readonly fold?: ((name: string) => string) | undefined;
}

/** How a user change reaches the disk: at once, or some time later. */
export type Durability = "durable" | "cached";

export class SimDisk {
  readonly root: DirectoryInode;
  /** Called with each path that changed outside the state directory. */
  onChange: (path: string) => void = () => {};
  /** What is kept of an mtime that is set. */
  heldTime: (ns: bigint) => bigint = (ns) => ns;
  /** Mutations by anybody; at rest it does not move (I11). */
  mutations = 0;
  powerCuts = 0;
  readonly #options: SimDiskOptions;
  #pending: Change[] = [];
  readonly #unsynced = new Set<FileInode>();
  #nextIno = 2;
  readonly #elapsedMs: () => number;
  #tick = 0n;

  constructor(options: SimDiskOptions) {
    this.#options = options;
    this.#elapsedMs = options.elapsedMs ?? options.nowMs;
    this.root = this.newDirectory(undefined);
  }

  get foldsNames(): boolean {
    return this.#options.fold !== undefined;
  }

  nowNs(): bigint {
    this.#tick = (this.#tick + 1n) % 1_000_000n;
    const ns = BigInt(Math.trunc(this.#options.nowMs())) * 1_000_000n + this.#tick;
    return ns - (ns % this.#options.granularityNs);
  }

  #common(): InodeCommon {
    const now = this.nowNs();
    const ino = this.#nextIno++;
    return {
      ino,
      birthNs: now,
      mtimeNs: now,
      ctimeNs: now,
      placedMs: this.#elapsedMs(),
      links: 0,
      unreadable: false,
      mounted: false,
    };
  }

  newFile(writer: "user" | "client"): FileInode {
    const inode: FileInode = {
      kind: "file",
      ...this.#common(),
      bytes: new Uint8Array(0),
      executable: false,
      durable: undefined,
      writer,
    };
    this.#unsynced.add(inode);
    return inode;
  }

  newDirectory(parent: DirectoryInode | undefined): DirectoryInode {
    return {
      kind: "directory",
      ...this.#common(),
      entries: new Map(),
      durableEntries: new Map(),
      parent,
      isLower: false,
    };
  }

  newSymlink(target: string): SymlinkInode {
    return { kind: "symlink", ...this.#common(), target };
  }

  newOther(): OtherInode {
    return { kind: "other", ...this.#common() };
  }

  // Paths

  /**
   * Follows no symlink. "blocked" where a component is not a directory, "denied" below an
   * unreadable one.
   */
  lookup(path: string, isRoot = false): Inode | "absent" | "blocked" | "denied" {
    let current: Inode = this.root;
    if (path === "") return current;
    for (const name of path.split("/")) {
      if (current.kind !== "directory") return "blocked";
      if (current.unreadable && !isRoot) return "denied";
      const next: Inode | undefined = current.entries.get(this.spelling(current, name));
      if (next === undefined) return "absent";
      current = next;
    }
    return current;
  }

  /** How the directory's entry of that name is spelled; the name itself where there is none. */
  spelling({ entries }: DirectoryInode, name: string): string {
    const { fold } = this.#options;
    if (fold === undefined || entries.has(name)) return name;
    const folded = fold(name);
    for (const entry of entries.keys()) if (fold(entry) === folded) return entry;
    return name;
  }

  /** The inode at that path, if there is one, whatever the permissions. */
  at(path: string): Inode | undefined {
    const found = this.lookup(path, true);
    return typeof found === "string" ? undefined : found;
  }

  /** The path of an inode that is on the tree; the first of several. */
  pathOf(inode: Inode): string | undefined {
    for (const [path, entry] of this.walk()) if (entry === inode) return path;
    return undefined;
  }

  /** Everything below the root, parents first, the state directory included. */
  walk(): [string, Inode][] {
    const found: [string, Inode][] = [];
    addBelow(this.root, "", found);
    return found;
  }

  kindAt(path: string): EntryKind | undefined {
    return this.at(path)?.kind;
  }

  /** Since when this path has led where it leads, whole way down. */
  steadySinceMs(path: string): number {
    let since = 0;
    for (let end = path.length; end > 0; end = path.lastIndexOf("/", end - 1)) {
      since = Math.max(since, this.at(path.slice(0, end))?.placedMs ?? 0);
    }
    return since;
  }

  isBelow(inode: Inode, ancestor: Inode): boolean {
    let current: DirectoryInode | undefined = inode.kind === "directory" ? inode : undefined;
    while (current !== undefined) {
      if (current === ancestor) return true;
      current = current.parent;
    }
    return false;
  }

  // Changes

  /** Sets or clears names in one atomic step. */
  link(slots: readonly Slot[], durability: Durability, paths: readonly string[]): void {
    this.mutations++;
    const now = this.nowNs();
    let barrier = false;
    for (const { directory, name } of slots) {
      const before = directory.entries.get(name);
      if (before !== undefined) {
        before.links--;
        before.ctimeNs = now;
        if (before.kind === "directory") barrier = true;
      }
    }
    for (const { directory, name, after } of slots) {
      if (after === undefined) directory.entries.delete(name);
      else {
        directory.entries.set(name, after);
        after.links++;
        after.ctimeNs = now;
        after.placedMs = this.#elapsedMs();
        if (after.kind === "directory") after.parent = directory;
      }
      directory.mtimeNs = now;
      directory.ctimeNs = now;
    }
    this.#pending.push({ slots, barrier });
    if (durability === "durable") {
      this.#commitThrough((change) => change.slots === slots);
      this.#commitAbove(slots);
    }
    for (const path of paths) this.touched(path);
  }

  /** What is made durable is reachable, though somebody else made the directories above it. */
  #commitAbove(slots: readonly Slot[]): void {
    const above = new Set<Inode>();
    for (const { directory } of slots) {
      for (let at: DirectoryInode | undefined = directory; at !== undefined; at = at.parent) {
        above.add(at);
      }
    }
    this.#commitThrough((change) => {
      return change.slots.some(({ after }) => after !== undefined && above.has(after));
    });
  }

  write(
    inode: FileInode,
    bytes: Uint8Array,
    writer: "user" | "client",
    durability: Durability,
  ): void {
    this.mutations++;
    inode.bytes = bytes;
    inode.writer = writer;
    inode.mtimeNs = this.nowNs();
    inode.ctimeNs = inode.mtimeNs;
    if (durability === "durable") {
      // fsync of a file makes the name durable by which it was opened: ext4, XFS and btrfs all see
      // to that.
      const named = this.#pending.filter(({ slots }) => slots.some(({ after }) => after === inode));
      this.#commitThrough((change) => named.includes(change));
      for (const { slots } of named) this.#commitAbove(slots);
      this.syncFile(inode);
    } else this.#unsynced.add(inode);
  }

  setMetadata(
    inode: FileInode,
    metadata: { executable?: boolean; mtimeNs?: bigint },
    durability: Durability,
    parent?: DirectoryInode,
  ): void {
    this.mutations++;
    if (metadata.executable !== undefined) inode.executable = metadata.executable;
    if (metadata.mtimeNs !== undefined) inode.mtimeNs = this.heldTime(metadata.mtimeNs);
    inode.ctimeNs = this.nowNs();
    const meta = { inode, executable: inode.executable, mtimeNs: inode.mtimeNs };
    if (parent === undefined) return;
    const slots: Slot[] = [{ directory: parent, name: "", after: undefined }];
    this.#pending.push({ slots, meta, barrier: false });
    if (durability === "durable") this.#commitThrough((change) => change.slots === slots);
  }

  /** Tells the watcher. */
  touched(path: string): void {
    if (path === STATE_DIRECTORY || path.startsWith(`${STATE_DIRECTORY}/`)) return;
    this.onChange(path);
  }

  // Durability

  syncFile(inode: FileInode): void {
    inode.durable = { bytes: inode.bytes, executable: inode.executable, mtimeNs: inode.mtimeNs };
    this.#unsynced.delete(inode);
  }

  syncDirectory(directory: DirectoryInode): void {
    this.#commitThrough((change) => change.slots.some((slot) => slot.directory === directory));
  }

  /** What the kernel does on its own every few seconds. */
  writeBack(): void {
    this.#commitThrough(() => true);
    for (const inode of [...this.#unsynced]) this.syncFile(inode);
  }

  #commitThrough(wanted: (change: Change) => boolean): void {
    if (this.#pending.length === 0) return;
    this.#apply(this.#pending.map(wanted));
  }

  /** Makes the chosen changes and all that they depend on durable; the others stay pending. */
  #apply(keep: boolean[]): void {
    const pending = this.#pending;
    for (let index = pending.length - 1; index >= 0; index--) {
      const change = pending[index];
      if (change === undefined || !keep[index]) continue;
      for (let earlier = 0; earlier < index; earlier++) {
        const other = pending[earlier];
        if (other !== undefined && (this.#options.ordered || dependsOn(change, other)))
          keep[earlier] = true;
      }
    }
    this.#pending = pending.filter((_, index) => !keep[index]);
    for (const [index, change] of pending.entries()) {
      if (!keep[index]) continue;
      if (change.meta !== undefined) {
        const { inode, executable, mtimeNs } = change.meta;
        if (inode.durable !== undefined)
          inode.durable = { bytes: inode.durable.bytes, executable, mtimeNs };
        continue;
      }
      for (const { directory, name, after } of change.slots) {
        if (after === undefined) directory.durableEntries.delete(name);
        else directory.durableEntries.set(name, after);
      }
    }
  }

  /**
   * The power goes: what was not synced is kept or dropped by chance.
   *
   * @returns files of users whose unsynced bytes were changed by it; no program could have saved
   * them.
   */
  powerCut(): readonly FileInode[] {
    this.mutations++;
    this.powerCuts++;
    const { fraction, ordered } = this.#options;
    const cut = fraction() * (this.#pending.length + 1);
    const share = fraction();
    this.#apply(
      this.#pending.map((_, index) => (ordered ? index < Math.floor(cut) : fraction() < share)),
    );
    this.#pending = [];
    const torn = [...this.#unsynced].filter((inode) => this.#tear(inode));
    this.#unsynced.clear();
    this.#restore(this.root);
    for (const [, inode] of this.walk()) inode.links = 0;
    for (const [, inode] of this.walk()) inode.links++;
    return torn;
  }

  #tear(inode: FileInode): boolean {
    const { fraction } = this.#options;
    const before = inode.bytes;
    const chance = fraction();
    if (chance < 0.25) {
      this.syncFile(inode);
      return false;
    }
    // A written limit: bytes that change without any time stamp changing are found by nobody who
    // does not read.
    inode.ctimeNs = this.nowNs();
    if (inode.durable !== undefined) {
      inode.bytes = inode.durable.bytes;
      inode.executable = inode.durable.executable;
      inode.mtimeNs = inode.durable.mtimeNs;
    } else if (chance < 0.5) inode.bytes = new Uint8Array(0);
    else if (chance < 0.75) inode.bytes = before.slice(0, Math.floor(before.length * fraction()));
    else inode.bytes = new Uint8Array(before.length);
    this.syncFile(inode);
    return inode.writer === "user";
  }

  #restore(directory: DirectoryInode): void {
    directory.entries = new Map(directory.durableEntries);
    for (const inode of directory.entries.values()) {
      if (inode.kind === "directory") {
        inode.parent = directory;
        this.#restore(inode);
      } else if (inode.kind === "file" && inode.durable !== undefined) {
        inode.executable = inode.durable.executable;
        inode.mtimeNs = inode.durable.mtimeNs;
      }
    }
  }
}

function addBelow({ entries }: DirectoryInode, above: string, into: [string, Inode][]): void {
  for (const [name, inode] of entries) {
    into.push([above + name, inode]);
    if (inode.kind === "directory") addBelow(inode, `${above}${name}/`, into);
  }
}

function dependsOn(change: Change, earlier: Change): boolean {
  if (change.barrier) return true;
  return change.slots.some((slot) =>
    earlier.slots.some((other) => {
      if (slot.directory !== other.directory || slot.name !== other.name) return false;
      return change.meta === undefined || change.meta.inode === earlier.meta?.inode;
    }),
  );
}
