/**
 * Both watchers on a real folder: what they report, what they keep quiet about, and how they end.
 */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { appendFileSync, mkdirSync, renameSync, rmSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createChokidarWatcher } from "../../src/adapters/chokidar-watcher.ts";
import { createNativeWatcher } from "../../src/adapters/native-watcher.ts";
import type { Watch, Watcher } from "../../src/ports/watcher.ts";
import { makeScratchFolder } from "./disk-user.ts";
import { type Runtime, spawnScript } from "./processes/spawn.ts";

const INTERVAL_MS = 50;
const PATIENCE_MS = 10_000;

let root: string;
let drop: () => void;
let watch: Watch | undefined;
let hints: string[];

beforeEach(() => {
  ({ root, drop } = makeScratchFolder());
  hints = [];
});
afterEach(() => {
  watch?.close();
  drop();
});

async function begin(watcher: Watcher): Promise<void> {
  watch = await watcher.watch({
    changed: (path) => hints.push(path),
    overflow: () => hints.push("(overflow)"),
    failed: () => hints.push("(failed)"),
  });
}

async function hinted(...paths: string[]): Promise<void> {
  const end = performance.now() + PATIENCE_MS;
  while (!paths.every((path) => hints.includes(path)) && performance.now() < end) {
    await Bun.sleep(10);
  }
  expect(hints).toEqual(expect.arrayContaining(paths));
}

const WATCHERS: Readonly<Record<string, (root: string) => Watcher>> = {
  native: createNativeWatcher,
  chokidar: (path) => createChokidarWatcher(path, { intervalMs: INTERVAL_MS }),
};

for (const [name, create] of Object.entries(WATCHERS)) {
  describe(`${name} watcher`, () => {
    test("reports files made, changed, moved and removed, at any depth [Y1]", async () => {
      mkdirSync(join(root, "a/b"), { recursive: true });
      writeFileSync(join(root, "a/b/old"), "x");
      await begin(create(root));
      writeFileSync(join(root, "new\nline"), "x");
      appendFileSync(join(root, "a/b/old"), "more");
      await hinted("new\nline", "a/b/old");
      renameSync(join(root, "a/b/old"), join(root, "a/moved"));
      await hinted("a/b/old", "a/moved");
      hints.length = 0;
      unlinkSync(join(root, "a/moved"));
      await hinted("a/moved");
    });

    test("reports what happens in new directories [Y1]", async () => {
      await begin(create(root));
      mkdirSync(join(root, "new/deep"), { recursive: true });
      await hinted("new");
      await Bun.sleep(4 * INTERVAL_MS);
      writeFileSync(join(root, "new/deep/file"), "x");
      await hinted("new/deep/file");
    });

    test("says nothing of .synced at any depth [A6]", async () => {
      for (const path of [".synced/staging", "sub/.synced"]) {
        mkdirSync(join(root, path), { recursive: true });
      }
      await begin(create(root));
      writeFileSync(join(root, ".synced/staging/x"), "x");
      writeFileSync(join(root, "sub/.synced/x"), "x");
      writeFileSync(join(root, ".synced-not"), "x");
      await hinted(".synced-not");
      await Bun.sleep(2 * INTERVAL_MS);
      expect(hints.filter((hint) => hint.split("/").includes(".synced"))).toEqual([]);
    });

    test("says that it has failed, once, when the folder is gone [G1]", async () => {
      const folder = join(root, "folder");
      mkdirSync(folder);
      writeFileSync(join(folder, "file"), "x");
      await begin(create(folder));
      rmSync(folder, { recursive: true });
      await hinted("(failed)");
      await Bun.sleep(2 * INTERVAL_MS);
      expect(hints.filter((hint) => hint === "(failed)")).toHaveLength(1);
    });

    test("says nothing after close() [Y1]", async () => {
      await begin(create(root));
      watch?.close();
      writeFileSync(join(root, "late"), "x");
      await Bun.sleep(4 * INTERVAL_MS);
      expect(hints).toEqual([]);
    });
  });
}

test("the native watcher says that it failed where there is no folder [Y2]", async () => {
  await begin(createNativeWatcher(join(root, "none")));
  expect(hints).toEqual(["(failed)"]);
});

/** More than fs.inotify.max_queued_events, which is 16,384 unless raised. */
const EVENTS = 20_000;

for (const runtime of ["bun", "deno"] satisfies Runtime[]) {
  test(`${runtime}: hints that the kernel dropped show as an overflow [Y2]`, async () => {
    const script = spawnScript(runtime, "watch-folder.ts", root);
    try {
      expect(await script.line()).toBe("watching");
      script.kill("SIGSTOP");
      for (let index = 0; index < EVENTS; index += 1) writeFileSync(join(root, `f${index}`), "");
      script.kill("SIGCONT");
      let line: string | undefined;
      do line = await script.line();
      while (line !== undefined && line !== "overflow");
      expect(line).toBe("overflow");
    } finally {
      script.kill("SIGKILL");
      await script.exited;
    }
  }, 30_000);
}
