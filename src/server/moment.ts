/** Moments: from a time to the event that was the last by then, and the steps beside it. Rules: E6. */
import type { FolderName } from "../core/identifier.ts";
import { OPS_PER_GROUP_MAX } from "../core/limits.ts";
import type { Sequence } from "../core/node.ts";
import { parseTime } from "../core/time.ts";
import type { MetadataStore } from "../ports/metadata-store.ts";
import type { MomentAnswer } from "../protocol/time-answers.ts";
import { readDeviceNames } from "./device-names.ts";
import type { PastSources } from "./past-sources.ts";
import { headOf } from "./path-reads.ts";

/** Exactly one of both. */
export type MomentRequest = { readonly timeMs: number } | { readonly seq: Sequence };

/**
 * The last event whose time is not after `timeMs`; 0 if there is none. Times of events hardly ever
 * go back (L8), so halving finds it.
 */
export async function seqAtTime(
  metadata: MetadataStore,
  folder: FolderName,
  { timeMs, head }: { readonly timeMs: number; readonly head: Sequence },
): Promise<Sequence> {
  let low = 0;
  let high = head;
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    const [event] = await metadata.eventsAt(folder, [middle]);
    if (event !== undefined && parseTime(event.time) <= timeMs) low = middle;
    else high = middle - 1;
  }
  return low;
}

export async function readMoment(
  { metadata }: Pick<PastSources, "metadata">,
  folder: FolderName,
  request: MomentRequest,
): Promise<MomentAnswer> {
  const asked = "seq" in request ? request.seq : undefined;
  const { seq: head } = await headOf(metadata, folder, asked);
  const seq =
    "timeMs" in request ? await seqAtTime(metadata, folder, { ...request, head }) : request.seq;
  const [event] = await metadata.eventsAt(folder, [seq]);
  // Pages end with whole groups, so the next one's end comes with its first event.
  const { events } = await metadata.events(folder, { after: seq, limit: 1 });
  const next = events.at(-1)?.seq;
  if (event === undefined) return next === undefined ? { seq: 0 } : { seq: 0, next };
  const names = await readDeviceNames(metadata, folder);
  const { time, device } = event;
  const previous = await endOfGroupBefore(metadata, folder, seq);
  const moment = { seq, time, device, deviceName: names(device), previous };
  return next === undefined ? moment : { ...moment, next };
}

async function endOfGroupBefore(
  metadata: MetadataStore,
  folder: FolderName,
  seq: Sequence,
): Promise<Sequence> {
  for (const limit of [1, OPS_PER_GROUP_MAX]) {
    const events = await metadata.eventsBefore(folder, { before: seq, limit });
    const end = events.find(({ groupEnd }) => groupEnd);
    if (end !== undefined) return end.seq;
    if (events.length < limit) break;
  }
  return 0;
}
