/**
 * Much goes at once, and it is meant: builds, clones, what git does to its own files. And what is
 * held beside that, whatever a person has set.
 */
import { afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, renameSync, rmSync, unlinkSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { ensureBinary, runSynced } from "./binary.ts";
import { type Device, Lab, waitFor } from "./lab.ts";
import { differences } from "./snapshot.ts";

let lab: Lab;
let alpha: Device;
let beta: Device;

beforeAll(ensureBinary, 180_000);
beforeEach(async () => {
  lab = await Lab.open();
  [alpha, beta] = [lab.device("alpha"), lab.device("beta")];
});
afterEach(() => lab.close());

function make(count: number, pattern: string): string[] {
  const paths = Array.from({ length: count }, (_, i) =>
    pattern.replaceAll("{n}", `${i}`).replaceAll("{d}", `${i % 10}`),
  );
  for (const path of paths) {
    mkdirSync(dirname(alpha.join(path)), { recursive: true });
    writeFileSync(alpha.join(path), `content of ${path}\n`);
  }
  return paths;
}

async function share(): Promise<void> {
  for (const device of [alpha, beta]) device.start();
  await lab.settled([alpha, beta]);
}

function expectNothingWasHeld(): void {
  expect([...alpha.events("held"), ...beta.events("held")]).toEqual([]);
}

const GIT_TIMEOUT_MS = 60_000;

function git(cwd: string, ...args: string[]): void {
  const identity = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "gc.auto=0"];
  const plain = { HOME: lab.scratch.join("home"), PATH: process.env["PATH"] ?? "" };
  const options = { cwd, env: { ...plain, GIT_CONFIG_NOSYSTEM: "1" }, timeout: GIT_TIMEOUT_MS };
  const { status, stderr } = spawnSync("git", [...identity, ...args], options);
  if (status !== 0) throw new Error(`git ${args[0]}: ${stderr}`);
}

/** Some hundred loose objects, in a folder with other things in it. */
function makeRepository(): string {
  make(30, "docs/{n}.txt");
  make(60, "repo/m{d}/{n}.txt");
  const path = alpha.join("repo");
  git(path, "init", "-q", "-b", "main");
  for (let number = 0; number < 40; number += 1) {
    writeFileSync(`${path}/m${number % 10}/new-${number}`, `${number}\n`);
    git(path, "add", "-A");
    git(path, "commit", "-q", "-m", `${number}`);
  }
  return path;
}

describe("honest work flows", () => {
  test("rm -rf build, half of the folder, seen to go [G10, A12]", async () => {
    make(150, "src/{d}/{n}.c");
    make(150, "build/{d}/{n}.o");
    await share();
    rmSync(alpha.join("build"), { recursive: true });
    await waitFor("the deletion to arrive", () => !existsSync(beta.join("build")));
    expectNothingWasHeld();
  }, 120_000);

  test("make clean all over the folder, of what was made today, after a restart [G6]", async () => {
    make(100, "{d}/{n}.c");
    await share();
    const built = make(100, "{d}/{n}.o");
    await lab.settled([alpha, beta]);
    await alpha.stop();
    for (const path of built) unlinkSync(alpha.join(path));
    alpha.start();
    await waitFor("the deletion to arrive", () => !existsSync(beta.join(built[99] ?? "")));
    await lab.settled([alpha, beta]);
    expectNothingWasHeld();
  }, 120_000);

  test("git gc and git rebase [G10]", async () => {
    const repository = makeRepository();
    await share();
    git(repository, "gc", "-q", "--prune=now");
    await lab.settled([alpha, beta]);
    git(repository, "checkout", "-q", "-b", "side", "HEAD~20");
    for (let number = 0; number < 20; number += 1) {
      writeFileSync(`${repository}/side-${number}`, `${number}\n`);
      git(repository, "add", "-A");
      git(repository, "commit", "-q", "-m", `side ${number}`);
    }
    await lab.settled([alpha, beta]);
    git(repository, "rebase", "-q", "main");
    git(repository, "gc", "-q", "--prune=now");
    await lab.settled([alpha, beta]);
    git(beta.join("repo"), "fsck", "--strict");
    expectNothingWasHeld();
  }, 240_000);

  test("a clone in place of a removed one [G10]", async () => {
    const repository = makeRepository();
    await share();
    const bare = lab.scratch.join("bare.git");
    git(lab.scratch.path, "clone", "-q", "--bare", repository, bare);
    rmSync(repository, { recursive: true });
    await waitFor("the deletion to arrive", () => !existsSync(beta.join("repo")));
    git(lab.scratch.path, "clone", "-q", bare, repository);
    await lab.settled([alpha, beta]);
    git(beta.join("repo"), "fsck", "--strict");
    expectNothingWasHeld();
  }, 240_000);
});

