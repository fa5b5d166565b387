/** How much happened when: the bars of a chart over the log. Rules: E7. */
import { type Change, changeOf } from "../core/change.ts";
import type { FolderName } from "../core/identifier.ts";
import type { Sequence } from "../core/node.ts";
import { parseTime } from "../core/time.ts";
import type { ActivityRow, SequenceRange } from "../ports/history-store.ts";
import type { ActivityAnswer, ActivityBucket } from "../protocol/time-answers.ts";
import { readDeviceNames } from "./device-names.ts";
import type { PastSources } from "./past-sources.ts";

export interface ActivityRequest {
  /** After this seq. @default 0 */
  readonly from?: Sequence | undefined;
  /** Up to this seq. @default the head */
  readonly to?: Sequence | undefined;
  readonly bucketCount: number;
  /** True for buckets of each device. */
  readonly byDevice: boolean;
}

const MINUTE_MS = 60_000;
/** Where bars are narrower than a minute, events themselves are counted: so many at most. */
const EVENTS_COUNTED_MAX = 2_000;

/** Buckets are of equal width. One of a minute or more begins with a minute. */
export async function readActivity(
  sources: PastSources,
  folder: FolderName,
  request: ActivityRequest,
): Promise<ActivityAnswer> {
  const { metadata, follower } = sources;
  const to = await follower.ready(folder, request.to);
  const { from = 0, bucketCount, byDevice } = request;
  const ends = await metadata.eventsAt(folder, [from + 1, to]);
  const [first, last] = [ends[0], ends.at(-1)];
  if (first === undefined || last === undefined || from >= to) {
    return { from, to, width: MINUTE_MS, buckets: [] };
  }
  const startMs = parseTime(first.time);
  const lengthMs = Math.max(parseTime(last.time) - startMs, 0) + 1;
  const widthMs = Math.ceil(lengthMs / bucketCount);
  const isFine = widthMs < MINUTE_MS && to - from <= EVENTS_COUNTED_MAX;
  const width = isFine ? widthMs : Math.ceil(widthMs / MINUTE_MS) * MINUTE_MS;
  const origin = isFine ? startMs : Math.floor(startMs / MINUTE_MS) * MINUTE_MS;
  const range = { after: from, upTo: to };
  const counts = await (isFine ? eventCounts : minuteCounts)(sources, folder, range);
  const names = byDevice ? await readDeviceNames(metadata, folder) : undefined;
  const buckets = new Map<string, Bucket>();
  for (const row of counts) {
    const timeMs = origin + Math.max(0, Math.floor((row.timeMs - origin) / width)) * width;
    const device = names?.(row.device);
    const key = `${timeMs}/${device ?? ""}`;
    const bucket = buckets.get(key) ?? emptyBucket(timeMs, device);
    buckets.set(key, bucket);
    bucket[row.change] += row.count;
    bucket.bytes += row.bytes;
    bucket.first = Math.min(bucket.first, row.first);
    bucket.last = Math.max(bucket.last, row.last);
  }
  const sorted = [...buckets.values()].sort((a, b) => a.timeMs - b.timeMs);
  return { from, to, width, buckets: sorted.map(toTuple) };
}

/** A sum of changes at one time. */
interface Counted extends Omit<ActivityRow, "minute"> {
  readonly timeMs: number;
}

async function minuteCounts(
  { history }: PastSources,
  folder: FolderName,
  range: SequenceRange,
): Promise<readonly Counted[]> {
  const rows = await history.activity(folder, range);
  return rows.map((row) => ({ ...row, timeMs: row.minute * MINUTE_MS }));
}

async function eventCounts(
  { metadata }: PastSources,
  folder: FolderName,
  { after, upTo }: SequenceRange,
): Promise<readonly Counted[]> {
  const { events } = await metadata.events(folder, { after, limit: upTo - after });
  return events
    .filter(({ seq }) => seq <= upTo)
    .map((event) => {
      const { seq, device } = event;
      const timeMs = parseTime(event.time);
      return { ...changeOf(event), timeMs, device, count: 1, first: seq, last: seq };
    });
}

interface Bucket extends Record<Change, number> {
  readonly timeMs: number;
  readonly device: string | undefined;
  first: Sequence;
  last: Sequence;
  bytes: number;
}

function emptyBucket(timeMs: number, device: string | undefined): Bucket {
  const counts = { created: 0, changed: 0, moved: 0, deleted: 0, bytes: 0 };
  return { timeMs, device, first: Number.MAX_SAFE_INTEGER, last: 0, ...counts };
}

function toTuple(bucket: Bucket): ActivityBucket {
  const { timeMs, first, last, created, changed, moved, deleted, bytes, device } = bucket;
  const counts = [timeMs, first, last, created, changed, moved, deleted, bytes] as const;
  return device === undefined ? [...counts] : [...counts, device];
}
