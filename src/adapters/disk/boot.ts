/** Boot: tells one run of the machine from others. */
import { readFileSync } from "node:fs";

/** Linux's name for this run of the kernel, the same in every container. */
const BOOT_ID = "/proc/sys/kernel/random/boot_id";

/** @returns undefined if the system does not tell. */
export function bootOf(): string | undefined {
  try {
    return readFileSync(BOOT_ID, "utf8").trim();
  } catch {
    return undefined;
  }
}
