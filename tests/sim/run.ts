/**
 * Runs seeds: `bun run sim --seeds 2000`, one seed with its trace: `bun run sim --seed 17`, a
 * planted bug: `--bug never-sync`, all of them: `--mutants`. Large runs are split over the cores;
 * what fails is shrunk, and printed with the command that replays it. Rules: I10, I45.
 */
import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import { COVERAGE } from "./sim-coverage.ts";
import { MUTANTS, plantMutant } from "./sim-mutants.ts";
import { describeOptions, drawLife, LIVES, type Life, type SwarmOptions } from "./sim-options.ts";
import type { SimOutcome, SimRequest } from "./sim-world.ts";

const flags = readFlags();
const mutant = flags.bug === undefined ? undefined : MUTANTS[flags.bug];
if (mutant !== undefined) plantMutant(mutant);
// Only now, so that what is planted is loaded.
const { BUGS } = await import("./sim-bugs.ts");
const { simulate } = await import("./sim-world.ts");
const { findClockThatMatters } = await import("./sim-clocks.ts");
const { shrink } = await import("./sim-shrink.ts");

const SEEDS_PER_WORKER_MIN = 100;
/**
 * One seed in so many runs twice, and once more with clocks that are years apart. Odd, so that all
 * workers have some.
 */
const TWICE_EVERY = 97;
/**
 * Memory that a worker gave back to the system, it would ask for again in the next life. The last
 * of the compilers takes longer than what it compiles: minutes are too short for it.
 */
const WORKER_ENVIRONMENT = {
  ...process.env,
  MIMALLOC_PURGE_DELAY: "-1",
  BUN_JSC_useFTLJIT: "0",
};
/** So many failures are shrunk, with so many lives each. */
const SHRUNK_MAX = 3;
const SHRINK_TRIES_MAX = 600;

interface Tally {
  /** Of the processor, all threads. */
  cpuMs: number;
  readonly counters: Map<string, number>;
  readonly failures: string[];
  /** The first seeds that failed. */
  readonly seeds: number[];
  steps: number;
  lives: number;
}

function readFlags() {
  const { values } = parseArgs({
    options: {
      seeds: { type: "string", default: "200" },
      start: { type: "string", default: "1" },
      /** Each how manieth seed is this process's. */
      stride: { type: "string", default: "1" },
      /** No life begins after that. */
      seconds: { type: "string", default: "Infinity" },
      seed: { type: "string" },
      life: { type: "string" },
      /** Ten thousand lives within minutes: most of them are brief. */
      many: { type: "boolean", default: false },
      /** Options that are others than drawn, as JSON. */
      with: { type: "string" },
      bug: { type: "string" },
      mutants: { type: "boolean", default: false },
      worker: { type: "boolean", default: false },
      "keep-going": { type: "boolean", default: false },
    },
  });
  return values;
}

function requestOf(seed: number, keepTrace = false): SimRequest {
  const life = lifeOf(seed);
  const changes: Partial<SwarmOptions> | undefined =
    flags.with === undefined ? undefined : JSON.parse(flags.with);
  const request: SimRequest = {
    seed,
    keepTrace,
    ...(life === undefined ? undefined : { life }),
    ...(changes === undefined ? undefined : { changes }),
  };
  if (flags.bug === undefined || mutant !== undefined) return request;
  const bug = BUGS[flags.bug];
  if (bug !== undefined) return { ...request, bug };
  const known = [...Object.keys(BUGS), ...Object.keys(MUTANTS)].join(", ");
  throw new Error(`No bug "${flags.bug}"; there are ${known}`);
}

function lifeOf(seed: number): Life | undefined {
  const { life: text, many } = flags;
  if (text === undefined) return many ? drawLife(seed, "many") : undefined;
  const life = LIVES.find((one) => one === text);
  if (life !== undefined) return life;
  throw new Error(`No life "${text}"; there are ${LIVES.join(", ")}`);
}

