/**
 * StateStore: everything that one device remembers about one folder. Rules: S1-S11.
 *
 * Synchronous on purpose: reconcile and scan read trees row by row, and no await may come between
 * calls of one transaction. `transaction` is durable when it returns (SQLite WAL with
 * synchronous=FULL), so a base row survives a power cut. Therefore the caller writes it only after
 * the disk has what the row says (I15). A call outside a transaction is a transaction of its own.
 * Transactions do not nest. Inside one, no call to another port may be made. A later transaction
 * never survives without the earlier ones.
 *
 * Each node has one row with its base and stamp. `local` and `remote` are sparse overlays: a node
 * has a row there only if that tree differs from the base. Every `put*` and `remove*` marks the
 * node dirty; `settle` and `clearDirty` unmark it.
 */
import type { Digest } from "../core/digest.ts";
import type { ErrorCode } from "../core/error.ts";
import type { Cursor, Event } from "../core/event.ts";
import type { HeldKind } from "../core/guard.ts";
import type { DeviceId, FolderName, NodeId, ServerId } from "../core/identifier.ts";
import type { BaseNode, LocalNode, RemoteNode } from "../core/node.ts";
import type { Adoption } from "../core/transition.ts";
import type { TreeView } from "../core/tree.ts";

/** This device's server, folder and id. Written when the folder joins. */
export interface Binding {
  readonly server: ServerId;
  readonly serverUrl: string;
  readonly folder: FolderName;
  readonly device: DeviceId;
  readonly deviceName: string;
}

/** Recorded trouble with one path; all else goes on. */
export interface Problem {
  readonly path: string;
  readonly code: ErrorCode;
  readonly message: string;
}

/** A conflict copy that still exists on this device. */
export interface ConflictCopy {
  readonly node: NodeId;
  readonly path: string;
  /** The path of the file that the copy lost against. */
  readonly of: string;
  /** Whose version it is; absent for a user's own file that only lost its place (R20). */
  readonly ofNode?: NodeId;
}

/** A change that a guard holds until a person approves it or it is no longer wanted. */
export interface HeldChange {
  /** A digest of the held change, so that an approval lets through exactly this one. */
  readonly id: string;
  readonly direction: "up" | "down";
  /** Absent if an earlier version held it. */
  readonly kinds?: readonly HeldKind[];
  readonly reason: string;
  readonly count: number;
  readonly nodes: readonly NodeId[];
}

/**
 * A note about one entry below `.synced/staging` or `.synced/quarantine`. It is written before the
 * swap that may put a user's file there. After a crash the entry's bytes tell what happened. If
 * they equal `newDigest`, the swap was not done. If they equal `oldDigest`, the displaced file is
 * the base. Anything else is a user's edit that no scan has seen.
 */
export interface JournalEntry {
  /** The entry's name below staging or quarantine: an id, never a user's name. */
  readonly id: string;
  readonly kind: "replace" | "delete" | "park" | "create" | "conflict";
  readonly node: NodeId;
  /** Path of the user's entry when the note was written. */
  readonly path: string;
  /**
   * SHA-256 of the entry that the swap is expected to displace (of the target for a symlink);
   * absent if none is expected.
   */
  readonly oldDigest?: Digest;
  /** SHA-256 of the staged content; absent for deletes and parks. */
  readonly newDigest?: Digest;
  /** Grows with each entry of a store; recovery goes in this order. */
  readonly order: number;
}

/** The making of a node, as this device heard of it. */
export interface Birth {
  readonly device: DeviceId;
  /** From Clock.now(). */
  readonly atMs: number;
}

/** A displaced file that waits until it is certain that nobody wrote to it late (I4). */
export interface QuarantineEntry {
  readonly id: string;
  readonly node: NodeId;
  readonly path: string;
  readonly digest: Digest;
  /** Clock.now() when the file was displaced. */
  readonly sinceMs: number;
  /** Full or partial scans since it was put there. */
  readonly scans: number;
}

/** All entries that have waited for the same number of scans. */
export interface QuarantineGroup {
  readonly scans: number;
  /** The smallest and the greatest `sinceMs`. */
  readonly firstMs: number;
  readonly lastMs: number;
}

/**
 * `full` is durable when it returns. `normal` becomes durable with the next `full` one: a power cut
 * may take it back, a kill does not. Use `normal` only for values that the next scan finds again,
 * or that are only shown (S11).
 */
export type Barrier = "full" | "normal";

export interface StateStore {
  /**
   * @param barrier @default "full"
   * @returns the result of `work`; rolls back if `work` throws.
   */
  transaction<Result>(work: () => Result, barrier?: Barrier): Result;

  readonly base: TreeView<BaseNode>;
  /** The base overlaid with what scans saw. */
  readonly local: TreeView<LocalNode>;
  /** The base overlaid with what the log said. Tombstones and absent nodes are not visible. */
  readonly remote: TreeView<RemoteNode>;

  /** A remote row, also if it is a tombstone; falls back to the base. */
  remoteRow(id: NodeId): RemoteNode | undefined;
  /** The local node with that identity, if any; the lowest id if hard links made two. */
  localByIdentity(identity: string): LocalNode | undefined;

