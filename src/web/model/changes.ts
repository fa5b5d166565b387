/**
 * Changes that a person makes here, as ops of this browser: new folders, new names, other places,
 * deletions. Each names the version that was seen, so that nothing is undone that somebody else did
 * meanwhile. Rules: O2, H30.
 */
import type { ListEntry as Entry } from "../../protocol/time-answers.ts";
import { type GroupResult, resultsSchema } from "./answers.ts";
import { ask, folderRoute, Problem, problemOf, request } from "./api.ts";
import { readDirectory } from "./entries.ts";
import { currentCursor, folder } from "./live.ts";
import { browser, newId } from "./session.ts";
import { tell, tellProblem } from "./toast.ts";
import { countText } from "./words.ts";

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
    for (const result of answer.results) results.push(result);
  }
  return results;
}

/** Tells the server this browser's name, so that the log can say who it was. */
export async function introduce(name: string): Promise<void> {
  if (introduced.has(name)) return;
  await request(folderRoute(name, `/devices/${browser.id}`), {
    method: "PUT",
    json: { name: browser.name, applied: currentCursor() },
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

export interface Doomed {
  readonly entries: readonly Entry[];
  readonly files: number;
  readonly bytes: number;
}

/** Everything that goes when these go, children before their directory. @throws {Problem} */
export async function everythingIn(path: string, entries: readonly Entry[]): Promise<Doomed> {
  const all: Entry[] = [];
  for (const entry of entries) await collect(path === "" ? "" : `${path}/`, entry, all);
  const files = all.filter(({ kind }) => kind !== "directory");
  const bytes = files.reduce((sum, { size }) => sum + (size ?? 0), 0);
  return { entries: all, files: files.length, bytes };
}

async function collect(prefix: string, entry: Entry, all: Entry[]): Promise<void> {
  if (entry.deleted !== undefined) return;
  const path = prefix + entry.name;
  if (entry.kind === "directory") {
    const { entries } = await readDirectory(folder.value?.name ?? "", path);
    for (const child of entries) await collect(`${path}/`, child, all);
  }
  all.push(entry);
}

export async function deleteEntries({ entries, files }: Doomed): Promise<boolean> {
  const isDone = await attempt(() =>
    post(
      entries.map(({ id, contentVersion, placeVersion }) => [
        {
          kind: "delete",
          opId: newId(),
          node: id,
          baseContent: contentVersion,
          basePlace: placeVersion,
        },
      ]),
    ),
  );
  if (isDone) tell({ text: `Deleted ${countText(files, "file")}` });
  return isDone;
}
