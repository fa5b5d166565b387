/**
 * Two moments of a folder compared, node by node. Rules: E4.
 *
 * A node whose span began and ended between the moments was not there at either. One that was there
 * at both is compared by place and content. What is below a directory that moved has no event of
 * its own, and no entry.
 */
import { SyncedError } from "../core/error.ts";
import type { FolderName, NodeId } from "../core/identifier.ts";
import { DIFF_CHANGES_KEPT_MAX, DIFF_CHANGES_MAX } from "../core/limits.ts";
import { type Sequence, samePlace } from "../core/node.ts";
import { isWithin } from "../core/path.ts";
import type { SequenceRange, Span, SpanKey } from "../ports/history-store.ts";
import type { DiffAnswer, DiffEntry } from "../protocol/time-answers.ts";
import { PastPaths } from "./past-paths.ts";
import type { PastSources } from "./past-sources.ts";
import { headOf } from "./path-reads.ts";
import { readTouches, shownContent } from "./touches.ts";

export interface DiffRequest {
  /** May be later than `to`: then what was added counts as removed. */
  readonly from: Sequence;
  /** @default the head */
  readonly to?: Sequence | undefined;
  /** Only what is or was at or below this path. @default everything */
  readonly path?: string | undefined;
  /** How many changes come before the page. */
  readonly offset: number;
  readonly limit: number;
}

interface Moments {
  readonly from: Sequence;
  readonly to: Sequence;
}

/** A node's states at both moments, as far as it was there. */
interface Sides {
  before?: Span | undefined;
  after?: Span | undefined;
}

interface Change extends Readonly<Sides> {
  readonly what: DiffEntry["what"];
  readonly path: string;
  /** The earlier path, if it is another one. */
  readonly from?: string;
}

/** Events whose spans are read between two turns of the event loop. */
const EVENTS_PER_SLICE = 2_000;
/** Spans that are looked at between two turns. */
const SPANS_PER_SLICE = 4_000;
/** Measured: to find a span by its event takes forty times as long as to pass over one. */
const SCAN_SHARE = 1 / 20;
/** Nodes whose paths are computed between two turns. */
const CHANGES_PER_SLICE = 1_000;
/** Pages of one comparison come one after the other, and a person looks at few at a time. */
const COMPARISONS_KEPT = 4;
/** A directory that moved is said to have so many nodes in it at most. */
const INSIDE_MAX = 10_000;

interface Comparison {
  readonly changes: Promise<readonly Change[]>;
  /** 0 until it is made. */
  count: number;
}

export class Differences {
  /** By folder, moments and path; the latest last. */
  readonly #kept = new Map<string, Comparison>();

  async read(sources: PastSources, folder: FolderName, request: DiffRequest): Promise<DiffAnswer> {
    const to = await sources.follower.ready(folder, request.to);
    const from = await sources.follower.ready(folder, request.from);
    const { path = "", offset, limit } = request;
    const changes = await this.#changes(sources, folder, { from, to, path });
    const end = offset + limit;
    const page = changes.slice(offset, end);
    const entries = await entriesOf(sources, folder, { from, to, page });
    const answer = { from, to, summary: summaryOf(changes), entries };
    return end < changes.length ? { ...answer, next: end } : answer;
  }

  async #changes(
    sources: PastSources,
    folder: FolderName,
    request: Moments & { readonly path: string },
  ): Promise<readonly Change[]> {
    const { epoch } = await headOf(sources.metadata, folder, undefined);
    const key = JSON.stringify([folder, epoch, request.from, request.to, request.path]);
    const known = this.#kept.get(key);
    const entry = known ?? { changes: compare(sources, folder, request), count: 0 };
    this.#kept.delete(key);
    this.#kept.set(key, entry);
    try {
      const changes = await entry.changes;
      entry.count = changes.length;
      this.#makeRoom();
      return changes;
    } catch (error) {
      this.#kept.delete(key);
      throw error;
    }
  }

  /** Drops those that were not used for longest. The one that was asked for last stays. */
  #makeRoom(): void {
    let [kept, count] = [0, 0];
    for (const [key, entry] of [...this.#kept].reverse()) {
      const isMore = count + entry.count > DIFF_CHANGES_KEPT_MAX || kept === COMPARISONS_KEPT;
      if (kept > 0 && isMore) this.#kept.delete(key);
      else [kept, count] = [kept + 1, count + entry.count];
    }
  }
}

/** All changes from one moment to the other, by path. */
async function compare(
  sources: PastSources,
  folder: FolderName,
  { from, to, path }: Moments & { readonly path: string },
): Promise<readonly Change[]> {
  const { history, clock } = sources;
  const sides = await changedNodes(sources, folder, { from, to });
  const atFrom = new PastPaths(history, folder, from);
  const atTo = new PastPaths(history, folder, to);
  const changes: Change[] = [];
  let count = 0;
  for (const { before, after } of sides.values()) {
    if (++count % CHANGES_PER_SLICE === 0) await clock.yield();
    const what = whatChanged({ before, after });
    if (what === undefined) continue;
    const earlier = before && (atFrom.knownPathOf(before) ?? (await atFrom.pathOf(before)));
    const later = after && (atTo.knownPathOf(after) ?? (await atTo.pathOf(after)));
    if (![earlier, later].some((one) => isWithin(one, path))) continue;
    changes.push({
      what,
      path: later ?? earlier ?? "",
      ...(earlier !== undefined && later !== undefined && earlier !== later
        ? { from: earlier }
        : {}),
      before,
      after,
    });
  }
  return changes.sort((a, b) => (a.path < b.path ? -1 : Number(a.path > b.path)));
}

