/**
 * The loop of one client on one folder: waits for hints, events and times, then runs a cycle.
 * Watchers and streams only mark work; the loop decides when it is done. Rules: Y1-Y5, G1.
 */

import type { DeviceOrder } from "../core/device-order.ts";
import type { Paused } from "../core/device-state.ts";
import { SyncedError } from "../core/error.ts";
import { DEFAULT_GUARD } from "../core/guard-setting.ts";
import { Agenda, type Reason } from "./agenda.ts";
import { checkQuarantine, nextQuarantineCheckMs } from "./apply/quarantine.ts";
import { DeviceOrders } from "./connect/device-orders.ts";
import { DeviceReport } from "./connect/device-report.ts";
import { checkRoot } from "./connect/join.ts";
import { isAbort } from "./connect/remote-log.ts";
import type { Session } from "./connect/session.ts";
import { Cycle } from "./cycle.ts";
import type { ClientOptions, ClientWorld, RunOutcome } from "./folder/options.ts";
import { readPause, writePause } from "./folder/pause.ts";
import type { ClientPorts } from "./folder/ports.ts";
import type { StatusRecord } from "./folder/status-record.ts";
import { Holding } from "./hold.ts";
import { offerWanted } from "./post/repair.ts";
import { PackSize } from "./post/upload.ts";
import { proveInSync } from "./proof.ts";
import { Scanner } from "./scan/scanner.ts";
import { Scanning } from "./scanning.ts";
import type { Waking } from "./waking.ts";

/** How soon the client notices a lost root or a person's answer. */
const ROOT_CHECK_INTERVAL_MS = 2_000;
/**
 * From this difference on, the wall clock counts as put back. Smaller ones come from the clocks'
 * ticks.
 */
const CLOCK_STEP_MS_MIN = 1_000;

/** The parts of one run on a joined folder. */
export interface LoopParts {
  readonly world: ClientWorld;
  readonly options: ClientOptions;
  readonly session: Session;
  readonly status: StatusRecord;
  readonly waking: Waking;
}

export class Loop {
  readonly #parts: LoopParts;
  readonly #ports: ClientPorts;
  readonly #scanner: Scanner;
  readonly #holding: Holding;
  readonly #scanning: Scanning;
  readonly #cycle: Cycle;
  readonly #deviceReport: DeviceReport;
  readonly #orders: DeviceOrders;
  readonly #agenda = new Agenda();
  #wallAheadMs: number;
  /** True if the state may hold manifests of earlier versions. */
  #mayPrune = false;
  /** True after a full scan: the server may have found damage since it was asked. */
  #mayOffer = true;
  #offeredAtContact = 0;
  /** Ends when what the server wants was offered, or could not be. A single run waits for it. */
  #offering: Promise<unknown> = Promise.resolve();
  readonly #packSize = new PackSize();
  /** True if there was a full scan since "in sync" was last proven. */
  #mayProve = false;
  /** The reason why the folder is halted (G1). */
  #haltReason: string | undefined;
  #paused: Paused | undefined;
  #conflicts = 0;

