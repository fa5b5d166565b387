/**
 * Scrub: reads every object once in a while, at a pace that nobody notices, so that damage is found
 * while a device still has the bytes. Rules: U11.
 *
 * Where it is follows from the time, so a restart goes on there. The period is a little shorter
 * than asked for, so that a server which is off each night does not leave out the same part.
 */
import { type Digest, parseDigest } from "../core/digest.ts";
import { SyncedError } from "../core/error.ts";
import type { FolderName } from "../core/identifier.ts";
import { COLLECT_BATCH_MAX } from "../core/limits.ts";
import type { KnownObject } from "../ports/object-records.ts";
import { folderNames } from "./collect-garbage.ts";
import type { SequencerPorts } from "./ports.ts";

export interface ScrubOptions {
  readonly ports: SequencerPorts;
  readonly periodMs: number;
  /** Called for each object that is found damaged or lost. */
  readonly onDamage: (damage: { readonly folder: FolderName; readonly digest: Digest }) => void;
  readonly onFailure: (error: unknown) => void;
}

const PERIOD_SHARE = 0.97;
const STEPS = 16_384;
const STEP_MS_MIN = 250;
/** Digests are even over their first 32 bits. */
const PREFIX_DIGITS = 8;

export function startScrub(options: ScrubOptions): { stop(): Promise<void> } {
  const stopping = new AbortController();
  const running = run(options, stopping.signal);
  return {
    async stop() {
      stopping.abort();
      await running;
    },
  };
}

async function run(options: ScrubOptions, signal: AbortSignal): Promise<void> {
  const { clock } = options.ports;
  const periodMs = options.periodMs * PERIOD_SHARE;
  const stepMs = Math.max(STEP_MS_MIN, periodMs / STEPS);
  let from = (clock.now() % periodMs) / periodMs;
  while (!signal.aborted) {
    await clock.sleep(stepMs, signal);
    const to = (clock.now() % periodMs) / periodMs;
    try {
      // The time has gone round, or was put back.
      if (to < from) await scrub(options, { from, to: 1 }, signal);
      await scrub(options, { from: to < from ? 0 : from, to }, signal);
    } catch (error) {
      options.onFailure(error);
    }
    from = to;
  }
}

async function scrub(
  { ports, onDamage }: ScrubOptions,
  part: { readonly from: number; readonly to: number },
  signal: AbortSignal,
): Promise<void> {
  for await (const folder of folderNames(ports.metadata)) {
    let after: KnownObject | undefined = { digest: prefixAt(part.from), depth: -1, size: 0 };
    const end = part.to === 1 ? undefined : prefixAt(part.to);
    while (after !== undefined && !signal.aborted) {
      const found: readonly KnownObject[] = await ports.metadata.objects(folder, {
        after,
        limit: COLLECT_BATCH_MAX,
      });
      for (const { digest } of found) {
        if (signal.aborted || (end !== undefined && digest >= end)) return;
        if (!(await isSound(ports, folder, digest))) onDamage({ folder, digest });
        await ports.clock.yield();
      }
      after = found.at(-1);
    }
  }
}

/** An object that was collected meanwhile is no damage: then the folder does not know it either. */
async function isSound(
  { metadata, objects }: SequencerPorts,
  folder: FolderName,
  digest: Digest,
): Promise<boolean> {
  try {
    if ((await objects.get(digest)) !== undefined) return true;
    if ((await metadata.knownObjects(folder, [digest])).length === 0) return true;
    await objects.miss(digest);
    return false;
  } catch (error) {
    if (error instanceof SyncedError && error.code === "chunk_corrupt") return false;
    throw error;
  }
}

function prefixAt(share: number): Digest {
  const prefix = Math.floor(share * 16 ** PREFIX_DIGITS);
  return parseDigest(prefix.toString(16).padStart(PREFIX_DIGITS, "0").padEnd(64, "0"));
}