describe("what looks like an accident is held", () => {
  test("60 of 80 files cut to nothing, and put right again [G7]", async () => {
    const paths = make(80, "{d}/{n}.txt");
    await share();
    for (const path of paths.slice(0, 60)) writeFileSync(alpha.join(path), "");
    await alpha.running.event("held");
    // Up to the bound is let through before it is known that more will come.
    const passed = () => paths.filter((path) => beta.read(path) === "").length;
    await waitFor("the rest to be held", async () => {
      const count = (await alpha.status()).held?.count ?? 0;
      return count + passed() === 60;
    });
    expect(passed()).toBeLessThanOrEqual(50);
    expect((await alpha.status()).held?.reason).toMatch(/cut \d+ of 80 files to nothing/);
    for (const path of paths.slice(0, 60)) writeFileSync(alpha.join(path), `content of ${path}\n`);
    await lab.settled([alpha, beta]);
  }, 120_000);

  test("200 of 300 files get one new extension, whatever else may go [G8, G9]", async () => {
    alpha = lab.device("gamma", "--guard", "100%");
    const paths = make(300, "{d}/{n}.txt");
    await share();
    const head = await lab.head();
    for (const path of paths.slice(0, 200)) {
      renameSync(alpha.join(path), alpha.join(`${path}.locked`));
    }
    await waitFor("the renames to be held", async () => (await alpha.status()).held !== null);
    expect((await alpha.status()).held?.reason).toContain('".locked"');
    // Up to the bound is let through before it is known that more will come.
    expect((await lab.head()) - head).toBeLessThanOrEqual(75);
    expect((await alpha.status()).guard).toBe("100%");
  }, 120_000);

  test("a directory that is found gone after a restart, until it is approved [G11, A12]", async () => {
    make(150, "src/{d}/{n}.c");
    make(150, "photos/{d}/{n}.o");
    await share();
    await alpha.stop();
    rmSync(alpha.join("photos"), { recursive: true });
    alpha.start();
    await alpha.running.event("held");
    expect((await alpha.status()).held).toMatchObject({ count: 150 });
    expect(existsSync(beta.join("photos/0/0.o"))).toBe(true);
    await runSynced(["approve", alpha.path]);
    await waitFor("the deletion to arrive", () => !existsSync(beta.join("photos")));
    await lab.settled([alpha, beta]);
  }, 120_000);

  test("all of it, also where --guard says otherwise; and not with off [G3, G9]", async () => {
    make(30, "{d}/{n}.txt");
    await share();
    await alpha.stop();
    for (let digit = 0; digit < 10; digit += 1) {
      rmSync(alpha.join(`${digit}`), { recursive: true });
    }
    const held = await alpha.once("--guard", "1000");
    expect(held.exitCode).toBe(10);
    expect(held.events).toContainEqual(
      expect.objectContaining({ event: "held", reason: expect.stringContaining("all 30 files") }),
    );
    expect((await alpha.status()).guard).toBe("1000");
    await beta.stop();
    expect((await alpha.once("--guard", "off")).exitCode).toBe(0);
    expect((await alpha.once()).exitCode).toBe(0);
    expect((await alpha.status()).guard).toBe("off");
    expect((await beta.once()).exitCode).toBe(10);
  }, 120_000);

  test("everything comes back where .synced is removed, as the message says [G3, R11]", async () => {
    const paths = make(30, "{d}/{n}.txt");
    await share();
    const before = beta.snapshot();
    for (const path of paths) unlinkSync(alpha.join(path));
    await alpha.running.event("held");
    await alpha.stop();
    rmSync(alpha.join(".synced"), { recursive: true });
    alpha.start();
    await lab.settled([alpha, beta]);
    expect(differences(before, alpha.snapshot())).toEqual([]);
  }, 120_000);
});
