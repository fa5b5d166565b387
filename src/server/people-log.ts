/**
 * The log as people read it: who did what, newest first, with runs of one kind as one row.
 * Rules: E5.
 *
 * A run is all events of one batch with the same action in the same directory, even if other events
 * lie between them. So a deleted directory is two rows. Rows stand in the order in which runs
 * begin. If a page ends within a batch, the next page goes on with rows of its own.
 */
import type { EventKind, ServedEvent } from "../core/event.ts";
import type { DeviceId, FolderName, NodeId } from "../core/identifier.ts";
import {
  EVENTS_PER_PAGE_DEFAULT,
  LOG_EVENTS_FOR_ROWS_MAX,
  LOG_EVENTS_SCANNED_MAX,
} from "../core/limits.ts";
import type { Sequence } from "../core/node.ts";
import { isWithin, parentPath } from "../core/path.ts";
import type { Action, LogAnswer, LogRow } from "../protocol/time-answers.ts";
import { readDeviceNames } from "./device-names.ts";
import { seqAtTime } from "./moment.ts";
import type { PastSources } from "./past-sources.ts";
import { headOf } from "./path-reads.ts";
import { type Touched, touchesOf } from "./touches.ts";

export interface LogRequest {
  /** Newest first, from before this seq. @default after the head */
  readonly before?: Sequence | undefined;
  /** Oldest first, from after this seq. */
  readonly after?: Sequence | undefined;
  /** Only what happened at or below this path. Renames count by either name. */
  readonly path?: string | undefined;
  readonly id?: NodeId | undefined;
  readonly device?: DeviceId | undefined;
  readonly action?: Action | undefined;
  /** Only events from this time on; milliseconds since 1970. */
  readonly sinceMs?: number | undefined;
  /** Only events up to this time. */
  readonly untilMs?: number | undefined;
  readonly limit: number;
}

/** Which events are looked at: those after `low`, up to `high`. */
interface Range {
  readonly low: Sequence;
  readonly high: Sequence;
}

export async function readLog(
  sources: PastSources,
  folder: FolderName,
  request: LogRequest,
): Promise<LogAnswer> {
  const { metadata, clock } = sources;
  const { seq: head } = await headOf(metadata, folder, undefined);
  const names = await readDeviceNames(metadata, folder);
  const isForward = request.after !== undefined;
  let range = await rangeOf(sources, folder, { request, head });
  const runs = new Runs();
  let scanned = 0;
  let limit = Math.min(2 * request.limit, EVENTS_PER_PAGE_DEFAULT);
  while (range.high > range.low && scanned < LOG_EVENTS_SCANNED_MAX) {
    const found = await eventsIn(sources, folder, { range, isForward, id: request.id, limit });
    const matching = found.events.filter((event) => matches(event, request));
    const touched = await touchesOf(metadata, folder, { events: matching, names });
    for (const one of touched) {
      if (request.action !== undefined && one.touch.action !== request.action) continue;
      const isEnough = scanned >= LOG_EVENTS_FOR_ROWS_MAX && runs.endBefore(one.event);
      if (!isEnough && runs.add(one, request.limit)) continue;
      const { seq } = one.event;
      return { seq: head, rows: runs.rows(), next: isForward ? seq - 1 : seq + 1 };
    }
    scanned += found.events.length;
    // Where hardly anything matches, more is read at once.
    limit = Math.min(2 * limit, EVENTS_PER_PAGE_DEFAULT);
    range = found.rest;
    await clock.yield();
  }
  const rows = runs.rows();
  if (range.high <= range.low) return { seq: head, rows };
  return { seq: head, rows, next: isForward ? range.low : range.high + 1 };
}

/** The runs of a page, in the order in which they begin. */
class Runs {
  readonly #runs: Touched[][] = [];
  /** By action and directory, those of the batch that was read last. */
  readonly #open = new Map<string, Touched[]>();
  #last: ServedEvent | undefined;

