/**
 * Accidents: in a quiet world a folder is emptied, cut to nothing, or loses most of its files. The
 * law: what a guard holds reaches nobody, and all else flows, until a person approves it or brings
 * the files back. Then all devices have what that person wanted, without conflict copies, and
 * nobody else was asked who trusts approvals. Rules: A9, G2-G4, G9, I18.
 */
import { snapshotDisk, snapshotLog } from "./sim-checks.ts";
import type { SimClient } from "./sim-client.ts";
import type { SimLedger } from "./sim-ledger.ts";
import type { SimRandom } from "./sim-random.ts";
import type { SimLog } from "./sim-server-disk.ts";
import type { SimTrace } from "./sim-trace.ts";

export const ACCIDENTS = ["emptied", "cut", "deletion", "deletion there"] as const;
/** `deletion there`: by a device without a guard; it is held where it arrives. */
export type Accident = (typeof ACCIDENTS)[number];

/** Of deletions, in lives with an accident. */
export const UNASKED_MAX = 5;

export interface AccidentWorld {
  /** The first has the accident. */
  readonly clients: readonly SimClient[];
  /** Devices take each other's approvals for their own. */
  readonly isTrusting: boolean;
  readonly random: SimRandom;
  readonly ledger: SimLedger;
  readonly trace: SimTrace;
  log(): SimLog | undefined;
  runFor(ms: number): void;
  /** Until all agree; whoever is asked approves. */
  converge(when: string): void;
  fail(finding: string): never;
}

/** So many that all of them are an accident, and most of them. */
const FILES_MIN = 12;
const LEFT_MAX = 4;
/** Nobody may delete so old a file unasked, not even who made it (G6). */
const AGE_MS = 10 * 86_400_000;
/** With time for a full scan, and for what is looked at again before it counts. */
const WITHIN_MS = 300_000;
const LOOK_MS = 1_000;

export function liveThrough(accident: Accident, world: AccidentWorld): void {
  const { clients, random, ledger, trace, fail } = world;
  const [culprit, ...others] = clients;
  if (culprit === undefined) return;
  const isThere = accident === "deletion there";
  const [asked, unasked] = isThere ? [others, [culprit]] : [[culprit], others];
  while (culprit.user.ownFiles().length < FILES_MIN) culprit.user.makeOwnFile();
  world.converge("before an accident");
  for (const client of clients) client.jumpClock(AGE_MS);
  const before = snapshotDisk(culprit, ledger);
  const [holds, conflicts] = [countHolds(unasked), countConflicts(clients)];
  culprit.user.backUp();
  haveAccident(accident, culprit, random);
  trace.count(`accident: ${accident}`);
  waitFor(world, "G2: an accident is not held", () => asked.every(({ held }) => held));
  seeOthersFlow(world, isThere ? others : clients);
  const kept = isThere
    ? others.map((one) => snapshotDisk(one, ledger))
    : [snapshotLog(world.log())];
  for (const tree of kept) {
    const gone = [...before].filter(([path, line]) => tree.get(path) !== line);
    if (gone.length > (isThere ? UNASKED_MAX : 0))
      fail(`I18: what is held is gone: ${gone.join("; ")}`);
  }
  const isWanted = isThere || random.chance(0.5);
  if (!isWanted) culprit.user.bringBack();
  const wanted = isWanted ? snapshotDisk(culprit, ledger) : before;
  if (!isWanted) waitFor(world, "A9: what came back stays held", () => !culprit.held);
  world.converge(isWanted ? "after an approval" : "after all was brought back");
  const now = snapshotDisk(culprit, ledger);
  const undone = [...wanted].filter(([path, line]) => now.get(path) !== line);
  if (undone.length > 0) fail(`G4: a person wanted ${undone.join("; ")}`);
  const back = isWanted ? [...before].filter(([path]) => now.has(path) && !wanted.has(path)) : [];
  if (back.length > 0) fail(`G4: a person wanted ${back.join("; ")} to be gone`);
  if (world.isTrusting && countHolds(unasked) > holds)
    fail("G4: somebody was asked about what was approved");
  if (countConflicts(clients) > conflicts) fail("R4: an accident made conflict copies");
}

/** It may also happen while no client runs, and the client may be started anew while it is held. */
function haveAccident(accident: Accident, culprit: SimClient, random: SimRandom): void {
  const isStopped = random.chance(0.3);
  if (isStopped) culprit.kill();
  const { user } = culprit;
  const files = user.visible().filter(([, { kind }]) => kind !== "directory");
  const left = new Set<string>();
  if (accident.startsWith("deletion"))
    for (let count = random.below(LEFT_MAX + 1); count > 0; count--)
      left.add(random.pick(files)[0]);
  for (const [path, inode] of files) {
    const isCut = accident === "cut" && inode.kind === "file" && inode.bytes.length > 0;
    if (isCut) user.put(inode, path, new Uint8Array(0));
    else if (!left.has(path)) user.removeTree(path);
  }
  if (accident === "emptied") for (const [path] of user.visible()) user.removeTree(path);
  if (isStopped) culprit.start();
}

/** Each of them makes a file, which all have soon. */
function seeOthersFlow(world: AccidentWorld, clients: readonly SimClient[]): void {
  if (world.random.chance(0.3)) {
    for (const client of clients) client.kill();
    for (const client of clients) client.start();
  }
  const paths = clients.map(({ user }) => user.makeOwnFile());
  waitFor(world, "G2: nothing flows beside what is held", () =>
    paths.every((path) => clients.every(({ disk }) => disk.at(path)?.kind === "file")),
  );
}

function waitFor(world: AccidentWorld, finding: string, isSo: () => unknown): void {
  for (let ms = 0; !isSo(); ms += LOOK_MS) {
    if (ms > WITHIN_MS) world.fail(finding);
    world.runFor(LOOK_MS);
  }
}

function countHolds(clients: readonly SimClient[]): number {
  return clients.reduce((sum, { holds }) => sum + holds, 0);
}

function countConflicts(clients: readonly SimClient[]): number {
  return clients.reduce((sum, { conflicts }) => sum + conflicts, 0);
}
