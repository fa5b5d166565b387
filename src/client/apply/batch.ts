/**
 * ApplyBatch: the changes on the disk since the last barrier, and the barrier itself. The barrier
 * makes directories durable, then records everything in one transaction, the base last. Rules: S2,
 * I15, D2, D3, D8.
 */

import type { Digest } from "../../core/digest.ts";
import type { ErrorCode } from "../../core/error.ts";
import type { EventKind } from "../../core/event.ts";
import type { NodeId } from "../../core/identifier.ts";
import type { EncodedManifestObject } from "../../core/manifest.ts";
import type { LocalNode, Place } from "../../core/node.ts";
import { baseName, joinPath, parentPath } from "../../core/path.ts";
import { QUARANTINE_DIRECTORY, STAGING_DIRECTORY } from "../../core/state-directory.ts";
import { pathOf } from "../../core/tree.ts";
import { FileSystemError, type Stat } from "../../ports/filesystem.ts";
import type { ClientEvent } from "../../ports/observer.ts";
import type { ConflictCopy } from "../../ports/state-store.ts";
import { KEPT, writeKept } from "../folder/kept-values.ts";
import { Pace } from "../folder/pace.ts";
import type { ClientPorts } from "../folder/ports.ts";
import { RACY_MARK } from "../scan/content.ts";
import type { DisplacedContent } from "../stage/displaced-contents.ts";
import { forgetName } from "./former-names.ts";
import { ApplyOverlay } from "./overlay.ts";
import { dropNote } from "./placing.ts";

export type ApplyPorts = Pick<ClientPorts, "fs" | "store" | "observer" | "clock" | "random">;

export interface ApplyFailure {
  readonly id: NodeId;
  readonly path: string;
  readonly code: ErrorCode;
  readonly message: string;
}

/** Equals no stamp of a file system, so the next scan looks at the bytes. */
const UNKNOWN_STAMP = "";

/** A file that is to wait in quarantine, the node it was of, and where that stood. */
export interface DisplacedEntry {
  readonly id: string;
  readonly node: NodeId;
  readonly path: string;
  readonly digest: Digest;
}

export class ApplyBatch {
  readonly ports: ApplyPorts;
  readonly deviceName: string;
  readonly overlay: ApplyOverlay;
  readonly pace: Pace;
  /** Paths that did not look as expected. */
  readonly rescan = new Set<string>();
  readonly failed: ApplyFailure[] = [];
  /**
   * True for nodes that have a step still to come. Only such a node may be moved out of another's
   * way.
   */
  isComing: (id: NodeId) => boolean = () => false;
  /** True for nodes with trouble of their own, also from earlier batches. */
  hasFailed: (id: NodeId) => boolean = (id) => this.failed.some((failure) => failure.id === id);
  /** True if a note tells what this batch puts in place and renames, until that is recorded. */
  isPlacing = false;
  conflicts = 0;
  applied = 0;
  readonly #touched = new Set<string>();
  /** Files that were changed in place. */
  readonly #changed = new Set<string>();
  readonly #manifests: EncodedManifestObject[] = [];
  readonly #copies: ConflictCopy[] = [];
  readonly #resolved: string[] = [];
  /** Journal entries whose file could not be removed. */
  readonly #stuck = new Set<string>();
  readonly #unplaced: string[] = [];
  readonly #quarantined: { id: string; node: NodeId; path: string; digest: Digest }[] = [];
  readonly #leftovers = new Map<string, boolean>();
  readonly #makeshift = new Set<NodeId>();
  readonly #done: string[] = [];
  readonly #events: ClientEvent[] = [];

  constructor(ports: ApplyPorts, deviceName: string) {
    this.ports = ports;
    this.deviceName = deviceName;
    this.overlay = new ApplyOverlay(ports.store.local);
    this.pace = new Pace(ports.clock);
  }

  path(id: NodeId): string | undefined {
    return pathOf(this.overlay, id);
  }

  pathOfPlace({ parent, name }: Place): string | undefined {
    const directory = this.path(parent);
    return directory === undefined ? undefined : joinPath(directory, name);
  }

  /** The directory entry at `path` was made, taken away or replaced. */
  touch(path: string): void {
    this.#touched.add(parentPath(path));
  }

  touchFile(path: string): void {
    this.#changed.add(path);
  }

