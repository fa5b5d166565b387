/** Conflict copies that nobody has looked after yet. Rules: E13, R13. */
import { foldEvent } from "../core/fold.ts";
import type { FolderName } from "../core/identifier.ts";
import { CONFLICTS_SCANNED_MAX, EVENTS_PER_PAGE_MAX } from "../core/limits.ts";
import type { RemoteNode, Sequence } from "../core/node.ts";
import type { Conflict, ConflictEntry, ConflictsAnswer } from "../protocol/time-answers.ts";
import { readDeviceNames } from "./device-names.ts";
import { PastPaths } from "./past-paths.ts";
import type { PastSources } from "./past-sources.ts";
import { readTouches, shownContent } from "./touches.ts";

export interface ConflictsRequest {
  /** Only copies that came after this event. */
  readonly after: Sequence;
  readonly limit: number;
}

/** A copy that was moved or deleted since is somebody's decision, and is left out. */
export async function readConflicts(
  sources: PastSources,
  folder: FolderName,
  { after: start, limit }: ConflictsRequest,
): Promise<ConflictsAnswer> {
  const { metadata, follower } = sources;
  const seq = await follower.ready(folder);
  const names = await readDeviceNames(metadata, folder);
  const conflicts: Conflict[] = [];
  let after = start;
  for (let scanned = 0; scanned < CONFLICTS_SCANNED_MAX; ) {
    const page = { after, limit: EVENTS_PER_PAGE_MAX };
    const events = await metadata.conflictEvents(folder, page);
    for (const event of events) {
      if (conflicts.length === limit) return { seq, conflicts, next: after };
      after = event.seq;
      const node = await metadata.node(folder, event.node, seq);
      if (node === undefined || node.deleted) continue;
      if (node.placeVersion !== foldEvent(event).placeVersion) continue;
      const copy = await entryOf(sources, folder, { node, at: seq });
      const origin = event.conflictOf?.node;
      const original = origin === undefined ? undefined : await metadata.node(folder, origin, seq);
      const isThere = original !== undefined && !original.deleted;
      conflicts.push({
        copy,
        original: isThere ? await entryOf(sources, folder, { node: original, at: seq }) : null,
        device: event.device,
        deviceName: names(event.device),
        time: event.time,
      });
    }
    scanned += events.length;
    if (events.length < EVENTS_PER_PAGE_MAX) return { seq, conflicts };
    await sources.clock.yield();
  }
  return { seq, conflicts, next: after };
}

async function entryOf(
  { metadata, history }: PastSources,
  folder: FolderName,
  { node, at }: { readonly node: RemoteNode; readonly at: Sequence },
): Promise<ConflictEntry> {
  const touches = await readTouches(metadata, folder, [node.contentVersion]);
  const path = await new PastPaths(history, folder, at).pathOf(node);
  const { id, content } = node;
  const written = touches.get(node.contentVersion)?.touch;
  const entry = { id, path, kind: content.kind, ...shownContent(content) };
  return written === undefined ? entry : { ...entry, last: written };
}
