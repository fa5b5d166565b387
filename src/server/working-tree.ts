/**
 * The part of a folder's tree that a batch touches. It is changed step by step, and the changes are
 * taken back if a group is refused. Rules: O3, O4.
 */
import { type NodeId, ROOT_ID } from "../core/identifier.ts";
import { PATH_DEPTH_MAX } from "../core/limits.ts";
import { type Place, placeKey, type RemoteNode } from "../core/node.ts";
import type { Loaded } from "../ports/metadata-store.ts";

/** The chain of a node's parents. `missing`: it leads to an id that no node has. */
export type Climb =
  | { readonly kind: "path"; readonly path: string; readonly depth: number }
  | { readonly kind: "cycle" }
  | { readonly kind: "too_deep" }
  | { readonly kind: "missing" };

export class WorkingTree {
  readonly #nodes = new Map<NodeId, RemoteNode>();
  /** Live nodes by place; more than one only within a group. */
  readonly #places = new Map<string, readonly NodeId[]>();
  /**
   * Live children of each directory that the load counted or that is new; others have no true
   * count.
   */
  readonly #childCounts: Map<NodeId, number>;
  readonly #touched = new Set<NodeId>();
  /** The live nodes of each directory, as far as they were loaded. Made when it is first needed. */
  #children: Map<NodeId, Set<NodeId>> | undefined;
  /** The states that `put` replaced since the last `commit`. */
  #undo: { readonly id: NodeId; readonly previous: RemoteNode | undefined }[] = [];

  constructor(loaded: Pick<Loaded, "nodes" | "childCounts">) {
    for (const node of loaded.nodes) this.#replace(node.id, node);
    // Set only now, because the store's counts include the nodes that were loaded.
    this.#childCounts = new Map(loaded.childCounts);
  }

  /** @returns the node, also if it is a tombstone. */
  get(id: NodeId): RemoteNode | undefined {
    return this.#nodes.get(id);
  }

  put(node: RemoteNode): void {
    this.#undo.push({ id: node.id, previous: this.#nodes.get(node.id) });
    this.#replace(node.id, node);
  }

  /** Keeps the changes. */
  commit(): void {
    for (const { id } of this.#undo) this.#touched.add(id);
    this.#undo = [];
  }

  /** Takes back all changes since the last `commit`. */
  rollBack(): void {
    for (const { id, previous } of this.#undo.reverse()) this.#replace(id, previous);
    this.#undo = [];
  }

  /** The nodes that were put and kept, in their present state. */
  *touched(): Generator<RemoteNode> {
    for (const id of this.#touched) {
      const node = this.#nodes.get(id);
      if (node !== undefined) yield node;
    }
  }

  /** @returns the number of live nodes at this place. */
  countAt(place: Place): number {
    return this.#places.get(placeKey(place))?.length ?? 0;
  }

  hasChildren(id: NodeId): boolean {
    return (this.#childCounts.get(id) ?? 0) > 0;
  }

  /** The live nodes directly below a directory, as far as they were loaded. */
  *children(id: NodeId): Generator<RemoteNode> {
    if (this.#children === undefined) {
      this.#children = new Map();
      for (const node of this.#nodes.values()) if (!node.deleted) this.#adopt(node);
    }
    for (const child of this.#children.get(id) ?? []) {
      const node = this.#nodes.get(child);
      if (node !== undefined) yield node;
    }
  }

  /** The node's path, taking all its ancestors for alive. */
  climb(node: RemoteNode): Climb {
    const names = [node.name];
    for (let id = node.parent; id !== ROOT_ID; ) {
      const parent = this.#nodes.get(id);
      if (parent === undefined) return { kind: "missing" };
      if (parent.id === node.id) return { kind: "cycle" };
      if (names.length > PATH_DEPTH_MAX) return { kind: this.#loops(node) ? "cycle" : "too_deep" };
      names.push(parent.name);
      id = parent.parent;
    }
    if (names.length > PATH_DEPTH_MAX) return { kind: "too_deep" };
    return { kind: "path", path: names.reverse().join("/"), depth: names.length };
  }

  #loops(node: RemoteNode): boolean {
    const seen = new Set<NodeId>();
    let id: NodeId | undefined = node.id;
    while (id !== undefined && id !== ROOT_ID) {
      if (seen.has(id)) return true;
      seen.add(id);
      id = this.#nodes.get(id)?.parent;
    }
    return false;
  }

  #replace(id: NodeId, next: RemoteNode | undefined): void {
    const previous = this.#nodes.get(id);
    if (previous !== undefined && !previous.deleted) this.#leave(previous);
    if (next === undefined) {
      this.#nodes.delete(id);
      return;
    }
    this.#nodes.set(id, next);
    if (!next.deleted) this.#enter(next);
  }

  #leave(node: RemoteNode): void {
    const key = placeKey(node);
    const others = (this.#places.get(key) ?? []).filter((id) => id !== node.id);
    if (others.length === 0) this.#places.delete(key);
    else this.#places.set(key, others);
    this.#count(node.parent, -1);
    this.#children?.get(node.parent)?.delete(node.id);
  }

  #enter(node: RemoteNode): void {
    const key = placeKey(node);
    this.#places.set(key, [...(this.#places.get(key) ?? []), node.id]);
    this.#count(node.parent, 1);
    this.#adopt(node);
  }

  #adopt({ id, parent }: RemoteNode): void {
    const known = this.#children?.get(parent);
    if (known === undefined) this.#children?.set(parent, new Set([id]));
    else known.add(id);
  }

  #count(parent: NodeId, change: number): void {
    this.#childCounts?.set(parent, (this.#childCounts.get(parent) ?? 0) + change);
  }
}
