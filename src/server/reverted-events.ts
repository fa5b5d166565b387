/**
 * Which events of a range a `revert` takes back: all, or those that belong to its first one.
 * Rules: E14.
 */
import type { ServedEvent } from "../core/event.ts";
import type { DeviceId, FolderName } from "../core/identifier.ts";
import { EVENTS_PER_PAGE_MAX } from "../core/limits.ts";
import type { Sequence } from "../core/node.ts";
import type { IsUndone, Step } from "../core/plan-undo.ts";
import type { PlanRequest } from "../protocol/plan-messages.ts";
import { readDeviceNames } from "./device-names.ts";
import type { PastSources } from "./past-sources.ts";
import { rowKey } from "./people-log.ts";
import { touchesOf } from "./touches.ts";

/** @returns false for whatever lies beyond the range */
export async function revertedEvents(
  sources: PastSources,
  folder: FolderName,
  request: Extract<PlanRequest, { readonly kind: "revert" }>,
): Promise<IsUndone> {
  const { first, last, of } = request;
  const isInRange = ({ seq }: Step) => seq >= first && seq <= last;
  if (of === undefined) return isInRange;
  const [begin] = await sources.metadata.eventsAt(folder, [first]);
  if (begin === undefined) return () => false;
  if (of === "action") return (step) => isInRange(step) && isSameAction(step, begin);
  const seqs = await rowOf(sources, folder, { begin, last });
  return ({ seq }) => seqs.has(seq);
}

interface Doing {
  readonly device: DeviceId;
  readonly batch: string;
  readonly approval?: string;
}

/** A plan is posted in many batches, each of which has its id as approval. */
function isSameAction(one: Doing, other: Doing): boolean {
  if (one.device !== other.device || one.approval !== other.approval) return false;
  return one.approval !== undefined || one.batch === other.batch;
}

async function rowOf(
  { metadata, clock }: PastSources,
  folder: FolderName,
  { begin, last }: { readonly begin: ServedEvent; readonly last: Sequence },
): Promise<ReadonlySet<Sequence>> {
  const names = await readDeviceNames(metadata, folder);
  const keyOf = async (events: readonly ServedEvent[]) => {
    const touched = await touchesOf(metadata, folder, { events, names });
    return touched.map((one) => ({ seq: one.event.seq, key: rowKey(one) }));
  };
  const [wanted] = await keyOf([begin]);
  const seqs = new Set<Sequence>();
  for (let after = begin.seq - 1; after < last; ) {
    const page = await metadata.events(folder, { after, limit: EVENTS_PER_PAGE_MAX });
    const near = page.events.filter(
      ({ seq, batch, device }) => seq <= last && batch === begin.batch && device === begin.device,
    );
    for (const { seq, key } of await keyOf(near)) if (key === wanted?.key) seqs.add(seq);
    after = page.events.at(-1)?.seq ?? last;
    await clock.yield();
  }
  return seqs;
}
