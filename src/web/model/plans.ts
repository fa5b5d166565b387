/**
 * Plans: changes of many nodes, shown before they are done, and taken back by another plan. The
 * last actions of this tab are kept, so that one key takes them back. Rules: E9-E11.
 */
import { signal } from "@preact/signals";
import { joinPath } from "../../core/path.ts";
import {
  type PlanAnswer,
  planAnswerSchema,
  planResultSchema,
} from "../../protocol/plan-messages.ts";
import type { ListEntry, LogRow, Touch } from "../../protocol/time-answers.ts";
import { ask, folderRoute, problemOf, query } from "./api.ts";
import { introduce } from "./changes.ts";
import { remember, takeLast } from "./last-actions.ts";
import { folder } from "./live.ts";
import { logRows } from "./log-rows.ts";
import { route } from "./route.ts";
import { dialog } from "./screen.ts";
import { browser } from "./session.ts";
import { tell, tellProblem } from "./toast.ts";
import { numberText } from "./words.ts";

const STEPS_PER_REQUEST = 500;

/** As the server takes it: see `PlanRequest` of the protocol. Ids stand in it as texts. */
export type Wish =
  | { readonly kind: "restore"; readonly path: string; readonly at: number }
  | { readonly kind: "undo"; readonly device: string; readonly since: number }
  | {
      readonly kind: "revert";
      readonly first: number;
      readonly last: number;
      readonly of: "row" | "action";
    }
  | { readonly kind: "delete"; readonly ids: readonly string[] }
  | {
      readonly kind: "resolve";
      readonly copy: string;
      readonly keep: "copy" | "original" | "both";
    };

/** The plan whose dialog is open, with the steps that were asked for. */
export interface ShownPlan {
  readonly wish: Wish;
  readonly title: string;
  readonly plan: PlanAnswer | undefined;
  readonly trouble: string | undefined;
}

export const shownPlan = signal<ShownPlan | undefined>(undefined);

/** Shows what would be done, and asks. */
export async function propose(wish: Wish, title: string): Promise<void> {
  shownPlan.value = { wish, title, plan: undefined, trouble: undefined };
  dialog.value = { kind: "plan" };
  try {
    const plan = await show(wish, 0);
    if (shownPlan.value?.wish === wish) shownPlan.value = { wish, title, plan, trouble: undefined };
  } catch (error) {
    const trouble = problemOf(error).message;
    if (shownPlan.value?.wish === wish) {
      shownPlan.value = { wish, title, plan: undefined, trouble };
    }
  }
}

/** More of its steps. Its id names all of them, also those that nobody looked at. */
export async function showMore(wish: Wish, plan: PlanAnswer, title: string): Promise<void> {
  try {
    const page = await show(wish, plan.steps.length);
    if (shownPlan.value?.plan !== plan) return;
    // Somebody changed something meanwhile: it is another plan now.
    if (page.id !== plan.id) return void (await propose(wish, title));
    const more = { ...page, steps: [...plan.steps, ...page.steps] };
    shownPlan.value = { wish, title, plan: more, trouble: undefined };
  } catch (error) {
    tellProblem(problemOf(error).message);
  }
}

function show(wish: Wish, offset: number): Promise<PlanAnswer> {
  const values = query({ offset, limit: STEPS_PER_REQUEST, device: browser.id });
  const address = folderRoute(folder.value?.name ?? "", `/plans?${values}`);
  return ask(planAnswerSchema, address, { method: "POST", json: wish });
}

/** Does what was shown; shows it anew if it is another plan by now. */
export async function carryOut(wish: Wish, plan: PlanAnswer, title: string): Promise<boolean> {
  try {
    const done = await apply(wish, plan);
    dialog.value = undefined;
    tellDone(done);
    return true;
  } catch (error) {
    const { code, message } = problemOf(error);
    if (code !== "plan_stale" && code !== "plan_mismatch") {
      tellProblem(message);
      return false;
    }
    tellProblem("Something changed since you looked: this is the new plan");
    await propose(wish, title);
    return false;
  }
}

