/**
 * Users who work by chance, also between any two calls of a scan; in the end the tree is the
 * disk's.
 */
import { expect, test } from "bun:test";
import { SimRandom } from "../sim/sim-random.ts";
import { CALM_MS, ScanWorld } from "./scan-world.ts";

const NAMES = ["a", "b", "c"];

/** One step of a user, and the paths that a watcher would tell of. */
function act(world: ScanWorld, random: SimRandom): string[] {
  const paths = world.diskPaths();
  const some = () => random.pick(paths);
  const place = () => {
    const directories = paths.filter((path) => world.disk.kindAt(path) === "directory");
    const directory =
      random.chance(0.5) || directories.length === 0 ? "" : random.pick(directories);
    const name = random.pick(NAMES);
    return directory === "" ? name : `${directory}/${name}`;
  };
  const target = place();
  const isFree = world.disk.at(target) === undefined;
  if (paths.length === 0 || random.chance(0.3)) {
    if (!isFree) return [];
    if (random.chance(0.3)) world.make(`${target}/`);
    else world.write(target, `text ${random.below(100)}`);
    return [target];
  }
  const source = some();
  const kind = world.disk.kindAt(source);
  const isBelow =
    target === source || target.startsWith(`${source}/`) || source.startsWith(`${target}/`);
  switch (random.below(6)) {
    case 0:
      if (kind === "file") world.write(source, `text ${random.below(100)}`);
      return [source];
    case 1:
      if (kind === "file") world.replace(source, `text ${random.below(100)}`);
      return [source];
    case 2: {
      const doomed = paths.filter((path) => path === source || path.startsWith(`${source}/`));
      for (const path of doomed.reverse()) world.remove(path);
      return doomed;
    }
    case 3:
      if (isFree && kind === "file") world.link(source, target);
      return [target];
    case 4: {
      const other = some();
      const nested = other.startsWith(`${source}/`) || source.startsWith(`${other}/`);
      if (other !== source && !nested) world.swap(source, other);
      return [source, other];
    }
    default:
      // Over a file, too, as rename does; never over a directory.
      if (!isBelow && world.disk.kindAt(target) !== "directory") world.move(source, target);
      return [source, target];
  }
}

async function live(seed: number): Promise<void> {
  const random = new SimRandom(seed, "user");
  const world = new ScanWorld();
  const hints = new Set<string>();
  const step = () => {
    for (const hint of act(world, random)) hints.add(hint);
  };
  for (let round = 0; round < 8; round++) {
    if (random.chance(0.3)) await world.agree();
    for (let count = random.below(6); count > 0; count--) step();
    const chance = random.chance(0.5) ? 0.05 : 0;
    world.onCall = () => {
      if (random.chance(chance)) step();
      return undefined;
    };
    const told = [...hints];
    hints.clear();
    if (random.chance(0.2)) await world.scan();
    else await world.scan(...told, "a");
    world.onCall = () => undefined;
    world.clock.elapsedMs += random.pick([1, 150, 300, CALM_MS]);
  }
  await world.settle(...hints, "b");
  expect([seed, world.paths()]).toEqual([seed, world.diskPaths()]);
  await world.settle();
  const fresh = new ScanWorld();
  for (const path of world.diskPaths()) {
    const inode = world.inode(path);
    if (inode.kind === "file") fresh.write(path, new TextDecoder().decode(inode.bytes));
    else fresh.make(`${path}/`);
  }
  await fresh.settle();
  expect([seed, world.tree()]).toEqual([seed, fresh.tree()]);
  expect([seed, await world.settle()]).toEqual([seed, 0]);
}

const SEEDS = 300;

test(`hinted scans follow users through ${SEEDS} lives [A1] [A4] [Y2]`, async () => {
  for (let seed = 1; seed <= SEEDS; seed++) await live(seed);
}, 180_000);
