/** Says in a person's words what a failed system call means. Rules: F21-F28. */
import { errorCode } from "./calls.ts";

const REASONS: ReadonlyMap<string, string> = new Map([
  ["ENOENT", "it is not there"],
  ["ENOTDIR", "it is, or lies below, something that is not a directory"],
  ["EEXIST", "something that is not a directory is there"],
  ["EISDIR", "it is a directory"],
  ["EACCES", "permission is denied"],
  ["EPERM", "that is not permitted"],
  ["EROFS", "its file system is read-only"],
  ["ENOSPC", "its disk is full"],
  ["EDQUOT", "the disk quota is used up"],
  ["ELOOP", "its symlinks lead in a circle"],
]);

/** @returns only the reason. The caller adds action, path and next step. */
export function reasonOf(error: unknown): string {
  const known = REASONS.get(errorCode(error));
  if (known !== undefined) return known;
  return error instanceof Error ? error.message : String(error);
}
