/**
 * Retention: for how long a folder keeps versions that were replaced or deleted, and the pruning of
 * those that are older. Rules: U7, U8. What is pruned is garbage after that (U1).
 */
import type { FolderName } from "../core/identifier.ts";
import { COLLECT_BATCH_MAX } from "../core/limits.ts";
import { formatTime } from "../core/time.ts";
import { folderNames } from "./collect-garbage.ts";
import type { SequencerPorts } from "./ports.ts";

export interface Retention {
  /** For folders that are not named; undefined for ever. */
  readonly keepMs: number | undefined;
  readonly byFolder: ReadonlyMap<FolderName, number | undefined>;
}

/** @returns the number of versions that are gone by now and were not before */
export async function pruneFolders(
  { metadata, clock }: Pick<SequencerPorts, "metadata" | "clock">,
  { keepMs, byFolder }: Retention,
  signal?: AbortSignal,
): Promise<number> {
  let versions = 0;
  for await (const name of folderNames(metadata)) {
    const ageMs = byFolder.has(name) ? byFolder.get(name) : keepMs;
    if (ageMs === undefined) continue;
    const before = formatTime(Math.max(0, clock.now() - ageMs));
    while (signal?.aborted !== true) {
      const pruned = await metadata.prune(name, { before, limit: COLLECT_BATCH_MAX });
      versions += pruned.versions;
      if (pruned.isDone) break;
      await clock.yield();
    }
  }
  return versions;
}
