/**
 * The loop of one client on one folder: waits for hints, events and times, then runs a cycle.
 * Rules: Y1-Y5, G1. Watchers and streams only mark work; this decides when it is done.
 */
import { SyncedError } from "../core/error.ts";
import { DEFAULT_GUARD } from "../core/guard-setting.ts";
import { RETRY_DELAY_MS_MAX, RETRY_DELAY_MS_MIN } from "../core/limits.ts";
import type { Watch } from "../ports/watcher.ts";
import { Agenda } from "./agenda.ts";
import { checkQuarantine, countQuarantineScan, nextQuarantineCheckMs } from "./apply/quarantine.ts";
import { DeviceReport } from "./connect/device-report.ts";
import { checkRoot } from "./connect/join.ts";
import type { Session } from "./connect/session.ts";
import { Rounds } from "./cycle.ts";
import type { ClientOptions, ClientWorld, RunOutcome } from "./folder/options.ts";
import type { ClientPorts } from "./folder/ports.ts";
import type { Standing } from "./folder/standing.ts";
import { Holding } from "./hold.ts";
import { proveInSync } from "./proof.ts";
import { removeEmptied } from "./scan/remove-emptied.ts";
import { Scanner } from "./scan/scanner.ts";
import type { Waking } from "./waking.ts";

/** Hints come in bursts (a save is several): a cycle begins this long after the last one. */
const HINT_QUIET_MS = 5;
/** A burst that does not end is looked at all the same. */
const HINT_WAIT_MS_MAX = 60;
/** How soon a lost root or a person's answer is noticed. */
const ROOT_CHECK_INTERVAL_MS = 2_000;
const ANSWER_CHECK_INTERVAL_MS = 500;
/** Between looks at one path; where it does not look as expected they are doubled each time. */
const LOOK_DELAY_MS_MIN = 20;
/** Between full scans where not all is watched: at least this, and so many times the last scan. */
const UNWATCHED_SCAN_INTERVAL_MS_MIN = 2_000;
const UNWATCHED_SCAN_RATIO = 50;
/** The wall clock counts as put back from here on: its ticks and those of the other differ. */
const CLOCK_STEP_MS_MIN = 1_000;
/** What one run on a joined folder is made of. */
export interface LoopParts {
  readonly world: ClientWorld;
  readonly options: ClientOptions;
  readonly session: Session;
  readonly standing: Standing;
  readonly waking: Waking;
}

/** Which work waits for its time. */
type Reason =
  /** A look whether the root is there, and whether this device's own rules are others. */
  | "root"
  | "full scan"
  /** Another look at paths that a scan asked for. */
  | "look"
  /** Another look at paths that did not look as planned. */
  | "unexpected"
  | "server"
  | "plan"
  | "answer"
  | "quarantine"
  | "report";

export class Loop {
  readonly #parts: LoopParts;
  readonly #ports: ClientPorts;
  readonly #scanner: Scanner;
  readonly #holding: Holding;
  readonly #rounds: Rounds;
  readonly #deviceReport: DeviceReport;
  readonly #agenda = new Agenda<Reason>();
  #watch: Watch | undefined;
  /** Paths that may have changed. */
  #hints = new Set<string>();
  #hintAtMs = 0;
  #isUnwatched = false;
  /** The next full scan finds what the system told of and could not name. */
  #isTold = false;
  /** Paths that a scan wants to see again, and when. */
  #again: ReadonlyMap<string, number> = new Map();
  /** Paths that did not look as the last plan expected. */
  #unexpected: ReadonlySet<string> = new Set();
  #unexpectedDelayMs = 0;
  #isUnsettled = false;
  #wallAheadMs: number;
  /** Manifests of earlier versions may lie in the state. */
  #mayPrune = false;
  /** A full scan was done since it was last proven that all is in sync. */
  #mayProve = false;
  /** Why the folder is halted (G1). */
  #haltReason: string | undefined;
  #conflicts = 0;

  constructor(parts: LoopParts) {
    const { session, options } = parts;
    const { ports, log } = session;
    const { deviceName } = options;
    this.#parts = parts;
    this.#ports = ports;
    const scanner = new Scanner(ports, session.chunkerProfile);
    const device = log.device;
    const holding = new Holding(ports, { device, setting: options.guard ?? DEFAULT_GUARD });
    this.#wallAheadMs = wallAheadMs(ports);
    this.#scanner = scanner;
    this.#holding = holding;
    this.#rounds = new Rounds({ ports, log, scanner, holding, device, deviceName });
    this.#deviceReport = new DeviceReport(ports, log, deviceName);
    this.#agenda.at("full scan", ports.clock.monotonic());
    this.#agenda.at("quarantine", ports.clock.monotonic());
  }

