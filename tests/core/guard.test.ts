/** Which accidents the guards hold, and which honest work they let through, case by case. */
import { describe, expect, test } from "bun:test";
import { type Changes, NO_CHANGES } from "../../src/core/guard.ts";
import { guardSettingText, parseGuardSetting } from "../../src/core/guard-setting.ts";
import { type Circumstances, GuardWorld, many, recentDeletes, type Side } from "./guard-world.ts";

/** In ten directories, none of which is what most of the others are in. */
function spread(count: number): GuardWorld {
  return new GuardWorld(Array.from({ length: count }, (_, i) => `d${i % 10}/file-${i}.txt`));
}

/** A project of sources, and what is built from them. */
function project(sources: number, built: number): GuardWorld {
  return new GuardWorld([...many(sources, "src/{n}.c"), ...many(built, "build/{n}.o")]);
}

const BOTH: readonly Side[] = ["here", "there"];
const DAY_MS = 86_400_000;

interface Case {
  readonly what: string;
  readonly world: () => GuardWorld;
  readonly circumstances?: Circumstances;
  /** Part of the reason; undefined where it flows. */
  readonly held?: string;
}

function check(cases: readonly Case[]): void {
  for (const { what, world, circumstances, held } of cases) {
    test(`${held === undefined ? "flows" : "is held"}: ${what}`, () => {
      const verdict = world().judge(circumstances);
      if (held === undefined) expect(verdict.held?.reason).toBeUndefined();
      else expect(verdict.held?.reason).toContain(held);
    });
  }
}

describe("the bound of what goes unasked [G2, G9]", () => {
  const off = { kind: "off" } as const;
  const deleted = (files: number, count: number): GuardWorld => {
    const world = spread(files);
    return world.remove("here", world.files().slice(0, count));
  };
  check([
    { what: "50 of 60", world: () => deleted(60, 50) },
    { what: "51 of 60", world: () => deleted(60, 51), held: "delete 51 of 60 files" },
    { what: "a quarter of 400", world: () => deleted(400, 100) },
    { what: "more than a quarter", world: () => deleted(400, 101), held: "delete 101 of 400" },
    {
      what: "51 of 60 where 55 may go",
      world: () => deleted(60, 51),
      circumstances: { setting: { kind: "count", count: 55 } },
    },
    {
      what: "6 of 60 where 5 may go",
      world: () => deleted(60, 6),
      circumstances: { setting: { kind: "count", count: 5 } },
      held: "delete 6 of 60",
    },
    {
      what: "59 of 60 where all may go",
      world: () => deleted(60, 59),
      circumstances: { setting: { kind: "percent", percent: 100 } },
    },
    {
      what: "11 of 100 where a tenth may go",
      world: () => deleted(100, 11),
      circumstances: { setting: { kind: "percent", percent: 10 } },
      held: "delete 11 of 100",
    },
    { what: "all, guards off", world: () => deleted(60, 60), circumstances: { setting: off } },
    { what: "approved", world: () => deleted(60, 55), circumstances: { isApproved: true } },
    {
      what: "30 after 20 within a minute",
      world: () => deleted(100, 30),
      circumstances: { recent: recentDeletes(20) },
    },
    {
      what: "31 after 20 within a minute",
      world: () => deleted(100, 31),
      circumstances: { recent: recentDeletes(20) },
      held: "delete 31 of 100",
    },
  ]);

  test("one change is one change, however often it is judged before it is done", () => {
    const world = deleted(100, 40);
    const { up } = world.judge();
    expect(up.deletes.size).toBe(40);
    expect(world.judge({ recent: up }).held).toBeUndefined();
  });

  test("the same change has the same name [G4]", () => {
    expect(deleted(100, 60).judge().held?.id).toBe(deleted(100, 60).judge().held?.id ?? "");
  });

  test("what the server would delete is held, and everything else flows", () => {
    const world = spread(100);
    world.remove("there", world.files().slice(0, 60)).create("there", ["new.txt"]);
    const { plan, held } = world.judge();
    expect(held).toMatchObject({ direction: "down", count: 60 });
    expect(plan.transitions.map(({ kind }) => kind)).toEqual(["create"]);
  });

  test("no directory goes while what is in it is held", () => {
    const world = spread(100);
    world.remove("here", world.files().slice(0, 95));
    expect(world.judge().plan.ops.size).toBe(0);
    world.remove("here", world.files("d0"));
    expect(world.judge().plan.ops.size).toBe(0);
  });

  test("a setting is read as it is written, and nothing else", () => {
    for (const text of ["default", "off", "1", "500", "1%", "40%", "100%"]) {
      const setting = parseGuardSetting(text);
      expect(setting === undefined ? undefined : guardSettingText(setting)).toBe(text);
    }
    for (const text of ["", "0", "-1", "0%", "101%", "5 %", "1e3", "on", "none", "007"]) {
      expect(parseGuardSetting(text)).toBeUndefined();
    }
  });
});

