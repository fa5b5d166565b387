/** `synced conflicts` with the built binary, on conflicts of two real devices. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readdirSync } from "node:fs";
import { ensureBinary, runSynced } from "./binary.ts";
import { type Device, Lab } from "./lab.ts";

const FILES = ["keep-copy.txt", "keep-original.txt", "both.txt", "mine.txt"];

let lab: Lab;
let alpha: Device;
let beta: Device;

/** Alpha is first, so the copies are beta's. */
beforeAll(async () => {
  await ensureBinary();
  lab = await Lab.open();
  [alpha, beta] = [lab.device("alpha"), lab.device("beta")];
  for (const name of FILES) alpha.write(`d/${name}`, "base\n");
  await alpha.once();
  await beta.once();
  for (const name of FILES) alpha.write(`d/${name}`, "of alpha\n");
  for (const name of FILES) beta.write(`d/${name}`, "of beta\n");
  for (const device of [alpha, beta, alpha]) await device.once();
}, 60_000);

afterAll(() => lab.close());

function copyOf(name: string): string | undefined {
  const stem = name.replace(".txt", " (conflict ");
  return readdirSync(alpha.join("d")).find((one) => one.startsWith(stem));
}

async function conflicts(...args: string[]) {
  return await runSynced(["conflicts", ...args], { cwd: alpha.path });
}

async function resolve(name: string, keep: string) {
  const ended = await conflicts("resolve", `d/${name}`, "--keep", keep, "--json");
  await alpha.once();
  return ended;
}

describe("conflicts", () => {
  test("lists the copies with both sides, and shows what differs [E13, X8]", async () => {
    const { stdout } = await conflicts("list", "--json");
    const found = stdout.trim().split("\n");
    expect(found).toHaveLength(FILES.length);
    expect(JSON.parse(found[0] ?? "")).toMatchObject({
      original: { last: { deviceName: "alpha" } },
      deviceName: "beta",
    });
    const one = await conflicts("list", "d/both.txt");
    expect(one.stdout.split("\n").slice(0, 2)).toEqual([
      "d/both.txt",
      expect.stringMatching(/^ {2}there now: alpha, .*, 9 B$/),
    ]);
    const shown = await conflicts("show", "d/both.txt");
    expect(shown.stdout).toContain("-of alpha\n+of beta\n");
    expect((await conflicts("show", "d")).exitCode).toBe(5);
    expect((await conflicts("resolve", "d/nothing", "--keep", "copy")).exitCode).toBe(5);
    expect((await conflicts("resolve", "d/both.txt")).exitCode).toBe(2);
    expect((await conflicts("list", "--keep", "copy")).exitCode).toBe(2);
  }, 60_000);

  test("does nothing in a dry run [X8]", async () => {
    const head = await lab.head();
    const dry = await conflicts("resolve", "d/both.txt", "--keep", "copy", "--dry-run");
    expect(dry.exitCode).toBe(0);
    expect(dry.stderr).toContain("d/both.txt has what beta wrote");
    expect(await lab.head()).toBe(head);
  }, 60_000);

  test("keeps the copy, the original or both, and is taken back [E11, X8]", async () => {
    expect((await resolve("keep-copy.txt", "copy")).stdout).toContain('"event":"applied"');
    expect(alpha.read("d/keep-copy.txt")).toBe("of beta\n");
    expect(copyOf("keep-copy.txt")).toBeUndefined();
    expect((await conflicts("list", "d/keep-copy.txt")).stdout).toBe("");
    const back = await runSynced(["undo", "--last", "--yes"], { cwd: alpha.path });
    expect(back.exitCode).toBe(0);
    await alpha.once();
    expect(alpha.read("d/keep-copy.txt")).toBe("of alpha\n");
    expect(copyOf("keep-copy.txt")).toBeDefined();

    expect((await resolve("keep-original.txt", "original")).exitCode).toBe(0);
    expect(alpha.read("d/keep-original.txt")).toBe("of alpha\n");
    expect(copyOf("keep-original.txt")).toBeUndefined();

    expect((await resolve("both.txt", "both")).exitCode).toBe(0);
    expect(alpha.read("d/both.txt")).toBe("of alpha\n");
    expect(alpha.read("d/both 2.txt")).toBe("of beta\n");
    expect(copyOf("both.txt")).toBeUndefined();
  }, 60_000);

  test("knows which side is whose, by the copy's path too [X8]", async () => {
    const path = `d/${copyOf("mine.txt")}`;
    const web = ["--server", lab.url, "--keep", "mine"];
    expect((await conflicts("resolve", path, ...web)).exitCode).toBe(2);
    const ended = await conflicts("resolve", path, "--keep", "theirs");
    expect(ended.exitCode).toBe(0);
    await alpha.once();
    expect(alpha.read("d/mine.txt")).toBe("of beta\n");
    expect(existsSync(alpha.join(path))).toBe(false);
  }, 60_000);
});
