/**
 * SimClient: one device: its disk, its user, its state database, and the incarnations of the real
 * engine that come and go over them. Rules: S2, S4, I14.
 */

import type { ClientOptions } from "../../src/client/folder/options.ts";
import { runClient } from "../../src/client/run.ts";
import { SyncedError } from "../../src/core/error.ts";
import { ROOT_ID } from "../../src/core/identifier.ts";
import {
  APPROVAL_FILE,
  DEVICE_IGNORE_FILE,
  PARKING_DIRECTORY,
  QUARANTINE_DIRECTORY,
  STAGING_DIRECTORY,
  STATE_DIRECTORY,
} from "../../src/core/state-directory.ts";
import type { FileSystem, FileSystemErrorCode } from "../../src/ports/filesystem.ts";
import type { ClientEvent } from "../../src/ports/observer.ts";
import { type Scheduler, SimClock } from "./sim-clock.ts";
import { type Inode, SimDisk } from "./sim-disk.ts";
import { identityOf, Killed, SimFileSystem } from "./sim-filesystem.ts";
import { isFile, type SimLedger } from "./sim-ledger.ts";
import { FAIR_WEATHER, SimConnection, type SimListener } from "./sim-network.ts";
import { type ClientLabel, FOLDS, type SwarmOptions } from "./sim-options.ts";
import { SimRandom } from "./sim-random.ts";
import { SimStateFile, SimStateHome, type StoreWrapper } from "./sim-state-home.ts";
import type { SimTrace } from "./sim-trace.ts";
import { type Place, type Recorded, SimUser } from "./sim-user.ts";
import { SimWatcher } from "./sim-watcher.ts";

/** Where planted bugs sit: between the engine and its ports. */
export interface ClientWrappers {
  readonly fs: (fs: FileSystem) => FileSystem;
  readonly store: StoreWrapper;
}

export interface SimClientParts {
  readonly label: ClientLabel;
  readonly seed: number;
  readonly scheduler: Scheduler;
  readonly trace: SimTrace;
  readonly ledger: SimLedger;
  readonly listener: SimListener;
  readonly swarm: SwarmOptions;
  readonly engine: ClientOptions;
  readonly sharedContents: readonly Uint8Array[];
  /** Wall clock error at the start. */
  readonly skewMs: number;
  /** So many times as long as drawn takes what waits for its disk. */
  readonly slowness: number;
  readonly wrappers: ClientWrappers;
  /** A finding about this client's engine. */
  readonly fail: (message: string) => void;
}

interface Process {
  readonly fs: SimFileSystem;
  readonly clock: SimClock;
  readonly connection: SimConnection;
  readonly watcher: SimWatcher;
  readonly home: SimStateHome;
  readonly abort: AbortController;
}

/** Codes with which an engine may end while the world is in trouble. */
const LEGAL_ENDS: ReadonlySet<string> = new Set([
  "not_a_synced_server",
  "server_unreachable",
  "protocol_violation",
  "storage_full",
  "folder_unusable",
  "file_unreadable",
  "file_unwritable",
]);
const FAULTS: readonly FileSystemErrorCode[] = ["io", "full", "denied", "exhausted"];
const SYNC_MS_MAX = 15;
/**
 * Calls take no virtual time: an endless stream of edits between them would keep it from going on.
 */
const EDITS_AT_CALLS_MAX = 40;
const RENAME_KILL_FACTOR = 30;
const TAKE_AWAY_SHARE = 0.3;
/** Answers may be on their way for so long. */
const AFTERMATH_MS = 60_000;

export class SimClient {
  readonly label: string;
  readonly disk: SimDisk;
  readonly user: SimUser;
  readonly state: SimStateFile;
  /** The names that its disk takes for one; undefined where it takes each for its own. */
  readonly fold: ((name: string) => string) | undefined;
  partitioned = false;
  skewMs: number;
  conflicts = 0;
  /** Its engine ended between a change of the disk and the record of it. */
  wasTorn = false;
  /** The id of the change that a guard holds. */
  held: string | undefined;
  /** How often a person was asked. */
  holds = 0;
  readonly #parts: SimClientParts;
  readonly #chance: SimRandom;
  readonly #users: SimRandom;
  readonly #network: SimRandom;
  readonly #ids: SimRandom;
  #process: Process | undefined;
  readonly #aborts: AbortController[] = [];
  #editsAtCalls = 0;
  /** The path that the last call renamed something to, if it was a rename. */
  #renamed: string | undefined;
  #isUnrecorded = false;
  #healedMs: number | undefined;

