/**
 * ApplyOverlay: the local tree as the disk is now, while a plan is being applied. It is the store's
 * tree overlaid with everything that was done since the last commit. It looks at no disk and writes
 * nothing.
 * Rules: S2, D5.
 */
import type { NodeId } from "../../core/identifier.ts";
import { type LocalNode, placeKey } from "../../core/node.ts";
import type { TreeView } from "../../core/tree.ts";

export class ApplyOverlay implements TreeView<LocalNode> {
  readonly #stored: TreeView<LocalNode>;
  /** undefined: gone. */
  readonly #changes = new Map<NodeId, LocalNode | undefined>();
  readonly #places = new Map<string, NodeId>();

  constructor(stored: TreeView<LocalNode>) {
    this.#stored = stored;
  }

  get(id: NodeId): LocalNode | undefined {
    return this.#changes.has(id) ? this.#changes.get(id) : this.#stored.get(id);
  }

  child(parent: NodeId, name: string): LocalNode | undefined {
    const overlaid = this.#places.get(placeKey({ parent, name }));
    if (overlaid !== undefined) return this.#changes.get(overlaid);
    const stored = this.#stored.child(parent, name);
    return stored === undefined || this.#changes.has(stored.id) ? undefined : stored;
  }

  children(parent: NodeId): readonly LocalNode[] {
    const nodes = this.#stored.children(parent).filter(({ id }) => !this.#changes.has(id));
    for (const node of this.#changes.values()) if (node?.parent === parent) nodes.push(node);
    return nodes;
  }

  put(node: LocalNode): void {
    this.#leave(node.id);
    this.#changes.set(node.id, node);
    this.#places.set(placeKey(node), node.id);
  }

  remove(id: NodeId): void {
    this.#leave(id);
    this.#changes.set(id, undefined);
  }

  get isEmpty(): boolean {
    return this.#changes.size === 0;
  }

  /** All nodes that were put or removed, in the order of each node's first change. */
  changes(): Iterable<[NodeId, LocalNode | undefined]> {
    return this.#changes;
  }

  #leave(id: NodeId): void {
    const before = this.#changes.get(id);
    if (before === undefined) return;
    // After an exchange the place may already be the other node's.
    const key = placeKey(before);
    if (this.#places.get(key) === id) this.#places.delete(key);
  }
}
