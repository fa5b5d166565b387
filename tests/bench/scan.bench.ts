/**
 * How long it takes to list and stat 100,000 files: `bun tests/bench/scan.bench.ts [files]`, or
 * with `deno run -A`.
 */
import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import type { DiskCalls } from "../../src/adapters/disk/calls.ts";
import { createDiskFileSystem } from "../../src/adapters/disk/filesystem.ts";
import { createNodeDiskCalls } from "../../src/adapters/disk/node-calls.ts";
import type { FileSystem } from "../../src/ports/filesystem.ts";

const FILES_PER_DIRECTORY = 100;
const ROUNDS = 4;

const files = Number(process.argv[2] ?? 100_000);
const root = realpathSync(mkdtempSync(join(tmpdir(), "synced-test-scan-")));

function fill(): void {
  for (let index = 0; index < files; index += 1) {
    const directory = join(root, `directory-${Math.floor(index / FILES_PER_DIRECTORY)}`);
    if (index % FILES_PER_DIRECTORY === 0) mkdirSync(directory);
    writeFileSync(join(directory, `file-${index}.txt`), "");
  }
}

function count(fs: FileSystem, path: string): number {
  let found = 0;
  for (const { name, stat } of fs.list(path)?.entries ?? []) {
    const below = path === "" ? name : `${path}/${name}`;
    found += stat.kind === "directory" ? count(fs, below) : 1;
  }
  return found;
}

function measure(name: string, calls?: DiskCalls): void {
  const fs = createDiskFileSystem(root, calls === undefined ? {} : { calls });
  for (let round = 1; round <= ROUNDS; round += 1) {
    const start = performance.now();
    const found = count(fs, "");
    const tookMs = performance.now() - start;
    const rssMib = process.memoryUsage().rss / 2 ** 20;
    console.log(`${name}: ${found} files in ${tookMs.toFixed(0)} ms, ${rssMib.toFixed(0)} MiB`);
  }
  fs.close();
}

try {
  fill();
  measure("default");
  measure("node:fs", createNodeDiskCalls(root));
} finally {
  rmSync(root, { recursive: true });
}