  constructor(parts: SimClientParts) {
    const { label, seed, scheduler, swarm, ledger, trace, sharedContents } = parts;
    this.label = label;
    this.#parts = parts;
    this.#chance = new SimRandom(seed, `${label} faults`);
    this.#users = new SimRandom(seed, `${label} user`);
    this.#network = new SimRandom(seed, `${label} network`);
    this.#ids = new SimRandom(seed, `${label} ids`);
    this.skewMs = parts.skewMs;
    this.state = new SimStateFile(swarm.stateRollback);
    const folding = swarm.folding[label];
    this.fold = folding === undefined ? undefined : FOLDS[folding];
    const wall = new SimClock(scheduler);
    this.disk = new SimDisk({
      nowMs: () => wall.now() + this.skewMs,
      elapsedMs: () => scheduler.now,
      fraction: () => this.#chance.fraction(),
      granularityNs: BigInt(swarm.granularityNs),
      ordered: swarm.orderedJournal,
      fold: this.fold,
    });
    this.user = new SimUser({
      label,
      disk: this.disk,
      random: this.#users,
      ledger,
      trace,
      nowMs: () => scheduler.now,
      durability: swarm.userCaches ? "cached" : "durable",
      sharedContents,
      largeFiles: swarm.largeFiles,
      twinNames: Object.keys(swarm.folding).length > 0,
      ignoring: swarm.ignoring,
      recorded: (inode, place) => this.#recorded(inode, place),
    });
  }

