/**
 * StateStore: everything one device remembers about one folder. Rules: S1-S10.
 *
 * Synchronous on purpose: reconcile and scan read trees row by row, and no await may interleave
 * inside a transaction. `transaction` is durable when it returns (SQLite WAL with
 * synchronous=FULL): a base row that was written survives a power cut, so it must only be written
 * after the disk has what it says (I15). Calls outside a transaction are their own transaction.
 * Transactions do not nest, and no port call may be made inside one. What comes later never
 * survives without what came before it.
 *
 * One row per node is the base plus its stamp. `local` and `remote` are sparse overlays over it: a
 * row only where that tree differs from the base. Every `put*`/`remove*` marks the node dirty;
 * `settle` and `clearDirty` unmark it.
 */
import type { Digest } from "../core/digest.ts";
import type { ErrorCode } from "../core/error.ts";
import type { Cursor, Event } from "../core/event.ts";
import type { DeviceId, FolderName, NodeId, ServerId } from "../core/identifier.ts";
import type { BaseNode, LocalNode, RemoteNode } from "../core/node.ts";
import type { TreeView } from "../core/tree.ts";

/** Who this device is, written when the folder joins. */
export interface Binding {
  readonly server: ServerId;
  readonly serverUrl: string;
  readonly folder: FolderName;
  readonly device: DeviceId;
  readonly deviceName: string;
}

/** A recorded trouble with one path; the rest goes on. */
export interface Problem {
  readonly path: string;
  readonly code: ErrorCode;
  readonly message: string;
}

/** A conflict copy that still exists on this device. */
export interface ConflictCopy {
  readonly node: NodeId;
  readonly path: string;
  /** The path of the file that it lost against. */
  readonly of: string;
}

/** A change that a guard holds until a person approves it or it goes away. */
export interface HeldChange {
  /** A digest of what is held, so that an approval lets through exactly this. */
  readonly id: string;
  readonly direction: "up" | "down";
  readonly reason: string;
  readonly count: number;
  readonly nodes: readonly NodeId[];
}

/**
 * A write-ahead note about one entry below `.synced/staging` or `.synced/quarantine`, written
 * before the swap that may put a user's file there. After a crash its bytes tell what happened:
 * equal to `newDigest`, the swap was not done; equal to `oldDigest`, the displaced file is the
 * base; anything else is a user's unseen edit.
 */
export interface JournalEntry {
  /** The entry's name below staging or quarantine: an id, never a user's name. */
  readonly id: string;
  readonly kind: "replace" | "delete" | "park" | "create" | "conflict";
  readonly node: NodeId;
  /** Path of the user's entry when the note was written. */
  readonly path: string;
  /**
   * SHA-256 of what is expected to be displaced (target text for symlinks); absent where nothing
   * is.
   */
  readonly oldDigest?: Digest;
  /** SHA-256 of the staged content; absent for deletes and parks. */
  readonly newDigest?: Digest;
  /** Monotone per store; recovery goes in this order. */
  readonly order: number;
}

/** A node's making, as this device heard of it. */
export interface Birth {
  readonly device: DeviceId;
  /** Clock.now(). */
  readonly atMs: number;
}

/** A displaced file waiting until it is certain that nobody wrote to it late (I4). */
export interface QuarantineEntry {
  readonly id: string;
  readonly node: NodeId;
  readonly path: string;
  readonly digest: Digest;
  /** Clock.now() when it was displaced. */
  readonly sinceMs: number;
  /** Full or partial scans since then. */
  readonly scans: number;
}

/** The entries that waited for so many scans. */
export interface QuarantineGroup {
  readonly scans: number;
  /** The smallest and the greatest `sinceMs`. */
  readonly firstMs: number;
  readonly lastMs: number;
}

/**
 * `full` is durable when it returns. `normal` leaves that to the next `full` one: a power cut may
 * take it back, a kill does not. For what the next scan finds anew, and what is only shown (S11).
 */
export type Barrier = "full" | "normal";

export interface StateStore {
  /**
   * @param barrier @default "full"
   * @returns what `work` returns; rolls back when it throws.
   */
  transaction<Result>(work: () => Result, barrier?: Barrier): Result;

  readonly base: TreeView<BaseNode>;
  /** Base overlaid with what scans saw. */
  readonly local: TreeView<LocalNode>;
  /** Base overlaid with what the log said. Tombstones and absent nodes are not visible. */
  readonly remote: TreeView<RemoteNode>;

  /** A remote row with its tombstone; falls back to the base. */
  remoteRow(id: NodeId): RemoteNode | undefined;
  /** The local node with that identity, if any (lowest id where hard links made two). */
  localByIdentity(identity: string): LocalNode | undefined;

