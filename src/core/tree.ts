/**
 * TreeView reads a tree synchronously; this file also has its in-memory implementation. Rules: T1.
 * The SQLite implementation is behind the StateStore port and passes the same contract suite.
 */

import { type NodeId, PARKING_ID, ROOT_ID } from "./identifier.ts";
import type { NodeState, Place } from "./node.ts";
import { PARKING_DIRECTORY } from "./state-directory.ts";

/** Reads one tree. Only live nodes are visible; the root itself has no row. */
export interface TreeView<Node extends NodeState = NodeState> {
  get(id: NodeId): Node | undefined;
  /** The live node of that name below `parent`. */
  child(parent: NodeId, name: string): Node | undefined;
  /** All live nodes directly below `parent`, in an unspecified but repeatable order. */
  children(parent: NodeId): readonly Node[];
}

/**
 * A mutable tree in memory. `put` replaces by id. The caller must never put two live nodes in one
 * place.
 */
export class MemoryTree<Node extends NodeState = NodeState> implements TreeView<Node> {
  readonly #nodes = new Map<NodeId, Node>();
  readonly #children = new Map<NodeId, Map<string, NodeId>>();

  constructor(nodes: Iterable<Node> = []) {
    for (const node of nodes) this.put(node);
  }

  get(id: NodeId): Node | undefined {
    return this.#nodes.get(id);
  }

  child(parent: NodeId, name: string): Node | undefined {
    const id = this.#children.get(parent)?.get(name);
    return id === undefined ? undefined : this.#nodes.get(id);
  }

  children(parent: NodeId): readonly Node[] {
    const result: Node[] = [];
    for (const id of this.#children.get(parent)?.values() ?? []) {
      const node = this.#nodes.get(id);
      if (node !== undefined) result.push(node);
    }
    return result;
  }

  nodes(): IterableIterator<Node> {
    return this.#nodes.values();
  }

  put(node: Node): void {
    this.remove(node.id);
    this.#nodes.set(node.id, node);
    const names = this.#children.get(node.parent);
    if (names === undefined) this.#children.set(node.parent, new Map([[node.name, node.id]]));
    else names.set(node.name, node.id);
  }

  remove(id: NodeId): void {
    const node = this.#nodes.get(id);
    if (node === undefined) return;
    this.#nodes.delete(id);
    const names = this.#children.get(node.parent);
    if (names?.get(node.name) === id) names.delete(node.name);
  }
}

/** Says where each node stands. */
interface Places {
  get(id: NodeId): Place | undefined;
}

/**
 * The path of a node, "" for the root. A parked node's path leads through the parking directory.
 *
 * @returns undefined if an ancestor is missing or the parents form a cycle.
 */
export function pathOf(tree: Places, id: NodeId): string | undefined {
  const names: string[] = [];
  let current = id;
  while (current !== ROOT_ID) {
    if (current === PARKING_ID) {
      names.push(PARKING_DIRECTORY);
      break;
    }
    const node = tree.get(current);
    if (node === undefined || names.length > DEPTH_MAX) return undefined;
    names.push(node.name);
    current = node.parent;
  }
  return names.reverse().join("/");
}

/** No legal tree is so deep; a longer walk is in a cycle. */
const DEPTH_MAX = 4096;