  #recorded(inode: Inode, { parent, name }: Place): Recorded {
    const { store } = this.state;
    const node = store?.localByIdentity(identityOf(inode));
    // It may have been put here just now, and be recorded next.
    if (store === undefined || node === undefined)
      return isFile(inode) && inode.writer === "client"
        ? { recorded: "here" }
        : { recorded: "nowhere", isOnlyLocal: true };
    const isHere =
      node.parent === ROOT_ID
        ? parent === this.disk.root
        : store.local.get(node.parent)?.identity === identityOf(parent);
    const isOnlyLocal = store.remoteRow(node.id) === undefined;
    return { recorded: isHere && node.name === name ? "here" : "elsewhere", isOnlyLocal };
  }

  /** What `synced sync` makes before the engine starts. */
  #makeStateDirectories(): void {
    const { disk } = this;
    for (const path of [
      STATE_DIRECTORY,
      STAGING_DIRECTORY,
      QUARANTINE_DIRECTORY,
      PARKING_DIRECTORY,
    ]) {
      if (disk.at(path) !== undefined) continue;
      const cut = path.lastIndexOf("/");
      const directory = cut < 0 ? disk.root : disk.at(path.slice(0, cut));
      if (directory?.kind !== "directory") throw new Error(`No place for ${path}`);
      const after = disk.newDirectory(directory);
      disk.link([{ directory, name: path.slice(cut + 1), after }], "durable", []);
    }
  }

  /** While true, faults and edits happen at port calls. */
  get trouble(): boolean {
    return this.#healedMs === undefined;
  }

  heal(): void {
    this.#healedMs = this.#parts.scheduler.now;
    this.user.writesRules = false;
    this.partitioned = false;
    this.applyWeather();
    for (const [, inode] of this.disk.walk()) inode.unreadable = false;
  }

  /** The id under which it posts, once it has joined. */
  get device(): string | undefined {
    return this.state.store?.binding()?.device;
  }

  get running(): boolean {
    return this.#process !== undefined;
  }

  start(): void {
    if (this.#process !== undefined) return;
    const { label, scheduler, trace, listener, swarm, engine, wrappers } = this.#parts;
    const { ledger, slowness } = this.#parts;
    const clock = new SimClock(scheduler, this.skewMs);
    const process: Process = {
      fs: new SimFileSystem({
        disk: this.disk,
        exchange: swarm.exchange,
        beforeCall: (name, path, detail) => this.#beforeCall(process, name, path, detail),
        pause: () => clock.sleep(Math.ceil(this.#chance.fraction() * SYNC_MS_MAX * slowness)),
      }),
      clock,
      connection: new SimConnection({ scheduler, random: this.#network, trace, listener, label }),
      watcher: new SimWatcher({
        scheduler,
        disk: this.disk,
        delayMs: () => this.#chance.fraction() * swarm.watcherDelayMs,
        fate: () => this.#hintFate(),
        lost: (path) => ledger.entries.unseen(path),
      }),
      home: new SimStateHome(
        this.state,
        (name) => this.#beforeCall(process, name, ""),
        wrappers.store,
      ),
      abort: new AbortController(),
    };
    this.#process = process;
    this.#aborts.push(process.abort);
    this.#makeStateDirectories();
    this.applyWeather();
    trace.add(`${scheduler.now} ${label} starts`);
    this.#run(process, engine, wrappers);
  }

  #run(process: Process, engine: ClientOptions, wrappers: ClientWrappers): void {
    const { label, scheduler, trace, fail } = this.#parts;
    const world = {
      fs: wrappers.fs(process.fs),
      watcher: process.watcher,
      clock: process.clock,
      random: this.#ids,
      observer: { emit: (event: ClientEvent) => this.#observe(process, event) },
      stores: process.home,
      transport: process.connection.transport,
    };
    const ended = (line: string) => {
      if (this.#process !== process) return false;
      this.#process = undefined;
      process.connection.kill();
      process.watcher.kill();
      trace.add(`${scheduler.now} ${label} ends: ${line}`);
      return true;
    };
    runClient(world, engine, process.abort.signal).then(
      (outcome) => {
        if (ended(outcome.end) && !process.abort.signal.aborted)
          fail(`${label} ended by itself: ${outcome.end}`);
      },
      (error: unknown) => {
        const code = error instanceof SyncedError ? error.code : "bug";
        const text =
          error instanceof Error ? `${error.message}\n${error.stack ?? ""}` : String(error);
        if (!ended(`${code} ${error instanceof Error ? error.message : ""}`)) return;
        trace.count(`engine end ${code}`);
        if (error instanceof Killed || process.abort.signal.aborted) return;
        // What began in the trouble may come to its end a little later.
        const isTroubled = this.trouble || scheduler.now < (this.#healedMs ?? 0) + AFTERMATH_MS;
        if (!isTroubled || !LEGAL_ENDS.has(code)) fail(`${label} ended with ${code}: ${text}`);
      },
    );
  }

  applyWeather(): void {
    const connection = this.#process?.connection;
    if (connection === undefined) return;
    connection.weather = this.trouble ? this.#parts.swarm.weather : FAIR_WEATHER;
    connection.partitioned = this.trouble && this.partitioned;
    if (connection.partitioned) connection.breakStreams("partition");
  }

  /** The world is over: lets go of what waits for a signal that would never come. */
  end(): void {
    this.kill();
    for (const abort of this.#aborts) abort.abort();
    this.state.end();
  }

  /** SIGKILL. */
  kill(): void {
    const process = this.#process;
    if (process === undefined) return;
    this.#process = undefined;
    process.fs.kill();
    process.clock.kill();
    process.connection.kill();
    process.watcher.kill();
    process.home.kill();
    this.#parts.trace.count("client kill");
    this.#parts.trace.add(`${this.#parts.scheduler.now} ${this.label} killed`);
  }

  powerCut(): void {
    const { ledger, trace, scheduler, swarm, label } = this.#parts;
    this.kill();
    this.user.powerCut();
    const filesBefore = [...this.disk.walk()].map(([, inode]) => inode).filter(isFile);
    const bytesBefore = filesBefore.map(({ bytes, durable }) => ({
      bytes,
      isCached: bytes !== durable?.bytes,
    }));
    const torn = this.disk.powerCut();
    const kept = new Set<ReturnType<SimLedger["digest"]>>();
    ledger.onDisk(this.disk, kept);
    // Users who do not sync lose what the kernel had not written: nobody could have kept it. Bytes
    // of a file whose new name went, so that it stands in staging again, are as lost to its user:
    // only by chance were they written before the name was, and staging keeps nothing but the
    // server's.
    if (swarm.userCaches) {
      ledger.entries.weaken(label);
      const named = new Set<ReturnType<SimLedger["digest"]>>();
      ledger.onDisk(this.disk, named, (path) => !path.startsWith(`${STAGING_DIRECTORY}/`));
      for (const { bytes, isCached } of bytesBefore) {
        const digest = ledger.digest(bytes);
        if (!(isCached ? named : kept).has(digest)) ledger.destroyed(bytes);
      }
    }
    for (const { bytes, links } of torn) {
      if (links === 0) continue;
      ledger.wrote(label, "torn by a power cut", bytes, scheduler.now);
      ledger.destroyed(bytes);
    }
    trace.count("power cut");
    trace.add(`${scheduler.now} ${label} power cut`);
  }

  /** ^C: the engine ends by itself. */
  stop(): void {
    this.#process?.abort.abort();
  }

  loseState(): void {
    this.#parts.trace.count("state lost");
    this.#parts.trace.add(`${this.#parts.scheduler.now} ${this.label} loses its state database`);
    this.state.drop();
    this.#parts.ledger.entries.weaken(this.label);
  }

  /** Somebody brings the database back from an older copy (F79). */
  rollBackState(): void {
    const { trace, scheduler } = this.#parts;
    const run = this.state.store?.value("run");
    if (!this.state.rollBack()) return;
    this.#parts.ledger.entries.loosen();
    this.#parts.ledger.entries.weaken(this.label);
    // Within one run only its last transactions are lost.
    const isTail = run !== undefined && this.state.open().value("run") === run;
    trace.count(isTail ? "state tail lost" : "state rolled back");
    trace.add(`${scheduler.now} ${this.label} has an older state database`);
  }

  /** Somebody brings older files back into the folder (F80). */
  bringBackFiles(): void {
    if (this.user.bringBack()) this.#parts.trace.count("old files");
  }

  /** Rules of this device alone; none with undefined. */
  setDeviceRules(text: string | undefined): void {
    const { disk } = this;
    const directory = disk.at(STATE_DIRECTORY);
    if (directory?.kind !== "directory") return;
    const name = DEVICE_IGNORE_FILE.slice(STATE_DIRECTORY.length + 1);
    if (text === undefined && !directory.entries.has(name)) return;
    const file = text === undefined ? undefined : disk.newFile("client");
    if (file !== undefined) disk.write(file, new TextEncoder().encode(text), "client", "durable");
    disk.link([{ directory, name, after: file }], "durable", []);
    this.#parts.trace.count("device rules");
    this.#parts.trace.add(`${this.#parts.scheduler.now} ${this.label} has device rules ${text}`);
  }

  jumpClock(ms: number): void {
    this.skewMs += ms;
    if (this.#process !== undefined) this.#process.clock.skewMs = this.skewMs;
  }

  /** What `synced approve` does. */
  approve(): void {
    const directory = this.disk.at(STATE_DIRECTORY);
    if (this.held === undefined || directory?.kind !== "directory") return;
    const name = APPROVAL_FILE.slice(STATE_DIRECTORY.length + 1);
    if (directory.entries.has(name)) return;
    const file = this.disk.newFile("client");
    this.disk.write(file, new TextEncoder().encode(this.held), "client", "durable");
    this.disk.link([{ directory, name, after: file }], "durable", []);
    this.#parts.trace.count("approval");
  }

  #hintFate(): "deliver" | "overflow" | "lose" {
    const { swarm, trace } = this.#parts;
    if (!this.trouble || !this.#chance.chance(swarm.watcherLoss)) return "deliver";
    const fate = this.#chance.chance(0.5) ? "overflow" : "lose";
    trace.count(`hints ${fate}`);
    return fate;
  }

  #beforeCall(
    process: Process,
    name: string,
    path: string,
    detail?: string,
  ): FileSystemErrorCode | undefined {
    const { scheduler, swarm, trace } = this.#parts;
    scheduler.called();
    if (MUTATIONS.has(name))
      trace.add(`${scheduler.now} ${this.label} ${name} ${path} ${detail ?? ""}`);
    if (name === "exchange") trace.count("exchange");
    this.#noteRecord(name, path, detail);
    if (!this.trouble || this.#process !== process) return undefined;
    const before = name === "setMetadata.gap" ? this.#lookOf(path) : undefined;
    if (this.#editsAtCalls < EDITS_AT_CALLS_MAX && this.#users.chance(swarm.editAtCall)) {
      this.#editsAtCalls++;
      trace.count("edit at a port call");
      this.user.step();
    }
    const isRename = name === "exchange" || name === "moveNoReplace";
    const renamed = this.#renamed;
    if (isRename) this.#editAtRename(path, detail ?? "");
    else if (renamed !== undefined)
      this.#editNow("edit after a rename", () => this.user.editInTheWay(renamed));
    else if (name === "setMetadata.gap")
      this.#editNow("edit at new metadata", () => this.user.overwriteAlike(path));
    if (name === "setMetadata.gap" && this.#lookOf(path) !== before) this.#raced(path);
    // Right after a rename a crash hurts most.
    const killChance = swarm.killAtCall * (renamed === undefined ? 1 : RENAME_KILL_FACTOR);
    this.#renamed = isRename ? visiblePath(detail, path) : undefined;
    if (this.#chance.chance(killChance)) {
      trace.count(`kill at ${name}`);
      if (swarm.powerCuts && this.#chance.chance(0.4)) this.powerCut();
      else this.kill();
      return undefined;
    }
    if (path === "" || !this.#chance.chance(swarm.diskFault)) return undefined;
    const fault = this.#chance.pick(FAULTS);
    if (fault === "full" && !MUTATIONS.has(name)) return undefined;
    // What cannot be made durable is not recorded.
    if (name === "syncDirectories" && this.#isUnrecorded) this.#tear();
    trace.count(`disk fault ${fault}`);
    trace.add(`${scheduler.now} ${this.label} fault ${fault} at ${name} ${path}`);
    return fault;
  }

  /** What is not recorded when the engine begins anew, nobody knows to be its own. */
  #noteRecord(name: string, path: string, detail: string | undefined): void {
    if (MUTATIONS.has(name) && visiblePath(path, detail) !== undefined) this.#isUnrecorded = true;
    if (name === "open" && path === "" && this.#isUnrecorded) this.#tear();
    if (name === "transaction" || (name === "open" && path === "")) this.#isUnrecorded = false;
  }

  #tear(): void {
    this.wasTorn = true;
    this.#parts.ledger.entries.weaken(this.label);
  }

  /** All that a user may change there; within one tick of the kernel's clock no time tells. */
  #lookOf(path: string): string {
    const inode = this.disk.at(path);
    if (!isFile(inode)) return "";
    const digest = this.#parts.ledger.digest(inode.bytes);
    return `${inode.ino} ${digest} ${inode.executable} ${inode.mtimeNs} ${inode.ctimeNs}`;
  }

  /** New metadata are set over a change that nobody could see: only its bytes are left (D2). */
  #raced(path: string): void {
    const { ledger } = this.#parts;
    const inode = this.disk.at(path);
    ledger.entries.unseen(path);
    if (isFile(inode)) ledger.entries.forgetTimes(ledger.digest(inode.bytes));
  }

  /** A user writes to what the client is about to displace, or takes it away. */
  #editAtRename(from: string, to: string): void {
    const path = visiblePath(to, from);
    if (path === undefined) return;
    if (this.#users.chance(TAKE_AWAY_SHARE))
      this.#editNow("take away at a rename", () => this.user.takeAway(path));
    else this.#editNow("edit at a rename", () => this.user.editInTheWay(path));
  }

  #editNow(what: string, edit: () => boolean): void {
    const { swarm, trace } = this.#parts;
    if (this.#editsAtCalls >= EDITS_AT_CALLS_MAX) return;
    if (!this.#users.chance(swarm.editAtRename)) return;
    this.#editsAtCalls++;
    if (edit()) trace.count(what);
  }

  #observe(process: Process, event: ClientEvent): void {
    if (this.#process !== process) return;
    const { scheduler, trace } = this.#parts;
    if (event.event === "progress") return;
    trace.count(`event ${event.event}`);
    if (event.event === "error" && event.code === "false_in_sync") {
      this.#parts.fail(`Y8: ${this.label} was not in sync: ${event.message}`);
    }
    if (event.event === "conflict") this.conflicts++;
    if (event.event === "held") {
      this.held = event.id;
      this.holds++;
    }
    if (event.event === "released") this.held = undefined;
    trace.add(`${scheduler.now} ${this.label} says ${JSON.stringify(event)}`);
  }
}

const MUTATIONS: ReadonlySet<string> = new Set([
  "createFile",
  "writer.write",
  "writer.sync",
  "makeDirectory",
  "makeSymlink",
  "moveNoReplace",
  "exchange",
  "removeDirectory",
  "removeFile",
  "setMetadata",
  "syncDirectories",
]);

/** The first of these that a user sees. */
function visiblePath(...paths: readonly (string | undefined)[]): string | undefined {
  return paths.find((path) => path !== undefined && !path.startsWith(`${STATE_DIRECTORY}/`));
}