describe("an emptied folder [G3]", () => {
  const emptied = (paths: string[], side: Side = "here"): GuardWorld => {
    const world = new GuardWorld(paths);
    return world.remove(side, world.files());
  };
  check([
    { what: "10 files", world: () => emptied(many(10, "{n}")) },
    { what: "11 files", world: () => emptied(many(11, "{n}")), held: "delete all 11 files" },
    { what: "on the server", world: () => emptied(many(11, "{n}"), "there"), held: "all 11 files" },
    {
      what: "11 files, made a moment ago, whatever may go",
      world: () => {
        const world = new GuardWorld(many(11, "build/{n}"));
        return world.madeByChanger(world.files()).remove("here", world.files());
      },
      circumstances: { setting: { kind: "count", count: 1_000 } },
      held: "delete all 11 files",
    },
    {
      what: "11 symlinks and nothing else",
      world: () => emptied(many(11, "{n}@")),
      held: "all 11",
    },
    {
      what: "11 symlinks beside 11 files",
      world: () => {
        const world = new GuardWorld([...many(11, "{n}@"), ...many(11, "{n}")]);
        return world.remove("here", many(11, "{n}@"));
      },
    },
    {
      what: "12 files, some deleted and the others cut to nothing",
      world: () => {
        const world = new GuardWorld(many(12, "{n}"));
        return world.remove("here", many(5, "{n}")).write("here", world.files().slice(5), () => "");
      },
      held: "delete or empty all 12 files",
    },
    {
      what: "11 files that were all when it was held; another one came since",
      world: () => new GuardWorld(many(12, "{n}")).remove("here", many(11, "{n}")),
      circumstances: { emptied: many(11, "{n}") },
      held: "delete 11 of 12 files",
    },
    {
      what: "what remained of them when most had come back",
      world: () => new GuardWorld(many(12, "{n}")).remove("here", ["7"]),
      circumstances: { emptied: many(11, "{n}") },
      held: "delete 1 of 12 files",
    },
    {
      what: "another file beside those that came back",
      world: () => new GuardWorld(many(12, "{n}")).remove("here", ["11"]),
      circumstances: { emptied: many(11, "{n}") },
    },
  ]);
});

describe("what this device made itself within a day [G6]", () => {
  const clean = (ageMs: number): GuardWorld => {
    const world = new GuardWorld([...many(100, "d{n}/a.c"), ...many(100, "d{n}/a.o")]);
    const built = many(100, "d{n}/a.o");
    return world.madeByChanger(built, ageMs).remove("here", built);
  };
  check([
    { what: "make clean, an hour later", world: () => clean(DAY_MS / 24) },
    { what: "unseen", world: () => clean(DAY_MS / 24), circumstances: { isUnseen: true } },
    { what: "make clean, days later", world: () => clean(2 * DAY_MS), held: "delete 100 of 200" },
    {
      what: "made by who deletes it, on the server",
      world: () => {
        const world = spread(100);
        const made = world.files().slice(0, 60);
        return world.madeByChanger(made).remove("there", made);
      },
    },
    {
      what: "its own, and many that are not",
      world: () => {
        const world = spread(200);
        world.madeByChanger(world.files().slice(0, 50));
        return world.remove("here", world.files().slice(0, 102));
      },
      held: "delete 102 of 200",
    },
  ]);
});