  /**
   * Records what the disk holds. If that equals the base in place and content, it updates only the
   * base's stamp. Then no overlay row and no dirty mark remains, unless the node is dirty for
   * another reason.
   */
  putLocal(node: LocalNode): void;
  /**
   * Does `putLocal` for a change that this device has just made on the disk, durably. The base
   * takes over each changed aspect that the remote tree has, too. If no difference is left, the
   * node is settled.
   */
  agreeLocal(node: LocalNode): void;
  /**
   * The disk no longer has this node. `isSeen` tells that its going was seen. That mark stays until
   * the node is back or settled.
   */
  removeLocal(id: NodeId, isSeen?: boolean): void;
  /** True for a node of the base that was seen going from the disk. */
  wasSeenGoing(id: NodeId): boolean;
  /**
   * Records what the log says, tombstones included. A version that is older than the recorded one
   * is ignored; content and place are compared separately.
   */
  putRemote(node: RemoteNode): void;
  /**
   * Does `putRemote` for the event that an op of this device became. The base takes over what the
   * op set, because the disk durably held that when it was posted. If the local tree agrees with
   * all of the event, the node is settled.
   */
  agreeOwn(event: Event): void;
  /**
   * Drops the whole remote overlay, so that the remote tree falls back to the base, and marks its
   * nodes dirty. Used before a snapshot replaces the remote tree.
   */
  clearRemote(): void;
  /**
   * Ends a difference: local and remote agree or are both absent. The base becomes both; overlays
   * and dirty mark go. Asserts that place and content agree.
   */
  settle(id: NodeId): void;
  /**
   * Lets the base take over each aspect in which local and remote are the same, and settles the
   * node if no difference is left. Only for states that this disk durably holds.
   */
  agree(id: NodeId): void;
  /**
   * Sets only the base row, leaves overlays alone, and marks the node dirty. Used after a server
   * restore (S5).
   */
  putBase(node: BaseNode): void;
  /**
   * For a node that is now ignored: drops its base and local row. The remote row stays,
   * unmaterialised and not dirty.
   */
  forget(id: NodeId): void;
  /**
   * Local-only nodes turned out to be the server's nodes. Gives them these ids, also as the parents
   * of their local children.
   */
  adopt(adoptions: readonly Adoption[]): void;
  /**
   * Drops all bases, because the state was rolled back or the log diverged. Every local and remote
   * node keeps a row of its own, and all are dirty.
   */
  clearBase(): void;

  markDirty(id: NodeId): void;
  clearDirty(id: NodeId): void;
  /** In an unspecified but repeatable order. */
  dirty(): readonly NodeId[];
  dirtyCount(): number;
  /**
   * Grows whenever a node becomes dirty or clean, a dirty one is written, or a problem ends. While
   * it stays the same, a plan that came to nothing would come to nothing again. Counts for this
   * process only.
   */
  dirtyVersion(): number;
  /**
   * The dirty nodes, with a bound on those that only one tree has: at most `newMax` that only local
   * has and `newMax` that only remote has, oldest rows first.
   */
  dirtySome(newMax: number): readonly NodeId[];
  /** All nodes that are dirty now are in a plan that is being made. */
  noteAllPlanned(): void;
  /**
   * The nodes that became dirty since `noteAllPlanned`, in this process; undefined if they are
   * many, a node that was dirty then has changed, or nothing was noted.
   */
  dirtySincePlanned(): readonly NodeId[] | undefined;
  markAllDirty(): void;
  /** Nodes that have a row of their own in local or remote and are not dirty. */
  overlaid(): readonly NodeId[];
  /**
   * Marks nodes dirty that the log has and the base has not. They were ignored so far, and other
   * rules must judge them.
   *
   * @param directories only nodes of the log below these; undefined: all.
   */
  markUnmaterialisedDirty(directories?: readonly NodeId[]): void;

  /** Files and symlinks in the base. The store keeps the count up to date. */
  baseFileCount(): number;
  counts(): {
    readonly files: number;
    readonly directories: number;
    readonly symlinks: number;
    readonly dirty: number;
  };

  /** Bytes of a manifest object by digest, from files that were hashed here or downloaded. */
  manifest(digest: Digest): Uint8Array | undefined;
  putManifest(digest: Digest, bytes: Uint8Array): void;
  /** Drops each manifest that no base, local or remote file reaches from its root. */
  pruneManifests(): void;
  manifestDigests(): readonly Digest[];

  cursor(): Cursor | undefined;
  /** Also remembers older cursors: all of the last few thousand events, then spaced ones. */
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

  /** Who made a node, and when; undefined if that is long ago or nobody here saw it. */
  birth(id: NodeId): Birth | undefined;
  putBirth(id: NodeId, birth: Birth | undefined): void;
  forgetBirthsBefore(atMs: number): void;

  journal(): readonly JournalEntry[];
  addJournal(entry: Omit<JournalEntry, "order">): void;
  removeJournal(id: string): void;
  quarantine(): readonly QuarantineEntry[];
  /** One group for each number of scans, so that asking stays cheap however many files wait. */
  quarantineGroups(): readonly QuarantineGroup[];
  putQuarantine(entry: QuarantineEntry): void;
  removeQuarantine(id: string): void;

  /**
   * Left-over directories, by identity: on the disk, without a node, holding only entries that are
   * not synced.
   */
  isLeftover(identity: string): boolean;
  setLeftover(identity: string, leftover: boolean): void;

  /** Small JSON values by name: held change, approval, run id, status for `synced status`. */
  value(key: string): unknown;
  setValue(key: string, value: unknown): void;

  /**
   * Moves everything from the write-ahead log into the database file, so that a copy of the file
   * alone is whole.
   */
  checkpoint(): void;

  close(): void;
}

/** Where a folder's StateStore lives. Rules: S4. */
export interface StateStoreHome {
  /**
   * Opens or creates the store.
   *
   * @throws {SyncedError} `damage_found` if the file is not a sound database of this version's
   * schema; `data_newer` if a newer version wrote it.
   */
  open(): StateStore;
  /** A copy in memory, for a dry run; empty if there is no store. Writes nothing to the disk. */
  openCopy(): StateStore;
  /** True if a store exists already. */
  exists(): boolean;
  /**
   * Renames database, WAL and shared memory together to `*.set-aside-<n>`. The store must be
   * closed.
   */
  setAside(): void;
}
