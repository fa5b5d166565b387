/**
 * Table of what users do with names, and which nodes must come out of it, in full and hinted scans.
 */
import { describe, expect, test } from "bun:test";
import { KEPT, writeKept } from "../../src/client/folder/kept-values.ts";
import { CALM_MS, ScanWorld } from "./scan-world.ts";

interface Row {
  readonly rule: string;
  readonly title: string;
  readonly before: readonly string[];
  readonly act: (world: ScanWorld) => void;
  /** Where the nodes that were at these paths are now; undefined: gone. */
  readonly now: Readonly<Record<string, string | undefined>>;
  /** Paths of nodes that were not there before. */
  readonly fresh?: readonly string[];
  readonly hints: readonly string[];
  /** Fewer hints that must lead to the same tree. */
  readonly fewHints?: readonly string[];
}

const ROWS: readonly Row[] = [
  {
    rule: "A1",
    title: "a renamed file",
    before: ["a"],
    act: (world) => world.move("a", "b"),
    now: { a: "b" },
    hints: ["a", "b"],
    fewHints: ["b"],
  },
  {
    rule: "A1",
    title: "a file moved to another directory",
    before: ["d/", "e/", "d/f"],
    act: (world) => world.move("d/f", "e/g"),
    now: { d: "d", e: "e", "d/f": "e/g" },
    hints: ["d/f", "e/g"],
    fewHints: ["e"],
  },
  {
    rule: "A1",
    title: "a file renamed and edited",
    before: ["a"],
    act: (world) => {
      world.move("a", "b");
      world.write("b", "edited");
    },
    now: { a: "b" },
    hints: ["a", "b"],
  },
  {
    rule: "A1",
    title: "a renamed directory with an edit in it",
    before: ["d/f", "d/x/g"],
    act: (world) => {
      world.move("d", "e");
      world.write("e/x/g", "edited");
      world.make("e/new");
    },
    now: { d: "e", "d/f": "e/f", "d/x": "e/x", "d/x/g": "e/x/g" },
    fresh: ["e/new"],
    hints: ["d", "e"],
    fewHints: ["e"],
  },
  {
    rule: "A1",
    title: "two names swapped",
    before: ["a", "b"],
    act: (world) => world.swap("a", "b"),
    now: { a: "b", b: "a" },
    hints: ["a", "b"],
  },
  {
    rule: "A1",
    title: "two names swapped across directories",
    before: ["d/a", "e/b"],
    act: (world) => world.swap("d/a", "e/b"),
    now: { d: "d", e: "e", "d/a": "e/b", "e/b": "d/a" },
    hints: ["d/a", "e/b"],
  },
  {
    rule: "A1",
    title: "two directories swapped",
    before: ["d/f", "e/g"],
    act: (world) => world.swap("d", "e"),
    now: { d: "e", e: "d", "d/f": "e/f", "e/g": "d/g" },
    hints: ["d", "e"],
  },
  {
    rule: "A1",
    title: "a file and a directory swapped",
    before: ["a", "d/f"],
    act: (world) => world.swap("a", "d"),
    now: { a: "d", d: "a", "d/f": "a/f" },
    hints: ["a", "d"],
  },
  {
    rule: "A1",
    title: "three names rotated",
    before: ["a", "b", "c"],
    act: (world) => {
      world.move("c", "t");
      world.move("b", "c");
      world.move("a", "b");
      world.move("t", "a");
    },
    now: { a: "b", b: "c", c: "a" },
    hints: ["a", "b", "c", "t"],
  },
  {
    rule: "A1",
    title: "a chain of renames",
    before: ["a", "b", "c"],
    act: (world) => {
      world.move("c", "d");
      world.move("b", "c");
      world.move("a", "b");
    },
    now: { a: "b", b: "c", c: "d" },
    hints: ["a", "b", "c", "d"],
  },
  {
    rule: "A1",
    title: "a chain of renames across directories",
    before: ["x/a", "y/b", "z/"],
    act: (world) => {
      world.move("y/b", "z/c");
      world.move("x/a", "y/b");
    },
    now: { x: "x", y: "y", z: "z", "x/a": "y/b", "y/b": "z/c" },
    hints: ["x/a", "y/b", "z/c"],
    fewHints: ["y", "z"],
  },
  {
    rule: "A1",
    title: "a chain of renames that ends on a file",
    before: ["a", "b", "c"],
    act: (world) => {
      world.move("b", "c");
      world.move("a", "b");
    },
    now: { a: "b", b: "c", c: undefined },
    hints: ["a", "b", "c"],
  },
  {
    rule: "A1",
    title: "a rename over an existing file",
    before: ["a", "b"],
    act: (world) => world.move("a", "b"),
    now: { a: "b", b: undefined },
    hints: ["a", "b"],
    fewHints: ["b"],
  },
  {
    rule: "A1",
    title: "a directory moved into its former child",
    before: ["p/c/f", "p/g"],
    act: (world) => {
      world.move("p/c", "c");
      world.move("p", "c/p");
    },
    now: { p: "c/p", "p/c": "c", "p/c/f": "c/f", "p/g": "c/p/g" },
    hints: ["p", "p/c", "c", "c/p"],
    fewHints: ["c/p"],
  },
  {
    rule: "A1",
    title: "a parent and its child that trade names",
    before: ["p/p/f", "p/g"],
    act: (world) => {
      world.move("p", "t");
      world.move("t/p", "p");
      world.move("t", "p/p");
    },
    now: { p: "p/p", "p/p": "p", "p/p/f": "p/f", "p/g": "p/p/g" },
    hints: ["p", "t", "p/p"],
    fewHints: ["p"],
  },
  {
    rule: "A1",
    title: "a file replaced by a new directory that now holds it",
    before: ["a", "b"],
    act: (world) => {
      world.move("a", "t");
      world.make("a/");
      world.move("t", "a/inner");
    },
    now: { a: "a/inner", b: "b" },
    fresh: ["a"],
    hints: ["a", "t", "a/inner"],
    fewHints: ["a"],
  },
  {
    rule: "A1",
    title: "a file moved out of a removed directory",
    before: ["d/f", "d/g"],
    act: (world) => {
      world.move("d/f", "f");
      world.remove("d/g");
      world.remove("d");
    },
    now: { d: undefined, "d/f": "f", "d/g": undefined },
    hints: ["d/f", "f", "d/g", "d"],
    fewHints: ["d", "f"],
  },
  {
    rule: "A1",
    title: "a second hard link",
    before: ["a"],
    act: (world) => world.link("a", "b"),
    now: { a: "a" },
    fresh: ["b"],
    hints: ["b"],
  },
  {
    rule: "A1",
    title: "a hard link in another directory, listed before the first one",
    before: ["b/", "z/f"],
    act: (world) => world.link("z/f", "b/f"),
    now: { b: "b", z: "z", "z/f": "z/f" },
    fresh: ["b/f"],
    hints: ["b/f"],
  },
  {
    rule: "A1",
    title: "an atomic save by an unseen temporary file",
    before: ["a"],
    act: (world) => world.replace("a", "saved"),
    now: { a: "a" },
    hints: ["a"],
  },
  {
    rule: "A1",
    title: "vim's save: renamed to a backup, written anew, backup kept",
    before: ["a"],
    act: (world) => {
      world.move("a", "a~");
      world.write("a", "saved");
    },
    now: { a: "a" },
    fresh: ["a~"],
    hints: ["a", "a~"],
    fewHints: ["a~"],
  },
  {
    rule: "A1",
    title: "vim's save: renamed to a backup, written anew, backup removed",
    before: ["a"],
    act: (world) => {
      world.move("a", "a~");
      world.write("a", "saved");
      world.remove("a~");
    },
    now: { a: "a" },
    hints: ["a", "a~"],
  },
  {
    rule: "A1",
    title: "a save by truncating and writing",
    before: ["a"],
    act: (world) => {
      world.write("a", "");
      world.write("a", "saved");
    },
    now: { a: "a" },
    hints: ["a"],
  },
  {
    rule: "A1",
    title: "a directory replaced by a copy of itself",
    before: ["d/f", "d/g"],
    act: (world) => {
      for (const path of ["d/f", "d/g", "d"]) world.remove(path);
      world.make("d/f", "d/g");
    },
    now: { d: "d", "d/f": "d/f", "d/g": "d/g" },
    hints: ["d", "d/f", "d/g"],
    fewHints: ["d"],
  },
  {
    rule: "A1",
    title: "a directory set aside and begun anew with one of its files",
    before: ["d/f", "d/g"],
    act: (world) => {
      world.move("d", "old");
      world.make("d/");
      world.move("old/f", "d/f");
    },
    now: { d: "d", "d/f": "d/f", "d/g": "old/g" },
    fresh: ["old"],
    hints: ["d", "old", "d/f", "old/f"],
    fewHints: ["d", "old"],
  },
  {
    rule: "A4",
    title: "a file replaced by a directory",
    before: ["a"],
    act: (world) => {
      world.remove("a");
      world.make("a/f");
    },
    now: { a: undefined },
    fresh: ["a", "a/f"],
    hints: ["a", "a/f"],
    fewHints: ["a"],
  },
  {
    rule: "A4",
    title: "a directory replaced by a file, its file moved elsewhere",
    before: ["d/f", "d/g"],
    act: (world) => {
      world.move("d/f", "f");
      world.remove("d/g");
      world.remove("d");
      world.make("d");
    },
    now: { d: undefined, "d/f": "f", "d/g": undefined },
    fresh: ["d"],
    hints: ["d", "d/f", "d/g", "f"],
    fewHints: ["d", "f"],
  },
  {
    rule: "A4",
    title: "a directory replaced by a symlink",
    before: ["d/f"],
    act: (world) => {
      world.move("d", "else");
      world.make("d -> else");
    },
    now: { d: "else", "d/f": "else/f" },
    fresh: ["d"],
    hints: ["d", "else"],
  },
  {
    rule: "A1",
    title: "a symlink with another target",
    before: ["l -> one"],
    act: (world) => {
      world.remove("l");
      world.make("l -> two");
    },
    now: { l: "l" },
    hints: ["l"],
  },
  {
    rule: "A4",
    title: "a removed tree",
    before: ["d/e/f", "d/g", "keep"],
    act: (world) => {
      for (const path of ["d/e/f", "d/e", "d/g", "d"]) world.remove(path);
    },
    now: { d: undefined, "d/e": undefined, "d/e/f": undefined, "d/g": undefined, keep: "keep" },
    hints: ["d/e/f", "d/e", "d/g", "d"],
    fewHints: ["d/e/f"],
  },
  {
    rule: "A1",
    title: "a file made below directories that nobody hinted",
    before: ["d/"],
    act: (world) => world.make("d/e/f/g"),
    now: { d: "d" },
    fresh: ["d/e", "d/e/f", "d/e/f/g"],
    hints: ["d/e/f/g"],
  },
  {
    rule: "A1",
    title: "a directory and a file in it, both renamed",
    before: ["d/f", "d/g"],
    act: (world) => {
      world.move("d", "e");
      world.move("e/f", "e/h");
    },
    now: { d: "e", "d/f": "e/h", "d/g": "e/g" },
    hints: ["d", "e", "e/f", "e/h"],
    fewHints: ["e"],
  },
  {
    rule: "A1",
    title: "a directory renamed, with a second hard link made in it",
    before: ["d/f"],
    act: (world) => {
      world.move("d", "e");
      world.link("e/f", "e/a");
    },
    now: { d: "e", "d/f": "e/f" },
    fresh: ["e/a"],
    hints: ["d", "e", "e/a"],
  },
];

