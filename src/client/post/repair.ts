/**
 * Repair: gives the server bytes that it had and has not any more, if a file here has them. Rules:
 * U11, B68.
 *
 * The server names the roots of hurt contents. A file of this folder is sent as for an op: each
 * chunk is read anew and checked, and only what the server misses goes out. Nothing else is ever
 * sent, so a server cannot ask for bytes that it was not given before.
 */
import type { Digest } from "../../core/digest.ts";
import { type NodeId, ROOT_ID } from "../../core/identifier.ts";
import type { ClientPorts } from "../folder/ports.ts";
import { type Supply, supplyContents } from "./supply.ts";
import type { PackSize } from "./upload.ts";

/**
 * Call it at rest: then the log has what the disk has.
 *
 * @returns the number of files that were offered
 * @throws {SyncedError} as ServerApi does
 */
export async function offerWanted(
  ports: ClientPorts,
  packSize: PackSize,
  signal: AbortSignal,
): Promise<number> {
  const wanted = new Set(await ports.api.wanted(signal));
  if (wanted.size === 0) return 0;
  const supplies = suppliesOf(ports, wanted);
  if (supplies.length > 0) await supplyContents(ports, supplies, packSize, signal);
  return supplies.length;
}

/** One file of each wanted content. The log has it, so its bytes were given before. */
function suppliesOf({ store }: ClientPorts, wanted: Set<Digest>): readonly Supply[] {
  const supplies: Supply[] = [];
  const directories: NodeId[] = [ROOT_ID];
  for (let parent = directories.pop(); parent !== undefined; parent = directories.pop()) {
    for (const { id, content } of store.base.children(parent)) {
      if (content.kind === "directory") directories.push(id);
      if (content.kind !== "file" || !wanted.delete(content.manifest)) continue;
      const local = store.local.get(id)?.content;
      if (local?.kind === "file" && local.sha256 === content.sha256) {
        supplies.push({ node: id, content: local });
      } else {
        wanted.add(content.manifest);
      }
    }
  }
  return supplies;
}
