/**
 * LogGate: lets a server's log into the state only if it is one that a server may write. Each event
 * must be what some op would have become, and the tree must be legal after each group. A log that
 * breaks a rule is refused as a whole, before any of it is stored. Rules: L7, O2, O3, N3, N4, N6.
 *
 * It trusts nothing that the server says about the tree: planning, applying and deleting rely on
 * parents that exist, on names that stand once, and on chains that end in the root.
 */
import { acceptedEvent, acceptedOp } from "../../core/accept.ts";
import { canonicalEvent } from "../../core/canonical.ts";
import { SyncedError } from "../../core/error.ts";
import type { Event } from "../../core/event.ts";
import { foldEvent } from "../../core/fold.ts";
import { type NodeId, PARKING_ID, ROOT_ID } from "../../core/identifier.ts";
import { OPS_PER_GROUP_MAX, PATH_BYTES_MAX, PATH_DEPTH_MAX } from "../../core/limits.ts";
import { type Place, placeKey, type RemoteNode } from "../../core/node.ts";
import { utf8LengthBytes } from "../../core/path.ts";
import type { Clock } from "../../ports/clock.ts";
import type { StateStore } from "../../ports/state-store.ts";
import { Pace } from "../folder/pace.ts";

interface GatePorts {
  readonly store: Pick<StateStore, "remote" | "remoteRow">;
  readonly clock: Clock;
}

/** How far below the root something stands: names, and bytes of its path. */
interface Depth {
  readonly names: number;
  readonly bytes: number;
}

const TOP: Depth = { names: 0, bytes: 0 };

/**
 * Checks events that follow the store's remote tree, whole groups only. Changes nothing.
 *
 * @throws {SyncedError} `protocol_violation`
 */
export async function checkEvents(
  ports: GatePorts,
  events: readonly Event[],
  signal: AbortSignal,
): Promise<void> {
  const tree = new ProposedTree(ports.store);
  const deepened = new Set<NodeId>();
  let group: Event[] = [];
  for (const event of events) {
    if (group.length >= OPS_PER_GROUP_MAX) throw illegal(event, "its group never ends");
    const before = tree.row(event.node);
    checkEvent(event, before);
    if (event.kind === "move" && event.content.kind === "directory") deepened.add(event.node);
    tree.put(foldEvent(event));
    group.push(event);
    if (!event.groupEnd) continue;
    for (const member of group) checkPlace(tree, member);
    group = [];
  }
  const walk = new DepthWalk(ports, tree, signal);
  for (const id of deepened) {
    const [was, is] = [depthOf(ports.store.remote, id), depthOf(tree, id)];
    if (is === undefined) continue;
    const isNoDeeper = was !== undefined && is.names <= was.names && is.bytes <= was.bytes;
    if (!isNoDeeper) await walk.below(id, deepened);
  }
}

/**
 * Checks a whole remote tree, as a snapshot brought it.
 *
 * @param count how many live nodes it has.
 * @throws {SyncedError} `protocol_violation`
 */
export async function checkTree(
  ports: GatePorts,
  count: number,
  signal: AbortSignal,
): Promise<void> {
  const walk = new DepthWalk(ports, ports.store.remote, signal);
  const found = await walk.below(ROOT_ID, new Set());
  // A node that the walk did not come to has no parent that is a live directory, or is in a cycle.
  if (found !== count) throw broken(`${count - found} nodes of it are not below its root`);
}

/** O2: an event is what an op became of the node as it was before. */
function checkEvent(event: Event, before: RemoteNode | undefined): void {
  const { node, parent, kind, content } = event;
  if (node === ROOT_ID || node === PARKING_ID) throw illegal(event, "it is about the root");
  if (parent === PARKING_ID) throw illegal(event, "its parent is no directory of the log");
  if (event.baseContent >= event.seq || event.basePlace >= event.seq) {
    throw illegal(event, "it is based on a later event");
  }
  if (before !== undefined && before.content.kind !== content.kind) {
    throw illegal(event, `its node is a ${before.content.kind} for life`);
  }
  const isAlive = before?.deleted === false;
  if (kind === "create") {
    if (isAlive) throw illegal(event, "its node exists");
    if (event.baseContent !== event.basePlace) throw illegal(event, "it has two bases");
    return;
  }
  if (!isAlive) throw illegal(event, "its node does not exist");
  const wanted = acceptedEvent(acceptedOp(event), before, event);
  if (canonicalEvent(wanted) !== canonicalEvent(event)) {
    throw illegal(event, "it does not follow from its node's state");
  }
}

/** O3, for one node that a group was about. */
function checkPlace(tree: ProposedTree, event: Event): void {
  const node = tree.row(event.node);
  if (node === undefined || event.kind === "modify") return;
  if (node.deleted) {
    if (tree.hasChild(node.id)) throw illegal(event, "a deleted directory has something in it");
    return;
  }
  if (tree.countAt(node) > 1) throw illegal(event, "two nodes have its name");
  let depth: Depth = { names: 1, bytes: utf8LengthBytes(node.name) };
  for (let id = node.parent; id !== ROOT_ID; ) {
    const parent = tree.get(id);
    if (parent === undefined) throw illegal(event, "it stands below no directory");
    if (parent.content.kind !== "directory") {
      throw illegal(event, `it stands below a ${parent.content.kind}`);
    }
    depth = below(depth, parent.name);
    // A cycle ends here, too.
    if (isTooDeep(depth)) throw illegal(event, "its path is too long or leads in a circle");
    id = parent.parent;
  }
}

