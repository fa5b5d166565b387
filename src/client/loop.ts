/**
 * The loop of one client on one folder: waits for hints, events and times, then runs a cycle.
 * Rules: Y1-Y5, G1. Watchers and streams only mark work; this decides when it is done.
 */
import type { Digest } from "../core/digest.ts";
import { SyncedError } from "../core/error.ts";
import { DEFAULT_GUARD } from "../core/guard-setting.ts";
import { RETRY_DELAY_MS_MAX, RETRY_DELAY_MS_MIN } from "../core/limits.ts";
import { FileSystemError } from "../ports/filesystem.ts";
import type { Watch } from "../ports/watcher.ts";
import { Rounds } from "./cycle.ts";
import { codeOfTrouble } from "./disk-trouble.ts";
import { Holding } from "./hold.ts";
import { checkRoot, openState } from "./join.ts";
import type { ClientOptions, ClientWorld, RunOutcome } from "./options.ts";
import type { ClientPorts } from "./ports.ts";
import { checkQuarantine, countQuarantineScan, nextQuarantineCheckMs } from "./quarantine.ts";
import { recoverJournal } from "./recover.ts";
import { recoverCreated } from "./recover-created.ts";
import { removeEmptied } from "./remove-emptied.ts";
import { Scanner } from "./scan.ts";
import { Session } from "./session.ts";
import { Standing } from "./standing.ts";
import { Waking } from "./waking.ts";

/** Hints come in bursts (a save is several): a cycle begins this long after the last one. */
const HINT_QUIET_MS = 5;
/** A burst that does not end is looked at all the same. */
const HINT_WAIT_MS_MAX = 60;
/** How soon a lost root or a person's answer is noticed. */
const ROOT_CHECK_INTERVAL_MS = 2_000;
const ANSWER_CHECK_INTERVAL_MS = 500;
/** The cursor that this device has applied is reported this long after it changed. */
const REPORT_DELAY_MS = 1_000;
/** Between looks at paths that do not look as expected: doubled each time. */
const RESCAN_DELAY_MS_MIN = 20;
const RESCAN_DELAY_MS_MAX = 1_000;
/** Between full scans where not all is watched: at least this, and so many times the last scan. */
const UNWATCHED_SCAN_INTERVAL_MS_MIN = 2_000;
const UNWATCHED_SCAN_RATIO = 50;
/** With `once` the disk gets three tries. */
const ONCE_DISK_DELAY_MS_MAX = 2_000;
/**
 * Set when the first recovery with this database is through: what stands in staging before is of an
 * unknown past.
 */
const RECOVERED_KEY = "recovered";

/**
 * Keeps the folder in sync until the signal aborts, or with `once` until it is in sync.
 *
 * @throws {SyncedError} what a person must mend first: `server_changed`, `unauthenticated`,
 * `not_a_synced_server`, `folder_bound_elsewhere`, `folder_unusable`, `data_newer`
 */
export async function runClient(
  world: ClientWorld,
  options: ClientOptions,
  signal: AbortSignal,
): Promise<RunOutcome> {
  const { clock, observer } = world;
  let delayMs = RETRY_DELAY_MS_MIN;
  let told: string | undefined;
  let end: RunOutcome["end"] | "failed" = "failed";
  try {
    for (;;) {
      const startMs = clock.monotonic();
      try {
        const outcome = await runOnce(world, options, signal);
        end = outcome.end;
        return outcome;
      } catch (cause) {
        // Trouble with our own files (full, EIO, EMFILE): begin again as after a crash, where
        // recovery puts things right.
        if (!(cause instanceof FileSystemError)) throw cause;
        const error = new SyncedError(codeOfTrouble(cause), cause.message, { cause });
        if (options.once && delayMs > ONCE_DISK_DELAY_MS_MAX) throw error;
        if (clock.monotonic() - startMs > RETRY_DELAY_MS_MAX) {
          // It went well meanwhile.
          told = undefined;
          delayMs = RETRY_DELAY_MS_MIN;
        }
        const { code, message } = error;
        if (!signal.aborted) tellStanding(world, message);
        if (told !== message) observer.emit({ event: "error", code, message });
        told = message;
        await clock.sleep(delayMs, signal);
        if (signal.aborted) return { end: "stopped", conflicts: 0, problems: 0 };
        delayMs = Math.min(2 * delayMs, RETRY_DELAY_MS_MAX);
      }
    }
  } finally {
    observer.emit({
      event: "stopped",
      reason: signal.aborted ? "asked to" : end.replace("_", " "),
    });
  }
}

