/**
 * What kind of run a seed makes: each fault is on in some seeds and off in others (swarm testing).
 */
import { ACCIDENTS, type Accident } from "./sim-accident.ts";
import type { NetworkWeather } from "./sim-network.ts";
import { SimRandom } from "./sim-random.ts";

export interface SwarmOptions {
  readonly life: Life;
  readonly clients: readonly ClientLabel[];
  /** The trouble's events come so many times as far apart. */
  readonly pace: number;
  /** The only edits in the trouble, counted from 0: fewer make a shorter story. */
  readonly onlyEdits: readonly number[] | undefined;
  /** What follows once all have converged: a user edits in peace, and then nothing happens. */
  readonly calm: boolean;
  /** Several users do something to the same files at the same moments in peace. */
  readonly duels: boolean;
  /** What a guard has to hold, in peace. Then a guard also lets few deletions go in the trouble. */
  readonly accident: Accident | undefined;
  /** What one person approved, no other device asks about. */
  readonly trustsApprovals: boolean;
  readonly rest: boolean;
  readonly troubleMs: number;
  readonly editEveryMs: number;
  /** Chance of a user's edit before a port call of that user's client. */
  readonly editAtCall: number;
  /** Chance that a port call is the process's last. */
  readonly killAtCall: number;
  /** Chance of an edit of the very path that is about to be renamed. */
  readonly editAtRename: number;
  /** Chance that the server dies in the middle of a write. */
  readonly serverKillAtWrite: number;
  readonly killEveryMs: number;
  readonly powerCuts: boolean;
  readonly orderedJournal: boolean;
  readonly userCaches: boolean;
  readonly exchange: boolean;
  readonly granularityNs: number;
  readonly diskFault: number;
  readonly weather: NetworkWeather;
  readonly partitionEveryMs: number;
  readonly serverCrashEveryMs: number;
  readonly serverRestore: boolean;
  readonly serverFull: number;
  readonly stateLoss: boolean;
  readonly clockJumps: boolean;
  readonly watcherLoss: number;
  readonly watcherDelayMs: number;
  readonly initialFiles: number;
  readonly largeFiles: boolean;
  readonly unreadable: boolean;
  readonly fullScanIntervalMs: number;
  /** How the disks of some clients fold names. */
  readonly folding: Readonly<Partial<Record<ClientLabel, Folding>>>;
  /** The state database is brought back from an older copy now and then. */
  readonly stateRollback: boolean;
  /** Older files are brought back into the folder now and then. */
  readonly oldFiles: boolean;
  /** Users write and change rules files. */
  readonly ignoring: boolean;
}

export const LIVES = ["brief", "short", "medium", "long"] as const;
/** Most lives are short, so that many situations are met; what takes its time needs long ones. */
export type Life = (typeof LIVES)[number];

/**
 * How many of which are lived; the rest is brief. The budgets of mutants are counted in usual
 * lives. Of `many`, ten thousand take eight minutes of processor.
 */
const MIXES = {
  usual: { long: 0.05, medium: 0.1, short: 0.85 },
  many: { long: 0.015, medium: 0.03, short: 0.05 },
} as const;
export type Mix = keyof typeof MIXES;

export const CLIENTS = ["ada", "bob", "eve"] as const;
export type ClientLabel = (typeof CLIENTS)[number];

const PAIRS: readonly (readonly ClientLabel[])[] = [
  ["ada", "bob"],
  ["ada", "eve"],
  ["bob", "eve"],
];

/** Which names a disk takes for one. */
export type Folding = "case" | "form" | "both";

export const FOLDS: Readonly<Record<Folding, (name: string) => string>> = {
  case: (name) => name.toLowerCase(),
  form: (name) => name.normalize("NFC"),
  both: (name) => name.normalize("NFC").toLowerCase(),
};

const ACCIDENT_SHARE = 0.06;

