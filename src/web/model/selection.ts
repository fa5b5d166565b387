/** Which row the keyboard is at, and which rows are chosen. Both go by id, so that rows may move. */
import { computed, effect, signal, untracked } from "@preact/signals";
import type { ListEntry as Entry } from "../../protocol/time-answers.ts";
import { directory, isComplete, rows } from "./listing.ts";

export const focused = signal<string | undefined>(undefined);
const chosen = signal<ReadonlySet<string>>(new Set());
/** Where an extension began. */
let anchor: string | undefined;
/** While rows still come, "the last row" and "all rows" mean those too. */
let lastSoFar: string | undefined;
let allSoFar: ReadonlySet<string> | undefined;

/** Chosen rows that are there, in the order shown. */
export const selected = computed<readonly Entry[]>(() => {
  const ids = chosen.value;
  return ids.size === 0 ? [] : rows.value.filter(({ id }) => ids.has(id));
});

/** The chosen rows, or else the one at which the keyboard is. */
export const targets = computed<readonly Entry[]>(() => {
  if (selected.value.length > 0) return selected.value;
  const { value: id } = focused;
  const row = rows.value.find((entry) => entry.id === id);
  return row === undefined ? [] : [row];
});

export function isSelected(id: string): boolean {
  return chosen.value.has(id);
}

export function clearSelection(): void {
  chosen.value = new Set();
  anchor = undefined;
}

export function selectAll(): void {
  chosen.value = new Set(rows.value.map(({ id }) => id));
  if (!isComplete.value) allSoFar = chosen.value;
}

export function toggle(id: string): void {
  const next = new Set(chosen.value);
  if (!next.delete(id)) next.add(id);
  chosen.value = next;
  anchor = id;
  focused.value = id;
}

/** Chooses all rows between where it began and this one. */
export function extendTo(id: string): void {
  anchor ??= focused.value ?? id;
  const ids = rows.value.map((entry) => entry.id);
  const [start, end] = [ids.indexOf(anchor), ids.indexOf(id)].sort((one, other) => one - other);
  if (start === undefined || end === undefined || start < 0) return;
  chosen.value = new Set(ids.slice(start, end + 1));
  focused.value = id;
}

export function indexOfFocus(): number {
  const { value: id } = focused;
  return rows.value.findIndex((entry) => entry.id === id);
}

/** Beyond every row: the last one. */
export const LAST = Number.MAX_SAFE_INTEGER;

/** @param index is cut to the rows that there are. */
export function moveFocus(index: number, isExtending = false): void {
  const { value: all } = rows;
  const row = all[Math.max(0, Math.min(index, all.length - 1))];
  if (row === undefined) return;
  if (isExtending) extendTo(row.id);
  else {
    focused.value = row.id;
    anchor = row.id;
    lastSoFar = index === LAST && !isComplete.value ? row.id : undefined;
  }
}

/** To the next row whose name begins with the text. */
export function jumpTo(prefix: string): void {
  const { value: all } = rows;
  const from = Math.max(0, indexOfFocus());
  const isLonger = prefix.length > 1;
  for (let step = isLonger ? 0 : 1; step <= all.length; step++) {
    const row = all[(from + step) % all.length];
    if (row?.name.toLowerCase().startsWith(prefix.toLowerCase()) === true) {
      focused.value = row.id;
      anchor = row.id;
      return;
    }
  }
}

/** A row to go to as soon as its directory is there. */
export const wanted = signal<string | undefined>(undefined);

let directoryBefore = "";
directory.subscribe((id) => {
  if (id === directoryBefore) return;
  directoryBefore = id;
  clearSelection();
  focused.value = undefined;
});

effect(() => {
  if (rows.value.length === 0) return;
  const isLast = isComplete.value;
  untracked(() => {
    if (lastSoFar !== undefined && lastSoFar === focused.value) moveFocus(LAST);
    if (allSoFar !== undefined && allSoFar === chosen.value) selectAll();
    if (isLast) allSoFar = undefined;
  });
});

effect(() => {
  const { value: id } = wanted;
  if (id === undefined || !rows.value.some((entry) => entry.id === id)) return;
  focused.value = id;
  wanted.value = undefined;
});
