/** The paths that a disk accepts. Rules: D1, N3. */
import process from "node:process";
import { FileSystemError } from "../../ports/filesystem.ts";

export function isBelow(path: string, ancestor: string): boolean {
  return path.startsWith(`${ancestor}/`);
}

/**
 * Components that would lead elsewhere: empty, "." and "..". Protocol and scan refuse them too
 * (N3).
 */
const ILLEGAL_COMPONENT = /(?:^|\/)\.{0,2}(?:\/|$)/;

export function isLegalPath(path: string, platform: string = process.platform): boolean {
  if (ILLEGAL_COMPONENT.test(path) || !isLegalText(path)) return false;
  return platform !== "win32" || path.split("/").every(isWindowsName);
}

/**
 * Names that Windows takes for something else: another directory, a drive, a stream of a file, a
 * device, or another name, since it drops dots and spaces at the end. All of them are legal in the
 * log (N3).
 */
function isWindowsName(name: string): boolean {
  return !WINDOWS_CHARACTER.test(name) && !/[. ]$/.test(name) && !WINDOWS_DEVICE.test(name);
}

const WINDOWS_CHARACTER = /[\p{Cc}<>:"|?*\\]/u;
const WINDOWS_DEVICE =
  /^(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9\u00b9\u00b2\u00b3]) *(?:[.:]|$)/i;

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
