/**
 * DirtySlice: chooses the dirty nodes that are planned together. Rules: R8, R9, R14, G2, Y10, I42.
 *
 * A plan takes about 4 KB a node while it is made. A first sync of a million files at once would
 * take 4 GB, and two minutes in which nothing else happens. So only some of the nodes that one side
 * alone has, without a base, are planned at a time; in a first sync that is all of them. All others
 * are always planned together, so that the guards see every deletion and every overwriting at once.
 */
import { type NodeId, ROOT_ID } from "../../core/identifier.ts";
import type { Place } from "../../core/node.ts";
import type { StateStore } from "../../ports/state-store.ts";

export interface DirtySlice {
  readonly ids: readonly NodeId[];
  readonly isWhole: boolean;
}

/** @param newMax the largest number of new nodes of each side. */
export function sliceOfDirty(store: StateStore, newMax: number): DirtySlice {
  if (store.dirtyCount() <= newMax) return { ids: store.dirty(), isWhole: true };
  const slice = new Set(store.dirtySome(newMax));
  // The walk over the set also meets members that are added meanwhile.
  for (const id of slice) for (const other of boundTo(store, id)) slice.add(other);
  return { ids: [...slice], isWhole: false };
}

/**
 * Nodes that may not be left out if this node is planned: the node that stands where it stood or
 * will stand, the directory that it will be in, and the nodes that keep a deleted directory alive.
 * Reconcile itself finds the directories above it here, and the node that the log has in its place.
 */
function* boundTo(store: StateStore, id: NodeId): Generator<NodeId> {
  const base = store.base.get(id);
  const remote = store.remote.get(id);
  for (const place of [base, remote]) {
    const occupant = place === undefined ? undefined : occupantOf(store, place);
    if (occupant !== undefined && occupant !== id) yield occupant;
  }
  if (remote !== undefined) {
    const { parent } = remote;
    if (parent !== ROOT_ID && store.local.get(parent) === undefined) yield parent;
  } else if (base?.content.kind === "directory") {
    for (const child of store.local.children(id)) yield child.id;
  }
}

function occupantOf({ local }: StateStore, { parent, name }: Place): NodeId | undefined {
  return local.child(parent, name)?.id;
}
