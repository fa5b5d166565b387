/** A folder is paused, and what a device holds is answered, here and from afar. */
import { afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { readdirSync, rmSync, writeFileSync } from "node:fs";
import { ensureBinary, runSynced } from "./binary.ts";
import { type Device, Lab, waitFor } from "./lab.ts";
import { differences } from "./snapshot.ts";

const FILES = 60;

let lab: Lab;
let alpha: Device;
let beta: Device;

beforeAll(ensureBinary, 180_000);
beforeEach(async () => {
  lab = await Lab.open();
  [alpha, beta] = [lab.device("alpha"), lab.device("beta")];
});
afterEach(() => lab.close());

interface Reported {
  readonly device: string;
  readonly name: string;
  readonly settled?: boolean;
  readonly paused?: { readonly until?: string };
  readonly held?: {
    readonly id: string;
    readonly direction: string;
    readonly count: number;
    readonly examples: readonly string[];
    readonly answers: readonly string[];
  };
  readonly orders?: readonly { readonly order: { readonly kind: string } }[];
}

async function reported(name: string): Promise<Reported> {
  const { devices } = await lab.get<{ devices: readonly Reported[] }>("devices");
  const found = devices.find((one) => one.name === name);
  if (found === undefined) throw new Error(`${name} never reported`);
  return found;
}

async function order(name: string, wanted: object): Promise<void> {
  const { device } = await reported(name);
  const id = crypto.randomUUID().replaceAll("-", "");
  const answer = await fetch(`${lab.url}/v1/folders/default/devices/${device}/orders/${id}`, {
    method: "PUT",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(wanted),
  });
  expect(answer.status).toBe(204);
}

async function share(): Promise<void> {
  for (let index = 0; index < FILES; index += 1) {
    alpha.write(`${index % 10}/file-${index}`, `content of ${index}\n`);
  }
  alpha.start();
  await lab.settled([alpha]);
  beta.start();
  await lab.settled([alpha, beta]);
}

/** @returns what a device holds, as the server was told. */
async function held(name: string): Promise<NonNullable<Reported["held"]>> {
  await waitFor(`${name} to say what it holds`, async () => {
    return (await reported(name)).held !== undefined;
  });
  const { held: change } = await reported(name);
  if (change === undefined) throw new Error("nothing is held");
  return change;
}

function removeAll(device: Device): void {
  for (const name of readdirSync(device.path)) {
    if (name !== ".synced") rmSync(device.join(name), { recursive: true });
  }
}

describe("a paused folder", () => {
  beforeEach(async () => {
    alpha.write("a.txt", "a\n");
    alpha.start();
    beta.start();
    await lab.settled([alpha, beta]);
  });

  test("sends and receives nothing until it goes on, across a restart [Y21]", async () => {
    const said = await runSynced(["pause", alpha.join(), "--for", "2h"]);
    expect(said).toMatchObject({ exitCode: 0, stderr: expect.stringContaining("Paused until") });
    await alpha.running.event("paused");
    const head = await lab.head();
    alpha.write("mine.txt", "mine\n");
    beta.write("theirs.txt", "theirs\n");
    await waitFor("beta's file to be sent", async () => (await lab.head()) === head + 1);
    await alpha.stop();
    alpha.start();
    await alpha.running.event("paused");
    await Bun.sleep(1_000);
    expect(await lab.head()).toBe(head + 1);
    expect(readdirSync(alpha.path)).not.toContain("theirs.txt");
    expect(await alpha.status()).toMatchObject({ state: "paused" });
    expect((await runSynced(["status", alpha.path])).exitCode).toBe(3);
    await waitFor("the server to know", async () => {
      const { paused, settled } = await reported("alpha");
      return paused?.until !== undefined && settled === false;
    });
    expect((await runSynced(["devices", alpha.path])).stdout).toMatch(/alpha +paused/);
    expect((await runSynced(["wait", alpha.path, "--timeout", "1s"])).stderr).toContain(
      "this device is paused: until",
    );

    expect((await runSynced(["resume", alpha.path])).exitCode).toBe(0);
    await lab.settled([alpha, beta]);
    expect([alpha.read("theirs.txt"), beta.read("mine.txt")]).toEqual(["theirs\n", "mine\n"]);
    await waitFor("the server to know", async () => {
      return (await reported("alpha")).paused === undefined;
    });
  });

  test("goes on by itself when its time is over, and --once says that it waits [Y21]", async () => {
    await alpha.stop();
    const until = new Date(Date.now() + 4_000).toISOString();
    writeFileSync(alpha.join(".synced", "paused"), JSON.stringify({ until }));
    alpha.write("mine.txt", "mine\n");
    const once = await runSynced(["sync", alpha.path, "--once"]);
    expect(once).toMatchObject({ exitCode: 3, stderr: expect.stringContaining("Paused until") });
    alpha.start();
    await lab.settled([alpha, beta]);
    expect(beta.read("mine.txt")).toBe("mine\n");
  });

  test("is paused from afar, also one that was off then, and let go on [V9, Y21]", async () => {
    const afar = ["--server", lab.url, "--device", "beta"];
    const said = await runSynced(["pause", ...afar]);
    expect(said).toMatchObject({ exitCode: 0, stderr: expect.stringContaining("beta pauses") });
    await beta.running.event("paused");
    await waitFor("the order to be done", async () => {
      const { paused, orders } = await reported("beta");
      return paused !== undefined && orders === undefined;
    });
    const next = String((await lab.head()) + 1);
    const waited = await runSynced(["wait", ...afar, "--seq", next, "--timeout", "5s"]);
    expect(waited.exitCode).toBe(3);
    expect(waited.stderr).toContain(
      'it is paused, and goes on with: synced resume --device "beta"',
    );
    await beta.stop();
    expect((await runSynced(["resume", ...afar])).exitCode).toBe(0);
    expect(await reported("beta")).toMatchObject({ orders: [{ order: { kind: "resume" } }] });
    await lab.stopServer();
    await lab.startServer();
    alpha.write("more.txt", "more\n");
    beta.start();
    await lab.settled([alpha, beta]);
    expect(beta.read("more.txt")).toBe("more\n");
    expect((await reported("beta")).orders).toBeUndefined();
  });
});

describe("what a device holds of its own", () => {
  test("is told with examples, and rejected from afar: everything comes back [V9, G16]", async () => {
    await share();
    const before = beta.snapshot();
    removeAll(alpha);
    const change = await held("alpha");
    expect(change).toMatchObject({ direction: "up", count: FILES, answers: ["approve", "reject"] });
    expect(change.examples.length).toBe(10);
    expect(change.examples[0]).toMatch(/^[0-9]\/file-[0-9]+$/);
    const head = await lab.head();
    await order("alpha", { kind: "reject", held: change.id });
    await alpha.running.event("released");
    await lab.settled([alpha, beta]);
    expect(differences(before, alpha.snapshot())).toEqual([]);
    expect(await lab.head()).toBe(head);
  });

  test("is rejected here: overwritten files get their bytes back, none is lost [G16]", async () => {
    await share();
    for (let index = 0; index < FILES; index += 1) {
      const path = `${index % 10}/file-${index}`;
      rmSync(alpha.join(path));
      alpha.write(`${path}.locked`, `encrypted ${index}\n`);
    }
    await held("alpha");
    const said = await runSynced(["reject", alpha.path]);
    expect(said).toMatchObject({ exitCode: 0, stderr: expect.stringContaining("Rejected") });
    await alpha.running.event("released");
    await lab.settled([alpha, beta]);
    expect(alpha.read("7/file-7")).toBe("content of 7\n");
    expect(beta.read("7/file-7")).toBe("content of 7\n");
    expect(alpha.read("7/file-7.locked")).toBe("encrypted 7\n");
  });

  test("goes through by an order from afar, because it changes the server alone [V10]", async () => {
    await share();
    await beta.stop();
    removeAll(alpha);
    const { id } = await held("alpha");
    await order("alpha", { kind: "approve", held: "0".repeat(16) });
    await Bun.sleep(500);
    expect((await held("alpha")).id).toBe(id);
    await order("alpha", { kind: "approve", held: id });
    await alpha.running.event("released");
    await waitFor("the files to be gone", async () => {
      const { entries } = await lab.get<{ entries: readonly object[] }>("index");
      return entries.length === 0;
    });
  });
});

test("what others would do here needs an answer here, or trust [V10, G4]", async () => {
  await share();
  await alpha.stop();
  removeAll(alpha);
  const flags = ["--guard", "off", "--once"];
  expect((await runSynced(["sync", alpha.path, ...flags])).exitCode).toBe(0);
  const change = await held("beta");
  expect(change).toMatchObject({ direction: "down", answers: [] });
  await order("beta", { kind: "approve", held: change.id });
  await order("beta", { kind: "reject", held: change.id });
  await waitFor("the orders to be done", async () => {
    return (await reported("beta")).orders === undefined;
  });
  expect(beta.read("7/file-7")).toBe("content of 7\n");
  expect((await runSynced(["reject", beta.path])).exitCode).toBe(3);
  await beta.stop();
  await beta.once("--trust-approvals", "on");
  beta.start();
  await waitFor("it to say so", async () => (await held("beta")).answers.includes("approve"));
  await order("beta", { kind: "approve", held: change.id });
  await waitFor("the files to go", () =>
    readdirSync(beta.path).every((name) => name === ".synced"),
  );
});
