/**
 * What waiting costs, with the built binary: each way in which many nodes can wait, and what client
 * and server use of a processor meanwhile: `bun tests/bench/rest.bench.ts [nodes] [state...]`.
 * Rules: Y5. Linux; some states need root. Takes about two minutes a state.
 */
import * as fs from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { ChaosDisk } from "../chaos/chaos-disk.ts";
import { BINARY, RunningSynced, runSynced, Scratch, startServer } from "../scenarios/binary.ts";

const PER_DIRECTORY = 100;
const FILE_BYTES = 200;
/** What has just come to wait is still being worked at: at rest is who used little for so long. */
const LOOK_MS = 5_000;
const BUSY_SHARE_MIN = 2;
const SETTLES_WITHIN_MS = 180_000;
const MEASURE_MS = 30_000;
const SHARE_MAX = 0.3;
const STATE_WITHIN_MS = 300_000;
const LARGE_MIB = 50;
const NOBODY = 65_534;
const AS_NOBODY = ["setpriv", `--reuid=${NOBODY}`, `--regid=${NOBODY}`, "--clear-groups", BINARY];

interface Status {
  readonly state: string;
  readonly pending: { readonly up: number; readonly down: number };
  readonly problems: readonly unknown[];
  readonly held: { readonly id: string } | null;
}

const nodes = Number(process.argv[2] ?? 10_000);

class Device {
  readonly path: string;
  readonly running: RunningSynced;

  constructor(path: string, url: string, more: { args?: string[]; command?: string[] } = {}) {
    const { args = [], command = [BINARY] } = more;
    this.path = path;
    fs.mkdirSync(path, { recursive: true });
    const own = ["sync", path, "--server", url, "--device", path.slice(-1)];
    this.running = new RunningSynced([...own, ...args], { command });
  }

  join(...names: string[]): string {
    return join(this.path, ...names);
  }

  async status(): Promise<Status> {
    return JSON.parse((await runSynced(["status", this.path, "--json"])).stdout);
  }

  async until(what: string, isSo: (status: Status) => boolean): Promise<void> {
    await until(`${this.path} ${what}`, async () => isSo(await this.status()));
  }

  async inSync(files = 0): Promise<void> {
    await until(`${this.path} is in sync`, async () => {
      const { state, pending } = await this.status();
      const isQuiet = state === "in_sync" && pending.up + pending.down === 0;
      return isQuiet && countFiles(this.path) >= files;
    });
  }

  async held(): Promise<void> {
    await this.until("is held", ({ held }) => held !== null);
  }

  async problems(count: number): Promise<void> {
    await this.until(`has ${count} problems`, ({ problems }) => problems.length >= count);
  }
}

/** One server, and who uses it. */
class Place {
  readonly scratch = new Scratch();
  readonly devices = new Map<string, Device>();
  readonly disks: ChaosDisk[] = [];
  url = "";
  server: RunningSynced | undefined;

  async serve(data = this.scratch.join("data"), args: readonly string[] = []): Promise<void> {
    const { url, server } = await startServer(data, { args });
    this.url = url;
    this.server = server;
  }

  folder(name: string): string {
    const path = this.scratch.join(name);
    fs.mkdirSync(path, { recursive: true });
    return path;
  }

  start(name: string, more: { args?: string[]; command?: string[]; path?: string } = {}): Device {
    const device = new Device(more.path ?? this.folder(name), this.url, more);
    this.devices.set(name, device);
    return device;
  }

  /** The folder belongs to nobody, and so does the client. */
  startAsNobody(name: string): Device {
    fs.chmodSync(this.scratch.path, 0o755);
    fs.chownSync(this.folder(name), NOBODY, NOBODY);
    return this.start(name, { command: AS_NOBODY });
  }

  disk(mebibytes: number): ChaosDisk {
    const disk = new ChaosDisk("tmpfs", mebibytes, this.scratch.join(`disk-${this.disks.length}`));
    this.disks.push(disk);
    return disk;
  }

  async close(): Promise<void> {
    for (const { running } of this.devices.values()) await running.stop();
    await this.server?.stop();
    for (const disk of this.disks) disk.remove();
    this.scratch.remove();
  }
}

/** Some wait all the while, others for something that happens meanwhile. */
type Meanwhile = () => void;

