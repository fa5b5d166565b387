/**
 * One simulated life: three clients and a server, all from one seed. A trouble phase with faults
 * and edits, then a heal phase in which everything must converge, then a calm phase with exact
 * expectations, then rest. Rules: I1, I2, I5, I6, I11, I24, I25, I27, I45.
 */

import { nodeAt } from "../../src/client/apply/recover.ts";
import type { ClientOptions } from "../../src/client/folder/options.ts";
import type { ServedEvent } from "../../src/core/event.ts";
import type { FolderName } from "../../src/core/identifier.ts";
import { baseName, parentPath } from "../../src/core/path.ts";
import { QUARANTINE_DIRECTORY, STAGING_DIRECTORY } from "../../src/core/state-directory.ts";
import { liveThrough, UNASKED_MAX } from "./sim-accident.ts";
import { type Bug, NO_BUG } from "./sim-bugs.ts";
import {
  difference,
  differenceOn,
  inventedContents,
  logDamage,
  lostContents,
  seenInLog,
  selfConflicts,
  snapshotDisk,
  snapshotLog,
} from "./sim-checks.ts";
import { SimClient } from "./sim-client.ts";
import { Scheduler } from "./sim-clock.ts";
import type { FileInode } from "./sim-disk.ts";
import { SimLedger } from "./sim-ledger.ts";
import { drawOptions, type Life, type SwarmOptions } from "./sim-options.ts";
import { SimRandom } from "./sim-random.ts";
import { SimServer } from "./sim-server.ts";
import { SimTrace } from "./sim-trace.ts";
import { type SimUser, WRITES } from "./sim-user.ts";

export interface SimOutcome {
  readonly seed: number;
  readonly failure: string | undefined;
  readonly traceHash: string;
  readonly steps: number;
  /** Edits of users in the trouble, those that were left out too. */
  readonly edits: number;
  readonly swarm: SwarmOptions;
  readonly counters: ReadonlyMap<string, number>;
  /** The server's tree at the end, without times. */
  readonly tree: readonly string[];
  /** Only with `keepTrace`. */
  readonly trace: readonly string[];
}

export interface SimRequest {
  readonly seed: number;
  /** @default what the seed draws */
  readonly life?: Life;
  /** Options that are others than the seed draws. */
  readonly changes?: Partial<SwarmOptions>;
  readonly bug?: Bug;
  readonly keepTrace?: boolean;
  /** Every device's clock is wrong by so much, one after the other. @default 0 */
  readonly skewsMs?: readonly number[];
  /** So many times as long as drawn takes what waits for a disk. @default 1 */
  readonly slowness?: number;
}

const HEAL_MS_MAX = 45 * 60_000;
const CALM_EDITS_MAX = 12;
/** So much apart are acts on one file. */
const DUEL_MS_MAX = 20;
const DUEL_FILES = 4;
const DUELS = 6;
const LOOK_EVERY_MS = 1_000;
/** So many looks, 5 s each, without a rules file mean that there are none left. */
const CALM_LOOKS = 20;
/** Crashes of a server that is now and then brought back from a backup. */
const RESTORE_EVERY_MS = 8_000;
const STEPS_MAX = 60_000;
/** A file that a user moved away and back within this time was rightly seen as gone. */
const STEADY_MS = 3_000;
/** Young stamps are looked at again, and applied cursors reported, within this time. */
const SETTLED_MS = 8_000;

class Finding extends Error {
  override readonly name = "Finding";
}

export async function simulate(request: SimRequest): Promise<SimOutcome> {
  const world = new SimWorld(request);
  let failure: string | undefined;
  try {
    world.live();
  } catch (error) {
    failure =
      error instanceof Finding
        ? error.message
        : `Harness: ${error instanceof Error ? error.stack : error}`;
  }
  world.end();
  world.scheduler.settle();
  // This process has other things to do too.
  await new Promise((resolve) => setImmediate(resolve));
  return {
    seed: request.seed,
    failure,
    traceHash: world.trace.hash(),
    steps: world.scheduler.steps,
    edits: world.edits,
    swarm: world.swarm,
    counters: world.trace.counters,
    tree: world.tree(),
    trace: world.trace.lines,
  };
}

