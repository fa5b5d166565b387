/**
 * kill -9 of the server and the clients at random moments while people work: nothing is lost, torn
 * or left lying about. `SYNCED_TEST_ROUNDS` sets how often, `SYNCED_TEST_SEED` what.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { ensureBinary } from "./binary.ts";
import { type Device, Lab } from "./lab.ts";
import { digestOf, digestsIn, type Snapshot } from "./snapshot.ts";

const ROUNDS = Number(process.env["SYNCED_TEST_ROUNDS"] ?? 12);
const SEED = Number(process.env["SYNCED_TEST_SEED"] ?? 20_261_122);
const LOAD_MS = 900;
/** The names that both people use. */
const SHARED_NAMES = ["a", "b", "c", "d"];
const CONFLICT_MARK = / \(conflict (?:alpha|beta) \d{4}-\d\d-\d\d [0-9a-f]{6}(?: \d+)?\)/;

let lab: Lab;

beforeAll(async () => {
  await ensureBinary();
  lab = await Lab.open();
}, 180_000);
afterAll(() => lab.close());

/** Mulberry32: the moments of the kernel are not repeatable, what is done is. */
function createChance(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** A person who works in one folder, and remembers what they wrote. */
class Person {
  readonly device: Device;
  /** SHA-256 of everything that anybody ever wrote. */
  readonly #written: Set<string>;
  readonly #chance: () => number;
  /** Own files that are never touched again, by path. */
  readonly kept = new Map<string, string>();
  #count = 0;

  constructor(device: Device, written: Set<string>, chance: () => number) {
    this.device = device;
    this.#written = written;
    this.#chance = chance;
    mkdirSync(device.join("shared"), { recursive: true });
    mkdirSync(device.join(`own-${device.name}`), { recursive: true });
    mkdirSync(this.#aside, { recursive: true });
  }

  get #aside(): string {
    return `${this.device.path}-aside`;
  }

  act(): void {
    const what = this.#chance();
    const place = this.device.join("shared", this.#pick(SHARED_NAMES));
    if (what < 0.3) this.#keep();
    else if (what < 0.65) this.#save(place);
    else if (what < 0.8) this.#move(place, this.device.join("shared", this.#pick(SHARED_NAMES)));
    else if (what < 0.9) rmSync(place, { recursive: true, force: true });
    else this.#fillDirectory();
  }

  #pick(names: readonly string[]): string {
    return names[Math.floor(this.#chance() * names.length)] ?? "";
  }

  #content(): Uint8Array {
    this.#count += 1;
    const line = `${this.device.name} ${this.#count} ${this.#chance()}\n`;
    // Some are of several chunks.
    const repeats = this.#chance() < 0.2 ? 20_000 * this.#chance() : 3;
    const bytes = new TextEncoder().encode(line.repeat(Math.ceil(repeats)));
    this.#written.add(digestOf(bytes));
    return bytes;
  }

  #keep(): void {
    const path = `own-${this.device.name}/${this.#count}`;
    const bytes = this.#content();
    // What is moved in is whole at once: no scan can see half of it.
    this.#putWhole(this.device.join(path), bytes);
    this.kept.set(path, digestOf(bytes));
  }

  #save(place: string): void {
    this.#putWhole(place, this.#content());
  }

  #putWhole(place: string, bytes: Uint8Array): void {
    writeFileSync(`${this.#aside}/part`, bytes);
    attempt(() => renameSync(`${this.#aside}/part`, place));
  }

  #move(from: string, to: string): void {
    attempt(() => renameSync(from, to));
  }

  #fillDirectory(): void {
    const place = this.device.join("shared", `directory-${Math.floor(this.#chance() * 3)}`);
    attempt(() => mkdirSync(place));
    for (let index = 0; index < 5; index += 1) this.#save(`${place}/${index}`);
  }
}

/** The other side may have moved or removed what one is about to touch, or put a directory there. */
function attempt(act: () => void): void {
  try {
    act();
  } catch (error) {
    const expected = ["ENOENT", "EEXIST", "ENOTDIR", "EISDIR", "ENOTEMPTY"];
    if (error instanceof Error && "code" in error && expected.includes(String(error.code))) return;
    throw error;
  }
}

