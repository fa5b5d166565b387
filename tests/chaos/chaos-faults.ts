/** Faults: what happens to processes, networks, disks and states while users work. */
import type { SimRandom } from "../sim/sim-random.ts";
import type { ChaosDevice } from "./chaos-device.ts";
import type { Weather } from "./chaos-proxy.ts";
import type { ChaosWorld } from "./chaos-world.ts";

export const FAULT_KINDS = ["kill", "net", "disk", "state", "restore"] as const;
export type FaultKind = (typeof FAULT_KINDS)[number];

/** A fault that runs its course: it begins, lasts and is over when the promise is kept. */
interface Fault {
  readonly kind: FaultKind;
  readonly name: string;
  readonly weight: number;
  readonly run: (world: ChaosWorld, device: ChaosDevice, random: SimRandom) => Promise<unknown>;
}

const FAULTS: readonly Fault[] = [
  {
    kind: "kill",
    name: "kills the client",
    weight: 4,
    run: (_, device, random) => restartClient(device, random, "SIGKILL"),
  },
  {
    kind: "kill",
    name: "stops the client",
    weight: 2,
    run: (_, device, random) => restartClient(device, random, "SIGTERM"),
  },
  {
    kind: "kill",
    name: "pauses the client",
    weight: 2,
    run: (_, { client }, random) => pause(client, random),
  },
  {
    kind: "kill",
    name: "kills the server",
    weight: 3,
    run: (world, _, random) => restartServer(world, random, "SIGKILL"),
  },
  {
    kind: "kill",
    name: "stops the server",
    weight: 1,
    run: (world, _, random) => restartServer(world, random, "SIGTERM"),
  },
  {
    kind: "kill",
    name: "pauses the server",
    weight: 1,
    run: ({ server }, _, random) => pause(server, random),
  },
  { kind: "net", name: "refuses connections", weight: 3, run: weather(() => ({ kind: "refuse" })) },
  { kind: "net", name: "drops packets", weight: 2, run: weather(() => ({ kind: "drop" })) },
  {
    kind: "net",
    name: "slows the network",
    weight: 2,
    run: weather((random) => ({ kind: "delay", delayMs: 20 + random.below(300) })),
  },
  {
    kind: "net",
    name: "cuts connections",
    weight: 4,
    run: weather((random) => ({
      kind: "cut",
      afterBytes: random.below(random.chance(0.5) ? 3_000 : 300_000),
    })),
  },
  { kind: "net", name: "swallows answers", weight: 4, run: weather(() => ({ kind: "swallow" })) },
  {
    kind: "net",
    name: "half-opens connections",
    weight: 2,
    run: weather(() => ({ kind: "half" })),
  },
  {
    kind: "disk",
    name: "fills the client's disk",
    weight: 6,
    run: (_, { disk }, random) => fill(disk, random),
  },
  {
    kind: "disk",
    name: "fills the client's disk and cuts it off",
    weight: 6,
    run: (_, device, random) => fillAndCutOff(device, random),
  },
  {
    kind: "disk",
    name: "fills the server's disk",
    weight: 3,
    run: ({ serverDisk }, _, random) => fill(serverDisk, random),
  },
  {
    kind: "state",
    name: "loses the client's state",
    weight: 1,
    run: (world, device, random) => replaceState(world, device, random, false),
  },
  {
    kind: "state",
    name: "rolls the client's state back",
    weight: 1,
    run: (world, device, random) => replaceState(world, device, random, true),
  },
  {
    kind: "restore",
    name: "restores the server from an older copy",
    weight: 1,
    run: restoreServer,
  },
];

/** Faults drawn for one round, of the kinds that are allowed, begin at moments of their own. */
export async function runFaults(
  world: ChaosWorld,
  kinds: readonly FaultKind[],
  { random, forMs }: { readonly random: SimRandom; readonly forMs: number },
): Promise<string[]> {
  const names: string[] = [];
  const count = kinds.length === 0 ? 0 : 1 + random.below(1 + 2 * kinds.length);
  const drawn = Array.from({ length: Math.min(count, 6) }, () => {
    const kind = drawKind(kinds, random);
    const fault = pickWeighted(
      FAULTS.filter((one) => one.kind === kind),
      random,
    );
    const device = random.pick(world.devices);
    return { fault, device, atMs: random.below(forMs), own: random.below(2 ** 31) };
  });
  const runs = drawn.map(async ({ fault, device, atMs }) => {
    await Bun.sleep(atMs);
    world.ledger.note("fault", `${fault.name} (${device.name})`);
    names.push(`${fault.name} (${device.name})`);
    await fault.run(world, device, random);
    world.ledger.note("fault", `over: ${fault.name} (${device.name})`);
  });
  await Promise.all(runs);
  return names;
}

