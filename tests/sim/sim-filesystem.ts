/**
 * SimFileSystem: the FileSystem port of one incarnation of a client over a SimDisk. A hook runs
 * before every call, so that users edit between any two of them; faults are injected there; once
 * killed, nothing passes. Rules: D1, I3, I14, I16, I22.
 */
import type {
  Capabilities,
  EntryKind,
  FileMetadata,
  FileReader,
  FileSystem,
  FileSystemErrorCode,
  FileWriter,
  Listing,
  Stat,
} from "../../src/ports/filesystem.ts";
import { FileSystemError } from "../../src/ports/filesystem.ts";
import type { DirectoryInode, FileInode, Inode, SimDisk } from "./sim-disk.ts";

/** Thrown out of every port of a killed incarnation. */
export class Killed extends Error {
  override readonly name = "Killed";
}

export interface SimFileSystemOptions {
  readonly disk: SimDisk;
  readonly exchange: boolean;
  /**
   * Runs before every call and may change the disk, or throw.
   *
   * @returns the fault to inject into this call.
   */
  readonly beforeCall: (
    name: string,
    path: string,
    detail?: string,
  ) => FileSystemErrorCode | undefined;
  /** Waits as long as a sync takes. @default no time */
  readonly pause?: () => Promise<void>;
}

const NAME_BYTES_MAX = 255;
const encoder = new TextEncoder();

export class SimFileSystem implements FileSystem {
  readonly capabilities: Capabilities;
  readonly syncsMax = 64;
  readonly boot: string;
  readonly #options: SimFileSystemOptions;
  readonly #disk: SimDisk;
  #dead = false;

  constructor(options: SimFileSystemOptions) {
    this.#options = options;
    this.#disk = options.disk;
    this.boot = `boot ${options.disk.powerCuts}`;
    this.capabilities = {
      exchange: options.exchange,
      executable: true,
      foldsNames: options.disk.foldsNames,
      mtimeGranularityNs: 1,
    };
  }

  /** SIGKILL of the process that holds this port; the disk keeps everything. */
  kill(): void {
    this.#dead = true;
  }

  stat(path: string): Stat | undefined {
    this.#enter("stat", path);
    const inode = this.#find(path, "stat");
    return inode === undefined ? undefined : statOf(inode);
  }

  /** Disks of the simulation are full when they are told to be, whatever they hold. */
  roomBytes(): number | undefined {
    return undefined;
  }

  list(path: string): Listing | undefined {
    this.#enter("list", path);
    const inode = this.#find(path, "list");
    if (inode?.kind !== "directory") return undefined;
    if (inode.unreadable) throw failure("denied", path, "list");
    const entries = [...inode.entries].map(([name, entry]) => ({ name, stat: statOf(entry) }));
    return { entries, illegible: [] };
  }

  readLink(path: string): string | undefined {
    this.#enter("readLink", path);
    const inode = this.#find(path, "read the link");
    return inode?.kind === "symlink" ? inode.target : undefined;
  }

  open(path: string): FileReader | undefined {
    this.#enter("open", path);
    const inode = this.#find(path, "open");
    if (inode?.kind !== "file") return undefined;
    if (inode.unreadable) throw failure("denied", path, "open");
    return {
      stat: () => {
        this.#enter("reader.stat", path);
        return statOf(inode);
      },
      read: (buffer, position) => {
        this.#enter("reader.read", path);
        const part = inode.bytes.subarray(position, position + buffer.length);
        buffer.set(part);
        return part.length;
      },
      close: () => {},
    };
  }

  createFile(path: string): FileWriter {
    this.#enter("createFile", path);
    const { parent, name } = this.#place(path, "create");
    if (parent === undefined) throw failure("io", path, "create");
    if (parent.entries.has(name)) throw failure("io", path, "create");
    const inode = this.#disk.newFile("client");
    this.#disk.link([{ directory: parent, name, after: inode }], "cached", [path]);
    return this.#writer(path, inode);
  }

