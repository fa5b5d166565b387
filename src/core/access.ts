/** Grants: how much of which folders a requester may read and change. Rules: H2, K1. */
import type { FolderName } from "./identifier.ts";

/** Each includes those before it. */
export const ACCESSES = ["read", "write", "admin"] as const;
export type Access = (typeof ACCESSES)[number];

export interface Grant {
  readonly access: Access;
  readonly folders: "all" | ReadonlySet<FolderName>;
}

/** The grant of a server's own token, and of everybody where no token is wanted. */
export const EVERYTHING: Grant = { access: "admin", folders: "all" };
/** The grant of somebody who shows no token where none is needed. */
export const NOTHING: Grant = { access: "read", folders: new Set() };

export function includesAccess({ access }: Grant, wanted: Access): boolean {
  return ACCESSES.indexOf(access) >= ACCESSES.indexOf(wanted);
}

/** @param folder a name as a requester gives it; it may be illegal. */
export function reachesFolder({ folders }: Grant, folder: string): boolean {
  if (folders === "all") return true;
  for (const name of folders) if (name === folder) return true;
  return false;
}