  constructor(parts: LoopParts) {
    const { session, options } = parts;
    const { ports, log } = session;
    const { deviceName, fullScanIntervalMs } = options;
    const { device } = log;
    const wake = () => parts.waking.wake();
    const scanner = new Scanner(ports, session.chunkerProfile, log.births);
    const holding = new Holding(ports, log, {
      device,
      setting: options.guard ?? DEFAULT_GUARD,
      trustsApprovals: options.trustsApprovals === true,
    });
    this.#parts = parts;
    this.#ports = ports;
    this.#wallAheadMs = wallAheadMs(ports);
    this.#scanner = scanner;
    this.#holding = holding;
    const direction = options.direction ?? "both";
    const cycleParts = { ports, session, log, scanner, holding, device, deviceName, direction };
    this.#cycle = new Cycle(cycleParts);
    this.#scanning = new Scanning({
      ports,
      scanner,
      agenda: this.#agenda,
      fullScanIntervalMs,
      heard: (path) => this.#cycle.hear(path),
      wake,
    });
    this.#deviceReport = new DeviceReport({ ports, log, deviceName, wake });
    this.#orders = new DeviceOrders({ ports, log, obey: (order) => this.#obey(order) });
    this.#scanning.scanAll();
    this.#agenda.at("quarantine", ports.clock.monotonic());
  }

  async run(signal: AbortSignal): Promise<RunOutcome> {
    if (!this.#parts.options.once) await this.#scanning.hints.start();
    while (!signal.aborted) {
      const end = await this.#turn(signal);
      if (end !== undefined) {
        await this.#offering;
        return this.#outcome(end);
      }
      await this.#parts.waking.sleepUntil(this.#agenda.nextMs, signal);
    }
    return this.#outcome("stopped");
  }

  close(): void {
    this.#scanning.hints.close();
  }

  /** @returns how the run ends, if it ends. */
  async #turn(signal: AbortSignal): Promise<RunOutcome["end"] | undefined> {
    const { session, options, world } = this.#parts;
    const { store, clock } = this.#ports;
    const startMs = clock.monotonic();
    const due = this.#agenda.takeDue(startMs);
    this.#agenda.at("root", startMs + ROOT_CHECK_INTERVAL_MS);
    if (!this.#checkRoot()) {
      // Nothing else is done. All of it stays due until the root is back.
      for (const reason of due) this.#agenda.at(reason, startMs + ROOT_CHECK_INTERVAL_MS);
      this.#report(due, signal);
      return options.once ? "held" : undefined;
    }
    this.#lookAtPause();
    await this.#scanning.hints.quiet(() => session.log.hasStreamed, signal);
    const refusal = this.#deviceReport.takeRefusal();
    if (refusal !== undefined && session.connection.isOnline) session.connection.diverged(refusal);
    const seq = store.cursor()?.seq;
    const { scanned, rescan, conflicts } = await this.#cycle.run(
      () => this.#scan(due, signal),
      signal,
      this.#paused !== undefined,
    );
    this.#conflicts += conflicts;
    if (rescan !== undefined) this.#scanning.expect(rescan);
    this.#enterNext();
    if (due.has("quarantine") || this.#wasClockPutBack()) {
      await checkQuarantine(this.#ports, { deviceName: options.deviceName });
    }
    const hasMoved = store.cursor()?.seq !== seq;
    if (due.has("quarantine") || scanned || hasMoved) {
      this.#agenda.enter("quarantine", nextQuarantineCheckMs(this.#ports));
    }
    // Turns that only check the root would drown the others.
    if (scanned || hasMoved) world.instruments?.cycleEnded((clock.monotonic() - startMs) / 1_000);
    await this.#takeOrders(signal);
    this.#report(due, signal);
    return this.#end();
  }

  async #scan(due: ReadonlySet<Reason>, signal: AbortSignal): Promise<boolean> {
    const { retry } = this.#cycle;
    const isAgreed = this.#holding.takeAgreement();
    if (isAgreed) this.#scanner.agreeToRules();
    else if (this.#holding.held !== undefined && this.#holding.hasAnswer) {
      if (this.#holding.takeRejection()) this.#scanning.scanAll();
      retry.ask();
    }
    const all = isAgreed ? new Set([...due, "full scan"] as const) : due;
    const scanned = await this.#scanning.scanDue(all, signal);
    if (scanned === undefined) return false;
    this.#holding.withhold(this.#scanner.unignored);
    if (due.has("unexpected")) retry.ask();
    if (scanned === "full") {
      const { connection, log } = this.#parts.session;
      if (connection.isOnline && !log.isBehind) log.births.begin();
      this.#mayPrune = true;
      this.#mayOffer = true;
      this.#mayProve = true;
    }
    return true;
  }

  /** Enters when server and plan are due again. */
  #enterNext(): void {
    const { connection } = this.#parts.session;
    this.#agenda.enter("server", connection.dueAtMs);
    const mayPlan = connection.isOnline && this.#paused === undefined;
    this.#agenda.enter("plan", mayPlan ? this.#cycle.retry.atMs : undefined);
  }

  #lookAtPause(): void {
    const { observer } = this.#ports;
    const before = this.#paused;
    const paused = readPause(this.#ports);
    this.#paused = paused;
    if (paused === undefined) {
      if (before === undefined) return;
      this.#cycle.retry.ask();
      observer.emit({ event: "resumed" });
    } else if (before === undefined || before.until !== paused.until) {
      observer.emit({ event: "paused", ...paused });
    }
  }

  async #takeOrders(signal: AbortSignal): Promise<void> {
    const { session } = this.#parts;
    if (!session.connection.isOnline) return;
    await session.attempt(() => this.#orders.take(session.connection.contacts, signal));
  }

  /** It takes effect with the next turn, which begins at once. */
  async #obey(order: DeviceOrder): Promise<void> {
    switch (order.kind) {
      case "pause":
      case "resume": {
        const { kind: _kind, ...paused } = order;
        await writePause(this.#ports, order.kind === "pause" ? paused : undefined);
        break;
      }
      case "approve":
        this.#holding.approveFromAfar(order.held);
        break;
      case "reject":
        if (this.#holding.reject(order.held)) this.#scanning.scanAll();
        break;
      default:
        order satisfies never;
    }
    this.#cycle.retry.ask();
    this.#parts.waking.wake();
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
      this.#scanning.scanAll();
      observer.emit({ event: "released", id: "root" });
      return true;
    } catch (cause) {
      if (!(cause instanceof SyncedError) || cause.code !== "halted") throw cause;
      if (this.#haltReason !== undefined) return false;
      this.#haltReason = cause.message;
      observer.emit({ event: "held", id: "root", kinds: [], reason: cause.message, count: 0 });
      return false;
    }
  }

  /** True if all the remaining work waits for a person or for a later try. */
  #isQuiet(): boolean {
    const { connection, log } = this.#parts.session;
    const cursor = this.#ports.store.cursor();
    if (!connection.isOnline || !this.#scanning.isQuiet) return false;
    if (log.hasStreamed || cursor === undefined || cursor.seq < log.head) return false;
    return this.#cycle.retry.isResting;
  }

  #end(): RunOutcome["end"] | undefined {
    const { options, session } = this.#parts;
    if (!options.once) return undefined;
    if (!session.connection.isOnline || this.#cycle.shortage !== undefined) {
      return session.gaveUp ? "unreachable" : undefined;
    }
    if (this.#paused !== undefined) return "paused";
    if (!this.#isQuiet()) return undefined;
    return this.#holding.held === undefined ? "in_sync" : "held";
  }

  #report(due: ReadonlySet<Reason>, signal: AbortSignal): void {
    const { session, status } = this.#parts;
    const { head } = session.log;
    const { connection } = session;
    const { shortage } = this.#cycle;
    const reason = this.#haltReason;
    if (reason !== undefined) status.set({ state: "held", head, reason });
    else if (this.#paused !== undefined) {
      const { until } = this.#paused;
      status.set({ state: "paused", head, reason: until === undefined ? null : `until ${until}` });
      if (connection.isOnline) this.#tell(this.#hasNothingToDo(), due, signal);
    } else if (this.#holding.held !== undefined) {
      status.set({ state: "held", head });
      if (this.#isQuiet()) this.#tell(false, due, signal);
    } else if (connection.isLeaving) status.set({ state: "syncing", head, reason: null });
    else if (!connection.isOnline)
      status.set({ state: "offline", head, reason: connection.offlineReason ?? null });
    else if (shortage !== undefined) status.set({ state: "syncing", head, reason: shortage });
    else if (this.#isQuiet() && this.#isProven()) {
      // A change that failed and is tried again later is not in sync, even if nothing happens now
      // (I43).
      const { withheld } = this.#scanner;
      const waits = this.#cycle.deferred.awaitsRetry || withheld !== undefined;
      const said = withheld ?? this.#leftReason() ?? null;
      status.set({ state: waits ? "syncing" : "in_sync", head, reason: said });
      // A folder that only sends has not done what others changed (R21).
      const isBehind = this.#parts.options.direction === "push" && this.#cycle.leftCount > 0;
      this.#tell(!waits && !isBehind, due, signal);
      this.#prune();
      this.#offerWanted(signal);
    } else status.set({ state: "syncing", head });
  }

  /** True if a pause keeps nothing back so far. */
  #hasNothingToDo(): boolean {
    const { store } = this.#ports;
    const { log } = this.#parts.session;
    return store.dirtyCount() === 0 && !log.hasStreamed && !log.isBehind;
  }

  /** @param settled true if nothing that the log says waits to be done here */
  #tell(settled: boolean, due: ReadonlySet<Reason>, signal: AbortSignal): void {
    const { summary } = this.#holding;
    const paused = this.#paused;
    const state = {
      settled,
      ...(summary === undefined ? {} : { held: summary }),
      ...(paused === undefined ? {} : { paused }),
    };
    const reportAtMs = this.#deviceReport.tell(state, due.has("report"), signal);
    if (reportAtMs === undefined) this.#agenda.done("report");
    else this.#agenda.at("report", reportAtMs);
  }

  /** R21: changes that stay on their side are no news, but nobody may take them for synced. */
  #leftReason(): string | undefined {
    const { leftCount } = this.#cycle;
    if (leftCount === 0) return undefined;
    const changes = leftCount === 1 ? "1 change" : `${leftCount} changes`;
    return this.#parts.options.direction === "pull"
      ? `${changes} of this device not sent: it only receives (--direction pull)`
      : `${changes} of others not done here: this device only sends (--direction push)`;
  }

  /**
   * Runs once after each full scan that ends in rest (Y8). @returns false if there is more to do.
   */
  #isProven(): boolean {
    if (!this.#mayProve) return true;
    this.#mayProve = false;
    const { ignoreRules } = this.#scanner;
    const ignores = (path: string, isDirectory: boolean) => ignoreRules.ignores(path, isDirectory);
    if (proveInSync(this.#ports, ignores)) return true;
    this.#agenda.at("plan", this.#ports.clock.monotonic());
    return false;
  }

  /** Nothing waits for it, and nobody needs to know of trouble with it: it is tried again. */
  #offerWanted(signal: AbortSignal): void {
    const { contacts } = this.#parts.session.connection;
    const isDue = this.#mayOffer || this.#offeredAtContact !== contacts;
    if (!isDue || this.#parts.options.direction === "pull") return;
    this.#mayOffer = false;
    this.#offeredAtContact = contacts;
    const offering = offerWanted(this.#ports, this.#packSize, signal);
    this.#offering = offering.catch((cause: unknown) => {
      if (!(cause instanceof SyncedError) && !isAbort(cause)) throw cause;
      this.#mayOffer = true;
    });
  }

  /**
   * Costs a small part of a full scan. Waits while quarantine holds files that may give their
   * chunks (D3).
   */
  #prune(): void {
    const { store } = this.#ports;
    if (!this.#mayPrune || store.quarantineGroups().length > 0) return;
    this.#mayPrune = false;
    store.pruneManifests();
  }

  /**
   * Files wait in quarantine by the wall clock, so they must learn of this at once, or they would
   * wait anew.
   */
  #wasClockPutBack(): boolean {
    const aheadMs = wallAheadMs(this.#ports);
    const wasPutBack = aheadMs < this.#wallAheadMs - CLOCK_STEP_MS_MIN;
    if (wasPutBack || aheadMs > this.#wallAheadMs) this.#wallAheadMs = aheadMs;
    return wasPutBack;
  }

  #outcome(end: RunOutcome["end"]): RunOutcome {
    const problems = this.#ports.store.problems().length;
    return { end, conflicts: this.#conflicts, problems, left: this.#cycle.leftCount };
  }
}

/** How far the wall clock is ahead of the clock that never goes back. */
function wallAheadMs({ clock }: Pick<ClientPorts, "clock">): number {
  return clock.now() - clock.monotonic();
}
