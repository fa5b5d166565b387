/**
 * RecoverUnrecorded: records what was done on the disk but not recorded, because the process ended
 * in between. Without it, if the log has gone on meanwhile, what was done would pass for a change
 * of this device's user: a new entry would become a conflict copy, and a rename that somebody took
 * back would be done again.
 * Rules: D7, D12, D23, S2, I14.
 */
import type { NodeId } from "../../core/identifier.ts";
import { mergeNode } from "../../core/merge.ts";
import {
  type Content,
  type LocalNode,
  type RemoteNode,
  sameBytes,
  sameContent,
  samePlace,
} from "../../core/node.ts";
import { pathOf } from "../../core/tree.ts";
import { type FileSystem, FileSystemError, type Stat } from "../../ports/filesystem.ts";
import type { StateStore } from "../../ports/state-store.ts";
import { shownMtime } from "../folder/shown-time.ts";
import { statExactly } from "../folder/spelling.ts";
import { ApplyBatch, type ApplyPorts } from "./batch.ts";
import { digestOf } from "./displaced.ts";
import { placedByNote } from "./placing.ts";
import { recordNoted } from "./recover-noted.ts";

/**
 * Call it at the start, before news is pulled: what was wanted then tells what was done.
 *
 * @throws {FileSystemError} if something cannot be made durable
 */
export async function recoverUnrecorded(
  ports: ApplyPorts,
  options: { readonly deviceName: string },
): Promise<void> {
  const { store } = ports;
  const batch = new ApplyBatch(ports, options.deviceName);
  const placed = placedByNote(ports);
  batch.isPlacing = placed.files.size > 0 || placed.moved.size > 0;
  const dirty = store.dirty();
  let waiting = dirty.filter((id) => mayStandUnrecorded(ports, id) || isToMove(store, id));
  // A directory comes before its entries.
  for (let count = -1; count !== waiting.length; ) {
    count = waiting.length;
    const moved = recordMoved(batch, waiting);
    const missed: NodeId[] = [];
    for (const id of waiting)
      if (!moved.has(id) && !(await recover(batch, id, placed.files.get(id)))) missed.push(id);
    waiting = missed;
  }
  await recordNoted(batch, dirty, placed);
  for (const id of dirty) await recordMetadata(batch, id);
  recordRemoved(batch, dirty);
  await batch.commit();
}

function mayStandUnrecorded({ store, fs }: ApplyPorts, id: NodeId): boolean {
  const local = store.local.get(id);
  if (local === undefined) return store.base.get(id) === undefined;
  const former = pathOf(store.local, id);
  if (local.content.kind !== "directory" || former === undefined) return false;
  return lookAt(fs, former) === "absent";
}

function isToMove({ local, remote }: StateStore, id: NodeId): boolean {
  const [here, there] = [local.get(id), remote.get(id)];
  return here !== undefined && there !== undefined && !samePlace(here, there);
}

/**
 * Records nodes that stand where the log wanted them, and what they traded places with on the way.
 * If a known node of another place is still in the way, the scan must find out where that is.
 *
 * @returns the nodes that are recorded now
 */
function recordMoved(batch: ApplyBatch, waiting: readonly NodeId[]): ReadonlySet<NodeId> {
  const found = new Map<NodeId, LocalNode>();
  for (const id of waiting) {
    const node = movedNode(batch, id);
    if (node !== undefined) found.set(id, node);
  }
  const traded = tradedNodes(batch, waiting, found);
  for (const node of traded) found.set(node.id, node);
  for (let count = -1; count !== found.size; ) {
    count = found.size;
    for (const [id, { parent, name }] of found) {
      const occupant = batch.overlay.child(parent, name)?.id ?? id;
      if (!found.has(occupant) && !isRemoved(batch, occupant)) found.delete(id);
    }
  }
  for (const [id, node] of found) {
    for (const path of [batch.path(id), batch.pathOfPlace(node)]) {
      if (path !== undefined) batch.touch(path);
    }
  }
  for (const node of found.values()) {
    batch.putUnknown(node, batch.pathOfPlace(node) ?? node.name);
    if (traded.includes(node)) batch.putMakeshift({ ...node, stamp: "" });
  }
  return new Set(found.keys());
}

/** Nodes that an exchange put where a moved one stood, on their way to a place of their own. */
function tradedNodes(
  batch: ApplyBatch,
  waiting: readonly NodeId[],
  moved: ReadonlyMap<NodeId, LocalNode>,
): readonly LocalNode[] {
  const { store, fs } = batch.ports;
  const others = new Set(waiting).difference(moved);
  return [...moved.keys()].flatMap((id) => {
    const place = batch.overlay.get(id);
    const path = batch.path(id);
    const there = path === undefined ? undefined : lookAt(fs, path);
    if (place === undefined || typeof there !== "object") return [];
    const known = store.localByIdentity(there.identity)?.id;
    const node = known === undefined || !others.has(known) ? undefined : batch.overlay.get(known);
    if (node === undefined) return [];
    return [{ ...node, parent: place.parent, name: place.name }];
  });
}

