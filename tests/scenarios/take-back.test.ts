/** Bringing back on the command line, with the built binary: get, restore, undo. */
import { afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { ensureBinary, runSynced } from "./binary.ts";
import { type Device, Lab, waitFor } from "./lab.ts";

let lab: Lab;

beforeAll(ensureBinary);
beforeEach(async () => {
  lab = await Lab.open();
});
afterEach(async () => {
  await lab.close();
});

async function ask(cwd: string, ...args: string[]) {
  return await runSynced(args, { cwd });
}

async function askForJson(cwd: string, ...args: string[]) {
  const ended = await ask(cwd, ...args, "--json");
  const lines = ended.stdout.split("\n").filter((line) => line !== "");
  return { ...ended, events: lines.map((line) => JSON.parse(line)) };
}

async function madeBy(device: Device, act: () => void): Promise<number> {
  await device.once();
  act();
  await device.once("--guard", "off");
  return await lab.head();
}

describe("get", () => {
  test("writes a tree of then beside today's, and nothing over anything [X5]", async () => {
    const laptop = lab.device("LAPTOP");
    const then = await madeBy(laptop, () => {
      laptop.write("photos/a.jpg", "old");
      laptop.write("photos/2019/b.jpg", new Uint8Array(3_000_000).fill(7));
      laptop.write("photos/empty", "");
      writeFileSync(laptop.join("photos", "run.sh"), "#!/bin/sh\n", { mode: 0o755 });
      symlinkSync("a.jpg", laptop.join("photos", "link"));
    });
    await madeBy(laptop, () => {
      laptop.write("photos/a.jpg", "newer");
      rmSync(laptop.join("photos/2019"), { recursive: true });
    });
    const target = lab.scratch.join("friday");
    const got = await askForJson(laptop.path, "get", "photos", target, "--at", String(then));
    expect(got.events.at(-1)).toMatchObject({ event: "got", files: 4, problems: 0, at: then });
    const tree = readdirSync(target, { recursive: true }).map(String).toSorted();
    expect(tree).toEqual(["2019", "2019/b.jpg", "a.jpg", "empty", "link", "run.sh"]);
    expect(readFileSync(join(target, "link"), "utf8")).toBe("old");
    expect(statSync(join(target, "run.sh")).mode & 0o111).not.toBe(0);
    expect(statSync(join(target, "2019/b.jpg")).size).toBe(3_000_000);

    const again = await ask(laptop.path, "get", "photos", target);
    expect(again.exitCode).toBe(2);
    expect(again.stderr).toContain("it is there already");
    const here = await ask(laptop.path, "get", "photos", "copy");
    expect(here.exitCode).toBe(2);
    expect(here.stderr).toContain("--here");
    const file = await ask(
      laptop.path,
      "get",
      "photos/a.jpg",
      "back.jpg",
      "--here",
      "--at",
      `${then}`,
    );
    expect([file.exitCode, laptop.read("back.jpg")]).toEqual([0, "old"]);
    const gone = await ask(laptop.path, "get", "photos/2019", lab.scratch.join("none"));
    expect([gone.exitCode, existsSync(lab.scratch.join("none"))]).toEqual([5, false]);
  });
});

describe("restore", () => {
  test("shows, does nothing unasked, does it, and is itself taken back [E9, E11, X4]", async () => {
    const laptop = lab.device("LAPTOP");
    const phone = lab.device("PHONE");
    const then = await madeBy(laptop, () => {
      for (let index = 0; index < 20; index++) laptop.write(`photos/${index}.jpg`, `old ${index}`);
    });
    const before = laptop.snapshot();
    await madeBy(laptop, () => {
      for (let index = 0; index < 15; index++) rmSync(laptop.join(`photos/${index}.jpg`));
    });
    await madeBy(phone, () => {
      phone.write("photos/19.jpg", "by PHONE");
      phone.write("other.txt", "not in photos");
    });
    await laptop.once();
    const after = laptop.snapshot();
    const restore = ["restore", "photos", "--at", String(then)];

    const dry = await askForJson(laptop.path, ...restore, "--dry-run");
    expect(dry.exitCode).toBe(0);
    expect(dry.events).toHaveLength(1);
    expect(dry.events[0]).toMatchObject({
      event: "plan",
      kind: "restore",
      summary: { revived: 15, written: 1, moved: 0, deleted: 0 },
    });
    expect(dry.stderr).toContain("later work of PHONE: 1 change");
    expect(dry.stderr).toContain("Nothing was done");
    const unasked = await ask(laptop.path, ...restore);
    expect(unasked.exitCode).toBe(10);
    expect(await lab.head()).toBe(dry.events[0].head);

    const done = await askForJson(laptop.path, ...restore, "--yes");
    expect(done.exitCode).toBe(0);
    expect(done.events.at(-1)).toMatchObject({ event: "applied", done: 16, skipped: [] });
    await laptop.once();
    const restored = laptop.snapshot();
    const other = after.get("other.txt") ?? "";
    expect(restored).toEqual(new Map([...before, ["other.txt", other] as const]));

    const back = await ask(laptop.path, "undo", "--last", "--yes");
    expect([back.exitCode, back.stderr]).toEqual([0, expect.stringContaining("15 deleted")]);
    await laptop.once("--guard", "off");
    expect(laptop.snapshot()).toEqual(after);
  }, 60_000);

  test("--keep-later leaves alone what others changed [E11]", async () => {
    const laptop = lab.device("LAPTOP");
    const phone = lab.device("PHONE");
    const then = await madeBy(laptop, () => {
      laptop.write("a.txt", "a");
      laptop.write("b.txt", "b");
    });
    await madeBy(laptop, () => laptop.write("a.txt", "a, later"));
    await madeBy(phone, () => phone.write("b.txt", "b, by PHONE"));
    const args = ["restore", "--at", String(then), "--keep-later", "--yes"];
    expect((await ask(laptop.path, ...args)).exitCode).toBe(0);
    await laptop.once();
    expect([laptop.read("a.txt"), laptop.read("b.txt")]).toEqual(["a", "b, by PHONE"]);
  });
});

describe("undo", () => {
  test("ransomware: what one device did is taken back, what the other did stays [E10, X4]", async () => {
    const nas = lab.device("NAS");
    const laptop = lab.device("LAPTOP");
    mkdirSync(nas.join("docs"));
    const count = 2_000;
    for (let index = 0; index < count; index++) nas.write(`docs/${index}.txt`, `report ${index}\n`);
    await nas.once();
    await laptop.once();
    const safe = await lab.head();
    // The NAS encrypts everything while LAPTOP goes on working.
    for (let index = 0; index < count; index++) {
      writeFileSync(nas.join(`docs/${index}.txt`), `\u0000scrambled ${index * 7919}`);
      renameSync(nas.join(`docs/${index}.txt`), nas.join(`docs/${index}.txt.locked`));
    }
    laptop.write("work.txt", "made meanwhile");
    laptop.write("docs/7.txt", "edited meanwhile");
    await laptop.once();
    const held = await nas.once();
    expect(held.exitCode).toBe(10);
    // A person approves it by mistake.
    expect((await ask(nas.path, "approve", ".")).exitCode).toBe(0);
    nas.start();
    await waitFor("the mistake is on the server", async () => (await lab.head()) > safe + count);
    await lab.settled([nas]);
    await nas.stop();

    const log = await ask(laptop.path, "log", "--device", "NAS", "--since", String(safe));
    expect(log.stdout).toContain("docs/");
    const undo = ["undo", "--device", "NAS", "--since", String(safe)];
    const shown = await askForJson(laptop.path, ...undo, "--dry-run");
    const [plan] = shown.events;
    expect(plan.summary.revived + plan.summary.written).toBeGreaterThanOrEqual(count - 1);
    const done = await askForJson(laptop.path, ...undo, "--yes");
    expect(done.events.at(-1)).toMatchObject({ event: "applied", skipped: [] });

    const fresh = lab.device("fresh");
    await fresh.once();
    for (let index = 0; index < count; index++) {
      const text = index === 7 ? "edited meanwhile" : `report ${index}\n`;
      expect(fresh.read(`docs/${index}.txt`)).toBe(text);
    }
    expect(fresh.read("work.txt")).toBe("made meanwhile");
    const left = readdirSync(fresh.join("docs")).filter((name) => name.includes(".locked"));
    expect(left.filter((name) => !name.startsWith("7"))).toEqual([]);
    const after = await ask(laptop.path, "log", "--limit", "5");
    expect(after.stdout).toContain("LAPTOP");

    // The device that did it would change nearly all of its files, so it asks once more.
    expect((await nas.once()).exitCode).toBe(10);
    const devices = await ask(laptop.path, "devices");
    expect(devices.stdout).toMatch(/NAS +holds/);
    expect((await ask(nas.path, "approve", ".")).exitCode).toBe(0);
    await laptop.once();
    expect((await nas.once()).exitCode).toBe(0);
    expect(nas.snapshot()).toEqual(fresh.snapshot());
    expect(laptop.snapshot()).toEqual(fresh.snapshot());
  }, 300_000);

  test("wants to know whose and since when, or --last [X4]", async () => {
    const laptop = lab.device("LAPTOP");
    await madeBy(laptop, () => laptop.write("a.txt", "a"));
    for (const args of [
      ["undo"],
      ["undo", "--device", "LAPTOP"],
      ["undo", "--last", "--since", "1"],
    ]) {
      expect((await ask(laptop.path, ...args)).exitCode).toBe(2);
    }
    const none = await ask(laptop.path, "undo", "--last");
    expect([none.exitCode, none.stderr]).toEqual([
      5,
      expect.stringContaining("no restore or undo"),
    ]);
  });
});
