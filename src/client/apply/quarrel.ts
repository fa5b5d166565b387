/**
 * Quarrels: two devices save one file again and again. Each version that loses becomes the next
 * version of the copy that lost before. So each device has one copy, and the history has the
 * others. Rules: R19, R20, I3.
 */

import { conflictName } from "../../core/conflict.ts";
import type { NodeId } from "../../core/identifier.ts";
import { QUARREL_PAUSE_MS_MAX } from "../../core/limits.ts";
import { type LocalNode, sameBytes, samePlace } from "../../core/node.ts";
import { joinPath, parentPath } from "../../core/path.ts";
import { QUARANTINE_DIRECTORY } from "../../core/state-directory.ts";
import { FileSystemError } from "../../ports/filesystem.ts";
import type { StateStore } from "../../ports/state-store.ts";
import type { ApplyBatch } from "./batch.ts";
import { isUntouched, type Sighting, setDisplacedAside, sight } from "./displaced.ts";
import { noteName } from "./former-names.ts";

/** The copy that this device made last in the same quarrel, as it stands. */
export interface FormerCopy {
  readonly node: LocalNode;
  readonly path: string;
  readonly seen: Sighting;
}

/** Bytes that lost, and where the file stood of which they are a version. */
interface Lost {
  readonly node: NodeId;
  readonly directory: string;
  readonly parent: NodeId | undefined;
  readonly name: string;
}

/**
 * Finds the copy whose next version the lost bytes become (R19). It was made of an earlier version
 * of the same file a short while ago, nobody has touched it since, as its name shows, and the
 * history has it.
 */
export function formerCopy(batch: ApplyBatch, lost: Lost): FormerCopy | undefined {
  const { store, fs, clock } = batch.ports;
  for (const copy of store.conflicts()) {
    const node = copy.ofNode === lost.node ? batch.overlay.get(copy.node) : undefined;
    if (node?.content.kind !== "file" || node.parent !== lost.parent) continue;
    const { mtimeNs, sha256: hash6Source } = node.content;
    const source = { name: lost.name, device: batch.deviceName, mtimeNs, hash6Source };
    if (node.name !== conflictName({ ...source, attempt: 0 }) || !isAgreed(store, node)) continue;
    const path = joinPath(lost.directory, node.name);
    const seen = sight(fs, path, node);
    const isRecent = seen !== undefined && seen.stat.changedMs > clock.now() - QUARREL_PAUSE_MS_MAX;
    if (isRecent) return { node, path, seen };
  }
  return undefined;
}

/** True if the server has it, as it is and where it is. */
function isAgreed({ base, remote }: Pick<StateStore, "base" | "remote">, node: LocalNode): boolean {
  return [base.get(node.id), remote.get(node.id)].every(
    (known) =>
      known !== undefined && samePlace(known, node) && sameBytes(known.content, node.content),
  );
}

/**
 * Takes a copy out of the folder to make room for its node's next version, which already stands
 * under its own name.
 *
 * @returns false if it has to stay. If it cannot be put back now, the journal brings it back later.
 */
export async function retireCopy(batch: ApplyBatch, copy: FormerCopy): Promise<boolean> {
  const { fs, store, random } = batch.ports;
  const { node, path, seen } = copy;
  const id = random.id<string>();
  const out = joinPath(QUARANTINE_DIRECTORY, id);
  try {
    noteName(fs, id, path);
    store.transaction(() => store.addJournal({ id, kind: "delete", node: node.id, path }));
    if (fs.moveNoReplace(path, out) === "moved") {
      batch.touch(path);
      if (await isUntouched(batch, out, seen)) {
        setDisplacedAside(batch, out, id, { node, directory: parentPath(path) });
        batch.resolve(id);
        return true;
      }
    }
  } catch (error) {
    if (!(error instanceof FileSystemError)) throw error;
  }
  // Somebody works on it, or nobody can look at it, so it stays, and the scan looks at it.
  batch.rescan.add(path);
  try {
    if (fs.moveNoReplace(out, path) !== "exists") batch.resolve(id);
  } catch (error) {
    if (!(error instanceof FileSystemError)) throw error;
  }
  return false;
}
