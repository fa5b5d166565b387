/**
 * A crash before every single call that an apply makes, and before every call of the recovery after
 * it: old or new, nothing lost, nothing left over, and then the news arrives all the same.
 * Rules: D7, I13, I14, I3, S2.
 */
import { describe, expect, test } from "bun:test";
import { SCENARIOS, type Scenario } from "./apply-scenarios.ts";
import { type ApplyWorld, syncedWorld } from "./apply-world.ts";

const COPY = "f (conflict laptop 2026-01-01 25bf8e)";

class Crash extends Error {
  override readonly name = "Crash";
}

/** Lets `call` calls pass. @returns how many there were, and whether it came to the crash. */
async function crashBefore(
  world: ApplyWorld,
  call: number,
  work: () => Promise<unknown>,
): Promise<boolean> {
  let count = 0;
  const step = (): void => {
    count += 1;
    if (count >= call) throw new Crash(`before call ${call}`);
  };
  world.onCall = () => {
    step();
    return undefined;
  };
  world.onTransaction = step;
  try {
    await work();
    return false;
  } catch (error) {
    if (!(error instanceof Crash)) throw error;
    return true;
  } finally {
    world.crash();
  }
}

function check(world: ApplyWorld, scenario: Scenario, where: string): void {
  const texts = Object.values(world.files());
  for (const text of scenario.onlyHere) {
    if (!texts.includes(text)) {
      throw new Error(`"${text}" is lost, ${where}: ${JSON.stringify(world.files())}`);
    }
  }
}

async function finish(world: ApplyWorld, scenario: Scenario, where: string): Promise<void> {
  await world.recover();
  check(world, scenario, where);
  const left = [world.entries("staging"), world.entries("parking"), world.store.journal()];
  expect([where, ...left]).toEqual([where, [], [], []]);
  await world.converge();
  expect([where, world.files()]).toEqual([where, scenario.outcome]);
  await world.emptyQuarantine();
  expect([where, world.files()]).toEqual([where, scenario.outcome]);
  expect([where, world.entries("quarantine")]).toEqual([where, []]);
}

for (const exchange of [true, false]) {
  for (const scenario of SCENARIOS) {
    describe(`${scenario.name} ${exchange ? "with" : "without"} exchange`, () => {
      test("without a crash has its outcome [D2]", async () => {
        const world = await scenario.make(exchange);
        await world.apply();
        await finish(world, scenario, "no crash");
      });

      test("survives a crash before any call [D7, I14]", async () => {
        for (let call = 1; ; call += 1) {
          const world = await scenario.make(exchange);
          const crashed = await crashBefore(world, call, () => world.apply());
          await finish(world, scenario, `crash before call ${call}`);
          if (crashed) continue;
          expect(call).toBeGreaterThan(5);
          return;
        }
      });

      test("survives a second crash before any call of the recovery [D7, I14]", async () => {
        for (let call = 1; ; call += 1) {
          const world = await scenario.make(exchange);
          if (!(await crashBefore(world, call, () => world.apply()))) return;
          for (let next = 1; ; next += 1) {
            const where = `crash before call ${call}, then before call ${next} of the recovery`;
            const again = await scenario.make(exchange);
            await crashBefore(again, call, () => again.apply());
            const crashed = await crashBefore(again, next, () => again.recover());
            await finish(again, scenario, where);
            if (!crashed) break;
          }
        }
      }, 180_000);

      test("survives a power cut before any call [D7, I14, I15]", async () => {
        for (let call = 1; ; call += 1) {
          const world = await scenario.make(exchange);
          world.disk.writeBack();
          const crashed = await crashBefore(world, call, () => world.apply());
          world.disk.powerCut();
          await finish(world, scenario, `power cut before call ${call}`);
          if (!crashed) return;
        }
      });

      if (!exchange) return;
      test("a reader finds the old or the new bytes at every moment [I13]", async () => {
        const world = await scenario.make(exchange);
        const paths = Object.keys(scenario.outcome).filter((path) => path in world.files());
        const before = world.files();
        world.onCall = () => {
          const now = world.files();
          for (const path of paths) {
            if (
              !scenario.parks &&
              now[path] !== before[path] &&
              now[path] !== scenario.outcome[path]
            ) {
              throw new Error(`${path} is ${now[path]}`);
            }
          }
          return undefined;
        };
        await world.apply();
      });
    });
  }
}

for (const exchange of [true, false]) {
  const how = exchange ? "with" : "without";
  test(`a file in conflict in a directory that moves is still itself after a crash ${how} exchange [D2, D7]`, async () => {
    for (let call = 1; ; call += 1) {
      const world = await syncedWorld(exchange, "a/f");
      const before = world.inode("a/f");
      if (before.kind === "file") world.disk.setMetadata(before, { executable: true }, "durable");
      world.write("a/f", "local");
      world.clock.elapsedMs += 10_000;
      await world.settle();
      const { id } = world.remote("a/f");
      world.remoteMove("a", "d");
      world.remoteWrite("d/f", "remote");
      const crashed = await crashBefore(world, call, () => world.apply());
      await world.recover();
      await world.converge();
      const where = `crash before call ${call}`;
      const inode = world.inode("d/f");
      const executable = inode.kind === "file" && inode.executable;
      const [files, node] = [world.files(), world.node("d/f").id];
      expect({ where, files, node, executable }).toEqual({
        where,
        files: { "d/f": "remote", [`d/${COPY}`]: "local" },
        node: id,
        executable: true,
      });
      if (!crashed) return;
    }
  });
}
