/**
 * RecoverCreated: records new nodes that were put in place but not recorded, because the process
 * ended in between, and directories that were moved by parts. Without it, if the log has gone on
 * meanwhile, such an entry would be taken for another person's file and kept as a conflict copy.
 * Rules: D7, D12, S2, I14.
 */
import type { NodeId } from "../../core/identifier.ts";
import type { Content, RemoteNode } from "../../core/node.ts";
import { pathOf } from "../../core/tree.ts";
import { type FileSystem, FileSystemError, type Stat } from "../../ports/filesystem.ts";
import { shownMtime } from "../folder/shown-time.ts";
import { ApplyBatch, type ApplyPorts } from "./batch.ts";
import { digestOf } from "./displaced.ts";

/**
 * Call it at the start, before news is pulled.
 *
 * @throws {FileSystemError} if something cannot be made durable
 */
export async function recoverCreated(
  ports: ApplyPorts,
  options: { readonly deviceName: string },
): Promise<void> {
  const { store } = ports;
  const batch = new ApplyBatch(ports, options.deviceName);
  let waiting = store.dirty().filter((id) => mayStandUnrecorded(ports, id));
  // A directory comes before its entries.
  for (let count = -1; count !== waiting.length; ) {
    count = waiting.length;
    const missed: NodeId[] = [];
    for (const id of waiting) if (!(await recover(batch, id))) missed.push(id);
    waiting = missed;
  }
  await batch.commit();
}

function mayStandUnrecorded({ store, fs }: ApplyPorts, id: NodeId): boolean {
  const local = store.local.get(id);
  if (local === undefined) return store.base.get(id) === undefined;
  const former = pathOf(store.local, id);
  if (local.content.kind !== "directory" || former === undefined) return false;
  return lookAt(fs, former) === "absent";
}

function lookAt(fs: FileSystem, path: string): Stat | "absent" | "unknown" {
  try {
    return fs.stat(path) ?? "absent";
  } catch (error) {
    if (error instanceof FileSystemError) return "unknown";
    throw error;
  }
}

/** @returns true if the node stands at its place and is recorded now. */
async function recover(batch: ApplyBatch, id: NodeId): Promise<boolean> {
  const node = batch.ports.store.remote.get(id);
  const path = node === undefined ? undefined : batch.pathOfPlace(node);
  if (node === undefined || path === undefined) return false;
  if (batch.overlay.child(node.parent, node.name) !== undefined) return false;
  try {
    const stat = batch.ports.fs.stat(path);
    if (stat === undefined || !(await holds(batch, path, stat, node))) return false;
    const { parent, name } = node;
    const content = contentOf(batch.ports.fs, node, stat);
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
function contentOf(fs: FileSystem, { content }: RemoteNode, stat: Stat): Content {
  if (content.kind !== "file") return content;
  const { executable } = fs.capabilities.executable ? stat : content;
  return { ...content, executable, mtimeNs: shownMtime(fs, stat, content) };
}
