/**
 * MergedTree: lays the merged dirty nodes over the tree that both sides have, and makes it legal:
 * one node in a place, no cycle, no node below one that is gone. Rules: R6, R8-R10, R13, R15-R18.
 */
import { conflictName } from "./conflict.ts";
import { sha256 } from "./digest.ts";
import { assert } from "./error.ts";
import { type NodeId, PARKING_ID, ROOT_ID } from "./identifier.ts";
import { PATH_DEPTH_MAX } from "./limits.ts";
import { mergeNode } from "./merge.ts";
import {
  type BaseNode,
  type ConflictOrigin,
  type Content,
  isEmptyFile,
  type LocalNode,
  type NodeState,
  type Place,
  placeKey,
  type RemoteNode,
  type Sequence,
  sameBytes,
  samePlace,
} from "./node.ts";
import type { Adoption } from "./transition.ts";
import type { TreeView } from "./tree.ts";

export interface ReconcileInput {
  readonly base: TreeView<BaseNode>;
  readonly local: TreeView<LocalNode>;
  readonly remote: TreeView<RemoteNode>;
  /** The remote row, also if it is a tombstone. */
  remoteRow(id: NodeId): RemoteNode | undefined;
  readonly dirty: readonly NodeId[];
  /** True if this device ignores that path. */
  ignores(path: string, isDirectory: boolean): boolean;
  /**
   * True if an entry that stands at that path, or above it, is not offered for now (A21). So a node
   * that seems to be gone from there may not be. @default no
   */
  withholds?(path: string): boolean;
  /** This device's name, for conflict copies. */
  readonly device: string;
  /** True if the log had that content earlier, at this node or at its path. @default no */
  isEarlier?(id: NodeId, content: Content): boolean;
}

/** The tree that both sides should become: the merged dirty nodes laid over all other nodes. */
export class MergedTree implements TreeView {
  readonly #input: ReconcileInput;
  readonly #dirty = new Map<NodeId, NodeState | undefined>();
  /** Dirty nodes by place. Two in one place are a collision that has to be separated. */
  readonly #places = new Map<string, Set<NodeId>>();
  readonly contentConflicts = new Set<NodeId>();
  readonly conflictOrigins = new Map<NodeId, ConflictOrigin>();

