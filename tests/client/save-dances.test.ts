/**
 * What programs do to save one file, step by step: however many scans look in between, the file
 * keeps its node, and so its history and what others do to it meanwhile. Rules: A1, A4, A9, A11.
 */
import { expect, test } from "bun:test";
import { sha256 } from "../../src/core/digest.ts";
import { CALM_MS, ScanWorld } from "./scan-world.ts";

type Step = (world: ScanWorld) => void;

const write =
  (path: string, text: string): Step =>
  (world) =>
    world.write(path, text);
const move =
  (from: string, to: string): Step =>
  (world) =>
    world.move(from, to);
const remove =
  (path: string): Step =>
  (world) =>
    world.remove(path);

const DOC = "doc.txt";
const SAVED = "saved";

interface Dance {
  readonly who: string;
  readonly steps: readonly Step[];
  /** What else stands there afterwards. */
  readonly left?: readonly string[];
}

const DANCES: readonly Dance[] = [
  {
    who: "vim, with a backup that goes",
    steps: [move(DOC, `${DOC}~`), write(DOC, ""), write(DOC, SAVED), remove(`${DOC}~`)],
  },
  {
    who: "emacs, with a backup that stays",
    steps: [move(DOC, `${DOC}~`), write(DOC, ""), write(DOC, SAVED)],
    left: [`${DOC}~`],
  },
  {
    who: "a drawing program, with a backup by name",
    steps: [move(DOC, "doc.bak"), write(DOC, SAVED)],
    left: ["doc.bak"],
  },
  {
    who: "gedit, with a link as backup",
    steps: [
      write(".goutputstream-QK3V51", SAVED),
      (world) => world.link(DOC, `${DOC}~`),
      move(".goutputstream-QK3V51", DOC),
    ],
    left: [`${DOC}~`],
  },
  {
    who: "KDE, by a random ending",
    steps: [write(`${DOC}.kTqW3x`, ""), write(`${DOC}.kTqW3x`, SAVED), move(`${DOC}.kTqW3x`, DOC)],
  },
  {
    who: "Word, with two temporary names",
    steps: [
      write("~WRD0001.tmp", SAVED),
      move(DOC, "~WRL0002.tmp"),
      move("~WRD0001.tmp", DOC),
      remove("~WRL0002.tmp"),
    ],
  },
  {
    who: "Excel, with two bare numbers",
    steps: [
      write("1A2B3C4D", SAVED),
      move(DOC, "5E6F7A8B"),
      move("1A2B3C4D", DOC),
      remove("5E6F7A8B"),
    ],
  },
  {
    who: "LibreOffice, with a copy as backup",
    steps: [write("lu21a9k.tmp", SAVED), write("doc.bak", "old"), move("lu21a9k.tmp", DOC)],
    left: ["doc.bak"],
  },
  { who: "sed -i", steps: [write("sedAbCdEf", SAVED), move("sedAbCdEf", DOC)] },
  { who: "a program that deletes and makes anew", steps: [remove(DOC), write(DOC, SAVED)] },
  {
    who: "a program that deletes, makes anew and writes later",
    steps: [remove(DOC), write(DOC, ""), write(DOC, SAVED)],
  },
];

async function agreed(): Promise<ScanWorld> {
  const world = new ScanWorld();
  world.write(DOC, "old");
  world.make("other");
  await world.agree();
  return world;
}

async function expectSaved(world: ScanWorld, dance: Dance, before: string): Promise<void> {
  world.clock.elapsedMs += CALM_MS;
  await world.settle();
  expect(world.paths()).toEqual([DOC, "other", ...(dance.left ?? [])].toSorted());
  expect(world.node(DOC).content).toMatchObject({ sha256: sha256(SAVED) });
  expect(world.ids()[DOC]).toBe(before);
}

for (const dance of DANCES) {
  test(`${dance.who}: the node stays, whichever steps are seen [A1, A4, A11]`, async () => {
    const { steps } = dance;
    for (let seen = 0; seen < 2 ** steps.length; seen += 1) {
      for (const hints of [undefined, [DOC, "other"]]) {
        const world = await agreed();
        const before = world.id(DOC);
        for (const [index, step] of steps.entries()) {
          step(world);
          world.clock.elapsedMs += 10;
          if ((seen & (1 << index)) === 0) continue;
          const there = hints === undefined ? [] : [...world.diskPaths(), ...hints];
          await world.scan(...there);
        }
        await expectSaved(world, dance, before);
      }
    }
  });

  test(`${dance.who}: the node stays, though others know what was written first [A1]`, async () => {
    const world = await agreed();
    const before = world.id(DOC);
    const [first, ...rest] = dance.steps;
    first?.(world);
    // A large document takes its time to be written beside the old one.
    if (world.disk.at(DOC) !== undefined) await world.agree();
    for (const step of rest) step(world);
    await expectSaved(world, dance, before);
  });
}

test("a hard link that is renamed keeps its node, whichever of the two it is [A1]", async () => {
  for (const renamed of ["a", "b"]) {
    for (const isHinted of [false, true]) {
      const world = new ScanWorld();
      world.make("a", "d/");
      world.link("a", "b");
      await world.agree();
      const [a, b] = [world.id("a"), world.id("b")];
      world.move(renamed, "c");
      world.clock.elapsedMs += CALM_MS;
      await world.settle(...(isHinted ? ["c", renamed] : []));
      const { d, ...after } = world.ids();
      expect([d !== undefined, after]).toEqual([true, renamed === "a" ? { b, c: a } : { a, c: b }]);
    }
  }
});
