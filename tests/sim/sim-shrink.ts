/**
 * Shrinks a failing life: leaves out devices, faults, edits and time, one after the other, as long
 * as what is found stays of the same kind. Rules: I45.
 */
import type { NetworkWeather } from "./sim-network.ts";
import type { SwarmOptions } from "./sim-options.ts";
import { type SimOutcome, type SimRequest, simulate } from "./sim-world.ts";

type Changes = Partial<SwarmOptions>;

/** Edits of one life that are left out one by one. */
const EDITS_MAX = 400;

const CALM_WEATHER: NetworkWeather = {
  dropBefore: 0,
  dropAfter: 0,
  duplicate: 0,
  truncate: 0,
  unavailable: 0,
  portal: 0,
  streamBreak: 0,
  delayMs: 1,
  longDelay: 0,
};

/** What each option is where it does not matter. */
const SIMPLEST: Changes = {
  pace: 1,
  calm: false,
  accident: undefined,
  rest: false,
  editAtCall: 0,
  editAtRename: 0,
  killAtCall: 0,
  killEveryMs: 0,
  powerCuts: false,
  orderedJournal: true,
  userCaches: false,
  exchange: true,
  granularityNs: 1,
  diskFault: 0,
  partitionEveryMs: 0,
  serverCrashEveryMs: 0,
  serverKillAtWrite: 0,
  serverRestore: false,
  serverFull: 0,
  stateLoss: false,
  stateRollback: false,
  clockJumps: false,
  watcherLoss: 0,
  watcherDelayMs: 1,
  initialFiles: 0,
  largeFiles: false,
  unreadable: false,
  oldFiles: false,
  ignoring: false,
  fullScanIntervalMs: 20_000,
};

/** What is found, without where: "I1", "I2", "Busy". */
export function kindOf(failure: string): string {
  return failure.split(/[:\s]/, 1)[0] ?? "";
}

/**
 * @param outcome of `request`, which failed
 * @param triesMax lives that are tried
 * @returns the changes that make it fail in the fewest steps that were found
 */
export async function shrink(
  request: SimRequest,
  outcome: SimOutcome,
  triesMax: number,
): Promise<Changes> {
  const kind = kindOf(outcome.failure ?? "");
  let best: { readonly changes: Changes; readonly outcome: SimOutcome } = {
    changes: request.changes ?? {},
    outcome,
  };
  let tries = 0;
  const fails = async (change: Changes): Promise<boolean> => {
    if (tries++ >= triesMax) return false;
    const changes = { ...best.changes, ...change };
    const tried = await simulate({ ...request, changes });
    if (tried.failure === undefined || kindOf(tried.failure) !== kind) return false;
    if (tried.steps > best.outcome.steps) return false;
    best = { changes, outcome: tried };
    return true;
  };
  for (let before = Number.POSITIVE_INFINITY; before > best.outcome.steps && tries < triesMax; ) {
    before = best.outcome.steps;
    for (const change of candidates(() => best.outcome.swarm)) await fails(change);
    await leaveOutEdits(() => best.outcome, fails);
  }
  return best.changes;
}

/** @param now the options of the shortest life so far */
function* candidates(now: () => SwarmOptions): Generator<Changes> {
  for (const one of now().clients) {
    const others = now().clients.filter((other) => other !== one);
    if (others.length > 0) yield { clients: others };
  }
  for (const share of [0.5, 0.75, 0.9]) yield { troubleMs: Math.ceil(now().troubleMs * share) };
  yield { weather: CALM_WEATHER };
  yield { folding: {} };
  for (const [name, value] of Object.entries(SIMPLEST)) {
    const isSo = Object.entries(now()).some(([own, is]) => own === name && is === value);
    if (!isSo) yield { [name]: value };
  }
  for (const [name, value] of Object.entries(CALM_WEATHER)) {
    yield { weather: { ...now().weather, [name]: value } };
  }
}

/** First many together, then single ones. */
async function leaveOutEdits(
  best: () => SimOutcome,
  fails: (change: Changes) => Promise<boolean>,
): Promise<void> {
  const count = Math.min(EDITS_MAX, best().edits);
  const all = Array.from({ length: count }, (_, edit) => edit);
  for (let share = Math.ceil(count / 2); share >= 1; share = Math.floor(share / 2)) {
    for (let first = 0; first < count; first += share) {
      const before = best().swarm.onlyEdits ?? all;
      const onlyEdits = before.filter((edit) => edit < first || edit >= first + share);
      if (onlyEdits.length < before.length) await fails({ onlyEdits });
    }
  }
}
