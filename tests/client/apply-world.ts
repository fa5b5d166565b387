/**
 * ApplyWorld: a ScanWorld with a server's contents and tree, and everything that turns its news
 * into the disk: reconcile, stage, transitions, recovery. Rules: D1-D8.
 */

import { type ApplyReport, applyTransitions } from "../../src/client/apply/apply-plan.ts";
import { checkQuarantine, countQuarantineScan } from "../../src/client/apply/quarantine.ts";
import { recoverJournal } from "../../src/client/apply/recover.ts";
import { KEPT, writeKept } from "../../src/client/folder/kept-values.ts";
import type { ClientPorts } from "../../src/client/folder/ports.ts";
import { DisplacedContents } from "../../src/client/stage/displaced-contents.ts";
import { Chunker } from "../../src/core/chunker.ts";
import { type Digest, sha256 } from "../../src/core/digest.ts";
import { SyncedError } from "../../src/core/error.ts";
import { type NodeId, PARKING_ID, ROOT_ID } from "../../src/core/identifier.ts";
import { ManifestBuilder } from "../../src/core/manifest.ts";
import type { Content, FileContent, LocalNode, RemoteNode } from "../../src/core/node.ts";
import { baseName, parentPath } from "../../src/core/path.ts";
import { reconcile } from "../../src/core/reconcile.ts";
import type { Plan, Transition } from "../../src/core/transition.ts";
import { pathOf } from "../../src/core/tree.ts";
import type { FileSystemErrorCode } from "../../src/ports/filesystem.ts";
import type { Barrier, StateStore } from "../../src/ports/state-store.ts";
import type { PackObject } from "../../src/protocol/messages.ts";
import { SimFileSystem } from "../sim/sim-filesystem.ts";
import { SimRandom } from "../sim/sim-random.ts";
import { CALM_MS, PROFILE, ScanWorld, type ScanWorldOptions } from "./scan-world.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();
export const DEVICE = "laptop";
const REMOTE_MTIME = "1600000000000000007";

export class ApplyWorld extends ScanWorld {
  readonly objects = new Map<Digest, PackObject>();
  readonly fetched: Digest[] = [];
  requests = 0;
  /** Runs before each fetched object. */
  onFetch: (digest: Digest) => void = () => {};
  /** Runs before each of the client's transactions. */
  onTransaction: () => void = () => {};
  ignores: (path: string, isDirectory: boolean) => boolean = () => false;
  readonly #displaced = new DisplacedContents();
  readonly #exchange: boolean;
  readonly #random = new SimRandom(11, "apply");
  #seq = 1_000_000;
  #nextId = 500;

  constructor(exchange = true, options: ScanWorldOptions = {}) {
    super(options);
    this.#exchange = exchange;
    this.fs = this.#newFileSystem();
    this.restart();
    writeKept(this.store, KEPT.chunker, PROFILE);
  }

  #newFileSystem(): SimFileSystem {
    const beforeCall = (name: string, path: string): FileSystemErrorCode | undefined => {
      this.calls.push(`${name} ${path}`);
      return this.onCall(name, path);
    };
    return new SimFileSystem({ disk: this.disk, exchange: this.#exchange, beforeCall });
  }

  /** The process is gone and comes again; the disk and the store are what they were. */
  crash(): void {
    this.onCall = () => undefined;
    this.onTransaction = () => {};
    this.fs = this.#newFileSystem();
    this.restart();
  }

  get ports(): ClientPorts {
    const { fs, clock, events } = this;
    const store = this.#watchedStore();
    const observer = { emit: (event: (typeof events)[number]) => events.push(event) };
    // Transitions take nothing from the server but contents.
    const api = { fetchObjects: (digests: readonly Digest[]) => this.#fetch(digests) };
    const random = this.#random;
    return { fs, clock, store, observer, random, api } as unknown as ClientPorts;
  }

  #watchedStore(): StateStore {
    return new Proxy(this.store, {
      get: (target, key) => {
        if (key === "transaction") {
          return (work: () => unknown, barrier?: Barrier) => {
            this.onTransaction();
            return target.transaction(work, barrier);
          };
        }
        const value: unknown = Reflect.get(target, key, target);
        return typeof value === "function" ? value.bind(target) : value;
      },
    });
  }

  async *#fetch(digests: readonly Digest[]): AsyncGenerator<PackObject> {
    this.requests += 1;
    for (const digest of digests) {
      await Promise.resolve();
      this.onFetch(digest);
      const object = this.objects.get(digest);
      if (object === undefined) throw new SyncedError("chunk_missing", `No ${digest}`);
      this.fetched.push(digest);
      yield object;
    }
  }

  // The server

  /** A file's content, with its objects on the server. */
  content(text: string | Uint8Array, change: Partial<FileContent> = {}): FileContent {
    const bytes = typeof text === "string" ? encoder.encode(text) : text;
    const chunker = new Chunker(PROFILE);
    const builder = new ManifestBuilder();
    for (let start = 0; start < bytes.length; ) {
      const end = chunker.cut(bytes, start, bytes.length, true);
      const chunk = bytes.slice(start, end);
      this.#keep(0, sha256(chunk), chunk);
      builder.push(sha256(chunk), chunk.length);
      start = end;
    }
    const { manifest, depth, size, objects } = builder.finish();
    for (const object of objects) this.#keep(object.depth, object.digest, object.bytes);
    const named = { manifest, depth, sha256: sha256(bytes), size };
    return { kind: "file", ...named, executable: false, mtimeNs: REMOTE_MTIME, ...change };
  }