interface Done {
  readonly first: number | undefined;
  readonly last: number | undefined;
  readonly done: number;
  readonly skipped: number;
}

async function apply(wish: Wish, plan: PlanAnswer): Promise<Done> {
  const name = folder.value?.name ?? "";
  await introduce(name);
  const json = { request: wish, head: plan.head, device: browser.id, partial: false };
  const address = folderRoute(name, `/plans/${plan.id}`);
  const { first, last, done, skipped } = await ask(planResultSchema, address, {
    method: "PUT",
    json,
  });
  return { first, last, done, skipped: skipped.length };
}

function tellDone({ first, last, done, skipped }: Done): void {
  if (first === undefined || last === undefined) {
    tell({ text: "It is so already" });
    return;
  }
  remember({ folder: folder.value?.name ?? "", first, last });
  const events = first === last ? numberText(first) : `${numberText(first)} to ${numberText(last)}`;
  const left = skipped === 0 ? "" : `, ${numberText(skipped)} left out`;
  const noun = done === 1 ? "change" : "changes";
  tell({
    text: `${numberText(done)} ${noun}, as events ${events}${left}`,
    action: { label: "Undo", run: () => void undoLast() },
  });
}

/** Takes back this browser's last action. */
export async function undoLast(): Promise<void> {
  try {
    const taken = takeLast();
    const last = taken === undefined ? await lastInLog() : taken;
    if (last === undefined || last === "none" || last.folder !== folder.value?.name) {
      tell({ text: "Nothing of this browser's is left to take back" });
      return;
    }
    const wish: Wish = { kind: "revert", first: last.first, last: last.last, of: "action" };
    const plan = await show(wish, 0);
    const isPlain = plan.overlaps.length === 0 && plan.others.length === 0;
    if (!isPlain || plan.next !== undefined) {
      await propose(wish, "Take back the last action");
      return;
    }
    const { done } = await apply(wish, plan);
    tell({ text: done === 0 ? "It is so already" : "Taken back" });
  } catch (error) {
    tellProblem(problemOf(error).message);
  }
}

async function lastInLog() {
  const name = folder.value?.name ?? "";
  for await (const { seq, lastSeq } of logRows({ device: browser.id, limit: 1 })) {
    return { folder: name, first: seq, last: lastSeq };
  }
  return undefined;
}

/** A deleted entry, as it was right before that. */
export function bringBack({ name, kind, deleted }: ListEntry): void {
  if (deleted === undefined) return;
  const path = joinPath(route.value.path, name);
  const before = async () => {
    const first = kind === "directory" ? await startOfDeletion(path, deleted) : deleted.seq;
    await propose({ kind: "restore", path, at: first - 1 }, `Bring back ${name}`);
  };
  before().catch((error: unknown) => tellProblem(problemOf(error).message));
}

/** A directory goes last: what was in it went right before, by the same device. */
async function startOfDeletion(path: string, { seq, device }: Touch): Promise<number> {
  let first = seq;
  for await (const row of logRows({ path, before: seq, limit: 1000 })) {
    const isSame = row.device === device && (row.action === "delete" || row.action === "rmdir");
    if (!isSame) break;
    first = Math.min(first, row.seq);
  }
  return first;
}

export function restoreAt(path: string, at: number): void {
  const what = path === "" ? "everything" : path;
  void propose(
    { kind: "restore", path, at },
    `Restore ${what} as it was at event ${numberText(at)}`,
  );
}

export function takeBack(row: LogRow): void {
  void propose({ kind: "revert", first: row.seq, last: row.lastSeq, of: "row" }, "Take this back");
}

export function takeBackSince(row: LogRow, who: string): void {
  const wish: Wish = { kind: "undo", device: row.device, since: row.seq - 1 };
  void propose(wish, `Take back all that ${who} did since event ${numberText(row.seq)}`);
}