/** Kills one of the three, or more, at some moment, and starts them again at another. */
async function disturb(devices: readonly Device[], chance: () => number): Promise<void> {
  const victims = [...devices, lab].filter(() => chance() < 0.45);
  for (const victim of victims.length === 0 ? [lab] : victims) {
    await Bun.sleep((chance() * LOAD_MS) / 2);
    if (victim instanceof Lab) {
      await victim.stopServer("SIGKILL");
      await Bun.sleep(100 * chance());
      await victim.startServer();
    } else {
      await victim.stop("SIGKILL");
      await Bun.sleep(100 * chance());
      victim.start();
    }
  }
}

/** Every content of these snapshots is in a folder, or in the server's history. */
async function lostOf(before: readonly Snapshot[], after: Snapshot): Promise<string[]> {
  const present = new Set(digestsIn(after).values());
  const lost: string[] = [];
  for (const snapshot of before) {
    for (const [path, digest] of digestsIn(snapshot)) {
      if (present.has(digest) || (await lab.remembers(digest))) continue;
      lost.push(`${path} ${digest}`);
    }
  }
  return lost;
}

/** Paths whose name nobody gave, or whose content nobody wrote. */
function strangersIn(snapshot: Snapshot, written: ReadonlySet<string>): string[] {
  const strangers: string[] = [];
  for (const path of snapshot.keys()) {
    const plain = path.replaceAll(new RegExp(CONFLICT_MARK, "g"), "");
    if (!/^(?:shared|own-(?:alpha|beta))(?:\/(?:[a-d]|\d+|directory-\d(?:\/\d)?))?$/.test(plain)) {
      strangers.push(path);
    }
  }
  for (const [path, digest] of digestsIn(snapshot)) {
    if (!written.has(digest)) strangers.push(`${path} ${digest}`);
  }
  return strangers;
}

test(
  `kill -9 of server and clients, ${ROUNDS} rounds, seed ${SEED} [I1, I2, I5, I14, I26, O7]`,
  async () => {
    const chance = createChance(SEED);
    const written = new Set<string>();
    const devices = [lab.device("alpha"), lab.device("beta")] as const;
    const people = devices.map((device) => new Person(device, written, chance));
    for (const device of devices) device.start();
    for (let round = 0; round < ROUNDS; round += 1) {
      let isOver = false;
      const work = (async () => {
        while (!isOver) {
          for (const person of people) person.act();
          await Bun.sleep(30 * chance());
        }
      })();
      await Promise.all([disturb(devices, chance), Bun.sleep(LOAD_MS)]);
      isOver = true;
      await work;

      const before = restOf(devices);
      await lab.settled(devices);
      const after = devices[0].snapshot();
      const where = `round ${round}`;
      expect({ where, lost: await lostOf(before, after) }).toEqual({ where, lost: [] });
      expect({ where, strangers: strangersIn(after, written) }).toEqual({ where, strangers: [] });
      const digests = digestsIn(after);
      for (const { kept } of people) {
        const missing = [...kept].filter(([path, digest]) => digests.get(path) !== digest);
        expect({ where, missing }).toEqual({ where, missing: [] });
      }
    }
    const copies = [...devices[0].snapshot().keys()].filter((path) => CONFLICT_MARK.test(path));
    console.log(`${await lab.head()} events, ${written.size} contents, ${copies.length} conflicts`);
    for (const device of devices) {
      await device.stop();
      expect(readdirSync(device.join(".synced/staging"))).toEqual([]);
      expect(existsSync(device.join(".synced/parking"))).toBe(true);
      expect(readdirSync(device.join(".synced/parking"))).toEqual([]);
    }
    await lab.verify();
  },
  ROUNDS * 60_000,
);

/** People rest, programs do not: a file may still go while it is looked at. */
function restOf(devices: readonly Device[]): Snapshot[] {
  return devices.map((device) => {
    for (;;) {
      try {
        return device.snapshot();
      } catch (error) {
        if (!(error instanceof Error && "code" in error && error.code === "ENOENT")) throw error;
      }
    }
  });
}
