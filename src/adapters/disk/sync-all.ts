/**
 * SyncAll: tells where one `syncfs` makes a whole folder durable, instead of an fsync each file.
 * Rules: D2, S7, I41.
 *
 * It counts only where the kernel reports what failed (Linux 5.8), on file systems that are known
 * to write all, and if no other file system is mounted within the folder. After a failure each file
 * is synced, and the kernel reports to each one its own.
 */
import { readFileSync } from "node:fs";
import { release } from "node:os";
import { errorCode } from "./calls.ts";

/** Fewer entries are synced one by one, because `syncfs` waits for other programs' writes as well. */
export const SYNC_ALL_ENTRIES_MIN = 200;
/** After so long each entry is synced instead. */
export const SYNC_ALL_MS_MAX = 10_000;

const WRITES_ALL: ReadonlySet<string> = new Set(["btrfs", "ext2", "ext3", "ext4", "f2fs", "xfs"]);
const KERNEL_MIN = [5, 8] as const;

/** @param rootPath absolute and free of symlinks */
export function coversAll(rootPath: string): boolean {
  if (!reportsErrors(release())) return false;
  try {
    return isOneDisk(rootPath, readFileSync("/proc/self/mountinfo", "utf8"));
  } catch (error) {
    if (errorCode(error) === "") throw error;
    return false;
  }
}

function reportsErrors(kernel: string): boolean {
  const [major = 0, minor = 0] = kernel.split(".").map(Number);
  return major > KERNEL_MIN[0] || (major === KERNEL_MIN[0] && minor >= KERNEL_MIN[1]);
}

/** @param mountinfo as in proc(5): `ID PARENT DEVICE ROOT MOUNTPOINT OPTIONS [TAGS] - TYPE ...` */
export function isOneDisk(rootPath: string, mountinfo: string): boolean {
  const inside = rootPath === "/" ? "/" : `${rootPath}/`;
  let longest = "";
  let type = "";
  for (const line of mountinfo.split("\n")) {
    const [before = "", after = ""] = line.split(" - ");
    const point = unescaped(before.split(" ")[4] ?? "");
    if (point.startsWith(inside) && point !== rootPath) return false;
    const isAbove = point === "/" || rootPath === point || rootPath.startsWith(`${point}/`);
    // Of two mounts at one place, the later one hides the other.
    if (!point.startsWith("/") || !isAbove || point.length < longest.length) continue;
    longest = point;
    type = after.split(" ")[0] ?? "";
  }
  return WRITES_ALL.has(type);
}

/** Blanks and backslashes stand there as octal numbers. */
function unescaped(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, octal: string) =>
    String.fromCharCode(Number.parseInt(octal, 8)),
  );
}

/** @returns undefined if the work takes longer. It then goes on, and nobody waits for it. */
export async function soonerOf<Result>(
  work: Promise<Result>,
  ms: number,
): Promise<Result | undefined> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), ms);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