  /**
   * Records a node as it now stands at `path`. After this client's change a user may have written
   * to the file in the same tick of the kernel's clock and put its mtime back. Such a stamp proves
   * nothing, so the bytes are looked at once more (A2).
   *
   * @param before the look at the entry before it was put there. If the path shows anything else by
   * now, a user was faster, and the node is recorded with a stamp that sends the next scan there.
   */
  putPlaced(node: Omit<LocalNode, "stamp">, path: string, before: Stat): void {
    const now = this.look(path);
    const isAsPlaced =
      now !== undefined && isSameSight(now, before) && now.executable === before.executable;
    if (!isAsPlaced) this.putUnknown({ ...node, stamp: UNKNOWN_STAMP }, path);
    else if (node.content.kind === "file") this.putRacy(node, now);
    else this.overlay.put({ ...node, stamp: now.stamp });
  }

  /** The stat of the entry that stands there now; also undefined if nobody can say. */
  look(path: string): Stat | undefined {
    try {
      return this.ports.fs.stat(path);
    } catch (error) {
      if (error instanceof FileSystemError) return undefined;
      throw error;
    }
  }

  /** Records a file whose bytes the next scan has to look at, whatever its stamp says (A2). */
  putRacy(node: Omit<LocalNode, "stamp">, { identity, stamp }: Stat): void {
    this.overlay.put({ ...node, identity, stamp: stamp + RACY_MARK });
  }

  /** Records a node that somebody is changing right now. */
  putUnknown(node: LocalNode, path: string): void {
    this.overlay.put({ ...node, stamp: UNKNOWN_STAMP });
    this.rescan.add(path);
  }

  /**
   * The disk has nothing at a place where the tree has another node, because its user just took
   * that away. The node goes with everything below it. Entries of it that were moved elsewhere, the
   * scan finds as new.
   */
  dropGhost({ parent, name }: Place, id: NodeId): void {
    const ghost = this.overlay.child(parent, name);
    if (ghost === undefined || ghost.id === id) return;
    this.drop(ghost.id);
    const path = this.pathOfPlace({ parent, name });
    if (path !== undefined) this.rescan.add(path);
  }

  /** The node is not here any more, nor is anything below it. */
  drop(id: NodeId): void {
    const doomed = [id];
    for (let next = doomed.pop(); next !== undefined; next = doomed.pop()) {
      for (const child of this.overlay.children(next)) doomed.push(child.id);
      this.overlay.remove(next);
    }
  }

  /** Files that were put into quarantine, with everything known about them. */
  readonly displaced: DisplacedContent[] = [];

  /** Bytes that nobody needs any more, unless somebody still writes to them (D3). */
  putQuarantine(entry: DisplacedEntry): void {
    this.#touched.add(QUARANTINE_DIRECTORY);
    this.#quarantined.push(entry);
  }

  putConflict(copy: ConflictCopy): void {
    this.conflicts += 1;
    this.#copies.push(copy);
  }

  putManifests(objects: readonly EncodedManifestObject[]): void {
    for (const object of objects) this.#manifests.push(object);
  }

  /**
   * Records a node at a place that neither its user nor the log chose. The base goes along: the
   * place then passes for nobody's change, and the log's is taken.
   */
  putMakeshift(node: LocalNode): void {
    this.overlay.put(node);
    this.#makeshift.add(node.id);
  }

  putLeftover(identity: string, leftover: boolean): void {
    this.#leftovers.set(identity, leftover);
  }

  /** Whether this batch made it a left-over directory; undefined if it did not decide. */
  leftoverNow(identity: string): boolean | undefined {
    return this.#leftovers.get(identity);
  }

