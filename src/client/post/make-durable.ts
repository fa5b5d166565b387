/**
 * MakeDurable: makes a user's changes durable on the disk before others hear of them and before
 * they become the base. Rules: I15, S7, R12, D2.
 *
 * Programs seldom sync the files that they save, so for half a minute or longer these are in memory
 * only. After a power cut such a file is empty or gone. If the devices had agreed on it by then,
 * that would look like its user's own change and be carried to all other devices.
 */
import type { NodeId } from "../../core/identifier.ts";
import { sameContent, samePlace } from "../../core/node.ts";
import { parentPath } from "../../core/path.ts";
import { pathOf } from "../../core/tree.ts";
import type { FileSystemError } from "../../ports/filesystem.ts";
import { codeOfTrouble } from "../folder/disk-trouble.ts";
import type { ClientPorts } from "../folder/ports.ts";
import type { DeferredNodes } from "../plan/deferred.ts";

type DurablePorts = Pick<ClientPorts, "fs" | "store">;

/**
 * Resolves when the disk durably holds the differences from the base in these nodes. A file that
 * its user has just made unreadable is not waited for.
 *
 * @returns nodes that must neither be posted nor settled now, and why.
 */
export async function makeDurable(
  { fs, store }: DurablePorts,
  ids: Iterable<NodeId>,
): Promise<ReadonlyMap<NodeId, FileSystemError>> {
  const users = new Map<string, Set<NodeId>>();
  for (const id of ids) {
    for (const path of unsyncedPaths(store, id)) {
      const known = users.get(path);
      if (known === undefined) users.set(path, new Set([id]));
      else known.add(id);
    }
  }
  const failed = new Map<NodeId, FileSystemError>();
  if (users.size === 0) return failed;
  for (const error of await fs.sync(users.keys())) {
    if (error.code === "denied") continue;
    for (const id of users.get(error.path) ?? []) failed.set(id, error);
  }
  return failed;
}

/**
 * A node that cannot be made durable becomes a problem of its path, and is left alone for a while.
 */
export async function makeDurableOrDefer(
  ports: DurablePorts,
  deferred: DeferredNodes,
  ids: Iterable<NodeId>,
): Promise<ReadonlyMap<NodeId, FileSystemError>> {
  const failed = await makeDurable(ports, ids);
  for (const [id, error] of failed) deferred.tell(id, codeOfTrouble(error), error.message);
  return failed;
}

/** The file, and the directories that its name entered or left. */
function unsyncedPaths(store: DurablePorts["store"], id: NodeId): readonly string[] {
  const base = store.base.get(id);
  const local = store.local.get(id);
  const isSamePlace = base !== undefined && local !== undefined && samePlace(base, local);
  const isSameEntry = isSamePlace && base.identity === local.identity;
  if (isSameEntry && sameContent(base.content, local.content)) return [];
  const paths: string[] = [];
  const path = local === undefined ? undefined : pathOf(store.local, id);
  if (path !== undefined) {
    if (local?.content.kind === "file") paths.push(path);
    if (!isSameEntry) paths.push(parentPath(path));
  }
  if (base !== undefined && !isSamePlace) {
    // If the directory went too, the name of the topmost one has to last.
    const former = pathOf(store.local, base.parent);
    if (former !== undefined) paths.push(former);
  }
  return paths;
}