  #writer(path: string, inode: FileInode): FileWriter {
    let failed = false;
    return {
      write: (bytes) => {
        this.#enter("writer.write", path);
        const all = new Uint8Array(inode.bytes.length + bytes.length);
        all.set(inode.bytes);
        all.set(bytes, inode.bytes.length);
        this.#disk.write(inode, all, "client", "cached");
      },
      setMetadata: ({ executable, mtimeNs }) => {
        this.#enter("writer.setMetadata", path);
        this.#disk.setMetadata(inode, { executable, mtimeNs: BigInt(mtimeNs) }, "cached");
      },
      stat: () => {
        this.#enter("writer.stat", path);
        return statOf(inode);
      },
      sync: async () => {
        if (failed) throw failure("io", path, "sync again");
        try {
          this.#enter("writer.sync", path);
        } catch (error) {
          failed = true;
          throw error;
        }
        await this.#pause();
        this.#disk.syncFile(inode);
      },
      close: () => {},
    };
  }

  /** There are no permissions of directories here, and no owners. */
  makeDirectory(path: string, _like?: string): "made" | "exists" {
    this.#enter("makeDirectory", path);
    const { parent, name } = this.#place(path, "make the directory");
    if (parent === undefined) throw failure("io", path, "make the directory");
    if (parent.entries.has(name)) return "exists";
    this.#disk.link(
      [{ directory: parent, name, after: this.#disk.newDirectory(parent) }],
      "cached",
      [path],
    );
    return "made";
  }

  makeSymlink(path: string, target: string): "made" | "exists" {
    this.#enter("makeSymlink", path);
    const { parent, name } = this.#place(path, "make the symlink");
    if (parent === undefined) throw failure("io", path, "make the symlink");
    if (parent.entries.has(name)) return "exists";
    this.#disk.link([{ directory: parent, name, after: this.#disk.newSymlink(target) }], "cached", [
      path,
    ]);
    return "made";
  }

  moveNoReplace(from: string, to: string): "moved" | "exists" | "absent" {
    this.#enter("moveNoReplace", from, to);
    const source = this.#place(from, "move");
    const target = this.#place(to, "move to");
    const inode = source.parent?.entries.get(source.name);
    if (source.parent === undefined || inode === undefined || target.parent === undefined)
      return "absent";
    if (target.parent.entries.has(target.name)) return "exists";
    if (this.#disk.isBelow(target.parent, inode)) throw failure("name", from, "move below itself");
    refuseLower(inode, from);
    this.#disk.link(
      [
        { directory: source.parent, name: source.name, after: undefined },
        { directory: target.parent, name: target.name, after: inode },
      ],
      "cached",
      [from, to],
    );
    return "moved";
  }

  exchange(a: string, b: string): "exchanged" | "absent" | "unsupported" {
    this.#enter("exchange", a, b);
    if (!this.capabilities.exchange) return "unsupported";
    const one = this.#place(a, "exchange");
    const two = this.#place(b, "exchange");
    const first = one.parent?.entries.get(one.name);
    const second = two.parent?.entries.get(two.name);
    if (one.parent === undefined || two.parent === undefined) return "absent";
    if (first === undefined || second === undefined) return "absent";
    if (this.#disk.isBelow(one.parent, second) || this.#disk.isBelow(two.parent, first)) {
      throw failure("name", a, "exchange with its own descendant");
    }
    for (const inode of [first, second]) refuseLower(inode, a);
    this.#disk.link(
      [
        { directory: one.parent, name: one.name, after: second },
        { directory: two.parent, name: two.name, after: first },
      ],
      "cached",
      [a, b],
    );
    return "exchanged";
  }

  removeDirectory(path: string): "removed" | "not_empty" | "absent" {
    this.#enter("removeDirectory", path);
    const { parent, name } = this.#place(path, "remove");
    const inode = parent?.entries.get(name);
    if (parent === undefined || inode === undefined) return "absent";
    if (inode.kind !== "directory") throw failure("not_directory", path, "remove");
    if (inode.entries.size > 0) return "not_empty";
    this.#disk.link([{ directory: parent, name, after: undefined }], "cached", [path]);
    return "removed";
  }

  removeFile(path: string): "removed" | "absent" {
    this.#enter("removeFile", path);
    const { parent, name } = this.#place(path, "unlink");
    const inode = parent?.entries.get(name);
    if (parent === undefined || inode === undefined) return "absent";
    if (inode.kind === "directory") throw failure("io", path, "unlink");
    this.#disk.link([{ directory: parent, name, after: undefined }], "cached", [path]);
    return "removed";
  }

  setMetadata(
    path: string,
    expected: { identity: string; stamp: string },
    metadata: FileMetadata,
  ): Stat | "changed" {
    this.#enter("setMetadata", path);
    const { parent, name } = this.#place(path, "set metadata of");
    const inode = parent?.entries.get(name);
    if (parent === undefined || inode?.kind !== "file") return "changed";
    const stat = statOf(inode);
    if (stat.identity !== expected.identity || stat.stamp !== expected.stamp) return "changed";
    // RACE: no kernel compares and sets in one step.
    this.#enter("setMetadata.gap", path);
    const { executable, mtimeNs } = metadata;
    this.#disk.setMetadata(inode, { executable, mtimeNs: BigInt(mtimeNs) }, "cached", parent);
    this.#disk.touched(path);
    return statOf(inode);
  }

  heldMtime(mtimeNs: string): string {
    return String(this.#disk.heldTime(BigInt(mtimeNs)));
  }

  /** There are no permission bits here but the executable one, which stays. */
  takePermissions(path: string, _from: string): Stat | undefined {
    return this.stat(path);
  }

  async syncDirectories(paths: Iterable<string>): Promise<void> {
    const inodes: DirectoryInode[] = [];
    for (const path of paths) {
      this.#enter("syncDirectories", path);
      const found = this.#disk.lookup(path);
      if (found === "denied") throw failure("denied", path, "sync");
      if (found === "absent" || found === "blocked") continue;
      if (found.kind === "directory") inodes.push(found);
    }
    await this.#pause();
    for (const inode of inodes) this.#disk.syncDirectory(inode);
  }

  async sync(paths: Iterable<string>): Promise<readonly FileSystemError[]> {
    const failures: FileSystemError[] = [];
    const inodes: (FileInode | DirectoryInode)[] = [];
    for (const path of paths) {
      try {
        this.#enter("sync", path);
        const found = this.#find(path, "sync");
        if (found?.kind === "directory" || found?.kind === "file") inodes.push(found);
      } catch (error) {
        if (!(error instanceof FileSystemError)) throw error;
        failures.push(error);
      }
    }
    await this.#pause();
    for (const inode of inodes) {
      if (inode.kind === "directory") this.#disk.syncDirectory(inode);
      else this.#disk.syncFile(inode);
    }
    return failures;
  }

  #enter(name: string, path: string, detail?: string): void {
    if (this.#dead) throw new Killed(`${name} of a killed process`);
    const fault = this.#options.beforeCall(name, path, detail);
    if (this.#dead) throw new Killed(`${name} of a killed process`);
    if (fault !== undefined) throw failure(fault, path, name);
  }

  async #pause(): Promise<void> {
    await this.#options.pause?.();
    if (this.#dead) await new Promise<never>(() => {});
  }

  /** Undefined when absent. */
  #find(path: string, action: string): Inode | undefined {
    const found = this.#disk.lookup(path);
    if (found === "denied") throw failure("denied", path, action);
    if (found === "blocked") throw failure("not_directory", path, action);
    return found === "absent" ? undefined : found;
  }

  #place(path: string, action: string): { parent: DirectoryInode | undefined; name: string } {
    const cut = path.lastIndexOf("/");
    const name = path.slice(cut + 1);
    if (name === "" || encoder.encode(name).length > NAME_BYTES_MAX)
      throw failure("name", path, action);
    const parent = this.#find(cut < 0 ? "" : path.slice(0, cut), action);
    if (parent !== undefined && parent.kind !== "directory")
      throw failure("not_directory", path, action);
    return { parent, name: parent === undefined ? name : this.#disk.spelling(parent, name) };
  }
}

