/**
 * Power cuts on a real file system: of the server, then of a client. What was answered is there
 * afterwards, what the log had taken nobody takes back, and everybody comes to agree again.
 * `SYNCED_TEST_CUTS` sets how often, `SYNCED_TEST_SEED` what, `SYNCED_TEST_DISK` the file system.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { dirname } from "node:path";
import { ensureBinary, Scratch } from "./binary.ts";
import { type Device, Lab } from "./lab.ts";
import { isLoopDiskKind, LoopDisk, whyNoLoopDisk } from "./loop-disk.ts";
import { differences, digestOf, digestsIn, type Snapshot } from "./snapshot.ts";

const CUTS = Number(process.env["SYNCED_TEST_CUTS"] ?? 6);
const SEED = Number(process.env["SYNCED_TEST_SEED"] ?? 20_261_122);
const DISK = process.env["SYNCED_TEST_DISK"] ?? "ext4";
const LOAD_MS = 700;
/** Enough to be cut in the middle of: some bytes, some chunks, some objects of a manifest. */
const SIZES = [0, 10, 3_000, 70_000, 300_000, 2_500_000];

const kind = isLoopDiskKind(DISK) ? DISK : "ext4";
const probe = new Scratch();
const whyNot = whyNoLoopDisk(kind, probe.path);
probe.remove();
if (whyNot !== undefined) console.log(`Power cuts are not tested here: ${whyNot}`);

const open: { close(): unknown }[] = [];

beforeAll(ensureBinary, 180_000);
afterAll(async () => {
  for (const one of open.reverse()) await one.close();
});

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

function pick<Value>(chance: () => number, values: readonly Value[]): Value {
  const value = values[Math.floor(chance() * values.length)];
  if (value === undefined) throw new Error("Nothing to pick from");
  return value;
}

let written = 0;
/** SHA-256 of everything that anybody ever wrote. */
const contents = new Set<string>();

function newContent(chance: () => number): Uint8Array<ArrayBuffer> {
  written += 1;
  const size = pick(chance, SIZES);
  const line = `${written} ${chance()}\n`;
  const bytes = new TextEncoder().encode(line.repeat(Math.ceil(size / line.length)));
  contents.add(digestOf(bytes));
  return bytes;
}

/** A lab whose `place` is a disk of its own. */
async function labOn(place: string): Promise<{ readonly lab: Lab; readonly disk: LoopDisk }> {
  const lab = new Lab();
  // All history is kept.
  const disk = new LoopDisk(kind, 16 * CUTS, {
    image: lab.scratch.join("image"),
    at: lab.scratch.join(place),
  });
  open.push({ close: () => lab.close() }, { close: () => disk.remove() });
  disk.mount();
  await lab.startServer();
  return { lab, disk };
}

/** Somebody with curl, who has files of their own and remembers the answers. */
class Caller {
  readonly #lab: Lab;
  readonly #chance: () => number;
  readonly #prefix: string;
  /** Digests that a path may have: more than one while it is not known what came of a request. */
  readonly #paths = new Map<string, Set<string>>();

  constructor(lab: Lab, prefix: string, chance: () => number) {
    this.#lab = lab;
    this.#prefix = prefix;
    this.#chance = chance;
  }

