/** Rows about programs that watch: one change, a restart, and what waiting costs. */
import * as fs from "node:fs";
import { join } from "node:path";
import { settleDisk } from "./carry-rows.ts";
import { makeTree, SeededBytes } from "./data.ts";
import { requireSame } from "./identity.ts";
import { openSynced, type Row, type SampleOptions, scaled } from "./row.ts";
import type { SyncedSession } from "./synced.ts";
import { type Figures, Meter, memoryOf } from "./usage.ts";

const SEED = 1;
const KIB = 1024;
const DIRECTORIES = 1_000;
const CHANGES = 40;
const ARRIVES_WITHIN_MS = 60_000;
/** Until what a change left to do is done. */
const SETTLE_MS = 5_000;
const REST_MS = 20_000;

function fill(a: string, files: number): void {
  makeTree(a, { seed: SEED, files, directories: DIRECTORIES, medianBytes: KIB, sigma: 1 });
}

/** @returns how long each took to be whole in B, in milliseconds, ascending. */
async function changeOneByOne(
  { a, b }: { readonly a: string; readonly b: string },
  count = CHANGES,
): Promise<readonly number[]> {
  const bytes = new SeededBytes(SEED + 2);
  const tookMs: number[] = [];
  for (let index = 0; index < count; index += 1) {
    const content = Buffer.from(bytes.take(KIB));
    const [from, to] = [join(a, `one-${index}`), join(b, `one-${index}`)];
    const startMs = performance.now();
    fs.writeFileSync(from, content);
    while (!isThere(to, content)) {
      if (performance.now() - startMs > ARRIVES_WITHIN_MS) throw new Error("It did not arrive");
      await Bun.sleep(1);
    }
    tookMs.push(performance.now() - startMs);
    await Bun.sleep(50);
  }
  return tookMs.toSorted((left, right) => left - right);
}

function isThere(path: string, content: Buffer): boolean {
  return fs.existsSync(path) && fs.readFileSync(path).equals(content);
}

function quantile(sorted: readonly number[], share: number): number {
  return sorted[Math.floor(sorted.length * share)] ?? Number.NaN;
}

async function oneChange({ carrier, root }: SampleOptions): Promise<Figures> {
  const session = await carrier.open({ root, sendsParts: false });
  try {
    fill(session.a, 1_000);
    await session.wait();
    await session.carry();
    await Bun.sleep(SETTLE_MS);
    session.begin();
    const tookMs = await changeOneByOne(session);
    return { "median ms": quantile(tookMs, 0.5), "p95 ms": quantile(tookMs, 0.95) };
  } finally {
    await session.close();
  }
}

/** Percent of a processor that each process uses in so long. */
export async function restOf(session: SyncedSession, restMs = REST_MS): Promise<Figures> {
  const meter = new Meter(() => session.pids());
  await Bun.sleep(restMs);
  const used = meter.read();
  const rest: Record<string, number> = {};
  for (const [name, pid] of session.pids()) {
    rest[`at rest %, ${name}`] = ((used[`CPU s, ${name}`] ?? 0) / restMs) * 100_000;
    rest[`at rest MB, ${name}`] = memoryOf(pid).now;
  }
  return rest;
}

async function restart(options: SampleOptions): Promise<Figures> {
  const { carrier, root, scale } = options;
  const files = scaled(100_000, scale);
  if (carrier.kind === "runs") {
    const session = await carrier.open({ root, sendsParts: false });
    fill(session.a, files);
    await session.carry();
    session.begin();
    await session.carry();
    return session.figures();
  }
  const session = await openSynced(options);
  try {
    fill(session.a, files);
    await session.wait();
    await session.carry();
    await session.stop("a");
    await Bun.sleep(SETTLE_MS);
    const startMs = performance.now();
    session.start("a");
    await session.inSync("a");
    const wallSeconds = (performance.now() - startMs) / 1000;
    const cpuSeconds = session.process("a").processorsMs / 1000;
    await Bun.sleep(SETTLE_MS);
    return { "wall s": wallSeconds, "CPU s": cpuSeconds, ...(await restOf(session)) };
  } finally {
    await session.close();
  }
}

async function held(options: SampleOptions): Promise<Figures> {
  const session = await openSynced(options);
  try {
    fill(join(session.a, "one"), scaled(5_000, options.scale));
    fill(join(session.a, "other"), scaled(5_000, options.scale));
    fs.writeFileSync(join(session.a, "keep"), "keep");
    await session.wait();
    await session.carry();
    for (const part of ["one", "other"]) fs.rmSync(join(session.a, part), { recursive: true });
    while (!session.process("a").lines.some(({ event }) => event === "held")) await Bun.sleep(50);
    await Bun.sleep(SETTLE_MS * 2);
    return await restOf(session);
  } finally {
    await session.close();
  }
}

