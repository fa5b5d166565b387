/**
 * Check: finds the differences between a folder's disk and the server's tree. Rules: I43, Y6.
 *
 * It proves the claim "in sync", so it shares nothing with the code that makes the claim. It walks
 * the disk by itself, uses the server's index instead of the client's three trees, and trusts no
 * stamps. It changes nothing. A change that a running client has still to carry across is a
 * difference like any other.
 */

import type { Digest } from "../core/digest.ts";
import { IGNORE_FILE } from "../core/ignore.ts";
import { TREE_NODES_PER_PAGE_MAX } from "../core/limits.ts";
import { checkName, joinPath, RESERVED_NAME } from "../core/path.ts";
import { MARKER_FILE } from "../core/state-directory.ts";
import { type FileSystem, FileSystemError, type Stat } from "../ports/filesystem.ts";
import type { IndexEntry } from "../protocol/messages.ts";
import type { ServerApi } from "../protocol/server-api.ts";
import { createServerApi } from "../protocol/server-api-client.ts";
import { digestOf } from "./apply/displaced.ts";
import { meet } from "./connect/join.ts";
import { readMarker } from "./connect/marker.ts";
import type { TextPair } from "./folder/kept-values.ts";
import type { ClientOptions, ClientWorld } from "./folder/options.ts";
import { Pace } from "./folder/pace.ts";
import { shownMtime } from "./folder/shown-time.ts";
import { IgnoreFiles } from "./scan/ignore-files.ts";

export interface Difference {
  readonly path: string;
  /** In words, such as "not on this disk", or "size 3 here, 4 on the server". */
  readonly what: string;
}

export interface CheckOptions {
  /** True to compare every file's bytes, not only its size and time. */
  readonly readData: boolean;
  /** The ignore rules in force, as the folder's state remembers them. */
  readonly rules?: readonly TextPair[] | undefined;
}

export interface CheckResult {
  /** The event as of which the server's tree was read. */
  readonly seq: number;
  /** The number of entries that were compared. */
  readonly entries: number;
}

type CheckWorld = Pick<ClientWorld, "fs" | "clock" | "transport">;

/**
 * Compares, and reports each difference as soon as it is found.
 *
 * @throws {SyncedError} `server_changed`, `not_a_synced_server`, `server_unreachable`,
 * `unauthenticated`, `folder_not_found`
 */
export async function checkFolder(
  world: CheckWorld,
  options: Pick<ClientOptions, "serverUrl" | "folder" | "token"> & CheckOptions,
  tell: (difference: Difference) => void,
  signal: AbortSignal,
): Promise<CheckResult> {
  const { transport, clock } = world;
  const api = createServerApi({ transport, clock, ...options });
  await meet(api, { serverUrl: options.serverUrl, marker: readMarker(world.fs) }, signal);
  const { seq, entries } = await readIndex(api, signal);
  const walk = new Walk(world, entries, { ...options, tell, signal });
  await walk.directory("");
  for (const path of entries.keys()) {
    if (!walk.isLeftOut(path)) tell({ path, what: "not on this disk" });
  }
  return { seq, entries: walk.count };
}

/** Reads all pages as of the first one's seq, so that they are one tree. */
async function readIndex(
  api: ServerApi,
  signal: AbortSignal,
): Promise<{ readonly seq: number; readonly entries: Map<string, IndexEntry> }> {
  const entries = new Map<string, IndexEntry>();
  let seq: number | undefined;
  let after: string | undefined;
  do {
    const request = {
      limit: TREE_NODES_PER_PAGE_MAX,
      ...(seq === undefined ? {} : { seq }),
      ...(after === undefined ? {} : { after }),
    };
    const page = await api.index(request, signal);
    seq ??= page.seq;
    for (const entry of page.entries) entries.set(entry.path, entry);
    after = page.next;
  } while (after !== undefined);
  return { seq, entries };
}

