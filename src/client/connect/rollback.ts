/**
 * The same server with a log that does not contain this device's cursor: it was restored from an
 * older backup. Rules: S5, S10, R11.
 *
 * The newest remembered cursor that lies on its log is the common point C. Then the remote tree is
 * read anew, and the base becomes what the restored server says wherever that is the server's old
 * state (version <= C): the disk differs from it, so what the server lost is proposed again as
 * ordinary edits. A base from before C that waits for what came after it stays. Whatever the server
 * changed after C has no base: it merges by union. Nothing is deleted on either side.
 */
import { SyncedError } from "../../core/error.ts";
import type { Cursor } from "../../core/event.ts";
import type { NodeId } from "../../core/identifier.ts";
import type { BaseNode } from "../../core/node.ts";
import type { StateStore } from "../../ports/state-store.ts";
import type { ClientPorts } from "../folder/ports.ts";
import type { RemoteLog } from "./remote-log.ts";

/** Set while the tree is read anew: after a crash the re-join goes on from here. */
const RESTORED_SINCE_KEY = "restoredSince";
const KEPT_BASES_KEY = "restoredBases";

export function isRejoining({ store }: Pick<ClientPorts, "store">): boolean {
  return typeof store.value(RESTORED_SINCE_KEY) === "number";
}

/** Begins a re-join, or goes on with one that was interrupted. Resolves with the log caught up. */
export async function rejoinRestored(
  ports: ClientPorts,
  log: RemoteLog,
  signal: AbortSignal,
): Promise<void> {
  const { store } = ports;
  if (!isRejoining(ports)) await forget(ports, signal);
  try {
    await log.catchUp(signal);
  } catch (cause) {
    if (!isDiverged(cause)) throw cause;
    // Restored once more, while the tree was read anew.
    await forget(ports, signal);
    await log.catchUp(signal);
  }
  const seq = Number(store.value(RESTORED_SINCE_KEY));
  store.transaction(() => {
    for (const base of keptBases(store)) {
      const { id } = base;
      if (store.remote.get(id) !== undefined && store.local.get(id) !== undefined)
        store.putBase(base);
    }
    for (const id of store.dirty()) rebase(store, id, seq);
    store.setValue(RESTORED_SINCE_KEY, undefined);
    store.setValue(KEPT_BASES_KEY, undefined);
  });
}

async function forget(ports: ClientPorts, signal: AbortSignal): Promise<void> {
  const { store, observer } = ports;
  const common = (await findCommonCursor(ports, signal))?.seq ?? 0;
  // The cursors since an earlier restore say nothing of what was before it.
  const since = store.value(RESTORED_SINCE_KEY);
  const seq = typeof since === "number" ? Math.min(since, common) : common;
  observer.emit({
    event: "notice",
    code: "server_restored",
    message:
      "The server was restored from an older copy: its log agrees with this device up to event " +
      `${seq} only; nothing is deleted, and what the server lost is given back`,
  });
  const waiting = [...keptBases(store), ...store.dirty().flatMap((id) => store.base.get(id) ?? [])];
  const kept = waiting.filter((node) => Math.max(node.contentVersion, node.placeVersion) <= seq);
  store.transaction(() => {
    store.clearBase();
    store.clearRemote();
    store.clearCursors();
    store.setValue(RESTORED_SINCE_KEY, seq);
    store.setValue(KEPT_BASES_KEY, kept);
  });
}

/**
 * What this device last agreed on of nodes that waited for news, where that lies on the server's
 * log too. A later version that it has heard of before C, and not put in place yet, is somebody
 * else's news: with that for a base, what stands here would pass for an edit of it. Kept beside the
 * trees until the log is read: a base alone would say that the server still has the node.
 */
function keptBases(store: Pick<StateStore, "value">): readonly BaseNode[] {
  const kept = store.value(KEPT_BASES_KEY);
  return areBases(kept) ? kept : [];
}

/** Only `forget` writes the value. */
function areBases(value: unknown): value is readonly BaseNode[] {
  return Array.isArray(value);
}

/**
 * Where the server has bytes from before C, they are what this device's edits are based on,
 * wherever others have put them since.
 */
function rebase(store: StateStore, id: NodeId, seq: number): void {
  const remote = store.remote.get(id);
  const local = store.local.get(id);
  if (remote === undefined || local === undefined || store.base.get(id) !== undefined) return;
  if (remote.contentVersion > seq) return;
  const { content, contentVersion, placeVersion } = remote;
  // Where others have moved it since, this device's place is the one that they moved it from.
  const { parent, name } = placeVersion > seq ? local : remote;
  const { identity, stamp } = local;
  store.putBase({ id, parent, name, content, contentVersion, placeVersion, identity, stamp });
}

/** All before it lie on the server's log too, and none after it: found by halving. */
async function findCommonCursor(
  { store, api }: ClientPorts,
  signal: AbortSignal,
): Promise<Cursor | undefined> {
  const cursors = store.cursorHistory();
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
  return cursors[first];
}

/** The server says, or its log shows, that the cursor is not on it. */
export function isDiverged(cause: unknown): cause is SyncedError {
  if (!(cause instanceof SyncedError)) return false;
  return ["log_diverged", "cursor_ahead", "cursor_expired"].includes(cause.code);
}
