/**
 * ScanOverlay: the local tree as the running scan believes it to be, that is the store's tree
 * overlaid with findings that are not written yet. It writes them in batches in which no two nodes
 * share a place and every parent is there. It does not look at the disk. Rules: A1, A4, I31.
 */
import { assert } from "../../core/error.ts";
import { type NodeId, ROOT_ID } from "../../core/identifier.ts";
import type { EncodedManifestObject } from "../../core/manifest.ts";
import { type LocalNode, placeKey, sameContent, samePlace } from "../../core/node.ts";
import type { TreeView } from "../../core/tree.ts";
import type { StateStore } from "../../ports/state-store.ts";

/** One node as the scan found it. */
export interface Finding {
  readonly node: LocalNode;
  /** The nearest directory above it that is also only overlaid, and so must be written first. */
  readonly under?: NodeId | undefined;
  /** True if the store's local tree is known not to have the node. @default false */
  readonly isFresh?: boolean;
  /** Manifest objects of its content that the store may not have yet. */
  readonly objects?: readonly EncodedManifestObject[];
}

interface Change extends Finding {
  /** The node that has this place in the store. It must leave in the same transaction. */
  readonly displaces: NodeId | undefined;
  /** The place where the store has it, if that is another one. */
  readonly leaves: string | undefined;
  /** True if place or content differ from the store's; false if only identity or stamp do. */
  readonly isReal: boolean;
}

export interface OverlayHearer {
  /** A node was written, wherever it is. */
  placed(id: NodeId): void;
  /** Within the transaction: a file is new. @default nobody hears of it */
  readonly born?: ((id: NodeId) => void) | undefined;
}

type Farewell = "remove" | "forget";

export class ScanOverlay implements TreeView<LocalNode> {
  readonly #store: StateStore;
  readonly #heard: OverlayHearer;
  readonly #changes = new Map<NodeId, Change>();
  readonly #gone = new Map<NodeId, Farewell>();
  /** Overlaid nodes by their new places. */
  readonly #places = new Map<NodeId, Map<string, NodeId>>();
  /** Overlaid nodes by the places where the store still has them. */
  readonly #leaving = new Map<string, NodeId>();
  readonly #identities = new Map<string, NodeId>();
  #blockedCount = 0;
  #written = 0;

  constructor(store: StateStore, heard: OverlayHearer) {
    this.#store = store;
    this.#heard = heard;
  }

  /** How many of the nodes written so far changed place or content, or went. */
  get written(): number {
    return this.#written;
  }

  /** How many nodes wait to be written, without those that could not be written last time. */
  get fresh(): number {
    return this.#changes.size + this.#gone.size - this.#blockedCount;
  }

  has(id: NodeId): boolean {
    return this.#changes.has(id);
  }

