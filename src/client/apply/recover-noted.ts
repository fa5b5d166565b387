/**
 * RecoverNoted: records what the note of a batch tells of it, where the disk shows no trace any
 * more, or another one: what was put in place was renamed, deleted or replaced by its user before
 * the process started again. Rules: D7, D23, R1, R3.
 */
import { type NodeId, parseId, ROOT_ID } from "../../core/identifier.ts";
import { mergeNode } from "../../core/merge.ts";
import { type LocalNode, type RemoteNode, samePlace } from "../../core/node.ts";
import { baseName, parentPath } from "../../core/path.ts";
import { FileSystemError } from "../../ports/filesystem.ts";
import type { ApplyBatch } from "./batch.ts";
import { digestOf } from "./displaced.ts";
import { findEntries, type Placed } from "./placing.ts";

/** The scan then finds what the user did. */
export async function recordNoted(
  batch: ApplyBatch,
  dirty: readonly NodeId[],
  placed: Placed,
): Promise<void> {
  if (placed.isCertain) {
    await recordMovedOn(batch, placed);
    await recordDirectories(batch, dirty, placed);
  }
  await recordPlaced(batch, dirty, placed);
}

/**
 * Records nodes that were to be renamed, and that stand at a third place by now, as standing where
 * they were to go: their user knew that place and chose another one.
 */
async function recordMovedOn(batch: ApplyBatch, { moved }: Placed): Promise<void> {
  const { store, fs } = batch.ports;
  const missing = new Map<string, LocalNode>();
  for (const id of moved) {
    const local = batch.overlay.get(parseId<NodeId>(id));
    const remote = store.remote.get(parseId<NodeId>(id));
    const former = local === undefined ? undefined : batch.path(local.id);
    if (local === undefined || remote === undefined || former === undefined) continue;
    const wanted = mergeNode({ base: store.base.get(local.id), local, remote }).state;
    const isOpen =
      wanted !== undefined &&
      !samePlace(wanted, local) &&
      batch.look(former)?.identity !== local.identity;
    if (!isOpen || batch.overlay.child(wanted.parent, wanted.name) !== undefined) continue;
    missing.set(local.identity, { ...local, parent: wanted.parent, name: wanted.name });
  }
  const found = await findEntries(fs, new Set(missing.keys()), batch.pace);
  let waiting = [...found].filter(([, path]) => !isOnItsWay(batch, path, moved));
  // A directory that is to go into one of its own comes after that one has left it.
  for (let count = -1; count !== waiting.length; ) {
    count = waiting.length;
    waiting = waiting.filter(([identity, path]) => {
      const node = missing.get(identity);
      const place = node === undefined ? undefined : batch.pathOfPlace(node);
      if (node === undefined || place === undefined || isIn(batch, node.parent, node.id))
        return true;
      for (const touched of [batch.path(node.id) ?? path, place, path]) batch.touch(touched);
      batch.putUnknown(node, path);
      return false;
    });
  }
}

/** True for a directory itself and for what is below it, as the tree stands now. */
function isIn({ overlay }: ApplyBatch, id: NodeId, directory: NodeId): boolean {
  for (let at: NodeId | undefined = id; at !== undefined; at = overlay.get(at)?.parent) {
    if (at === directory) return true;
  }
  return false;
}

/**
 * True if a node that was to be renamed came from that place. So its directory went elsewhere, or
 * two nodes traded places, and no user did it.
 */
function isOnItsWay(batch: ApplyBatch, path: string, moved: ReadonlySet<string>): boolean {
  const { store } = batch.ports;
  const directory = batch.look(parentPath(path));
  const parent = directory === undefined ? undefined : store.localByIdentity(directory.identity);
  const id = parent?.id ?? (parentPath(path) === "" ? ROOT_ID : undefined);
  return [...moved].some((one) => {
    const node = store.local.get(parseId<NodeId>(one));
    return node !== undefined && node.parent === id && node.name === baseName(path);
  });
}

/** The identity of a directory that is gone. No entry has it. */
const GONE = "gone";

/**
 * Records new directories that are not where they were made, though a file was put into them since.
 * Where such a file stands by now is the directory, or nowhere.
 */
