/**
 * The entries of one directory at one moment. The first rows come at once with the number of all of
 * them, the rest behind them; events of the log keep the present up to date, row by row.
 */
import { computed, effect, signal, untracked } from "@preact/signals";
import {
  type ListEntry as Entry,
  listAnswerSchema,
  type Touch,
} from "../../protocol/time-answers.ts";
import type { Folder, FolderEvent } from "./answers.ts";
import { ask, folderRoute, isSignedOut, type Problem, problemOf, query } from "./api.ts";
import { deviceName } from "./devices.ts";
import { folder, onEvent } from "./live.ts";
import { route, settle } from "./route.ts";

const FOLD_DELAY_MS = 30;
/** How soon a server that is still indexing is asked again. */
const PENDING_MS = 1_000;
const FIRST_ROWS = 100;
const ROWS_PER_REQUEST = 1000;
/** Beyond this a list is no use to a person, and a browser cannot scroll it. */
const ROWS_MAX = 400_000;

export type ListingState =
  | { readonly kind: "loading" }
  | { readonly kind: "loaded" }
  | { readonly kind: "gone" }
  /** The server is still making its history, and has this part of it. */
  | { readonly kind: "pending"; readonly progress: number }
  | { readonly kind: "failed"; readonly problem: Problem };

export const SORTS = ["name", "size", "changed"] as const;
export type Sort = (typeof SORTS)[number];

export const listingState = signal<ListingState>({ kind: "loading" });
export const showsDeleted = signal(false);
export const filter = signal("");
export const sort = signal<{ readonly by: Sort; readonly isDescending: boolean }>({
  by: "name",
  isDescending: false,
});
/** The id of the directory that is shown. */
export const directory = signal("");
/** How many entries there are, known before all of them are. */
export const total = signal(0);
const entries = signal<ReadonlyMap<string, Entry>>(new Map());
/** Rows that stand in for the list while the slider of time moves. */
export const override = signal<ReadonlyMap<string, Entry> | undefined>(undefined);

const collator = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" });

const sorted = computed<readonly Entry[]>(() => {
  const all = [...(override.value ?? entries.value).values()];
  const { by, isDescending } = sort.value;
  orderNames(all);
  const sign = isDescending ? -1 : 1;
  return all.sort((one, other) => rank(one) - rank(other) || sign * compare(one, other, by));
});

/** Names by their place in a person's order: to compare places takes a hundredth of the time. */
let places: ReadonlyMap<string, number> = new Map();

function orderNames(all: readonly Entry[]): void {
  const unknown = all.filter(({ name }) => !places.has(name));
  if (unknown.length === 0) return;
  // The last order goes in, since sorting what is nearly in order takes least.
  const known = places.size > 2 * all.length ? [] : [...places.keys()];
  const names = [...known, ...(known.length > 0 ? unknown : all).map(({ name }) => name)];
  const inOrder = [...new Set(names)].sort(
    (one, other) => collator.compare(one, other) || (one < other ? -1 : 1),
  );
  places = new Map(inOrder.map((name, place) => [name, place]));
}

export const rows = computed<readonly Entry[]>(() => {
  const wanted = filter.value.trim().toLowerCase();
  const withGhosts = showsDeleted.value;
  return sorted.value.filter(
    ({ name, deleted }) =>
      (deleted === undefined || withGhosts) &&
      (wanted === "" || name.toLowerCase().includes(wanted)),
  );
});

/** How many rows there will be: all of a directory from its first rows on. */
export const rowCount = computed(() => {
  const { length } = rows.value;
  const isFiltered = filter.value.trim() !== "" || override.value !== undefined;
  if (isFiltered || listingState.value.kind !== "loading") return length;
  return Math.max(length, total.value);
});

/** Directories stand first, whatever the order. */
function rank({ kind }: Entry): number {
  return kind === "directory" ? 0 : 1;
}

function compare(one: Entry, other: Entry, by: Sort): number {
  const byName = placeOf(one) - placeOf(other);
  switch (by) {
    case "size":
      return (one.size ?? 0) - (other.size ?? 0) || byName;
    case "changed":
      return one.last.seq - other.last.seq;
    case "name":
      return byName || one.last.seq - other.last.seq;
  }
}

