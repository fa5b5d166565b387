/** Two clients that are in sync: each thing that a person may do in one folder is done in the other. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  appendFileSync,
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { bestOf, medianOf, timeOf } from "../timing.ts";
import { ensureBinary } from "./binary.ts";
import { type Device, Lab, waitFor } from "./lab.ts";
import { differences } from "./snapshot.ts";

let lab: Lab;
let alpha: Device;
let beta: Device;

beforeAll(async () => {
  await ensureBinary();
  lab = await Lab.open();
  [alpha, beta] = await lab.pair();
  // Among so many files the deletions of all the changes together are no reason to hold them.
  for (let index = 0; index < 400; index += 1) alpha.write(`rest/file-${index}`, `${index}`);
  await waitForNews(alpha, beta);
}, 180_000);
afterAll(() => lab.close());

/** Fills with `prepare`, lets it settle, changes, and expects what the change left on both sides. */
interface Change {
  readonly name: string;
  readonly prepare: (device: Device) => void;
  readonly change: (device: Device) => void;
  /** What the log says about it, in its order, where the client sees it at once. */
  readonly kinds?: readonly string[];
}

/** Programs save like this: the new file is whole before it has the name. */
function saveAtomically(device: Device, path: string, bytes: string): void {
  device.write(`${path}.part~`, bytes);
  renameSync(device.join(`${path}.part~`), device.join(path));
}

