/**
 * Several people change different aspects of the same files at the same moment, all live: whatever
 * somebody wrote, named or set is there afterwards, on every device, and where nothing clashes
 * there is no conflict copy.
 */
import { afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { appendFileSync, chmodSync, existsSync, mkdirSync, renameSync, utimesSync } from "node:fs";
import { ensureBinary } from "./binary.ts";
import { type Device, Lab } from "./lab.ts";
import { digestOf } from "./snapshot.ts";

/** More than any guard lets through unasked, so what clashes with nothing is not held either. */
const FILES = 60;
/** News of one file is on its way while the next one is changed. */
const GAP_MS = 4;
const TIMEOUT_MS = 120_000;
const TIME_SECONDS = 1_500_000_000;
const NUMBERS = Array.from({ length: FILES }, (_, number) => number);

let lab: Lab;

beforeAll(ensureBinary, 180_000);
beforeEach(async () => {
  lab = await Lab.open();
});
afterEach(() => lab.close());

/** What one file should look like. */
interface Wanted {
  directory: string;
  name: string;
  bytes: string;
  isExecutable: boolean;
  timeSeconds: number | undefined;
}

/** What a person does to a file, and what it has to look like because of that. */
interface Act {
  readonly run: (device: Device, number: number) => void;
  readonly expect: (wanted: Wanted, number: number) => void;
}

const DIRECTORIES = ["inbox", "sub"];

/** Where the file is by now on that device. */
function find(device: Device, number: number): { directory: string; name: string } {
  for (const directory of DIRECTORIES) {
    for (const name of [`f${number}`, `g${number}`]) {
      if (existsSync(device.join(directory, name))) return { directory, name };
    }
  }
  throw new Error(`File ${number} is nowhere on ${device.name}`);
}

function pathOf(device: Device, number: number): string {
  const { directory, name } = find(device, number);
  return device.join(directory, name);
}

const ACTS = {
  append: {
    run: (device, number) => appendFileSync(pathOf(device, number), `more ${number}\n`),
    expect: (wanted, number) => {
      wanted.bytes += `more ${number}\n`;
    },
  },
  rename: {
    run: (device, number) => {
      const { directory, name } = find(device, number);
      renameSync(device.join(directory, name), device.join(directory, `g${number}`));
    },
    expect: (wanted, number) => {
      wanted.name = `g${number}`;
    },
  },
  move: {
    run: (device, number) => {
      const { directory, name } = find(device, number);
      renameSync(device.join(directory, name), device.join("sub", name));
    },
    expect: (wanted) => {
      wanted.directory = "sub";
    },
  },
  chmod: {
    run: (device, number) => chmodSync(pathOf(device, number), 0o755),
    expect: (wanted) => {
      wanted.isExecutable = true;
    },
  },
  time: {
    run: (device, number) => {
      const seconds = TIME_SECONDS + number;
      utimesSync(pathOf(device, number), seconds, seconds);
    },
    expect: (wanted, number) => {
      wanted.timeSeconds = TIME_SECONDS + number;
    },
  },
} satisfies Record<string, Act>;

function originalOf(number: number): string {
  return `first ${number}\n`.repeat(50);
}

/** All of them are in sync with these files. */
async function share(names: readonly string[]): Promise<readonly Device[]> {
  const devices = names.map((name) => lab.device(name));
  const [first] = devices;
  for (const directory of DIRECTORIES) mkdirSync(first?.join(directory) ?? "");
  for (const number of NUMBERS) first?.write(`inbox/f${number}`, originalOf(number));
  for (const device of devices) device.start();
  await lab.settled(devices);
  return devices;
}

/** Each does one thing to each file, all at once. */
async function meet(devices: readonly Device[], acts: readonly Act[]): Promise<void> {
  for (const number of NUMBERS) {
    for (const [index, device] of devices.entries()) acts[index]?.run(device, number);
    await Bun.sleep(GAP_MS);
  }
  await lab.settled(devices);
}

/** Path by path what has to be there; of times only those that somebody set. */
function wantedTree(acts: readonly Act[]): readonly string[] {
  const files = NUMBERS.map((number) => {
    const wanted: Wanted = {
      directory: "inbox",
      name: `f${number}`,
      bytes: originalOf(number),
      isExecutable: false,
      timeSeconds: undefined,
    };
    for (const act of acts) act.expect(wanted, number);
    const { directory, name, bytes, isExecutable, timeSeconds } = wanted;
    const mark = isExecutable ? " executable" : "";
    const time = timeSeconds === undefined ? "" : ` ${timeSeconds}000000000`;
    return `${directory}/${name}: file ${digestOf(bytes)}${mark}${time}`;
  });
  return [...DIRECTORIES.map((directory) => `${directory}: directory`), ...files].sort();
}

function treeOf(device: Device, hasTimes: boolean): readonly string[] {
  const lines = [...device.snapshot()].map(([path, what]) => `${path}: ${what}`);
  return lines.map((line) => (hasTimes ? line : line.replace(/ \d+$/, ""))).sort();
}

async function expectAll(devices: readonly Device[], acts: readonly Act[]): Promise<void> {
  const hasTimes = acts.includes(ACTS.time);
  for (const device of devices) {
    expect(treeOf(device, hasTimes)).toEqual([...wantedTree(acts)]);
    expect((await device.status()).conflicts).toEqual([]);
  }
  await lab.verify();
}

describe("two people at the same files at once undo nothing of each other", () => {
  const PAIRS: readonly (readonly [keyof typeof ACTS, keyof typeof ACTS])[] = [
    ["rename", "append"],
    ["append", "move"],
    ["chmod", "append"],
    ["rename", "chmod"],
    ["move", "rename"],
    ["time", "rename"],
    ["chmod", "time"],
  ];
  for (const [one, other] of PAIRS) {
    test(
      `${one} and ${other} [R1, R5, S6]`,
      async () => {
        const acts = [ACTS[one], ACTS[other]];
        const devices = await share(["alpha", "beta"]);
        await meet(devices, acts);
        await expectAll(devices, acts);
      },
      TIMEOUT_MS,
    );
  }
});

test(
  "three people at the same files at once undo nothing of each other [R1, R5, S6]",
  async () => {
    const acts = [ACTS.append, ACTS.rename, ACTS.chmod];
    const devices = await share(["alpha", "beta", "gamma"]);
    await meet(devices, acts);
    await expectAll(devices, acts);
  },
  TIMEOUT_MS,
);

test(
  "a directory is renamed while somebody writes to the files in it [R1, R8, S6]",
  async () => {
    const [alpha, beta] = await share(["alpha", "beta"]);
    if (alpha === undefined || beta === undefined) throw new Error("Two devices");
    for (const number of NUMBERS) {
      if (number === FILES / 2) renameSync(alpha.join("inbox"), alpha.join("outbox"));
      const isMoved = existsSync(beta.join("outbox"));
      const path = beta.join(isMoved ? "outbox" : "inbox", `f${number}`);
      appendFileSync(path, `more ${number}\n`);
      await Bun.sleep(GAP_MS);
    }
    await lab.settled([alpha, beta]);
    const wanted = wantedTree([ACTS.append]).map((line) => line.replace(/^inbox/, "outbox"));
    for (const device of [alpha, beta]) expect(treeOf(device, false)).toEqual(wanted.toSorted());
    await lab.verify();
  },
  TIMEOUT_MS,
);
