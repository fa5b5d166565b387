/** All entries of one directory as they are now, for what is about to be done with them. */
import { type ListEntry, listAnswerSchema } from "../../protocol/time-answers.ts";
import { ask, folderRoute, query } from "./api.ts";

const ENTRIES_PER_REQUEST = 1000;

export interface Directory {
  readonly node: string;
  readonly entries: readonly ListEntry[];
}

/** @throws {Problem} */
export async function readDirectory(
  folder: string,
  path: string,
  signal?: AbortSignal,
): Promise<Directory> {
  const entries: ListEntry[] = [];
  let at: number | undefined;
  let offset: number | undefined;
  for (;;) {
    const values = query({ path, at, offset, limit: ENTRIES_PER_REQUEST });
    const route = folderRoute(folder, `/list?${values}`);
    const page = await ask(listAnswerSchema, route, signal === undefined ? {} : { signal });
    for (const entry of page.entries) entries.push(entry);
    if (page.next === undefined) return { node: page.node, entries };
    offset = page.next;
    at = page.seq;
  }
}

/** @returns the id of the directory at a path. @throws {Problem} */
export async function directoryAt(folder: string, path: string): Promise<string> {
  const route = folderRoute(folder, `/list?${query({ path, limit: 1 })}`);
  return (await ask(listAnswerSchema, route)).node;
}
