/** Things that a key, a button and a menu do alike. */
import { joinPath, parentPath } from "../../core/path.ts";
import type { ListEntry } from "../../protocol/time-answers.ts";
import { problemOf } from "./api.ts";
import { everythingIn, reasonOf } from "./changes.ts";
import { at, go, route } from "./route.ts";
import { dialog, pane, renaming } from "./screen.ts";
import { focused, targets } from "./selection.ts";
import { tellProblem } from "./toast.ts";

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

/** Counts what would go, then asks. */
export function askDelete(): void {
  const entries = targets.value.filter(({ deleted }) => deleted === undefined);
  if (at.value !== undefined || entries.length === 0) return;
  everythingIn(route.value.path, entries)
    .then((doomed) => {
      dialog.value = { kind: "delete", doomed };
    })
    .catch((error: unknown) => tellProblem(reasonOf(problemOf(error))));
}