  async work(isOver: () => boolean): Promise<void> {
    while (!isOver()) {
      const path = `${this.#prefix}/${Math.floor(this.#chance() * 12)}`;
      if (this.#chance() < 0.8) await this.#call(path, newContent(this.#chance));
      else await this.#call(path, undefined);
    }
  }

  async #call(path: string, body: Uint8Array<ArrayBuffer> | undefined): Promise<void> {
    const possible = this.#paths.get(path) ?? new Set(["absent"]);
    const wanted = body === undefined ? "absent" : digestOf(body);
    this.#paths.set(path, possible.add(wanted));
    const request = body === undefined ? { method: "DELETE" } : { method: "PUT", body };
    const answer = await fetch(this.#url(path), request).catch(() => undefined);
    const isDone = answer !== undefined && (answer.ok || answer.status === 404);
    if (isDone) this.#paths.set(path, new Set([wanted]));
  }

  /** What was answered and is not so. */
  async broken(): Promise<string[]> {
    const broken: string[] = [];
    for (const [path, possible] of this.#paths) {
      const answer = await fetch(this.#url(path));
      const found = answer.ok ? digestOf(await answer.bytes()) : "absent";
      if (!possible.has(found)) broken.push(`${path}: ${found}, not ${[...possible]}`);
      this.#paths.set(path, new Set([found]));
    }
    return broken;
  }

  #url(path: string): string {
    return `${this.#lab.folderUrl}/files?path=${encodeURIComponent(path)}`;
  }
}

/** Works in a directory of a device's folder that is theirs alone, and seldom syncs. */
class Writer {
  readonly directory: string;
  readonly #device: Device;
  readonly #chance: () => number;
  /** Every path that they ever used. */
  readonly paths = new Set<string>();

