/**
 * The whole way with real processes: A -> server -> B on loopback, fsync on. Prints times, the
 * processors' seconds of each process, and the ratio to two hops of rsync where it is installed:
 * `bun tests/bench/sync.bench.ts [files] [MiB of the large file]`. Wants `dist/synced`.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";

const FILES_PER_DIRECTORY = 100;
const SMALL_BYTES = 2_000;
const MIB = 2 ** 20;
const DEADLINE_MS = 120_000;
const LATENCY_ROUNDS = 40;

const files = Number(process.argv[2] ?? 10_000);
const largeMib = Number(process.argv[3] ?? 100);
const binary =
  process.env["BENCH_BINARY"] ?? new URL("../../dist/synced", import.meta.url).pathname;
const root = fs.mkdtempSync(join(process.env["BENCH_DIR"] ?? tmpdir(), "synced-test-sync-"));
const [a, b] = [join(root, "a"), join(root, "b")];
const started = new Map<string, ChildProcess>();

function start(name: string, ...args: string[]): ChildProcess {
  const child = spawn(binary, [...args, "--json"], { stdio: ["ignore", "pipe", "ignore"] });
  started.set(name, child);
  return child;
}

/** The server's URL, from the line that says where it listens. */
async function startServer(): Promise<string> {
  const child = start("server", "serve", "--data", join(root, "server"), "--port", "0");
  let text = "";
  for await (const piece of child.stdout ?? []) {
    text += String(piece);
    const url = /http:\/\/[^"\s]+/.exec(text)?.[0];
    if (url !== undefined) {
      child.stdout?.resume();
      return url;
    }
  }
  throw new Error("The server did not start");
}

function startClient(name: string, folder: string, url: string): void {
  start(name, "sync", folder, "--server", url, "--device", name).stdout?.resume();
}

/** User and system time in seconds; Linux only. */
function processorSeconds(name: string): number {
  const pid = started.get(name)?.pid ?? 0;
  const fields = fs.readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

function filesIn(folder: string): number {
  let count = 0;
  for (const entry of fs.readdirSync(folder, { withFileTypes: true })) {
    if (entry.name === ".synced") continue;
    count += entry.isDirectory() ? filesIn(join(folder, entry.name)) : 1;
  }
  return count;
}

async function until(done: () => boolean, everyMs: number): Promise<number> {
  const start = performance.now();
  while (!done()) {
    if (performance.now() - start > DEADLINE_MS) throw new Error("It did not end in time");
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
  return performance.now() - start;
}

function fill(folder: string): void {
  for (let index = 0; index < files; index += 1) {
    const directory = join(folder, `directory-${Math.floor(index / FILES_PER_DIRECTORY)}`);
    if (index % FILES_PER_DIRECTORY === 0) fs.mkdirSync(directory);
    fs.writeFileSync(join(directory, `file-${index}`), randomBytes(SMALL_BYTES));
  }
}

/** Two hops, as the files go through the server. @returns undefined where there is no rsync. */
function rsyncMs(from: string): number | undefined {
  const start = performance.now();
  const [first, second] = [`${from}-hop-1`, `${from}-hop-2`];
  for (const [source, target] of [
    [from, first],
    [first, second],
  ]) {
    const args = ["-a", "--fsync", "--exclude", ".synced", `${source}/`, `${target}/`];
    if (spawnSync("rsync", args).status !== 0) return undefined;
  }
  return performance.now() - start;
}

function report(name: string, tookMs: number, peerMs?: number): void {
  const ratio = peerMs === undefined ? "" : `, ${(tookMs / peerMs).toFixed(2)} x rsync --fsync`;
  console.log(`${name}: ${(tookMs / 1000).toFixed(2)} s${ratio}`);
}

function reportProcessors(before: ReadonlyMap<string, number>): void {
  const parts = [...started.keys()].map((name) => {
    const used = processorSeconds(name) - (before.get(name) ?? 0);
    return `${name} ${used.toFixed(2)}`;
  });
  console.log(`  processor seconds: ${parts.join(", ")}`);
}

function used(): Map<string, number> {
  return new Map([...started.keys()].map((name) => [name, processorSeconds(name)]));
}

try {
  for (const folder of [a, b]) fs.mkdirSync(folder);
  fill(a);
  const peerMs = rsyncMs(a);
  const url = await startServer();
  startClient("b", b, url);
  await until(() => fs.existsSync(join(b, ".synced/marker.json")), 20);
  let before = used();
  startClient("a", a, url);
  report(`first sync of ${files} files`, await until(() => filesIn(b) === files, 100), peerMs);
  reportProcessors(before);

  const latencies: number[] = [];
  for (let round = 0; round < LATENCY_ROUNDS; round += 1) {
    fs.writeFileSync(join(a, `one-${round}`), randomBytes(1024));
    latencies.push(await until(() => fs.existsSync(join(b, `one-${round}`)), 0));
  }
  const median = latencies.sort((x, y) => x - y)[LATENCY_ROUNDS / 2] ?? 0;
  console.log(`one file of 1 KiB: ${median.toFixed(1)} ms median`);

  const alone = join(root, "alone");
  fs.mkdirSync(alone);
  const large = join(alone, "large");
  for (let at = 0; at < largeMib; at += 1) fs.appendFileSync(large, randomBytes(MIB));
  const largePeerMs = rsyncMs(alone);
  const [sent, received] = [join(a, "large"), join(b, "large")];
  before = used();
  fs.renameSync(large, sent);
  const isThere = (size: number) => () =>
    fs.statSync(received, { throwIfNoEntry: false })?.size === size;
  report(`file of ${largeMib} MiB`, await until(isThere(largeMib * MIB), 5), largePeerMs);
  reportProcessors(before);

  before = used();
  fs.writeFileSync(sent, Buffer.concat([Buffer.from("x"), fs.readFileSync(sent)]));
  report("one byte in front of it, in place", await until(isThere(largeMib * MIB + 1), 5));
  reportProcessors(before);
} finally {
  for (const child of [...started.values()].reverse()) child.kill("SIGTERM");
  await Promise.all(
    [...started.values()].map((child) => new Promise((resolve) => child.once("exit", resolve))),
  );
  fs.rmSync(root, { recursive: true });
}
