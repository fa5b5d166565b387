/**
 * DirtySlice: which dirty nodes are planned together. Rules: R8, R9, R14, G2, Y10, I42.
 *
 * A plan takes about 4 KB a node while it is made: a first sync of a million files at once would
 * take 4 GB, and two minutes in which nothing else happens. So of the nodes that only one side has
 * and no base, which is all in a first sync, only some are planned at a time. All others are always
 * planned together: the guards see every deletion and every overwriting at once.
 */
import { type NodeId, ROOT_ID } from "../../core/identifier.ts";
import type { Place } from "../../core/node.ts";
import type { StateStore } from "../../ports/state-store.ts";

export interface DirtySlice {
  readonly ids: readonly NodeId[];
  readonly isWhole: boolean;
}

/** @param newMax new nodes of each side. */
export function sliceOfDirty(store: StateStore, newMax: number): DirtySlice {
  if (store.dirtyCount() <= newMax) return { ids: store.dirty(), isWhole: true };
  const slice = new Set(store.dirtySome(newMax));
  // A set's walk meets what is added meanwhile.
  for (const id of slice) for (const other of boundTo(store, id)) slice.add(other);
  return { ids: [...slice], isWhole: false };
}

/**
 * What may not be left out where this node is planned: who stands where it stood or will stand, the
 * directory that it will be in, and what keeps a deleted directory alive. The directories above it
 * here, and who the log has in its place, reconcile finds by itself.
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
