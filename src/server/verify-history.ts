/**
 * verifyHistory(): finds out whether a folder's spans and counts of activity are what its log folds
 * to, as far as they were folded. Rules: E1, U12.
 */
import { changeOf } from "../core/change.ts";
import type { Cursor, Event } from "../core/event.ts";
import { EVENTS_PER_PAGE_MAX } from "../core/limits.ts";
import type { Sequence } from "../core/node.ts";
import { parseTime } from "../core/time.ts";
import {
  type ActivityRow,
  type HistoryStore,
  type SequenceRange,
  type Span,
  STILL_OPEN,
  spanOf,
} from "../ports/history-store.ts";
import type { FolderHead, MetadataStore } from "../ports/metadata-store.ts";

interface Stores {
  readonly metadata: MetadataStore;
  readonly history: HistoryStore;
}

type Counted = Pick<ActivityRow, "count" | "bytes" | "first" | "last">;

/**
 * @returns where they differ, as a part of a sentence; undefined if they do not, or belong to a log
 * that is not there, with which the server begins anew
 * @throws whatever reading the log throws
 */
export async function differenceIn(
  { metadata, history }: Stores,
  { folder: { name, epoch } }: FolderHead,
): Promise<string | undefined> {
  const cursor = await history.followed(name);
  if (cursor === undefined || cursor.epoch !== epoch) return undefined;
  if ((await metadata.hashAt(name, cursor.seq)) !== cursor.hash) return undefined;
  const counts = new Map<string, Counted>();
  for (let after = 0; after < cursor.seq; ) {
    const page = await metadata.events(name, { after, limit: EVENTS_PER_PAGE_MAX });
    const events = page.events.filter(({ seq }) => seq <= cursor.seq);
    const range = { after, upTo: events.at(-1)?.seq ?? cursor.seq };
    const opened = await history.opened(name, range, 0);
    const closed = await history.closed(name, range, range.upTo);
    const wrong = firstWrong(events, opened, closed);
    if (wrong !== undefined) return `differs from its log at event ${wrong}`;
    for (const event of events) countIn(counts, event);
    after = range.upTo;
  }
  if (await hasMore(history, name, cursor)) return `goes beyond event ${cursor.seq}`;
  const miscounts = "counts other changes than its log";
  for (const row of await history.activity(name, { after: 0, upTo: cursor.seq })) {
    const key = keyOf(row);
    const counted = counts.get(key);
    if (counted === undefined || !isSameCount(counted, row)) return miscounts;
    counts.delete(key);
  }
  return counts.size > 0 ? miscounts : undefined;
}

/** @returns the first event whose spans are not as it left them */
function firstWrong(
  events: readonly Event[],
  opened: readonly Span[],
  closed: readonly Span[],
): Sequence | undefined {
  const [begun, ended] = [opened, closed].map((spans) => spans.values());
  for (const event of events) {
    const { seq, node, kind } = event;
    if (kind !== "delete") {
      const found = begun?.next().value;
      if (found === undefined || !isSame(found, spanOf(event))) return seq;
    }
    if (kind === "create") continue;
    const found = ended?.next().value;
    if (found?.to !== seq || found.node !== node) return seq;
    if (found.isDeleted !== (kind === "delete") || found.from >= seq) return seq;
  }
  return begun?.next().value?.from ?? ended?.next().value?.to;
}

/** The end of a span is compared where it ends. */
function isSame(one: Span, other: Span): boolean {
  const fields = ["parent", "name", "from", "node", "kind", "size", "mtimeMs"] as const;
  const hasSameContent = one.fingerprint === other.fingerprint;
  if (one.to === STILL_OPEN && one.isDeleted) return false;
  return hasSameContent && fields.every((field) => one[field] === other[field]);
}

async function hasMore(
  history: HistoryStore,
  name: Parameters<HistoryStore["opened"]>[0],
  { seq }: Cursor,
): Promise<boolean> {
  const later: SequenceRange = { after: seq, upTo: STILL_OPEN - 1 };
  const begun = await history.opened(name, later, 0);
  const ended = await history.closed(name, later, STILL_OPEN);
  return begun.length + ended.length > 0;
}

function countIn(counts: Map<string, Counted>, event: Event): void {
  const { change, bytes } = changeOf(event);
  const minute = Math.floor(parseTime(event.time) / 60_000);
  const key = keyOf({ minute, device: event.device, change });
  const { seq } = event;
  const known = counts.get(key) ?? { count: 0, bytes: 0, first: seq };
  const { count, first } = known;
  counts.set(key, { count: count + 1, bytes: known.bytes + bytes, first, last: seq });
}

function isSameCount(one: Counted, other: Counted): boolean {
  const fields = ["count", "bytes", "first", "last"] as const;
  return fields.every((field) => one[field] === other[field]);
}

function keyOf(row: {
  readonly minute: number;
  readonly device: string;
  readonly change: string;
}): string {
  return `${row.minute}/${row.device}/${row.change}`;
}