function refuseLower(inode: Inode, path: string): void {
  if (inode.kind === "directory" && inode.isLower) throw failure("other_device", path, "move");
}

function failure(code: FileSystemErrorCode, path: string, action: string): FileSystemError {
  return new FileSystemError(code, path, `Cannot ${action} "${path}": ${code}`);
}

const KIND_LETTERS: Record<EntryKind, string> = {
  file: "f",
  directory: "d",
  symlink: "l",
  other: "o",
};

/** What was last told of an inode, as long as it is still so. */
const told = new WeakMap<Inode, { readonly inode: Inode; readonly stat: Stat }>();

export function statOf(inode: Inode): Stat {
  const last = told.get(inode);
  if (last !== undefined && isUnchanged(last.inode, inode)) return last.stat;
  const stat = makeStat(inode);
  told.set(inode, { inode: { ...inode }, stat });
  return stat;
}

function isUnchanged(before: Inode, now: Inode): boolean {
  if (before.ctimeNs !== now.ctimeNs || before.mtimeNs !== now.mtimeNs) return false;
  if (before.links !== now.links || before.mounted !== now.mounted) return false;
  if (before.birthNs !== now.birthNs) return false;
  if (before.kind !== "file" || now.kind !== "file") return true;
  return before.bytes === now.bytes && before.executable === now.executable;
}

export function identityOf({ ino, birthNs }: Inode): string {
  return `1:${ino}:${birthNs}`;
}

function makeStat(inode: Inode): Stat {
  const size =
    inode.kind === "file"
      ? inode.bytes.length
      : inode.kind === "symlink"
        ? inode.target.length
        : 4096;
  const executable = inode.kind === "file" && inode.executable;
  const mode = executable ? "x" : "-";
  const changedNs = inode.mtimeNs > inode.ctimeNs ? inode.mtimeNs : inode.ctimeNs;
  return {
    kind: inode.kind,
    identity: identityOf(inode),
    stamp: `${KIND_LETTERS[inode.kind]}:${size}:${inode.mtimeNs}:${inode.ctimeNs}:${mode}`,
    size,
    mtimeNs: String(inode.mtimeNs),
    changedMs: Number(changedNs / 1_000_000n),
    executable,
    sameDevice: !inode.mounted,
    links: inode.links,
  };
}
