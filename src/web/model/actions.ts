/** Things that a key, a button and a menu do alike. */
import { joinPath, parentPath } from "../../core/path.ts";
import type { ListEntry } from "../../protocol/time-answers.ts";
import { bringBack, propose, restoreAt } from "./plans.ts";
import { at, go, route } from "./route.ts";
import { dialog, pane, renaming } from "./screen.ts";
import { focused, targets } from "./selection.ts";
import { countText } from "./words.ts";

export function openEntry(entry: ListEntry): void {
  focused.value = entry.id;
  if (entry.kind === "directory" && entry.deleted === undefined) {
    go({ path: joinPath(route.value.path, entry.name) });
  } else {
    pane.value ??= "preview";
  }
}

export function goUp(): void {
  const { path } = route.value;
  if (path !== "") go({ path: parentPath(path) });
}

export function startRename(): void {
  const [entry] = targets.value;
  if (at.value === undefined && entry !== undefined && entry.deleted === undefined) {
    renaming.value = entry.id;
  }
}

/** Shows what would go, and asks. */
export function askDelete(): void {
  const entries = targets.value.filter(({ deleted }) => deleted === undefined);
  if (at.value !== undefined || entries.length === 0) return;
  const [only] = entries;
  const what =
    entries.length === 1 && only !== undefined
      ? only.name
      : countText(entries.length, "entry", "entries");
  void propose({ kind: "delete", ids: entries.map(({ id }) => id) }, `Delete ${what}?`);
}

/** Of a ghost, or of the past: what is chosen comes back; with nothing chosen, the directory. */
export function askRestore(): void {
  const { value: moment } = at;
  const [entry] = targets.value;
  if (entry?.deleted !== undefined) bringBack(entry);
  else if (moment !== undefined) {
    const isOne = targets.value.length === 1 && entry !== undefined;
    restoreAt(isOne ? joinPath(route.value.path, entry.name) : route.value.path, moment);
  }
}

/** Shares the chosen entry, or the directory, at the moment that is shown. */
export function askShare(): void {
  const live = targets.value.filter(({ deleted }) => deleted === undefined);
  const [entry] = live;
  if (live.length > 1) return;
  const { path } = route.value;
  const shared = entry === undefined ? path : joinPath(path, entry.name);
  dialog.value = { kind: "share", path: shared, at: at.value };
}