async function recordDirectories(
  batch: ApplyBatch,
  dirty: readonly NodeId[],
  placed: Placed,
): Promise<void> {
  const { store, fs } = batch.ports;
  const lost = dirty.filter((id) => {
    const node = store.remote.get(id);
    return placed.files.has(id) && node !== undefined && isMissing(batch, node.parent);
  });
  const identities = new Set(lost.map((id) => placed.files.get(id) ?? ""));
  const paths = await findEntries(fs, identities, batch.pace);
  for (const id of lost) {
    const node = store.remote.get(id);
    let path = paths.get(placed.files.get(id) ?? "");
    const chain: LocalNode[] = [];
    for (let below = node; below !== undefined && isMissing(batch, below.parent); ) {
      const directory = store.remote.get(below.parent);
      if (directory === undefined) break;
      path = path === undefined || baseName(path) !== below.name ? undefined : parentPath(path);
      chain.push({ ...directoryOf(directory), identity: identityAt(batch, path) });
      below = directory;
    }
    for (const directory of chain.toReversed()) {
      const { parent, name } = directory;
      const isFree = batch.overlay.child(parent, name) === undefined;
      if (!isFree || batch.pathOfPlace(directory) === undefined) break;
      batch.putUnknown(directory, batch.pathOfPlace(directory) ?? name);
    }
  }
}

/** True for a directory that the log made and that nothing here tells of. */
function isMissing(batch: ApplyBatch, id: NodeId): boolean {
  const { base } = batch.ports.store;
  return batch.overlay.get(id) === undefined && base.get(id) === undefined;
}

function directoryOf({ id, parent, name }: RemoteNode): LocalNode {
  return { id, parent, name, content: { kind: "directory" }, identity: GONE, stamp: "" };
}

/** A directory that the tree knows is another one, into which its user moved the file. */
function identityAt(batch: ApplyBatch, path: string | undefined): string {
  const there = path === undefined || path === "" ? undefined : batch.look(path);
  const isNew =
    there !== undefined && batch.ports.store.localByIdentity(there.identity) === undefined;
  return isNew ? there.identity : GONE;
}

/**
 * Records files that were put in place and are not there any more as standing where they were put.
 * The scan then finds what their user did: renamed, deleted, or replaced them.
 */
async function recordPlaced(
  batch: ApplyBatch,
  dirty: readonly NodeId[],
  placed: Placed,
): Promise<void> {
  const { store, fs } = batch.ports;
  const missing = new Map<string, LocalNode>();
  for (const id of dirty) {
    const identity = placed.files.get(id);
    const remote = store.remote.get(id);
    const local = batch.overlay.get(id);
    if (identity === undefined || remote?.content.kind !== "file") continue;
    if (local === undefined && store.base.get(id) !== undefined) continue;
    const { parent, name } = local ?? remote;
    const occupant = batch.overlay.child(parent, name)?.id ?? id;
    const path = batch.pathOfPlace({ parent, name });
    if (path === undefined || occupant !== id || local?.identity === identity) continue;
    // The old file stands there, or again.
    if (local !== undefined && batch.look(path)?.identity === local.identity) continue;
    missing.set(identity, { id, parent, name, content: remote.content, identity, stamp: "" });
  }
  if (placed.isCertain) {
    for (const node of missing.values()) recordAtPlace(batch, node);
    return;
  }
  for (const [identity, path] of await findEntries(fs, new Set(missing.keys()), batch.pace)) {
    const node = missing.get(identity);
    // An inode may have been given to another file since.
    if (node === undefined || !(await hasBytes(batch, path, node))) continue;
    batch.touch(path);
    batch.touchFile(path);
    recordAtPlace(batch, node);
  }
}

function recordAtPlace(batch: ApplyBatch, node: LocalNode): void {
  const path = batch.pathOfPlace(node) ?? node.name;
  batch.touch(path);
  batch.putUnknown(node, path);
}

async function hasBytes(
  batch: ApplyBatch,
  path: string,
  { content }: Pick<LocalNode, "content">,
): Promise<boolean> {
  try {
    const digest = await digestOf(batch.ports.fs, path, batch.pace);
    return content.kind === "file" && digest === content.sha256;
  } catch (error) {
    if (error instanceof FileSystemError) return false;
    throw error;
  }
}