const CHANGES: readonly Change[] = [
  {
    name: "a new file",
    prepare: () => undefined,
    change: (device) => device.write("case/deep/down/new.txt", "new\n"),
    kinds: ["create", "create", "create", "create"],
  },
  {
    name: "a file overwritten in place",
    prepare: (device) => device.write("case/file", "old\n"),
    change: (device) => writeFileSync(device.join("case/file"), "new and longer\n"),
    kinds: ["modify"],
  },
  {
    name: "a file overwritten with as many bytes, its time put back",
    prepare: (device) => device.write("case/file", "one\n"),
    change: (device) => {
      const { atime, mtime } = statSync(device.join("case/file"));
      writeFileSync(device.join("case/file"), "two\n");
      utimesSync(device.join("case/file"), atime, mtime);
    },
  },
  {
    name: "bytes appended",
    prepare: (device) => device.write("case/log", "first\n"),
    change: (device) => appendFileSync(device.join("case/log"), "second\n"),
    kinds: ["modify"],
  },
  {
    name: "a file truncated",
    prepare: (device) => device.write("case/long", "x".repeat(100_000)),
    change: (device) => truncateSync(device.join("case/long"), 10),
    kinds: ["modify"],
  },
  {
    name: "an atomic save",
    prepare: (device) => device.write("case/text", "before\n"),
    change: (device) => saveAtomically(device, "case/text", "after\n"),
    kinds: ["modify"],
  },
  {
    name: "a save that moves the old file aside as a backup",
    prepare: (device) => device.write("case/text", "before\n"),
    change: (device) => {
      renameSync(device.join("case/text"), device.join("case/text~"));
      device.write("case/text", "after\n");
    },
  },
  {
    name: "a rename",
    prepare: (device) => device.write("case/old name", "same\n"),
    change: (device) => renameSync(device.join("case/old name"), device.join("case/new name")),
    kinds: ["move"],
  },
  {
    name: "a rename that changes only the case",
    prepare: (device) => device.write("case/Name", "same\n"),
    change: (device) => renameSync(device.join("case/Name"), device.join("case/name")),
    kinds: ["move"],
  },
  {
    name: "a move across directories",
    prepare: (device) => {
      device.write("case/from/file", "same\n");
      mkdirSync(device.join("case/to"));
    },
    change: (device) => renameSync(device.join("case/from/file"), device.join("case/to/file")),
    kinds: ["move"],
  },
  {
    name: "a move and an edit at once",
    prepare: (device) => {
      device.write("case/from/file", "old\n");
      mkdirSync(device.join("case/to"));
    },
    change: (device) => {
      renameSync(device.join("case/from/file"), device.join("case/to/file"));
      appendFileSync(device.join("case/to/file"), "more\n");
    },
  },
  {
    name: "two files that swap their names",
    prepare: (device) => {
      device.write("case/one", "1\n");
      device.write("case/two", "22\n");
    },
    change: (device) => {
      renameSync(device.join("case/one"), device.join("case/aside"));
      renameSync(device.join("case/two"), device.join("case/one"));
      renameSync(device.join("case/aside"), device.join("case/two"));
    },
  },
  {
    name: "two directories that swap their names",
    prepare: (device) => {
      device.write("case/one/a", "1\n");
      device.write("case/two/b", "22\n");
    },
    change: (device) => {
      renameSync(device.join("case/one"), device.join("case/aside"));
      renameSync(device.join("case/two"), device.join("case/one"));
      renameSync(device.join("case/aside"), device.join("case/two"));
    },
  },
  {
    name: "a chain of renames: b to c, a to b",
    prepare: (device) => {
      for (const name of ["a", "b", "c"]) device.write(`case/${name}`, `${name}\n`);
    },
    change: (device) => {
      renameSync(device.join("case/c"), device.join("case/d"));
      renameSync(device.join("case/b"), device.join("case/c"));
      renameSync(device.join("case/a"), device.join("case/b"));
    },
  },
  {
    name: "one file renamed a, b, c in a row",
    prepare: (device) => device.write("case/a", "same\n"),
    change: (device) => {
      renameSync(device.join("case/a"), device.join("case/b"));
      renameSync(device.join("case/b"), device.join("case/c"));
    },
    kinds: ["move"],
  },
  {
    name: "a rename over another file",
    prepare: (device) => {
      device.write("case/over", "stays\n");
      device.write("case/under", "goes\n");
    },
    change: (device) => renameSync(device.join("case/over"), device.join("case/under")),
  },
  {
    name: "a file that becomes a directory",
    prepare: (device) => device.write("case/thing", "file\n"),
    change: (device) => {
      rmSync(device.join("case/thing"));
      device.write("case/thing/inside", "inside\n");
    },
  },
  {
    name: "a directory that becomes a file",
    prepare: (device) => {
      device.write("case/thing/inside", "inside\n");
      device.write("case/thing/below/more", "more\n");
    },
    change: (device) => {
      rmSync(device.join("case/thing"), { recursive: true });
      device.write("case/thing", "file\n");
    },
  },
  {
    name: "a file that becomes a symlink, and a symlink that becomes a file",
    prepare: (device) => {
      device.write("case/file", "file\n");
      symlinkSync("file", device.join("case/link"));
    },
    change: (device) => {
      rmSync(device.join("case/file"));
      rmSync(device.join("case/link"));
      symlinkSync("nowhere", device.join("case/file"));
      device.write("case/link", "now a file\n");
    },
  },
  {
    name: "a directory and the one inside it that trade places",
    prepare: (device) => device.write("case/outer/inner/file", "same\n"),
    change: (device) => {
      renameSync(device.join("case/outer/inner"), device.join("case/aside"));
      renameSync(device.join("case/outer"), device.join("case/aside/inner"));
      renameSync(device.join("case/aside"), device.join("case/outer"));
    },
  },
  {
    name: "the executable bit",
    prepare: (device) => device.write("case/run", "#!/bin/sh\n"),
    change: (device) => chmodSync(device.join("case/run"), 0o755),
    kinds: ["modify"],
  },
  {
    name: "a time alone",
    prepare: (device) => device.write("case/old", "old\n"),
    change: (device) => utimesSync(device.join("case/old"), 1, 981_173_106.5),
    kinds: ["modify"],
  },
  {
    name: "a symlink that points elsewhere",
    prepare: (device) => {
      mkdirSync(device.join("case"));
      symlinkSync("here", device.join("case/link"));
    },
    change: (device) => {
      rmSync(device.join("case/link"));
      symlinkSync("/there", device.join("case/link"));
    },
  },
  {
    name: "a tree that is deleted",
    prepare: (device) => {
      for (let index = 0; index < 40; index += 1) {
        device.write(`case/tree/${index % 4}/${index % 8}/file-${index}`, `${index}`);
      }
    },
    change: (device) => rmSync(device.join("case/tree"), { recursive: true }),
  },
];