  /** @returns false, and leaves it, if it begins a run beyond the limit */
  add(one: Touched, limit: number): boolean {
    const { event } = one;
    if (this.endBefore(event)) this.#open.clear();
    const key = rowKey(one);
    const run = this.#open.get(key);
    if (run === undefined && this.#runs.length === limit) return false;
    if (run === undefined) {
      const begun = [one];
      this.#open.set(key, begun);
      this.#runs.push(begun);
    } else run.push(one);
    this.#last = event;
    return true;
  }

  /** True if there are runs, and the event belongs to none of them. */
  endBefore({ batch, device }: ServedEvent): boolean {
    return this.#last !== undefined && (this.#last.batch !== batch || this.#last.device !== device);
  }

  rows(): LogRow[] {
    return this.#runs.map(rowOf);
  }
}

/** Equal for events of one batch that are one row. A name has no slash at its end. */
export function rowKey({ event, touch }: Touched): string {
  const from = event.from === undefined ? "" : `${parentPath(event.from)}//`;
  return `${touch.action}/${from}${parentPath(event.path)}`;
}

async function rangeOf(
  { metadata }: PastSources,
  folder: FolderName,
  { request, head }: { readonly request: LogRequest; readonly head: Sequence },
): Promise<Range> {
  const { before, after, sinceMs, untilMs } = request;
  const since =
    sinceMs === undefined ? 0 : await seqAtTime(metadata, folder, { timeMs: sinceMs - 1, head });
  const until =
    untilMs === undefined ? head : await seqAtTime(metadata, folder, { timeMs: untilMs, head });
  return {
    low: Math.max(after ?? 0, since),
    high: Math.min(before === undefined ? head : before - 1, until, head),
  };
}

/** Some events of the range, in the direction that is read, and the range without them. */
async function eventsIn(
  { metadata }: PastSources,
  folder: FolderName,
  request: {
    readonly range: Range;
    readonly isForward: boolean;
    readonly id: NodeId | undefined;
    readonly limit: number;
  },
): Promise<{ readonly events: readonly ServedEvent[]; readonly rest: Range }> {
  const { range, isForward, id, limit } = request;
  const { low, high } = range;
  if (isForward) {
    const page = await metadata.events(folder, { after: low, limit });
    const events = page.events.filter(({ seq }) => seq <= high);
    return { events, rest: { low: events.at(-1)?.seq ?? high, high } };
  }
  const before = high + 1;
  const page =
    id === undefined
      ? await metadata.eventsBefore(folder, { before, limit })
      : await metadata.history(folder, { node: id, before, limit });
  const events = page.filter(({ seq }) => seq > low);
  const last = events.length < limit ? undefined : events.at(-1);
  return { events, rest: { low, high: last === undefined ? low : last.seq - 1 } };
}

/** The kinds of event that may be the action: which one it was takes another look at the log. */
const KINDS_OF_ACTION: Readonly<Record<Action, readonly EventKind[]>> = {
  upload: ["create"],
  update: ["modify"],
  rename: ["move"],
  delete: ["delete"],
  restore: ["create"],
  mkdir: ["create"],
  rmdir: ["delete"],
  symlink: ["create", "modify"],
  metadata: ["modify"],
};

function matches(event: ServedEvent, { path, id, device, action }: LogRequest): boolean {
  if (action !== undefined && !KINDS_OF_ACTION[action].includes(event.kind)) return false;
  if (id !== undefined && event.node !== id) return false;
  if (device !== undefined && event.device !== device) return false;
  if (path === undefined) return true;
  return isWithin(event.path, path) || isWithin(event.from, path);
}

/** @param run at least one event, in either direction */
function rowOf(run: readonly Touched[]): LogRow {
  const seqs = run.map(({ event }) => event.seq);
  const { event, touch } = run[0] ?? { event: undefined, touch: undefined };
  if (event === undefined) throw new Error("Broken invariant: a run has an event");
  const { time, device, deviceName, action } = touch;
  const { path, from, node, content, approval } = event;
  const seq = seqs.reduce((least, one) => Math.min(least, one));
  const lastSeq = seqs.reduce((most, one) => Math.max(most, one));
  const isFile = content.kind === "file";
  const size = run.reduce((sum, one) => sum + sizeOf(one.event), 0);
  const row = { seq, lastSeq, time, device, deviceName, action, count: run.length };
  const common = {
    ...row,
    ...(run.every((one) => isGone(one.event)) ? { gone: true } : {}),
    ...(approval === undefined ? {} : { approval }),
  };
  if (run.length > 1) return { ...common, path: parentPath(path), ...(size > 0 ? { size } : {}) };
  return {
    ...common,
    path,
    id: node,
    kind: content.kind,
    ...(from === undefined ? {} : { from }),
    ...(isFile ? { size } : {}),
  };
}

/** A deletion, which has no bytes, is no version. */
function isGone({ kind, gone }: ServedEvent): boolean {
  return kind !== "delete" && gone === true;
}

function sizeOf({ content }: ServedEvent): number {
  return content.kind === "file" ? content.size : 0;
}
