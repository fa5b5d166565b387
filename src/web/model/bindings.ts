/** The keys, and the actions that they run. */
import { askDelete, askRestore, askShare, goUp, openEntry, startRename } from "./actions.ts";
import type { Binding } from "./keys.ts";
import { filter, rows } from "./listing.ts";
import { closeTime, isTimeOpen, step, stepDays, toNow } from "./moment.ts";
import { undoLast } from "./plans.ts";
import { at, go, route, type View } from "./route.ts";
import { dialog, isNarrow, pane } from "./screen.ts";
import {
  clearSelection,
  indexOfFocus,
  LAST,
  moveFocus,
  selectAll,
  selected,
  targets,
  toggle,
} from "./selection.ts";

function isFiles(): boolean {
  return route.value.view === "files" && route.value.folder !== undefined;
}

function isPresent(): boolean {
  return isFiles() && at.value === undefined;
}

/** How many rows fit, as the list says of itself. */
function pageRows(): number {
  const height = document.querySelector(".rows")?.clientHeight ?? 0;
  return Math.max(1, Math.floor(height / (isNarrow.value ? 60 : 36)) - 1);
}

function stepRows(by: number, isExtending = false): () => void {
  return () => moveFocus(indexOfFocus() + by, isExtending);
}

function move(key: string, does: string, run: () => void): Binding {
  return { key, does, group: "Move", when: isFiles, run };
}

function file(key: string, does: string, run: () => void, when = isPresent): Binding {
  return { key, does, group: "Files", when, run };
}

function time(key: string, does: string, run: () => void): Binding {
  return { key, does, group: "Time", when: isFiles, run };
}

function view(letter: string, name: string, target: View): Binding {
  const run = () => go({ view: target, path: "", at: undefined, from: undefined });
  return { key: `g ${letter}`, does: name, group: "Everywhere", run };
}

function press(id: string): () => void {
  return () => document.getElementById(id)?.click();
}

export const bindings: readonly Binding[] = [
  move("ArrowDown", "Next row", stepRows(1)),
  move("ArrowUp", "Row before", stepRows(-1)),
  move("Home", "First row", () => moveFocus(0)),
  move("End", "Last row", () => moveFocus(LAST)),
  move("PageDown", "A page down", () => moveFocus(indexOfFocus() + pageRows())),
  move("PageUp", "A page up", () => moveFocus(indexOfFocus() - pageRows())),
  move("Shift+ArrowDown", "Select down to the next row", stepRows(1, true)),
  move("Shift+ArrowUp", "Select up to the row before", stepRows(-1, true)),
  move("Space", "Select or leave out", () => {
    const row = rows.value[indexOfFocus()];
    if (row !== undefined) toggle(row.id);
  }),
  move("Ctrl+a", "Select all", selectAll),
  move("Enter", "Open", () => {
    const row = rows.value[indexOfFocus()];
    if (row !== undefined) openEntry(row);
  }),
  move("Backspace", "Up", goUp),
  move("/", "Filter", () => document.getElementById("filter")?.focus()),
  move("p", "Pane", () => {
    pane.value = pane.value === undefined ? "preview" : undefined;
  }),
  file("u", "Upload", press("upload")),
  file("N", "New folder", () => {
    dialog.value = { kind: "new-directory" };
  }),
  file("F2", "Rename", startRename),
  file("m", "Move to another folder", () => {
    const entries = targets.value.filter(({ deleted }) => deleted === undefined);
    if (entries.length > 0) dialog.value = { kind: "move", entries };
  }),
  file("Delete", "Delete", askDelete),
  file("r", "Restore, or bring back", askRestore, isFiles),
  file("s", "Share by a link", askShare, isFiles),
  {
    key: "Ctrl+k",
    does: "Search names, now or ever",
    group: "Everywhere",
    run: () => {
      dialog.value = { kind: "search" };
    },
  },
  time("t", "Open or leave time", () => {
    if (isTimeOpen.value) closeTime();
    else isTimeOpen.value = true;
  }),
  time("[", "The change before", () => void step(-1)),
  time("]", "The change after", () => void step(1)),
  time("{", "A day before", () => void stepDays(-1)),
  time("}", "A day after", () => void stepDays(1)),
  time("0", "Now", toNow),
  time("c", "Compare with now", () => {
    if (at.value !== undefined) go({ from: at.value, at: undefined });
  }),
  {
    key: "Ctrl+z",
    does: "Take back my last action",
    group: "Everywhere",
    run: () => void undoLast(),
  },
  view("f", "Files", "files"),
  view("a", "Activity", "activity"),
  view("d", "Devices", "devices"),
  view("c", "Conflicts", "conflicts"),
  view("l", "Links", "links"),
  {
    key: "?",
    does: "This help",
    group: "Everywhere",
    run: () => {
      dialog.value = { kind: "help" };
    },
  },
  {
    key: "Escape",
    does: "Close, clear, leave",
    group: "Everywhere",
    run: () => {
      if (selected.value.length > 0) clearSelection();
      else if (pane.value !== undefined) pane.value = undefined;
      else if (filter.value !== "") filter.value = "";
    },
  },
];