/** Size of the client's state, in bytes a file. */
function stateBytes(folder: string, files: number): number {
  let bytes = 0;
  for (const name of fs.readdirSync(join(folder, ".synced"))) {
    const stat = fs.lstatSync(join(folder, ".synced", name));
    if (stat.isFile()) bytes += stat.size;
  }
  return bytes / files;
}

async function million(options: SampleOptions): Promise<Figures> {
  const session = await openSynced(options);
  const files = scaled(1_000_000, options.scale);
  try {
    const directories = scaled(10_000, options.scale);
    makeTree(session.a, { seed: SEED, files, directories, medianBytes: 100, sigma: 1 });
    await session.wait();
    settleDisk();
    session.begin();
    await session.carry();
    const first = session.figures();
    requireSame(session.a, session.b);
    await Bun.sleep(SETTLE_MS);
    const state = stateBytes(session.a, files);
    await session.stop("a");
    const startMs = performance.now();
    session.start("a");
    await session.inSync("a");
    const restartSeconds = (performance.now() - startMs) / 1000;
    const restartCpu = session.process("a").processorsMs / 1000;
    await Bun.sleep(SETTLE_MS);
    const tookMs = await changeOneByOne(session);
    return {
      "files/s": files / (first["wall s"] ?? Number.NaN),
      ...first,
      "state bytes a file": state,
      "restart s": restartSeconds,
      "restart CPU s": restartCpu,
      "one change ms": quantile(tookMs, 0.5),
    };
  } finally {
    await session.close();
  }
}

/** System calls of all processes until `act` is over. Needs strace. */
async function systemCalls(session: SyncedSession, act: () => Promise<unknown>): Promise<number> {
  const traces = [...session.pids().values()].map((pid) => {
    const path = join(session.a, "..", `calls-${pid}`);
    const command = ["strace", "-f", "-c", "-U", "calls", "-o", path, "-p", String(pid)];
    return { path, strace: Bun.spawn(command, { stdio: ["ignore", "ignore", "ignore"] }) };
  });
  await Bun.sleep(1_000);
  await act();
  for (const { strace } of traces) strace.kill("SIGINT");
  await Promise.all(traces.map(({ strace }) => strace.exited));
  const totals = traces.map(
    ({ path }) => /^\s*(\d+) total/m.exec(fs.readFileSync(path, "utf8"))?.[1],
  );
  return totals.reduce((sum, total) => sum + Number(total ?? Number.NaN), 0);
}

/** What one change costs among so many files: processors' milliseconds and system calls. */
export async function costOfOne(
  options: SampleOptions,
  files: number,
): Promise<{ readonly cpuMs: number; readonly calls: number }> {
  const session = await openSynced({ ...options, root: fs.mkdtempSync(join(options.root, "n-")) });
  try {
    fill(session.a, files);
    await session.wait();
    await session.carry();
    await Bun.sleep(SETTLE_MS);
    await changeOneByOne(session, 5);
    const meter = new Meter(() => session.pids());
    await changeOneByOne({ a: aside(session.a), b: join(session.b, "aside") });
    const cpuSeconds = meter.read()["CPU s"] ?? Number.NaN;
    const calls = await systemCalls(session, () =>
      changeOneByOne({ a: aside(session.a, "later"), b: join(session.b, "later") }),
    );
    return { cpuMs: (cpuSeconds * 1000) / CHANGES, calls: calls / CHANGES };
  } finally {
    await session.close();
  }
}

function aside(root: string, name = "aside"): string {
  fs.mkdirSync(join(root, name));
  return join(root, name);
}

async function follows(options: SampleOptions): Promise<Figures> {
  const few = await costOfOne(options, 1_000);
  const many = await costOfOne(options, scaled(100_000, options.scale));
  return {
    "CPU ms, few": few.cpuMs,
    "CPU ms, many": many.cpuMs,
    "CPU, many / few": many.cpuMs / few.cpuMs,
    "calls, few": few.calls,
    "calls, many": many.calls,
    "calls, many / few": many.calls / few.calls,
  };
}

export const WATCH_ROWS: readonly Row[] = [
  {
    name: "W4",
    title: "a file of 1 KiB, idle watchers",
    shortScale: 1,
    kinds: ["synced", "watches"],
    sample: oneChange,
  },
  {
    name: "W5",
    title: "restart with 100,000 files in sync, then at rest",
    shortScale: 0.05,
    kinds: ["synced", "runs"],
    sample: restart,
  },
  {
    name: "W10",
    title: "1,000,000 files, mostly tiny, in 10,000 directories",
    shortScale: 0.005,
    kinds: ["synced"],
    sample: million,
  },
  {
    name: "W13",
    title: "a held change of 10,000 deletions, waiting",
    shortScale: 0.2,
    kinds: ["synced"],
    sample: held,
  },
  {
    name: "one",
    title: "what one change costs in 1,000 and in 100,000 files",
    shortScale: 0.05,
    kinds: ["synced"],
    ...(Bun.which("strace") === null ? { whyNot: "no strace: apt-get install strace" } : undefined),
    sample: follows,
  },
];
