/**
 * FileSystem on a disk. Rules: D1, D2, D4, D5, A3, A6.
 *
 * This part is common to all platforms. It turns paths into directories and names, turns failures
 * into the port's results and errors, and works around missing abilities of a file system. System
 * calls are in `DiskCalls`. It stays whole because each method is one of the port's: a few calls
 * with the same handling of paths and failures.
 */

import { constants } from "node:os";
import process from "node:process";
import { assert } from "../../core/error.ts";
import { STATE_PREFIX } from "../../core/state-directory.ts";
import type {
  Capabilities,
  FileMetadata,
  FileReader,
  FileSystem,
  FileWriter,
  Listing,
  Stat,
} from "../../ports/filesystem.ts";
import { FileSystemError } from "../../ports/filesystem.ts";
import { nativeCalls } from "../runtime/native-calls.ts";
import { bootOf } from "./boot.ts";
import {
  CallError,
  type Directory,
  type DiskCalls,
  errorCode,
  fileSystemError,
  isUnsupported,
  type OpenFile,
} from "./calls.ts";
import { probeCapabilities } from "./capabilities.ts";
import { heldMtime } from "./held-mtime.ts";
import { moveWithoutFlags } from "./move-without-flags.ts";
import { createNativeDiskCalls } from "./native-calls.ts";
import { createNodeDiskCalls } from "./node-calls.ts";
import { openSyncsMax } from "./open-files.ts";
import { illegalName, isBelow, isLegalPath, isLegalText } from "./path.ts";
import { SYNC_ALL_ENTRIES_MIN } from "./sync-all.ts";

export interface DiskFileSystemOptions {
  /** Makes every call that would change the disk fail with `denied`. @default false */
  readonly readOnly?: boolean;
  /** @default the best calls that this platform and runtime have */
  readonly calls?: DiskCalls;
}

export interface DiskFileSystem extends FileSystem {
  /** Releases the root. The file system cannot be used afterwards. */
  close(): void;
}

/**
 * @param rootPath absolute, free of symlinks, an existing directory
 * @throws {FileSystemError} if the root cannot be opened
 */
export function createDiskFileSystem(
  rootPath: string,
  options: DiskFileSystemOptions = {},
): DiskFileSystem {
  let calls: DiskCalls | undefined;
  try {
    calls = options.calls ?? createDiskCalls(rootPath);
    const readOnly = options.readOnly ?? false;
    return new AnchoredFileSystem(calls, readOnly, probeCapabilities(calls, readOnly));
  } catch (error) {
    calls?.close();
    throw fileSystemError("open", rootPath, error);
  }
}

function createDiskCalls(rootPath: string): DiskCalls {
  const native = nativeCalls();
  return native === undefined
    ? createNodeDiskCalls(rootPath)
    : createNativeDiskCalls(native, rootPath);
}

class AnchoredFileSystem implements DiskFileSystem {
  readonly capabilities: Capabilities;
  readonly #calls: DiskCalls;
  readonly #readOnly: boolean;
  readonly syncsMax = openSyncsMax();
  readonly boot = bootOf();
  readonly #umask = process.umask();

  constructor(calls: DiskCalls, readOnly: boolean, capabilities: Capabilities) {
    this.#calls = calls;
    this.#readOnly = readOnly;
    this.capabilities = capabilities;
  }