/** @param life @default drawn too */
export function drawOptions(seed: number, life = drawLife(seed, "usual")): SwarmOptions {
  switch (life) {
    case "brief":
      return drawBriefLife(seed);
    case "short":
      return drawShortLife(seed);
    case "medium":
      return drawMediumLife(seed);
    case "long":
      return drawLongLife(seed);
  }
}

export function drawLife(seed: number, mix: Mix): Life {
  const share = new SimRandom(seed, "length").fraction();
  const { long, medium, short } = MIXES[mix];
  if (share < long) return "long";
  if (share < long + medium) return "medium";
  return share < long + medium + short ? "short" : "brief";
}

/** What is gone only counts as gone after a while, which a life at full pace has not. */
const SLOW_PACE = 0.5;

/** Mostly two devices, for a moment, until they have converged. */
function drawBriefLife(seed: number): SwarmOptions {
  const short = drawShortLife(seed);
  const random = new SimRandom(seed, "brief life");
  const { pace } = short;
  return {
    ...short,
    life: "brief",
    clients: random.chance(0.1) ? CLIENTS : random.pick(PAIRS),
    troubleMs: pace * random.pick([2_000, 4_000]),
    calm: random.chance(0.03),
    duels: random.chance(0.08),
    accident: random.chance(0.2) ? short.accident : undefined,
    rest: random.chance(0.02),
    ignoring: short.ignoring && random.chance(0.2),
  };
}

/** Two devices for seconds, most of them; few are brought to rest. */
function drawShortLife(seed: number): SwarmOptions {
  const medium = drawMediumLife(seed);
  const random = new SimRandom(seed, "short life");
  const pace = random.pick([0.05, 0.1, SLOW_PACE]);
  return {
    ...medium,
    life: "short",
    clients: random.pick([CLIENTS, ...PAIRS]),
    pace,
    troubleMs: pace * random.pick([4_000, 8_000, 16_000]),
    initialFiles: random.pick([0, 1, 3]),
    calm: random.chance(0.15),
    duels: random.chance(0.25),
    rest: random.chance(0.08),
    // In so few calls as many things are to happen.
    editAtCall: 2 * medium.editAtCall,
    killAtCall: 3 * medium.killAtCall,
    diskFault: 3 * medium.diskFault,
    unreadable: medium.unreadable || random.chance(pace === SLOW_PACE ? 0.25 : 0),
    // To wait until no rules come back takes as long as all the rest.
    ignoring: medium.ignoring && random.chance(0.3),
  };
}

function drawMediumLife(seed: number): SwarmOptions {
  const random = new SimRandom(seed, "life");
  const long = drawLongLife(seed);
  // What was drawn here once: the others stay what they are.
  random.fraction();
  return {
    ...long,
    life: "medium",
    clients: random.pick([CLIENTS, CLIENTS, ["ada", "eve"]]),
    pace: random.pick([0.05, 0.1, 0.2]),
    troubleMs: random.pick([500, 1_500, 4_000]),
    editEveryMs: random.pick([1_000, 2_000, 4_000]),
    initialFiles: random.pick([0, 1, 4]),
    calm: random.chance(0.3),
    duels: random.chance(0.4),
    rest: random.chance(0.15),
  };
}

