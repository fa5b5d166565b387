/**
 * Real processes, users who know nothing of sync, and faults: `bun run chaos --minutes 60`. What is
 * drawn follows from the seed; timings are real, so that a seed finds again what it found only by
 * chance. Rules: I1-I6, I11, I14, I43.
 */
import { cpSync, mkdtempSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { ensureBinary } from "../scenarios/binary.ts";
import type { Snapshot } from "../scenarios/snapshot.ts";
import { SimRandom } from "../sim/sim-random.ts";
import { whyNoChaosDisk } from "./chaos-disk.ts";
import { FAULT_KINDS, type FaultKind, runFaults } from "./chaos-faults.ts";
import { type Violation, violationsOf } from "./chaos-laws.ts";
import type { JournalLine } from "./chaos-ledger.ts";
import { contentsIn } from "./chaos-snapshot.ts";
import { ChaosWorld } from "./chaos-world.ts";

/** Backing off, two full scans and a busy machine included. */
const SETTLES_WITHIN_MS = 90_000;
/** A late write comes to light when its file has waited long enough. */
const QUARANTINE_WITHIN_MS = 90_000;
const WORK_MS_MIN = 2_000;
const WORK_MS_MAX = 7_000;
/** A world grows old, and is left for a new one. */
const ROUNDS_PER_WORLD = 8;
const JOURNAL_LINES_MAX = 60;

const flags = readFlags();

function readFlags() {
  const { values } = parseArgs({
    options: {
      minutes: { type: "string" },
      seed: { type: "string" },
      clients: { type: "string", default: "3" },
      rounds: { type: "string" },
      keep: { type: "string" },
      "only-faults": { type: "string" },
      "stop-at-first": { type: "boolean", default: false },
    },
  });
  const minutes = Number(values.minutes ?? (values.rounds === undefined ? 2 : 24 * 60));
  const only = values["only-faults"]?.split(",");
  const unknown = only?.filter(
    (kind) => kind !== "none" && !FAULT_KINDS.some((one) => one === kind),
  );
  if (unknown !== undefined && unknown.length > 0) {
    throw new Error(`No faults "${unknown}"; there are none, ${FAULT_KINDS.join(", ")}`);
  }
  return {
    untilMs: performance.now() + minutes * 60_000,
    seed: Number(values.seed ?? Math.floor(Math.random() * 1e6)),
    clients: Number(values.clients),
    rounds: Number(values.rounds ?? Number.POSITIVE_INFINITY),
    keep: values.keep,
    kinds: FAULT_KINDS.filter((kind) => only === undefined || only.includes(kind)),
    stopAtFirst: values["stop-at-first"],
  };
}

interface Tally {
  rounds: number;
  actions: number;
  faults: number;
  races: number;
  failedRounds: number;
}

async function main(): Promise<number> {
  await ensureBinary();
  const scratch = realpathSync(mkdtempSync(join(tmpdir(), "synced-test-chaos-")));
  const kinds = usableKinds(scratch);
  const tally: Tally = { rounds: 0, actions: 0, faults: 0, races: 0, failedRounds: 0 };
  console.log(
    `chaos: seed ${flags.seed}, ${flags.clients} clients, faults: ${kinds.join(" ") || "none"}`,
  );
  try {
    for (
      let number = 0;
      performance.now() < flags.untilMs && tally.rounds < flags.rounds;
      number++
    ) {
      await liveIn(number, { scratch: join(scratch, `world-${number}`), kinds, tally });
      if (flags.stopAtFirst && tally.failedRounds > 0) break;
    }
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
  console.log(
    `chaos: ${tally.rounds} rounds, ${tally.actions} actions, ${tally.faults} faults, ` +
      `${tally.races} races, ${tally.failedRounds} failures`,
  );
  return tally.failedRounds > 0 || tally.rounds === 0 ? 1 : 0;
}

/** Full disks need some that can be filled. */
function usableKinds(scratch: string): readonly FaultKind[] {
  if (!flags.kinds.includes("disk")) return flags.kinds;
  const why = whyNoChaosDisk("ext4", scratch) ?? whyNoChaosDisk("tmpfs", scratch);
  if (why === undefined) return flags.kinds;
  console.log(`chaos: no full disks here: ${why}`);
  return flags.kinds.filter((kind) => kind !== "disk");
}

interface Life {
  readonly scratch: string;
  readonly kinds: readonly FaultKind[];
  readonly tally: Tally;
}

/** Some rounds in one world, up to the first that fails. */
async function liveIn(number: number, { scratch, kinds, tally }: Life): Promise<void> {
  const seed = flags.seed + number * 1_000;
  const disks = kinds.includes("disk");
  const world = await ChaosWorld.open({ scratch, seed, clients: flags.clients, disks });
  try {
    let tree = await firstTree(world);
    for (let round = 1; round <= ROUNDS_PER_WORLD; round += 1) {
      if (performance.now() > flags.untilMs || tally.rounds >= flags.rounds) return;
      const startMs = performance.now();
      const random = new SimRandom(seed + round, "round");
      const { violations, end, summary } = await playRound(world, {
        round,
        tree,
        random,
        kinds,
        tally,
      });
      tally.rounds += 1;
      const seconds = ((performance.now() - startMs) / 1_000).toFixed(1);
      console.log(
        `round ${number}.${round}: ${summary}, ${seconds} s, ${violations.length} violations`,
      );
      if (violations.length > 0 || end === undefined) {
        tally.failedRounds += 1;
        report(world, violations, `seed ${flags.seed}, round ${number}.${round}`);
        await keep(world, scratch, `round-${number}.${round}`);
        return;
      }
      tree = end;
    }
  } finally {
    await world.close();
    rmSync(scratch, { recursive: true, force: true });
  }
}

async function firstTree(world: ChaosWorld): Promise<Snapshot> {
  const settled = await world.settle(SETTLES_WITHIN_MS);
  if ("tree" in settled) return settled.tree;
  throw new Error(`No first sync: ${settled.wrong.join("\n")}`);
}

interface RoundPlan {
  readonly round: number;
  readonly tree: Snapshot;
  readonly random: SimRandom;
  readonly kinds: readonly FaultKind[];
  readonly tally: Tally;
}

async function playRound(world: ChaosWorld, { round, tree, random, kinds, tally }: RoundPlan) {
  const { ledger, devices } = world;
  ledger.beginRound(round, tree);
  const forMs = WORK_MS_MIN + random.below(WORK_MS_MAX - WORK_MS_MIN);
  const untilMs = performance.now() + forMs;
  const users = devices.flatMap((device) => device.users);
  const before = actionsOf(world);
  const [faults] = await Promise.all([
    runFaults(world, kinds, { random, forMs }),
    ...users.map((user) => user.work(untilMs)),
  ]);
  const stopped = new Map(devices.map((device) => [device.name, device.snapshot()]));
  await world.heal();
  const settled = await world.settle(SETTLES_WITHIN_MS);
  const actions = actionsOf(world) - before;
  tally.actions += actions;
  tally.faults += faults.length;
  tally.races += ledger.races;
  ledger.races = 0;
  const summary = `${actions} actions, ${faults.length} faults`;
  if ("wrong" in settled) {
    const violations: Violation[] = [
      { what: settled.wrong.join("\n    "), paths: pathsIn(settled.wrong), pieces: [] },
    ];
    return { violations: [...violations, ...plain(world.scandals())], end: undefined, summary };
  }
  const end = await afterQuarantine(world, settled.tree);
  const earlierLosers = await world.earlierLosers();
  const violations = [
    ...violationsOf({
      ledger,
      start: tree,
      stopped,
      end,
      earlierLosers,
      restoredTo: ledger.rejoins.has("server") ? world.keptTree : undefined,
    }),
    ...plain(ledger.suspicions.splice(0)),
    ...plain(devices.flatMap((device) => device.litter())),
    ...plain(await world.unrest()),
    ...plain(await world.verify(random.chance(0.4) ? end : undefined)),
    ...plain(world.scandals()),
  ];
  return { violations, end, summary };
}

/**
 * What was written to a file after it was displaced comes to light when that has waited long
 * enough. What the history has by then stays away.
 */
async function afterQuarantine(world: ChaosWorld, tree: Snapshot): Promise<Snapshot> {
  const waiting = world.ledger.missing(contentsIn(tree)).map(({ content }) => content);
  const deadlineMs = performance.now() + QUARANTINE_WITHIN_MS;
  let late = await world.writtenLate(waiting);
  if (late.length === 0) return tree;
  while (late.length > 0 && performance.now() < deadlineMs) {
    await Bun.sleep(1_000);
    late = await world.writtenLate(late);
  }
  const settled = await world.settle(SETTLES_WITHIN_MS);
  return "tree" in settled ? settled.tree : tree;
}

function actionsOf(world: ChaosWorld): number {
  let count = 0;
  for (const { users } of world.devices) {
    for (const user of users) for (const times of user.counts.values()) count += times;
  }
  return count;
}

function plain(lines: readonly string[]): Violation[] {
  return lines.map((what) => ({ what, paths: [], pieces: [] }));
}

/** The quoted paths in lines of differences. */
function pathsIn(lines: readonly string[]): string[] {
  return lines.flatMap((line) => {
    const quoted = /: ("(?:[^"\\]|\\.)*"):/.exec(line)?.[1];
    return quoted === undefined ? [] : [String(JSON.parse(quoted))];
  });
}

function report(world: ChaosWorld, violations: readonly Violation[], where: string): void {
  console.log(`FAILED ${where}`);
  for (const violation of violations) {
    console.log(`  - ${violation.what}`);
    tellStory(world.ledger.journal, violation);
  }
  console.log("  faults:");
  for (const line of world.ledger.journal) if (line.device === "fault") tell(line);
  for (const process of [world.server, ...world.devices.map(({ client }) => client)]) {
    console.log(`  ${process.name} said last:\n${process.tail.replaceAll(/^/gm, "    ")}`);
  }
}

/** What users did to the files, at the paths and to the directories above them. */
function tellStory(journal: readonly JournalLine[], { paths, pieces }: Violation): void {
  const names = pieces.flatMap((piece) => piece?.label ?? []);
  const isAbove = (above: string) =>
    paths.some((path) => path === above || path.startsWith(`${above}/`));
  const lines = journal.filter(
    (line) => line.pieces.some((name) => names.includes(name)) || line.paths.some(isAbove),
  );
  for (const line of lines.slice(-JOURNAL_LINES_MAX)) tell(line);
}

function tell({ atMs, device, what, paths }: JournalLine): void {
  console.log(`    ${String(atMs).padStart(6)} ${device} ${what} ${paths.join(" -> ")}`);
}

/** Folders, states, server's data and logs, as they stand. */
async function keep(world: ChaosWorld, scratch: string, name: string): Promise<void> {
  if (flags.keep === undefined) return;
  for (const { client } of world.devices) await client.stop("SIGTERM");
  await world.server.stop("SIGTERM");
  const place = join(flags.keep, name);
  rmSync(place, { recursive: true, force: true });
  cpSync(scratch, place, {
    recursive: true,
    preserveTimestamps: true,
    verbatimSymlinks: true,
    filter: (path) => !path.endsWith(".image"),
  });
  await Bun.write(join(place, "journal.json"), JSON.stringify(world.ledger.journal, null, 1));
  console.log(`  kept in ${place}`);
}

process.exitCode = await main();
process.exit();