  #keep(depth: number, digest: Digest, bytes: Uint8Array): void {
    this.objects.set(digest, { depth, digest, bytes });
  }

  /** The server's node at that path. */
  remote(path: string): RemoteNode {
    let node: RemoteNode | undefined;
    for (const name of path.split("/")) node = this.store.remote.child(node?.id ?? ROOT_ID, name);
    if (node === undefined) throw new Error(`no remote node at ${path}`);
    return node;
  }

  #change(node: RemoteNode, change: Partial<RemoteNode>, versions: "content" | "place" | "both") {
    this.#seq = Math.max(this.#seq, node.contentVersion, node.placeVersion) + 1;
    const contentVersion = versions === "place" ? node.contentVersion : this.#seq;
    const placeVersion = versions === "content" ? node.placeVersion : this.#seq;
    this.store.putRemote({ ...node, ...change, contentVersion, placeVersion });
  }

  #parent(path: string): NodeId {
    const parent = parentPath(path);
    return parent === "" ? ROOT_ID : this.remote(parent).id;
  }

  remoteCreate(path: string, content: Content | string): NodeId {
    this.#nextId += 1;
    const id = this.#nextId.toString(16).padStart(32, "0") as NodeId;
    const versions = { contentVersion: 0, placeVersion: 0, deleted: false };
    const place = { parent: this.#parent(path), name: baseName(path) };
    const state = typeof content === "string" ? this.content(content) : content;
    this.#change({ id, ...place, content: state, ...versions }, {}, "both");
    return id;
  }

  remoteWrite(path: string, content: Content | string): void {
    const state = typeof content === "string" ? this.content(content) : content;
    this.#change(this.remote(path), { content: state }, "content");
  }

  remoteMove(from: string, to: string): void {
    const place = { parent: this.#parent(to), name: baseName(to) };
    this.#change(this.remote(from), place, "place");
  }

  remoteSwap(a: string, b: string): void {
    const [first, second] = [this.remote(a), this.remote(b)];
    this.#change(first, { parent: second.parent, name: second.name }, "place");
    this.#change(second, { parent: first.parent, name: first.name }, "place");
  }

  remoteDelete(path: string): void {
    this.#change(this.remote(path), { deleted: true }, "both");
  }

  // The client

  plan(): Plan {
    for (;;) {
      const { store } = this;
      const plan = reconcile({
        base: store.base,
        local: store.local,
        remote: store.remote,
        remoteRow: (id) => store.remoteRow(id),
        dirty: store.dirty(),
        ignores: this.ignores,
        device: DEVICE,
      });
      for (const id of plan.settled) store.settle(id);
      for (const id of plan.agreed) store.agree(id);
      for (const id of plan.skipped) store.forget(id);
      if (plan.adoptions.length === 0) return plan;
      store.adopt(plan.adoptions);
    }
  }

  apply(transitions: readonly Transition[] = this.plan().transitions): Promise<ApplyReport> {
    const { ignores } = this;
    const options = { deviceName: DEVICE, ignores, displaced: this.#displaced };
    return applyTransitions(this.ports, transitions, options, new AbortController().signal);
  }

  recover(isStateLost = false): Promise<unknown> {
    return recoverJournal(this.ports, { deviceName: DEVICE, isStateLost });
  }

  /** Scans, plans and applies until the plan holds no more steps. */
  async converge(): Promise<void> {
    for (let round = 0; round < 12; round += 1) {
      await this.settle();
      const { transitions } = this.plan();
      if (transitions.length === 0) return;
      await this.apply(transitions);
    }
    throw new Error(`never at rest: ${JSON.stringify(this.plan().transitions)}`);
  }

  /** A minute passes, and two scans. */
  async emptyQuarantine(): Promise<void> {
    for (let round = 0; round < 2; round += 1) {
      this.clock.elapsedMs += 40_000 + CALM_MS;
      await this.settle();
      countQuarantineScan(this.ports);
    }
    await checkQuarantine(this.ports, { deviceName: DEVICE });
    await this.converge();
  }

  /** All local nodes, those in the parking too. */
  override nodes(): LocalNode[] {
    const found: LocalNode[] = [];
    const pending: NodeId[] = [ROOT_ID, PARKING_ID];
    for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
      for (const node of this.store.local.children(next)) {
        found.push(node);
        pending.push(node.id);
      }
    }
    return found;
  }

  // The disk

  /** Path -> text of every file outside the state directory. */
  files(): Record<string, string> {
    const found: Record<string, string> = {};
    for (const [path, inode] of this.disk.walk()) {
      if (path.startsWith(".synced/") || inode.kind !== "file") continue;
      found[path] = decoder.decode(inode.bytes);
    }
    return Object.fromEntries(Object.entries(found).sort());
  }

  /** Names below a directory of the state directory. */
  entries(directory: string): string[] {
    const inode = this.disk.at(`.synced/${directory}`);
    return inode?.kind === "directory" ? [...inode.entries.keys()].sort() : [];
  }

  /** True where local, remote and base say the same, and nothing waits. */
  isSettled(): boolean {
    return this.store.dirty().length === 0 && this.store.journal().length === 0;
  }

  /** rename(2) answers EXDEV for these directories from now on. */
  makeLower(...paths: string[]): void {
    for (const path of paths) {
      const inode = this.inode(path);
      if (inode.kind === "directory") inode.isLower = true;
    }
  }

  pathOfNode(id: NodeId): string | undefined {
    return pathOf(this.store.local, id);
  }
}

/** A world in which these files and directories are synced. */
export async function syncedWorld(exchange: boolean, ...paths: string[]): Promise<ApplyWorld> {
  const world = new ApplyWorld(exchange);
  world.make(".synced/", ...paths);
  await world.agree();
  for (const text of Object.values(world.files())) world.content(text);
  return world;
}