/** The remote tree with the events so far. */
class ProposedTree {
  readonly #store: GatePorts["store"];
  readonly #changed = new Map<NodeId, RemoteNode>();
  /** Changed live nodes by place and by parent. */
  readonly #places = new Map<string, Set<NodeId>>();
  readonly #children = new Map<NodeId, Set<NodeId>>();

  constructor(store: GatePorts["store"]) {
    this.#store = store;
  }

  /** @returns the node, also if it is a tombstone. */
  row(id: NodeId): RemoteNode | undefined {
    return this.#changed.get(id) ?? this.#store.remoteRow(id);
  }

  get(id: NodeId): RemoteNode | undefined {
    const row = this.row(id);
    return row?.deleted === false ? row : undefined;
  }

  put(node: RemoteNode): void {
    const { id } = node;
    const before = this.#changed.get(id);
    if (before !== undefined) {
      this.#places.get(placeKey(before))?.delete(id);
      this.#children.get(before.parent)?.delete(id);
    }
    this.#changed.set(id, node);
    if (node.deleted) return;
    addTo(this.#places, placeKey(node), id);
    addTo(this.#children, node.parent, id);
  }

  /** How many live nodes have this place. */
  countAt(place: Place): number {
    const stored = this.#store.remote.child(place.parent, place.name);
    const isUnchanged = stored !== undefined && !this.#changed.has(stored.id);
    return (this.#places.get(placeKey(place))?.size ?? 0) + (isUnchanged ? 1 : 0);
  }

  hasChild(id: NodeId): boolean {
    if ((this.#children.get(id)?.size ?? 0) > 0) return true;
    return this.#store.remote.children(id).some((child) => !this.#changed.has(child.id));
  }

  children(id: NodeId): readonly RemoteNode[] {
    const stored = this.#store.remote.children(id).filter((child) => !this.#changed.has(child.id));
    return [
      ...stored,
      ...[...(this.#children.get(id) ?? [])].flatMap((one) => this.get(one) ?? []),
    ];
  }
}

type WalkedTree = Pick<StateStore["remote"], "get" | "children">;

/** Looks at everything below a directory: names that stand once, paths that are not too long. */
class DepthWalk {
  readonly #tree: WalkedTree;
  readonly #signal: AbortSignal;
  readonly #pace: Pace;

  constructor({ clock }: GatePorts, tree: WalkedTree, signal: AbortSignal) {
    this.#tree = tree;
    this.#signal = signal;
    this.#pace = new Pace(clock);
  }

  /**
   * @param others directories that are walked for themselves, and passed over here.
   * @returns how many nodes it found.
   */
  async below(id: NodeId, others: ReadonlySet<NodeId>): Promise<number> {
    const start = depthOf(this.#tree, id);
    if (start === undefined) return 0;
    let count = 0;
    const pending = [{ id, depth: start }];
    for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
      const names = new Set<string>();
      for (const child of this.#tree.children(next.id)) {
        const depth = below(next.depth, child.name);
        if (isTooDeep(depth)) throw broken(`a path of it is too long, at node ${child.id}`);
        if (names.has(child.name)) throw broken(`two nodes have the place of ${child.id}`);
        names.add(child.name);
        if (child.id === ROOT_ID || child.id === PARKING_ID) throw broken("its root has a name");
        count += 1;
        const isWalked = child.content.kind === "directory" && !others.has(child.id);
        if (isWalked) pending.push({ id: child.id, depth });
        if (this.#pace.step()) await this.#pace.rest();
      }
      this.#signal.throwIfAborted();
    }
    return count;
  }
}

/** @returns undefined if the node is gone. The chain of its parents was looked at before. */
function depthOf(tree: Pick<WalkedTree, "get">, start: NodeId): Depth | undefined {
  let depth = TOP;
  for (let id = start; id !== ROOT_ID; ) {
    const node = tree.get(id);
    if (node === undefined) return undefined;
    depth = below(depth, node.name);
    id = node.parent;
  }
  return depth;
}

function below({ names, bytes }: Depth, name: string): Depth {
  return { names: names + 1, bytes: bytes + utf8LengthBytes(name) + (names > 0 ? 1 : 0) };
}

function isTooDeep({ names, bytes }: Depth): boolean {
  return names > PATH_DEPTH_MAX || bytes > PATH_BYTES_MAX;
}

function addTo<Key>(sets: Map<Key, Set<NodeId>>, key: Key, id: NodeId): void {
  const set = sets.get(key);
  if (set === undefined) sets.set(key, new Set([id]));
  else set.add(id);
}

function illegal({ seq, kind, node }: Event, why: string): SyncedError {
  return broken(`event ${seq}, ${kind} of node ${node}, is not legal: ${why}`);
}

function broken(why: string): SyncedError {
  return new SyncedError("protocol_violation", `Cannot use the server's log: ${why}`);
}