/** The nodes whose spans differ between two moments; some of them may be as they were. */
export async function changedNodes(
  sources: PastSources,
  folder: FolderName,
  { from, to }: Moments,
): Promise<ReadonlyMap<NodeId, Sides>> {
  const sides = new Map<NodeId, Sides>();
  const range = { after: Math.min(from, to), upTo: Math.max(from, to) };
  for await (const spans of crossingSpans(sources, folder, range)) {
    for (const span of spans) {
      const side = span.from <= from && span.to > from ? "before" : "after";
      const known = sides.get(span.node);
      if (known === undefined) sides.set(span.node, { [side]: span });
      else known[side] = span;
    }
    if (sides.size > DIFF_CHANGES_MAX) {
      const claim = `more than ${DIFF_CHANGES_MAX} entries differ; take nearer moments`;
      throw new SyncedError("too_many_spans", `Cannot compare ${from} with ${to}: ${claim}`);
    }
  }
  return sides;
}

/** Spans that are there at the beginning or the end of a range, but not at both, some at a time. */
async function* crossingSpans(
  { history, metadata, clock }: PastSources,
  folder: FolderName,
  range: SequenceRange,
): AsyncGenerator<readonly Span[], void, undefined> {
  const { after: low, upTo: high } = range;
  const { seq: head } = await headOf(metadata, folder, undefined);
  if (high - low > head * SCAN_SHARE) {
    for (let after: SpanKey | undefined; ; ) {
      const slice = await history.crossing(folder, { range, after, scan: SPANS_PER_SLICE });
      yield slice.found;
      after = slice.next;
      if (after === undefined) return;
      await clock.yield();
    }
  }
  for (let after = low; after < high; after += EVENTS_PER_SLICE) {
    const part = { after, upTo: Math.min(after + EVENTS_PER_SLICE, high) };
    yield await history.closed(folder, part, low);
    yield await history.opened(folder, part, high);
    await clock.yield();
  }
}

/** @returns undefined if all is as it was, as after a restore */
function whatChanged({ before, after }: Readonly<Sides>): DiffEntry["what"] | undefined {
  if (before === undefined) return after === undefined ? undefined : "added";
  if (after === undefined) return "removed";
  if (before.fingerprint !== after.fingerprint) return "modified";
  return samePlace(before, after) ? undefined : "moved";
}

function summaryOf(changes: readonly Change[]): DiffAnswer["summary"] {
  const summary = { added: 0, removed: 0, modified: 0, moved: 0, bytes: 0 };
  for (const { what, after } of changes) {
    summary[what] += 1;
    if (what === "added" || what === "modified") summary.bytes += after?.size ?? 0;
  }
  return summary;
}

async function entriesOf(
  sources: PastSources,
  folder: FolderName,
  { from, to, page }: Moments & { readonly page: readonly Change[] },
): Promise<DiffEntry[]> {
  const seqs = page.flatMap((change) => [lastSeq(change, { from, to }), ...startsOf(change)]);
  const touches = await readTouches(sources.metadata, folder, seqs);
  const sideOf = (span: Span | undefined) => {
    const content = span === undefined ? undefined : touches.get(span.from)?.event.content;
    return content === undefined ? undefined : shownContent(content);
  };
  const entries: DiffEntry[] = [];
  for (const change of page) {
    const { what, path, before, after } = change;
    const span = after ?? before;
    const last = touches.get(lastSeq(change, { from, to }))?.touch;
    if (span === undefined || last === undefined) continue;
    const hasMoved = what === "moved" && span.kind === "directory";
    const inside = hasMoved
      ? await countBelow(sources, folder, { id: span.node, at: to })
      : undefined;
    const sides = { before: sideOf(before), after: sideOf(after) };
    entries.push({
      what,
      path,
      kind: span.kind,
      id: span.node,
      last,
      ...(change.from === undefined ? {} : { from: change.from }),
      ...(sides.before === undefined ? {} : { before: sides.before }),
      ...(sides.after === undefined ? {} : { after: sides.after }),
      ...(inside === undefined ? {} : { inside }),
    });
  }
  return entries;
}

function startsOf({ before, after }: Change): Sequence[] {
  return [before, after].flatMap((span) => span?.from ?? []);
}

/** The last event of the node between the moments. */
function lastSeq({ before, after }: Change, { from, to }: Moments): Sequence {
  const [earlier, later] = from <= to ? [before, after] : [after, before];
  return later?.from ?? earlier?.to ?? 0;
}

/** Counts what is below a directory at a moment, up to INSIDE_MAX. */
async function countBelow(
  { history }: PastSources,
  folder: FolderName,
  { id, at }: { readonly id: NodeId; readonly at: Sequence },
): Promise<number> {
  const waiting = [id];
  let count = 0;
  for (let parent = waiting.pop(); parent !== undefined; parent = waiting.pop()) {
    const moment = { parent, at, withDeleted: false, sort: "name", descending: false } as const;
    const rows = await history.list(folder, { ...moment, offset: 0, limit: INSIDE_MAX - count });
    count += rows.length;
    if (count >= INSIDE_MAX) break;
    for (const row of rows) if (row.kind === "directory") waiting.push(row.node);
  }
  return count;
}
