/**
 * The simulation in small, for every run of the tests: seeds hold, runs repeat exactly, clocks do
 * not matter, planted bugs are found.
 */
import { describe, expect, test } from "bun:test";
import { BUGS, type PlantedBug } from "./sim-bugs.ts";
import { findClockThatMatters } from "./sim-clocks.ts";
import { MUTANTS, withoutGuard } from "./sim-mutants.ts";
import { kindOf, shrink } from "./sim-shrink.ts";
import { simulate } from "./sim-world.ts";

const SEEDS = 150;
const SKEWED_SEEDS = 30;
const RUN = new URL("run.ts", import.meta.url).pathname;
/** What needs more seeds is left to `bun run sim --mutants`. */
const BUG_SEEDS_MAX = 500;
/** Ten times what it takes where nothing else runs. */
const TIMEOUT_MS = 600_000;

test(
  `${SEEDS} simulated lives converge and lose nothing, on folding disks too [I1, I2, I5, I6, I11, D9]`,
  async () => {
    const failures: string[] = [];
    let twins = 0;
    for (let seed = 1; seed <= SEEDS; seed++) {
      const { failure, counters } = await simulate({ seed });
      if (failure !== undefined) failures.push(`bun run sim --seed ${seed}: ${failure}`);
      twins += counters.get("parked twin") ?? 0;
    }
    expect(failures).toEqual([]);
    expect(twins).toBeGreaterThan(0);
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
    if (bug.seeds > BUG_SEEDS_MAX) continue;
    test(
      `"${name}" is found within ${bug.seeds} seeds`,
      async () => {
        expect(await firstFailure(bug)).toBeDefined();
      },
      TIMEOUT_MS,
    );
  }
});

describe("guards that are taken out", () => {
  for (const [name, { seeds }] of Object.entries(MUTANTS)) {
    test(
      `"${name}" is missed within ${seeds} seeds`,
      async () => {
        // In a process of its own: what is loaded here is sound.
        const command = [process.execPath, RUN, "--bug", name, "--seeds", String(seeds)];
        const run = Bun.spawn([...command, "--worker"], { stdout: "pipe", stderr: "inherit" });
        const { failures } = await new Response(run.stdout).json();
        expect(failures).not.toEqual([]);
      },
      TIMEOUT_MS,
    );
  }

  test("each stands once in its file", async () => {
    for (const { file, guard, without } of Object.values(MUTANTS)) {
      const source = await Bun.file(new URL(`../../${file}`, import.meta.url)).text();
      expect(withoutGuard(source, guard, without)).not.toBe(source);
    }
  });
});

test(
  "a failing life is shrunk to a short one that fails alike [I45]",
  async () => {
    const bug = BUGS["lose-displaced"];
    const seed = bug === undefined ? undefined : await firstFailure(bug);
    if (bug === undefined || seed === undefined) throw new Error("Nothing fails");
    const outcome = await simulate({ seed, bug });
    const changes = await shrink({ seed, bug }, outcome, 150);
    const shrunk = await simulate({ seed, bug, changes });
    expect(kindOf(shrunk.failure ?? "")).toBe(kindOf(outcome.failure ?? ""));
    expect(shrunk.steps).toBeLessThan(outcome.steps);
  },
  TIMEOUT_MS,
);

test(
  "clocks that are years and hours wrong change no tree [I10]",
  async () => {
    for (let seed = 1; seed <= SKEWED_SEEDS; seed++) {
      const finding = await findClockThatMatters({ seed }, await simulate({ seed }));
      expect({ seed, finding }).toEqual({ seed, finding: undefined });
    }
  },
  TIMEOUT_MS,
);

async function firstFailure(bug: PlantedBug): Promise<number | undefined> {
  const life = bug.life === undefined ? {} : { life: bug.life };
  for (let seed = 1; seed <= bug.seeds; seed++) {
    if ((await simulate({ seed, bug, ...life })).failure !== undefined) return seed;
  }
  return undefined;
}
