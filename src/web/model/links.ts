/** The folder's share links: which there are, new ones, and the end of one. Rules: H40, H41. */
import { signal } from "@preact/signals";
import { type LinkInfo, linksSchema, madeLinkSchema } from "../../protocol/link-messages.ts";
import { ask, folderRoute, type Problem, problemOf, request } from "./api.ts";
import { folder } from "./live.ts";

/** Newest first; undefined until the server has told them. */
export const links = signal<readonly LinkInfo[] | undefined>(undefined);
export const linksProblem = signal<Problem | undefined>(undefined);

export interface NewLink {
  readonly path: string;
  /** undefined is the head. */
  readonly at: number | undefined;
  /** True to show what is there whenever the link is opened. */
  readonly follows: boolean;
  readonly lifeMs: number;
  /** "" is none. */
  readonly password: string;
}

let asked = { of: "" };

/** Links that are shown stay until the new list is there, unless they are another folder's. */
export async function loadLinks(name: string): Promise<void> {
  if (name !== asked.of) links.value = undefined;
  const mine = { of: name };
  asked = mine;
  try {
    const found = await ask(linksSchema, folderRoute(name, "/links"));
    if (asked !== mine) return;
    links.value = found.links.toReversed();
    linksProblem.value = undefined;
  } catch (error) {
    if (asked === mine) linksProblem.value = problemOf(error);
  }
}

/** @returns the whole address, which the server tells this once. @throws {Problem} */
export async function makeLink({ path, at, follows, lifeMs, password }: NewLink): Promise<string> {
  const json = {
    path,
    follows,
    lifeMs,
    ...(follows || at === undefined ? undefined : { at }),
    ...(password === "" ? undefined : { password }),
  };
  const route = folderRoute(folder.value?.name ?? "", "/links");
  const { address } = await ask(madeLinkSchema, route, { method: "POST", json });
  return `${location.origin}${address}`;
}

/** @throws {Problem} */
export async function revokeLink(name: string, id: string): Promise<void> {
  await request(folderRoute(name, `/links/${id}`), { method: "DELETE" });
  await loadLinks(name);
}