  async run(signal: AbortSignal): Promise<RunOutcome> {
    if (!this.#parts.options.once) await this.#startWatching();
    while (!signal.aborted) {
      const end = await this.#turn(signal);
      if (end !== undefined) return this.#outcome(end);
      await this.#parts.waking.sleepUntil(this.#agenda.nextMs, signal);
    }
    return this.#outcome("stopped");
  }

  close(): void {
    this.#watch?.close();
  }

  async #startWatching(): Promise<void> {
    const { watcher, clock } = this.#ports;
    const { waking } = this.#parts;
    const scanAll = (): void => {
      this.#agenda.at("full scan", clock.monotonic());
      waking.wake();
    };
    this.#watch = await watcher.watch({
      changed: (path) => {
        this.#hints.add(path);
        this.#hintAtMs = clock.monotonic();
        this.#hear(path);
        waking.wake();
      },
      overflow: () => {
        this.#isTold = !this.#isUnwatched;
        scanAll();
      },
      failed: (reason) => {
        this.#isUnwatched = true;
        scanAll();
        const message =
          `Cannot watch all of the folder (${reason}): what is not watched is found by scans, ` +
          "after seconds to minutes; watching it is tried again";
        this.#ports.observer.emit({ event: "notice", code: "watch_failed", message });
      },
      restored: () => {
        this.#isUnwatched = false;
        const message = "All of the folder is watched again";
        this.#ports.observer.emit({ event: "notice", code: "watch_restored", message });
      },
    });
  }

  /** What waits for something at the path to change need not wait longer. */
  #hear(path: string): void {
    this.#rounds.hear(path);
    if (!this.#unexpected.has(path)) return;
    this.#unexpectedDelayMs = 0;
    this.#agenda.at("unexpected", this.#hintAtMs);
  }

  /** One turn of the loop. @returns how the run ends, if it does. */
  async #turn(signal: AbortSignal): Promise<RunOutcome["end"] | undefined> {
    const { session, options } = this.#parts;
    const { store, clock } = this.#ports;
    const startMs = clock.monotonic();
    const due = this.#agenda.takeDue(startMs);
    this.#agenda.at("root", startMs + ROOT_CHECK_INTERVAL_MS);
    if (!this.#checkRoot()) {
      // Nothing else is done; it all stays due until the root is back.
      for (const reason of due) this.#agenda.at(reason, startMs + ROOT_CHECK_INTERVAL_MS);
      this.#report(due, signal);
      return options.once ? "held" : undefined;
    }
    await this.#settleHints(signal);
    const seq = store.cursor()?.seq;
    await session.keepUp(signal);
    if (due.has("answer") && this.#holding.hasAnswer) this.#rounds.ask();
    const hasScanned = await this.#scanDue(due, signal);
    await this.#planDue(signal);
    if (due.has("quarantine") || this.#wasClockPutBack()) {
      await checkQuarantine(this.#ports, { deviceName: options.deviceName });
    }
    const hasMoved = store.cursor()?.seq !== seq;
    if (due.has("quarantine") || hasScanned || hasMoved) this.#watchQuarantine();
    // Turns that only look whether the root is there would drown the others.
    if (hasScanned || hasMoved) {
      this.#parts.world.instruments?.cycleEnded((clock.monotonic() - startMs) / 1_000);
    }
    this.#report(due, signal);
    return this.#end();
  }

  #checkRoot(): boolean {
    const { session, world } = this.#parts;
    const { observer, clock } = this.#ports;
    const { marker } = session;
    if (marker === undefined) return true;
    try {
      checkRoot(world, marker);
      if (this.#haltReason === undefined) return true;
      this.#haltReason = undefined;
      this.#agenda.at("full scan", clock.monotonic());
      observer.emit({ event: "released", id: "root" });
      return true;
    } catch (cause) {
      if (!(cause instanceof SyncedError) || cause.code !== "halted") throw cause;
      if (this.#haltReason !== undefined) return false;
      this.#haltReason = cause.message;
      observer.emit({ event: "held", id: "root", reason: cause.message, count: 0 });
      return false;
    }
  }

  /** @returns false where nothing was due. */
  async #scanDue(due: ReadonlySet<Reason>, signal: AbortSignal): Promise<boolean> {
    const { clock } = this.#ports;
    const now = clock.monotonic();
    const paths = this.#hints;
    if (due.has("look")) for (const [path, atMs] of this.#again) if (atMs <= now) paths.add(path);
    if (due.has("unexpected")) for (const path of this.#unexpected) paths.add(path);
    const isFull = due.has("full scan") || this.#scanner.hasNewDeviceRules;
    if (!isFull && paths.size === 0) return false;
    this.#hints = new Set();
    const isTold = this.#isTold;
    if (isFull) this.#isTold = false;
    const request = isFull
      ? ({ kind: "full", isTold } as const)
      : ({ kind: "paths", paths } as const);
    const report = await this.#scanner.scan(request, signal);
    const endMs = clock.monotonic();
    if (!report.complete) {
      for (const path of paths) this.#hints.add(path);
      if (isFull) this.#agenda.at("full scan", endMs + RETRY_DELAY_MS_MIN);
    } else if (isFull) {
      this.#agenda.at("full scan", endMs + this.#fullScanIntervalMs(endMs - now));
      this.#mayPrune = true;
      this.#mayProve = true;
    }
    this.#again = report.again;
    this.#agenda.done("look");
    const againMs = report.again.values().reduce(earliest, Number.POSITIVE_INFINITY);
    if (report.again.size > 0)
      this.#agenda.at("look", Math.max(againMs, endMs + LOOK_DELAY_MS_MIN));
    this.#isUnsettled = report.unsettled;
    if (due.has("unexpected")) this.#rounds.ask();
    countQuarantineScan(this.#ports);
    removeEmptied(this.#ports, this.#scanner.emptied);
    return true;
  }

  /** Where nothing tells of changes (F67, F68), scans may take up a small share of the time. */
  #fullScanIntervalMs(scanMs: number): number {
    const { fullScanIntervalMs } = this.#parts.options;
    if (!this.#isUnwatched) return fullScanIntervalMs;
    const unwatchedMs = Math.max(UNWATCHED_SCAN_INTERVAL_MS_MIN, UNWATCHED_SCAN_RATIO * scanMs);
    return Math.min(fullScanIntervalMs, unwatchedMs);
  }

  /** However much waits, nothing is planned unless something changed, or its time has come. */
  async #planDue(signal: AbortSignal): Promise<void> {
    const { session } = this.#parts;
    const { connection } = session;
    if (connection.isOnline) {
      await session.attempt(async () => {
        if (this.#rounds.isDue) await this.#runRounds(signal);
        connection.settled();
      });
    }
    this.#enter("server", connection.dueAtMs);
    this.#enter("plan", connection.isOnline ? this.#rounds.retryAtMs : undefined);
    const answerAtMs = this.#ports.clock.monotonic() + ANSWER_CHECK_INTERVAL_MS;
    this.#enter("answer", this.#holding.held === undefined ? undefined : answerAtMs);
  }

  async #runRounds(signal: AbortSignal): Promise<void> {
    const report = await this.#rounds.run(signal);
    if (report === undefined) return;
    const { rescan, conflicts } = report;
    this.#conflicts += conflicts;
    this.#unexpected = rescan;
    if (rescan.size === 0) {
      this.#unexpectedDelayMs = 0;
      this.#enter("unexpected", undefined);
      return;
    }
    // The first look comes at once; what then still does not look as expected (a disappearance that
    // has to settle, a busy writer, a device in its place) is not asked again and again meanwhile.
    this.#enter("unexpected", this.#ports.clock.monotonic() + this.#unexpectedDelayMs);
    const doubledMs = Math.max(LOOK_DELAY_MS_MIN, 2 * this.#unexpectedDelayMs);
    this.#unexpectedDelayMs = Math.min(doubledMs, RETRY_DELAY_MS_MAX);
  }

  /** Whatever was entered for it before. */
  #enter(reason: Reason, atMs: number | undefined): void {
    this.#agenda.done(reason);
    if (atMs !== undefined) this.#agenda.at(reason, atMs);
  }

  /** Nothing is left to be done but what waits for a person or for a later try. */
  #isQuiet(): boolean {
    const { connection, log } = this.#parts.session;
    const cursor = this.#ports.store.cursor();
    if (!connection.isOnline || this.#isUnsettled) return false;
    if (this.#hints.size + this.#unexpected.size > 0) return false;
    if (log.hasStreamed || cursor === undefined || cursor.seq < log.head) return false;
    return this.#rounds.isResting;
  }

  #end(): RunOutcome["end"] | undefined {
    const { options, session } = this.#parts;
    if (!options.once) return undefined;
    if (!session.connection.isOnline || this.#rounds.shortage !== undefined) {
      return session.gaveUp ? "unreachable" : undefined;
    }
    if (!this.#isQuiet()) return undefined;
    return this.#holding.held === undefined ? "in_sync" : "held";
  }

  #report(due: ReadonlySet<Reason>, signal: AbortSignal): void {
    const { session, standing } = this.#parts;
    const { head } = session.log;
    const { connection } = session;
    const { shortage } = this.#rounds;
    const reason = this.#haltReason;
    if (reason !== undefined) standing.set({ state: "held", head, reason });
    else if (this.#holding.held !== undefined) standing.set({ state: "held", head });
    else if (!connection.isOnline)
      standing.set({ state: "offline", head, reason: connection.offlineReason ?? null });
    else if (shortage !== undefined) standing.set({ state: "syncing", head, reason: shortage });
    else if (this.#isQuiet() && this.#isProven()) {
      // What could not be carried out, and is tried again, is not in sync, whatever rests
      // meanwhile (I43).
      const { withheld } = this.#scanner;
      const waits = this.#rounds.awaitsRetry || withheld !== undefined;
      standing.set({ state: waits ? "syncing" : "in_sync", head, reason: withheld ?? null });
      const reportAtMs = this.#deviceReport.tell(due.has("report"), signal);
      if (reportAtMs === undefined) this.#agenda.done("report");
      else this.#agenda.at("report", reportAtMs);
      this.#prune();
    } else standing.set({ state: "syncing", head });
  }

  /** Once after each full scan that ends in rest (Y8). @returns false where more is to be done. */
  #isProven(): boolean {
    if (!this.#mayProve) return true;
    this.#mayProve = false;
    const { ignoreRules } = this.#scanner;
    const ignores = (path: string, isDirectory: boolean) => ignoreRules.ignores(path, isDirectory);
    if (proveInSync(this.#ports, ignores)) return true;
    this.#agenda.at("plan", this.#ports.clock.monotonic());
    return false;
  }

  /** Costs a small part of a full scan; what waits in quarantine may still give its chunks (D3). */
  #prune(): void {
    const { store } = this.#ports;
    if (!this.#mayPrune || store.quarantineGroups().length > 0) return;
    this.#mayPrune = false;
    store.pruneManifests();
  }

  async #settleHints(signal: AbortSignal): Promise<void> {
    const { clock } = this.#ports;
    const untilMs = clock.monotonic() + HINT_WAIT_MS_MAX;
    const { log } = this.#parts.session;
    // News does not wait for the hints that its own last changes of the disk have made.
    while (this.#hints.size > 0 && !log.hasStreamed && !signal.aborted) {
      const now = clock.monotonic();
      const quietMs = this.#hintAtMs + HINT_QUIET_MS - now;
      if (quietMs <= 0 || now >= untilMs) return;
      await clock.sleep(quietMs, signal);
    }
  }

  /** Files wait in quarantine by the wall clock: they are told at once, lest they wait anew. */
  #wasClockPutBack(): boolean {
    const aheadMs = wallAheadMs(this.#ports);
    const wasPutBack = aheadMs < this.#wallAheadMs - CLOCK_STEP_MS_MIN;
    if (wasPutBack || aheadMs > this.#wallAheadMs) this.#wallAheadMs = aheadMs;
    return wasPutBack;
  }

  #watchQuarantine(): void {
    this.#enter("quarantine", nextQuarantineCheckMs(this.#ports));
  }

  #outcome(end: RunOutcome["end"]): RunOutcome {
    const problems = this.#ports.store.problems().length;
    return { end, conflicts: this.#conflicts, problems };
  }
}

/** How far the wall clock is ahead of the one that is never put back. */
function wallAheadMs({ clock }: Pick<ClientPorts, "clock">): number {
  return clock.now() - clock.monotonic();
}

function earliest(a: number, b: number): number {
  return Math.min(a, b);
}
