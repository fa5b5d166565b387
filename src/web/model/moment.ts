/**
 * The moment that Files shows, while it is not now: the chart of what happened when, where the
 * slider stands, and who did the change there. A directory's whole past is in hand if it is not too
 * long, so that moving the slider asks nobody. Rules: E1, E3, E6, E7.
 */
import { computed, effect, signal, untracked } from "@preact/signals";
import {
  type ActivityBucket,
  activityAnswerSchema,
  type ListEntry,
  type LogRow,
  logAnswerSchema,
  momentAnswerSchema,
  type SpansAnswer,
  spansAnswerSchema,
} from "../../protocol/time-answers.ts";
import { ask, folderRoute, problemOf, query } from "./api.ts";
import { override } from "./listing.ts";
import { folder, head } from "./live.ts";
import { at, go, route, settle } from "./route.ts";
import { tellProblem } from "./toast.ts";

const BUCKETS = 200;
const SPANS_MAX = 20_000;
/** The list is asked for once the slider has rested for this long. */
const REST_MS = 120;

/** True while the time bar is open. */
export const isTimeOpen = signal(at.value !== undefined);

export interface Activity {
  readonly buckets: readonly ActivityBucket[];
  /** Of a bucket, in milliseconds. */
  readonly width: number;
}

export const activity = signal<Activity>({ buckets: [], width: 1 });
/** Seqs between which the chart shows what happened; undefined is everything. */
export const zoom = signal<readonly [number, number] | undefined>(undefined);

/** Where the slider stands: ahead of the address while it is dragged. */
export const position = signal(0);
/** The change at that position, in a person's words. */
export const change = signal<LogRow | undefined>(undefined);
export const spans = signal<SpansAnswer | undefined>(undefined);

/** From and to, in milliseconds since 1970. */
export const timeRange = computed<readonly [number, number]>(() => {
  const { buckets, width } = activity.value;
  const [first, last] = [buckets[0], buckets.at(-1)];
  if (first === undefined || last === undefined) return [0, 1];
  return [first[0], last[0] + width];
});

export function watchTime(): void {
  effect(() => {
    if (!isTimeOpen.value || folder.value === undefined) return;
    const wanted = zoom.value;
    untracked(() => void loadActivity(wanted));
  });
  effect(() => {
    const { path } = route.value;
    const isOpen = isTimeOpen.value && folder.value !== undefined;
    spans.value = undefined;
    if (isOpen) untracked(() => void loadSpans(path));
  });
  effect(() => {
    const { value: seq } = at;
    if (seq !== undefined) isTimeOpen.value = true;
    position.value = seq ?? head.value;
    if (!isTimeOpen.value || folder.value === undefined) return;
    untracked(() => void loadChange(seq ?? head.value));
  });
}

async function loadActivity(wanted: readonly [number, number] | undefined): Promise<void> {
  const [from, to] = wanted ?? [undefined, undefined];
  const values = query({ from, to, buckets: BUCKETS });
  await attempt(async (name) => {
    const answer = await ask(activityAnswerSchema, folderRoute(name, `/activity?${values}`));
    activity.value = { buckets: answer.buckets, width: answer.width };
  });
}

async function loadSpans(path: string): Promise<void> {
  const name = folder.value?.name ?? "";
  const values = query({ path, limit: SPANS_MAX });
  // Too many, or a directory that is not here now: then each position asks for its list.
  const found = await ask(spansAnswerSchema, folderRoute(name, `/spans?${values}`)).catch(
    () => undefined,
  );
  if (route.value.path === path) spans.value = found;
}

async function loadChange(seq: number): Promise<void> {
  await attempt(async (name) => {
    const values = query({ before: seq + 1, limit: 1 });
    const answer = await ask(logAnswerSchema, folderRoute(name, `/log?${values}`));
    if (position.value === seq) change.value = answer.rows[0];
  });
}

async function attempt(action: (name: string) => Promise<void>): Promise<void> {
  try {
    await action(folder.value?.name ?? "");
  } catch (error) {
    tellProblem(problemOf(error).message);
  }
}

let resting: ReturnType<typeof setTimeout> | undefined;

/** The slider is at a position: rows from what is in hand at once, the whole list when it rests. */
export function moveTo(seq: number): void {
  const next = Math.max(0, Math.min(seq, head.value));
  position.value = next;
  override.value = entriesAt(next);
  clearTimeout(resting);
  resting = setTimeout(() => settle({ at: next === head.value ? undefined : next }), REST_MS);
}

