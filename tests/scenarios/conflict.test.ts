/** Two people change the same things before they hear of each other: both keep what they did. */
import { afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import {
  appendFileSync,
  mkdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { sha256 } from "../../src/core/digest.ts";
import { ensureBinary } from "./binary.ts";
import { type Device, Lab } from "./lab.ts";
import { differences, digestOf, type Snapshot } from "./snapshot.ts";

let lab: Lab;
let alpha: Device;
let beta: Device;

beforeAll(ensureBinary, 180_000);
beforeEach(async () => {
  lab = await Lab.open();
  [alpha, beta] = [lab.device("alpha"), lab.device("beta")];
});
afterEach(() => lab.close());

/** Both in sync with what is there, then apart. */
async function shareAndPart(prepare: (device: Device) => void): Promise<Snapshot> {
  prepare(alpha);
  for (const device of [alpha, beta]) device.start();
  await lab.settled([alpha, beta]);
  for (const device of [alpha, beta]) await device.stop();
  return alpha.snapshot();
}

/** Alpha's changes are first in the log. */
async function meet(): Promise<void> {
  alpha.start();
  await alpha.running.event("in_sync");
  beta.start();
  await lab.settled([alpha, beta]);
}

/** Starting anew makes no event, and changes no file. */
async function expectRest(): Promise<void> {
  const [head, before] = [await lab.head(), alpha.snapshot()];
  for (const device of [alpha, beta]) {
    await device.stop();
    device.start();
    await device.running.event("in_sync");
  }
  await lab.settled([alpha, beta]);
  expect(differences(before, alpha.snapshot())).toEqual([]);
  expect(await lab.head()).toBe(head);
}

const MTIME_SECONDS = 1_700_000_000;
const MTIME_DAY = "2023-11-14";

function conflictNameOf(bytes: string, device: string, stem: string, extension: string): string {
  const hash6 = digestOf(bytes).slice(0, 6);
  return `${stem} (conflict ${device} ${MTIME_DAY} ${hash6})${extension}`;
}

/** What is left of a snapshot without these paths. */
function without(snapshot: Snapshot, ...paths: string[]): Snapshot {
  return new Map([...snapshot].filter(([path]) => !paths.includes(path)));
}

/** In place, as editors of the simpler kind do. */
function edit(device: Device, path: string, bytes: string): void {
  writeFileSync(device.join(path), bytes);
  utimesSync(device.join(path), MTIME_SECONDS, MTIME_SECONDS);
}

function plan(device: Device): void {
  device.write("plans/plan.txt", "common\n");
  device.write("plans/other.txt", "untouched\n");
}

interface History {
  readonly versions: readonly { readonly sha256?: string }[];
}

describe("both sides edit one file", () => {
  test("while the clients are stopped: both versions are on both sides [R4, R13, Y17, I9]", async () => {
    const before = await shareAndPart(plan);
    edit(alpha, "plans/plan.txt", "from alpha\n");
    edit(beta, "plans/plan.txt", "from beta\n");
    await meet();
    const copy = `plans/${conflictNameOf("from beta\n", "beta", "plan", ".txt")}`;
    expect(alpha.read("plans/plan.txt")).toBe("from alpha\n");
    expect(alpha.read(copy)).toBe("from beta\n");
    const after = without(alpha.snapshot(), "plans/plan.txt", copy);
    expect(differences(after, without(before, "plans/plan.txt"))).toEqual([]);
    expect(beta.events("conflict")).toMatchObject([{ path: copy, of: "plans/plan.txt" }]);
    expect((await beta.status()).conflicts).toEqual([{ path: copy, of: "plans/plan.txt" }]);
    await expectRest();
  });

  test("while the server is down: both versions are on both sides [R4, Y3, I9]", async () => {
    plan(alpha);
    for (const device of [alpha, beta]) device.start();
    await lab.settled([alpha, beta]);
    const before = alpha.snapshot();
    await lab.stopServer("SIGKILL");
    for (const device of [alpha, beta]) await device.running.event("offline");
    for (const device of [alpha, beta]) {
      edit(device, "plans/plan.txt", `first from ${device.name}\n`);
      await Bun.sleep(200);
      edit(device, "plans/plan.txt", `from ${device.name}\n`);
      // Renamed without the server: what is queued must not be lost for it.
      renameSync(device.join("plans/other.txt"), device.join("plans/same.txt"));
    }
    await lab.startServer();
    await lab.settled([alpha, beta]);
    const all = alpha.snapshot();
    const copies = [...all.keys()].filter((path) => path.includes("(conflict "));
    expect(copies).toHaveLength(1);
    const contents = ["plans/plan.txt", ...copies].map((path) => alpha.read(path)).sort();
    expect(contents).toEqual(["from alpha\n", "from beta\n"]);
    const rest = without(all, "plans/plan.txt", "plans/same.txt", ...copies);
    expect(differences(rest, without(before, "plans/plan.txt", "plans/other.txt"))).toEqual([]);
    expect(all.get("plans/same.txt")).toBe(before.get("plans/other.txt") ?? "");
    await expectRest();
  });

  test("in the same way: no conflict [R2]", async () => {
    await shareAndPart(plan);
    for (const device of [alpha, beta]) edit(device, "plans/plan.txt", "the same on both\n");
    const wanted = alpha.snapshot();
    await meet();
    expect(differences(wanted, beta.snapshot())).toEqual([]);
    expect(beta.events("conflict")).toEqual([]);
    await expectRest();
  });

  test("again and again: one copy, whose history has what lost before [I9, R19]", async () => {
    await shareAndPart(plan);
    for (const round of [1, 2]) {
      edit(alpha, "plans/plan.txt", `alpha ${round}\n`);
      edit(beta, "plans/plan.txt", `beta ${round}\n`);
      await meet();
      for (const device of [alpha, beta]) await device.stop();
    }
    const copies = [...alpha.snapshot().keys()].filter((path) => path.includes("(conflict "));
    expect(copies.map((path) => alpha.read(path))).toEqual(["beta 2\n"]);
    const query = new URLSearchParams({ path: copies[0] ?? "" });
    const { versions } = await lab.get<History>(`history?${query}`);
    const digests = versions.map(({ sha256: digest }) => digest);
    for (const text of ["beta 1\n", "beta 2\n"]) expect(digests).toContain(sha256(text));
  });

  test("a file that only lost its place keeps its bytes beside later losers [R7, R20]", async () => {
    await shareAndPart(plan);
    edit(beta, "plans/plan.txt", "beta 1\n");
    renameSync(alpha.join("plans/other.txt"), alpha.join("plans/plan.txt"));
    await meet();
    for (const device of [alpha, beta]) {
      await device.stop();
      edit(device, "plans/plan.txt", `${device.name} 2\n`);
    }
    await meet();
    const files = [...alpha.snapshot().keys()].filter((path) => path.endsWith(".txt"));
    expect(files.map((path) => alpha.read(path)).toSorted()).toEqual([
      "alpha 2\n",
      "beta 1\n",
      "beta 2\n",
    ]);
  });

  test("one side touches it only: no conflict, the bytes win [R5]", async () => {
    await shareAndPart(plan);
    utimesSync(alpha.join("plans/plan.txt"), 1, 1);
    edit(beta, "plans/plan.txt", "edited\n");
    await meet();
    expect(alpha.read("plans/plan.txt")).toBe("edited\n");
    expect(beta.events("conflict")).toEqual([]);
  });
});

describe("one side edits what the other removes or moves", () => {
  for (const first of ["edit", "other"] as const) {
    test(`edit and delete, the ${first} first: the edit lives [R7, I8]`, async () => {
      await shareAndPart(plan);
      const [editor, remover] = first === "edit" ? [alpha, beta] : [beta, alpha];
      edit(editor, "plans/plan.txt", "edited\n");
      rmSync(remover.join("plans/plan.txt"));
      await meet();
      expect([...alpha.snapshot().keys()]).toEqual(["plans", "plans/other.txt", "plans/plan.txt"]);
      expect(alpha.read("plans/plan.txt")).toBe("edited\n");
      await expectRest();
    });

    test(`edit and delete of its directory, the ${first} first: both stay [R7, R8]`, async () => {
      await shareAndPart(plan);
      const [editor, remover] = first === "edit" ? [alpha, beta] : [beta, alpha];
      edit(editor, "plans/plan.txt", "edited\n");
      rmSync(remover.join("plans"), { recursive: true });
      await meet();
      expect([...alpha.snapshot().keys()]).toEqual(["plans", "plans/plan.txt"]);
      expect(alpha.read("plans/plan.txt")).toBe("edited\n");
      await expectRest();
    });

    test(`new file and delete of its directory, the ${first} first: both stay [R8]`, async () => {
      await shareAndPart(plan);
      const [editor, remover] = first === "edit" ? [alpha, beta] : [beta, alpha];
      editor.write("plans/deep/new.txt", "new\n");
      rmSync(remover.join("plans"), { recursive: true });
      await meet();
      expect([...alpha.snapshot().keys()]).toEqual(["plans", "plans/deep", "plans/deep/new.txt"]);
      await expectRest();
    });

    test(`edit and rename, the ${first} first: both are done [R1]`, async () => {
      await shareAndPart(plan);
      const [editor, mover] = first === "edit" ? [alpha, beta] : [beta, alpha];
      appendFileSync(editor.join("plans/plan.txt"), "more\n");
      renameSync(mover.join("plans/plan.txt"), mover.join("plans/renamed.txt"));
      await meet();
      expect([...alpha.snapshot().keys()]).toEqual([
        "plans",
        "plans/other.txt",
        "plans/renamed.txt",
      ]);
      expect(beta.read("plans/renamed.txt")).toBe("common\nmore\n");
      await expectRest();
    });
  }

  test("rename and delete: the renamed file lives [R7]", async () => {
    await shareAndPart(plan);
    rmSync(alpha.join("plans/plan.txt"));
    renameSync(beta.join("plans/plan.txt"), beta.join("plans/renamed.txt"));
    await meet();
    expect(alpha.read("plans/renamed.txt")).toBe("common\n");
    expect([...alpha.snapshot().keys()]).not.toContain("plans/plan.txt");
    await expectRest();
  });
});

describe("both sides want one name, or one thing in two places", () => {
  test("two new files of one name: the second one gets a conflict name [R9, R13]", async () => {
    await shareAndPart(plan);
    edit(alpha, "new.tar.gz", "from alpha\n");
    edit(beta, "new.tar.gz", "from beta\n");
    await meet();
    expect(beta.read("new.tar.gz")).toBe("from alpha\n");
    expect(alpha.read(conflictNameOf("from beta\n", "beta", "new.tar", ".gz"))).toBe("from beta\n");
    await expectRest();
  });

  test("two new directories of one name become one [R9]", async () => {
    await shareAndPart(plan);
    for (const device of [alpha, beta]) {
      device.write(`new/below/${device.name}`, `${device.name}\n`);
      device.write("new/equal", "equal\n");
      utimesSync(device.join("new/equal"), MTIME_SECONDS, MTIME_SECONDS);
    }
    await meet();
    const names = ["new", "new/below", "new/below/alpha", "new/below/beta", "new/equal"];
    expect([...alpha.snapshot().keys()].filter((path) => path.startsWith("new"))).toEqual(names);
    await expectRest();
  });

  test("a file here, a directory there: both are kept [R9]", async () => {
    await shareAndPart(plan);
    alpha.write("thing/inside", "inside\n");
    edit(beta, "thing", "file\n");
    await meet();
    expect(beta.read("thing/inside")).toBe("inside\n");
    expect(alpha.read(conflictNameOf("file\n", "beta", "thing", ""))).toBe("file\n");
    await expectRest();
  });

  test("a symlink here, a file there: both are kept, nothing is written through it [R9]", async () => {
    await shareAndPart(plan);
    symlinkSync("plans/plan.txt", alpha.join("thing"));
    edit(beta, "thing", "file\n");
    await meet();
    expect(alpha.read("plans/plan.txt")).toBe("common\n");
    expect(beta.snapshot().get("thing")).toBe("symlink to plans/plan.txt");
    expect(alpha.read(conflictNameOf("file\n", "beta", "thing", ""))).toBe("file\n");
    await expectRest();
  });

  test("two renames of one file: the first one counts, there is one file [R6]", async () => {
    await shareAndPart(plan);
    renameSync(alpha.join("plans/plan.txt"), alpha.join("plans/alpha.txt"));
    renameSync(beta.join("plans/plan.txt"), beta.join("plans/beta.txt"));
    await meet();
    const names = ["plans", "plans/alpha.txt", "plans/other.txt"];
    expect([...beta.snapshot().keys()]).toEqual(names);
    await expectRest();
  });

  test("two directories moved into each other: both are there, with all that is in them [R10]", async () => {
    await shareAndPart((device) => {
      device.write("one/1.txt", "1\n");
      device.write("two/2.txt", "2\n");
    });
    renameSync(alpha.join("one"), alpha.join("two/one"));
    renameSync(beta.join("two"), beta.join("one/two"));
    await meet();
    const names = ["two", "two/2.txt", "two/one", "two/one/1.txt"];
    expect([...alpha.snapshot().keys()]).toEqual(names);
    await expectRest();
  });

  test("two files renamed to one name: both are kept [R9]", async () => {
    await shareAndPart((device) => {
      edit(device, "one", "1\n");
      edit(device, "two", "2\n");
    });
    renameSync(alpha.join("one"), alpha.join("same"));
    renameSync(beta.join("two"), beta.join("same"));
    await meet();
    const copy = conflictNameOf("2\n", "beta", "same", "");
    expect([...alpha.snapshot().keys()].sort()).toEqual(["same", copy].sort());
    expect([alpha.read("same"), alpha.read(copy)]).toEqual(["1\n", "2\n"]);
    await expectRest();
  });

  test("an empty directory and a file in it there: nothing is in doubt [R3]", async () => {
    await shareAndPart((device) => mkdirSync(device.join("empty")));
    beta.write("empty/file", "file\n");
    await meet();
    expect(alpha.read("empty/file")).toBe("file\n");
    await expectRest();
  });
});