async function runOnce(
  world: ClientWorld,
  options: ClientOptions,
  signal: AbortSignal,
): Promise<RunOutcome> {
  const opened = openState(world, options);
  const waking = new Waking(world.clock);
  const session = new Session(world, options, { opened, wake: () => waking.wake() });
  const standing = new Standing(session.ports);
  const wake = (): void => waking.wake();
  signal.addEventListener("abort", wake);
  try {
    return await runJoined({ world, options, session, standing, waking }, signal);
  } catch (cause) {
    if (!signal.aborted || !isAbort(cause)) throw cause;
    return { end: "stopped", conflicts: 0, problems: session.ports.store.problems().length };
  } finally {
    signal.removeEventListener("abort", wake);
    session.connection.close();
    endStanding(standing, session);
    opened.store.close();
  }
}

/** What ended the run is what is told; a client that is not running is known by its lock. */
function endStanding(standing: Standing, session: Session): void {
  try {
    standing.set({ state: "stopped", head: session.log.head });
  } catch (error) {
    if (!(error instanceof FileSystemError)) throw error;
  }
}

/**
 * The state as it was left says that all was well (I43). Closed, its log is folded in, which leaves
 * room even on a full disk; where nothing can be written, `status` looks at the disk itself.
 */
function tellStanding({ stores, clock, observer }: ClientWorld, reason: string): void {
  if (!stores.exists()) return;
  try {
    const store = stores.open();
    try {
      const head = store.cursor()?.seq ?? 0;
      new Standing({ store, clock, observer }).set({ state: "syncing", head, reason });
    } finally {
      store.close();
    }
  } catch (error) {
    // The next try to begin meets the same.
    if (!(error instanceof FileSystemError || error instanceof SyncedError)) throw error;
  }
}

interface Parts {
  readonly world: ClientWorld;
  readonly options: ClientOptions;
  readonly session: Session;
  readonly standing: Standing;
  readonly waking: Waking;
}

async function runJoined(parts: Parts, signal: AbortSignal): Promise<RunOutcome> {
  const { session, options } = parts;
  const { store } = session.ports;
  const { deviceName } = options;
  const isStateLost = store.value(RECOVERED_KEY) !== true;
  if (!isStateLost) {
    // Before the log goes on: what was under way is judged by what was wanted then.
    await recoverJournal(session.ports, { deviceName });
    await recoverCreated(session.ports, { deviceName });
  }
  if (!(await session.firstContact(signal))) {
    const end = signal.aborted ? "stopped" : "unreachable";
    return { end, conflicts: 0, problems: store.problems().length };
  }
  // After the state was lost only the server can tell whose the bytes are that lie about. Otherwise
  // this takes away what the contact itself has left in staging.
  const isInHistory = (digest: Digest) => session.isInHistory(digest, signal);
  await recoverJournal(session.ports, { deviceName, isStateLost, isInHistory });
  if (isStateLost) store.setValue(RECOVERED_KEY, true);
  const loop = new Loop(parts);
  try {
    return await loop.run(signal);
  } finally {
    loop.close();
  }
}

class Loop {
  readonly #parts: Parts;
  readonly #ports: ClientPorts;
  readonly #scanner: Scanner;
  readonly #holding: Holding;
  readonly #rounds: Rounds;
  #watch: Watch | undefined;
  /** Paths that may have changed. */
  #hints = new Set<string>();
  #hintAtMs = 0;
  #isUnwatched = false;
  /** The next full scan finds what the system told of and could not name. */
  #isTold = false;
  #fullScanAtMs = 0;
  /** Paths to be looked at again, and when. */
  #again: ReadonlyMap<string, number> = new Map();
  #isUnsettled = false;
  /** Manifests of earlier versions may lie in the state. */
  #mayPrune = false;
  #retryAtMs: number | undefined;
  #reportAtMs: number | undefined;
  #reportedSeq = -1;
  /** Why the folder is halted (G1). */
  #haltReason: string | undefined;
  #conflicts = 0;
  /** When paths that did not look as expected are looked at again. */
  #rescanAtMs: number | undefined;
  #rescanDelayMs = 0;

