/** `synced wait` and `synced devices`, built: they say "there" only when it is so. */
import { afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { ensureBinary, RunningSynced, runSynced } from "./binary.ts";
import { Lab, waitFor } from "./lab.ts";

let lab: Lab;

beforeAll(ensureBinary);
beforeEach(async () => {
  lab = await Lab.open();
});
afterEach(async () => {
  await lab.close();
});

describe("wait for this folder", () => {
  test("is over when what was saved before is on the server and here [X6]", async () => {
    const [alpha, beta] = await lab.pair();
    for (let round = 0; round < 3; round += 1) {
      writeFileSync(alpha.join("saved"), `round ${round}`);
      const { exitCode, stdout } = await runSynced(["wait", alpha.path, "--json"]);
      expect(exitCode).toBe(0);
      expect(JSON.parse(stdout)).toMatchObject({ event: "reached", seq: await lab.head() });
      const kept = await fetch(`${lab.folderUrl}/files?path=saved`);
      expect(await kept.text()).toBe(`round ${round}`);
      expect((await runSynced(["wait"], { cwd: beta.path })).exitCode).toBe(0);
      expect(readFileSync(beta.join("saved"), "utf8")).toBe(`round ${round}`);
    }
  }, 60_000);

  test("believes the disk, not the last words of a client that was killed [X6]", async () => {
    const [alpha, beta] = await lab.pair();
    await alpha.stop("SIGKILL");
    expect((await runSynced(["wait", alpha.path])).exitCode).toBe(0);
    writeFileSync(alpha.join("late"), "x");
    const late = await runSynced(["wait", alpha.path, "--timeout", "2s"]);
    expect(late.exitCode).toBe(3);
    expect(late.stderr).toContain("1 change to send; no synced sync runs on");
    alpha.start();
    const waiting = new RunningSynced(["wait", alpha.path, "--timeout", "30s"]);
    await waiting.event("reached");
    expect((await waiting.ended()).exitCode).toBe(0);
    expect((await runSynced(["wait", beta.path])).exitCode).toBe(0);
    expect(readFileSync(beta.join("late"), "utf8")).toBe("x");
  }, 60_000);

  test("goes on over a restart of the server, and ends with 11 without one [X6]", async () => {
    const [alpha] = await lab.pair();
    await lab.stopServer("SIGKILL");
    const gone = await runSynced(["wait", alpha.path, "--timeout", "1s", "--json"]);
    expect({ exitCode: gone.exitCode, stdout: gone.stdout }).toEqual({
      exitCode: 11,
      stdout: expect.stringContaining('"server_unreachable"'),
    });
    writeFileSync(alpha.join("meanwhile"), "x");
    const waiting = new RunningSynced(["wait", alpha.path]);
    await lab.startServer();
    await waiting.event("reached");
    expect((await waiting.ended()).exitCode).toBe(0);
    expect((await fetch(`${lab.folderUrl}/files?path=meanwhile`)).status).toBe(200);
    lab.pauseServer();
    expect((await runSynced(["wait", alpha.path, "--timeout", "1s"])).exitCode).toBe(11);
  }, 60_000);

  test("ends with 10 for a held change, and with 3 for what is left on one side [X6]", async () => {
    const sender = lab.device("sender", "--direction", "pull", "--guard", "1");
    const other = lab.device("other");
    other.write("a", "x");
    other.write("b", "x");
    await other.once();
    await sender.once();
    sender.write("mine", "x");
    const left = await runSynced(["wait", sender.path]);
    expect(left.exitCode).toBe(3);
    expect(left.stderr).toContain("1 change left on one side by --direction");
    await runSynced(["sync", other.path, "--guard", "1", "--once"]);
    for (const name of ["a", "b"]) await Bun.file(other.join(name)).delete();
    await other.once();
    const held = await runSynced(["wait", other.path, "--json"]);
    expect(held.exitCode).toBe(10);
    expect(held.stdout).toContain('"event":"held"');
  }, 60_000);
});

describe("wait for other devices", () => {
  test("names who is behind, and ends when all have it [V8, X6]", async () => {
    const [alpha, beta] = await lab.pair();
    await lab.settled([alpha, beta]);
    await beta.stop();
    writeFileSync(alpha.join("news"), "x");
    const behind = await runSynced(["wait", alpha.path, "--all", "--timeout", "4s"]);
    expect(behind.exitCode).toBe(3);
    expect(behind.stderr).toContain("beta is 1 event behind, last seen");
    expect(behind.stderr).not.toContain("alpha");
    beta.start();
    const there = ["--server", lab.url, "--device", "beta", "--timeout", "30s"];
    expect((await runSynced(["wait", ...there])).exitCode).toBe(0);
    expect(readFileSync(beta.join("news"), "utf8")).toBe("x");
    expect((await runSynced(["wait", alpha.path, "--all"])).exitCode).toBe(0);
  }, 60_000);

  test("waits for an event that is still to come [V8, X6]", async () => {
    const [alpha] = await lab.pair();
    const waiting = new RunningSynced(["wait", alpha.path, "--seq", "1"]);
    await Bun.sleep(200);
    writeFileSync(alpha.join("first"), "x");
    expect((await waiting.event("reached"))["seq"]).toBe(1);
    expect((await waiting.ended()).exitCode).toBe(0);
  }, 60_000);

  test("refuses what it cannot wait for [X6]", async () => {
    const alone = lab.device("alone");
    await alone.once();
    await waitFor(
      "the report",
      async () => (await lab.get<{ devices: [] }>("devices")).devices.length > 0,
    );
    const codes: Record<string, number> = {};
    for (const args of [
      ["--server", lab.url],
      ["--server", lab.url, "--device", "nobody"],
      [alone.path, "--all", "--device", "alone"],
      [alone.path, "--timeout", "0s"],
    ]) {
      codes[args.slice(-2).join(" ")] = (await runSynced(["wait", ...args])).exitCode;
    }
    expect(Object.values(codes)).toEqual([2, 5, 2, 2]);
  }, 60_000);
});

describe("devices", () => {
  test("says who is in sync, who is behind, and who holds a change [X7]", async () => {
    const [alpha, beta] = await lab.pair();
    await waitFor(
      "the reports",
      async () => (await lab.get<{ devices: unknown[] }>("devices")).devices.length === 2,
    );
    await beta.stop();
    for (const name of ["a", "b", "c"]) writeFileSync(alpha.join(name), name);
    expect((await runSynced(["wait", alpha.path])).exitCode).toBe(0);
    expect((await runSynced(["wait", alpha.path, "--device", "alpha"])).exitCode).toBe(0);
    const head = await lab.head();
    const { stdout } = await runSynced(["devices", "--json"], { cwd: alpha.path });
    const lines = stdout.trim().split("\n");
    expect(lines.map((line): unknown => JSON.parse(line))).toEqual([
      expect.objectContaining({ name: "alpha", state: "in_sync", behind: { events: 0 } }),
      expect.objectContaining({ name: "beta", state: "behind", behind: { events: head } }),
    ]);
    const people = await runSynced(["devices", "--server", lab.url]);
    expect(people.exitCode).toBe(0);
    expect(people.stdout).toMatch(/^alpha +in sync +event 3 +heard of .*\nbeta +3 behind +event 0/);
  }, 60_000);

  test("names what a guard holds [X7]", async () => {
    const careful = lab.device("careful", "--guard", "1");
    for (const name of ["a", "b"]) careful.write(name, name);
    careful.start();
    await careful.running.event("in_sync");
    await lab.settled([careful]);
    careful.atOnce(() => {
      for (const name of ["a", "b"]) rmSync(careful.join(name));
    });
    await careful.running.event("held");
    await waitFor("the report", async () => {
      const { stdout } = await runSynced(["devices", careful.path]);
      return /^careful +holds 2 changes /.test(stdout);
    });
    const waited = await runSynced([
      "wait",
      "--server",
      lab.url,
      "--device",
      "careful",
      "--seq",
      "9",
    ]);
    expect(waited.exitCode).toBe(10);
    expect(waited.stderr).toContain("careful holds 2 changes for a person");
  }, 60_000);
});