describe("what is done on one side is done on the other [I1, I5, R3]", () => {
  for (const [index, { name, prepare, change, kinds }] of CHANGES.entries()) {
    test(`${name}, and nothing else`, async () => {
      // Both directions have their turns.
      const [actor, other] = index % 2 === 0 ? [alpha, beta] : [beta, alpha];
      mkdirSync(actor.join("case"), { recursive: true });
      rmSync(actor.join("case"), { recursive: true });
      prepare(actor);
      await waitForNews(actor, other);
      await lab.settled([alpha, beta]);
      const head = await lab.head();

      if (kinds === undefined) change(actor);
      else actor.atOnce(() => change(actor));
      const wanted = actor.snapshot();
      await waitFor(
        "the change to arrive",
        () => differences(wanted, other.snapshot()).length === 0,
      );
      await lab.settled([alpha, beta]);
      expect(differences(wanted, actor.snapshot())).toEqual([]);
      if (kinds !== undefined) {
        expect((await lab.eventsAfter(head)).map(({ kind }) => kind)).toEqual([...kinds]);
      }
      const conflicts = [actor, other].flatMap((device) => device.events("conflict"));
      expect(conflicts).toEqual([]);
    });
  }
});

/** A deletion is only believed after a moment: until then both sides seem to be in sync. */
async function waitForNews(actor: Device, other: Device): Promise<void> {
  const wanted = actor.snapshot();
  await waitFor("the start to arrive", () => differences(wanted, other.snapshot()).length === 0);
}

test("a file of 1 KiB is on the other side in less than 100 ms, as a rule", async () => {
  mkdirSync(alpha.join("latency"));
  await waitForNews(alpha, beta);
  let count = 0;
  const crossing = async (bytes: Uint8Array) => {
    const name = `latency/file-${count}`;
    const place = beta.join(name);
    return await timeOf(async () => {
      writeFileSync(alpha.join(name), bytes);
      const deadlineMs = performance.now() + 30_000;
      while (!existsSync(place) || statSync(place).size < bytes.length) {
        if (performance.now() > deadlineMs) throw new Error(`${name} does not arrive`);
        await Bun.sleep(1);
      }
    });
  };
  const upload = async (bytes: Uint8Array<ArrayBuffer>) =>
    await timeOf(async () => {
      const url = `${lab.folderUrl}/files?path=latency/by-http-${count}`;
      expect((await fetch(url, { method: "PUT", body: bytes })).status).toBe(201);
    });
  // On a busy or slow machine one plain upload, which no client takes part in, takes long too.
  const share = await bestOf(20, 1, async () => {
    const [crossings, uploads]: [number[], number[]] = [[], []];
    for (let index = 0; index < 9; index += 1) {
      count += 1;
      const bytes = crypto.getRandomValues(new Uint8Array(1024));
      crossings.push(await crossing(bytes));
      await Bun.sleep(50);
      uploads.push(await upload(bytes.toReversed()));
      await Bun.sleep(50);
    }
    const [across, up] = [medianOf(crossings), medianOf(uploads)];
    console.log(`1 KiB across: median ${across.toFixed(1)} ms, an upload ${up.toFixed(1)} ms`);
    return across / Math.max(100, 8 * up);
  });
  expect(share).toBeLessThan(1);
}, 180_000);

test("more happens than the kernel remembers while the client sleeps: all of it arrives [Y2, A4]", async () => {
  alpha.write("slept/goes.txt", "goes\n");
  alpha.write("slept/changes.txt", "before\n");
  await waitForNews(alpha, beta);
  await lab.settled([alpha, beta]);
  alpha.running.signal("SIGSTOP");
  try {
    // Two events each; Linux keeps 16,384 by default.
    for (let index = 0; index < 10_000; index += 1) {
      alpha.write("slept/noise", "");
      rmSync(alpha.join("slept/noise"));
    }
    // What is forgotten is the latest.
    rmSync(alpha.join("slept/goes.txt"));
    alpha.write("slept/changes.txt", "after\n");
    alpha.write("slept/deep/new.txt", "new\n");
  } finally {
    alpha.running.signal("SIGCONT");
  }
  const wanted = alpha.snapshot();
  await waitFor("all of it", () => differences(wanted, beta.snapshot()).length === 0);
  await lab.settled([alpha, beta]);
});

