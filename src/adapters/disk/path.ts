/** The paths that a disk accepts. Rules: D1, N3. */
import { FileSystemError } from "../../ports/filesystem.ts";

export function isBelow(path: string, ancestor: string): boolean {
  return path.startsWith(`${ancestor}/`);
}

/**
 * Components that would lead elsewhere: empty, "." and "..". Protocol and scan refuse them too
 * (N3).
 */
const ILLEGAL_COMPONENT = /(?:^|\/)\.{0,2}(?:\/|$)/;

export function isLegalPath(path: string): boolean {
  return !ILLEGAL_COMPONENT.test(path) && isLegalText(path);
}

/** A lone surrogate would silently be written as U+FFFD, and a NUL would end the text. */
export function isLegalText(text: string): boolean {
  return text.isWellFormed() && !text.includes("\0");
}

export function illegalName(action: string, path: string): FileSystemError {
  return new FileSystemError(
    "name",
    path,
    `Cannot ${action} ${JSON.stringify(path)}: illegal name`,
  );
}