/** @returns the node at its new place; undefined unless it stands there, and there only. */
function movedNode(batch: ApplyBatch, id: NodeId): LocalNode | undefined {
  const { store, fs } = batch.ports;
  const local = batch.overlay.get(id);
  const remote = store.remote.get(id);
  const former = batch.path(id);
  if (local === undefined || remote === undefined || former === undefined) return undefined;
  const merged = mergeNode({ base: store.base.get(id), local, remote }).state;
  const place = [merged, remote].find((wanted) => {
    const path = wanted === undefined ? undefined : batch.pathOfPlace(wanted);
    return path !== undefined && path !== former && isAt(fs, path, local);
  });
  if (place === undefined || isAt(fs, former, local)) return undefined;
  return { ...local, parent: place.parent, name: place.name };
}

function isAt(fs: FileSystem, path: string, { identity }: LocalNode): boolean {
  try {
    return statExactly(fs, path)?.identity === identity;
  } catch (error) {
    if (error instanceof FileSystemError) return false;
    throw error;
  }
}

/** Records an executable bit and a time that were set on bytes that stayed. */
async function recordMetadata(batch: ApplyBatch, id: NodeId): Promise<void> {
  const { store, fs } = batch.ports;
  const local = batch.overlay.get(id);
  if (local?.content.kind !== "file") return;
  const remote = store.remote.get(id);
  const path = batch.path(id);
  if (remote === undefined || path === undefined) return;
  const content = mergeNode({ base: store.base.get(id), local, remote }).state?.content;
  if (content?.kind !== "file" || sameContent(content, local.content)) return;
  if (!sameBytes(content, local.content)) return;
  try {
    const stat = fs.stat(path);
    if (stat?.identity !== local.identity || stat.size !== content.size) return;
    if (!sameContent(contentOf(fs, { content }, stat), content)) return;
    if ((await digestOf(fs, path, batch.pace)) !== content.sha256) return;
    batch.touchFile(path);
    batch.putUnknown({ ...local, content }, path);
  } catch (error) {
    if (!(error instanceof FileSystemError)) throw error;
  }
}

/** Records that directories and links are gone which the log wanted to go. */
function recordRemoved(batch: ApplyBatch, dirty: readonly NodeId[]): void {
  let waiting = dirty.filter((id) => isRemoved(batch, id));
  for (let count = -1; count !== waiting.length; ) {
    count = waiting.length;
    waiting = waiting.filter((id) => {
      if (batch.overlay.children(id).length > 0) return true;
      batch.touch(batch.path(id) ?? "");
      batch.overlay.remove(id);
      return false;
    });
  }
}

/** Of files the journal tells. */
function isRemoved(batch: ApplyBatch, id: NodeId): boolean {
  const { store, fs } = batch.ports;
  const local = batch.overlay.get(id);
  if (local === undefined || local.content.kind === "file") return false;
  if (store.base.get(id) === undefined || store.remote.get(id) !== undefined) return false;
  const path = batch.path(id);
  const there = path === undefined ? "unknown" : lookAt(fs, path);
  return there === "absent" || (typeof there === "object" && there.identity !== local.identity);
}

function lookAt(fs: FileSystem, path: string): Stat | "absent" | "unknown" {
  try {
    return fs.stat(path) ?? "absent";
  } catch (error) {
    if (error instanceof FileSystemError) return "unknown";
    throw error;
  }
}

/**
 * @param placed the identity of the file that was to get this place when the process ended
 * @returns true if the node stands at its place and is recorded now.
 */
async function recover(
  batch: ApplyBatch,
  id: NodeId,
  placed: string | undefined,
): Promise<boolean> {
  const node = batch.ports.store.remote.get(id);
  const path = node === undefined ? undefined : batch.pathOfPlace(node);
  if (node === undefined || path === undefined) return false;
  if (batch.overlay.child(node.parent, node.name) !== undefined) return false;
  try {
    const stat = batch.ports.fs.stat(path);
    if (stat === undefined) return false;
    // It had the log's bytes, time and mode, and what else it has by now is its user's change.
    const isPlaced = stat.identity === placed && node.content.kind === "file";
    if (!isPlaced && !(await holds(batch, path, stat, node))) return false;
    const { parent, name } = node;
    const content = isPlaced ? node.content : contentOf(batch.ports.fs, node, stat);
    batch.touch(path);
    if (stat.kind === "file") batch.touchFile(path);
    batch.putUnknown({ id, parent, name, content, identity: stat.identity, stamp: "" }, path);
    return true;
  } catch (error) {
    // The scan will report what is wrong with it.
    if (!(error instanceof FileSystemError)) throw error;
    return false;
  }
}

async function holds(
  batch: ApplyBatch,
  path: string,
  stat: Stat,
  { content }: RemoteNode,
): Promise<boolean> {
  if (stat.kind !== content.kind || batch.ports.store.localByIdentity(stat.identity)) return false;
  switch (content.kind) {
    case "directory":
      return stat.sameDevice;
    case "symlink":
      return batch.ports.fs.readLink(path) === content.target;
    case "file":
      if (!stat.sameDevice || stat.size !== content.size) return false;
      return (await digestOf(batch.ports.fs, path, batch.pace)) === content.sha256;
  }
}

/** Its user may have changed the metadata since. */
function contentOf(fs: FileSystem, { content }: Pick<RemoteNode, "content">, stat: Stat): Content {
  if (content.kind !== "file") return content;
  const { executable } = fs.capabilities.executable ? stat : content;
  return { ...content, executable, mtimeNs: shownMtime(fs, stat, content) };
}