/** The entry of each span, made once. */
const entriesOfSpans = computed<readonly ListEntry[]>(() => {
  const { value: known } = spans;
  if (known === undefined) return [];
  return known.from.map((from, index) => {
    const kind = known.kind[index] ?? "file";
    return {
      name: known.names[index] ?? "",
      kind,
      id: known.ids[index] ?? "",
      ...(kind === "file" ? { size: known.size[index] ?? 0 } : undefined),
      contentVersion: from,
      placeVersion: from,
      last: { seq: from, time: "", device: "", deviceName: "", action: "update" },
    };
  });
});

/** The directory at an event, from the spans; undefined if they are not in hand. */
export function entriesAt(seq: number): ReadonlyMap<string, ListEntry> | undefined {
  const { value: known } = spans;
  if (known === undefined || seq > known.seq) return undefined;
  const found = new Map<string, ListEntry>();
  for (const [index, entry] of entriesOfSpans.value.entries()) {
    const isThere = entry.last.seq <= seq && (known.to[index] ?? 0) > seq;
    if (isThere) found.set(entry.id, entry);
  }
  return found;
}

/** The spans that last, by node: how the directory is now. */
const present = computed(() => {
  const { value: known } = spans;
  const found = new Map<string, number>();
  if (known === undefined) return found;
  for (let index = 0; index < known.from.length; index++) {
    if ((known.to[index] ?? 0) > known.seq)
      found.set(known.ids[index] ?? "", known.from[index] ?? 0);
  }
  return found;
});

/** How a row of the past differs from now: a sign, and its meaning. */
export function markOf({ id }: ListEntry): readonly [string, string] | undefined {
  if (at.value === undefined && position.value === head.value) return undefined;
  if (spans.value === undefined) return undefined;
  const from = present.value.get(id);
  if (from === undefined) return ["−", "Not here any more"];
  return from > position.value ? ["~", "It was another then"] : undefined;
}

/** To the end of the change before (-1) or after (1) the position. */
export async function step(direction: -1 | 1): Promise<void> {
  await attempt(async (name) => {
    const values = query({ seq: position.value });
    const answer = await ask(momentAnswerSchema, folderRoute(name, `/moment?${values}`));
    const next = direction < 0 ? answer.previous : answer.next;
    if (next !== undefined) moveTo(next);
  });
}

/** By whole days. */
export async function stepDays(days: number): Promise<void> {
  const { value: now } = change;
  if (now === undefined) return;
  const moved = new Date(new Date(now.time).getTime() + days * 86_400_000);
  await moveToTime(moved);
}

export async function moveToTime(time: Date): Promise<void> {
  await attempt(async (name) => {
    const values = query({ time: time.toISOString() });
    const answer = await ask(momentAnswerSchema, folderRoute(name, `/moment?${values}`));
    moveTo(answer.seq);
  });
}

export function toNow(): void {
  clearTimeout(resting);
  override.value = undefined;
  go({ at: undefined, from: undefined });
}

export function closeTime(): void {
  // The slider may still be resting, and would open the past again.
  clearTimeout(resting);
  override.value = undefined;
  isTimeOpen.value = false;
  zoom.value = undefined;
  if (at.value !== undefined || route.value.from !== undefined) toNow();
}

/** The event at a time of the chart, by what its bars say: exact enough for a pixel. */
export function seqAtTime(timeMs: number): number {
  const { buckets, width } = activity.value;
  let last = 0;
  for (const [start, firstSeq, lastSeq] of buckets) {
    if (timeMs < start) return last === 0 ? Math.max(0, firstSeq - 1) : last;
    const part = Math.min(1, (timeMs - start) / width);
    last = Math.round(firstSeq + part * (lastSeq - firstSeq));
    if (part < 1) return last;
  }
  return zoom.value === undefined ? head.value : last;
}

/** The time of an event on the chart. */
export function timeAtSeq(seq: number): number {
  const { buckets, width } = activity.value;
  let time = timeRange.value[0];
  for (const [start, firstSeq, lastSeq] of buckets) {
    if (seq < firstSeq) return time;
    if (seq <= lastSeq) {
      return start + (width * (seq - firstSeq + 1)) / (lastSeq - firstSeq + 1);
    }
    time = start + width;
  }
  return timeRange.value[1];
}