describe("one directory, while the rest of the folder lives [G10-G12]", () => {
  for (const side of BOTH) {
    check([
      {
        what: `rm -rf build, ${side}`,
        world: () => project(2_503, 2_474).remove(side, many(2_474, "build/{n}.o")),
      },
      {
        what: `and a few files elsewhere, ${side}`,
        world: () =>
          project(300, 300).remove(side, [...many(300, "build/{n}.o"), ...many(20, "src/{n}.c")]),
      },
      {
        what: `three of ten directories, ${side}`,
        world: () => {
          const world = spread(1_000);
          const paths = ["d0/", "d1/", "d2/"].flatMap((below) => world.files(below));
          return world.remove(side, paths);
        },
        held: "delete 300 of 1000",
      },
      {
        what: `all but 10 files, ${side}`,
        world: () => project(10, 90).remove(side, many(90, "build/{n}.o")),
        held: "delete 90 of 100",
      },
      {
        what: `all but 11 files, ${side}`,
        world: () => project(11, 90).remove(side, many(90, "build/{n}.o")),
      },
      {
        what: `a pack of loose objects, ${side}`,
        world: () => {
          const loose = Array.from({ length: 300 }, (_, i) => `repo/.git/objects/${i % 99}/${i}`);
          const world = new GuardWorld([...loose, ...many(100, "repo/{n}.c")]);
          return world.remove(side, loose);
        },
      },
    ]);
  }
  check([
    {
      what: "found gone later: a lost disk, a stopped client",
      world: () => project(300, 300).remove("here", many(300, "build/{n}.o")),
      circumstances: { isUnseen: true },
      held: "delete 300 of 600",
    },
    {
      what: "after another directory within a minute",
      world: () => {
        const world = project(600, 300);
        return world.remove("here", many(300, "build/{n}.o"));
      },
      circumstances: { recent: recentDeletes(200) },
      held: "delete 300 of 900",
    },
    {
      what: "the folder's files themselves",
      world: () => {
        const world = new GuardWorld([...many(100, "{n}"), ...many(100, "d/{n}")]);
        return world.remove("here", many(80, "{n}"));
      },
      held: "delete 80 of 200",
    },
  ]);

  test("the rest of a directory of which a part went before", () => {
    const world = project(600, 300);
    const recent = recentDeletes(200, world.id("build"));
    world.remove("here", many(300, "build/{n}.o"));
    expect(world.judge({ recent }).held).toBeUndefined();
  });
});

describe("files of which nothing is left [G7]", () => {
  const cut = (side: Side, files: number, count: number): GuardWorld => {
    const world = spread(files);
    return world.write(side, world.files().slice(0, count), () => "");
  };
  for (const side of BOTH) {
    check([
      { what: `60 of 80, ${side}`, world: () => cut(side, 80, 60), held: "cut 60 of 80 files" },
      { what: `447 of 600, ${side}`, world: () => cut(side, 600, 447), held: "cut 447 of 600" },
      { what: `50 of 80, ${side}`, world: () => cut(side, 80, 50) },
      { what: `11 of 11, ${side}`, world: () => cut(side, 11, 11), held: "empty all 11 files" },
    ]);
  }
  check([
    {
      what: "60 of 80, made a moment ago, below one directory, whatever may go",
      world: () => {
        const world = project(80, 80);
        world.madeByChanger(world.files());
        return world.write("here", many(80, "build/{n}.o"), () => "");
      },
      circumstances: { setting: { kind: "count", count: 1_000 } },
      held: "cut 80 of 160",
    },
    {
      what: "guards off",
      world: () => cut("here", 80, 60),
      circumstances: { setting: { kind: "off" } },
    },
    {
      what: "60 of 80 edited",
      world: () => {
        const world = spread(80);
        return world.write("here", world.files().slice(0, 60), (path) => `edited ${path}`);
      },
    },
  ]);
});

describe("many files get one new extension [G8]", () => {
  const appended = (paths: readonly string[]): string[] => paths.map((path) => `${path}.locked`);
  for (const side of BOTH) {
    check([
      {
        what: `200 of 300 renamed, ${side}`,
        world: () => {
          const world = spread(300);
          return world.rename(side, world.files().slice(0, 200), (name) => `${name}.locked`);
        },
        held: 'rename 200 of 300 files to ".locked"',
      },
      {
        what: `another extension instead, ${side}`,
        world: () => {
          const world = spread(300);
          return world.rename(
            side,
            world.files().slice(0, 200),
            (name) => `${name.slice(0, -4)}.x1`,
          );
        },
        held: 'to ".x1"',
      },
      {
        what: `written anew beside, in one directory, ${side}`,
        world: () => {
          const world = project(200, 100);
          const victims = many(200, "src/{n}.c");
          return world.create(side, appended(victims)).remove(side, victims);
        },
        held: 'rename 200 of 300 files to ".locked"',
      },
      {
        what: `75 of 300, ${side}`,
        world: () => {
          const world = spread(300);
          return world.rename(side, world.files().slice(0, 75), (name) => `${name}.bak`);
        },
      },
      {
        what: `the same extension in capitals, ${side}`,
        world: () => {
          const world = spread(300);
          return world.rename(side, world.files(), (name) => name.replace(".txt", ".TXT"));
        },
      },
      {
        what: `names that keep their extension, ${side}`,
        world: () => {
          const world = spread(300);
          return world.rename(side, world.files(), (name) => `2026 ${name}`);
        },
      },
      {
        what: `one directory renamed, ${side}`,
        world: () => project(100, 100).rename(side, ["src"], () => "src.old"),
      },
    ]);
  }
  check([
    {
      what: "with other bytes, and made a moment ago, whatever may go",
      world: () => {
        const world = spread(300);
        const victims = world.files().slice(0, 200);
        world.madeByChanger(victims, 5_000);
        return world.create("here", appended(victims), 1_000).remove("here", victims);
      },
      circumstances: { setting: { kind: "percent", percent: 100 } },
      held: 'to ".locked"',
    },
    {
      what: "make clean right after the sources were written",
      world: () => {
        const world = new GuardWorld(many(80, "src/{n}.o"));
        const built = world.files();
        world.madeByChanger(built, 1_000);
        world.create("here", many(80, "src/{n}.c"), 5_000);
        return world.remove("here", built.slice(0, 70));
      },
    },
  ]);

  test("what would break out of a message is not shown", () => {
    const world = spread(100);
    world.rename("here", world.files(), (name) => `${name}.\u001b[2J`);
    expect(world.judge().held?.reason).toContain("one new extension");
  });

  test("both the rename and the bytes wait, and a new file flows", () => {
    const world = spread(100);
    const victims = world.files();
    world.rename("there", victims, (name) => `${name}.locked`).create("there", ["note.txt"]);
    const { plan, held } = world.judge();
    expect(held).toMatchObject({ direction: "down", count: 100 });
    expect(plan.transitions.map(({ kind }) => kind)).toEqual(["create"]);
  });
});