/** What makes devices join anew excuses much, so it is rare where others are allowed too. */
function drawKind(kinds: readonly FaultKind[], random: SimRandom): FaultKind {
  const isRare = (kind: FaultKind) => kind === "state" || kind === "restore";
  const common = kinds.filter((kind) => !isRare(kind));
  if (common.length === 0 || random.chance(0.1)) return random.pick(kinds);
  return random.pick(common);
}

function pickWeighted(faults: readonly Fault[], random: SimRandom): Fault {
  let left = random.below(faults.reduce((sum, { weight }) => sum + weight, 0));
  for (const fault of faults) {
    left -= fault.weight;
    if (left < 0) return fault;
  }
  return random.pick(faults);
}

async function restartClient(
  device: ChaosDevice,
  random: SimRandom,
  signal: "SIGKILL" | "SIGTERM",
) {
  await device.client.stop(signal);
  device.keepState();
  await Bun.sleep(random.below(random.chance(0.5) ? 100 : 2_000));
  device.client.start();
}

async function restartServer(world: ChaosWorld, random: SimRandom, signal: "SIGKILL" | "SIGTERM") {
  await world.server.stop(signal);
  await Bun.sleep(random.below(random.chance(0.5) ? 100 : 2_000));
  await world.startServer();
}

async function pause(process: { signal(signal: NodeJS.Signals): void }, random: SimRandom) {
  process.signal("SIGSTOP");
  await Bun.sleep(300 + random.below(3_000));
  process.signal("SIGCONT");
}

function weather(choose: (random: SimRandom) => Weather): Fault["run"] {
  return async (_, { proxy }, random) => {
    proxy.set(choose(random));
    await Bun.sleep(200 + random.below(4_000));
    proxy.set({ kind: "fair" });
  };
}

async function fill(disk: ChaosDevice["disk"], random: SimRandom) {
  disk?.fill(random.chance(0.5) ? 0 : random.below(400_000));
  await Bun.sleep(500 + random.below(4_000));
  disk?.free();
}

/** No room, then no network, and both come back one after the other. */
async function fillAndCutOff({ disk, proxy }: ChaosDevice, random: SimRandom) {
  const isFullFirst = random.chance(0.7);
  const fillUp = () => disk?.fill(random.chance(0.5) ? 0 : random.below(400_000));
  const cutOff = () => proxy.set({ kind: random.chance(0.5) ? "refuse" : "swallow" });
  for (const begin of isFullFirst ? [fillUp, cutOff] : [cutOff, fillUp]) {
    begin();
    await Bun.sleep(300 + random.below(1_500));
  }
  const makeRoom = () => disk?.free();
  const reconnect = () => proxy.set({ kind: "fair" });
  for (const end of random.chance(0.7) ? [makeRoom, reconnect] : [reconnect, makeRoom]) {
    end();
    await Bun.sleep(random.below(1_500));
  }
}

async function replaceState(
  world: ChaosWorld,
  device: ChaosDevice,
  random: SimRandom,
  back: boolean,
) {
  await device.client.stop(random.chance(0.5) ? "SIGKILL" : "SIGTERM");
  await Bun.sleep(random.below(500));
  world.ledger.rejoins.add(device.name);
  if (back && device.hasKeptState) device.rollStateBack();
  else device.loseState();
  device.client.start();
}

async function restoreServer(world: ChaosWorld, _: ChaosDevice, random: SimRandom) {
  if (!world.hasKeptServer) return;
  await world.server.stop(random.chance(0.5) ? "SIGKILL" : "SIGTERM");
  await Bun.sleep(random.below(500));
  world.ledger.rejoins.add("server");
  const lost = world.restoreServer();
  world.ledger.note("fault", `${lost} contents were in the lost part of the log alone`);
  await world.startServer();
}
