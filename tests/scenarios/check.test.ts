/** `synced check`: what "in sync" claims, proven by a walk of its own [Y6, I43]. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import {
  chmodSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { ensureBinary, type RunningSynced, runSynced, Scratch, startServer } from "./binary.ts";

const scratch = new Scratch();
let url = "";
let server: RunningSynced | undefined;

beforeAll(async () => {
  await ensureBinary();
  ({ url, server } = await startServer(scratch.join("storage")));
});

afterAll(async () => {
  await server?.stop();
  scratch.remove();
});

interface Line {
  readonly event: string;
  readonly path?: string;
  readonly what?: string;
}

async function check(folder: string, ...flags: string[]) {
  const { exitCode, stdout } = await runSynced(["check", folder, "--json", ...flags]);
  const lines: Line[] = stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  const differences = lines.filter(({ event }) => event === "difference");
  return { exitCode, found: new Map(differences.map(({ path, what }) => [path, what])) };
}

/** In sync with the server: files, a directory, a link, and an ignored file that only it has. */
async function syncedFolder(name: string): Promise<string> {
  const folder = scratch.join(name);
  mkdirSync(join(folder, "d"), { recursive: true });
  for (const path of ["a", "b", "c", "d/e"]) writeFileSync(join(folder, path), `${path} of old`);
  symlinkSync("a", join(folder, "link"));
  writeFileSync(join(folder, ".syncedignore"), "*.log\n");
  writeFileSync(join(folder, "d/x.log"), "ignored");
  const args = ["sync", folder, "--server", url, "--folder", name, "--once"];
  expect((await runSynced(args)).exitCode).toBe(0);
  return folder;
}

test("a folder in sync is equal, whatever it ignores [Y6]", async () => {
  const folder = await syncedFolder("equal");
  for (const flags of [[], ["--read-data"]]) {
    const { exitCode, found } = await check(folder, ...flags);
    expect({ exitCode, found: [...found] }).toEqual({ exitCode: 0, found: [] });
  }
  const { stderr } = await runSynced(["check", folder]);
  expect(stderr).toContain("Equal: 7 paths as of event 7");
});

test("each kind of difference is named with its path, exit 3 [Y6]", async () => {
  const folder = await syncedFolder("different");
  writeFileSync(join(folder, "a"), "longer than it was");
  chmodSync(join(folder, "b"), 0o755);
  utimesSync(join(folder, "c"), 1, 1);
  rmSync(join(folder, "d/e"));
  mkdirSync(join(folder, "d/e"));
  unlinkSync(join(folder, "link"));
  writeFileSync(join(folder, "new"), "");
  const { exitCode, found } = await check(folder);
  expect(exitCode).toBe(3);
  expect(found.get("a")).toBe("18 bytes here, 8 on the server");
  expect(found.get("b")).toBe("executable here, not on the server");
  expect(found.get("c")).toStartWith("time 1000000000 ns here");
  expect(found.get("d/e")).toBe("a directory here, a file on the server");
  expect(found.get("link")).toBe("not on this disk");
  expect(found.get("new")).toBe("not on the server: a file here");
  expect(found.size).toBe(6);
});

test("other bytes of the same size and time are found with --read-data [Y6]", async () => {
  const folder = await syncedFolder("bytes");
  const file = join(folder, "a");
  const { atime, mtime } = statSync(file);
  writeFileSync(file, "a of new");
  utimesSync(file, atime, mtime);
  const seen = await check(folder, "--read-data");
  expect(seen.exitCode).toBe(3);
  expect(seen.found.get("a")).toBe("other bytes here than on the server");
  expect(readFileSync(file, "utf8")).toBe("a of new");
});

test("what is no synced folder is refused with the next step [Y6]", async () => {
  const folder = scratch.join("plain");
  mkdirSync(folder);
  const { exitCode, stderr } = await runSynced(["check", folder]);
  expect(exitCode).toBe(2);
  expect(stderr).toContain("name one that was synced before");
});
