/** Rows about the server alone, with devices that are simulated by processes of their own. */
import { spawn } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { RunningSynced } from "../scenarios/binary.ts";
import { medianOf } from "../timing.ts";
import { makeTree } from "./data.ts";
import { openSynced, type Row, type SampleOptions, scaled } from "./row.ts";
import type { SyncedSession } from "./synced.ts";
import { type Figures, Meter } from "./usage.ts";

const LOAD = join(import.meta.dir, "load.ts");
const COMMITS = 100;
const ROUNDS = 5;
const FEW_DEVICES = 8;

type Options = Readonly<Record<string, string | number>>;

interface Load {
  /** The next line that it prints; its result is the last. */
  line(): Promise<string>;
  result(): Promise<ReturnType<typeof JSON.parse>>;
  stop(): void;
}

function startLoad(kind: string, options: Options): Load {
  const command = [LOAD, kind, JSON.stringify(options)];
  const child = spawn(process.execPath, command, { stdio: ["ignore", "pipe", "inherit"] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const line = async () => {
    const { value, done } = await lines.next();
    if (done) throw new Error(`The load "${kind}" failed`);
    return String(value);
  };
  return {
    line,
    result: async () => JSON.parse(await line()),
    stop: () => child.kill("SIGTERM"),
  };
}

const load = (kind: string, options: Options) => startLoad(kind, options).result();

async function folderOf(session: SyncedSession, name = "default"): Promise<string> {
  const url = `${session.url}/v1/folders/${name}`;
  await (await fetch(url, { method: "PUT" })).arrayBuffer();
  return url;
}

/** 200 devices listen, 20 of them write; 1,000 others listen to a folder where nothing happens. */
async function manyDevices(options: SampleOptions): Promise<Figures> {
  const session = await openSynced(options);
  try {
    const url = await folderOf(session);
    const idle = startLoad("listen", {
      url: await folderOf(session, "idle"),
      streams: scaled(1_000, options.scale),
      sampled: 0,
    });
    const listeners = startLoad("listen", {
      url,
      streams: scaled(200, options.scale),
      sampled: 10,
    });
    for (const one of [idle, listeners]) await one.line();
    const meter = new Meter(() => session.pids());
    const writers = scaled(20, options.scale);
    const written = await load("write", { url, writers, seconds: 10 });
    const figures = meter.read();
    await Bun.sleep(1_000);
    for (const one of [idle, listeners]) one.stop();
    await idle.result();
    const sentMs = new Map<number, number>(written.sent);
    const arrivals: readonly (readonly [number, number])[] = await listeners.result();
    const delays = arrivals.map(([seq, ms]) => ms - (sentMs.get(seq) ?? Number.NaN));
    const known = delays.filter((delay) => !Number.isNaN(delay)).toSorted((a, b) => a - b);
    return {
      "commits/s": written.commits / written.seconds,
      "server CPU ms a commit": ((figures["CPU s"] ?? 0) * 1000) / written.commits,
      "arrival p50 ms": known[Math.floor(known.length / 2)] ?? Number.NaN,
      "arrival p95 ms": known[Math.floor(known.length * 0.95)] ?? Number.NaN,
      "peak MB": figures["peak MB, server"] ?? Number.NaN,
    };
  } finally {
    await session.close();
  }
}

async function longLog(options: SampleOptions): Promise<Figures> {
  const { scale, root } = options;
  const data = join(root, "long", "server");
  mkdirSync(data, { recursive: true });
  const events = scaled(5_000_000, scale);
  await load("build", { data, events, live: scaled(1_000_000, scale) });
  const sessions: SyncedSession[] = [];
  try {
    for (const name of ["long", "empty"]) {
      sessions.push(await openSynced({ ...options, root: join(root, name) }));
    }
    const [long = "", empty = ""] = await Promise.all(sessions.map((one) => folderOf(one)));
    const tookMs: Record<string, number[]> = { [long]: [], [empty]: [] };
    for (let round = 0; round < ROUNDS; round += 1) {
      for (const url of [long, empty]) {
        tookMs[url]?.push(...(await load("commit", { url, count: COMMITS })));
      }
    }
    const read = await load("join", { url: long, devices: 1 });
    const [slow, quick] = [medianOf(tookMs[long] ?? []), medianOf(tookMs[empty] ?? [])];
    return {
      "commit ms, long": slow,
      "commit ms, empty": quick,
      "long / empty": slow / quick,
      "nodes/s": read.nodes / read.seconds,
    };
  } finally {
    for (const session of sessions) await session.close();
  }
}

/** Many read all at once: what a byte costs the server then, and when few do. */
async function manyJoin(options: SampleOptions): Promise<Figures> {
  const session = await openSynced(options);
  try {
    const sizes = { medianBytes: 4_096, sigma: 1 };
    makeTree(session.a, { seed: 1, files: 10_000, directories: 100, ...sizes });
    const args = ["sync", session.a, "--server", session.url, "--once"];
    await new RunningSynced(args).ended();
    const url = await folderOf(session);
    const read = async (devices: number) => {
      const meter = new Meter(() => session.pids());
      const { bytes, seconds } = await load("join", { url, devices });
      const figures = meter.read();
      const cpuSeconds = figures["CPU s"] ?? Number.NaN;
      return { rate: bytes / 1e6 / cpuSeconds, wall: bytes / 1e6 / seconds, figures };
    };
    const few = await read(FEW_DEVICES);
    const many = await read(scaled(1_000, options.scale));
    return {
      "MB a CPU s, few": few.rate,
      "MB a CPU s, many": many.rate,
      "many / few": many.rate / few.rate,
      "MB/s, many": many.wall,
      "peak MB": many.figures["peak MB, server"] ?? Number.NaN,
    };
  } finally {
    await session.close();
  }
}

export const SERVER_ROWS: readonly Row[] = [
  {
    name: "W11",
    title: "200 devices, 20 of them write files of 1 KiB, beside 1,000 idle streams",
    shortScale: 1,
    kinds: ["synced"],
    sample: manyDevices,
  },
  {
    name: "W12",
    title: "log of 5,000,000 events, 1,000,000 live nodes",
    shortScale: 0.01,
    kinds: ["synced"],
    sample: longLog,
  },
  {
    name: "W14",
    title: "1,000 devices' first join at once to 10,000 files",
    shortScale: 0.02,
    kinds: ["synced"],
    sample: manyJoin,
  },
];
