/**
 * First joins, and states that were lost, rolled back or copied, on either side: what is there is
 * merged, nothing is deleted, nothing is sent that the other side has.
 */
import { afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { cpSync, readdirSync, renameSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { ensureBinary, type JsonLine } from "./binary.ts";
import { type Device, Lab, waitFor } from "./lab.ts";
import { differences, digestsIn, type Snapshot } from "./snapshot.ts";

let lab: Lab;

beforeAll(ensureBinary, 180_000);
beforeEach(async () => {
  lab = await Lab.open();
});
afterEach(() => lab.close());

const LARGE_BYTES = 3_000_000;

/** Does it, and waits until the log has so many events more. */
async function logged(count: number, act: () => void): Promise<void> {
  const head = await lab.head();
  act();
  await waitFor(`${count} events`, async () => (await lab.head()) === head + count);
}

/** Some files, one of them large enough to be seen among the bytes on the network. */
function fill(device: Device): void {
  const large = new Uint8Array(LARGE_BYTES);
  for (let at = 0; at < large.length; at += 1) large[at] = (at * at) >> 7;
  device.write("media/large.bin", large);
  for (let index = 0; index < 30; index += 1) {
    device.write(`notes/${index % 3}/note-${index}.txt`, `note ${index}\n`);
  }
}

function conflictsIn(snapshot: Snapshot): string[] {
  return [...snapshot.keys()].filter((path) => path.includes("(conflict "));
}

function noticesOf(device: Device): readonly JsonLine[] {
  return device.events("notice");
}

describe("a first join with files on both sides", () => {
  test("equal files are adopted without being sent, the rest is united [R9, R11]", async () => {
    const [alpha, beta] = [lab.device("alpha"), await lab.countedDevice("beta")];
    fill(alpha);
    cpSync(alpha.path, beta.path, { recursive: true, preserveTimestamps: true });
    alpha.write("only/alpha.txt", "alpha\n");
    beta.write("only/beta.txt", "beta\n");
    alpha.start();
    await alpha.running.event("in_sync");
    beta.start();
    await lab.settled([alpha, beta]);
    const after = alpha.snapshot();
    expect(conflictsIn(after)).toEqual([]);
    expect([...after.keys()].filter((path) => path.startsWith("only/"))).toEqual([
      "only/alpha.txt",
      "only/beta.txt",
    ]);
    expect(digestsIn(after).size).toBe(33);
    expect(beta.proxy?.bytes).toBeLessThan(100_000);
  });

  test("equal bytes of other times are adopted, other bytes are kept beside them [R5, R9]", async () => {
    const [alpha, beta] = [lab.device("alpha"), lab.device("beta")];
    fill(alpha);
    cpSync(alpha.path, beta.path, { recursive: true });
    for (const path of digestsIn(beta.snapshot()).keys()) utimesSync(beta.join(path), 1, 1_234_567);
    beta.write("notes/0/note-0.txt", "beta's own\n");
    alpha.start();
    await alpha.running.event("in_sync");
    beta.start();
    await lab.settled([alpha, beta]);
    const copies = conflictsIn(beta.snapshot());
    expect(copies).toHaveLength(1);
    expect(alpha.read("notes/0/note-0.txt")).toBe("note 0\n");
    expect(alpha.read(copies[0] ?? "")).toBe("beta's own\n");
  });

  test("a folder whose .synced was deleted joins as a new device, and changes nothing [R11]", async () => {
    const alpha = lab.device("alpha");
    fill(alpha);
    const first = await alpha.once();
    expect(first.exitCode).toBe(0);
    const before = alpha.snapshot();
    rmSync(alpha.join(".synced"), { recursive: true });
    const head = await lab.head();
    const second = await alpha.once();
    expect(second.exitCode).toBe(0);
    expect(differences(before, alpha.snapshot())).toEqual([]);
    expect(await lab.head()).toBe(head);
  });
});

describe("the client's state is not the one that was left", () => {
  /** Beta is stopped, with news on both sides; then something happens to its state. */
  async function shareAndPart(): Promise<readonly [Device, Device]> {
    const [alpha, beta] = [lab.device("alpha"), await lab.countedDevice("beta")];
    fill(alpha);
    for (const device of [alpha, beta]) device.start();
    await lab.settled([alpha, beta]);
    return [alpha, beta];
  }

  /** Starts beta and expects that both have everything, and that hardly anything was sent. */
  async function expectUnion(alpha: Device, beta: Device, paths: number): Promise<void> {
    beta.proxy?.reset();
    beta.start();
    await lab.settled([alpha, beta]);
    const after = alpha.snapshot();
    expect(conflictsIn(after)).toEqual([]);
    expect(digestsIn(after).size).toBe(paths);
    expect(beta.proxy?.bytes).toBeLessThan(100_000);
  }

  test("state.db was deleted: joins by union, says so [S8, R11]", async () => {
    const [alpha, beta] = await shareAndPart();
    // What beta displaced a moment before stands in its quarantine, and in the history.
    await logged(2, () => {
      alpha.write("notes/0/note-0.txt", "another note 0\n");
      alpha.write("notes/1/note-1.txt", "another note 1\n");
    });
    await logged(1, () => alpha.write("notes/0/note-0.txt", "note 0\n"));
    await lab.settled([alpha, beta]);
    await beta.stop();
    for (const name of ["state.db", "state.db-wal", "state.db-shm"]) {
      rmSync(beta.join(".synced", name), { force: true });
    }
    await logged(1, () => alpha.write("notes/new.txt", "from alpha\n"));
    beta.write("notes/own.txt", "from beta\n");
    rmSync(beta.join("notes/0/note-0.txt"));
    await expectUnion(alpha, beta, 33);
    expect(noticesOf(beta)).toMatchObject([{ code: "state_missing" }]);
    // It is not known that beta once had it: nothing is deleted.
    expect(beta.read("notes/0/note-0.txt")).toBe("note 0\n");
  });

  test("state.db is an older copy: set aside, joins by union, nothing is deleted [S8, R11]", async () => {
    const [alpha, beta] = await shareAndPart();
    await beta.stop();
    const older = lab.scratch.join("older");
    cpSync(beta.join(".synced"), older, { recursive: true });
    beta.start();
    await beta.running.event("in_sync");
    await logged(2, () => {
      beta.write("later.txt", "later\n");
      rmSync(beta.join("notes/1/note-1.txt"));
    });
    await lab.settled([alpha, beta]);
    await beta.stop();
    for (const name of readdirSync(older).filter((entry) => entry.startsWith("state.db"))) {
      cpSync(`${older}/${name}`, beta.join(".synced", name));
    }
    await expectUnion(alpha, beta, 31);
    expect(noticesOf(beta)).toMatchObject([{ code: "state_set_aside" }]);
    expect(readdirSync(beta.join(".synced")).some((name) => /set-aside|aside/.test(name))).toBe(
      true,
    );
  });

  test("a folder from a backup: what is older gives way, what nobody knows is kept [R11, R16]", async () => {
    const [alpha, beta] = [lab.device("alpha"), lab.device("beta")];
    fill(alpha);
    for (const device of [alpha, beta]) device.start();
    await lab.settled([alpha, beta]);
    await beta.stop();
    const backup = lab.scratch.join("backup");
    cpSync(beta.path, backup, { recursive: true, preserveTimestamps: true });
    for (let index = 0; index < 30; index += 1) {
      alpha.write(`notes/${index % 3}/note-${index}.txt`, `note ${index}, second version\n`);
    }
    await alpha.running.event("in_sync");
    beta.start();
    await lab.settled([alpha, beta]);
    await beta.stop();
    rmSync(beta.path, { recursive: true });
    cpSync(backup, beta.path, { recursive: true, preserveTimestamps: true });
    beta.write("notes/0/note-3.txt", "written after the backup\n");
    beta.start();
    await lab.settled([alpha, beta]);
    expect(conflictsIn(alpha.snapshot())).toEqual([
      expect.stringMatching(/^notes\/0\/note-3 \(conflict beta/),
    ]);
    expect(beta.read("notes/1/note-4.txt")).toBe("note 4, second version\n");
  });

  test("state.db is garbage: set aside, said, joins by union [S8, F78]", async () => {
    const [alpha, beta] = await shareAndPart();
    await beta.stop();
    for (const name of ["state.db-wal", "state.db-shm"]) {
      rmSync(beta.join(".synced", name), { force: true });
    }
    writeFileSync(beta.join(".synced/state.db"), crypto.getRandomValues(new Uint8Array(65_536)));
    await expectUnion(alpha, beta, 31);
    expect(noticesOf(beta)).toMatchObject([{ code: "state_set_aside" }]);
  });

  test("some pages of state.db are damaged: nothing is lost on either side [S8]", async () => {
    const [alpha, beta] = await shareAndPart();
    const before = alpha.snapshot();
    await beta.stop();
    const place = beta.join(".synced/state.db");
    const bytes = new Uint8Array(await Bun.file(place).arrayBuffer());
    bytes.fill(0xa5, bytes.length >> 1, (bytes.length >> 1) + 4096);
    writeFileSync(place, bytes);
    await expectUnion(alpha, beta, 31);
    expect(differences(before, beta.snapshot())).toEqual([]);
  });

  test("the folder was copied with its .synced: a device of its own, union [S9]", async () => {
    const [alpha, beta] = await shareAndPart();
    await beta.stop();
    const gamma = lab.device("gamma");
    cpSync(beta.path, gamma.path, { recursive: true, preserveTimestamps: true });
    gamma.write("gamma.txt", "gamma\n");
    for (const device of [beta, gamma]) device.start();
    await lab.settled([alpha, beta, gamma]);
    expect(conflictsIn(alpha.snapshot())).toEqual([]);
    beta.write("notes/0/note-0.txt", "edited\n");
    await waitFor("the edit", () => gamma.read("notes/0/note-0.txt") === "edited\n");
    await lab.settled([alpha, beta, gamma]);
  });
});

describe("the server was replaced by an older copy of itself", () => {
  /** Stops the server, and keeps its data as they are. */
  async function backUp(): Promise<string> {
    const backup = lab.scratch.join("backup");
    await lab.stopServer();
    cpSync(lab.data, backup, { recursive: true });
    await lab.startServer();
    return backup;
  }

  async function restore(backup: string): Promise<void> {
    await lab.stopServer("SIGKILL");
    rmSync(lab.data, { recursive: true });
    renameSync(backup, lab.data);
    await lab.startServer();
  }

  test("running clients notice, delete nothing, and give back what was lost [S5, S10, I34]", async () => {
    const [alpha, beta] = [lab.device("alpha"), lab.device("beta")];
    fill(alpha);
    for (const device of [alpha, beta]) device.start();
    await lab.settled([alpha, beta]);
    const backup = await backUp();
    await lab.settled([alpha, beta]);
    await logged(4, () => {
      alpha.write("after/new.txt", "after the backup\n");
      alpha.write("notes/0/note-0.txt", "edited after the backup\n");
      renameSync(alpha.join("notes/1/note-1.txt"), alpha.join("notes/1/renamed.txt"));
    });
    await lab.settled([alpha, beta]);
    const before = alpha.snapshot();

    await restore(backup);
    for (const device of [alpha, beta]) {
      await waitFor("the notice", () =>
        noticesOf(device).some(({ code }) => code === "server_restored"),
      );
    }
    await lab.settled([alpha, beta]);
    expect(differences(before, alpha.snapshot())).toEqual([]);
    expect([...alpha.events("conflict"), ...beta.events("conflict")]).toEqual([]);
    const index = await lab.get<{ entries: unknown[] }>("index");
    expect(index.entries).toHaveLength(before.size);
  });

  test("deletions since then come back rather than being made again [S10, I7]", async () => {
    const [alpha, beta] = [lab.device("alpha"), lab.device("beta")];
    fill(alpha);
    for (const device of [alpha, beta]) device.start();
    await lab.settled([alpha, beta]);
    const backup = await backUp();
    await lab.settled([alpha, beta]);
    await logged(1, () => rmSync(alpha.join("notes/0/note-0.txt")));
    await lab.settled([alpha, beta]);
    await restore(backup);
    await waitFor("the note to come back", () =>
      [alpha, beta].every((device) => device.snapshot().has("notes/0/note-0.txt")),
    );
    await lab.settled([alpha, beta]);
    expect(digestsIn(alpha.snapshot()).size).toBe(31);
  });

  test("clients that were stopped, and edited meanwhile, lose nothing [S10, I2]", async () => {
    const [alpha, beta] = [lab.device("alpha"), lab.device("beta")];
    fill(alpha);
    for (const device of [alpha, beta]) device.start();
    await lab.settled([alpha, beta]);
    const backup = await backUp();
    await lab.settled([alpha, beta]);
    await logged(2, () => {
      for (const device of [alpha, beta]) device.write(`${device.name}.txt`, "after the backup\n");
    });
    await lab.settled([alpha, beta]);
    for (const device of [alpha, beta]) await device.stop();
    for (const device of [alpha, beta]) {
      device.write(`notes/${device.name}.txt`, "while the server was restored\n");
      device.write("notes/0/note-0.txt", `edited by ${device.name}\n`);
    }
    await restore(backup);
    // Somebody else is first, so that sequences are used again for other things.
    const curl = `${lab.folderUrl}/files?path=curl.txt`;
    for (const text of ["one", "two", "three"]) await fetch(curl, { method: "PUT", body: text });
    for (const device of [alpha, beta]) device.start();
    await lab.settled([alpha, beta]);
    const after = alpha.snapshot();
    const wanted = ["alpha.txt", "beta.txt", "curl.txt", "notes/alpha.txt", "notes/beta.txt"];
    expect(wanted.filter((path) => !after.has(path))).toEqual([]);
    const versions = ["notes/0/note-0.txt", ...conflictsIn(after)].map((path) => alpha.read(path));
    expect(versions.sort()).toEqual(["edited by alpha\n", "edited by beta\n"]);
    await lab.verify();
  });

  test("what was lost of something that had just changed before comes back too [S5, S10, R1]", async () => {
    const [alpha, beta] = [lab.device("alpha"), lab.device("beta")];
    alpha.write("x/f", "in it\n");
    for (const device of [alpha, beta]) device.start();
    await lab.settled([alpha, beta]);
    const edit = (index: number) => logged(1, () => alpha.write("log", `line ${index}\n`));
    for (let index = 0; index < 20; index += 1) await edit(index);
    await logged(1, () => renameSync(alpha.join("x"), alpha.join("y")));
    await lab.settled([alpha, beta]);
    const backup = await backUp();
    await lab.settled([alpha, beta]);
    for (let index = 20; index < 60; index += 1) await edit(index);
    await logged(1, () => renameSync(alpha.join("y"), alpha.join("z")));
    await lab.settled([alpha, beta]);
    await restore(backup);
    await waitFor("the notice", () => noticesOf(beta).length > 0);
    await lab.settled([alpha, beta]);
    expect([...beta.snapshot().keys()].sort()).toEqual(["log", "z", "z/f"]);
    expect(beta.read("log")).toBe("line 59\n");
  });

  test("lost bytes come back under the name that somebody gave the file since [S10, R1]", async () => {
    const [alpha, beta, gamma] = ["alpha", "beta", "gamma"].map((name) => lab.device(name));
    if (alpha === undefined || beta === undefined || gamma === undefined) throw new Error("none");
    alpha.write("doc", "old\n");
    for (const device of [alpha, beta]) device.start();
    await lab.settled([alpha, beta]);
    const backup = await backUp();
    await lab.settled([alpha, beta]);
    await logged(1, () => alpha.write("doc", "edited after the backup\n"));
    await lab.settled([alpha, beta]);
    for (const device of [alpha, beta]) await device.stop();
    await restore(backup);
    gamma.start();
    await waitFor("the old one", () => gamma.snapshot().has("doc"));
    await logged(1, () => renameSync(gamma.join("doc"), gamma.join("renamed")));
    for (const device of [alpha, beta]) device.start();
    await lab.settled([alpha, beta, gamma]);
    expect([...gamma.snapshot().keys()]).toEqual(["renamed"]);
    expect(gamma.read("renamed")).toBe("edited after the backup\n");
  });

  test("an empty one with the same address: another server, the client stops [G5, I35]", async () => {
    const [alpha] = [lab.device("alpha")];
    fill(alpha);
    expect((await alpha.once()).exitCode).toBe(0);
    const before = alpha.snapshot();
    await lab.stopServer();
    rmSync(lab.data, { recursive: true });
    await lab.startServer();
    const ended = await alpha.once();
    expect(ended.exitCode).toBe(12);
    expect(ended.stderr).toContain("another one");
    expect(differences(before, alpha.snapshot())).toEqual([]);
    expect(await lab.head()).toBe(0);
  });
});
