/**
 * Finds out the abilities of a file system by trying them in `.synced/staging`. Rules: D2, D6, N7.
 */

import { randomBytes } from "node:crypto";
import { STAGING_DIRECTORY } from "../../core/state-directory.ts";
import type { Capabilities } from "../../ports/filesystem.ts";
import { type Directory, type DiskCalls, errorCode } from "./calls.ts";

/** This time has another digit at every place that a file system may drop. */
const PROBE_MTIME_NS = 1_700_000_001_123_456_789n;
/** Of ext4, XFS, Btrfs and APFS; NTFS; some network file systems; old file systems; FAT. */
const GRANULARITIES_NS = [1, 100, 1_000, 1_000_000, 1_000_000_000, 2_000_000_000] as const;

/** @returns the usual abilities if `.synced/staging` is absent or may not be written to. */
export function probeCapabilities(calls: DiskCalls, readOnly: boolean): Capabilities {
  const usual = {
    exchange: calls.hasRenameModes,
    executable: true,
    foldsNames: false,
    mtimeGranularityNs: calls.mtimeGranularityNs,
  };
  if (readOnly) return usual;
  let staging: Directory;
  try {
    staging = calls.openDirectory(STAGING_DIRECTORY, "list");
  } catch (error) {
    if (errorCode(error) === "ENOENT") return usual;
    throw error;
  }
  // The names are ids, as for all staged files, because another process may be probing and a crash
  // may leave them behind.
  const id = () => randomBytes(16).toString("hex");
  const probes: Probes = [id(), id(), `a${id()}\u00e9`];
  try {
    return probe(calls, staging, probes);
  } finally {
    for (const name of probes) clear(calls, staging, name);
    calls.closeDirectory(staging);
  }
}

/** The last name has other spellings. */
type Probes = readonly [string, string, string];

function probe(calls: DiskCalls, staging: Directory, [a, b, spelled]: Probes): Capabilities {
  const file = calls.openFile(staging, a, "create");
  try {
    const wasExecutable = file.stat().executable;
    file.setPermissions(0o700);
    file.setModified(PROBE_MTIME_NS);
    const stat = file.stat();
    calls.openFile(staging, b, "create").close();
    calls.openFile(staging, spelled, "create").close();
    const spellings = [spelled.toUpperCase(), spelled.normalize("NFD")];
    return {
      exchange: canExchange(calls, staging, [a, b]),
      executable: stat.executable && !wasExecutable,
      foldsNames: spellings.some((name) => isThere(calls, staging, name)),
      mtimeGranularityNs: Math.max(calls.mtimeGranularityNs, granularity(BigInt(stat.mtimeNs))),
    };
  } finally {
    file.close();
  }
}

function isThere(calls: DiskCalls, staging: Directory, name: string): boolean {
  try {
    calls.stat(staging, name);
    return true;
  } catch (error) {
    if (errorCode(error) === "ENOENT") return false;
    throw error;
  }
}

function canExchange(
  calls: DiskCalls,
  staging: Directory,
  [a, b]: readonly [string, string],
): boolean {
  try {
    calls.rename(staging, a, staging, b, "exchange");
    return true;
  } catch (error) {
    if (["EINVAL", "ENOSYS", "EOPNOTSUPP"].includes(errorCode(error))) return false;
    throw error;
  }
}

function granularity(kept: bigint): number {
  const same = (ns: number) => kept / BigInt(ns) === PROBE_MTIME_NS / BigInt(ns);
  return GRANULARITIES_NS.find(same) ?? 2_000_000_000;
}

function clear(calls: DiskCalls, staging: Directory, name: string): void {
  try {
    calls.removeFile(staging, name);
  } catch (error) {
    if (errorCode(error) !== "ENOENT") throw error;
  }
}
