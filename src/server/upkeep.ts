/**
 * Upkeep: a running server prunes old versions and collects its garbage, soon after its start and
 * once a day. Rules: U4, U7.
 */
import { SyncedError } from "../core/error.ts";
import {
  COLLECT_DELAY_MS,
  COLLECT_INTERVAL_MS,
  COLLECT_INTERVAL_MS_MIN,
  UNNAMED_AGE_MS_MIN,
} from "../core/limits.ts";
import { type Collected, collectGarbage } from "./collect-garbage.ts";
import type { SequencerPorts } from "./ports.ts";
import { pruneFolders, type Retention } from "./retention.ts";

/** When it is done; tests have less time. */
export interface UpkeepPace {
  /** @default COLLECT_DELAY_MS */
  readonly delayMs?: number;
  /** @default COLLECT_INTERVAL_MS */
  readonly intervalMs?: number;
  /** @default UNNAMED_AGE_MS_MIN */
  readonly ageMsMin?: number;
}

export interface UpkeepOptions {
  readonly ports: SequencerPorts;
  readonly pace: UpkeepPace;
  readonly retention: Retention;
  /** Keeps others from deleting objects. @throws {SyncedError} `data_in_use` if others keep us */
  readonly hold: () => () => void;
  /** @param versions the number of those that are gone since the last time */
  readonly onCollected: (collected: Collected & { readonly versions: number }) => void;
  /** A run failed as a whole; the next one begins anew. */
  readonly onFailure: (error: unknown) => void;
}

export interface Upkeep {
  /** Ends a run between two of its steps. */
  stop(): Promise<void>;
}

export function startUpkeep(options: UpkeepOptions): Upkeep {
  const stopping = new AbortController();
  const running = run(options, stopping.signal);
  return {
    async stop() {
      stopping.abort();
      await running;
    },
  };
}

async function run(options: UpkeepOptions, signal: AbortSignal): Promise<void> {
  const { ports, retention, onCollected, onFailure } = options;
  const { delayMs, intervalMs, ageMsMin } = paceOf(options);
  await ports.clock.sleep(delayMs, signal);
  while (!signal.aborted) {
    let isHeld = false;
    let release: (() => void) | undefined;
    try {
      release = options.hold();
      const versions = await pruneFolders(ports, retention, signal);
      const collected = await collectGarbage(ports, { ageMsMin, signal });
      ports.instruments?.objectsDeleted({ count: collected.objects, bytes: collected.bytes });
      onCollected({ ...collected, versions });
    } catch (error) {
      // A backup is being made. The garbage can wait.
      isHeld = error instanceof SyncedError && error.code === "data_in_use";
      if (!isHeld) onFailure(error);
    } finally {
      release?.();
    }
    await ports.clock.sleep(isHeld ? COLLECT_INTERVAL_MS_MIN : intervalMs, signal);
  }
}

/** Who keeps versions for an hour wants them gone within the next minutes, not the next day. */
function paceOf({ pace, retention }: UpkeepOptions): Required<UpkeepPace> {
  let shortestMs = retention.keepMs ?? Number.POSITIVE_INFINITY;
  for (const ageMs of retention.byFolder.values()) {
    shortestMs = Math.min(shortestMs, ageMs ?? Number.POSITIVE_INFINITY);
  }
  const keptMs = Math.max(COLLECT_INTERVAL_MS_MIN, shortestMs / 10);
  return {
    delayMs: pace.delayMs ?? Math.min(COLLECT_DELAY_MS, keptMs),
    intervalMs: pace.intervalMs ?? Math.min(COLLECT_INTERVAL_MS, keptMs),
    ageMsMin: pace.ageMsMin ?? UNNAMED_AGE_MS_MIN,
  };
}
