/**
 * Measures synced beside other programs: `bun run bench [W1 W2 ...] [--vs rsync,syncthing] [--scale
 * 0.1] [--repeat 3] [--json FILE]`. BENCHMARKS.md explains rows and figures. Without `--scale` each
 * row is short; 1 is the full size. `--vs` also takes `deno`, for the same sources under Deno, and
 * the path of another binary; without it, all that are installed are measured. Wants Linux.
 */
import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import { cpus, loadavg, release, tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { denoPath } from "../adapters/processes/spawn.ts";
import { BINARY, ensureBinary } from "../scenarios/binary.ts";
import type { Carrier } from "./carrier.ts";
import { CARRY_ROWS } from "./carry-rows.ts";
import { FLOOR_ROWS } from "./floor-rows.ts";
import { LINE_ROWS } from "./line-rows.ts";
import { PEERS } from "./peers.ts";
import { type Measured, mediansOf, report } from "./report.ts";
import type { Row } from "./row.ts";
import { SERVER_ROWS } from "./server-rows.ts";
import { syncedCarrier } from "./synced.ts";
import type { Figures } from "./usage.ts";
import { WATCH_ROWS } from "./watch-rows.ts";

const ROWS: readonly Row[] = [
  ...CARRY_ROWS,
  ...WATCH_ROWS,
  ...LINE_ROWS,
  ...SERVER_ROWS,
  ...FLOOR_ROWS,
];
/** What is measured without `--vs`, where it is installed. */
const USUAL_PEERS: ReadonlySet<string> = new Set(["rsync", "syncthing", "unison", "rclone"]);
const HAS_OWN_NETWORK = "SYNCED_BENCH_HAS_OWN_NETWORK";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    vs: { type: "string" },
    scale: { type: "string" },
    repeat: { type: "string" },
    json: { type: "string" },
  },
});

/** Once more in a network of its own, so that nobody else's bytes are counted. Needs root. */
function runInOwnNetwork(): number | undefined {
  if (process.getuid?.() !== 0 || process.env[HAS_OWN_NETWORK] !== undefined) return undefined;
  const up = 'ip link set lo up && exec "$@"';
  const own = [process.execPath, ...process.argv.slice(1)];
  const isPossible = spawnSync("unshare", ["--net", "ip", "link", "set", "lo", "up"]).status === 0;
  if (!isPossible) return undefined;
  const env = { ...process.env, [HAS_OWN_NETWORK]: "1" };
  const options = { stdio: "inherit", env } as const;
  return spawnSync("unshare", ["--net", "sh", "-c", up, "sh", ...own], options).status ?? 1;
}

function chosenRows(): readonly Row[] {
  const names = new Set(positionals);
  const rows = ROWS.filter(({ name }) => names.size === 0 || names.has(name));
  for (const { name } of rows) names.delete(name);
  if (names.size === 0) return rows;
  const known = ROWS.map(({ name }) => name).join(" ");
  throw new Error(`There is no row "${[...names].join(" ")}"; there are ${known}`);
}

function chosenPeers(): readonly Carrier[] {
  if (values.vs === undefined) {
    const usual = PEERS.filter(({ name }) => USUAL_PEERS.has(name));
    for (const { name, whyNot } of usual) if (whyNot) console.log(`${name} is ${whyNot}`);
    return usual.filter(({ whyNot }) => whyNot === undefined);
  }
  return values.vs.split(",").map((name) => {
    if (name === "deno") return syncedCarrier(name, [denoPath(), "run", "-qA", source("cli.ts")]);
    if (name.includes("/")) return syncedCarrier(name, [fs.realpathSync(name)]);
    const peer = PEERS.find((one) => one.name === name);
    if (peer === undefined) throw new Error(`There is no peer "${name}"`);
    if (peer.whyNot !== undefined) throw new Error(`${name} is ${peer.whyNot}`);
    return peer;
  });
}

function source(path: string): string {
  return join(import.meta.dir, "..", "..", path);
}

/** All take turns, so that what else the machine does hits all of them. */
async function measure(row: Row, carriers: readonly Carrier[]): Promise<Measured> {
  const scale = Number(values.scale ?? row.shortScale);
  const repeat = Number(values.repeat ?? (values.scale === undefined ? 1 : 3));
  const samples = new Map<string, Figures[]>();
  const failures: string[] = [];
  for (let round = 0; round < repeat; round += 1) {
    for (const carrier of carriers) {
      const root = fs.mkdtempSync(join(process.env["BENCH_DIR"] ?? tmpdir(), "synced-test-bench-"));
      try {
        const figures = await row.sample({ carrier, root: fs.realpathSync(root), scale });
        samples.set(carrier.name, [...(samples.get(carrier.name) ?? []), figures]);
      } catch (error) {
        failures.push(`${carrier.name}: ${String(error)}`);
      } finally {
        fs.rmSync(root, { recursive: true, force: true });
      }
    }
  }
  return { row: row.name, title: row.title, scale, samples, failures };
}

async function main(): Promise<number> {
  await ensureBinary();
  const synced = syncedCarrier("synced", [BINARY]);
  const peers = chosenPeers();
  const machine = {
    time: new Date().toISOString(),
    cores: cpus().length,
    kernel: release(),
    load: loadavg()[0] ?? 0,
  };
  console.log(`${machine.cores} cores, load ${machine.load.toFixed(1)} at the start`);
  const all: Measured[] = [];
  for (const row of chosenRows()) {
    if (row.whyNot !== undefined) {
      console.log(`\n${row.name}: cannot run here: ${row.whyNot}`);
      continue;
    }
    const carriers = [synced, ...peers].filter(({ kind }) => row.kinds.includes(kind));
    const measured = await measure(row, carriers);
    all.push(measured);
    report(measured);
  }
  if (values.json !== undefined) {
    const rows = all.map(({ samples, ...rest }) => {
      return { ...rest, medians: mediansOf(samples), samples: Object.fromEntries(samples) };
    });
    fs.writeFileSync(values.json, `${JSON.stringify({ machine, rows }, undefined, 2)}\n`);
  }
  return all.some(({ failures }) => failures.length > 0) ? 1 : 0;
}

process.exitCode = runInOwnNetwork() ?? (await main());
