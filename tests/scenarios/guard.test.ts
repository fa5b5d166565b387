/**
 * What looks like an accident waits for a person: a folder that is gone or emptied, a mass
 * deletion. Everything else goes on meanwhile.
 */
import { afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from "node:fs";
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

/** In ten directories, with paths that say what is in them. */
async function shareFiles(count: number, ...others: Device[]): Promise<void> {
  for (let index = 0; index < count; index += 1) {
    alpha.write(`${index % 10}/file-${index}`, `content of ${index}\n`);
  }
  alpha.start();
  await lab.settled([alpha]);
  // To those who join later they are old (G6).
  for (const device of [beta, ...others]) device.start();
  await lab.settled([alpha, beta, ...others]);
}

/** Longer than a deletion takes to be believed, and a root to be missed. */
const WOULD_HAVE_HAPPENED_MS = 2_500;

async function expectNothingHappensTo(device: Device): Promise<void> {
  const [head, before] = [await lab.head(), device.snapshot()];
  await Bun.sleep(WOULD_HAVE_HAPPENED_MS);
  expect(differences(before, device.snapshot())).toEqual([]);
  expect(await lab.head()).toBe(head);
}

describe("the folder is not what it was", () => {
  test("moved away while the client runs: it halts, and goes on when it is back [G1, I17]", async () => {
    await shareFiles(30);
    const away = lab.scratch.join("away");
    renameSync(alpha.path, away);
    const held = await alpha.running.event("held");
    expect(held).toMatchObject({ count: 0, reason: expect.stringContaining("gone") });
    beta.write("meanwhile.txt", "meanwhile\n");
    await waitFor("beta's file to be sent", async () => (await lab.head()) === 41);
    await expectNothingHappensTo(beta);
    expect(existsSync(alpha.path)).toBe(false);

    renameSync(away, alpha.path);
    await alpha.running.event("released");
    await lab.settled([alpha, beta]);
    expect(alpha.read("meanwhile.txt")).toBe("meanwhile\n");
  });

  test("replaced by an empty one: it halts, nothing is deleted or written there [G1, I17]", async () => {
    await shareFiles(30);
    const away = lab.scratch.join("away");
    renameSync(alpha.path, away);
    mkdirSync(alpha.path);
    await alpha.running.event("held");
    await waitFor("its status to say so", async () => (await status(away)).state === "held");
    const reason = expect.stringContaining("another one stands in its place");
    expect(await status(away)).toMatchObject({ reason, held: { id: "root", reason, count: 0 } });
    beta.write("meanwhile.txt", "meanwhile\n");
    await waitFor("beta's file to be sent", async () => (await lab.head()) === 41);
    await expectNothingHappensTo(beta);
    expect(readdirSync(alpha.path)).toEqual([]);

    rmSync(alpha.path, { recursive: true });
    renameSync(away, alpha.path);
    await lab.settled([alpha, beta]);
    expect(alpha.read("meanwhile.txt")).toBe("meanwhile\n");
  });

  test("replaced by an empty one while the client is stopped: union, nothing is deleted [G1, R11]", async () => {
    await shareFiles(30);
    await alpha.stop();
    const before = beta.snapshot();
    rmSync(alpha.path, { recursive: true });
    mkdirSync(alpha.path);
    alpha.start();
    await lab.settled([alpha, beta]);
    expect(differences(before, alpha.snapshot())).toEqual([]);
  });

  test("its .synced is deleted under the running client: it halts, a restart is a union [G1]", async () => {
    await shareFiles(30);
    rmSync(alpha.join(".synced"), { recursive: true });
    const held = await alpha.running.event("held");
    expect(held["reason"]).toContain(".synced");
    await expectNothingHappensTo(beta);
    const before = beta.snapshot();
    await alpha.stop();
    alpha.start();
    await lab.settled([alpha, beta]);
    expect(differences(before, alpha.snapshot())).toEqual([]);
    expect([...alpha.snapshot().keys()].filter((path) => path.includes("conflict"))).toEqual([]);
  });

  test("removed altogether under the running client: it halts and rests, nothing is deleted [G1]", async () => {
    await shareFiles(30);
    rmSync(alpha.path, { recursive: true });
    await alpha.running.event("held");
    const startMs = alpha.running.processorsMs;
    await expectNothingHappensTo(beta);
    // A client that does not rest takes all that it gets.
    expect(alpha.running.processorsMs - startMs).toBeLessThan(WOULD_HAVE_HAPPENED_MS / 4);
    expect(existsSync(alpha.path)).toBe(false);
  });

  async function status(path: string): Promise<{ readonly state: string }> {
    return JSON.parse((await runSynced(["status", path, "--json"])).stdout);
  }
});

describe("many files are deleted", () => {
  test("all of them: held, and putting them back goes on [G3, I18]", async () => {
    await shareFiles(30);
    const away = lab.scratch.join("kept");
    mkdirSync(away);
    for (const name of readdirSync(alpha.path)) {
      if (name !== ".synced") renameSync(alpha.join(name), `${away}/${name}`);
    }
    const held = await alpha.running.event("held");
    expect(held).toMatchObject({ count: 30, reason: expect.stringContaining("30 files") });
    expect(await alpha.status()).toMatchObject({ state: "held", held: { count: 30 } });
    await expectNothingHappensTo(beta);

    const head = await lab.head();
    for (const name of readdirSync(away)) renameSync(`${away}/${name}`, alpha.join(name));
    await alpha.running.event("released");
    await lab.settled([alpha, beta]);
    expect(await lab.head()).toBe(head);
  });

  test("30 % of 1,000: held while all else flows; its approval counts where it is trusted [G2, G4]", async () => {
    const gamma = lab.device("gamma", "--trust-approvals", "on");
    await shareFiles(1000, gamma);
    const before = beta.snapshot();
    for (const directory of ["0", "1", "2"]) {
      rmSync(alpha.join(directory), { recursive: true });
    }
    const held = await alpha.running.event("held");
    expect(held).toMatchObject({ count: 300, reason: expect.stringContaining("300 of 1000") });

    // Both ways, also in the very directories that are about to go.
    beta.write("5/file-5", "edited by beta\n");
    beta.write("new.txt", "new\n");
    alpha.write("6/file-6", "edited by alpha\n");
    await waitFor("beta's edits", () => existsSync(alpha.join("new.txt")));
    await waitFor("alpha's edit", () => beta.read("6/file-6") === "edited by alpha\n");
    await waitFor("beta's other edit", () => alpha.read("5/file-5") === "edited by beta\n");
    expect(readdirSync(beta.join("0"))).toHaveLength(100);
    await expectNothingHappensTo(beta);
    expect(beta.snapshot().size).toBe(before.size + 1);

    const approval = await runSynced(["approve", alpha.path, "--json"]);
    expect(approval.exitCode).toBe(0);
    expect(JSON.parse(approval.stdout)).toMatchObject({ event: "approved", count: 300 });
    await waitFor("the deletion to arrive", () => !existsSync(gamma.join("0")));
    expect(gamma.events("held")).toEqual([]);
    // Whoever has a token could have written that it was approved. Beta's own person is asked.
    const there = await beta.running.event("held");
    expect(there["reason"]).toContain("was approved on the device that did it");
    // A part below the bound may have come and gone before the rest of it.
    expect(beta.snapshot().size).toBeGreaterThanOrEqual(750);
    await runSynced(["approve", beta.path]);
    await waitFor("the deletion to be done", () => !existsSync(beta.join("0")));
    await lab.settled([alpha, beta, gamma]);
    expect(readdirSync(beta.path).sort()).toEqual([
      ".synced",
      ...["3", "4", "5", "6", "7", "8", "9"],
      "new.txt",
    ]);
  }, 180_000);

  test("held here, edited there: the edited file lives on after the approval [G2, R7]", async () => {
    await shareFiles(100);
    for (const directory of ["0", "1", "2", "3", "4", "5"]) {
      rmSync(alpha.join(directory), { recursive: true });
    }
    await alpha.running.event("held");
    beta.write("0/file-0", "edited by beta\n");
    await waitFor("the edit to come back", () => existsSync(alpha.join("0/file-0")));
    await runSynced(["approve", alpha.path]);
    await beta.running.event("held");
    await runSynced(["approve", beta.path]);
    await waitFor("the deletion to arrive", () => !existsSync(beta.join("1")));
    await lab.settled([alpha, beta]);
    expect(beta.read("0/file-0")).toBe("edited by beta\n");
    expect(readdirSync(beta.join("0"))).toEqual(["file-0"]);
  });

  test("held survives a restart, and a stopped client takes the approval up [G2]", async () => {
    await shareFiles(100);
    for (let index = 0; index < 6; index += 1) rmSync(alpha.join(`${index}`), { recursive: true });
    const { id } = await alpha.running.event("held");
    await alpha.stop("SIGKILL");
    await expectNothingHappensTo(beta);
    expect((await alpha.status()).held).toMatchObject({ id });
    // Whoever starts it must hear of it, not only whoever asks for the status.
    const again = await alpha.once();
    expect(again.exitCode).toBe(10);
    expect(again.events).toContainEqual(expect.objectContaining({ event: "held", id }));
    await runSynced(["approve", alpha.path]);
    alpha.start();
    await beta.running.event("held");
    await runSynced(["approve", beta.path]);
    await waitFor("the deletion to arrive", () => !existsSync(beta.join("0")));
    await lab.settled([alpha, beta]);
  });

  test("on the server by curl, one by one: held at each device, nothing is deleted there [G2]", async () => {
    await shareFiles(100);
    const before = beta.snapshot();
    for (let index = 0; index < 80; index += 1) {
      const path = encodeURIComponent(`${index % 10}/file-${index}`);
      await fetch(`${lab.folderUrl}/files?path=${path}`, { method: "DELETE" });
    }
    for (const device of [alpha, beta]) await device.running.event("held");
    const gone = differences(before, beta.snapshot());
    // Up to the bound is let through before it is known that more will come.
    expect(gone.length).toBeLessThanOrEqual(50);
  });

  test("the only file: nothing to wonder at [G2]", async () => {
    alpha.write("only.txt", "only\n");
    for (const device of [alpha, beta]) device.start();
    await lab.settled([alpha, beta]);
    rmSync(alpha.join("only.txt"));
    await waitFor("the deletion to arrive", () => !existsSync(beta.join("only.txt")));
    await lab.settled([alpha, beta]);
    expect([...alpha.events("held"), ...beta.events("held")]).toEqual([]);
  });
});
