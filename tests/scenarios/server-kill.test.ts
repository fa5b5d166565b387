/**
 * kill -9 of the server at chosen calls to the kernel: while it makes its data directory, while
 * people work, while it stops. What it answered is there afterwards, its data are sound, and the
 * clients go on by themselves. Where strace cannot be used this is not tested. `SYNCED_TEST_POINTS`
 * sets how many calls of each kind are tried.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { BINARY, type Ended, ensureBinary, RunningSynced } from "./binary.ts";
import { type Device, Lab } from "./lab.ts";
import { digestOf } from "./snapshot.ts";

const POINTS = Number(process.env["SYNCED_TEST_POINTS"] ?? 2);
/** Enough for a row of SQLite, for a segment, and for a segment of several chunks. */
const SIZES = [200, 100_000, 600_000];
const KILLED = 137;
const INTERRUPTED = 143;

/** Processors differ in which of a kind they have; a question mark allows for that. */
const MAKE_DIRECTORY = "?mkdir,mkdirat";
const RENAME = "?rename,?renameat,renameat2";
const REMOVE = "?unlink,unlinkat";
const OPEN = "?open,openat";
/** All that may change what is on the disk. */
const KINDS = [MAKE_DIRECTORY, RENAME, REMOVE, OPEN, "ftruncate", "write", "pwrite64", "fsync"];

/** The server dies when one of its threads is about to make its `nth` call of a kind. */
interface Point {
  readonly kind: string;
  readonly nth: number;
  /** Only calls on this path count. */
  readonly path?: string;
}

const whyNot = whyNoStrace();
if (whyNot !== undefined) console.log(`Kills of the server at its calls are not tested: ${whyNot}`);

const labs: Lab[] = [];

beforeAll(ensureBinary, 180_000);
afterAll(async () => {
  for (const lab of labs) await lab.close();
});

function whyNoStrace(): string | undefined {
  const strace = Bun.which("strace");
  if (strace === null) return "there is no strace";
  const traced = [...tracer({ kind: "execve", nth: 10_000 }), "true"];
  const { success, stderr } = Bun.spawnSync(traced, { stdout: "ignore", stderr: "pipe" });
  return success ? undefined : stderr.toString().trim();
}

/**
 * As a grandchild (-D), so that signals and the exit code are the server's own. Not with
 * --seccomp-bpf: strace 6.1 then lets all calls of the main thread pass.
 */
function tracer({ kind, nth, path }: Point): string[] {
  const where = path === undefined ? [] : ["-P", path];
  const what = ["-e", `trace=${kind}`, "-e", `inject=${kind}:signal=SIGKILL:when=${nth}`];
  return ["strace", "-D", "-f", "-qq", "-o", "/dev/null", ...where, ...what];
}

/** A server that is the lab's, but for what traces it. */
function serve(lab: Lab, command: readonly string[]): RunningSynced {
  const args = ["serve", "--data", lab.data, "--port", new URL(lab.url).port || "0"];
  return new RunningSynced(args, { command: [...command, BINARY] });
}