async function run(row: Row, hints: readonly string[]): Promise<void> {
  const world = new ScanWorld();
  world.make(...row.before);
  await world.agree();
  const before = world.ids();
  row.act(world);
  world.clock.elapsedMs += CALM_MS;
  await world.settle(...hints);

  const expected: Record<string, string> = {};
  for (const [from, to] of Object.entries(row.now)) {
    if (to !== undefined) expected[to] = before[from] ?? "?";
  }
  const after = world.ids();
  const fresh = Object.keys(after).filter(
    (path) => !Object.values(before).includes(after[path] ?? ""),
  );
  expect(fresh.sort()).toEqual([...(row.fresh ?? [])].sort());
  for (const path of fresh) delete after[path];
  expect(after).toEqual(expected);

  // The bytes that are remembered are those on the disk, and a second look finds nothing to do.
  const again = new ScanWorld();
  for (const [path, inode] of world.disk.walk()) {
    if (inode.kind === "file") again.write(path, new TextDecoder().decode(inode.bytes));
    else if (inode.kind === "symlink") again.make(`${path} -> ${inode.target}`);
    else again.make(`${path}/`);
  }
  await again.settle();
  expect(world.tree()).toEqual(again.tree());
  expect(await world.settle()).toBe(0);
}

describe("scan() knows nodes by their identity", () => {
  for (const row of ROWS) {
    test(`full: ${row.title} [${row.rule}]`, () => run(row, []));
    test(`hinted: ${row.title} [${row.rule}]`, () => run(row, row.hints));
    test(`hinted in reverse: ${row.title} [${row.rule}]`, () => run(row, [...row.hints].reverse()));
    if (row.fewHints !== undefined) {
      const { fewHints } = row;
      test(`few hints: ${row.title} [${row.rule}]`, () => run(row, fewHints));
    }
  }
});

