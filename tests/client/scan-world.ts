/**
 * ScanWorld: a scanner over a simulated disk and a real store, and a user who works in the folder.
 * Rules: A1-A9.
 */
import { openStateStore } from "../../src/adapters/state/store.ts";
import type { ScanReport, ScanRequest } from "../../src/client/scan/scanner.ts";
import { Scanner } from "../../src/client/scan/scanner.ts";
import { type NodeId, ROOT_ID } from "../../src/core/identifier.ts";
import { RETRY_DELAY_MS_MAX } from "../../src/core/limits.ts";
import type { LocalNode } from "../../src/core/node.ts";
import { pathOf } from "../../src/core/tree.ts";
import type { Clock } from "../../src/ports/clock.ts";
import type { FileSystem, FileSystemErrorCode } from "../../src/ports/filesystem.ts";
import type { ClientEvent } from "../../src/ports/observer.ts";
import type { StateStore } from "../../src/ports/state-store.ts";
import { type DirectoryInode, type Inode, SimDisk } from "../sim/sim-disk.ts";
import { SimFileSystem } from "../sim/sim-filesystem.ts";
import { SimRandom } from "../sim/sim-random.ts";

export const PROFILE = { minBytes: 64, averageBytes: 256, maxBytes: 1024 };
const START_MS = 1_767_225_600_000;
/** Longer than the racy window: stamps taken after it are trusted. */
export const CALM_MS = 5_000;

class ManualClock implements Clock {
  elapsedMs = 1_000;
  yields = 0;
  now(): number {
    return START_MS + this.elapsedMs;
  }
  monotonic(): number {
    return this.elapsedMs;
  }
  sleep(delayMs: number): Promise<void> {
    this.elapsedMs += delayMs;
    return Promise.resolve();
  }
  yield(): Promise<void> {
    this.yields += 1;
    return Promise.resolve();
  }
}

export interface ScanWorldOptions {
  readonly keepsExecutable?: boolean;
  readonly mtimeGranularityNs?: number;
  /** Names that this makes equal are one name. */
  readonly fold?: (name: string) => string;
}

export class ScanWorld {
  readonly clock = new ManualClock();
  readonly disk: SimDisk;
  store: StateStore = openStateStore(":memory:");
  readonly events: ClientEvent[] = [];
  readonly calls: string[] = [];
  /** Runs before each call of the scanner to the file system. */
  onCall: (name: string, path: string) => FileSystemErrorCode | undefined = () => undefined;
  fs: FileSystem;
  scanner: Scanner;
  #version = 0;
  /** One source for all restarts: an id that is given again would name two nodes. */
  readonly #ids = new SimRandom(7, "ids");

  constructor(options: ScanWorldOptions = {}) {
    const nowMs = () => this.clock.now();
    const fraction = () => 0;
    const { fold } = options;
    this.disk = new SimDisk({ nowMs, fraction, granularityNs: 1n, ordered: true, fold });
    const beforeCall = (name: string, path: string) => {
      this.calls.push(`${name} ${path}`);
      return this.onCall(name, path);
    };
    const sim = new SimFileSystem({ disk: this.disk, exchange: true, beforeCall });
    const { keepsExecutable = true, mtimeGranularityNs = 1 } = options;
    const capabilities = {
      exchange: true,
      executable: keepsExecutable,
      foldsNames: fold !== undefined,
      mtimeGranularityNs,
    };
    Object.defineProperty(sim, "capabilities", { value: capabilities });
    this.fs = sim;
    this.scanner = this.#newScanner();
  }

  /** The process ends and begins again: what was only in memory is gone. */
  restart(): void {
    this.scanner = this.#newScanner();
  }

  /** The state database is gone: a new one knows nothing. */
  loseState(): void {
    this.store = openStateStore(":memory:");
    this.restart();
  }

