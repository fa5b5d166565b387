/** What goes wrong for people, one by one: said plainly, with an exit code, and nothing is harmed. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  realpathSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { ensureBinary, runSynced } from "./binary.ts";
import { Lab, waitFor } from "./lab.ts";

let lab: Lab;

beforeAll(async () => {
  await ensureBinary();
  lab = await Lab.open();
}, 60_000);
afterAll(() => lab.close());

test("a folder that does not exist is made, and that is said", async () => {
  const path = lab.scratch.join("not/there/yet");
  const args = ["sync", path, "--server", lab.url, "--folder", "made", "--once"];
  const { exitCode, stderr } = await runSynced(args);
  expect(exitCode).toBe(0);
  expect(existsSync(path)).toBe(true);
  expect(stderr).toContain(`Made the folder "${path}"`);
  expect((await runSynced(args)).stderr).not.toContain("Made the folder");
});

test("a folder name that is new on the server is made there, and that is said", async () => {
  const path = lab.scratch.join("new-name");
  const args = ["sync", path, "--server", lab.url, "--folder", "brand-new", "--once"];
  expect((await runSynced(args)).stderr).toContain("new on the server");
  const other = lab.scratch.join("new-name-other");
  const again = ["sync", other, "--server", lab.url, "--folder", "brand-new", "--once"];
  expect((await runSynced(again)).stderr).not.toContain("new on the server");
});

test("a folder inside a synced one is refused, and nothing is made there [S3]", async () => {
  const outer = lab.scratch.join("outer");
  await runSynced(["sync", outer, "--server", lab.url, "--folder", "outer", "--once"]);
  mkdirSync(`${outer}/inner`);
  symlinkSync(`${outer}/inner`, lab.scratch.join("detour"));
  for (const path of [`${outer}/inner`, `${outer}/new`, lab.scratch.join("detour")]) {
    const args = ["sync", path, "--server", lab.url, "--folder", "inner", "--once"];
    const { exitCode, stderr } = await runSynced(args);
    expect(exitCode).toBe(2);
    expect(stderr).toContain(realpathSync(outer));
  }
  expect(readdirSync(outer).sort()).toEqual([".synced", "inner"]);
  expect(readdirSync(`${outer}/inner`)).toEqual([]);
});

test("a folder around a synced one leaves that alone, and says so [A6]", async () => {
  const around = lab.scratch.join("around");
  const inner = `${around}/inner`;
  mkdirSync(inner, { recursive: true });
  writeFileSync(`${inner}/own.txt`, "own\n");
  await runSynced(["sync", inner, "--server", lab.url, "--folder", "within", "--once"]);
  writeFileSync(`${around}/text.txt`, "text\n");
  await runSynced(["sync", around, "--server", lab.url, "--folder", "around", "--once"]);
  const index = await fetch(`${lab.url}/v1/folders/around/index`);
  const { entries } = await index.json();
  const paths = entries.map(({ path }: { path: string }) => path);
  expect(paths).toContain("text.txt");
  expect(paths.filter((path: string) => path.includes(".synced"))).toEqual([]);
});

test("a file in the folder's place is refused", async () => {
  const path = lab.scratch.join("a-file");
  writeFileSync(path, "a file\n");
  const args = ["sync", path, "--server", lab.url, "--folder", "file", "--once"];
  const { exitCode, stderr } = await runSynced(args);
  expect(exitCode).toBe(2);
  expect(stderr).toContain("a-file");
  expect(stderr).not.toContain("bug");
});

test("a dry run on a folder that is not there makes nothing", async () => {
  const path = lab.scratch.join("dry");
  const args = ["sync", path, "--server", lab.url, "--folder", "dry", "--dry-run"];
  const { exitCode, stderr } = await runSynced(args);
  expect(stderr).not.toContain("bug");
  expect([0, 2]).toContain(exitCode);
  expect(existsSync(path)).toBe(false);
  expect(await (await fetch(`${lab.url}/v1/folders`)).text()).not.toContain('"dry"');
});

test("a dry run beside a running client says its plan and disturbs nothing", async () => {
  const device = lab.device("alpha", "--folder", "beside");
  device.write("text.txt", "text\n");
  device.start();
  await device.running.event("in_sync");
  const { exitCode, stderr } = await runSynced(["sync", device.path, "--dry-run"]);
  expect({ exitCode, stderr }).toEqual({
    exitCode: 0,
    stderr: expect.stringContaining("0 changes to send"),
  });
  device.write("more.txt", "more\n");
  await waitFor("the next file", async () => {
    const answer = await fetch(`${lab.url}/v1/folders/beside/files?path=more.txt`);
    return answer.ok;
  });
  await device.stop();
});

test("data of a newer version are left alone, with exit code 14 [I44]", async () => {
  const data = lab.scratch.join("newer");
  mkdirSync(data);
  writeFileSync(`${data}/format`, "synced data 999\n");
  const { exitCode, stderr } = await runSynced(["serve", "--data", data, "--port", "0"]);
  expect(exitCode).toBe(14);
  expect(stderr).toContain("newer");
  expect(readdirSync(data)).toEqual(["format"]);
});

test("verify names what was damaged, and exits with 4 [I37]", async () => {
  const other = await Lab.open();
  try {
    const device = other.device("alpha");
    const bytes = new Uint8Array(3_000_000).map((_, at) => (at * at) >> 7);
    device.write("of several chunks", bytes);
    expect((await device.once()).exitCode).toBe(0);
    await other.verify();
    const objects = filesBelow(`${other.data}/objects`);
    expect(objects.length).toBeGreaterThan(0);
    writeFileSync(objects[0] ?? "", "damaged");
    const { exitCode, stdout } = await runSynced(["verify", "--data", other.data, "--json"]);
    expect(exitCode).toBe(4);
    expect(stdout).toContain('"event":"finding"');
  } finally {
    await other.close();
  }
});

function filesBelow(path: string): string[] {
  return readdirSync(path, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => `${entry.parentPath}/${entry.name}`);
}
