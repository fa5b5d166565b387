/**
 * Quarantine: displaced files wait until it is certain that nobody still writes to them. A file is
 * unlinked only if it is, byte for byte, the file that was displaced. Rules: D3, I4.
 */

import type { NodeId } from "../../core/identifier.ts";
import { QUARANTINE_AGE_MS_MIN } from "../../core/limits.ts";
import { baseName, joinPath, parentPath } from "../../core/path.ts";
import { QUARANTINE_DIRECTORY } from "../../core/state-directory.ts";
import { pathOf } from "../../core/tree.ts";
import { FileSystemError } from "../../ports/filesystem.ts";
import type { QuarantineEntry } from "../../ports/state-store.ts";
import { ApplyBatch, type ApplyPorts } from "./batch.ts";
import { saveConflictCopy } from "./conflict-copy.ts";
import { digestOf } from "./displaced.ts";
import { forgetName } from "./former-names.ts";
import { nodeAt } from "./recover.ts";

/** How many scans a displaced file must wait for. One of them shows a late writer's edit. */
const SCANS_MIN = 2;

/** Call it after each scan, partial ones too. It writes nothing if no file waits for a scan. */
export function countQuarantineScan({ store }: Pick<ApplyPorts, "store">): void {
  if (store.quarantineGroups().every(({ scans }) => scans >= SCANS_MIN)) return;
  const waiting = store.quarantine().filter(({ scans }) => scans < SCANS_MIN);
  store.transaction(() => {
    for (const entry of waiting) store.putQuarantine({ ...entry, scans: entry.scans + 1 });
  }, "normal");
}

/** @returns when `checkQuarantine` will have work (Clock.monotonic), if nothing else happens. */
export function nextQuarantineCheckMs({
  store,
  clock,
}: Pick<ApplyPorts, "store" | "clock">): number | undefined {
  let waitMs: number | undefined;
  for (const { firstMs, scans } of store.quarantineGroups()) {
    if (scans < SCANS_MIN) continue;
    const leftMs = QUARANTINE_AGE_MS_MIN - ageMs(clock.now(), firstMs);
    waitMs = Math.min(waitMs ?? leftMs, leftMs);
  }
  return waitMs === undefined ? undefined : clock.monotonic() + Math.max(0, waitMs);
}

/**
 * Reads the files again that have waited long enough. Unchanged files are unlinked. A file that was
 * written late becomes a conflict copy.
 *
 * @throws {FileSystemError} if directories cannot be made durable
 */
export async function checkQuarantine(
  ports: ApplyPorts,
  options: { readonly deviceName: string },
): Promise<void> {
  const now = ports.clock.now();
  const isRipe = (scans: number, sinceMs: number): boolean =>
    scans >= SCANS_MIN && now - sinceMs >= QUARANTINE_AGE_MS_MIN;
  const isDue = ports.store
    .quarantineGroups()
    .some(({ scans, firstMs, lastMs }) => lastMs > now || isRipe(scans, firstMs));
  if (!isDue) return;
  const ripe: QuarantineEntry[] = [];
  for (const entry of ports.store.quarantine()) {
    if (entry.sinceMs > now) ports.store.putQuarantine({ ...entry, sinceMs: now });
    else if (isRipe(entry.scans, entry.sinceMs)) ripe.push(entry);
  }
  if (ripe.length === 0) return;
  const batch = new ApplyBatch(ports, options.deviceName);
  const checked: string[] = [];
  for (const entry of ripe) {
    try {
      await check(batch, entry);
      checked.push(entry.id);
    } catch (error) {
      // It stays, and is looked at again after another while.
      if (!(error instanceof FileSystemError)) throw error;
      ports.store.putQuarantine({ ...entry, sinceMs: now });
    }
  }
  await batch.commit();
  ports.store.transaction(() => {
    for (const id of checked) ports.store.removeQuarantine(id);
  });
  for (const id of checked) forgetName(ports.fs, id);
}

async function check(batch: ApplyBatch, entry: QuarantineEntry): Promise<void> {
  const { fs, store } = batch.ports;
  const from = joinPath(QUARANTINE_DIRECTORY, entry.id);
  if (fs.stat(from) === undefined) return;
  const digest = await digestOf(fs, from, batch.pace);
  if (digest === entry.digest || isInPlace(batch, from)) {
    fs.removeFile(from);
    return;
  }
  const { node, path } = entry;
  const directory = parentPath(path);
  await saveConflictCopy(batch, {
    from,
    // If a sibling holds the bytes, the file waits once more, under another id than the entry that
    // ends now.
    id: batch.ports.random.id<NodeId>(),
    node,
    directory,
    parent: nodeAt(store, directory),
    name: baseName(path),
    of: { node, version: store.remoteRow(node)?.contentVersion ?? 0 },
  });
}

/**
 * True for one of several hard links if another one stands in the folder, because then the bytes
 * are there.
 */
function isInPlace({ ports: { fs, store } }: ApplyBatch, path: string): boolean {
  const stat = fs.stat(path);
  if (stat === undefined || stat.links === 1) return false;
  const sibling = store.localByIdentity(stat.identity);
  const place = sibling === undefined ? undefined : pathOf(store.local, sibling.id);
  return place !== undefined && fs.stat(place)?.identity === stat.identity;
}

/** The clock may have gone back meanwhile. */
function ageMs(now: number, sinceMs: number): number {
  return Math.max(0, now - sinceMs);
}