test("scan() hinted one path at a time sees moves as moves [A1]", async () => {
  for (const row of ROWS) {
    const world = new ScanWorld();
    world.make(...row.before);
    await world.agree();
    const before = world.ids();
    row.act(world);
    world.clock.elapsedMs += CALM_MS;
    for (const hint of row.hints) await world.scan(hint);
    await world.settle(...row.hints);
    expect(world.paths()).toEqual(world.diskPaths());
    for (const [from, to] of Object.entries(row.now)) {
      if (to !== undefined) expect([row.title, world.ids()[to]]).toEqual([row.title, before[from]]);
    }
  }
});

test("a move is a move, whichever look at the disk fails once [A1, A3]", async () => {
  for (const row of ROWS.filter(({ fresh }) => fresh === undefined)) {
    for (let nth = 0; ; nth++) {
      const world = new ScanWorld();
      world.make(...row.before);
      await world.agree();
      const before = world.ids();
      row.act(world);
      world.clock.elapsedMs += CALM_MS;
      let calls = 0;
      world.onCall = () => (calls++ === nth ? "io" : undefined);
      await world.scan(...row.hints);
      world.onCall = () => undefined;
      world.clock.elapsedMs += CALM_MS;
      await world.settle(...row.hints);
      expect(world.paths()).toEqual(world.diskPaths());
      const wanted = Object.entries(row.now).filter(([, to]) => to !== undefined);
      const now = wanted.map(([from, to = ""]) => [row.title, nth, to, before[from]]);
      const ids = world.ids();
      expect(now).toEqual(wanted.map(([, to = ""]) => [row.title, nth, to, ids[to]]));
      if (calls <= nth) break;
    }
  }
}, 60_000);

