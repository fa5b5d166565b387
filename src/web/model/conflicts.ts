/** The folder's conflicts: copies that stand beside the file that came first. Rules: R13. */
import { effect, signal } from "@preact/signals";
import { type Conflict, conflictsAnswerSchema } from "../../protocol/time-answers.ts";
import { ask, folderRoute, type Problem, problemOf, query } from "./api.ts";
import { folder, head } from "./live.ts";
import { propose } from "./plans.ts";

/** More than that nobody goes through one by one. */
const CONFLICTS_MAX = 1000;
/** Looked up again this long after the last change. */
const REST_MS = 1_000;

export const conflicts = signal<readonly Conflict[]>([]);
export const conflictsProblem = signal<Problem | undefined>(undefined);

export function watchConflicts(): void {
  let resting: ReturnType<typeof setTimeout> | undefined;
  let known = "";
  effect(() => {
    const name = folder.value?.name;
    if (name === undefined || head.value < 0) return;
    clearTimeout(resting);
    if (name !== known) conflicts.value = [];
    resting = setTimeout(() => void load(name), name === known ? REST_MS : 0);
    known = name;
  });
}

async function load(name: string): Promise<void> {
  const found: Conflict[] = [];
  let after: number | undefined;
  try {
    do {
      const values = query({ after, limit: 500 });
      const page = await ask(conflictsAnswerSchema, folderRoute(name, `/conflicts?${values}`));
      for (const conflict of page.conflicts) found.push(conflict);
      after = page.next;
    } while (after !== undefined && found.length < CONFLICTS_MAX);
    if (folder.value?.name === name) conflicts.value = found;
    conflictsProblem.value = undefined;
  } catch (error) {
    conflictsProblem.value = problemOf(error);
  }
}

export function resolve(
  { copy, original }: Conflict,
  keep: "copy" | "original" | "both",
  title: string,
): void {
  if (original !== null) void propose({ kind: "resolve", copy: copy.id, keep }, title);
}