  #newScanner(): Scanner {
    const observer = { emit: (event: ClientEvent) => this.events.push(event) };
    const { fs, clock, store } = this;
    const random = this.#ids;
    return new Scanner({ fs, clock, store, observer, random }, PROFILE);
  }

  // The user

  write(path: string, text: string): void {
    const inode = this.disk.at(path);
    const bytes = new TextEncoder().encode(text);
    if (inode?.kind === "file") {
      this.disk.write(inode, bytes, "user", "durable");
      return;
    }
    const file = this.disk.newFile("user");
    this.#set(path, file);
    this.disk.write(file, bytes, "user", "durable");
  }

  /** Makes directories ("a/"), files ("a/f" holding their path), and symlinks ("l -> target"). */
  make(...paths: string[]): void {
    for (const path of paths) {
      const [link, target] = path.split(" -> ");
      if (link !== undefined && target !== undefined) this.#set(link, this.disk.newSymlink(target));
      else if (path.endsWith("/")) this.#directory(path.slice(0, -1));
      else this.write(path, `text of ${path}`);
    }
  }

  /** A new inode in place of the old one, as `rename` of an unseen temporary file leaves it. */
  replace(path: string, text: string): void {
    const file = this.disk.newFile("user");
    this.disk.write(file, new TextEncoder().encode(text), "user", "durable");
    this.#set(path, file);
  }

  move(from: string, to: string): void {
    const source = this.#place(from);
    const inode = this.inode(from);
    const target = this.#place(to);
    const slots = [
      { ...source, after: undefined },
      { ...target, after: inode },
    ];
    this.disk.link(slots, "durable", []);
  }

  swap(a: string, b: string): void {
    const [first, second] = [this.inode(a), this.inode(b)];
    const slots = [
      { ...this.#place(a), after: second },
      { ...this.#place(b), after: first },
    ];
    this.disk.link(slots, "durable", []);
  }

  link(from: string, to: string): void {
    this.#set(to, this.inode(from));
  }

  remove(path: string): void {
    this.disk.link([{ ...this.#place(path), after: undefined }], "durable", []);
  }

  put(path: string, inode: Inode): void {
    this.#set(path, inode);
  }

  inode(path: string): Inode {
    const inode = this.disk.at(path);
    if (inode === undefined) throw new Error(`nothing at ${path}`);
    return inode;
  }

  #set(path: string, inode: Inode): void {
    const cut = path.lastIndexOf("/");
    if (cut > 0) this.#directory(path.slice(0, cut));
    this.disk.link([{ ...this.#place(path), after: inode }], "durable", []);
  }

  #directory(path: string): void {
    if (this.disk.at(path)?.kind === "directory") return;
    const cut = path.lastIndexOf("/");
    if (cut > 0) this.#directory(path.slice(0, cut));
    const place = this.#place(path);
    const after = this.disk.newDirectory(place.directory);
    this.disk.link([{ ...place, after }], "durable", []);
  }

  #place(path: string): { directory: DirectoryInode; name: string } {
    const cut = path.lastIndexOf("/");
    const directory = this.inode(cut < 0 ? "" : path.slice(0, cut));
    if (directory.kind !== "directory") throw new Error(`no directory above ${path}`);
    return { directory, name: path.slice(cut + 1) };
  }

  // The scanner

  /** @param hints paths for a hinted scan; none for a full one. */
  async scan(...hints: string[]): Promise<ScanReport> {
    const request: ScanRequest =
      hints.length === 0 ? { kind: "full" } : { kind: "paths", paths: new Set(hints) };
    this.calls.length = 0;
    const report = await this.scanner.scan(request, new AbortController().signal);
    this.check();
    if (report.complete && report.pending && report.again.size === 0) {
      throw new Error("pending for ever: nothing is looked at again");
    }
    return report;
  }

  /**
   * Scans again and again at the times that the reports name, until nothing is due. What only a
   * change of permissions or mounts would help is looked at from time to time for ever: it does not
   * count.
   */
  async settle(...hints: string[]): Promise<number> {
    let report = await this.scan(...hints);
    let changed = report.changed;
    for (let round = 0; ; round++) {
      const soon = this.clock.elapsedMs + RETRY_DELAY_MS_MAX;
      const next = Math.min(...[...report.again.values()].filter((at) => at < soon));
      if (next === Number.POSITIVE_INFINITY) break;
      if (round > 50) throw new Error(`never at rest: ${[...report.again.keys()].join(", ")}`);
      this.clock.elapsedMs = Math.max(this.clock.elapsedMs, next);
      const due = [...report.again].filter(([, at]) => at <= this.clock.elapsedMs);
      report = await this.scan(...due.map(([path]) => path));
      changed += report.changed;
    }
    return changed;
  }

  /** Time passes, all is scanned, and the server agrees with everything. */
  async agree(): Promise<void> {
    this.clock.elapsedMs += CALM_MS;
    await this.settle();
    this.clock.elapsedMs += CALM_MS;
    this.store.transaction(() => {
      for (const node of this.nodes()) {
        const versions = this.#newer(node.id);
        const { id, parent, name, content } = node;
        this.store.putRemote({ id, parent, name, content, deleted: false, ...versions });
      }
      for (const id of this.store.dirty()) {
        const remote = this.store.remote.get(id);
        if (remote !== undefined && this.store.local.get(id) === undefined) {
          this.store.putRemote({ ...remote, deleted: true, ...this.#newer(id) });
        }
        this.store.settle(id);
      }
    });
  }

  /** Newer than what the log has of the node. */
  #newer(id: NodeId) {
    const row = this.store.remoteRow(id);
    const known = Math.max(row?.contentVersion ?? 0, row?.placeVersion ?? 0);
    this.#version += 1;
    const version = Math.max(this.#version, known + 1);
    return { contentVersion: version, placeVersion: version };
  }

  // What is remembered

  nodes(): LocalNode[] {
    const found: LocalNode[] = [];
    const pending: NodeId[] = [ROOT_ID];
    for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
      for (const node of this.store.local.children(next)) {
        found.push(node);
        pending.push(node.id);
      }
    }
    return found;
  }

  /** Path -> what the local tree has there: "dir", "-> target" or the digest's first digits. */
  tree(): Record<string, string> {
    const lines = this.nodes().map((node) => {
      const { content } = node;
      const path = pathOf(this.store.local, node.id) ?? "?";
      if (content.kind === "file") return [path, content.sha256.slice(0, 8)];
      return [path, content.kind === "symlink" ? `-> ${content.target}` : "dir"];
    });
    return Object.fromEntries(lines.sort());
  }

  paths(): string[] {
    return Object.keys(this.tree()).sort();
  }

  id(path: string): NodeId {
    return this.node(path).id;
  }

  node(path: string): LocalNode {
    let node: LocalNode | undefined;
    for (const name of path.split("/")) {
      node = this.store.local.child(node?.id ?? ROOT_ID, name);
      if (node === undefined) throw new Error(`no node at ${path}: ${this.paths().join(", ")}`);
    }
    if (node === undefined) throw new Error("no path");
    return node;
  }

  /** Path -> id, for all nodes. */
  ids(): Record<string, string> {
    const pairs = this.nodes().map((node) => [pathOf(this.store.local, node.id) ?? "?", node.id]);
    return Object.fromEntries(pairs.sort());
  }

  /** What the disk holds that can be synced. */
  diskPaths(): string[] {
    const paths = [...this.disk.walk()].map(([path]) => path);
    return paths.filter((path) => path.split("/")[0] !== ".synced").sort();
  }

  /** No two nodes share a place, every node has a path, and no live child hangs below nothing. */
  check(): void {
    const seen = new Set<string>();
    for (const node of this.nodes()) {
      const path = pathOf(this.store.local, node.id);
      if (path === undefined) throw new Error(`node ${node.id} has no path`);
      if (seen.has(path)) throw new Error(`two nodes at ${path}`);
      seen.add(path);
    }
    const { files, directories, symlinks } = this.store.counts();
    const count = files + directories + symlinks;
    if (count !== seen.size) throw new Error(`${count - seen.size} nodes are out of reach`);
  }
}