  /**
   * The stat of "" is of the root that is at its path now, so that a replaced root is noticed (G1).
   */
  stat(path: string): Stat | undefined {
    return this.#attempt("look at", path, ["ENOENT"], () =>
      path === ""
        ? this.#calls.statRoot()
        : this.#inParent(path, (parent, name) => this.#calls.stat(parent, name)),
    );
  }

  roomBytes(): number | undefined {
    return this.#must("look at", "", () => this.#calls.roomBytes());
  }

  list(path: string): Listing | undefined {
    return this.#attempt("list", path, ["ENOENT"], () => {
      let directory: Directory;
      try {
        directory = this.#open(path, "list");
      } catch (error) {
        // An entry of another kind gives an answer. For a component of another kind, `stat` throws.
        const isOther = ["ENOTDIR", "ELOOP"].includes(errorCode(error));
        if (isOther && this.stat(path)?.kind !== "directory") return undefined;
        throw error;
      }
      return this.#closing(directory, () => this.#calls.list(directory));
    });
  }

  readLink(path: string): string | undefined {
    const bytes = this.#attempt("read link", path, ["ENOENT", "EINVAL"], () =>
      this.#inParent(path, (parent, name) => this.#calls.readLink(parent, name)),
    );
    if (bytes === undefined) return undefined;
    try {
      return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    } catch (cause) {
      const message = `Cannot read link ${JSON.stringify(path)}: its target is not UTF-8`;
      throw new FileSystemError("illegible", path, message, cause);
    }
  }

  open(path: string): FileReader | undefined {
    const file = this.#openRegular(path);
    return file === undefined ? undefined : this.#reader(path, file);
  }

  #openRegular(path: string): OpenFile | undefined {
    return this.#attempt("open", path, ["ENOENT"], () =>
      this.#inParent(path, (parent, name) => {
        // Checked before, because opening a device can have an effect, and after, as it may have
        // changed.
        if (this.#calls.stat(parent, name).kind !== "file") return undefined;
        const file = this.#openFollowingNothing(parent, name);
        if (file === undefined || file.stat().kind === "file") return file;
        file.close();
        return undefined;
      }),
    );
  }

  #openFollowingNothing(parent: Directory, name: string): OpenFile | undefined {
    try {
      return this.#calls.openFile(parent, name, "read");
    } catch (error) {
      // It has become a symlink or a socket since it was checked.
      if (["ELOOP", "ENXIO"].includes(errorCode(error))) return undefined;
      throw error;
    }
  }

  #reader(path: string, file: OpenFile): FileReader {
    return {
      stat: () => this.#must("look at", path, () => file.stat()),
      read: (buffer, position) => this.#must("read", path, () => file.read(buffer, position)),
      close: () => file.close(),
    };
  }

  createFile(path: string): FileWriter {
    this.#mayWrite(path);
    const file = this.#must("create", path, () =>
      this.#inParent(path, (parent, name) => this.#calls.openFile(parent, name, "create")),
    );
    return {
      write: (bytes) => {
        this.#must("write", path, () => {
          for (let done = 0; done < bytes.length; ) done += file.write(bytes.subarray(done));
        });
      },
      setMetadata: (metadata) => {
        const mode = (metadata.executable ? 0o777 : 0o666) & ~this.#umask;
        this.#must("set metadata of", path, () => {
          file.setPermissions(mode);
          file.setModified(BigInt(metadata.mtimeNs));
        });
      },
      stat: () => this.#must("look at", path, () => file.stat()),
      sync: async () => {
        try {
          await file.sync();
        } catch (error) {
          throw fileSystemError("sync", path, error);
        }
      },
      close: () => file.close(),
    };
  }

  makeDirectory(path: string, like?: string): "made" | "exists" {
    const made = this.#make("make directory", path, (parent, name) =>
      this.#calls.makeDirectory(parent, name),
    );
    if (made === "made" && like !== undefined) this.#takeAccess(path, like);
    return made;
  }

  #takeAccess(path: string, like: string): void {
    this.#must("set permissions of", path, () => {
      const model = this.#open(like, "list");
      const access = this.#closing(model, () => this.#calls.accessOf(model));
      const directory = this.#open(path, "list");
      this.#closing(directory, () => this.#calls.setAccess(directory, access));
    });
  }

  makeSymlink(path: string, target: string): "made" | "exists" {
    if (!isLegalText(target)) throw illegalName("make symlink", path);
    return this.#make("make symlink", path, (parent, name) =>
      this.#calls.makeSymlink(parent, name, target),
    );
  }

  #make(
    action: string,
    path: string,
    make: (parent: Directory, name: string) => void,
  ): "made" | "exists" {
    this.#mayWrite(path);
    return this.#must(action, path, () => {
      try {
        this.#inParent(path, make);
        return "made";
      } catch (error) {
        if (errorCode(error) === "EEXIST") return "exists";
        throw error;
      }
    });
  }

  moveNoReplace(from: string, to: string): "moved" | "exists" | "absent" {
    this.#mayWrite(from);
    return this.#must("move", from, () => {
      try {
        this.#inParents(from, to, (a, source, b, target) => {
          try {
            this.#calls.rename(a, source, b, target, "no_replace");
          } catch (error) {
            if (!isUnsupported(error)) throw error;
            moveWithoutFlags(this.#calls, { from, a, source, b, target });
          }
        });
        return "moved";
      } catch (error) {
        if (errorCode(error) === "EEXIST") return "exists";
        if (errorCode(error) === "ENOENT") return "absent";
        throw error;
      }
    });
  }

  exchange(a: string, b: string): "exchanged" | "absent" | "unsupported" {
    this.#mayWrite(a);
    if (!this.capabilities.exchange) return "unsupported";
    return this.#must("exchange", a, () => {
      // Thrown here, because the kernel's answer would look like that to a lack of support.
      if (isBelow(a, b) || isBelow(b, a)) throw new CallError("rename", -constants.errno.EINVAL);
      try {
        this.#inParents(a, b, (parentA, nameA, parentB, nameB) =>
          this.#calls.rename(parentA, nameA, parentB, nameB, "exchange"),
        );
        return "exchanged";
      } catch (error) {
        if (errorCode(error) === "ENOENT") return "absent";
        if (isUnsupported(error)) return "unsupported";
        throw error;
      }
    });
  }

  removeDirectory(path: string): "removed" | "not_empty" | "absent" {
    this.#mayWrite(path);
    return this.#must("remove directory", path, () => {
      try {
        this.#inParent(path, (parent, name) => this.#calls.removeDirectory(parent, name));
        return "removed";
      } catch (error) {
        const code = errorCode(error);
        if (code === "ENOENT") return "absent";
        if (code === "ENOTEMPTY" || code === "EEXIST") return "not_empty";
        throw error;
      }
    });
  }

  removeFile(path: string): "removed" | "absent" {
    assert(path.startsWith(STATE_PREFIX), "only what lies in quarantine or staging is unlinked");
    this.#mayWrite(path);
    const removed = this.#attempt("remove", path, ["ENOENT"], () => {
      this.#inParent(path, (parent, name) => this.#calls.removeFile(parent, name));
      return "removed" as const;
    });
    return removed ?? "absent";
  }

  /**
   * RACE: bytes may be written between the check and the change of time, and then get our time.
   * Their ctime is then inside the racy window, so the next scan hashes them (A2).
   */
  setMetadata(
    path: string,
    expected: { identity: string; stamp: string },
    metadata: FileMetadata,
  ): Stat | "changed" {
    this.#mayWrite(path);
    const file = this.#openRegular(path);
    if (file === undefined) return "changed";
    return this.#must("set metadata of", path, () => {
      try {
        const { identity, stamp, executable } = file.stat();
        if (identity !== expected.identity || stamp !== expected.stamp) return "changed";
        if (executable !== metadata.executable) {
          file.setPermissions(this.#withExecutable(file.permissions(), metadata.executable));
        }
        file.setModified(BigInt(metadata.mtimeNs));
        return file.stat();
      } finally {
        file.close();
      }
    });
  }

  heldMtime(mtimeNs: string): string {
    return this.#readOnly ? mtimeNs : heldMtime(this, mtimeNs);
  }

  takePermissions(path: string, from: string): Stat | undefined {
    this.#mayWrite(path);
    const permissions = this.#permissionsOf(from);
    const file = this.#openRegular(path);
    if (file === undefined) return undefined;
    return this.#must("set permissions of", path, () => {
      try {
        const before = file.stat();
        if (permissions !== undefined && permissions !== file.permissions()) {
          file.setPermissions(this.#withExecutable(permissions & ~0o111, before.executable));
        }
        return file.stat();
      } finally {
        file.close();
      }
    });
  }

  #permissionsOf(path: string): number | undefined {
    let file: OpenFile | undefined;
    try {
      file = this.#openRegular(path);
      return file?.permissions();
    } catch (error) {
      if (error instanceof FileSystemError) return undefined;
      throw error;
    } finally {
      file?.close();
    }
  }

  /** Whoever may read may execute, as far as the umask allows. The user chose the other bits. */
  #withExecutable(permissions: number, executable: boolean): number {
    if (!executable) return permissions & ~0o111;
    return permissions | 0o100 | (((permissions & 0o444) >> 2) & ~this.#umask);
  }

  async syncDirectories(paths: Iterable<string>): Promise<void> {
    const queue = new Set(paths).values();
    const worker = async () => {
      for (const path of queue) await this.#syncDirectory(path);
    };
    await Promise.all(Array.from({ length: this.syncsMax }, worker));
  }

  async sync(paths: Iterable<string>): Promise<readonly FileSystemError[]> {
    const failures: FileSystemError[] = [];
    const entries = new Set(paths);
    if (entries.size >= SYNC_ALL_ENTRIES_MIN && (await this.#calls.syncAll())) return failures;
    const queue = entries.values();
    const worker = async () => {
      for (const path of queue) {
        try {
          if (path === "") await this.#syncDirectory(path);
          else await this.#syncEntry(path);
        } catch (error) {
          if (!(error instanceof FileSystemError)) throw error;
          failures.push(error);
        }
      }
    };
    await Promise.all(Array.from({ length: this.syncsMax }, worker));
    return failures;
  }

  async #syncEntry(path: string): Promise<void> {
    const file = this.#openRegular(path);
    if (file === undefined) return this.#syncDirectory(path);
    try {
      await file.sync();
    } catch (error) {
      // Windows answers EPERM for a file that is open only to read.
      if (!["EINVAL", "EPERM", "EROFS"].includes(errorCode(error))) {
        throw fileSystemError("sync", path, error);
      }
    } finally {
      file.close();
    }
  }

  async #syncDirectory(path: string): Promise<void> {
    // RACE: a user may have put a file or a symlink in the directory's place.
    const absent = ["ENOENT", "ENOTDIR", "ELOOP"];
    const directory = this.#attempt("open", path, absent, () => this.#open(path, "list"));
    if (directory === undefined) return;
    try {
      await this.#calls.syncDirectory(directory);
    } catch (error) {
      // On some network and FUSE file systems a directory has nothing to sync.
      if (errorCode(error) !== "EINVAL") throw fileSystemError("sync", path, error);
    } finally {
      this.#calls.closeDirectory(directory);
    }
  }

  close(): void {
    this.#calls.close();
  }

  #open(path: string, purpose: "pass" | "list"): Directory {
    if (path !== "" && !isLegalPath(path)) throw illegalName("use", path);
    return this.#calls.openDirectory(path, purpose);
  }

  #closing<Result>(directory: Directory, work: () => Result): Result {
    try {
      return work();
    } finally {
      this.#calls.closeDirectory(directory);
    }
  }

  #inParent<Result>(path: string, work: (parent: Directory, name: string) => Result): Result {
    if (!isLegalPath(path)) throw illegalName("use", path);
    const slash = path.lastIndexOf("/");
    const parent = this.#calls.openDirectory(slash === -1 ? "" : path.slice(0, slash), "pass");
    return this.#closing(parent, () => work(parent, path.slice(slash + 1)));
  }

  #inParents(
    a: string,
    b: string,
    work: (parentA: Directory, nameA: string, parentB: Directory, nameB: string) => void,
  ): void {
    this.#inParent(a, (parentA, nameA) =>
      this.#inParent(b, (parentB, nameB) => work(parentA, nameA, parentB, nameB)),
    );
  }

  #mayWrite(path: string): void {
    if (!this.#readOnly) return;
    const message = `Cannot change ${JSON.stringify(path)}: opened to read only`;
    throw new FileSystemError("denied", path, message);
  }

  #must<Result>(action: string, path: string, work: () => Result): Result {
    try {
      return work();
    } catch (error) {
      throw fileSystemError(action, path, error);
    }
  }

  /** @returns undefined if it fails with one of these error names. */
  #attempt<Result>(
    action: string,
    path: string,
    absent: readonly string[],
    work: () => Result,
  ): Result | undefined {
    try {
      return work();
    } catch (error) {
      if (absent.includes(errorCode(error))) return undefined;
      throw fileSystemError(action, path, error);
    }
  }
}