  constructor(parts: Parts) {
    const { session, options } = parts;
    const { ports, log } = session;
    const { deviceName } = options;
    this.#parts = parts;
    this.#ports = ports;
    const scanner = new Scanner(ports, session.chunkerProfile);
    const device = log.device;
    const holding = new Holding(ports, { device, setting: options.guard ?? DEFAULT_GUARD });
    this.#scanner = scanner;
    this.#holding = holding;
    this.#rounds = new Rounds({ ports, log, scanner, holding, device, deviceName });
  }

  async run(signal: AbortSignal): Promise<RunOutcome> {
    if (!this.#parts.options.once) await this.#startWatching();
    while (!signal.aborted) {
      const end = await this.#turn(signal);
      if (end !== undefined) return this.#outcome(end);
      await this.#parts.waking.sleepUntil(this.#nextTime(), signal);
    }
    return this.#outcome("stopped");
  }

  close(): void {
    this.#watch?.close();
  }

  async #startWatching(): Promise<void> {
    const { watcher, clock } = this.#ports;
    const { waking } = this.#parts;
    this.#watch = await watcher.watch({
      changed: (path) => {
        this.#hints.add(path);
        this.#hintAtMs = clock.monotonic();
        waking.wake();
      },
      overflow: () => {
        this.#fullScanAtMs = 0;
        this.#isTold = !this.#isUnwatched;
        waking.wake();
      },
      failed: (reason) => {
        this.#isUnwatched = true;
        this.#fullScanAtMs = 0;
        waking.wake();
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

  /** One turn of the loop. @returns how the run ends, if it does. */
  async #turn(signal: AbortSignal): Promise<RunOutcome["end"] | undefined> {
    const { session, options } = this.#parts;
    if (!this.#checkRoot()) {
      this.#report(signal);
      return options.once ? "held" : undefined;
    }
    await this.#settleHints(signal);
    const { store, clock } = this.#ports;
    const seq = store.cursor()?.seq;
    const startMs = clock.monotonic();
    await session.keepUp(signal);
    const hasScanned = await this.#scanDue(signal);
    const isIdle = !hasScanned && store.cursor()?.seq === seq && this.#awaitsRoom();
    if (session.connection.isOnline && !isIdle) {
      await session.attempt(async () => {
        await this.#runRounds(signal);
        session.connection.settled();
      });
    }
    await checkQuarantine(this.#ports, { deviceName: options.deviceName });
    // Turns that only look whether the root is there would drown the others.
    if (hasScanned || store.cursor()?.seq !== seq) {
      this.#parts.world.instruments?.cycleEnded((clock.monotonic() - startMs) / 1_000);
    }
    this.#report(signal);
    return this.#end();
  }

  /** However much waits for a full server's disk: it is planned again when it is tried again. */
  #awaitsRoom(): boolean {
    if (this.#rounds.shortage === undefined || this.#holding.held !== undefined) return false;
    return this.#ports.clock.monotonic() < (this.#retryAtMs ?? 0);
  }

  #checkRoot(): boolean {
    const { session, world } = this.#parts;
    const { observer } = this.#ports;
    const { marker } = session;
    if (marker === undefined) return true;
    try {
      checkRoot(world, marker);
      if (this.#haltReason === undefined) return true;
      this.#haltReason = undefined;
      this.#fullScanAtMs = 0;
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
  async #scanDue(signal: AbortSignal): Promise<boolean> {
    const { clock } = this.#ports;
    const now = clock.monotonic();
    const paths = this.#hints;
    this.#rescanAtMs = undefined;
    for (const [path, atMs] of this.#again) if (atMs <= now) paths.add(path);
    const isFull = now >= this.#fullScanAtMs || this.#scanner.hasNewDeviceRules;
    if (!isFull && paths.size === 0) return false;
    this.#hints = new Set();
    const isTold = this.#isTold;
    if (isFull) this.#isTold = false;
    const request = isFull
      ? ({ kind: "full", isTold } as const)
      : ({ kind: "paths", paths } as const);
    const report = await this.#scanner.scan(request, signal);
    if (!report.complete) for (const path of paths) this.#hints.add(path);
    if (isFull && report.complete) {
      const endMs = clock.monotonic();
      this.#fullScanAtMs = endMs + this.#fullScanIntervalMs(endMs - now);
      this.#mayPrune = true;
    }
    this.#again = report.again;
    this.#isUnsettled = report.unsettled;
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

  async #runRounds(signal: AbortSignal): Promise<void> {
    const report = await this.#rounds.run(signal);
    for (const path of report.rescan) this.#hints.add(path);
    this.#conflicts += report.conflicts;
    this.#retryAtMs = report.retryAtMs;
    if (report.rescan.size === 0) this.#rescanDelayMs = 0;
    else {
      // The first look comes at once; what then still does not look as expected (a disappearance
      // that has to settle, a busy writer) is not asked again and again meanwhile.
      this.#rescanAtMs = this.#ports.clock.monotonic() + this.#rescanDelayMs;
      const doubled = Math.max(RESCAN_DELAY_MS_MIN, 2 * this.#rescanDelayMs);
      this.#rescanDelayMs = Math.min(doubled, RESCAN_DELAY_MS_MAX);
    }
  }

  /** Nothing is left to be done but what waits for a person or for a later try. */
  #isQuiet(): boolean {
    const { connection, log } = this.#parts.session;
    const { store } = this.#ports;
    const cursor = store.cursor();
    if (!connection.isOnline || this.#isUnsettled || this.#hints.size > 0) return false;
    if (log.hasStreamed || cursor === undefined || cursor.seq < log.head) return false;
    const held = new Set(this.#holding.held?.nodes ?? []);
    return store.dirty().every((id) => this.#rounds.isParked(id) || held.has(id));
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

  #report(signal: AbortSignal): void {
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
    else if (this.#isQuiet()) {
      // What could not be carried out, and is tried again, is not in sync, whatever rests
      // meanwhile (I43).
      standing.set({ state: this.#rounds.awaitsRetry ? "syncing" : "in_sync", head });
      this.#reportDevice(signal);
      this.#prune();
      return;
    } else standing.set({ state: "syncing", head });
    // Nothing is reported before it is quiet again: a time that has passed must not keep the loop
    // awake.
    this.#reportAtMs = undefined;
  }

  /** Costs a small part of a full scan; what waits in quarantine may still give its chunks (D3). */
  #prune(): void {
    const { store } = this.#ports;
    if (!this.#mayPrune || store.quarantine().length > 0) return;
    this.#mayPrune = false;
    store.pruneManifests();
  }

  /** For lag and tombstones only: a report that is lost is made again with the next change. */
  #reportDevice(signal: AbortSignal): void {
    const { store, clock, api } = this.#ports;
    const { log } = this.#parts.session;
    const cursor = store.cursor();
    if (cursor === undefined || cursor.seq === this.#reportedSeq) {
      // The log of a restored server may be back where it was when it was last told of.
      this.#reportAtMs = undefined;
      return;
    }
    const now = clock.monotonic();
    this.#reportAtMs ??= this.#reportedSeq === -1 ? now : now + REPORT_DELAY_MS;
    if (now < this.#reportAtMs) return;
    this.#reportAtMs = undefined;
    this.#reportedSeq = cursor.seq;
    const report = { name: this.#parts.options.deviceName, applied: cursor };
    api.reportDevice(log.device, report, signal).catch((cause: unknown) => {
      if (!(cause instanceof SyncedError) && !isAbort(cause)) throw cause;
    });
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

  /** When the next turn is due if nothing wakes it (Clock.monotonic). */
  #nextTime(): number {
    const { connection } = this.#parts.session;
    const now = this.#ports.clock.monotonic();
    // Halted nothing is done: a time that has passed must not keep the loop awake.
    if (this.#haltReason !== undefined) return now + ROOT_CHECK_INTERVAL_MS;
    const times = [this.#fullScanAtMs, now + ROOT_CHECK_INTERVAL_MS, ...this.#again.values()];
    if (this.#rescanAtMs !== undefined) times.push(this.#rescanAtMs);
    if (this.#holding.held !== undefined) times.push(now + ANSWER_CHECK_INTERVAL_MS);
    if (!connection.isOnline) times.push(connection.retryAtMs);
    // Offline nothing is tried: a time that has passed must not keep the loop awake.
    if (connection.isOnline && this.#retryAtMs !== undefined) times.push(this.#retryAtMs);
    if (this.#reportAtMs !== undefined) times.push(this.#reportAtMs);
    const quarantineAtMs = nextQuarantineCheckMs(this.#ports);
    if (quarantineAtMs !== undefined) times.push(quarantineAtMs);
    return times.reduce((earliest, atMs) => Math.min(earliest, atMs));
  }

  #outcome(end: RunOutcome["end"]): RunOutcome {
    const problems = this.#ports.store.problems().length;
    return { end, conflicts: this.#conflicts, problems };
  }
}

function isAbort(cause: unknown): boolean {
  return cause instanceof Error && cause.name === "AbortError";
}
