/** What rules leave out is neither sent nor deleted, on any device. */
import { afterEach, beforeAll, beforeEach, expect, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { ensureBinary, runSynced } from "./binary.ts";
import { type Device, Lab, waitFor } from "./lab.ts";

let lab: Lab;
let alpha: Device;
let beta: Device;

beforeAll(ensureBinary, 180_000);
beforeEach(async () => {
  lab = await Lab.open();
  [alpha, beta] = [lab.device("alpha"), lab.device("beta")];
});
afterEach(() => lab.close());

/** The folders differ by what is ignored, so only the states are waited for. */
async function waitUntilIdle(): Promise<void> {
  await waitFor("both to be in sync with the head", async () => {
    const head = await lab.head();
    const states = await Promise.all([alpha, beta].map((device) => device.status()));
    return states.every(({ state, cursor }) => state === "in_sync" && cursor?.seq === head);
  });
}

async function pathsOnServer(): Promise<string[]> {
  const { entries } = await lab.get<{ entries: { path: string }[] }>("index?limit=1000");
  return entries.map(({ path }) => path).sort();
}

function paths(device: Device): string[] {
  return [...device.snapshot().keys()];
}

test(".syncedignore leaves out at any depth, and a negated rule lets in [A10, A6]", async () => {
  alpha.write(".syncedignore", "*.tmp\nbuild/\n/top.txt\n!keep.tmp\n");
  alpha.write("inner/.syncedignore", "!also.tmp\nlocal.*\n");
  for (const path of [
    "a.tmp",
    "keep.tmp",
    "top.txt",
    "build/out.o",
    "inner/a.tmp",
    "inner/also.tmp",
    "inner/local.txt",
    "inner/top.txt",
    "inner/build/out.o",
    "inner/plain.txt",
  ]) {
    alpha.write(path, `${path}\n`);
  }
  const before = paths(alpha);
  for (const device of [alpha, beta]) device.start();
  await waitUntilIdle();
  const wanted = [
    ".syncedignore",
    "inner",
    "inner/.syncedignore",
    "inner/also.tmp",
    "inner/plain.txt",
    "inner/top.txt",
    "keep.tmp",
  ];
  expect(await pathsOnServer()).toEqual(wanted);
  expect(paths(beta).sort()).toEqual(wanted);
  expect(paths(alpha)).toEqual(before);

  // Live, in both folders: the rules came along.
  beta.write("inner/new.tmp", "not sent\n");
  beta.write("inner/new.txt", "sent\n");
  await waitFor("the file beside it", () => existsSync(alpha.join("inner/new.txt")));
  await waitUntilIdle();
  expect(existsSync(alpha.join("inner/new.tmp"))).toBe(false);
});

test("what becomes ignored stays where it is, on every device and on the server [A7, I12]", async () => {
  alpha.write("logs/one.log", "one\n");
  alpha.write("logs/two.log", "two\n");
  alpha.write("text.txt", "text\n");
  for (const device of [alpha, beta]) device.start();
  await lab.settled([alpha, beta]);
  const before = paths(alpha);
  beta.write(".syncedignore", "*.log\n");
  await waitFor("the rules", () => existsSync(alpha.join(".syncedignore")));
  await waitUntilIdle();
  expect(paths(alpha)).toEqual([".syncedignore", ...before]);
  expect(paths(beta)).toEqual([".syncedignore", ...before]);
  expect(await pathsOnServer()).toContain("logs/one.log");

  // From now on each side's is its own.
  alpha.write("logs/one.log", "alpha's own\n");
  rmSync(beta.join("logs/two.log"));
  beta.write("text.txt", "edited\n");
  await waitFor("the edit", () => alpha.read("text.txt") === "edited\n");
  await Bun.sleep(600);
  await waitUntilIdle();
  expect(beta.read("logs/one.log")).toBe("one\n");
  expect(alpha.read("logs/two.log")).toBe("two\n");
  expect(await pathsOnServer()).toContain("logs/two.log");

  // Not ignored any more: both sides are merged.
  rmSync(beta.join(".syncedignore"));
  await waitFor("the rules to go", () => !existsSync(alpha.join(".syncedignore")));
  await waitFor("the log to come back", () => existsSync(beta.join("logs/two.log")));
  // It was beta's person who said so. Alpha's bytes wait for alpha's.
  await waitFor("alpha to ask", async () => (await alpha.status()).state === "held");
  expect(beta.read("logs/one.log")).toBe("one\n");
  expect((await runSynced(["approve", alpha.path])).stderr).toContain('"logs/one.log"');
  await lab.settled([alpha, beta]);
  const contents = paths(beta)
    .filter((path) => path.startsWith("logs/one"))
    .map((path) => beta.read(path));
  expect(contents.sort()).toEqual(["alpha's own\n", "one\n"]);
});

test(".synced/ignore is of this device alone [A10, R15]", async () => {
  mkdirSync(beta.join(".synced"));
  writeFileSync(beta.join(".synced/ignore"), "media/\n");
  alpha.write("media/film.bin", "film\n");
  alpha.write("text.txt", "text\n");
  beta.write("media/own.bin", "own\n");
  for (const device of [alpha, beta]) device.start();
  await waitUntilIdle();
  await waitFor("the text", () => existsSync(beta.join("text.txt")));
  expect(readdirSync(beta.join("media"))).toEqual(["own.bin"]);
  expect(readdirSync(alpha.join("media"))).toEqual(["film.bin"]);
  expect(await pathsOnServer()).toEqual(["media", "media/film.bin", "text.txt"]);

  // Taken away while the client is stopped: both sides are merged at the next start.
  await beta.stop();
  rmSync(beta.join(".synced/ignore"));
  beta.start();
  await waitFor("the film", () => existsSync(beta.join("media/film.bin")));
  await lab.settled([alpha, beta]);
  expect(readdirSync(alpha.join("media")).sort()).toEqual(["film.bin", "own.bin"]);
});

test("ignored files keep a directory that others delete, and travel with one renamed [A8, I12]", async () => {
  alpha.write(".syncedignore", "*.o\n");
  alpha.write("gone/source.c", "gone\n");
  alpha.write("moved/source.c", "moved\n");
  for (const device of [alpha, beta]) device.start();
  await lab.settled([alpha, beta]);
  beta.write("gone/source.o", "beta's own\n");
  beta.write("moved/source.o", "beta's own\n");
  await Bun.sleep(300);
  rmSync(alpha.join("gone"), { recursive: true });
  renameSync(alpha.join("moved"), alpha.join("renamed"));
  await waitFor("the deletion", () => !existsSync(beta.join("gone/source.c")));
  await waitFor("the rename", () => existsSync(beta.join("renamed/source.c")));
  await waitUntilIdle();
  await Bun.sleep(600);
  expect(beta.read("gone/source.o")).toBe("beta's own\n");
  expect(beta.read("renamed/source.o")).toBe("beta's own\n");
  expect(existsSync(beta.join("moved"))).toBe(false);
  expect(existsSync(alpha.join("gone"))).toBe(false);
  expect(await pathsOnServer()).toEqual([".syncedignore", "renamed", "renamed/source.c"]);
});

test("this device's own rules hold as soon as they are written, and no longer than they stand [A10]", async () => {
  alpha.write("plain.txt", "plain\n");
  for (const device of [alpha, beta]) device.start();
  await lab.settled([alpha, beta]);
  alpha.write(".synced/ignore", "secret*\n");
  alpha.write("secret.txt", "alpha's own\n");
  alpha.write("sent.txt", "sent\n");
  beta.write("secret-2.txt", "beta's\n");
  await waitFor("the file beside it", () => existsSync(beta.join("sent.txt")));
  await waitFor("beta's file on the server", async () =>
    (await pathsOnServer()).includes("secret-2.txt"),
  );
  await waitUntilIdle();
  expect(await pathsOnServer()).not.toContain("secret.txt");
  expect(existsSync(alpha.join("secret-2.txt"))).toBe(false);

  // Nothing else changes: it is noticed all the same.
  rmSync(alpha.join(".synced/ignore"));
  await waitFor("beta's file", () => existsSync(alpha.join("secret-2.txt")));
  await lab.settled([alpha, beta]);
  expect(beta.read("secret.txt")).toBe("alpha's own\n");
}, 120_000);

test("rules of another device send no secret before this one's person agrees, exit 10 [A21]", async () => {
  alpha.write(".syncedignore", "*.key\n/private/\n");
  alpha.write("id.key", "secret\n");
  alpha.write("private/diary.txt", "secret\n");
  alpha.write("text.txt", "text\n");
  for (const device of [alpha, beta]) device.start();
  await waitUntilIdle();
  await waitFor("the rules", () => existsSync(beta.join(".syncedignore")));
  beta.write(".syncedignore", "*.tmp\n");
  await waitFor("alpha to ask", async () => (await alpha.status()).state === "held");
  await Bun.sleep(600);
  alpha.write("text.txt", "edited\n");
  await waitFor("the edit", () => beta.read("text.txt") === "edited\n");
  await alpha.stop();
  expect(await pathsOnServer()).toEqual([".syncedignore", "text.txt"]);

  expect((await alpha.once()).exitCode).toBe(10);
  const status = JSON.parse((await runSynced(["status", alpha.path, "--json"])).stdout);
  expect(status).toMatchObject({ state: "held", held: { kinds: ["unignoring"], count: 2 } });
  const people = await runSynced(["status", alpha.path]);
  for (const path of ["id.key", "private"]) expect(people.stderr).toContain(`"${path}"`);
  expect(people.stderr).toContain(".synced/ignore");
  expect(await pathsOnServer()).toEqual([".syncedignore", "text.txt"]);

  // One stays here for good, the other goes.
  alpha.write(".synced/ignore", "*.key\n");
  expect((await alpha.once()).exitCode).toBe(10);
  const approved = await runSynced(["approve", alpha.path, "--json"]);
  expect(JSON.parse(approved.stdout)).toMatchObject({ paths: ["private"], count: 1 });
  expect((await alpha.once()).exitCode).toBe(0);
  expect(await pathsOnServer()).toEqual([
    ".syncedignore",
    "private",
    "private/diary.txt",
    "text.txt",
  ]);
});
