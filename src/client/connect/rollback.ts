/**
 * The same server has a log that does not contain this device's cursor, because it was restored
 * from an older backup. Rules: S5, S10, R11.
 *
 * The newest remembered cursor that lies on its log is the common point C. Then the remote tree is
 * read anew. If the restored server's state of a node is old (version <= C), the base becomes that
 * state. The disk differs from it, so the changes that the server lost are proposed again as
 * ordinary edits. What a base from before C that waits for later news says stays, bytes and place
 * each for itself. A node that the server changed after C keeps the base that it had here, if that
 * is from before C and nothing waits; else it has none, so it merges by union. Nothing is deleted
 * on either side.
 */

import { SyncedError } from "../../core/error.ts";
import type { Cursor } from "../../core/event.ts";
import { type NodeId, parseId, ROOT_ID } from "../../core/identifier.ts";
import type { BaseNode, LocalNode, RemoteNode } from "../../core/node.ts";
import type { StateStore } from "../../ports/state-store.ts";
import { KEPT, readKept, writeKept } from "../folder/kept-values.ts";
import type { ClientPorts } from "../folder/ports.ts";
import type { RemoteLog } from "./remote-log.ts";

export function isRejoining({ store }: Pick<ClientPorts, "store">): boolean {
  return readKept(store, KEPT.restoredSince) !== undefined;
}

/** Begins a re-join, or continues an interrupted one. Resolves when the log is caught up. */
export async function rejoinRestored(
  ports: ClientPorts,
  log: RemoteLog,
  signal: AbortSignal,
): Promise<void> {
  const { store } = ports;
  // A rejoin that was interrupted merges by union: meanwhile the disk may be another one.
  const agreed: Agreed = isRejoining(ports) ? new Map() : agreedIn(store);
  if (!isRejoining(ports)) await forget(ports, signal);
  try {
    await catchUpFromCommon(ports, log, signal);
  } catch (cause) {
    if (!isDiverged(cause)) throw cause;
    // The server was restored once more, while the tree was read or before that went on.
    await forget(ports, signal);
    await catchUpFromCommon(ports, log, signal);
  }
  const seq = readKept(store, KEPT.restoredSince) ?? 0;
  store.transaction(() => {
    for (const kept of keptBases(store)) {
      const base = baseOf(store, kept, seq);
      if (base !== undefined) store.putBase(base);
    }
    const apart = new Set(keptApart(store));
    for (const id of store.dirty()) if (!apart.has(id)) rebase(store, id, { seq, agreed });
    writeKept(store, KEPT.restoredSince, undefined);
    writeKept(store, KEPT.restoredFrom, undefined);
    writeKept(store, KEPT.restoredBases, undefined);
    writeKept(store, KEPT.restoredApart, undefined);
  });
}

/**
 * Versions up to C are compared with those of the log, so C must lie on the very log that was read.
 *
 * @throws {SyncedError} such that `isDiverged` if it does not
 */
async function catchUpFromCommon(
  ports: ClientPorts,
  log: RemoteLog,
  signal: AbortSignal,
): Promise<void> {
  await log.catchUp(signal);
  const [common] = readKept(ports.store, KEPT.restoredFrom) ?? [];
  if (common !== undefined) await ports.api.events({ after: common, limit: 1 }, signal);
}

async function forget(ports: ClientPorts, signal: AbortSignal): Promise<void> {
  const { store, observer } = ports;
  // Cursors since an earlier restore say nothing about the log before it.
  const known = isRejoining(ports)
    ? (readKept(store, KEPT.restoredFrom) ?? [])
    : store.cursorHistory();
  const from = await commonCursors(ports, known, signal);
  const seq = from[0]?.seq ?? 0;
  observer.emit({
    event: "notice",
    code: "server_restored",
    message:
      "The server was restored from an older copy: its log agrees with this device up to event " +
      `${seq} only. Nothing is deleted, and the server gets back what it lost`,
  });
  const waiting = [...keptBases(store), ...store.dirty().flatMap((id) => store.base.get(id) ?? [])];
  const kept = waiting.filter((node) => Math.min(node.contentVersion, node.placeVersion) <= seq);
  const apart = isRejoining(ports) ? keptApart(store) : apartIn(store);
  store.transaction(() => {
    store.clearBase();
    store.clearRemote();
    store.clearCursors();
    writeKept(store, KEPT.restoredSince, seq);
    writeKept(store, KEPT.restoredFrom, from);
    writeKept(store, KEPT.restoredBases, kept);
    writeKept(store, KEPT.restoredApart, apart);
  });
}

/**
 * Nodes that both sides have and that were about to merge by union. This disk never held the
 * server's state of them, so it is not their base now either.
 */
function apartIn({ dirty, base, local, remote }: StateStore): readonly NodeId[] {
  const isLive = (id: NodeId) => local.get(id) !== undefined && remote.get(id) !== undefined;
  return dirty().filter((id) => base.get(id) === undefined && isLive(id));
}

