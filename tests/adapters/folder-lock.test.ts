/** One process per folder, with real processes of both runtimes. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { closeSync, mkdirSync, openSync, statSync } from "node:fs";
import { join } from "node:path";
import { acquireFolderLock, isFolderLocked } from "../../src/adapters/disk/folder-lock.ts";
import { SyncedError } from "../../src/core/error.ts";
import { makeScratchFolder } from "./disk-user.ts";
import { type Runtime, type Script, spawnScript } from "./processes/spawn.ts";

let root: string;
let drop: () => void;
const started: Script[] = [];

beforeEach(() => {
  ({ root, drop } = makeScratchFolder());
  mkdirSync(join(root, ".synced"));
});
afterEach(async () => {
  for (const script of started.splice(0)) await killed(script);
  drop();
});

function hold(runtime: Runtime): Script {
  const script = spawnScript(runtime, "hold-lock.ts", root);
  started.push(script);
  return script;
}

async function killed(script: Script): Promise<void> {
  script.kill("SIGKILL");
  await script.exited;
}

const RUNTIMES: readonly Runtime[] = ["bun", "deno", "deno without FFI"];

for (const holder of RUNTIMES) {
  test(`a lock held in ${holder} is seen, excludes all others and ends with SIGKILL [S3]`, async () => {
    expect(isFolderLocked(root)).toBe(false);
    const script = hold(holder);
    expect(await script.line()).toBe("held");
    expect(isFolderLocked(root)).toBe(true);
    expect(codeOf(() => acquireFolderLock(root))).toBe("folder_in_use");
    for (const other of RUNTIMES) expect(await hold(other).line()).toBe("folder_in_use");
    expect(isFolderLocked(root)).toBe(true);
    await killed(script);
    expect(isFolderLocked(root)).toBe(false);
    acquireFolderLock(root).release();
  }, 180_000);
}

test("a lock excludes this process, too, survives other descriptors and ends by release() [S3]", () => {
  const lock = acquireFolderLock(root);
  expect(codeOf(() => acquireFolderLock(root))).toBe("folder_in_use");
  closeSync(openSync(join(root, ".synced/lock"), "r"));
  expect(isFolderLocked(root)).toBe(true);
  expect(statSync(join(root, ".synced/lock")).mode & 0o777).toBe(0o600);
  lock.release();
  lock.release();
  expect(isFolderLocked(root)).toBe(false);
});

test("asking never takes the lock: a starting client is never refused by it [S3]", async () => {
  acquireFolderLock(root).release();
  for (let round = 0; round < 1_000; round += 1) {
    isFolderLocked(root);
    acquireFolderLock(root).release();
  }
  const script = hold("bun");
  const line = script.line();
  let isRunning = true;
  void line.finally(() => {
    isRunning = false;
  });
  while (isRunning) {
    isFolderLocked(root);
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(await line).toBe("held");
});

test("a folder without .synced is not locked and cannot be [S3]", () => {
  expect(isFolderLocked(join(root, "none"))).toBe(false);
  expect(codeOf(() => acquireFolderLock(join(root, "none")))).toBe("folder_unusable");
});

function codeOf(call: () => unknown): string {
  try {
    call();
    return "no error";
  } catch (error) {
    if (error instanceof SyncedError) return error.code;
    throw error;
  }
}