for (const isDue of [true, false]) {
  test(`a new file's rename is ${isDue ? "one" : "none"} while ${isDue ? "an" : "no"} answer is due [A4]`, async () => {
    const world = new ScanWorld();
    world.make("a");
    await world.settle();
    const { a } = world.ids();
    if (isDue) writeKept(world.store, KEPT.posted, ["f".repeat(32)]);
    world.move("a", "b");
    // The system tells of the names one after the other.
    await world.scan("a");
    await world.scan("b");
    await world.settle("a", "b");
    expect(world.paths()).toEqual(["b"]);
    expect(world.ids()["b"] === a).toBe(isDue);
  });
}

test("a directory that goes after its files leaves nothing to wait for [A4] [Y1]", async () => {
  const world = new ScanWorld();
  world.make("d/a", "d/e/b");
  await world.agree();
  for (const path of ["d/e/b", "d/a", "d"]) {
    world.remove(path);
    await world.scan(path);
  }
  await world.settle("d");
  expect(world.paths()).toEqual([]);
});

test("another name beside the old one is found without a hint of it [A4]", async () => {
  const world = new ScanWorld();
  world.make("d/a", "d/sub/b");
  await world.agree();
  const before = world.ids();
  world.move("d/a", "d/c");
  await world.settle("d/a");
  world.move("d", "e");
  await world.settle("d");
  const { e, "e/c": file, "e/sub/b": below } = world.ids();
  expect([e, file, below]).toEqual([before["d"], before["d/a"], before["d/sub/b"]]);
});

test("a directory is not listed at each loss where that takes long [A4]", async () => {
  const names = Array.from({ length: 10 }, (_, index) => `f${index}`);
  const world = new ScanWorld();
  world.make(...names);
  await world.agree();
  let lists = 0;
  world.onCall = (name) => {
    if (name !== "list") return undefined;
    lists++;
    world.clock.elapsedMs += 500;
    return undefined;
  };
  for (const name of names) {
    world.remove(name);
    await world.settle(name);
  }
  expect(world.paths()).toEqual([]);
  expect(lists).toBe(1);
});

test("a file that passes through a temporary name stays itself [A15]", async () => {
  const world = new ScanWorld();
  world.make("a", "b");
  await world.agree();
  const { a = "", b = "" } = world.ids();
  world.move("a", ".a.tmp");
  await world.settle("a", ".a.tmp");
  world.move("b", "a");
  world.move(".a.tmp", "b");
  await world.settle("a", "b", ".a.tmp");
  expect(world.ids()).toEqual({ a: b, b: a });
});

test("it does so, too, where another file that was there is gone [A15]", async () => {
  const world = new ScanWorld();
  world.make("a", "b");
  await world.agree();
  const { a = "" } = world.ids();
  world.move("a", ".a.tmp");
  await world.settle("a", ".a.tmp");
  world.remove("b");
  world.move(".a.tmp", "b");
  await world.settle("b", ".a.tmp");
  expect(world.ids()).toEqual({ b: a });
});