const STATES: Readonly<Record<string, (place: Place) => Promise<Meanwhile | undefined>>> = {
  "in sync": async (place) => {
    fill(place.folder("a"), "many");
    await place.start("a").inSync();
    await place.start("b").inSync(nodes);
    return undefined;
  },
  "nothing there": async (place) => {
    await place.start("a").inSync();
    return undefined;
  },
  "own deletions held": async (place) => {
    await holdHere(place);
    return undefined;
  },
  "own deletions held, one change elsewhere": async (place) => {
    await holdHere(place);
    const b = place.start("b");
    await b.inSync(nodes);
    return () => fs.writeFileSync(b.join("news"), "news");
  },
  "deletions from elsewhere held": async (place) => {
    await holdThere(place);
    return undefined;
  },
  "deletions from elsewhere held, one change elsewhere": async (place) => {
    const a = await holdThere(place);
    return () => fs.writeFileSync(a.join("news"), "news");
  },
  "unreadable files": async (place) => {
    fill(place.folder("a"), "many", (path) => fs.chmodSync(path, 0));
    await place.startAsNobody("a").problems(nodes);
    return undefined;
  },
  "illegible names": async (place) => {
    const directory = Buffer.from(`${place.folder("a")}/many/`);
    fs.mkdirSync(directory);
    for (let index = 0; index < nodes; index += 1) {
      const name = Buffer.concat([Buffer.from(`${index}`), Buffer.from([0xff])]);
      fs.writeFileSync(Buffer.concat([directory, name]), "x");
    }
    await place.start("a").problems(nodes);
    return undefined;
  },
  "no files, but FIFOs": async (place) => {
    makeFifos(join(place.folder("a"), "many"));
    await place.start("a").problems(nodes);
    return undefined;
  },
  "FIFOs in the way": async (place) => {
    makeFifos(join(place.folder("b"), "many"));
    const b = place.start("b");
    await b.problems(nodes);
    const a = place.start("a");
    await a.inSync();
    fillFlat(a.join("many"));
    await a.inSync(nodes);
    await b.until("has news", ({ pending }) => pending.down >= nodes);
    return undefined;
  },
  "metadata of another user's files": async (place) => {
    const many = join(place.folder("a"), "many");
    fillFlat(many);
    const a = place.start("a");
    await a.inSync();
    Bun.spawnSync(["cp", "-a", many, place.folder("b")]);
    fs.chmodSync(join(place.folder("b"), "many"), 0o1777);
    const b = place.startAsNobody("b");
    await b.inSync();
    for (const name of fs.readdirSync(many)) fs.utimesSync(join(many, name), 1e9, 1e9);
    await b.problems(nodes);
    return undefined;
  },
  "a directory that takes nothing": async (place) => {
    const a = place.start("a");
    fs.mkdirSync(a.join("many"));
    await a.inSync();
    const b = place.startAsNobody("b");
    await b.until("has it", () => fs.existsSync(b.join("many")));
    fs.chmodSync(b.join("many"), 0o555);
    fillFlat(a.join("many"));
    await b.problems(nodes);
    return undefined;
  },
  offline: async (place) => {
    const a = place.start("a");
    await a.inSync();
    await place.server?.stop();
    place.server = undefined;
    fill(a.path, "many");
    await a.until("has much to tell", ({ pending }) => pending.up >= nodes);
    return undefined;
  },
  "server full": async (place) => {
    const disk = place.disk(24);
    await place.server?.stop();
    await place.serve(join(disk.at, "data"));
    const a = place.start("a");
    await a.inSync();
    disk.fill(0);
    fill(a.path, "many");
    await a.until("has much to tell", ({ pending }) => pending.up >= nodes * 0.8);
    return undefined;
  },
  "own disk full": async (place) => {
    fill(place.folder("a"), "many", (path) => fs.appendFileSync(path, noise(3_000)));
    await place.start("a").inSync();
    const b = place.start("b", { path: join(place.disk(24).at, "b") });
    await b.until("waits for room", ({ pending }) => pending.down > 0);
    return undefined;
  },
  halted: async (place) => {
    fill(place.folder("a"), "many");
    const a = place.start("a");
    await a.inSync();
    fs.renameSync(a.path, `${a.path}-elsewhere`);
    fs.mkdirSync(a.path);
    return undefined;
  },
  "ignored here": async (place) => {
    fill(place.folder("a"), "many");
    await place.start("a").inSync();
    fs.mkdirSync(join(place.folder("b"), ".synced"), { mode: 0o700 });
    fs.writeFileSync(join(place.folder("b"), ".synced/ignore"), "many/\n");
    await place.start("b").inSync();
    return undefined;
  },
  "unusable rules": async (place) => {
    fill(place.folder("a"), "many");
    fs.mkdirSync(join(place.folder("a"), ".synced"), { mode: 0o700 });
    fs.writeFileSync(join(place.folder("a"), ".synced/ignore"), "**/a/**/b/**/c/**\n");
    await place.start("a").problems(1);
    return undefined;
  },
  paused: async (place) => {
    fill(place.folder("a"), "many");
    const [a, b] = [place.start("a"), place.start("b")];
    await a.inSync();
    await b.inSync(nodes);
    await runSynced(["pause", b.path]);
    fill(a.path, "more");
    fill(b.path, "other");
    await b.until("has both waiting", ({ pending }) => pending.up + pending.down >= 2 * nodes);
    return undefined;
  },
  "only pulls": async (place) => {
    const a = place.start("a", { args: ["--direction", "pull"] });
    await a.inSync();
    fill(a.path, "many");
    await a.until("leaves much", ({ pending }) => pending.up >= nodes);
    return undefined;
  },
  "only pushes": async (place) => {
    fill(place.folder("a"), "many");
    await place.start("a").inSync();
    const b = place.start("b", { args: ["--direction", "push"] });
    await b.until("leaves much", ({ pending }) => pending.down >= nodes);
    return undefined;
  },
  "larger than the server takes": async (place) => {
    await place.server?.stop();
    await place.serve(undefined, ["--file-size-max", "100B"]);
    fill(place.folder("a"), "many");
    await place.start("a").problems(nodes);
    return undefined;
  },
  "no right to write": async (place) => {
    const data = place.scratch.join("data");
    const made = await runSynced(["token", "create", "--access", "read", "--data", data, "--json"]);
    const file = place.scratch.join("token");
    fs.writeFileSync(file, JSON.parse(made.stdout).token, { mode: 0o600 });
    fill(place.folder("a"), "many");
    await place.start("a", { args: ["--token-file", file] }).problems(nodes);
    return undefined;
  },
  "formerly ignored": async (place) => {
    const b = place.start("b");
    fs.writeFileSync(b.join(".syncedignore"), "many/\n");
    await b.inSync();
    const a = place.start("a");
    await a.inSync(1);
    fill(a.path, "many");
    fs.rmSync(b.join(".syncedignore"));
    await a.held();
    return undefined;
  },
  // This one may take up to a twentieth of a processor (A14).
  "a large file that grows": async (place) => {
    fill(place.folder("a"), "many");
    const a = place.start("a");
    await a.inSync();
    for (let count = 0; count < LARGE_MIB; count += 1) {
      fs.appendFileSync(a.join("large"), noise(2 ** 20));
    }
    const growth = setInterval(() => {
      if (a.running.hasEnded) clearInterval(growth);
      else fs.appendFileSync(a.join("large"), noise(500));
    }, 500);
    return undefined;
  },
};

