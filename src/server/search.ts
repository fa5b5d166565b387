/** Search: names in a folder at a moment, or in all of its past. Rules: E8. */
import { SyncedError } from "../core/error.ts";
import { type FolderName, type NodeId, parseId } from "../core/identifier.ts";
import { SEARCH_MS_MAX } from "../core/limits.ts";
import type { Sequence } from "../core/node.ts";
import type { Span, SpanKey } from "../ports/history-store.ts";
import type { SearchAnswer, SearchHit } from "../protocol/time-answers.ts";
import { PastPaths } from "./past-paths.ts";
import type { PastSources } from "./past-sources.ts";
import { readTouches } from "./touches.ts";

export interface SearchRequest {
  /** Part of a name, whatever the case of its ASCII letters. */
  readonly text: string;
  /** True to find also what is not there any more. */
  readonly ever: boolean;
  readonly at?: Sequence | undefined;
  /** Only what is below this directory. @default everything */
  readonly path?: string | undefined;
  /** The `next` of the answer before. */
  readonly after?: string | undefined;
  readonly limit: number;
}

/** A few milliseconds of the server's thread. */
const SPANS_PER_SLICE = 5_000;

/**
 * A node is found in the state that it has at the moment, or in its last one before. A name that it
 * had only earlier finds it, too, if it is searched for ever.
 */
export async function readSearch(
  sources: PastSources,
  folder: FolderName,
  request: SearchRequest,
): Promise<SearchAnswer> {
  const { history, follower, clock } = sources;
  const { text, limit, path = "" } = request;
  const at = await follower.ready(folder, request.at);
  const startMs = clock.monotonic();
  const hits: Span[] = [];
  let after = request.after === undefined ? undefined : parseKey(request.after);
  for (;;) {
    const slice = { text, scan: SPANS_PER_SLICE, ...(after === undefined ? {} : { after }) };
    const { found, next } = await history.search(folder, slice);
    for (const span of found) {
      if (hits.length === limit) return await answer(sources, folder, { at, hits, after });
      after = span;
      const hit = await hitOf(sources, folder, { ...request, span, at });
      if (hit === undefined) continue;
      if (await isBelow(sources, folder, { hit, at, path })) hits.push(hit);
    }
    after = next;
    const isLate = clock.monotonic() - startMs > SEARCH_MS_MAX;
    if (next === undefined || isLate) return await answer(sources, folder, { at, hits, after });
    await clock.yield();
  }
}

/** The state in which a node is shown. @returns undefined if this span does not show it */
async function hitOf(
  { history }: PastSources,
  folder: FolderName,
  request: {
    readonly span: Span;
    readonly at: Sequence;
    readonly ever: boolean;
    readonly text: string;
  },
): Promise<Span | undefined> {
  const { span, at, ever, text } = request;
  if (span.from > at) return undefined;
  if (span.to > at) return span;
  if (!ever) return undefined;
  // A later state of the node that has the text in its name, too, is found itself.
  for (const moment of [span.to, at]) {
    const later = await history.nodeAt(folder, span.node, moment);
    if (later === undefined) return undefined;
    if (later.from !== span.from && hasText(later.name, text)) return undefined;
    if (moment === at) return later;
  }
  return undefined;
}

/** As LIKE of SQLite compares: only the case of ASCII letters does not matter. */
function hasText(name: string, text: string): boolean {
  return inLowerAscii(name).includes(inLowerAscii(text));
}

function inLowerAscii(text: string): string {
  return text.replace(/[A-Z]/g, (letter) => letter.toLowerCase());
}

async function isBelow(
  { history }: PastSources,
  folder: FolderName,
  { hit, at, path }: { readonly hit: Span; readonly at: Sequence; readonly path: string },
): Promise<boolean> {
  if (path === "") return true;
  const own = await new PastPaths(history, folder, Math.min(at, hit.to - 1)).pathOf(hit);
  return own.startsWith(`${path}/`);
}

async function answer(
  { metadata, history }: PastSources,
  folder: FolderName,
  found: {
    readonly at: Sequence;
    readonly hits: readonly Span[];
    readonly after: SpanKey | undefined;
  },
): Promise<SearchAnswer> {
  const { at, after } = found;
  const isGone = ({ to }: Span) => to <= at;
  const seqOf = (span: Span) => (isGone(span) ? span.to : span.from);
  const touches = await readTouches(metadata, folder, found.hits.map(seqOf));
  const now = new PastPaths(history, folder, at);
  const hits: SearchHit[] = [];
  for (const span of found.hits) {
    const last = touches.get(seqOf(span));
    if (last === undefined) continue;
    const { node: id, kind, size } = span;
    const path = isGone(span) ? last.event.path : await now.pathOf(span);
    const state = isGone(span) ? "deleted" : "live";
    const hit = { id, path, kind, state, last: last.touch } as const;
    hits.push(kind === "file" ? { ...hit, size } : hit);
  }
  return { seq: at, hits, ...(after === undefined ? {} : { next: formatKey(after) }) };
}

/** Names hold no "/". */
function formatKey({ parent, name, from }: SpanKey): string {
  return `${parent}/${from}/${name}`;
}

function parseKey(text: string): SpanKey {
  const [, parent = "", from = "", name = ""] =
    /^([0-9a-f]{32})\/(\d{1,16})\/(.+)$/s.exec(text) ?? [];
  if (parent === "") {
    throw new SyncedError(
      "invalid_parameter",
      'Cannot use after: expected the "next" of an answer',
    );
  }
  return { parent: parseId<NodeId>(parent), name, from: Number(from) };
}
