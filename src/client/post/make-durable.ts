/**
 * MakeDurable: what a user did is on the disk for good before others hear of it and before it is
 * the base. Rules: I15, S7, R12, D2.
 *
 * Programs seldom sync what they save: for half a minute or longer it is in memory only. After a
 * power cut such a file is empty, or gone; were it agreed upon by then, that would look like its
 * user's own change, and be carried to all other devices.
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
 * Resolves when the disk durably holds what differs from the base in these nodes. What its user has
 * just taken the permission to read from is not waited for.
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

/** What cannot be made durable is a problem of its path, and is left alone for a while. */
export async function makeDurableOrDefer(
  ports: DurablePorts,
  deferred: DeferredNodes,
  ids: Iterable<NodeId>,
): Promise<ReadonlyMap<NodeId, FileSystemError>> {
  const failed = await makeDurable(ports, ids);
  for (const [id, error] of failed) deferred.tell(id, codeOfTrouble(error), error.message);
  return failed;
}

/** The file, and the directories in which its name came or went. */
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
    // Where the directory went too, it is the name of the topmost one that has to last.
    const former = pathOf(store.local, base.parent);
    if (former !== undefined) paths.push(former);
  }
  return paths;
}