  constructor(input: ReconcileInput) {
    this.#input = input;
    for (const id of input.dirty) {
      const merge = mergeNode({
        base: input.base.get(id),
        local: input.local.get(id),
        remote: input.remote.get(id),
      });
      if (merge.contentConflict && !this.#isOutdated(id, id)) this.contentConflicts.add(id);
      this.#set(id, merge.state);
    }
  }

  get(id: NodeId): NodeState | undefined {
    if (this.#dirty.has(id)) return this.#dirty.get(id);
    // Not dirty: all three trees agree, or only the remote has it because it is ignored here.
    return this.#input.base.get(id) ?? this.#input.remote.get(id);
  }

  child(parent: NodeId, name: string): NodeState | undefined {
    const [first] = this.#occupants({ parent, name });
    return first === undefined ? undefined : this.get(first);
  }

  children(parent: NodeId): readonly NodeState[] {
    const result: NodeState[] = [];
    for (const node of this.#dirty.values()) if (node?.parent === parent) result.push(node);
    for (const node of this.#input.remote.children(parent)) {
      if (!this.#dirty.has(node.id)) result.push(node);
    }
    return result;
  }

  ids(): Iterable<NodeId> {
    return this.#dirty.keys();
  }

  /**
   * R8: a directory lives as long as anything beneath it lives. A live child got its place from a
   * side on which the parent is live, so the parent's state on that side can be taken.
   */
  keepParents(): void {
    for (const [id, state] of [...this.#dirty]) {
      if (state === undefined) this.#keepForUnseen(id);
      this.#keepParentsOf(id);
    }
  }

  /** R15: nodes in it that the log has and this device leaves out live, but are never dirty. */
  #keepForUnseen(id: NodeId): void {
    const remote = this.#input.remote.get(id);
    if (remote?.content.kind !== "directory") return;
    const children = this.#input.remote.children(id);
    if (children.some((child) => !this.#dirty.has(child.id))) this.#set(id, remote);
  }

  #keepParentsOf(id: NodeId): void {
    let node = this.#dirty.get(id);
    while (node !== undefined && node.parent !== ROOT_ID && this.get(node.parent) === undefined) {
      const parent: NodeId = node.parent;
      const kept =
        this.#input.local.get(parent) ??
        this.#input.remote.get(parent) ??
        this.#input.remoteRow(parent);
      assert(kept !== undefined, `the parent ${parent} of ${node.id} is in a tree`);
      const state = unparked(kept, this.#input.base.get(parent) ?? this.#input.remoteRow(parent));
      this.#set(parent, state);
      node = state;
    }
  }

  /**
   * Takes back local moves that cannot stand beside the remote ones. A node put back may be in the
   * way of another, so it repeats until none is left.
   */
  undoMoves(): void {
    for (let isDone = false; !isDone; ) {
      isDone = true;
      for (const id of [...this.#dirty.keys()]) {
        const isCycle = this.#isInCycle(id);
        if (!isCycle && !this.#isInNobodysPlace(id)) continue;
        const node = this.#dirty.get(id);
        const remote = this.#input.remote.get(id);
        if (node === undefined || remote === undefined || samePlace(node, remote)) continue;
        const { name } = isCycle ? node : remote;
        this.#set(id, { ...node, parent: remote.parent, name });
        this.#keepParentsOf(id);
        isDone = false;
      }
    }
  }

  /**
   * R6: if one side moved a node and the other renamed it, the combined place may be taken. Nobody
   * chose that place, so the node keeps the log's, without a conflict name. With one, both names
   * would differ from the base's, and be merged again for ever.
   */
  #isInNobodysPlace(id: NodeId): boolean {
    const node = this.#dirty.get(id);
    const local = this.#input.local.get(id);
    const remote = this.#input.remote.get(id);
    if (node === undefined || local === undefined || remote === undefined) return false;
    if (samePlace(node, local) || samePlace(node, remote)) return false;
    return this.#occupants(node).length > 1;
  }

  /**
   * R10: neither side's tree has a cycle, so a cycle has parents from both sides. If the local
   * moves in it are undone, only the remote tree's parents remain. Names make no cycle, so they
   * stay.
   */
  #isInCycle(id: NodeId): boolean {
    const node = this.#dirty.get(id);
    if (node?.content.kind !== "directory") return false;
    if (node.parent === this.#input.remote.get(id)?.parent) return false;
    let current: NodeId | undefined = node.parent;
    for (let depth = 0; depth <= 2 * PATH_DEPTH_MAX; depth += 1) {
      if (current === undefined || current === ROOT_ID) return false;
      if (current === id) return true;
      current = this.get(current)?.parent;
    }
    return true;
  }

  /**
   * R9: if two nodes claim one place, they are either the same node, or the one that the log does
   * not have there gets a conflict name.
   */
  separateNames(): readonly Adoption[] {
    const adoptions: Adoption[] = [];
    for (const id of [...this.#dirty.keys()]) {
      const node = this.#dirty.get(id);
      if (node === undefined) continue;
      const occupants = this.#occupants(node);
      if (occupants.length < 2) continue;
      const winner = this.#winner(node, occupants);
      for (const loser of occupants) {
        if (loser === winner) continue;
        if (this.#isAdoptable(loser, winner)) {
          this.#adopt(loser, winner, adoptions);
        } else if (this.#isEmptyAndNew(loser) && this.get(winner)?.content.kind === "file") {
          this.#set(loser, undefined);
        } else {
          this.#giveConflictName(loser, winner);
        }
      }
    }
    return adoptions;
  }

  /**
   * Adopts a directory along with all in it. Otherwise each level would want a plan of its own.
   */
  #adopt(loser: NodeId, winner: NodeId, adoptions: Adoption[]): void {
    const pending: Adoption[] = [{ local: loser, remote: winner }];
    for (const adoption of pending) {
      const { local, remote } = adoption;
      adoptions.push(adoption);
      const isDirectory = this.#dirty.get(local)?.content.kind === "directory";
      this.#set(local, undefined);
      for (const { id, name } of isDirectory ? this.#input.local.children(local) : []) {
        const child = this.#dirty.get(id);
        if (child?.parent !== local || child.name !== name) continue;
        const [other, more] = this.#occupants({ parent: remote, name });
        if (other === undefined || more !== undefined) continue;
        if (this.#isAdoptable(id, other)) pending.push({ local: id, remote: other });
      }
    }
  }

  /**
   * The node that the log has there; else the lowest id, which is the same on every device.
   */
  #winner(place: Place, occupants: readonly NodeId[]): NodeId {
    const inLog = occupants.find((id) => this.#isInLogAt(id, place));
    const winner = inLog ?? [...occupants].sort()[0];
    assert(winner !== undefined, "a place with a collision has an occupant");
    return winner;
  }

  /**
   * True if the disk's node is new to the log, the log's node is new to the disk, and a person
   * would call them the same. Then nothing is transferred; only the id changes.
   */
  #isAdoptable(loser: NodeId, winner: NodeId): boolean {
    const local = this.#input.local.get(loser);
    const remote = this.#input.remote.get(winner);
    return (
      local !== undefined &&
      remote !== undefined &&
      this.#input.remote.get(loser) === undefined &&
      this.#input.local.get(winner) === undefined &&
      (sameBytes(local.content, remote.content) ||
        isBeginning(local.content, remote.content) ||
        this.#isOutdated(loser, winner))
    );
  }

  /** R16: without a base, bytes that the log's node had earlier are no edit of it. */
  #isOutdated(id: NodeId, remote: NodeId): boolean {
    const [input, content] = [this.#input, this.#input.local.get(id)?.content];
    const isFile = content?.kind === "file" && input.remote.get(remote)?.content.kind === "file";
    const isUnknown = isFile && input.base.get(id) === undefined;
    return isUnknown && input.isEarlier?.(remote, content) === true;
  }

  /** True if no other device has heard of the node and there is nothing in it to keep. */
  #isEmptyAndNew(id: NodeId): boolean {
    const local = this.#input.local.get(id);
    const isNew = this.#input.remoteRow(id) === undefined;
    return isNew && local !== undefined && isEmptyFile(local.content);
  }

  #giveConflictName(loser: NodeId, winner: NodeId): void {
    const node = this.get(loser);
    assert(node !== undefined, "a loser is live");
    const name = this.freeConflictName(node);
    this.#set(loser, { ...node, name });
    this.conflictOrigins.set(loser, {
      node: winner,
      version: this.remoteVersion(winner),
    });
  }

  /**
   * R13: the name depends on the losing content alone. A counter is added only if other bytes have
   * that name already.
   */
  freeConflictName(node: NodeState): string {
    for (let attempt = 0; ; attempt += 1) {
      const name = conflictNameOf(node, this.#input.device, attempt);
      if (this.#isFree({ parent: node.parent, name })) return name;
    }
  }

  /** Reserves a name for bytes that have no node yet. */
  conflictCopyName(losing: NodeState): string | undefined {
    for (let attempt = 0; ; attempt += 1) {
      const name = conflictNameOf(losing, this.#input.device, attempt);
      const sibling = this.child(losing.parent, name);
      if (sibling !== undefined && sameBytes(sibling.content, losing.content)) return undefined;
      if (this.#isFree({ parent: losing.parent, name })) return name;
    }
  }

  remoteVersion(id: NodeId): Sequence {
    return this.#input.remote.get(id)?.contentVersion ?? 0;
  }

  #isFree(place: Place): boolean {
    return (
      this.#occupants(place).length === 0 &&
      this.#input.local.child(place.parent, place.name) === undefined &&
      this.#input.remote.child(place.parent, place.name) === undefined
    );
  }

  #occupants(place: Place): readonly NodeId[] {
    const result = [...(this.#places.get(placeKey(place)) ?? [])];
    // The log has one node in a place.
    if (result.some((id) => this.#isInLogAt(id, place))) return result;
    // A node that is not dirty has the same place in the remote tree as in the others.
    const still = this.#input.remote.child(place.parent, place.name);
    if (still !== undefined && !this.#dirty.has(still.id)) result.push(still.id);
    return result;
  }

  #isInLogAt(id: NodeId, place: Place): boolean {
    const remote = this.#input.remote.get(id);
    return remote !== undefined && samePlace(remote, place);
  }

  #set(id: NodeId, state: NodeState | undefined): void {
    const before = this.#dirty.get(id);
    if (before !== undefined) this.#places.get(placeKey(before))?.delete(id);
    this.#dirty.set(id, state);
    if (state === undefined) return;
    const key = placeKey(state);
    const ids = this.#places.get(key);
    if (ids === undefined) this.#places.set(key, new Set([id]));
    else ids.add(id);
  }
}

/** One of two files was caught between being made and being written: the other one's bytes win. */
function isBeginning(a: Content, b: Content): boolean {
  return a.kind === "file" && b.kind === "file" && (isEmptyFile(a) || isEmptyFile(b));
}

/** A parked node's own place means nothing, so the last agreed place stands for it. */
function unparked(node: NodeState, agreed: NodeState | undefined): NodeState {
  const parked = node.parent === PARKING_ID;
  const place = parked ? (agreed ?? { parent: ROOT_ID, name: node.name }) : node;
  return { id: node.id, parent: place.parent, name: place.name, content: node.content };
}

function conflictNameOf(node: NodeState, device: string, attempt: number): string {
  const { content, id, name } = node;
  switch (content.kind) {
    case "file": {
      const { mtimeNs, sha256: hash6Source } = content;
      return conflictName({ name, device, mtimeNs, hash6Source, attempt });
    }
    case "symlink": {
      const hash6Source = sha256(content.target);
      return conflictName({ name, device, mtimeNs: undefined, hash6Source, attempt });
    }
    case "directory":
      return conflictName({ name, device, mtimeNs: undefined, hash6Source: id, attempt });
  }
}