function replayOf(seed: number, changes?: Partial<SwarmOptions>): string {
  const lived = lifeOf(seed);
  const life = lived === undefined ? "" : ` --life ${lived}`;
  const bug = flags.bug === undefined ? "" : ` --bug ${flags.bug}`;
  const text = changes === undefined ? flags.with : JSON.stringify(changes);
  return `bun run sim --seed ${seed}${life}${bug}${text === undefined ? "" : ` --with '${text}'`}`;
}

function describe({ seed, failure, swarm }: SimOutcome): string {
  return `seed ${seed}: ${failure}\n  replay: ${replayOf(seed)}\n  options: ${describeOptions(swarm)}`;
}

async function runOne(seed: number): Promise<number> {
  const started = performance.now();
  const outcome = await simulate(requestOf(seed, true));
  for (const line of outcome.trace) console.log(line);
  const took = (performance.now() - started).toFixed(0);
  console.log(`options: ${describeOptions(outcome.swarm)}`);
  console.log(`${outcome.steps} steps, ${took} ms, trace ${outcome.traceHash}`);
  console.log(outcome.failure === undefined ? `seed ${seed} holds` : describe(outcome));
  return outcome.failure === undefined ? 0 : 1;
}

function newTally(): Tally {
  return { counters: new Map(), failures: [], seeds: [], steps: 0, lives: 0, cpuMs: 0 };
}

async function runRange(start: number, count: number): Promise<Tally> {
  const tally = newTally();
  const untilMs = performance.now() + Number(flags.seconds) * 1_000;
  for (let seed = start; seed < start + count; seed += Number(flags.stride)) {
    if (performance.now() > untilMs) break;
    const outcome = await simulate(requestOf(seed));
    tally.lives++;
    tally.steps += outcome.steps;
    add(tally.counters, outcome.counters);
    if (outcome.failure !== undefined) {
      tally.failures.push(describe(outcome));
      tally.seeds.push(seed);
    }
    if (seed % TWICE_EVERY === 0 && outcome.failure === undefined)
      tally.failures.push(...(await differencesOf(outcome)));
    if (tally.failures.length > 0 && !flags["keep-going"]) break;
  }
  const { user, system } = process.cpuUsage();
  tally.cpuMs = (user + system) / 1_000;
  return tally;
}

/** The same life once more, and with other clocks. */
async function differencesOf(outcome: SimOutcome): Promise<string[]> {
  const { seed, traceHash } = outcome;
  const failures: string[] = [];
  const again = await simulate(requestOf(seed));
  if (again.traceHash !== traceHash) {
    failures.push(`seed ${seed}: I45: the second run's trace is another one`);
  }
  const finding = await findClockThatMatters(requestOf(seed), outcome);
  if (finding !== undefined) failures.push(`seed ${seed}: ${finding}`);
  return failures;
}

function add(into: Map<string, number>, counters: Iterable<readonly [string, number]>): void {
  for (const [what, count] of counters) into.set(what, (into.get(what) ?? 0) + count);
}

async function runOnAllCores(start: number, count: number): Promise<Tally> {
  const cores = Math.min(availableParallelism(), Math.floor(count / SEEDS_PER_WORKER_MIN));
  if (cores < 2) return await runRange(start, count);
  const parts = await Promise.all(
    Array.from({ length: cores }, (_, core) => runChild(core, cores)),
  );
  const tally = newTally();
  for (const part of parts) {
    tally.cpuMs += part.cpuMs;
    tally.lives += part.lives;
    tally.steps += part.steps;
    tally.failures.push(...part.failures);
    tally.seeds.push(...part.seeds);
    add(tally.counters, part.counters);
  }
  return tally;
}

