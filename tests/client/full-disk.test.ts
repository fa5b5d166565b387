/** A disk that takes nothing more, and the cycle after it. Rules: Y10, D8, D23, I42. */
import { expect, test } from "bun:test";
import { placedByNote } from "../../src/client/apply/placing.ts";
import { RemoteLog } from "../../src/client/connect/remote-log.ts";
import { Cycle } from "../../src/client/cycle.ts";
import { Holding } from "../../src/client/hold.ts";
import { DEFAULT_GUARD } from "../../src/core/guard-setting.ts";
import { type DeviceId, parseId } from "../../src/core/identifier.ts";
import { NEW_NODES_PER_PLAN_MAX } from "../../src/core/limits.ts";
import { failureOf } from "../failure.ts";
import { ApplyWorld, DEVICE, syncedWorld } from "./apply-world.ts";

/** A client that is online, and whose scans find what is due. */
function cycleOf(world: ApplyWorld): Cycle {
  const { ports, scanner } = world;
  const device = parseId<DeviceId>("d".repeat(32));
  const log = new RemoteLog(ports, device);
  const holding = new Holding(ports, log, {
    device,
    setting: DEFAULT_GUARD,
    trustsApprovals: false,
  });
  const session = {
    keepUp: async () => {},
    fileBytesMax: undefined,
    onRestored: () => {},
    attempt: (work: () => Promise<void>) => work(),
    connection: { isOnline: true, tookAll: () => {} },
  };
  const parts = {
    ports,
    session,
    log,
    scanner,
    holding,
    device,
    direction: "both" as const,
    deviceName: DEVICE,
  };
  return new Cycle(parts);
}

test("where nothing fits any more the rest is not planned as a whole [Y10, I42]", async () => {
  const world = new ApplyWorld();
  world.store.transaction(() => {
    for (let i = 0; i <= NEW_NODES_PER_PLAN_MAX; i += 1) world.remoteCreate(`f${i}`, "");
  });
  await world.scan();
  world.onCall = (name) => (name === "createFile" ? "full" : undefined);
  await cycleOf(world).run(async () => false, new AbortController().signal);
  const told = world.events.filter(({ event }) => event === "problem").length;
  expect(told).toBeGreaterThan(0);
  // One batch of steps found the disk full; a second plan would have sent another one there.
  expect(told).toBeLessThanOrEqual(1_000);
}, 60_000);

test("a cycle forgets before its scan what the last one could not record [D23, D8]", async () => {
  const world = await syncedWorld(true);
  world.remoteCreate("f", "remote");
  world.onCall = (name) => (name === "syncDirectories" ? "full" : undefined);
  expect(String(await failureOf(world.apply()))).toContain("full");
  expect(placedByNote(world.ports).files.size).toBe(1);
  let noted: number | undefined;
  const scan = async () => {
    noted = placedByNote(world.ports).files.size;
    return false;
  };
  await cycleOf(world).run(scan, new AbortController().signal, true);
  expect(noted).toBe(0);
});