function keptApart(store: Pick<StateStore, "value">): readonly NodeId[] {
  const ids = readKept(store, KEPT.restoredApart) ?? [];
  return ids.map((id) => parseId<NodeId>(id));
}

/**
 * The last agreed states of nodes that waited for news, if their bytes or their place lie on the
 * server's log too. The device may have heard of a later version before C and not put it in place
 * yet. That is another device's news: with it as the base, the bytes here would pass for an edit of
 * it. These states are kept beside the trees until the log is read, because a base alone would say
 * that the server still has the node.
 */
function keptBases(store: Pick<StateStore, "value">): readonly BaseNode[] {
  return readKept(store, KEPT.restoredBases) ?? [];
}

/**
 * Bytes and place each for itself: what was agreed before C stays, and of the other one the server
 * has what it had before C.
 *
 * @returns undefined if others have set that other one since, so nobody knows what was agreed, or
 * if one side does not have the node any more.
 */
function baseOf(
  store: Pick<StateStore, "local" | "remote">,
  kept: BaseNode,
  seq: number,
): BaseNode | undefined {
  const remote = store.remote.get(kept.id);
  const local = store.local.get(kept.id);
  if (remote === undefined || local === undefined) return undefined;
  const bytes = kept.contentVersion <= seq ? kept : remote;
  if (bytes.contentVersion > seq) return undefined;
  const { content, contentVersion } = bytes;
  if (kept.placeVersion <= seq) return { ...kept, content, contentVersion };
  return { ...kept, content, contentVersion, ...placeBefore(remote, local, seq) };
}

/** If others have moved it since, this device's place is the one from which they moved it. */
function placeBefore(
  { parent, name, placeVersion }: RemoteNode,
  local: LocalNode,
  seq: number,
): Pick<BaseNode, "parent" | "name" | "placeVersion"> {
  if (placeVersion <= seq) return { parent, name, placeVersion };
  return { parent: local.parent, name: local.name, placeVersion };
}

/** The versions of nodes on which this device and the server agree in everything. */
type Agreed = ReadonlyMap<NodeId, Pick<BaseNode, "contentVersion" | "placeVersion">>;

function agreedIn({ base, dirty }: Pick<StateStore, "base" | "dirty">): Agreed {
  const waiting = new Set(dirty());
  const found = new Map<NodeId, Pick<BaseNode, "contentVersion" | "placeVersion">>();
  const directories: NodeId[] = [ROOT_ID];
  for (let parent = directories.pop(); parent !== undefined; parent = directories.pop()) {
    for (const { id, content, contentVersion, placeVersion } of base.children(parent)) {
      if (content.kind === "directory") directories.push(id);
      if (!waiting.has(id)) found.set(id, { contentVersion, placeVersion });
    }
  }
  return found;
}

/**
 * If the server has bytes from before C, this device's edits are based on them, wherever others
 * have put them since. If it has later ones, a node in which nothing waited is as the server had it
 * before C.
 */
function rebase(
  store: StateStore,
  id: NodeId,
  { seq, agreed }: { readonly seq: number; readonly agreed: Agreed },
): void {
  const remote = store.remote.get(id);
  const local = store.local.get(id);
  if (remote === undefined || local === undefined || store.base.get(id) !== undefined) return;
  const { identity, stamp } = local;
  if (remote.contentVersion > seq) {
    const before = agreed.get(id);
    if (before === undefined || Math.max(before.contentVersion, before.placeVersion) > seq) return;
    const { parent, name, content } = local;
    store.putBase({ id, parent, name, content, identity, stamp, ...before });
    return;
  }
  const { content, contentVersion } = remote;
  const place = placeBefore(remote, local, seq);
  store.putBase({ id, content, contentVersion, identity, stamp, ...place });
}

/**
 * All cursors before the first that lies on the server's log lie there, too, so halving finds it.
 *
 * @param cursors newest first
 * @returns those on the log
 */
async function commonCursors(
  { api }: Pick<ClientPorts, "api">,
  cursors: readonly Cursor[],
  signal: AbortSignal,
): Promise<readonly Cursor[]> {
  let [first, end] = [0, cursors.length];
  while (first < end) {
    const middle = (first + end) >> 1;
    const cursor = cursors[middle];
    if (cursor === undefined) break;
    try {
      await api.events({ after: cursor, limit: 1 }, signal);
      end = middle;
    } catch (cause) {
      if (!isDiverged(cause)) throw cause;
      first = middle + 1;
    }
  }
  return cursors.slice(first);
}

/** True if the server says, or its log shows, that the cursor is not on it. */
export function isDiverged(cause: unknown): cause is SyncedError {
  if (!(cause instanceof SyncedError)) return false;
  return ["log_diverged", "cursor_ahead", "cursor_expired"].includes(cause.code);
}
