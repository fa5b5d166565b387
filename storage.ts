/**
 * Works on a data directory on which no server runs: verifies it, collects its garbage. Rules: U4,
 * I25, I27, I37. Every function takes the directory's lock, and throws `data_in_use` while a server
 * has it.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { type DataDirectory, openDataDirectory } from "./src/adapters/data-directory.ts";
import { systemClock } from "./src/adapters/runtime/clock.ts";
import { SyncedError } from "./src/core/error.ts";
import {
  type Collected,
  type CollectOptions,
  collectGarbage,
} from "./src/server/collect-garbage.ts";
import { type Finding, verifyData } from "./src/server/verify.ts";

/**
 * Reads everything and changes nothing.
 *
 * @returns every finding when it is found
 * @throws {SyncedError} `usage` if there is no data directory, because opening would make one;
 * `data_in_use`, `data_newer`
 */
export async function* verifyDataDirectory(path: string): AsyncGenerator<Finding, void> {
  const directory = openExisting(path, "verify");
  try {
    yield* verifyData(directory);
  } finally {
    await directory.close();
  }
}

/** @throws {SyncedError} as `verifyDataDirectory` does */
export async function collectDataDirectory(
  path: string,
  options: CollectOptions,
): Promise<Collected> {
  const directory = openExisting(path, "collect garbage in");
  try {
    return await collectGarbage({ ...directory, clock: systemClock }, options);
  } finally {
    await directory.close();
  }
}

function openExisting(path: string, action: string): DataDirectory {
  if (existsSync(join(path, "format"))) return openDataDirectory(path);
  const claim = "there is no data directory of synced";
  throw new SyncedError("usage", `Cannot ${action} "${path}": ${claim}`);
}
