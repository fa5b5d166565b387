/**
 * A user who changes a file's mode before every single call that an apply makes: the mode is there
 * in the end, on whatever has the name by then. Rules: R1, R5, D2.
 */
import { expect, test } from "bun:test";
import { SCENARIOS, type Scenario } from "./apply-scenarios.ts";

/** @returns false where there are fewer calls. */
async function keeps({ make, target, outcome }: Scenario, exchange: boolean, call: number) {
  const world = await make(exchange);
  const inode = world.disk.at(target);
  let count = 0;
  let isDone = false;
  const step = (): void => {
    count += 1;
    // What came out of its place by then has no name that its user knows.
    if (count !== call || inode?.kind !== "file" || world.disk.at(target) !== inode) return;
    const { mtimeNs } = inode;
    world.disk.setMetadata(inode, { executable: true, mtimeNs }, "durable");
    isDone = true;
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
  const [path = ""] = Object.keys(outcome);
  const now = world.disk.at(path);
  const isExecutable = now?.kind === "file" && now.executable;
  if (isDone) expect({ call, path, isExecutable }).toEqual({ call, path, isExecutable: true });
  return count >= call;
}

for (const exchange of [true, false]) {
  for (const scenario of SCENARIOS.filter(({ name }) => /^(replace|move$)/.test(name))) {
    test(`${scenario.name} ${exchange ? "with" : "without"} exchange keeps a chmod before any call [R1, R5, D2]`, async () => {
      let call = 1;
      while (await keeps(scenario, exchange, call)) call += 1;
      expect(call).toBeGreaterThan(5);
    });
  }
}