/** @returns what a worker prints. */
async function runChild(core: number, cores: number) {
  const command = [process.execPath, import.meta.path, ...process.argv.slice(2), "--worker"];
  const first = Number(flags.start) + core;
  const count = Number(flags.seeds) - core;
  const share = ["--start", String(first), "--seeds", String(count), "--stride", String(cores)];
  const child = Bun.spawn([...command, ...share], {
    stdout: "pipe",
    stderr: "inherit",
    env: WORKER_ENVIRONMENT,
  });
  return JSON.parse(await new Response(child.stdout).text());
}

async function report(tally: Tally, seconds: number): Promise<number> {
  const { counters, failures, seeds, steps, lives, cpuMs } = tally;
  for (const failure of failures) console.log(failure);
  const sorted = [...counters].sort(([a], [b]) => (a < b ? -1 : 1));
  console.log(sorted.map(([what, count]) => `${what} ${count}`).join(" · "));
  const never = COVERAGE.filter((what) => !counters.has(what));
  if (never.length > 0) console.log(`Never happened: ${never.join(", ")}`);
  if (lives < Number(flags.seeds) && seconds > Number(flags.seconds))
    console.log(`The time was over after ${lives} of ${flags.seeds} seeds`);
  const each = (sum: number) => Math.round(sum / Math.max(1, lives));
  console.log(
    `${lives} seeds, ${failures.length} failures, ${(lives / seconds).toFixed(1)} seeds/s; ` +
      `${each(steps)} steps and ${each(cpuMs)} ms of processor a seed`,
  );
  // Last, since it takes its time.
  for (const seed of seeds.slice(0, SHRUNK_MAX)) await reportShrunk(seed);
  return failures.length > 0 ? 1 : 0;
}

async function reportShrunk(seed: number): Promise<void> {
  const request = requestOf(seed);
  const outcome = await simulate(request);
  const changes = await shrink(request, outcome, SHRINK_TRIES_MAX);
  const shrunk = await simulate({ ...request, changes });
  console.log(
    `seed ${seed} shrunk from ${outcome.steps} to ${shrunk.steps} steps: ${shrunk.failure}`,
  );
  console.log(`  replay: ${replayOf(seed, changes)}`);
}

/** Plants each bug in a process of its own, and prints after how many seeds it was found. */
async function runMutants(): Promise<number> {
  const row = (...cells: readonly string[]) =>
    console.log(cells.map((cell, at) => (at === 0 ? cell.padEnd(20) : cell.padStart(8))).join(" "));
  row("mutant", "rule", "found at", "budget", "seeds/s");
  let missed = 0;
  for (const [name, planted] of Object.entries({ ...BUGS, ...MUTANTS })) {
    const { rule, seeds } = planted;
    const started = performance.now();
    const command = [process.execPath, import.meta.path, "--bug", name, "--seeds", String(seeds)];
    if ("life" in planted && planted.life !== undefined) command.push("--life", planted.life);
    const run = Bun.spawn([...command, "--worker"], {
      stdout: "pipe",
      stderr: "inherit",
      env: WORKER_ENVIRONMENT,
    });
    const { lives, failures } = JSON.parse(await new Response(run.stdout).text());
    const rate = lives / ((performance.now() - started) / 1_000);
    if (failures.length === 0) missed++;
    row(name, rule, failures.length === 0 ? "missed" : String(lives), `${seeds}`, rate.toFixed(1));
  }
  return missed > 0 ? 1 : 0;
}

if (flags.mutants) process.exitCode = await runMutants();
else if (flags.seed !== undefined) process.exitCode = await runOne(Number(flags.seed));
else if (flags.worker) {
  const tally = await runRange(Number(flags.start), Number(flags.seeds));
  console.log(JSON.stringify({ ...tally, counters: [...tally.counters] }));
} else {
  const started = performance.now();
  const tally = await runOnAllCores(Number(flags.start), Number(flags.seeds));
  const seconds = (performance.now() - started) / 1_000;
  process.exitCode = await report(tally, seconds);
}
process.exit();
