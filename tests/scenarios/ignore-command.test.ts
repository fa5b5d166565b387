/** `synced ignore test` with the built binary. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { ensureBinary, runSynced } from "./binary.ts";
import { type Device, Lab } from "./lab.ts";

let lab: Lab;
let device: Device;

beforeAll(async () => {
  await ensureBinary();
  lab = await Lab.open();
  device = lab.device("alpha");
  device.write(".syncedignore", "# built\n\n*.o\nnode_modules/\n!keep.o\r\n");
  device.write("a/b/.syncedignore", "/only-here  \nspaced\\ \n");
  device.write("plain.txt", "x");
  device.write("build/x", "x");
  await device.once();
  writeFileSync(device.join(".synced/ignore"), "private\nbuild\n");
}, 60_000);

afterAll(() => lab.close());

async function judged(...paths: string[]) {
  const { exitCode, stdout } = await runSynced(["ignore", "test", ...paths, "--json"], {
    cwd: device.path,
  });
  const lines = stdout.split("\n").filter((line) => line !== "");
  return { exitCode, lines: lines.map((line): unknown => JSON.parse(line)) };
}

test("names the file, line and pattern that decide, also for what is not there [A6, X9]", async () => {
  const found = await judged(
    "x.o",
    "a/node_modules/deep/y",
    "a/b/only-here",
    "build/x",
    "a/private",
  );
  const root = ".syncedignore";
  const [own, below] = [".synced/ignore", "a/b/.syncedignore"];
  expect(found).toEqual({
    exitCode: 0,
    lines: [
      { path: "x.o", ignored: true, file: root, line: 3, pattern: "*.o" },
      {
        path: "a/node_modules/deep/y",
        ignored: true,
        file: root,
        line: 4,
        pattern: "node_modules/",
      },
      { path: "a/b/only-here", ignored: true, file: below, line: 1, pattern: "/only-here" },
      { path: "build/x", ignored: true, file: own, line: 2, pattern: "build" },
      { path: "a/private", ignored: true, file: own, line: 1, pattern: "private" },
    ],
  });
});

test("exits with 3 if one path is not ignored [X9]", async () => {
  const found = await judged("x.o", "keep.o", "node_modules", "node_modules/", "a/only-here", ".");
  expect(found.exitCode).toBe(3);
  expect(found.lines).toMatchObject([
    { ignored: true },
    { path: "keep.o", ignored: false },
    { path: "node_modules", ignored: false },
    { path: "node_modules", ignored: true },
    { path: "a/only-here", ignored: false },
    { path: "", ignored: false },
  ]);
});

test("says it to people, and what is never synced [X9]", async () => {
  const options = { cwd: device.path };
  const { stdout } = await runSynced(["ignore", "test", "x.o", "plain.txt", ".synced/s"], options);
  expect(stdout).toBe(
    "x.o: ignored by *.o in .syncedignore, line 3\n" +
      "plain.txt: not ignored\n" +
      ".synced/s: never synced, it is synced's own\n",
  );
  expect((await runSynced(["ignore", "test"], options)).exitCode).toBe(2);
  expect((await runSynced(["ignore", "list", "x"], options)).exitCode).toBe(2);
  expect((await runSynced(["ignore", "test", lab.data], options)).exitCode).toBe(2);
});