/** More than a quarter of all, by somebody who did not make them, in two places. */
async function holdHere(place: Place): Promise<Device> {
  for (const part of ["one", "other"]) fill(place.folder("a"), part, undefined, nodes / 2);
  fs.writeFileSync(join(place.folder("a"), "keep"), "keep");
  const a = place.start("a");
  await a.inSync();
  for (const part of ["one", "other"]) fs.rmSync(a.join(part), { recursive: true });
  await a.held();
  return a;
}

async function holdThere(place: Place): Promise<Device> {
  for (const part of ["one", "other"]) fill(place.folder("a"), part, undefined, nodes / 2);
  fs.writeFileSync(join(place.folder("a"), "keep"), "keep");
  const a = place.start("a", { args: ["--guard", "off"] });
  await a.inSync();
  const b = place.start("b");
  await b.inSync(nodes + 1);
  for (const part of ["one", "other"]) fs.rmSync(a.join(part), { recursive: true });
  await b.held();
  return a;
}

function noise(bytes: number): Uint8Array {
  const noise = new Uint8Array(bytes);
  for (let start = 0; start < bytes; start += 65_536) {
    crypto.getRandomValues(noise.subarray(start, start + 65_536));
  }
  return noise;
}

function fill(
  folder: string,
  part: string,
  also: (path: string) => void = () => undefined,
  count = nodes,
): void {
  for (let index = 0; index < count; index += 1) {
    const directory = join(folder, part, `directory-${Math.floor(index / PER_DIRECTORY)}`);
    if (index % PER_DIRECTORY === 0) fs.mkdirSync(directory, { recursive: true });
    const path = join(directory, `file-${index}`);
    fs.writeFileSync(path, noise(FILE_BYTES));
    also(path);
  }
}

