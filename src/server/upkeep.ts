/**
 * Upkeep: a running server collects its garbage, soon after its start and once a day. Rules: U4.
 */
import { COLLECT_DELAY_MS, COLLECT_INTERVAL_MS, UNNAMED_AGE_MS_MIN } from "../core/limits.ts";
import { type Collected, collectGarbage } from "./collect-garbage.ts";
import type { SequencerPorts } from "./ports.ts";

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
  readonly onCollected: (collected: Collected) => void;
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
  const { ports, pace, onCollected, onFailure } = options;
  const ageMsMin = pace.ageMsMin ?? UNNAMED_AGE_MS_MIN;
  await ports.clock.sleep(pace.delayMs ?? COLLECT_DELAY_MS, signal);
  while (!signal.aborted) {
    try {
      const collected = await collectGarbage(ports, { ageMsMin, signal });
      ports.instruments?.objectsDeleted({ count: collected.objects, bytes: collected.bytes });
      onCollected(collected);
    } catch (error) {
      onFailure(error);
    }
    await ports.clock.sleep(pace.intervalMs ?? COLLECT_INTERVAL_MS, signal);
  }
}
