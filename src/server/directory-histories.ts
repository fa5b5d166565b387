/**
 * Keeps the whole past of directories that are looked at in memory, so that a slider can be dragged
 * through it. Rules: E3.
 *
 * A kept directory follows the folds. Folds that come while it is read are laid over what was read;
 * that a fold is in both does no harm.
 */
import type { FolderName, NodeId } from "../core/identifier.ts";
import { HISTORY_DIRECTORY_SPANS_MAX, HISTORY_SPANS_KEPT_MAX } from "../core/limits.ts";
import { compareNames } from "../core/path.ts";
import type { Clock } from "../ports/clock.ts";
import type {
  DirectoryMoment,
  DirectoryRequest,
  FoldedSpans,
  HistoryStore,
  ListSort,
  Span,
} from "../ports/history-store.ts";

/** Read between two turns of the event loop. */
const SPANS_PER_PAGE = 2_000;

/** More news than this are not laid over: the directory is read again when it is looked at. */
const NEWS_MAX = 10_000;

interface Kept {
  /** By name, then `from`; undefined while they are read, and if there are too many. */
  spans: readonly Span[] | undefined;
  /** Spans that were folded since, oldest first. */
  news: Span[];
}

export class DirectoryHistories {
  readonly #history: HistoryStore;
  readonly #clock: Clock;
  /** By folder and directory; the one that was used last comes last. */
  readonly #kept = new Map<string, { readonly kept: Kept; readonly reading: Promise<void> }>();

  constructor(history: HistoryStore, clock: Clock) {
    this.#history = history;
    this.#clock = clock;
  }

  /** For `SpansFollower.onFold`. */
  follow(folder: FolderName, folded: FoldedSpans | undefined): void {
    if (folded === undefined) {
      for (const key of [...this.#kept.keys()]) {
        if (key.startsWith(`${folder}/`)) this.#kept.delete(key);
      }
      return;
    }
    for (const spans of [folded.closed, folded.opened]) {
      for (const span of spans) {
        const key = keyOf(folder, span.parent);
        const news = this.#kept.get(key)?.kept.news;
        if (news === undefined) continue;
        if (news.length < NEWS_MAX) news.push(span);
        else this.#kept.delete(key);
      }
    }
  }

  /**
   * All spans of a directory by name, then `from`.
   *
   * @returns undefined if it has more than are kept
   */
  async of(folder: FolderName, parent: NodeId): Promise<readonly Span[] | undefined> {
    const key = keyOf(folder, parent);
    const known = this.#kept.get(key);
    this.#kept.delete(key);
    const entry = known ?? this.#open(folder, parent);
    this.#kept.set(key, entry);
    try {
      await entry.reading;
    } catch (error) {
      this.#kept.delete(key);
      throw error;
    }
    const { kept } = entry;
    if (kept.spans !== undefined && kept.news.length > 0)
      kept.spans = merged(kept.spans, kept.news);
    kept.news = [];
    if (known === undefined) this.#makeRoom();
    return kept.spans;
  }

  #open(folder: FolderName, parent: NodeId) {
    const kept: Kept = { spans: undefined, news: [] };
    return { kept, reading: this.#read(folder, parent, kept) };
  }

  async #read(folder: FolderName, parent: NodeId, kept: Kept): Promise<void> {
    const spans: Span[] = [];
    for (;;) {
      const after = spans.at(-1);
      const page = { parent, limit: SPANS_PER_PAGE, ...(after === undefined ? {} : { after }) };
      const found = await this.#history.spans(folder, page);
      for (const span of found) spans.push(span);
      if (spans.length > HISTORY_DIRECTORY_SPANS_MAX) return;
      if (found.length < SPANS_PER_PAGE) break;
      await this.#clock.yield();
    }
    kept.spans = spans;
  }

  /** Drops those that were not used for longest. The one that was asked for last stays. */
  #makeRoom(): void {
    let count = 0;
    for (const [key, { kept }] of [...this.#kept].reverse()) {
      const own = kept.spans?.length ?? 0;
      if (count > 0 && count + own > HISTORY_SPANS_KEPT_MAX) this.#kept.delete(key);
      else count += own + 1;
    }
  }
}

function keyOf(folder: FolderName, parent: NodeId): string {
  return `${folder}/${parent}`;
}

/** Lays newer states over a directory's spans. */
function merged(spans: readonly Span[], news: readonly Span[]): readonly Span[] {
  const latest = new Map(news.map((span) => [`${span.from}/${span.name}`, span]));
  const added = [...latest.values()].sort(bySpanKey);
  const result: Span[] = [];
  let next = 0;
  for (const span of spans) {
    for (;;) {
      const candidate = added[next];
      if (candidate === undefined || bySpanKey(candidate, span) >= 0) break;
      result.push(candidate);
      next++;
    }
    const candidate = added[next];
    if (candidate !== undefined && bySpanKey(candidate, span) === 0) {
      result.push(candidate);
      next++;
    } else {
      result.push(span);
    }
  }
  for (const span of added.slice(next)) result.push(span);
  return result;
}

function bySpanKey(a: Span, b: Span): number {
  return compareNames(a.name, b.name) || a.from - b.from;
}

/**
 * The rows of a directory at a moment, in the order of names.
 *
 * @param spans all of the directory, by name, then `from`
 */
export function spansAt(
  spans: readonly Span[],
  { at, withDeleted }: Pick<DirectoryMoment, "at" | "withDeleted">,
): Span[] {
  const found: Span[] = [];
  for (let index = 0; index < spans.length; index++) {
    const span = spans[index];
    if (span === undefined || span.from > at) continue;
    if (span.to > at) {
      found.push(span);
      continue;
    }
    if (!withDeleted || !span.isDeleted) continue;
    const later = spans[index + 1];
    const isFree = later === undefined || later.name !== span.name || later.from > at;
    if (isFree) found.push(span);
  }
  return found;
}

const VALUES: Readonly<Record<Exclude<ListSort, "name">, (span: Span) => number>> = {
  size: ({ size }) => size,
  time: ({ mtimeMs }) => mtimeMs,
  changed: ({ from }) => from,
};

/** The page that `HistoryStore.list` would answer, out of `spansAt`. */
export function sortedPage(
  rows: readonly Span[],
  { sort, descending, after, offset, limit }: Omit<DirectoryRequest, keyof DirectoryMoment>,
): readonly Span[] {
  const start = after === undefined ? 0 : firstBeyond(rows, after);
  const rest = start === 0 ? rows : rows.slice(start);
  const direction = descending ? -1 : 1;
  let sorted = rest;
  if (sort !== "name") {
    const value = VALUES[sort];
    sorted = rest.toSorted((a, b) => (value(a) - value(b)) * direction);
  } else if (descending) {
    sorted = rest.toReversed();
  }
  return sorted.slice(offset, offset + limit);
}

function firstBeyond(rows: readonly Span[], name: string): number {
  let low = 0;
  let high = rows.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (compareNames(rows[middle]?.name ?? "", name) > 0) high = middle;
    else low = middle + 1;
  }
  return low;
}