function fillFlat(directory: string): void {
  fs.mkdirSync(directory, { recursive: true });
  for (let index = 0; index < nodes; index += 1) {
    fs.writeFileSync(join(directory, `file-${index}`), noise(FILE_BYTES));
  }
}

function makeFifos(directory: string): void {
  fs.mkdirSync(directory, { recursive: true });
  const names = Array.from({ length: nodes }, (_, index) => join(directory, `file-${index}`));
  for (let from = 0; from < nodes; from += 1_000) {
    Bun.spawnSync(["mkfifo", ...names.slice(from, from + 1_000)]);
  }
}

function countFiles(folder: string): number {
  let count = 0;
  for (const entry of fs.readdirSync(folder, { withFileTypes: true })) {
    if (entry.name === ".synced") continue;
    count += entry.isDirectory() ? countFiles(join(folder, entry.name)) : 1;
  }
  return count;
}

async function until(what: string, isSo: () => Promise<boolean>): Promise<void> {
  const deadlineMs = performance.now() + STATE_WITHIN_MS;
  while (!(await isSo().catch(() => false))) {
    if (performance.now() > deadlineMs) throw new Error(`Not in time: ${what}`);
    await Bun.sleep(500);
  }
}

/** @returns what each process uses of a processor meanwhile, in percent. */
async function sharesDuring(
  processes: ReadonlyMap<string, RunningSynced>,
  time: () => Promise<void>,
): Promise<readonly (readonly [name: string, share: number])[]> {
  const before = [...processes.values()].map(({ processorsMs }) => processorsMs);
  const startMs = performance.now();
  await time();
  const tookMs = performance.now() - startMs;
  return [...processes].map(([name, { processorsMs }], index) => {
    return [name, (100 * (processorsMs - (before[index] ?? 0))) / tookMs];
  });
}

/** Displaced files are read once more before they go: that is work, and takes its time. */
function hasDisplaced({ devices }: Place): boolean {
  const directories = [...devices.values()].map((device) => device.join(".synced/quarantine"));
  return directories.some((path) => fs.existsSync(path) && fs.readdirSync(path).length > 0);
}

async function measure(place: Place, meanwhile: Meanwhile | undefined): Promise<string> {
  const processes = new Map<string, RunningSynced>();
  for (const [name, { running }] of place.devices) processes.set(name, running);
  if (place.server !== undefined) processes.set("server", place.server);
  const deadlineMs = performance.now() + SETTLES_WITHIN_MS;
  let isBusy = true;
  while (isBusy && performance.now() < deadlineMs) {
    const shares = await sharesDuring(processes, () => Bun.sleep(LOOK_MS));
    isBusy = shares.some(([, share]) => share >= BUSY_SHARE_MIN) || hasDisplaced(place);
  }
  const shares = await sharesDuring(processes, async () => {
    await Bun.sleep(MEASURE_MS / 2);
    meanwhile?.();
    await Bun.sleep(MEASURE_MS / 2);
  });
  const parts = shares.map(([name, share]) => {
    return `${name} ${share.toFixed(2)}%${share > SHARE_MAX ? "!" : " "}`;
  });
  return `${parts.join("  ")}${isBusy ? "  not at rest before" : ""}`;
}

const wanted = process.argv.slice(3);
for (const [name, enter] of Object.entries(STATES)) {
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  const place = new Place();
  try {
    await place.serve();
    const meanwhile = await enter(place);
    console.log(`${name.padEnd(52)} ${await measure(place, meanwhile)}`);
  } catch (error) {
    console.log(`${name.padEnd(52)} not measured: ${String(error)}`);
    process.exitCode = 1;
  } finally {
    await place.close();
  }
}
