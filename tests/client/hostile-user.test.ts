/**
 * A user who gets in the way before every single call that an apply makes: for each scenario, edit
 * and call number. What the user wrote, and did not itself overwrite or delete, is in the folder at
 * the end. Rules: I2, I3, I4, D2-D5.
 */
import { describe, expect, test } from "bun:test";
import type { FileInode } from "../sim/sim-disk.ts";
import { SCENARIOS, type Scenario } from "./apply-scenarios.ts";
import type { ApplyWorld } from "./apply-world.ts";

const HOSTILE = "HOSTILE";
const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** One act on a path; `lost` takes the contents that the act itself destroys. */
type Act = (world: ApplyWorld, path: string, lost: Set<string>) => "wrote" | "nothing";

function textAt(world: ApplyWorld, path: string): string | undefined {
  const inode = world.disk.at(path);
  return inode?.kind === "file" ? decoder.decode(inode.bytes) : undefined;
}

function isOpen(world: ApplyWorld, path: string): boolean {
  const parent = path.includes("/") ? path.slice(0, path.lastIndexOf("/")) : "";
  return world.disk.at(parent)?.kind === "directory";
}

const ACTS: Record<string, Act> = {
  "writes in place": (world, path, lost) => {
    const text = textAt(world, path);
    const isFree = isOpen(world, path) && world.disk.at(path) === undefined;
    if (text === undefined && !isFree) return "nothing";
    if (text !== undefined) lost.add(text);
    world.write(path, HOSTILE);
    return "wrote";
  },
  "saves atomically": (world, path, lost) => {
    const text = textAt(world, path);
    if (text === undefined) return "nothing";
    lost.add(text);
    world.replace(path, HOSTILE);
    return "wrote";
  },
  "puts a directory there": (world, path, lost) => {
    const text = textAt(world, path);
    if (text === undefined) return "nothing";
    lost.add(text);
    world.remove(path);
    world.write(`${path}/inner`, HOSTILE);
    return "wrote";
  },
  "puts a symlink there": (world, path, lost) => {
    const text = textAt(world, path);
    if (text === undefined) return "nothing";
    lost.add(text);
    world.remove(path);
    world.make(`${path} -> elsewhere`);
    return "nothing";
  },
  "moves it away": (world, path) => {
    if (textAt(world, path) !== undefined) world.move(path, "away");
    return "nothing";
  },
  "deletes it": (world, path, lost) => {
    const text = textAt(world, path);
    if (text === undefined) return "nothing";
    lost.add(text);
    world.remove(path);
    return "nothing";
  },
  "moves its directory away": (world, path) => {
    const directory = path.split("/")[0] ?? path;
    if (path.includes("/") && world.disk.at(directory)?.kind === "directory") {
      world.move(directory, "elsewhere");
    }
    return "nothing";
  },
  "replaces its directory": (world, path) => {
    const directory = path.split("/")[0] ?? path;
    if (!path.includes("/") || world.disk.at(directory)?.kind !== "directory") return "nothing";
    world.move(directory, "elsewhere");
    world.write(path, HOSTILE);
    return "wrote";
  },
  "puts a symlink in its directory's place": (world, path) => {
    const directory = path.split("/")[0] ?? path;
    if (!path.includes("/") || world.disk.at(directory)?.kind !== "directory") return "nothing";
    world.move(directory, "elsewhere");
    world.make(`${directory} -> elsewhere`);
    return "nothing";
  },
};

/**
 * Runs the scenario with one act before call number `call`. @returns false when there are fewer
 * calls.
 */
async function runWith(
  scenario: Scenario,
  exchange: boolean,
  call: number,
  act: (world: ApplyWorld, lost: Set<string>) => "wrote" | "nothing",
): Promise<boolean> {
  const world = await scenario.make(exchange);
  const lost = new Set<string>();
  let count = 0;
  let outcome: "wrote" | "nothing" | undefined;
  const step = (): void => {
    count += 1;
    if (count === call) outcome = act(world, lost);
  };
  world.onCall = () => {
    step();
    return undefined;
  };
  world.onTransaction = step;
  await world.apply();
  world.onCall = () => undefined;
  world.onTransaction = () => {};
  await world.converge();
  await world.emptyQuarantine();

  const texts = Object.values(world.files());
  const must = scenario.onlyHere.filter((text) => !lost.has(text));
  if (outcome === "wrote") must.push(HOSTILE);
  const where = `call ${call}: ${JSON.stringify(world.files())}`;
  for (const text of must)
    if (!texts.includes(text)) throw new Error(`"${text}" is lost, ${where}`);
  expect([where, world.entries("staging"), world.entries("parking")]).toEqual([where, [], []]);
  expect([where, world.entries("quarantine"), world.store.journal()]).toEqual([where, [], []]);
  return outcome !== undefined;
}

for (const exchange of [true, false]) {
  for (const scenario of SCENARIOS) {
    describe(`${scenario.name} ${exchange ? "with" : "without"} exchange`, () => {
      for (const [name, act] of Object.entries(ACTS)) {
        test(`loses nothing when a user ${name} before any call [I3, D2, D10]`, async () => {
          const run = (call: number) =>
            runWith(scenario, exchange, call, (world, lost) => act(world, scenario.target, lost));
          let call = 1;
          while (await run(call)) call += 1;
          expect(call).toBeGreaterThan(5);
        });
      }

      test("loses nothing when a user writes through an old handle before any call [I4, D3]", async () => {
        let handle: FileInode | undefined;
        const run = async (call: number): Promise<boolean> => {
          handle = undefined;
          const make = async (): Promise<ApplyWorld> => {
            const world = await scenario.make(exchange);
            const inode = world.disk.at(scenario.target);
            handle = inode?.kind === "file" ? inode : undefined;
            return world;
          };
          return runWith({ ...scenario, make }, exchange, call, (world, lost) => {
            if (handle === undefined) return "nothing";
            lost.add(decoder.decode(handle.bytes));
            world.disk.write(handle, encoder.encode(HOSTILE), "user", "durable");
            return "wrote";
          });
        };
        let call = 1;
        while (await run(call)) call += 1;
        expect(call).toBeGreaterThan(5);
      });
    });
  }
}
