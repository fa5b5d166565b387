/**
 * Runs each bench briefly: `bun run bench`. Numbers vary with the machine and with what else runs
 * on it; ratios within one run tell more.
 */
import { spawnSync } from "node:child_process";
import process from "node:process";

/** File and arguments that keep it short. */
const BENCHES: readonly (readonly [file: string, ...args: string[]])[] = [
  ["chunker.bench.ts"],
  ["scan.bench.ts", "20000"],
  ["commit.bench.ts"],
  ["streams.bench.ts", "5000", "200"],
  ["sync.bench.ts", "10000", "100"],
  ["abuse.bench.ts", "20"],
];

let failures = 0;
for (const [file, ...args] of BENCHES) {
  const path = new URL(file, import.meta.url).pathname;
  const { status, stdout, stderr } = spawnSync(process.execPath, [path, ...args], {
    encoding: "utf8",
  });
  if (status !== 0) failures += 1;
  const name = file.replace(".bench.ts", "");
  const lines = (status === 0 ? stdout : `failed\n${stderr}`).trimEnd().split("\n");
  for (const line of lines) console.log(`${name.padEnd(10)}${line}`);
}
process.exitCode = failures === 0 ? 0 : 1;
