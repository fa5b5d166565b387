/**
 * The simulation in small, for every run of the tests: seeds hold, runs repeat exactly, planted
 * bugs are found.
 */
import { describe, expect, test } from "bun:test";
import { BUGS, type Bug } from "./sim-bugs.ts";
import { simulate } from "./sim-world.ts";

const SEEDS = 150;
const BUG_SEEDS_MAX = 500;
/** Ten times what it takes where nothing else runs. */
const TIMEOUT_MS = 600_000;

test(
  `${SEEDS} simulated lives converge and lose nothing [I1, I2, I5, I6, I11]`,
  async () => {
    const failures: string[] = [];
    for (let seed = 1; seed <= SEEDS; seed++) {
      const { failure } = await simulate({ seed });
      if (failure !== undefined) failures.push(`bun run sim --seed ${seed}: ${failure}`);
    }
    expect(failures).toEqual([]);
  },
  TIMEOUT_MS,
);

test(
  "a seed run twice leaves the same trace [I45]",
  async () => {
    for (const seed of [3, 14, 15, 92, 65]) {
      const first = await simulate({ seed, keepTrace: true });
      const second = await simulate({ seed, keepTrace: true });
      expect(second.trace).toEqual(first.trace);
      expect(second.traceHash).toBe(first.traceHash);
      expect(first.trace.length).toBeGreaterThan(10);
    }
  },
  TIMEOUT_MS,
);

describe("planted bugs", () => {
  for (const [name, bug] of Object.entries(BUGS)) {
    test(
      `"${name}" is found within ${BUG_SEEDS_MAX} seeds [I45]`,
      async () => {
        expect(await firstFailure(bug)).toBeDefined();
      },
      TIMEOUT_MS,
    );
  }
});

async function firstFailure(bug: Bug): Promise<number | undefined> {
  for (let seed = 1; seed <= BUG_SEEDS_MAX; seed++) {
    if ((await simulate({ seed, bug })).failure !== undefined) return seed;
  }
  return undefined;
}