/** Counts by kind, of the thread that made the most of them. */
async function countCalls(
  lab: Lab,
  work: (server: RunningSynced) => Promise<unknown>,
): Promise<ReadonlyMap<string, number>> {
  const log = lab.scratch.join("calls");
  const trace = `trace=${KINDS.join(",")}`;
  const server = serve(lab, ["strace", "-D", "-f", "-qq", "-o", log, "-e", trace]);
  await work(server);
  expect((await server.stop()).exitCode).toBe(INTERRUPTED);
  const byThread = new Map<string, number>();
  for (const [, thread, name] of readFileSync(log, "utf8").matchAll(/^(\d+) +(\w+)\(/gm)) {
    const key = `${thread} ${name}`;
    byThread.set(key, (byThread.get(key) ?? 0) + 1);
  }
  return new Map(
    KINDS.map((kind) => {
      const names = kind.replaceAll("?", "").split(",");
      const counts = [...byThread].filter(([key]) => names.includes(key.split(" ")[1] ?? ""));
      return [kind, Math.max(0, ...counts.map(([, count]) => count))];
    }),
  );
}

/** In the middle of each of equally long stretches. */
function spread(counts: ReadonlyMap<string, number>): Point[] {
  return [...counts].flatMap(([kind, count]) => {
    const points = Math.min(POINTS, count);
    return Array.from({ length: points }, (_, index) => {
      return { kind, nth: 1 + Math.floor(((index + 0.5) * count) / points) };
    });
  });
}

/** Somebody with curl, who remembers the answers, and somebody at a device. */
class People {
  readonly #lab: Lab;
  readonly #device: Device;
  /** Digests that a path may have: more than one while it is not known what came of a request. */
  readonly #paths = new Map<string, Set<string>>();
  #round = 0;

  constructor(lab: Lab, device: Device) {
    this.#lab = lab;
    this.#device = device;
  }

  /** Each round has new bytes, and moves and deletes what the one before it made. */
  async work(): Promise<void> {
    this.#round += 1;
    const [now, before] = [`round-${this.#round}`, `round-${this.#round - 1}`];
    for (const size of SIZES) this.#device.write(`${now}/${size}`, this.#content(size));
    if (this.#round > 1) {
      renameSync(this.#device.join(`${before}/100000`), this.#device.join(`${now}/moved`));
      rmSync(this.#device.join(`${before}/200`));
    }
    await fetch(this.#lab.folderUrl, { method: "PUT" }).catch(() => undefined);
    for (const size of SIZES) await this.#request(`by-curl/${size}`, this.#content(size));
    await this.#request(`by-curl/${now}`, this.#content(100_000));
    await this.#request(`by-curl/${before}`, undefined);
  }

  /** What was answered and is not so. */
  async broken(): Promise<string[]> {
    const broken: string[] = [];
    for (const [path, possible] of this.#paths) {
      const answer = await fetch(this.#url(path));
      const found = answer.ok ? digestOf(await answer.bytes()) : `${answer.status}`;
      if (!possible.has(found)) broken.push(`${path}: ${found}, not ${[...possible]}`);
      this.#paths.set(path, new Set([found]));
    }
    return broken;
  }

  #content(size: number): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(size);
    for (let start = 0; start < size; start += 65_536) {
      crypto.getRandomValues(bytes.subarray(start, start + 65_536));
    }
    return bytes;
  }

  async #request(path: string, body: Uint8Array<ArrayBuffer> | undefined): Promise<void> {
    const wanted = body === undefined ? "404" : digestOf(body);
    const possible = this.#paths.get(path) ?? new Set(["404"]);
    this.#paths.set(path, possible.add(wanted));
    const request = body === undefined ? { method: "DELETE" } : { method: "PUT", body };
    const answer = await fetch(this.#url(path), request).catch(() => undefined);
    const isDone = answer?.ok === true || answer?.status === 404;
    if (isDone) this.#paths.set(path, new Set([wanted]));
  }

  #url(path: string): string {
    return `${this.#lab.folderUrl}/files?path=${encodeURIComponent(path)}`;
  }
}

function newLab(): Lab {
  const lab = new Lab();
  labs.push(lab);
  return lab;
}

/**
 * How many calls a run makes depends a little on how things fall together, so it may end before the
 * `nth`; the first on a path it always makes. @returns true where it was killed
 */
function endsAsWanted(point: Point, { exitCode }: Ended): boolean {
  const wanted = point.path === undefined ? [KILLED, INTERRUPTED] : [KILLED];
  expect({ point, isWanted: wanted.includes(exitCode), exitCode }).toMatchObject({
    isWanted: true,
  });
  return exitCode === KILLED;
}

/** Files that a server left in its data directory and that are not its data. */
function leftIn(lab: Lab): string[] {
  const known =
    /^(?:format|address\.json|lock(?:-journal)?|collecting|(?:metadata|objects|tokens|history|orders)\.db(?:-wal|-shm)?|objects)$/;
  const strays = readdirSync(lab.data).filter((name) => !known.test(name));
  return [...strays, ...readdirSync(`${lab.data}/objects/tmp`)];
}

test.skipIf(whyNot !== undefined)(
  "a server killed at any call of its first start and its stop is whole the next time [O7, I26]",
  async () => {
    const counts = await countCalls(newLab(), (server) => server.event("listening"));
    for (const [kind, count] of counts) expect([kind, count > 0]).toEqual([kind, true]);
    const points = spread(counts);
    let kills = 0;
    for (const point of points) {
      const lab = newLab();
      const server = serve(lab, tracer(point));
      await server.event("listening").catch(() => undefined);
      if (endsAsWanted(point, await server.stop())) kills += 1;

      await lab.startServer();
      const device = lab.device("alpha");
      const people = new People(lab, device);
      device.start();
      await people.work();
      await lab.settled([device]);
      expect({ point, broken: await people.broken() }).toEqual({ point, broken: [] });
      expect({ point, left: leftIn(lab) }).toEqual({ point, left: [] });
      await lab.verify();
      await lab.close();
    }
    console.log(`${kills} kills in ${points.length} first starts`);
    expect(kills).toBeGreaterThan(points.length / 2);
  },
  60_000 + POINTS * 120_000,
);

/** Calls of the threads that write segments, of which the main thread makes too many others. */
function segmentPoints(lab: Lab, later: number): Point[] {
  const directory = `${lab.data}/objects`;
  const segments = readdirSync(`${directory}/segments/0`).map(Number);
  const path = `${directory}/tmp/${Math.max(...segments) + later}`;
  return ["write", "fsync", RENAME].map((kind) => ({ kind, nth: 1, path }));
}

test.skipIf(whyNot !== undefined)(
  "a server killed at any call keeps what it answered, and the clients go on [O7, I24, I26]",
  async () => {
    const lab = newLab();
    await lab.startServer();
    const pair = await lab.pair();
    const people = new People(lab, pair[0]);
    await lab.stopServer();
    const counts = await countCalls(lab, async (server) => {
      await server.event("listening");
      await people.work();
      await lab.settled(pair);
    });
    const ofMain = ["pwrite64", "fsync", OPEN, REMOVE];
    const points = spread(new Map([...counts].filter(([kind]) => ofMain.includes(kind))));
    const names = { kind: "fsync", nth: 1, path: `${lab.data}/objects/segments/0` };
    let kills = 0;
    // Which number the next segment will have is known only when its turn comes.
    const turns = [names, ...points].map((point) => () => point);
    for (const later of [1, 2]) {
      for (const at of [0, 1, 2]) turns.push(() => segmentPoints(lab, later)[at] ?? names);
    }
    for (const turn of turns) {
      const point = turn();
      const server = serve(lab, tracer(point));
      await server.event("listening").catch(() => undefined);
      await people.work();
      // What it comes to only when it stops is reached by stopping it.
      if (!server.hasEnded) await lab.settled(pair).catch(() => undefined);
      if (endsAsWanted(point, await server.stop())) kills += 1;

      // No upload comes, so what lies there was left.
      for (const { running } of pair) running.signal("SIGSTOP");
      await lab.verify();
      await lab.startServer();
      expect({ point, left: leftIn(lab) }).toEqual({ point, left: [] });
      expect({ point, broken: await people.broken() }).toEqual({ point, broken: [] });
      for (const { running } of pair) running.signal("SIGCONT");
      await lab.settled(pair);
      await lab.stopServer();
    }
    console.log(`${kills} kills in ${turns.length} rounds`);
  },
  60_000 + POINTS * 300_000,
);