function drawLongLife(seed: number): SwarmOptions {
  const random = new SimRandom(seed, "options");
  const some = (share: number, rate: number) =>
    random.chance(share) ? rate * random.fraction() : 0;
  const calm = random.chance(0.1);
  const net = (share: number, rate: number) => (calm ? 0 : some(share, rate));
  return {
    life: "long",
    clients: CLIENTS,
    pace: 1,
    onlyEdits: undefined,
    calm: true,
    duels: true,
    accident: drawAccident(seed, ACCIDENT_SHARE),
    trustsApprovals: new SimRandom(seed, "trust").chance(0.5),
    rest: true,
    troubleMs: random.pick([5_000, 15_000, 40_000]),
    editEveryMs: random.pick([300, 1_000, 3_000, 8_000]),
    editAtCall: some(0.5, 0.03),
    killAtCall: some(0.3, 0.004),
    killEveryMs: random.chance(0.4) ? random.pick([5_000, 20_000, 60_000]) : 0,
    powerCuts: random.chance(0.5),
    orderedJournal: random.chance(0.5),
    userCaches: random.chance(0.15),
    exchange: random.chance(0.8),
    granularityNs: random.pick([1, 1, 4_000_000]),
    diskFault: some(0.25, 0.02),
    weather: {
      dropBefore: net(0.4, 0.2),
      dropAfter: net(0.4, 0.2),
      duplicate: net(0.3, 0.2),
      truncate: net(0.2, 0.1),
      unavailable: net(0.2, 0.2),
      portal: net(0.1, 0.1),
      streamBreak: net(0.3, 0.1),
      delayMs: random.pick([1, 20, 200]),
      longDelay: net(0.2, 0.05),
    },
    partitionEveryMs: calm || random.chance(0.6) ? 0 : random.pick([10_000, 30_000]),
    serverCrashEveryMs: calm || random.chance(0.6) ? 0 : random.pick([10_000, 30_000]),
    serverRestore: random.chance(0.1),
    serverFull: some(0.1, 0.1),
    stateLoss: random.chance(0.1),
    clockJumps: random.chance(0.2),
    watcherLoss: some(0.3, 0.3),
    // Told later than a disappearance counts, a rename is a deletion and a new file (A4).
    watcherDelayMs: random.pick([1, 50, 200]),
    initialFiles: random.pick([0, 0, 3, 12]),
    largeFiles: random.chance(0.15),
    unreadable: random.chance(0.1),
    fullScanIntervalMs: random.pick([20_000, 30_000, 60_000, 60_000, 240_000]),
    editAtRename: some(0.35, 0.5),
    serverKillAtWrite: some(0.2, 0.02),
    folding: drawFolding(random),
    stateRollback: random.chance(0.15),
    oldFiles: random.chance(0.12),
    ignoring: random.chance(0.25),
  };
}

function drawAccident(seed: number, share: number): Accident | undefined {
  const random = new SimRandom(seed, "accident");
  return random.chance(share) ? random.pick(ACCIDENTS) : undefined;
}

function drawFolding(random: SimRandom): SwarmOptions["folding"] {
  if (!random.chance(0.2)) return {};
  const draw = (): Folding => random.pick(["case", "form", "both"]);
  return random.chance(0.3) ? { bob: draw(), eve: draw() } : { eve: draw() };
}

/**
 * Clocks that must not matter (I10). Where something may happen at any port call, a file that is
 * read once more because another device's time looks young here changes what happens next: then all
 * clocks are wrong alike.
 */
export function drawSkews(options: SwarmOptions): readonly number[] {
  const { editAtCall, editAtRename, killAtCall, diskFault } = options;
  const isAlike = editAtCall + editAtRename + killAtCall + diskFault > 0;
  return [3, 9, 15].map((hours) => TEN_YEARS_MS + (isAlike ? 0 : hours * 3_600_000));
}

const TEN_YEARS_MS = 3_652 * 86_400_000;

/** The options that are not at rest, for the first line of a failure. */
export function describeOptions(options: SwarmOptions): string {
  const show = (value: unknown): string => {
    if (typeof value === "number") return String(Math.round(value * 10_000) / 10_000);
    if (typeof value === "boolean") return String(value);
    if (typeof value === "string") return value;
    if (Array.isArray(value)) return value.join("+");
    if (typeof value !== "object" || value === null) return "";
    const parts = Object.entries(value).filter(([, inner]) => inner !== 0 && inner !== undefined);
    return `{${parts.map(([key, inner]) => `${key}=${show(inner)}`).join(" ")}}`;
  };
  return show(options).slice(1, -1);
}
