/**
 * Changes that a person makes here, as ops of this browser: new folders, new names, other places.
 * Each names the version that was seen, so that nothing is undone that somebody else did meanwhile.
 * Rules: O2, H33.
 */
import type { ListEntry as Entry } from "../../protocol/time-answers.ts";
import { type GroupResult, resultsSchema } from "./answers.ts";
import { ask, folderRoute, Problem, problemOf, request } from "./api.ts";
import { remember } from "./last-actions.ts";
import { currentCursor, folder } from "./live.ts";
import { browser, newId } from "./session.ts";
import { tellProblem } from "./toast.ts";

const OPS_PER_BATCH = 1000;

/** An op as the server takes it. */
export type PageOp = Readonly<Record<string, unknown>>;

/** Folders in which the server knows this browser's name already. */
const introduced = new Set<string>();

/** @throws {Problem} */
export async function postGroups(groups: readonly (readonly PageOp[])[]): Promise<GroupResult[]> {
  const name = folder.value?.name ?? "";
  await introduce(name);
  const results: GroupResult[] = [];
  for (let start = 0; start < groups.length; start += OPS_PER_BATCH) {
    const body = {
      device: browser.id,
      batch: newId(),
      cursor: currentCursor(),
      groups: groups.slice(start, start + OPS_PER_BATCH),
    };
    const answer = await ask(resultsSchema, folderRoute(name, "/ops"), {
      method: "POST",
      json: body,
    });
    const seqs = answer.results.flatMap((result) =>
      result.status === "accepted" ? result.seqs : [],
    );
    const [first, last] = [seqs[0], seqs.at(-1)];
    if (first !== undefined && last !== undefined) remember({ folder: name, first, last });
    for (const result of answer.results) results.push(result);
  }
  return results;
}

/** Tells the server this browser's name, so that the log can say who it was. */
export async function introduce(name: string): Promise<void> {
  if (introduced.has(name)) return;
  await request(folderRoute(name, `/devices/${browser.id}`), {
    method: "PUT",
    json: { name: browser.name, kind: "page", applied: currentCursor() },
  });
  introduced.add(name);
}

/** @throws {Problem} of the first group that the server refused */
async function post(groups: readonly (readonly PageOp[])[]): Promise<void> {
  for (const result of await postGroups(groups)) {
    if (result.status === "refused") throw new Problem(409, result.code, result.detail);
  }
}

/** Runs a change and tells if it failed. @returns whether it was done */
async function attempt(action: () => Promise<void>): Promise<boolean> {
  try {
    await action();
    return true;
  } catch (error) {
    tellProblem(reasonOf(problemOf(error)));
    return false;
  }
}

const REASONS: Readonly<Record<string, string>> = {
  name_taken: "There is something of that name already",
  version_conflict: "Somebody changed it meanwhile: look again",
  node_missing: "It is gone by now",
  parent_missing: "The folder is gone by now",
  cycle: "A folder cannot go into itself",
  reserved_name: "That name is kept for synced itself",
  invalid_path: 'A name cannot be empty, ".", "..", or hold a slash',
  path_too_long: "That name is too long",
  directory_not_empty: "Something was put into it meanwhile: look again",
  forbidden: "Your token may read, not change",
};

export function reasonOf({ code, message }: Problem): string {
  return REASONS[code] ?? message;
}

export function makeDirectory(parent: string, name: string): Promise<boolean> {
  return attempt(() => post([[createDirectoryOp(newId(), parent, name)]]));
}

export function createDirectoryOp(node: string, parent: string, name: string): PageOp {
  const content = { kind: "directory" };
  return { kind: "create", opId: newId(), node, parent, name, content, base: 0 };
}

/** Gives entries another place. Each is moved or refused by itself. */
export function moveEntries(entries: readonly Entry[], parent: string): Promise<boolean> {
  return attempt(() => post(entries.map((entry) => [moveOp(entry, parent, entry.name)])));
}

export function renameEntry(entry: Entry, parent: string, name: string): Promise<boolean> {
  return attempt(() => post([[moveOp(entry, parent, name)]]));
}

function moveOp({ id, placeVersion }: Entry, parent: string, name: string): PageOp {
  return { kind: "move", opId: newId(), node: id, parent, name, basePlace: placeVersion };
}
