/**
 * Proof: checks that "in sync" is true of every node that the state knows. Rules: Y8, I43.
 *
 * If local, base and remote differ in a node, it must be dirty or ignored here. Otherwise nobody
 * would ever look at it again, and the client would say "in sync" of a folder that is not. That is
 * a bug in synced. It is reported with the node's rows, so that somebody can find it, and healed by
 * planning anew.
 */

import type { NodeId } from "../core/identifier.ts";
import { type NodeState, sameContent, samePlace } from "../core/node.ts";
import { pathOf } from "../core/tree.ts";
import type { StateStore } from "../ports/state-store.ts";
import { KEPT, writeKept } from "./folder/kept-values.ts";
import type { ClientPorts } from "./folder/ports.ts";

/** Enough rows to see what they have in common. */
const KEPT_MAX = 20;

/**
 * Call it at rest after a full scan. The cost grows with the number of nodes that differ from the
 * base.
 *
 * @param ignores tells whether this device ignores that path.
 * @returns true if all is well. Otherwise the nodes that were found are dirty now.
 */
export function proveInSync(
  { store, observer, clock }: Pick<ClientPorts, "store" | "observer" | "clock">,
  ignores: (path: string, isDirectory: boolean) => boolean,
): boolean {
  const strays = store.overlaid().filter((id) => isStray(store, id, ignores));
  if (strays.length === 0) return true;
  const rows = strays.slice(0, KEPT_MAX).map((id) => ({
    base: store.base.get(id),
    local: store.local.get(id),
    remote: store.remoteRow(id),
  }));
  store.transaction(() => {
    writeKept(store, KEPT.stray, { atMs: clock.now(), count: strays.length, rows });
    for (const id of strays) store.markDirty(id);
  });
  const [first] = strays;
  const path =
    first === undefined ? undefined : (pathOf(store.local, first) ?? pathOf(store.remote, first));
  const message =
    `This is a bug in synced, please report it: ${strays.length} entries, "${path ?? first}" among ` +
    "them, were taken for in sync and are not; they are looked at again now. Their rows are in " +
    `.synced/state.db under "${KEPT.stray.key}"`;
  observer.emit({ event: "error", code: "false_in_sync", message });
  return false;
}

function isStray(
  store: StateStore,
  id: NodeId,
  ignores: (path: string, isDirectory: boolean) => boolean,
): boolean {
  const [base, local, remote] = [store.base, store.local, store.remote].map((tree) => tree.get(id));
  if (isSame(base, local) && isSame(base, remote)) return false;
  if (base !== undefined || local !== undefined || remote === undefined) return true;
  const path = pathOf(store.remote, id);
  return path === undefined || !ignores(path, remote.content.kind === "directory");
}

function isSame(a: NodeState | undefined, b: NodeState | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return samePlace(a, b) && sameContent(a.content, b.content);
}