test("a git repository at work arrives whole [I1, I5]", async () => {
  const repository = alpha.join("repository");
  mkdirSync(repository);
  const git = (place: string, ...args: string[]) => {
    const { exitCode, stderr } = Bun.spawnSync(["git", ...args], {
      cwd: place,
      env: {
        PATH: process.env["PATH"] ?? "",
        GIT_CONFIG_GLOBAL: "/dev/null",
        GIT_CONFIG_SYSTEM: "/dev/null",
        ...{ GIT_AUTHOR_NAME: "a", GIT_AUTHOR_EMAIL: "a@localhost" },
        ...{ GIT_COMMITTER_NAME: "a", GIT_COMMITTER_EMAIL: "a@localhost" },
      },
    });
    expect({ args, exitCode, said: exitCode === 0 ? "" : stderr.toString() }).toEqual({
      args,
      exitCode: 0,
      said: "",
    });
  };
  git(repository, "init", "-q", "-b", "main");
  for (const branch of ["main", "other", "third"]) {
    if (branch !== "main") git(repository, "checkout", "-q", "-b", branch);
    for (let index = 0; index < 8; index += 1) {
      alpha.write(`repository/${branch}/${index}`, `${branch} ${index}\n`);
      alpha.write(`repository/common-${index}`, `${branch} ${index}\n`);
    }
    git(repository, "add", "-A");
    git(repository, "commit", "-q", "-m", branch);
  }
  for (const branch of ["main", "third", "other", "main"]) {
    git(repository, "checkout", "-q", branch);
    await Bun.sleep(100);
  }
  git(repository, "gc", "-q", "--prune=now");
  await waitForNews(alpha, beta);
  await lab.settled([alpha, beta]);
  expect([...alpha.events("conflict"), ...beta.events("conflict")]).toEqual([]);
  git(beta.join("repository"), "fsck", "--strict");
  git(beta.join("repository"), "diff", "--exit-code", "HEAD");
});

test("a directory of 2,000 files is renamed by one event, its files stay as they are [A1]", async () => {
  const counted = await Lab.open();
  try {
    const [from, to] = [await counted.countedDevice("from"), await counted.countedDevice("to")];
    for (let index = 0; index < 2000; index += 1) {
      const bytes = crypto.getRandomValues(new Uint8Array(700));
      from.write(`many/${index % 20}/file-${index}`, bytes);
    }
    for (const device of [from, to]) device.start();
    await counted.settled([from, to], 120_000);
    const inodes = inodesBelow(to, "many");
    const head = await counted.head();
    for (const { proxy } of [from, to]) proxy?.reset();

    renameSync(from.join("many"), from.join("moved"));
    await waitFor("the rename", () => existsSync(to.join("moved")));
    await counted.settled([from, to]);
    expect(await counted.eventsAfter(head)).toMatchObject([
      { kind: "move", from: "many", path: "moved" },
    ]);
    expect(inodesBelow(to, "moved")).toEqual(inodes);
    // Polls, reports and the event itself; the files are 1,400,000 bytes.
    for (const { proxy } of [from, to]) expect(proxy?.bytes).toBeLessThan(20_000);
  } finally {
    await counted.close();
  }
}, 240_000);

function inodesBelow(device: Device, directory: string): ReadonlyMap<string, number> {
  const names = readdirSync(device.join(directory), { recursive: true, encoding: "utf8" });
  return new Map(names.map((name) => [name, lstatSync(device.join(directory, name)).ino]));
}

test("one byte more at the front of 64 MiB moves less than 3 MiB [C1, C4]", async () => {
  const counted = await Lab.open();
  try {
    const [from, to] = [await counted.countedDevice("from"), await counted.countedDevice("to")];
    const bytes = randomBytes(64 * 1024 * 1024);
    from.write("large", bytes);
    for (const device of [from, to]) device.start();
    await counted.settled([from, to], 120_000);
    for (const { proxy } of [from, to]) proxy?.reset();

    const longer = new Uint8Array(bytes.length + 1);
    longer.set(bytes, 1);
    from.write("large", longer);
    await waitFor("the byte", () => statSync(to.join("large")).size === longer.length);
    await counted.settled([from, to]);
    for (const { name, proxy } of [from, to]) {
      console.log(`64 MiB with a byte more: ${proxy?.bytes} bytes at "${name}"`);
      expect(proxy?.bytes).toBeLessThan(3 * 1024 * 1024);
    }
  } finally {
    await counted.close();
  }
}, 240_000);

function randomBytes(length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  // The most that is given at once.
  for (let at = 0; at < length; at += 65_536) {
    crypto.getRandomValues(bytes.subarray(at, at + 65_536));
  }
  return bytes;
}
