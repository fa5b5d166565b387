/**
 * Nodes as values: the files, directories and symlinks of a folder.
 * Rules: N1-N6.
 */
import type { Digest } from "./digest.ts";
import type { NodeId } from "./identifier.ts";

/** A position in a folder's event log, from 1. 0 is the position before the first event. */
export type Sequence = number;

/**
 * A file's bytes and the metadata that is synced.
 *
 * `manifest` names the root of the file's chunk tree (see manifest.ts): at `depth` 0 the root is
 * the file's only chunk itself, so `manifest` equals `sha256`; at depth d > 0 it is a list of roots
 * of depth d-1.
 */
export interface FileContent {
  readonly kind: "file";
  readonly manifest: Digest;
  readonly depth: number;
  /**
   * The SHA-256 of the whole file. The author claims it; every receiver checks it after assembly.
   */
  readonly sha256: Digest;
  /** In bytes, up to 2^53 - 1. */
  readonly size: number;
  readonly executable: boolean;
  /** Nanoseconds since 1970 as a decimal string; may be negative. */
  readonly mtimeNs: string;
}

export interface DirectoryContent {
  readonly kind: "directory";
}

export interface SymlinkContent {
  readonly kind: "symlink";
  /** Kept exactly as it is, and never followed. */
  readonly target: string;
}

/** A node keeps its kind for life. A file that becomes a directory is another node. */
export type Content = FileContent | DirectoryContent | SymlinkContent;

/** A node's parent and name. Names keep their exact bytes. */
export interface Place {
  readonly parent: NodeId;
  readonly name: string;
}

/** A live node in one tree. */
export interface NodeState extends Place {
  readonly id: NodeId;
  readonly content: Content;
}

/**
 * A node as the server has it; a deleted one is a tombstone that keeps its last place and content.
 */
export interface RemoteNode extends NodeState {
  readonly deleted: boolean;
  /** The seq of the event that last changed bytes or metadata (or created, or deleted it). */
  readonly contentVersion: Sequence;
  /** The seq of the event that last changed parent or name (or created, or deleted it). */
  readonly placeVersion: Sequence;
}

/** A node as this device's last scan saw it on disk. */
export interface LocalNode extends NodeState {
  /** Device, inode and birth time; opaque. Stays the same when the entry is renamed. */
  readonly identity: string;
  /** Type, size, mtime, ctime and mode; opaque. Differs whenever the file may have changed. */
  readonly stamp: string;
  /** Set on a conflict copy until the server has it. */
  readonly conflictOf?: ConflictOrigin;
}

/** A node as this device and the server last agreed on it, and how the disk then had it. */
export interface BaseNode extends LocalNode {
  readonly contentVersion: Sequence;
  readonly placeVersion: Sequence;
}

/** The version of the node that a conflict copy lost against. */
export interface ConflictOrigin {
  readonly node: NodeId;
  readonly version: Sequence;
}

/** One text for each place. It is unambiguous because names hold no "/". */
export function placeKey({ parent, name }: Place): string {
  return `${parent}/${name}`;
}

export function samePlace(a: Place, b: Place): boolean {
  return a.parent === b.parent && a.name === b.name;
}

/**
 * True if a person would call them the same file: same kind, bytes or target, whatever the
 * metadata.
 */
export function sameBytes(a: Content, b: Content): boolean {
  switch (a.kind) {
    case "file":
      return b.kind === "file" && a.sha256 === b.sha256 && a.size === b.size;
    case "symlink":
      return b.kind === "symlink" && a.target === b.target;
    case "directory":
      return b.kind === "directory";
  }
}

/** True for a file without bytes. Nothing is lost if another file's bytes replace it. */
export function isEmptyFile(content: Content): boolean {
  return content.kind === "file" && content.size === 0;
}

/** Same place, bytes and metadata, or both absent. */
export function sameState(one: NodeState | undefined, other: NodeState | undefined): boolean {
  if (one === undefined || other === undefined) return one === other;
  return samePlace(one, other) && sameContent(one.content, other.content);
}

/** Same bytes and same metadata. */
export function sameContent(a: Content, b: Content): boolean {
  if (!sameBytes(a, b)) return false;
  if (a.kind !== "file" || b.kind !== "file") return true;
  return a.executable === b.executable && a.mtimeNs === b.mtimeNs;
}