  /** This journal entry needs no recovery any more, unless its file could not be removed. */
  resolve(journal: string): void {
    if (!this.#stuck.has(journal)) this.#resolved.push(journal);
  }

  done(kind: EventKind, path: string, from?: string): void {
    this.applied += 1;
    this.#done.push(path);
    const event = { event: "change", direction: "down", kind, path } as const;
    this.#events.push(from === undefined ? event : { ...event, from });
  }

  fail(failure: ApplyFailure): void {
    this.failed.push(failure);
  }

  /**
   * Removes an entry of our own below the state directory. If it cannot be removed, it is left to
   * recovery, which needs the journal entry to know it.
   */
  discard(path: string): void {
    try {
      this.ports.fs.removeFile(path);
    } catch (error) {
      if (!(error instanceof FileSystemError)) throw error;
      this.#stuck.add(baseName(path));
    }
  }

  /**
   * Removes a staged file that is not put in place, as soon as the batch is recorded. Until then it
   * proves to recovery that it never stood there (D23).
   */
  leaveStaged(path: string): void {
    this.#unplaced.push(path);
  }

  /**
   * The barrier. After it the disk is durably as the overlay says, and the store says the same.
   *
   * @throws {FileSystemError} if something cannot be made durable. Then nothing is recorded (I41),
   * and the next scan finds what was done.
   */
  async commit(): Promise<void> {
    const { fs, store, clock, observer } = this.ports;
    if (this.#touched.size > 0) {
      await fs.syncDirectories([...this.#touched, STAGING_DIRECTORY, QUARANTINE_DIRECTORY]);
    }
    const [failure] = await fs.sync(this.#changed);
    if (failure !== undefined) throw failure;
    const sinceMs = clock.now();
    const news = this.#newFailures();
    // A step that fails again and again leaves nothing to write (Y5).
    if (this.#isIdle && news.length === 0) {
      if (this.isPlacing) dropNote(store);
      this.#removeUnplaced();
      return;
    }
    store.transaction(() => {
      if (this.isPlacing) writeKept(store, KEPT.placing, undefined);
      for (const { digest, bytes } of this.#manifests) store.putManifest(digest, bytes);
      for (const [identity, leftover] of this.#leftovers) store.setLeftover(identity, leftover);
      for (const [id, node] of this.overlay.changes()) {
        if (node !== undefined) {
          if (this.#makeshift.has(id)) this.#moveBase(node);
          store.agreeLocal(node);
        } else {
          store.removeLocal(id);
          store.removeConflict(id);
          if (store.remote.get(id) === undefined) store.settle(id);
        }
      }
      for (const copy of this.#copies) store.putConflict(copy);
      for (const entry of this.#quarantined) store.putQuarantine({ ...entry, sinceMs, scans: 0 });
      for (const id of this.#resolved) store.removeJournal(id);
      for (const path of this.#done) store.setProblem(path, undefined);
      for (const { path, code, message } of this.failed) {
        store.setProblem(path, { path, code, message });
      }
    });
    this.#removeUnplaced();
    const waiting = new Set(this.#quarantined.map(({ id }) => id));
    for (const id of this.#resolved) if (!waiting.has(id)) forgetName(fs, id);
    for (const event of this.#events) observer.emit(event);
    for (const { path, of } of this.#copies) observer.emit({ event: "conflict", path, of });
    for (const { path, code, message } of news) {
      observer.emit({ event: "problem", path, code, message });
    }
  }

  #removeUnplaced(): void {
    for (const path of this.#unplaced) this.discard(path);
  }

  #moveBase({ id, parent, name }: LocalNode): void {
    const { store } = this.ports;
    const base = store.base.get(id);
    // Where the log has said nothing since, the remote tree would go along.
    if (base === undefined || store.remoteRow(id)?.placeVersion === base.placeVersion) return;
    store.putBase({ ...base, parent, name });
  }

  /** True if nothing was done or found that has to be recorded. */
  get #isIdle(): boolean {
    const lists = [this.#manifests, this.#copies, this.#quarantined, this.#resolved, this.#done];
    return (
      this.overlay.isEmpty && this.#leftovers.size === 0 && lists.every((list) => list.length === 0)
    );
  }

  /** Trouble that lasts is reported once, not at each try. */
  #newFailures(): readonly ApplyFailure[] {
    if (this.failed.length === 0) return [];
    const known = new Map(this.ports.store.problems().map((problem) => [problem.path, problem]));
    return this.failed.filter(({ path, code, message }) => {
      const before = known.get(path);
      return before?.code !== code || before.message !== message;
    });
  }
}

/**
 * True if both show the same file with the same bytes, as far as one can see. A rename changes the
 * ctime, and so the stamp.
 */
export function isSameSight(a: Stat, b: Stat): boolean {
  return a.identity === b.identity && looksAlike(a, b);
}

/**
 * Ignores the identity, because an overlay gives a file of its lower layer another one when the
 * file is first changed or moved.
 */
export function looksAlike(a: Stat, b: Stat): boolean {
  if (a.kind !== b.kind) return false;
  return a.kind === "directory" || (a.size === b.size && a.mtimeNs === b.mtimeNs);
}