  constructor(device: Device, chance: () => number) {
    this.#device = device;
    this.#chance = chance;
    this.directory = `own-${device.name}`;
    mkdirSync(this.#device.join(this.directory), { recursive: true });
    mkdirSync(this.#aside, { recursive: true });
  }

  /** Programs save beside the file; this place is on the same disk and is not synced. */
  get #aside(): string {
    return this.#device.join(".synced", "user");
  }

  async work(isOver: () => boolean): Promise<void> {
    while (!isOver()) {
      this.#act();
      await Bun.sleep(20 * this.#chance());
    }
  }

  #act(): void {
    const what = this.#chance();
    const path = this.#path();
    const place = this.#device.join(path);
    mkdirSync(dirname(place), { recursive: true });
    if (what < 0.35) writeFileSync(place, newContent(this.#chance));
    else if (what < 0.7) this.#saveAside(place);
    else if (what < 0.85) attempt(() => renameSync(place, this.#device.join(this.#path())));
    else rmSync(place, { force: true });
  }

  #path(): string {
    const directory = `${this.directory}/${Math.floor(this.#chance() * 3)}`;
    const path = `${directory}/${Math.floor(this.#chance() * 12)}`;
    this.paths.add(directory).add(path);
    return path;
  }

  #saveAside(place: string): void {
    const part = `${this.#aside}/part`;
    writeFileSync(part, newContent(this.#chance));
    if (this.#chance() < 0.2) {
      const file = openSync(part, "r");
      fsyncSync(file);
      closeSync(file);
    }
    renameSync(part, place);
  }
}

function attempt(act: () => void): void {
  try {
    act();
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ENOENT")) throw error;
  }
}

async function workFor(
  ms: number,
  people: readonly { work(isOver: () => boolean): Promise<void> }[],
): Promise<() => Promise<void>> {
  let isOver = false;
  const work = people.map((person) => person.work(() => isOver));
  await Bun.sleep(ms);
  return async () => {
    isOver = true;
    await Promise.all(work);
  };
}

test.skipIf(whyNot !== undefined)(
  `what a server answered outlives ${CUTS} power cuts, seed ${SEED} [O7, I24, I26, I27, F17]`,
  async () => {
    const { lab, disk } = await labOn("storage");
    const chance = createChance(SEED);
    const callers = ["x", "y", "z"].map((prefix) => new Caller(lab, prefix, chance));
    const devices = [lab.device("alpha"), lab.device("beta")] as const;
    for (const device of devices) device.start();
    await lab.settled(devices);
    const writer = new Writer(devices[0], chance);
    for (let cut = 0; cut < CUTS; cut += 1) {
      const finish = await workFor(LOAD_MS * chance(), [...callers, writer]);
      lab.pauseServer();
      await disk.cutPower(() => lab.stopServer("SIGKILL"));
      await finish();
      await lab.verify();
      await lab.startServer();
      const broken = (await Promise.all(callers.map((caller) => caller.broken()))).flat();
      expect({ cut, broken }).toEqual({ cut, broken: [] });
      await lab.settled(devices, 60_000);
      expect({ cut, strangers: strangersIn(devices[1].snapshot()) }).toEqual({
        cut,
        strangers: [],
      });
    }
    console.log(`${await lab.head()} events, ${contents.size} contents, ${CUTS} cuts`);
  },
  30_000 + CUTS * 30_000,
);

function strangersIn(snapshot: Snapshot): string[] {
  return [...digestsIn(snapshot)]
    .filter(([, digest]) => !contents.has(digest))
    .map(([path]) => path);
}

/** Paths of the log's tree with the digests of the files. */
async function treeOf(lab: Lab): Promise<Snapshot> {
  const tree = new Map<string, string>();
  let after = "";
  for (;;) {
    const query = after === "" ? "" : `&after=${encodeURIComponent(after)}`;
    const page = await lab.get<IndexPage>(`index?limit=1000${query}`);
    for (const { path, kind, sha256 } of page.entries) tree.set(path, sha256 ?? kind);
    if (page.next === undefined) return tree;
    after = page.next;
  }
}

interface IndexPage {
  readonly entries: readonly {
    readonly path: string;
    readonly kind: string;
    readonly sha256?: string;
  }[];
  readonly next?: string;
}

test.skipIf(whyNot !== undefined)(
  `what a client did outlives ${CUTS} power cuts, seed ${SEED} [I13-I15, S2, D2, F17]`,
  async () => {
    const { lab, disk } = await labOn("beta");
    const chance = createChance(SEED + 1);
    const devices = [lab.device("alpha"), lab.device("beta")] as const;
    const [alpha, beta] = devices;
    for (const device of devices) device.start();
    await lab.settled(devices);
    const writers = devices.map((device) => new Writer(device, chance));
    for (let cut = 0; cut < CUTS; cut += 1) {
      const finish = await workFor(LOAD_MS * chance(), writers);
      beta.running.signal("SIGSTOP");
      await finish();
      const view = beta.snapshot();
      await disk.cutPower(async () => {
        await beta.stop("SIGKILL");
      });
      const log = await treeOf(lab);
      const others = alpha.snapshot();
      beta.start();
      await lab.settled(devices, 60_000);
      const after = beta.snapshot();
      const taken = takenBack(log, digestsIn(view), digestsIn(after));
      expect({ cut, taken }).toEqual({ cut, taken: [] });
      const own = ([path]: [string, string]) => path.startsWith(`own-${alpha.name}/`);
      const harmed = differences(new Map([...others].filter(own)), new Map([...after].filter(own)));
      expect({ cut, harmed }).toEqual({ cut, harmed: [] });
      const strangers = [...after.keys()].filter((path) => !isKnown(path, writers));
      expect({ cut, strangers }).toEqual({ cut, strangers: [] });
    }
    await lab.verify();
    console.log(`${contents.size} contents, ${CUTS} cuts`);
  },
  30_000 + CUTS * 30_000,
);

/** What was torn by the cut, and not posted before, may have become a conflict copy. */
function isKnown(path: string, writers: readonly Writer[]): boolean {
  const plain = path.replace(/ \(conflict beta \d{4}-\d\d-\d\d [0-9a-f]{6}(?: \d+)?\)$/, "");
  return writers.some(({ directory, paths }) => plain === directory || paths.has(plain));
}

/** Files that the log had as the person saw them, and that are not so any more. */
function takenBack(
  log: Snapshot,
  view: ReadonlyMap<string, string>,
  after: ReadonlyMap<string, string>,
): string[] {
  return (
    [...view]
      .filter(([path, digest]) => log.get(path) === digest && after.get(path) !== digest)
      // An empty file may have been another one in between.
      .filter(([path, digest]) => path.startsWith("own-beta/") && digest !== digestOf(""))
      .map(([path, digest]) => `${path}: ${digest} is ${after.get(path) ?? "gone"}`)
  );
}
