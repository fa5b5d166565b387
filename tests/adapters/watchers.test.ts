/**
 * Both watchers on a real folder: what they report, what they keep quiet about, and how they end.
 */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  appendFileSync,
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { createNativeWatcher } from "../../src/adapters/watch/native.ts";
import { createChokidarWatcher } from "../../src/adapters/watch/polling.ts";
import type { Watch, Watcher } from "../../src/ports/watcher.ts";
import { makeScratchFolder } from "./disk-user.ts";
import { type Runtime, type Script, spawnLimitedScript, spawnScript } from "./processes/spawn.ts";

const INTERVAL_MS = 50;
const PATIENCE_MS = 60_000;
/** More than there are threads in the pool, however many processors there are. */
const FOLDER_COUNT = 100;

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
    restored: () => hints.push("(restored)"),
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
      // What was made before they were watched is found by the scan that this hint asks for.
      const end = performance.now() + PATIENCE_MS;
      while (!hints.includes("new/deep/file") && performance.now() < end) {
        appendFileSync(join(root, "new/deep/file"), "x");
        await Bun.sleep(2 * INTERVAL_MS);
      }
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

    test("watches again when the folder is back [Y12, F71]", async () => {
      const folder = join(root, "folder");
      mkdirSync(folder);
      await begin(create(folder));
      rmSync(folder, { recursive: true });
      await hinted("(failed)");
      mkdirSync(folder);
      await hinted("(overflow)", "(restored)");
      writeFileSync(join(folder, "file"), "x");
      await hinted("file");
    }, 180_000);

    test("says nothing after close() [Y1]", async () => {
      await begin(create(root));
      watch?.close();
      writeFileSync(join(root, "late"), "x");
      await Bun.sleep(4 * INTERVAL_MS);
      expect(hints).toEqual([]);
    });
  });
}

/** The inodes on which this process has a watch, as the kernel prints them. */
function watchedInodes(): ReadonlySet<string> {
  const lists = readdirSync("/proc/self/fdinfo").map((fd) => {
    const path = join("/proc/self/fdinfo", fd);
    return existsSync(path) ? readFileSync(path, "utf8") : "";
  });
  const found = lists.join("").matchAll(/^inotify wd:\w+ ino:(\w+) /gm);
  return new Set([...found].map(([, inode = ""]) => inode));
}

test.skipIf(process.platform !== "linux")(
  "the kernel is asked about no write in .synced, and tells of what comes back from there [A6, D5]",
  async () => {
    for (const path of [".synced/staging", ".synced/parking", "sub/deep"]) {
      mkdirSync(join(root, path), { recursive: true });
    }
    await begin(createNativeWatcher(root));
    const inode = (path: string) => statSync(join(root, path)).ino.toString(16);
    const watched = watchedInodes();
    for (const path of ["", "sub", "sub/deep"]) expect(watched).toContain(inode(path));
    for (const path of [".synced", ".synced/staging", ".synced/parking"]) {
      expect(watched).not.toContain(inode(path));
    }
    renameSync(join(root, "sub"), join(root, ".synced/parking/1"));
    await hinted("sub");
    mkdirSync(join(root, ".synced/staging/2/new"), { recursive: true });
    renameSync(join(root, ".synced/parking/1"), join(root, "back"));
    renameSync(join(root, ".synced/staging/2"), join(root, "second"));
    await hinted("back/deep", "second");
    writeFileSync(join(root, "back/deep/file"), "x");
    await hinted("back/deep/file");
    renameSync(join(root, "back/deep/file"), join(root, ".synced/staging/3"));
    hints.length = 0;
    renameSync(join(root, ".synced/staging/3"), join(root, "back/deep/file"));
    await hinted("back/deep/file");
  },
);

test("the native watcher says that it failed where there is no folder [Y2]", async () => {
  await begin(createNativeWatcher(join(root, "none")));
  expect(hints).toEqual(["(failed)"]);
});

test.skipIf(process.platform !== "linux")(
  "files that were open for writing are told of when closed, as after writes through a map [Y13]",
  async () => {
    // Without any write: nothing else of it is to be heard.
    const hearsOf = async (path: string): Promise<void> => {
      hints.length = 0;
      const end = performance.now() + PATIENCE_MS;
      while (!hints.includes(path) && performance.now() < end) {
        closeSync(openSync(join(root, path), "r+"));
        await Bun.sleep(INTERVAL_MS);
      }
      await hinted(path);
    };
    mkdirSync(join(root, "a/b"), { recursive: true });
    mkdirSync(join(root, ".synced"));
    for (const path of ["top", "a/b/deep", ".synced/own"]) writeFileSync(join(root, path), "x");
    await begin(createNativeWatcher(root));
    for (const path of ["top", "a/b/deep"]) await hearsOf(path);
    mkdirSync(join(root, "new/dir"), { recursive: true });
    writeFileSync(join(root, "new/dir/file"), "x");
    await hearsOf("new/dir/file");
    renameSync(join(root, "a"), join(root, "moved"));
    await hearsOf("moved/b/deep");
    closeSync(openSync(join(root, ".synced/own"), "r+"));
    await hearsOf("top");
    expect(hints.filter((path) => path.includes(".synced"))).toEqual([]);
    watch?.close();
    await Bun.sleep(INTERVAL_MS);
    hints.length = 0;
    closeSync(openSync(join(root, "top"), "r+"));
    await Bun.sleep(2 * INTERVAL_MS);
    expect(hints).toEqual([]);
  },
  180_000,
);