describe("many files get other bytes [G2]", () => {
  const edited = (files: number, count: number): GuardWorld => {
    const world = spread(files);
    return world.write("here", world.files().slice(0, count), (path) => `other ${path}`);
  };
  check([
    { what: "1,000 of 1,200", world: () => edited(1_200, 1_000) },
    { what: "1,001 of 1,200", world: () => edited(1_200, 1_001), held: "overwrite 1001 of 1200" },
    { what: "half of 2,400", world: () => edited(2_400, 1_200) },
  ]);
});

describe("who made files within a day overwrites them [G6]", () => {
  const rewritten = (side: "here" | "there", ageMs: number): GuardWorld => {
    const world = spread(1_200);
    world.madeByChanger(world.files(), ageMs);
    return world.write(side, world.files(), (path) => `other ${path}`);
  };
  check([
    { what: "a build, an hour later", world: () => rewritten("here", DAY_MS / 24) },
    { what: "from the server", world: () => rewritten("there", DAY_MS / 24) },
    {
      what: "days later",
      world: () => rewritten("there", 2 * DAY_MS),
      held: "overwrite 1200 of 1200",
    },
  ]);
});

describe("from the server, little is let through slowly [G14]", () => {
  const from = (files: number, count: number): GuardWorld => {
    const world = spread(files);
    return world.write("there", world.files().slice(0, count), (path) => `other ${path}`);
  };
  const without = (files: number, count: number): GuardWorld => {
    const world = spread(files);
    return world.remove("there", world.files().slice(0, count));
  };
  const rewritten = (count: number): Changes => {
    return { ...NO_CHANGES, overwrites: new Set(recentDeletes(count).deletes.keys()) };
  };
  check([
    { what: "50 overwrites of 60", world: () => from(60, 50) },
    { what: "51 overwrites of 60", world: () => from(60, 51), held: "overwrite 51 of 60" },
    { what: "900 overwrites of 900", world: () => from(900, 900), held: "overwrite 900 of 900" },
    { what: "900 appends of 900", world: () => from(900, 900), circumstances: { isGrowth: true } },
    { what: "a third of 900", world: () => from(900, 300) },
    {
      what: "a third of 900 after a third of it",
      world: () => from(900, 300),
      circumstances: { earlier: rewritten(300) },
    },
    {
      what: "half of 900 after a third of it",
      world: () => from(900, 450),
      circumstances: { earlier: rewritten(300) },
      held: "overwrite 750 of 900 files within an hour",
    },
    {
      what: "40 of 400, after 100",
      world: () => without(400, 40),
      circumstances: { earlier: recentDeletes(100) },
    },
    {
      what: "60 of 400, after 300",
      world: () => without(400, 60),
      circumstances: { earlier: recentDeletes(300) },
      held: "delete 360 of 700 files within an hour",
    },
    {
      what: "40 of 100, after 50",
      world: () => without(100, 40),
      circumstances: { earlier: recentDeletes(50) },
      held: "delete 90 of 150 files within an hour",
    },
    {
      what: "40 of 100, after 50, under another setting",
      world: () => without(100, 40),
      circumstances: { earlier: recentDeletes(50), setting: { kind: "count", count: 45 } },
    },
  ]);
});