class Walk {
  count = 0;
  readonly #fs: FileSystem;
  /** The server's entries that were not found on the disk yet. */
  readonly #expected: Map<string, IndexEntry>;
  readonly #options: CheckOptions & {
    readonly tell: (difference: Difference) => void;
    readonly signal: AbortSignal;
  };
  readonly #pace: Pace;
  readonly #ignore: IgnoreFiles;

  constructor(
    { fs, clock }: CheckWorld,
    expected: Map<string, IndexEntry>,
    options: CheckOptions & {
      readonly tell: (difference: Difference) => void;
      readonly signal: AbortSignal;
    },
  ) {
    this.#fs = fs;
    this.#expected = expected;
    this.#options = options;
    this.#pace = new Pace(clock, { signal: options.signal });
    this.#ignore = new IgnoreFiles(fs, options.rules);
    this.#ignore.loadDevice();
  }

  /** True if this device's rules exclude that path of the server, or a directory above it. */
  isLeftOut(path: string): boolean {
    const entry = this.#expected.get(path);
    return this.#ignore.rules.ignores(path, entry?.kind === "directory");
  }

  async directory(path: string): Promise<void> {
    this.#options.signal.throwIfAborted();
    const entries = this.#list(path);
    const rules = entries.find(({ name }) => name === IGNORE_FILE);
    this.#ignore.load(path, rules?.stat);
    for (const { name, stat } of entries) {
      if (this.#pace.step()) await this.#pace.rest();
      if (path === "" && name === RESERVED_NAME) continue;
      await this.#entry(joinPath(path, name), name, stat);
    }
  }

  async #entry(path: string, name: string, stat: Stat): Promise<void> {
    const isDirectory = stat.kind === "directory";
    // Neither is synced. Rule A6 lists the second kind as problems.
    if (this.#ignore.rules.ignores(path, isDirectory)) return;
    const expected = this.#expected.get(path);
    const isSyncable = stat.kind !== "other" && stat.sameDevice && checkName(name) === undefined;
    if (!isSyncable && expected === undefined) return;
    if (isDirectory && this.#isSyncedOnItsOwn(path) && expected === undefined) return;
    this.#expected.delete(path);
    this.count += 1;
    const what = await this.#difference(path, stat, expected);
    if (what !== undefined) this.#options.tell({ path, what });
    if (isDirectory && stat.sameDevice) await this.directory(path);
  }

  /** @returns undefined if nothing differs. */
  async #difference(
    path: string,
    stat: Stat,
    expected: IndexEntry | undefined,
  ): Promise<string | undefined> {
    if (expected === undefined) return `not on the server: a ${stat.kind} here`;
    if (stat.kind !== expected.kind) return `a ${stat.kind} here, a ${expected.kind} on the server`;
    switch (expected.kind) {
      case "directory":
        return undefined;
      case "symlink": {
        const target = this.#fs.readLink(path);
        if (target === expected.target) return undefined;
        return `leads to "${target ?? "?"}" here, to "${expected.target}" on the server`;
      }
      case "file":
        return await this.#fileDifference(path, stat, expected);
    }
  }

  async #fileDifference(
    path: string,
    stat: Stat,
    expected: Extract<IndexEntry, { kind: "file" }>,
  ): Promise<string | undefined> {
    const { executable } = this.#fs.capabilities;
    if (stat.size !== expected.size) {
      return `${stat.size} bytes here, ${expected.size} on the server`;
    }
    if (this.#options.readData && (await this.#digest(path)) !== expected.sha256) {
      return "other bytes here than on the server";
    }
    if (executable && stat.executable !== expected.executable) {
      return stat.executable
        ? "executable here, not on the server"
        : "not executable here, executable on the server";
    }
    const isSameTime = shownMtime(this.#fs, stat, expected) === expected.mtimeNs;
    return isSameTime ? undefined : `time ${stat.mtimeNs} ns here, ${expected.mtimeNs} there`;
  }

  /** @returns undefined if the file cannot be read, because then nothing proves it equal. */
  async #digest(path: string): Promise<Digest | undefined> {
    try {
      return await digestOf(this.#fs, path, this.#pace);
    } catch (error) {
      if (error instanceof FileSystemError) return undefined;
      throw error;
    }
  }

  #list(path: string) {
    try {
      return this.#fs.list(path)?.entries ?? [];
    } catch (error) {
      if (!(error instanceof FileSystemError)) throw error;
      this.#options.tell({ path, what: `cannot be looked into: ${error.message}` });
      return [];
    }
  }

  #isSyncedOnItsOwn(path: string): boolean {
    try {
      return this.#fs.stat(joinPath(path, MARKER_FILE)) !== undefined;
    } catch (error) {
      if (error instanceof FileSystemError) return false;
      throw error;
    }
  }
}