  get(id: NodeId): LocalNode | undefined {
    if (this.#gone.has(id)) return undefined;
    return this.#changes.get(id)?.node ?? this.#store.local.get(id);
  }

  child(parent: NodeId, name: string): LocalNode | undefined {
    const overlaid = this.#places.get(parent)?.get(name);
    if (overlaid !== undefined) return this.#changes.get(overlaid)?.node;
    const node = this.#store.local.child(parent, name);
    if (node === undefined || this.#gone.has(node.id) || this.#changes.has(node.id)) {
      return undefined;
    }
    return node;
  }

  children(parent: NodeId): readonly LocalNode[] {
    const stored = this.#store.local.children(parent);
    if (this.#changes.size === 0 && this.#gone.size === 0) return stored;
    const overlaid = this.#places.get(parent);
    const nodes = stored.filter(
      ({ id, name }) => !this.#changes.has(id) && !this.#gone.has(id) && !overlaid?.has(name),
    );
    for (const id of overlaid?.values() ?? []) {
      const change = this.#changes.get(id);
      if (change !== undefined) nodes.push(change.node);
    }
    return nodes;
  }

  /**
   * The node with that identity. A node that this scan saw comes before one that the store
   * remembers.
   */
  byIdentity(identity: string): LocalNode | undefined {
    const overlaid = this.#identities.get(identity);
    if (overlaid !== undefined) return this.#changes.get(overlaid)?.node;
    const node = this.#store.localByIdentity(identity);
    // An overlaid node that has another identity now is no longer meant by this one.
    if (node === undefined || this.#gone.has(node.id) || this.#changes.has(node.id)) {
      return undefined;
    }
    return node;
  }

  /** True if neither the base nor the server knows the node. Then nobody has to hear of its end. */
  isOnlyLocal(id: NodeId): boolean {
    return this.#store.base.get(id) === undefined && this.#store.remoteRow(id) === undefined;
  }

  put(finding: Finding): void {
    const { node } = finding;
    const overlaid = this.#places.get(node.parent)?.get(node.name);
    if (overlaid !== undefined && overlaid !== node.id) this.#cancel(overlaid);
    this.#cancel(node.id);
    this.#gone.delete(node.id);

    const stored = finding.isFresh === true ? undefined : this.#store.local.get(node.id);
    const moves = stored === undefined || !samePlace(stored, node);
    const displaces = moves ? this.#occupant(node) : undefined;
    const leaves = stored !== undefined && moves ? placeKey(stored) : undefined;
    const isReal = moves || !sameContent(stored.content, node.content);
    this.#changes.set(node.id, { ...finding, displaces, leaves, isReal });
    if (leaves !== undefined) this.#leaving.set(leaves, node.id);
    this.#identities.set(node.identity, node.id);
    const names = this.#places.get(node.parent);
    if (names === undefined) this.#places.set(node.parent, new Map([[node.name, node.id]]));
    else names.set(node.name, node.id);
  }

  /** Ends the node at once. Its children must be gone before. */
  remove(id: NodeId, farewell: Farewell = "remove"): void {
    this.#cancel(id);
    this.#gone.set(id, farewell);
  }

  /** The nodes below `id` in this overlay, children before their parents, and `id` last. */
  subtree(id: NodeId): NodeId[] {
    const found: NodeId[] = [];
    const pending = [id];
    for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
      found.push(next);
      for (const child of this.children(next)) pending.push(child.id);
    }
    return found.reverse();
  }

  /**
   * Nodes that could not be removed, because something below them was found elsewhere and could not
   * be written there.
   */
  unremoved(): NodeId[] {
    return [...this.#gone.keys()];
  }

  /** Nodes that could not be written, because their places are not free. */
  blocked(): LocalNode[] {
    return [...this.#changes.values()].map((change) => change.node);
  }

  /**
   * Writes everything that can be written, in one transaction. The rest waits for another node to
   * leave its place, or for a directory above it.
   *
   * @param lost nodes whose disappearance counts now; their subtrees go too. A node above something
   * that cannot be written yet is spared.
   * @param wasSeen tells of which of them the going was seen.
   * @returns those of `lost` that are gone.
   */
  write(lost: readonly NodeId[] = [], wasSeen: (id: NodeId) => boolean = () => false): NodeId[] {
    let leaving = lost.filter((id) => this.#store.local.get(id) !== undefined);
    let gone = new Map(this.#gone);
    for (;;) {
      const doomed = this.#doomed(leaving);
      const ready = this.#ready((id) => doomed.has(id) || gone.has(id));
      const spared = this.#aboveBlocked(ready);
      const count = leaving.length + gone.size;
      leaving = leaving.filter((id) => !spared.has(id));
      gone = new Map([...gone].filter(([id]) => !spared.has(id)));
      if (leaving.length + gone.size < count) continue;
      if (ready.size + doomed.size + gone.size > 0) {
        const seen = this.#doomed(leaving.filter(wasSeen));
        this.#commit(gone, { doomed, seen }, ready);
      }
      this.#blockedCount = this.#changes.size + this.#gone.size;
      return leaving;
    }
  }

  /** Drops a node's change, and the changes that cannot be written without it. */
  #cancel(id: NodeId): void {
    const change = this.#changes.get(id);
    if (change === undefined) return;
    this.#drop(id, change);
    if (this.#store.local.get(id) !== undefined) return;
    for (const [other, { under }] of [...this.#changes]) if (under === id) this.#cancel(other);
  }

  #drop(id: NodeId, { node, leaves }: Change): void {
    this.#changes.delete(id);
    this.#places.get(node.parent)?.delete(node.name);
    if (this.#identities.get(node.identity) === id) this.#identities.delete(node.identity);
    if (leaves !== undefined) this.#leaving.delete(leaves);
  }

  /** The node that has the place in the store, whatever is overlaid. */
  #occupant(node: LocalNode): NodeId | undefined {
    const leaver = this.#leaving.get(placeKey(node));
    if (leaver !== undefined && leaver !== node.id) return leaver;
    const stored = this.#store.local.child(node.parent, node.name);
    return stored === undefined || stored.id === node.id ? undefined : stored.id;
  }

  /**
   * The subtrees of these in the store, children first, without nodes that this scan found
   * elsewhere.
   */
  #doomed(roots: readonly NodeId[]): Set<NodeId> {
    const doomed: NodeId[] = [];
    const pending = [...roots];
    const seen = new Set(roots);
    for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
      if (this.#changes.has(next)) continue;
      doomed.push(next);
      for (const child of this.#store.local.children(next)) {
        if (seen.has(child.id)) continue;
        seen.add(child.id);
        pending.push(child.id);
      }
    }
    return new Set(doomed.reverse());
  }

  /**
   * The largest set of changes that leaves a valid tree. It begins with all and drops those that
   * cannot stay.
   */
  #ready(ends: (id: NodeId) => boolean): Set<NodeId> {
    const ready = new Set(this.#changes.keys());
    const leaves = (id: NodeId) => ready.has(id) || ends(id);
    for (let before = -1; before !== ready.size; ) {
      before = ready.size;
      for (const id of ready) {
        const change = this.#changes.get(id);
        assert(change !== undefined, "what is ready is overlaid");
        const { displaces, under } = change;
        const isPlaceFree = displaces === undefined || leaves(displaces);
        const isParentThere = under === undefined || ready.has(under) || !this.#changes.has(under);
        if (!isPlaceFree || !isParentThere || ends(change.node.parent)) ready.delete(id);
      }
    }
    return ready;
  }

  /** Every node of the store that is above a change which cannot be written. */
  #aboveBlocked(ready: ReadonlySet<NodeId>): Set<NodeId> {
    const above = new Set<NodeId>();
    for (const id of this.#changes.keys()) {
      if (ready.has(id)) continue;
      let next = this.#store.local.get(id)?.parent;
      while (next !== undefined && next !== ROOT_ID && !above.has(next)) {
        above.add(next);
        next = this.#store.local.get(next)?.parent;
      }
    }
    return above;
  }

  #commit(
    gone: ReadonlyMap<NodeId, Farewell>,
    { doomed, seen }: { readonly doomed: ReadonlySet<NodeId>; readonly seen: ReadonlySet<NodeId> },
    ready: ReadonlySet<NodeId>,
  ): void {
    const store = this.#store;
    // If a power cut takes some of it back, the scan of the next start finds it again.
    store.transaction(() => {
      for (const [id, farewell] of gone) {
        if (farewell === "forget") store.forget(id);
        else store.removeLocal(id);
      }
      for (const id of doomed) store.removeLocal(id, seen.has(id));
      for (const id of ready) {
        const change = this.#changes.get(id);
        assert(change !== undefined, "what is ready is overlaid");
        for (const { digest, bytes } of change.objects ?? []) store.putManifest(digest, bytes);
        if (this.#isBorn(change.node)) this.#heard.born?.(id);
        store.putLocal(change.node);
      }
    }, "normal");
    this.#written += gone.size + doomed.size;
    for (const id of gone.keys()) this.#gone.delete(id);
    for (const id of ready) {
      const change = this.#changes.get(id);
      if (change === undefined) continue;
      if (change.isReal) this.#written += 1;
      this.#drop(id, change);
      this.#heard.placed(id);
    }
  }

  #isBorn({ id, content }: LocalNode): boolean {
    if (this.#heard.born === undefined || content.kind === "directory") return false;
    return this.#store.local.get(id) === undefined;
  }
}