  /**
   * Records what the disk holds. When equal to the base in place and content, only the base's stamp
   * is updated and no overlay row or dirty mark remains (for a node without other reason to be
   * dirty).
   */
  putLocal(node: LocalNode): void;
  /**
   * `putLocal` of what this device has just done on the disk, durably. The base takes over each
   * aspect that was changed by it and in which the remote tree is the same; where that is all, the
   * node is settled.
   */
  agreeLocal(node: LocalNode): void;
  /**
   * The disk no longer has this node. `isSeen` says that its going was seen; once it was, it stays
   * so until the node is back or settled.
   */
  removeLocal(id: NodeId, isSeen?: boolean): void;
  /** True for a node of the base whose going from the disk was seen. */
  wasSeenGoing(id: NodeId): boolean;
  /**
   * Records what the log says, tombstones included. Older versions than recorded are ignored, per
   * version.
   */
  putRemote(node: RemoteNode): void;
  /**
   * `putRemote` of what an op of this device became. The base takes over what the op was about,
   * which the disk durably held when it was posted; where the local tree says the same of all, the
   * node is settled.
   */
  agreeOwn(event: Event): void;
  /** Forgets a remote row without a base (used when a snapshot replaces the remote tree). */
  clearRemote(): void;
  /**
   * Local and remote agree (or both are absent): base := both, overlays and dirty mark gone.
   * Asserts agreement in place and content.
   */
  settle(id: NodeId): void;
  /**
   * The base takes over each aspect in which local and remote are the same; settles the node where
   * that is all. For what this disk durably holds.
   */
  agree(id: NodeId): void;
  /**
   * Sets the base row alone, overlays untouched, and marks the node dirty (used after a server
   * restore, S5).
   */
  putBase(node: BaseNode): void;
  /**
   * Newly ignored: drops base and local row; the remote row stays, unmaterialised and not dirty.
   */
  forget(id: NodeId): void;
  /**
   * A local-only node turns out to be the server's node: rekeys it and the parents of its local
   * children.
   */
  adopt(local: NodeId, remote: NodeId): void;
  /**
   * Drops all bases (state rolled back or log diverged): every local and remote node stays as its
   * own overlay row, all dirty.
   */
  clearBase(): void;

  markDirty(id: NodeId): void;
  clearDirty(id: NodeId): void;
  /** In unspecified but repeatable order. */
  dirty(): readonly NodeId[];
  dirtyCount(): number;
  /**
   * Grows whenever a node becomes dirty or clean, a dirty one is written, or a problem ends: while
   * it stays, a plan that came to nothing would come to nothing again. Of this process alone.
   */
  dirtyVersion(): number;
  /**
   * The dirty nodes without most of those that only one tree has: of the ones that only local has,
   * and of those that only remote has, so many at most, the oldest rows first.
   */
  dirtySome(newMax: number): readonly NodeId[];
  markAllDirty(): void;
  /** Nodes with a row of their own in local or remote that are not dirty. */
  overlaid(): readonly NodeId[];
  /**
   * Those that the log has and the base has not: ignored so far, to be judged by other rules.
   *
   * @param directories only what the log has below these; undefined: all.
   */
  markUnmaterialisedDirty(directories?: readonly NodeId[]): void;

  /** Files and symlinks in the base; kept incrementally. */
  baseFileCount(): number;
  counts(): {
    readonly files: number;
    readonly directories: number;
    readonly symlinks: number;
    readonly dirty: number;
  };

  /** Manifest objects of files that were hashed here or downloaded; digest -> bytes. */
  manifest(digest: Digest): Uint8Array | undefined;
  putManifest(digest: Digest, bytes: Uint8Array): void;
  /**
   * Drops manifests that no base, local or remote file reaches by its root; children are kept with
   * their root.
   */
  pruneManifests(): void;
  manifestDigests(): readonly Digest[];

  cursor(): Cursor | undefined;
  /** Also remembers the older cursors: all of the last few thousand events, then spaced ones. */
  setCursor(cursor: Cursor): void;
  /** Newest first. */
  cursorHistory(): readonly Cursor[];
  clearCursors(): void;

  binding(): Binding | undefined;
  setBinding(binding: Binding): void;

  problems(): readonly Problem[];
  /** Replaces the problem of that path, or removes it. */
  setProblem(path: string, problem: Problem | undefined): void;
  clearProblemsBelow(path: string): void;
  conflicts(): readonly ConflictCopy[];
  putConflict(conflict: ConflictCopy): void;
  removeConflict(node: NodeId): void;

  /** Who made a node, and when; undefined where that is long ago, or nobody here saw it. */
  birth(id: NodeId): Birth | undefined;
  putBirth(id: NodeId, birth: Birth | undefined): void;
  forgetBirthsBefore(atMs: number): void;

  journal(): readonly JournalEntry[];
  addJournal(entry: Omit<JournalEntry, "order">): void;
  removeJournal(id: string): void;
  quarantine(): readonly QuarantineEntry[];
  /** One group a number of scans: to be asked all the time, however many files wait. */
  quarantineGroups(): readonly QuarantineGroup[];
  putQuarantine(entry: QuarantineEntry): void;
  removeQuarantine(id: string): void;

  /**
   * Left-over directories: on disk, without a node, holding only what is not synced. By identity.
   */
  isLeftover(identity: string): boolean;
  setLeftover(identity: string, leftover: boolean): void;

  /** Small JSON values by name: held change, approval, run id, status for `synced status`. */
  value(key: string): unknown;
  setValue(key: string, value: unknown): void;

  /**
   * Moves everything from the write-ahead log into the database file (a copy of the file alone is
   * then whole).
   */
  checkpoint(): void;

  close(): void;
}

/** Where a folder's StateStore lives. Rules: S4. */
export interface StateStoreHome {
  /**
   * Opens or creates the store.
   *
   * @throws {SyncedError} `damage_found` when the file is not a sound database of this version's
   * schema; `data_newer` when a newer version wrote it.
   */
  open(): StateStore;
  /**
   * A copy in memory of what is there (empty where nothing is): for a dry run. Writes nothing to
   * the disk.
   */
  openCopy(): StateStore;
  /** True where a store exists already. */
  exists(): boolean;
  /**
   * Renames database, WAL and shared memory together to `*.set-aside-<n>`; the store must be
   * closed.
   */
  setAside(): void;
}