function placeOf({ name }: Entry): number {
  return places.get(name) ?? 0;
}

/** True once every entry is there, so that a filter sees them all. */
export const isComplete = computed(() => listingState.value.kind === "loaded");

let loading = new AbortController();

/** Loads what the address names whenever that changes. */
export function watchRoute(): void {
  effect(() => {
    const { folder: name, view, path, at, from } = route.value;
    const open = folder.value?.name === name ? folder.value : undefined;
    const withDeleted = showsDeleted.value;
    if (isSignedOut.value) shown = undefined;
    if (name === undefined || isSignedOut.value || view !== "files" || from !== undefined) return;
    untracked(() => list({ folder: name, path, at, withDeleted }, open));
  });
  onEvent((event) => {
    if (route.value.at !== undefined) return;
    heard.push(event);
    // Many events that come at once are one change of the list.
    if (heard.length === 1) setTimeout(foldHeard, FOLD_DELAY_MS);
  });
}

export function reload(): void {
  const { folder: name, path, at } = route.value;
  if (name === undefined) return;
  void load({ folder: name, path, at, withDeleted: showsDeleted.value });
}

interface Wanted {
  readonly folder: string;
  readonly path: string;
  readonly at: number | undefined;
  readonly withDeleted: boolean;
}

let shown: Wanted | undefined;
/** The folder as it was opened when that was asked for; undefined if it was not open yet. */
let shownOf: Folder | undefined;
/** The event as of which the present is listed; undefined until the first rows are there. */
let listedSeq: number | undefined;

/**
 * The first list is asked for beside the folder, and stands if the folder was not opened at a later
 * event: from there on the stream tells of each change.
 */
function list(wanted: Wanted, open: Folder | undefined): void {
  const isAsked = shownOf === undefined && shown !== undefined && isSame(shown, wanted);
  shownOf = open;
  if (!isAsked || isBefore(open)) void load(wanted);
}

function isSame(one: Wanted, other: Wanted): boolean {
  const { folder: name, path, at, withDeleted } = one;
  const isSamePlace = name === other.folder && path === other.path;
  return isSamePlace && at === other.at && withDeleted === other.withDeleted;
}

function isBefore(open: Folder | undefined): boolean {
  return open !== undefined && listedSeq !== undefined && listedSeq < open.head;
}

async function load(wanted: Wanted): Promise<void> {
  loading.abort();
  const mine = new AbortController();
  loading = mine;
  const isElsewhere = shown?.folder !== wanted.folder || shown.path !== wanted.path;
  // Rows of the same directory stay until the new ones are there: a list that blinks cannot be
  // compared with itself.
  if (isElsewhere) {
    entries.value = new Map();
    total.value = 0;
    filter.value = "";
    directory.value = "";
  }
  shown = wanted;
  listedSeq = undefined;
  listingState.value = { kind: "loading" };
  // Heard while pages are on their way.
  missed.length = 0;
  try {
    await loadPages(wanted, mine.signal);
    if (mine.signal.aborted) return;
    override.value = undefined;
    listingState.value = { kind: "loaded" };
  } catch (error) {
    if (mine.signal.aborted) return;
    const problem = problemOf(error);
    if (problem.progress !== undefined) {
      listingState.value = { kind: "pending", progress: problem.progress };
      setTimeout(() => {
        if (!mine.signal.aborted) void load(wanted);
      }, PENDING_MS);
      return;
    }
    const isGone = problem.status === 404 && wanted.path !== "";
    listingState.value = isGone ? { kind: "gone" } : { kind: "failed", problem };
  }
}

const missed: FolderEvent[] = [];

