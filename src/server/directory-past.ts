/** A directory as of any event: its entries by page, and all of its past at once. Rules: E3, E5. */
import { SyncedError } from "../core/error.ts";
import { foldEvent } from "../core/fold.ts";
import type { FolderName } from "../core/identifier.ts";
import type { Sequence } from "../core/node.ts";
import type { DirectoryRequest, ListSort, Span } from "../ports/history-store.ts";
import type { ListAnswer, ListEntry, SpansAnswer } from "../protocol/time-answers.ts";
import { sortedPage, spansAt } from "./directory-histories.ts";
import { PastPaths } from "./past-paths.ts";
import type { PastSources } from "./past-sources.ts";
import { readTouches, shownContent } from "./touches.ts";

export interface ListRequest {
  /** "" is the root. */
  readonly path: string;
  /** @default the head */
  readonly at?: Sequence | undefined;
  readonly sort: ListSort;
  readonly descending: boolean;
  /** Only names beyond this one. */
  readonly after?: string | undefined;
  readonly offset: number;
  readonly limit: number;
  readonly withDeleted: boolean;
}

export interface SpansRequest {
  readonly path: string;
  /** The directory is the one that is at the path then. @default the head */
  readonly at?: Sequence | undefined;
  /** Only spans that are there at one of the moments in between. */
  readonly from?: Sequence | undefined;
  readonly to?: Sequence | undefined;
  readonly limit: number;
}

export async function readList(
  sources: PastSources,
  folder: FolderName,
  request: ListRequest,
): Promise<ListAnswer> {
  const { metadata, history, follower } = sources;
  const { offset, limit } = request;
  const at = await follower.ready(folder, request.at);
  const parent = await new PastPaths(history, folder, at).directoryAt(request.path);
  const { total, rows } = await readRows(sources, folder, { ...request, parent, at });
  const seqs = rows.flatMap(({ from, to, isDeleted }) =>
    isDeleted && to <= at ? [from, to] : from,
  );
  const touches = await readTouches(metadata, folder, seqs);
  const entries = rows.flatMap((span): ListEntry[] => {
    const made = touches.get(span.from);
    if (made === undefined) return [];
    const { contentVersion, placeVersion, content } = foldEvent(made.event);
    const { name, kind, node: id } = span;
    const entry = { name, kind, id, contentVersion, placeVersion, last: made.touch };
    const ended = span.to <= at ? touches.get(span.to)?.touch : undefined;
    return [
      { ...entry, ...shownContent(content), ...(ended === undefined ? {} : { deleted: ended }) },
    ];
  });
  const end = offset + rows.length;
  const isWhole = rows.length < limit || request.after !== undefined || end >= total;
  return { seq: at, node: parent, total, entries, ...(isWhole ? {} : { next: end }) };
}

async function readRows(
  { history, directories }: PastSources,
  folder: FolderName,
  request: DirectoryRequest,
): Promise<{ readonly total: number; readonly rows: readonly Span[] }> {
  const spans = await directories.of(folder, request.parent);
  if (spans === undefined) {
    const total = await history.count(folder, request);
    return { total, rows: await history.list(folder, request) };
  }
  const rows = spansAt(spans, request);
  return { total: rows.length, rows: sortedPage(rows, request) };
}

export async function readSpans(
  { history, follower, directories }: PastSources,
  folder: FolderName,
  request: SpansRequest,
): Promise<SpansAnswer> {
  const seq = await follower.ready(folder, request.at);
  const node = await new PastPaths(history, folder, seq).directoryAt(request.path);
  const { from = 0, to = Number.MAX_SAFE_INTEGER, limit } = request;
  const all = await directories.of(folder, node);
  const spans = all?.filter((span) => span.to > from && span.from <= to);
  if (spans === undefined || spans.length > limit) {
    throw new SyncedError(
      "too_many_spans",
      `Cannot answer with all of the past of "${request.path}": it is more than ${limit} states; ` +
        "ask for the list at one moment",
    );
  }
  return {
    seq,
    node,
    names: spans.map((span) => span.name),
    ids: spans.map((span) => span.node),
    from: spans.map((span) => span.from),
    to: spans.map((span) => span.to),
    kind: spans.map((span) => span.kind),
    size: spans.map((span) => span.size),
    mtime: spans.map((span) => span.mtimeMs),
    deleted: spans.map((span) => span.isDeleted),
  };
}