test("many folders watched at once leave threads to everybody else [Y13]", async () => {
  const watches: Watch[] = [];
  try {
    for (let folder = 0; folder < FOLDER_COUNT; folder += 1) {
      const path = join(root, `${folder}`);
      mkdirSync(path);
      const ignore = {
        overflow: () => undefined,
        failed: () => undefined,
        restored: () => undefined,
      };
      const watcher = createNativeWatcher(path);
      watches.push(await watcher.watch({ ...ignore, changed: (name) => hints.push(name) }));
    }
    const others = stat(root).then(() => "done");
    expect(await Promise.race([others, Bun.sleep(PATIENCE_MS)])).toBe("done");
    writeFileSync(join(root, `${FOLDER_COUNT - 1}/last`), "x");
    await hinted("last");
  } finally {
    for (const each of watches) each.close();
  }
});

test("what cannot be watched stops nothing else, and is watched as soon as it can be [F57, Y12]", async () => {
  const name = "n".repeat(200);
  const beyondPathMax = `i=0; while [ $i -lt 40 ]; do mkdir ${name} && cd -P ${name} || exit 1; i=$((i+1)); done`;
  Bun.spawnSync(["sh", "-c", beyondPathMax], { cwd: root });
  mkdirSync(join(root, "other/deep"), { recursive: true });
  await begin(createNativeWatcher(root));
  await hinted("(failed)");
  writeFileSync(join(root, "other/deep/file"), "x");
  await hinted("other/deep/file");
  expect(hints).not.toContain("(restored)");
  Bun.spawnSync(["rm", "-rf", name], { cwd: root });
  await hinted("(overflow)", "(restored)");
  expect(hints.filter((hint) => hint === "(failed)")).toHaveLength(1);
}, 180_000);

/** More than fs.inotify.max_queued_events, which is 16,384 unless raised. */
const KERNEL_EVENTS = 20_000;
/** More than the queue of Deno holds, and fewer than the kernel's. */
const DENO_EVENTS = 300;

for (const runtime of ["bun", "deno"] satisfies Runtime[]) {
  test(`${runtime}: hints that the kernel dropped show as an overflow [F66, Y2]`, async () => {
    const script = spawnScript(runtime, "watch-folder.ts", root);
    try {
      await loseHints(script, KERNEL_EVENTS);
    } finally {
      script.kill("SIGKILL");
      await script.exited;
    }
  }, 180_000);

  test.skipIf(!mayLimitWatches())(
    `${runtime}: watching is taken up when there are watches again [F67, Y12]`,
    async () => {
      for (const path of ["a/x", "b/x", "c/x"]) mkdirSync(join(root, path), { recursive: true });
      const script = spawnLimitedScript(runtime, "watch-few.ts", root);
      try {
        await lineOf(script, (line) => line.startsWith("failed"));
        await lineOf(script, (line) => line === "restored");
        for (const path of ["a/x/file", "b/x/file", "c/x/file"]) {
          writeFileSync(join(root, path), "x");
          await lineOf(script, (line) => line === `changed ${JSON.stringify(path)}`);
        }
      } finally {
        script.kill("SIGKILL");
        await script.exited;
      }
    },
    60_000,
  );
}

test("deno: hints that the runtime dropped show as an overflow [F66, Y2]", async () => {
  const script = spawnScript("deno", "watch-folder.ts", root);
  try {
    await loseHints(script, DENO_EVENTS);
  } finally {
    script.kill("SIGKILL");
    await script.exited;
  }
}, 60_000);

// Deno comes back to such a directory by itself.
test("a directory that was made while hints were dropped is watched soon [F66, F69, Y12]", async () => {
  const script = spawnScript("bun", "watch-folder.ts", root);
  try {
    await loseHints(script, KERNEL_EVENTS);
    const change = `changed ${JSON.stringify("late/deep/file")}`;
    await whileWriting(join(root, "late/deep/file"), () =>
      lineOf(script, (line) => line === change),
    );
  } finally {
    script.kill("SIGKILL");
    await script.exited;
  }
}, 180_000);

/** Makes more files at once than are kept, and then a directory. */
async function loseHints(script: Script, count: number): Promise<void> {
  expect(await script.line()).toBe("watching");
  script.kill("SIGSTOP");
  for (let index = 0; index < count; index += 1) writeFileSync(join(root, `f${index}`), "");
  mkdirSync(join(root, "late/deep"), { recursive: true });
  script.kill("SIGCONT");
  await lineOf(script, (line) => line === "overflow");
}

async function lineOf(script: Script, isIt: (line: string) => boolean): Promise<void> {
  for (;;) {
    const line = await script.line();
    if (line === undefined) throw new Error("The script has ended");
    if (isIt(line)) return;
  }
}

/** The directory may be watched only a while after the overflow. */
async function whileWriting(path: string, work: () => Promise<void>): Promise<void> {
  const timer = setInterval(() => writeFileSync(path, "x"), 200);
  try {
    await work();
  } finally {
    clearInterval(timer);
  }
}

/** In a user namespace of its own a process may lower its limits. */
function mayLimitWatches(): boolean {
  const limit = "echo 5 >/proc/sys/user/max_inotify_watches";
  return Bun.spawnSync(["unshare", "--user", "--map-root-user", "sh", "-c", limit]).exitCode === 0;
}