async function loadPages(wanted: Wanted, signal: AbortSignal): Promise<void> {
  const { folder: name, path, at, withDeleted } = wanted;
  const found = new Map<string, Entry>();
  let seq = at;
  let offset: number | undefined;
  let limit = FIRST_ROWS;
  let published = 0;
  do {
    // All pages are of the moment of the first one; events since then are folded in.
    const values = { path, at: seq, offset, limit, deleted: withDeleted ? 1 : undefined };
    const page = await ask(listAnswerSchema, folderRoute(name, `/list?${query(values)}`), {
      signal,
    });
    if (signal.aborted) return;
    if (at === undefined && seq === undefined) {
      const isSecond = listedSeq !== undefined;
      listedSeq = page.seq;
      // The folder was opened meanwhile, at a later event.
      if (isBefore(shownOf) && !isSecond) return await loadPages(wanted, signal);
    }
    seq ??= page.seq;
    directory.value = page.node;
    total.value = page.total;
    for (const entry of page.entries) found.set(entry.id, entry);
    for (const event of missed) if (event.seq > page.seq) place(found, event, page.node);
    // Each time all rows are sorted anew, so that is done a few times and not once a page.
    const isLast = page.next === undefined || found.size >= ROWS_MAX;
    if (isLast || found.size >= 2 * published) {
      entries.value = new Map(found);
      published = found.size;
    }
    offset = page.next;
    limit = ROWS_PER_REQUEST;
  } while (offset !== undefined && found.size < ROWS_MAX);
  total.value = found.size;
}

let heard: FolderEvent[] = [];

function foldHeard(): void {
  const events = heard;
  heard = [];
  if (listingState.value.kind === "loading") for (const event of events) missed.push(event);
  const next = new Map(entries.value);
  let isChanged = false;
  for (const event of events) {
    if (followDirectory(event)) return;
    if (event.node === directory.value && event.kind === "delete") {
      listingState.value = { kind: "gone" };
      return;
    }
    if (place(next, event, directory.value)) isChanged = true;
  }
  if (!isChanged) return;
  entries.value = next;
  if (listingState.value.kind === "loaded") total.value = next.size;
}

/** Puts an event into the rows. @returns whether it is about this directory. */
function place(found: Map<string, Entry>, event: FolderEvent, node: string): boolean {
  const known = found.get(event.node);
  if (known !== undefined && known.last.seq >= event.seq) return false;
  const isHere = event.parent === node;
  if (!isHere && known === undefined) return false;
  const { seq, kind } = event;
  const touch = touchOf(event, known);
  const isDeleted = kind === "delete";
  if (!isHere || (isDeleted && !showsDeleted.value)) return found.delete(event.node);
  const changesContent = kind !== "move";
  const changesPlace = kind !== "modify";
  const { size, mtimeNs } = event.content;
  found.set(event.node, {
    name: event.name,
    kind: event.content.kind,
    id: event.node,
    ...(size === undefined ? undefined : { size }),
    ...(mtimeNs === undefined ? undefined : { mtimeNs }),
    contentVersion: changesContent ? seq : event.baseContent || (known?.contentVersion ?? 0),
    placeVersion: changesPlace ? seq : event.basePlace || (known?.placeVersion ?? 0),
    last: isDeleted ? (known?.last ?? touch) : touch,
    ...(isDeleted ? { deleted: touch } : undefined),
  });
  return true;
}

function touchOf({ seq, time, device, kind }: FolderEvent, known: Entry | undefined): Touch {
  const actions = { create: "upload", modify: "update", move: "rename", delete: "delete" } as const;
  const isBack = kind === "create" && known?.deleted !== undefined;
  const action = isBack ? "restore" : actions[kind];
  return { seq, time, device, deviceName: deviceName(device), action };
}

/** The directory itself was moved: the address follows it. @returns whether that was so. */
function followDirectory({ kind, from, path }: FolderEvent): boolean {
  const { path: here } = route.value;
  if (here === "" || kind !== "move" || from === undefined) return false;
  if (here !== from && !here.startsWith(`${from}/`)) return false;
  const next = path + here.slice(from.length);
  if (shown !== undefined) shown = { ...shown, path: next };
  settle({ path: next });
  return true;
}

export function entryOf(id: string): Entry | undefined {
  return entries.value.get(id);
}
