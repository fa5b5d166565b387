/** Which pane, dialog and inline field are open. */
import { signal } from "@preact/signals";
import type { ListEntry as Entry } from "../../protocol/time-answers.ts";

export type Tab = "preview" | "history" | "about";

/** The pane beside the list; undefined while it is closed. */
export const pane = signal<Tab | undefined>(undefined);
/** The row whose name is being edited. */
export const renaming = signal<string | undefined>(undefined);

export type Dialog =
  | { readonly kind: "help" }
  | { readonly kind: "search" }
  | { readonly kind: "new-directory" }
  | { readonly kind: "move"; readonly entries: readonly Entry[] }
  | { readonly kind: "share"; readonly path: string; readonly at: number | undefined }
  /** The plan is in `plans.ts`. */
  | { readonly kind: "plan" };

export const dialog = signal<Dialog | undefined>(undefined);

/** One column, tabs at the bottom. */
const narrow = matchMedia("(max-width: 640px)");
export const isNarrow = signal(narrow.matches);
narrow.addEventListener("change", () => {
  isNarrow.value = narrow.matches;
});
