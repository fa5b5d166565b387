/**
 * Runs seeds: `bun run sim --seeds 2000`, one seed with its trace: `bun run sim --seed 17`, a
 * planted bug: `--bug never-sync`. Large runs are split over the cores. Rules: I10, I45.
 */
import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import { COVERAGE } from "./sim-coverage.ts";
import { MUTANTS, plantMutant } from "./sim-mutants.ts";
import { drawSkews } from "./sim-options.ts";
import type { SimOutcome, SimRequest } from "./sim-world.ts";

const flags = readFlags();
const mutant = flags.bug === undefined ? undefined : MUTANTS[flags.bug];
if (mutant !== undefined) plantMutant(mutant);
// Only now, so that what is planted is loaded.
const { BUGS } = await import("./sim-bugs.ts");
const { simulate } = await import("./sim-world.ts");

const SEEDS_PER_WORKER_MIN = 100;
/** One seed in twenty runs twice, and once more with clocks that are years apart. */
const TWICE_EVERY = 20;

interface Tally {
  readonly counters: Map<string, number>;
  readonly failures: string[];
  steps: number;
  seeds: number;
}

function readFlags() {
  const { values } = parseArgs({
    options: {
      seeds: { type: "string", default: "200" },
      start: { type: "string", default: "1" },
      seed: { type: "string" },
      bug: { type: "string" },
      worker: { type: "boolean", default: false },
      "keep-going": { type: "boolean", default: false },
    },
  });
  return values;
}

type Flags = ReturnType<typeof readFlags>;

function requestOf(seed: number, flags: Flags, keepTrace: boolean): SimRequest {
  if (flags.bug === undefined || mutant !== undefined) return { seed, keepTrace };
  const bug = BUGS[flags.bug];
  if (bug !== undefined) return { seed, keepTrace, bug };
  const known = [...Object.keys(BUGS), ...Object.keys(MUTANTS)].join(", ");
  throw new Error(`No bug "${flags.bug}"; there are ${known}`);
}

function describe(outcome: SimOutcome, flags: Flags): string {
  const bug = flags.bug === undefined ? "" : ` --bug ${flags.bug}`;
  return `seed ${outcome.seed}: ${outcome.failure}\n  replay: bun run sim --seed ${outcome.seed}${bug}\n  options: ${outcome.options}`;
}

async function runOne(seed: number, flags: Flags): Promise<number> {
  const started = performance.now();
  const outcome = await simulate(requestOf(seed, flags, true));
  for (const line of outcome.trace) console.log(line);
  const took = (performance.now() - started).toFixed(0);
  console.log(`options: ${outcome.options}`);
  console.log(`${outcome.steps} steps, ${took} ms, trace ${outcome.traceHash}`);
  console.log(outcome.failure === undefined ? `seed ${seed} holds` : describe(outcome, flags));
  return outcome.failure === undefined ? 0 : 1;
}

async function runRange(start: number, count: number, flags: Flags): Promise<Tally> {
  const tally: Tally = { counters: new Map(), failures: [], steps: 0, seeds: 0 };
  for (let seed = start; seed < start + count; seed++) {
    const outcome = await simulate(requestOf(seed, flags, false));
    tally.seeds++;
    tally.steps += outcome.steps;
    add(tally.counters, outcome.counters);
    if (outcome.failure !== undefined) tally.failures.push(describe(outcome, flags));
    if (seed % TWICE_EVERY === 0) {
      const again = await simulate(requestOf(seed, flags, false));
      if (again.traceHash !== outcome.traceHash) {
        tally.failures.push(`seed ${seed}: I45: the second run's trace is another one`);
      }
      const skewed = await simulate({ ...requestOf(seed, flags, false), skewsMs: drawSkews(seed) });
      if (!Bun.deepEquals(skewed.tree, outcome.tree)) {
        tally.failures.push(`seed ${seed}: I10: with other clocks the tree is another one`);
      }
    }
    if (tally.failures.length > 0 && !flags["keep-going"]) break;
  }
  return tally;
}

function add(into: Map<string, number>, counters: Iterable<readonly [string, number]>): void {
  for (const [what, count] of counters) into.set(what, (into.get(what) ?? 0) + count);
}

async function runOnAllCores(start: number, count: number, flags: Flags): Promise<Tally> {
  const cores = Math.min(availableParallelism(), Math.floor(count / SEEDS_PER_WORKER_MIN));
  if (cores < 2) return await runRange(start, count, flags);
  const share = Math.ceil(count / cores);
  const parts = await Promise.all(
    Array.from({ length: cores }, async (_, core) => {
      const first = start + core * share;
      const args = [
        "--start",
        String(first),
        "--seeds",
        String(Math.min(share, start + count - first)),
        "--worker",
      ];
      if (flags.bug !== undefined) args.push("--bug", flags.bug);
      if (flags["keep-going"]) args.push("--keep-going");
      const child = Bun.spawn([process.execPath, import.meta.path, ...args], {
        stdout: "pipe",
        stderr: "inherit",
      });
      return JSON.parse(await new Response(child.stdout).text());
    }),
  );
  const tally: Tally = { counters: new Map(), failures: [], steps: 0, seeds: 0 };
  for (const part of parts) {
    tally.seeds += part.seeds;
    tally.steps += part.steps;
    tally.failures.push(...part.failures);
    add(tally.counters, part.counters);
  }
  return tally;
}

function report(tally: Tally, seconds: number): number {
  for (const failure of tally.failures) console.log(failure);
  const counters = [...tally.counters].sort(([a], [b]) => (a < b ? -1 : 1));
  console.log(counters.map(([what, count]) => `${what} ${count}`).join(" · "));
  const never = COVERAGE.filter((what) => !tally.counters.has(what));
  if (never.length > 0) console.log(`Never happened: ${never.join(", ")}`);
  const rate = (tally.seeds / seconds).toFixed(1);
  const steps = Math.round(tally.steps / Math.max(1, tally.seeds));
  console.log(
    `${tally.seeds} seeds, ${tally.failures.length} failures, ${rate} seeds/s, ${steps} steps a seed`,
  );
  return tally.failures.length > 0 ? 1 : 0;
}

if (flags.seed !== undefined) process.exitCode = await runOne(Number(flags.seed), flags);
else if (flags.worker) {
  const tally = await runRange(Number(flags.start), Number(flags.seeds), flags);
  console.log(JSON.stringify({ ...tally, counters: [...tally.counters] }));
} else {
  const started = performance.now();
  const tally = await runOnAllCores(Number(flags.start), Number(flags.seeds), flags);
  process.exitCode = report(tally, (performance.now() - started) / 1_000);
}
process.exit();