class SimWorld {
  readonly scheduler = new Scheduler();
  readonly swarm: SwarmOptions;
  readonly trace: SimTrace;
  edits = 0;
  readonly #random: SimRandom;
  readonly #ledger = new SimLedger();
  readonly #server: SimServer;
  readonly #clients: readonly SimClient[];
  #trouble = true;
  /** Nothing has gone wrong since all agreed. */
  #isCalm = false;
  #finding: string | undefined;
  /**
   * Who wrote to what in duels lately: to a thing, and under a name, which outlasts the thing where
   * its user took it away and made it anew.
   */
  readonly #writers = new Map<object | string, Set<SimUser>>();
  /** A client could not hold all: it tries again now and then, and may then change something. */
  #hasParked = false;
  /** What was last found, as long as nothing has been written since. */
  #compared: { readonly pulse: string; readonly lines: readonly string[] } | undefined;

  constructor(request: SimRequest) {
    const { seed, life, changes, bug = NO_BUG, keepTrace = false } = request;
    const { skewsMs = [], slowness = 1 } = request;
    this.swarm = { ...drawOptions(seed, life), ...changes };
    this.trace = new SimTrace(keepTrace);
    this.#random = new SimRandom(seed, "world");
    const fail = (message: string) => {
      this.#finding ??= message;
    };
    const folder = "default" as FolderName;
    this.#server = new SimServer({
      scheduler: this.scheduler,
      random: new SimRandom(seed, "server"),
      wrap: bug.sequencer,
      wrapMetadata: bug.metadata,
      trace: this.trace,
      folder,
      killed: () => this.#trouble && this.#random.chance(this.swarm.serverKillAtWrite),
      onDelete: (device, event) => {
        const client = this.#clients.find((one) => one.device === device);
        if (client !== undefined && this.#isStillThere(client, event)) {
          fail(`I7: ${client.label} deleted ${event.path}, which stands on its disk`);
        }
      },
      full: () => this.#trouble && this.#random.chance(this.swarm.serverFull),
      onError: (error) => {
        const text =
          error instanceof Error ? `${error.message}\n${error.stack ?? ""}` : String(error);
        if (!this.#trouble || !/full/.test(text)) fail(`The server failed: ${text}`);
      },
    });
    const sharedContents = [0, 1, 2].map((index) => new TextEncoder().encode(`shared ${index}\n`));
    this.#clients = this.swarm.clients.map((label, index) => {
      const engine: ClientOptions = {
        serverUrl: "http://server.test",
        folder,
        deviceName: label,
        once: false,
        fullScanIntervalMs: this.swarm.fullScanIntervalMs,
        ...guardOf(this.swarm, index),
      };
      return new SimClient({
        label,
        seed,
        scheduler: this.scheduler,
        trace: this.trace,
        ledger: this.#ledger,
        listener: this.#server,
        swarm: this.swarm,
        engine,
        sharedContents,
        skewMs: skewsMs[index] ?? 0,
        slowness,
        wrappers: { fs: bug.fs, store: bug.store },
        fail,
      });
    });
  }

  live(): void {
    this.#troublePhase();
    this.#healPhase();
    if (this.swarm.calm) this.#calmPhase();
    if (this.swarm.duels) this.#duelPhase();
    this.#accidentPhase();
    if (this.swarm.rest) this.#rest();
    for (const { event } of this.#server.log?.events ?? []) {
      this.trace.count(
        event.kind === "create" && event.baseContent > 0 ? "op revival" : `op ${event.kind}`,
      );
    }
  }

  /** What I10 compares: names of conflict copies hold a date, contents none. */
  tree(): readonly string[] {
    return [...snapshotLog(this.#server.log)]
      .map(([path, line]) => `${path.replaceAll(/\d{4}-\d\d-\d\d/g, "DATE")} ${withoutTime(line)}`)
      .sort();
  }

  /** Leaves nothing behind that could run on. */
  end(): void {
    for (const client of this.#clients) client.end();
    this.#server.end();
  }

  // Phases

  #troublePhase(): void {
    for (const client of this.#clients) {
      for (let count = 0; count < this.swarm.initialFiles; count++) client.user.step();
    }
    this.#server.start();
    for (const client of this.#clients) {
      this.#later(2_000, () => client.start());
      this.#every(this.swarm.editEveryMs, () => this.#edit(() => client.user.step()));
      this.#every(3 * this.swarm.editEveryMs, () => this.#edit(() => this.#duel()));
      this.#every(this.swarm.killEveryMs, () => this.#strike(client));
      this.#every(this.swarm.partitionEveryMs, () => this.#partition(client));
      this.#every(2_500, () => client.start());
      if (this.swarm.clockJumps)
        this.#every(15_000, () => client.jumpClock((this.#random.fraction() - 0.5) * 1e8));
      if (this.swarm.stateRollback) this.#every(4_000, () => client.state.copy());
      if (this.swarm.oldFiles) {
        this.#every(6_000, () => client.user.backUp());
        this.#every(15_000, () => client.bringBackFiles());
      }
      if (this.swarm.ignoring) this.#every(8_000, () => this.#changeDeviceRules(client));
      if (this.swarm.userCaches) this.#every(5_000, () => client.disk.writeBack());
      if (this.swarm.unreadable) this.#every(4_000, () => this.#lockAway(client));
      if (this.swarm.accident !== undefined) this.#every(6_000, () => client.approve());
    }
    const { serverCrashEveryMs, serverRestore } = this.swarm;
    const strikeEveryMs = serverRestore ? RESTORE_EVERY_MS : serverCrashEveryMs;
    this.#every(strikeEveryMs, () => this.#strikeServer());
    this.#runUntil(this.swarm.troubleMs);
  }

  #edit(act: () => void): void {
    const edit = this.edits++;
    if (this.swarm.onlyEdits?.includes(edit) !== false) act();
  }

  /** Within that time in a long life. */
  #later(withinMs: number, act: () => void): void {
    this.scheduler.at(this.#random.fraction() * withinMs * this.swarm.pace, act);
  }

  /** Repeats at exponential intervals during the trouble phase. */
  #every(meanMs: number, act: () => void): void {
    if (meanMs === 0) return;
    const again = () => {
      const delay = -Math.log(1 - this.#random.fraction()) * meanMs * this.swarm.pace;
      this.scheduler.at(delay, () => {
        if (!this.#trouble) return;
        act();
        again();
      });
    };
    again();
  }

  /** Several users do something to one file within milliseconds. */
  #duel(): void {
    const first = this.#random.below(this.#clients.length);
    const count = this.#random.chance(0.3) ? 3 : 2;
    const duelists = this.#clients.map((_, index, all) => all[(first + index) % all.length]);
    const users = duelists.slice(0, count).flatMap((one) => (one === undefined ? [] : [one.user]));
    const files = users.map((user) => user.ownFiles());
    const common = (files[0] ?? []).filter((path) => files.every((one) => one.includes(path)));
    if (common.length < DUEL_FILES) users[0]?.makeOwnFile();
    if (common.length === 0) return;
    const path = this.#random.pick(common);
    for (const user of users) {
      this.scheduler.at(this.#random.below(DUEL_MS_MAX), () => this.#duelWith(user, path));
    }
  }

  #duelWith(user: SimUser, path: string): void {
    const entry = this.#ledger.entries.at(path);
    const act = user.duel(path);
    if (act === undefined) return;
    if (WRITES.has(act)) {
      for (const key of entry === undefined ? [baseName(path)] : [entry, baseName(path)])
        this.#writers.set(key, (this.#writers.get(key) ?? new Set()).add(user));
    }
    this.scheduler.at(this.#random.below(DUEL_MS_MAX), () => user.finish());
  }

  #strike(client: SimClient): void {
    if (!client.running) return;
    if (this.swarm.powerCuts && this.#random.chance(0.4)) client.powerCut();
    else if (this.#random.chance(0.2)) client.stop();
    else client.kill();
    if (client.running) return;
    if (this.swarm.stateLoss && this.#random.chance(0.2)) client.loseState();
    if (this.swarm.stateRollback && this.#random.chance(0.5)) client.rollBackState();
    if (this.swarm.oldFiles && this.#random.chance(0.3)) client.bringBackFiles();
  }

  #changeDeviceRules(client: SimClient): void {
    client.setDeviceRules(
      this.#random.chance(0.4) ? undefined : this.#random.pick(["b\n", "/a\n", "*.txt\n"]),
    );
  }

  /** True where no user has touched that file for a while, nor any directory above it. */
  #isStillThere({ disk, state }: SimClient, { node, path, content }: ServedEvent): boolean {
    const inode = disk.at(path);
    const { local } = state.store ?? {};
    const parent = state.store === undefined ? undefined : nodeAt(state.store, parentPath(path));
    const known = parent === undefined ? undefined : local?.child(parent, baseName(path));
    // Another node has taken its place; what stands there is that one's.
    if (known !== undefined && known.id !== node) return false;
    if (inode?.kind !== "file" || content.kind !== "file") return false;
    if (this.#ledger.digest(inode.bytes) !== content.sha256) return false;
    // Where equal bytes have been in another node too, that one may have been moved here.
    const holders = new Set<string>();
    for (const { event } of this.#server.log?.events ?? []) {
      const { content: held } = event;
      if (held.kind === "file" && held.sha256 === content.sha256) holders.add(event.node);
    }
    if (holders.size > 1) return false;
    return disk.steadySinceMs(path) < this.scheduler.now - STEADY_MS;
  }

  #partition(client: SimClient): void {
    client.partitioned = !client.partitioned;
    client.applyWeather();
    this.trace.count("partition");
    this.trace.add(
      `${this.scheduler.now} ${client.label} ${client.partitioned ? "cut off" : "reconnected"}`,
    );
  }

  #lockAway(client: SimClient): void {
    const kind = this.#random.chance(0.8) ? "directory" : "file";
    const entry = client.user.pickEntry(kind);
    if (entry === undefined) return;
    entry[1].unreadable = !entry[1].unreadable;
    client.disk.touched(entry[0]);
    client.user.hide(entry[0]);
    this.trace.count("unreadable");
    this.trace.add(
      `${this.scheduler.now} ${client.label} ${entry[0]} unreadable ${entry[1].unreadable}`,
    );
  }

  #strikeServer(): void {
    if (this.#server.handler === undefined) return;
    this.#server.crash();
    this.trace.count("server crash");
    this.trace.add(`${this.scheduler.now} server crash`);
    if (this.swarm.serverRestore && this.#random.chance(0.5)) this.#restoreServer();
    this.#later(10_000, () => this.#server.start());
  }

  /** An administrator brings back a backup. What only the lost part of the log held, is gone. */
  #restoreServer(): void {
    const { log } = this.#server;
    if (log === undefined || log.events.length < 2) return;
    this.#server.restore(
      groupEndBefore(
        log.events.map(({ event }) => event.groupEnd),
        this.#random.below(log.events.length),
      ),
    );
    const present = new Set<ReturnType<SimLedger["digest"]>>();
    // What was displaced, somebody wrote over, and half-way downloads are the server's: the log
    // alone kept them.
    const isInUse = (path: string, { writer }: FileInode) =>
      !path.startsWith(`${QUARANTINE_DIRECTORY}/`) &&
      (writer === "user" || !path.startsWith(`${STAGING_DIRECTORY}/`));
    for (const client of this.#clients) this.#ledger.onDisk(client.disk, present, isInUse);
    for (const { event } of log.events)
      if (event.content.kind === "file") present.add(event.content.sha256);
    this.#ledger.requireOnly(present);
    this.#ledger.entries.loosen();
    this.trace.count("server restore");
    this.trace.add(`${this.scheduler.now} server restored to ${log.events.length}`);
  }

  #healPhase(): void {
    this.#trouble = false;
    this.trace.add(`${this.scheduler.now} heal`);
    this.#server.start();
    for (const client of this.#clients) {
      client.heal();
      client.user.finish();
    }
    if (this.swarm.ignoring) this.#unignore();
    if (this.swarm.ignoring) this.#ledger.entries.loosen();
    this.#converge("after the trouble");
    this.#checkBytes();
  }

  /** Without rules everything is synced again (F95), so that all can be compared. */
  #unignore(): void {
    const deadline = this.scheduler.now + HEAL_MS_MAX;
    for (const client of this.#clients) client.setDeviceRules(undefined);
    for (let calm = 0; calm < CALM_LOOKS; calm++) {
      for (const client of this.#clients) {
        client.start();
        client.approve();
        if (client.user.unignore()) calm = 0;
      }
      if (this.scheduler.now > deadline) throw new Finding("I1: rules files come back for ever");
      this.#runUntil(this.scheduler.now + 5_000);
    }
  }

  /** Late writes of the trouble phase come to light at the latest when quarantine is emptied. */
  #drainQuarantine(): void {
    const deadline = this.scheduler.now + HEAL_MS_MAX;
    const isQuarantined = ({ disk }: SimClient) => {
      const inode = disk.at(QUARANTINE_DIRECTORY);
      return inode?.kind === "directory" && inode.entries.size > 0;
    };
    while (this.#clients.some(isQuarantined)) {
      if (this.scheduler.now > deadline) throw new Finding("D3: quarantine is never emptied");
      this.#runUntil(this.scheduler.now + 5_000);
    }
    this.#converge("after quarantine was emptied");
  }

  /** One user edits in a quiet world: everybody must end with exactly that user's tree (I6, I9). */
  #calmPhase(): void {
    this.#drainQuarantine();
    this.#checkBytes();
    const client = this.#random.pick(this.#clients);
    const conflictsBefore = this.#conflicts();
    const count = this.#random.below(CALM_EDITS_MAX);
    for (let index = 0; index < count; index++) {
      client.user.step();
      if (this.#random.chance(0.3))
        this.#runUntil(this.scheduler.now + this.#random.fraction() * 3_000);
    }
    client.user.finish();
    const wanted = snapshotDisk(client, this.#ledger);
    this.trace.add(`${this.scheduler.now} calm: ${client.label} has edited`);
    this.#converge("after calm edits");
    const changed = difference(wanted, snapshotDisk(client, this.#ledger));
    if (changed.length > 0 && !this.#hasParked)
      throw new Finding(`I6: calm edits of ${client.label} were changed:\n${changed.join("\n")}`);
    const conflicts = this.#conflicts() - conflictsBefore;
    if (conflicts > 0 && !this.#hasParked)
      throw new Finding(`I9: ${conflicts} conflicts from one user's edits`);
    this.#checkBytes();
  }

  /** Several users at once in a quiet world: only what clashes makes conflict copies. */
  #duelPhase(): void {
    this.#drainQuarantine();
    this.#checkBytes();
    for (let count = 0; count < DUEL_FILES; count++)
      this.#random.pick(this.#clients).user.makeOwnFile();
    this.#converge("before duels");
    this.#isCalm = true;
    this.#writers.clear();
    const conflictsBefore = this.#conflicts();
    for (let count = 0; count < DUELS; count++) {
      this.#duel();
      if (this.#random.chance(0.5))
        this.#runUntil(this.scheduler.now + this.#random.below(2 * DUEL_MS_MAX));
    }
    this.#converge("after duels");
    const isClash = [...this.#writers.values()].some(({ size }) => size > 1);
    const conflicts = this.#conflicts() - conflictsBefore;
    if (conflicts > 0 && !isClash && !this.#hasParked)
      throw new Finding(`R4: ${conflicts} conflicts where nothing clashes`);
    this.#checkBytes();
  }

  #accidentPhase(): void {
    const { accident } = this.swarm;
    if (accident === undefined || this.#hasParked) return;
    this.#drainQuarantine();
    this.#checkBytes();
    liveThrough(accident, {
      isTrusting: this.swarm.trustsApprovals,
      clients: this.#clients,
      random: this.#random,
      ledger: this.#ledger,
      trace: this.trace,
      log: () => this.#server.log,
      runFor: (ms) => this.#runUntil(this.scheduler.now + ms),
      converge: (when) => this.#converge(when),
      fail: (finding) => {
        throw new Finding(finding);
      },
    });
    this.#checkBytes();
  }

  #conflicts(): number {
    return this.#clients.reduce((sum, { conflicts }) => sum + conflicts, 0);
  }

  /** Nothing is written and nothing is posted any more (I11), and a restart finds nothing to do. */
  #rest(): void {
    this.#drainQuarantine();
    for (const client of this.#clients) client.stop();
    this.#converge("after a restart");
    this.#runUntil(this.scheduler.now + SETTLED_MS);
    if (this.#hasParked) return;
    this.#checkLeftovers();
    const before = this.#pulse();
    this.#runUntil(this.scheduler.now + 2 * this.swarm.fullScanIntervalMs + 5_000);
    const now = this.#pulse();
    if (before !== now) throw new Finding(`I11: not quiet at rest: ${before} became ${now}`);
  }

  #checkLeftovers(): void {
    for (const client of this.#clients) {
      for (const [path, inode] of client.disk.walk()) {
        if (inode.kind !== "directory" && /^\.synced\/(staging|quarantine|parking)\//.test(path)) {
          throw new Finding(`${client.label} left ${path} behind`);
        }
      }
    }
  }

  #pulse(): string {
    const writes = this.#clients.map(({ label, disk }) => `${label} ${disk.mutations} disk writes`);
    const stores = this.#clients.map(({ state }) => state.writes);
    return `head ${this.#server.log?.head.seq ?? 0}, ${writes.join(", ")}, state writes ${stores.join("/")}`;
  }

  #converge(when: string): void {
    const deadline = this.scheduler.now + HEAL_MS_MAX;
    let differences: readonly string[] = [];
    let agreed = 0;
    while (this.scheduler.now < deadline) {
      for (const client of this.#clients) {
        client.start();
        client.approve();
      }
      this.#runUntil(this.scheduler.now + LOOK_EVERY_MS);
      differences = this.#differences();
      agreed = differences.length === 0 ? agreed + 1 : 0;
      if (agreed < 4) continue;
      this.#checkEntries(when);
      return;
    }
    throw new Finding(`I1: no convergence ${when}:\n${differences.slice(0, 10).join("\n")}`);
  }

  /** All agree on the server's tree: nothing that a user did is undone in it. */
  #checkEntries(when: string): void {
    if (this.#hasParked) return;
    const tree = seenInLog(this.#server.log);
    const undone = this.#ledger.entries.undone(tree, this.#isCalm);
    if (undone.length > 0) throw new Finding(`Undone ${when}: ${undone.join("; ")}`);
    this.#ledger.entries.agree(tree);
  }

  #differences(): readonly string[] {
    const pulse = this.#pulse();
    if (this.#compared?.pulse !== pulse) this.#compared = { pulse, lines: this.#compare() };
    return [...this.#compared.lines, ...this.#elsewhere()];
  }

  /**
   * Devices that do not stand at the end of the server's log, though their trees may look the same.
   * Such a device may not have heard yet that the server was restored. What others change until it
   * does, it will merge without a base (S10).
   */
  #elsewhere(): readonly string[] {
    const head = this.#server.log?.head;
    return this.#clients.flatMap(({ label, state }) => {
      const cursor = state.store?.cursor();
      if (cursor?.seq === head?.seq && cursor?.hash === head?.hash) return [];
      return [`${label} stands at event ${cursor?.seq} of a log of ${head?.seq}`];
    });
  }

  #compare(): readonly string[] {
    const wanted = snapshotLog(this.#server.log);
    return this.#clients.flatMap((client) => {
      const { lines, parked } = differenceOn(client, this.#ledger, wanted);
      if (parked > 0 && !this.#hasParked) this.trace.count("parked twin");
      if (parked > 0) this.#hasParked = true;
      return lines.map((line) => `${client.label} ${line}`);
    });
  }

  #checkBytes(): void {
    const { log, disk } = this.#server;
    const lost = lostContents(this.#ledger, this.#clients, log, this.swarm.serverRestore);
    if (lost.length > 0) throw new Finding(`I2: bytes lost: ${lost.join("; ")}`);
    const { swarm } = this;
    const isForgetful =
      swarm.serverRestore || swarm.stateLoss || swarm.stateRollback || swarm.oldFiles;
    if (!isForgetful && !swarm.ignoring && !swarm.userCaches) {
      const own = selfConflicts(this.#ledger, this.#clients, log);
      if (own.length > 0) throw new Finding(`Y17: in conflict with itself: ${own.join("; ")}`);
    }
    const invented = inventedContents(this.#ledger, this.#clients, log);
    if (invented.length > 0) throw new Finding(`I5: invented content: ${invented.join("; ")}`);
    const forgotten = this.#server.forgotten();
    if (forgotten.length > 0)
      throw new Finding(`I26: answered events are gone: ${forgotten.join()}`);
    const damage = logDamage(log, disk);
    if (damage.length > 0) throw new Finding(`I24/I25/I27: ${damage.join("; ")}`);
  }

  #runUntil(moment: number): void {
    const untilMs = Math.ceil(moment);
    this.scheduler.settle();
    while (this.scheduler.step(untilMs)) {
      if (this.#finding !== undefined) throw new Finding(this.#finding);
      if (this.scheduler.steps > STEPS_MAX)
        throw new Finding(`Busy: ${STEPS_MAX} steps and no end`);
    }
    this.scheduler.now = Math.max(this.scheduler.now, untilMs);
  }
}

/** The first client has the accident. */
function guardOf({ accident, trustsApprovals }: SwarmOptions, index: number): GuardOptions {
  if (accident === undefined) return {};
  if (accident === "deletion there" && index === 0) return { guard: { kind: "off" } };
  return { guard: { kind: "count", count: UNASKED_MAX }, trustsApprovals };
}

type GuardOptions = Pick<ClientOptions, "guard" | "trustsApprovals">;

/** A file's line ends with its mtime. */
function withoutTime(line: string): string {
  return line.replace(/ -?\d+$/, "");
}

/** The last seq up to `seq` at which a group ends, so that a backup holds whole groups. */
function groupEndBefore(ends: readonly boolean[], seq: number): number {
  let end = seq;
  while (end > 0 && ends[end - 1] !== true) end--;
  return end;
}
