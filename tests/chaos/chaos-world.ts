/**
 * ChaosWorld: one server and some devices, all processes of their own. Knows when all is at rest,
 * and says what is wrong where it does not come to rest in time. Rules: I1, I11, I43, Y5.
 */
import { cpSync, existsSync, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { ServedEvent } from "../../src/core/event.ts";
import type { EventPage } from "../../src/protocol/messages.ts";
import { runSynced } from "../scenarios/binary.ts";
import { differences, type Snapshot } from "../scenarios/snapshot.ts";
import { earlierLosers } from "../sim/sim-checks.ts";
import { ChaosDevice, type Status } from "./chaos-device.ts";
import { ChaosDisk } from "./chaos-disk.ts";
import { ChaosLedger } from "./chaos-ledger.ts";
import { ChaosProcess } from "./chaos-process.ts";
import { describeEntry, type IndexEntry } from "./chaos-snapshot.ts";

const FOLDER = "default";
const LOOK_INTERVAL_MS = 300;
/** So long a client may say that it is in sync before it has noticed what its user did last. */
const UNNOTICED_MS = 10_000;
/** What goes on for so many times as long as it may take does not come to rest. */
const SLOWNESS_MAX = 4;
const SERVER_STARTS_WITHIN_MS = 30_000;
const CLIENT_DISK_MEBIBYTES = 48;
const SERVER_DISK_MEBIBYTES = 192;
/** At rest nothing happens: 1 % of one processor. */
const REST_SHARE_MAX = 0.01;
const REST_WINDOW_MS = 2_000;
/** Some of what a process tidies up comes a while after the last change. */
const REST_WINDOWS = 5;

export interface WorldOptions {
  readonly scratch: string;
  readonly seed: number;
  readonly clients: number;
  readonly disks: boolean;
}

/** How all stood at one look. */
interface Look {
  readonly statuses: readonly (Status | undefined)[];
  readonly head: number;
  readonly differing: readonly string[];
  readonly tree: Snapshot;
}

export class ChaosWorld {
  readonly ledger = new ChaosLedger();
  readonly server: ChaosProcess;
  readonly serverDisk: ChaosDisk | undefined;
  readonly devices: ChaosDevice[] = [];
  readonly #data: string;
  readonly #backup: string;
  readonly #log: string;
  #port = 0;
  #wasRestored = false;
  #keptTree: Snapshot | undefined;

  private constructor(options: WorldOptions, port: number) {
    const { scratch, disks } = options;
    this.serverDisk = disks
      ? new ChaosDisk("ext4", SERVER_DISK_MEBIBYTES, join(scratch, "server-disk"))
      : undefined;
    this.#data = join(this.serverDisk?.at ?? scratch, "storage");
    this.#backup = join(scratch, "backup");
    this.#port = port;
    this.#log = join(scratch, "server.log");
    const args = ["serve", "--data", this.#data, "--port", String(port), "--json"];
    this.server = new ChaosProcess("server", args, this.#log);
  }

  /** One server, and devices that have joined and are in sync. */
  static async open(options: WorldOptions): Promise<ChaosWorld> {
    mkdirSync(options.scratch, { recursive: true });
    const world = new ChaosWorld(options, freePort());
    await world.startServer();
    for (let index = 0; index < options.clients; index += 1) {
      const name = String.fromCharCode(65 + index);
      // The first ones have small disks, of two kinds; the last one has what this machine has.
      const kind = index === options.clients - 1 ? undefined : index % 2 === 0 ? "ext4" : "tmpfs";
      const disk =
        kind === undefined || !options.disks
          ? undefined
          : new ChaosDisk(kind, CLIENT_DISK_MEBIBYTES, join(options.scratch, `disk-${name}`));
      const device = await ChaosDevice.open({
        ...options,
        name,
        ledger: world.ledger,
        serverPort: () => world.#port,
        disk,
      });
      device.client.start();
      world.devices.push(device);
    }
    return world;
  }

  async startServer(): Promise<void> {
    // Its room may come back while it starts.
    const isDiskFull = this.serverDisk?.isFull === true;
    this.server.start();
    const deadlineMs = performance.now() + SERVER_STARTS_WITHIN_MS;
    while (!(await this.#isServing())) {
      if (performance.now() > deadlineMs) return;
      if (!this.server.isRunning) {
        if (isDiskFull) this.#forgiveFullDisk();
        return;
      }
      await Bun.sleep(50);
    }
  }

  /** On a disk that takes nothing its database cannot be opened: it says so, and ends. */
  #forgiveFullDisk(): void {
    if (this.server.lastEvent("error")?.["code"] === "storage_full")
      this.server.surprise = undefined;
  }

  /** While the server is stopped. */
  #keepServer(tree: Snapshot): void {
    this.#keptTree = tree;
    rmSync(this.#backup, { recursive: true, force: true });
    cpSync(this.#data, this.#backup, { recursive: true, preserveTimestamps: true });
  }

  /** What all folders held when the copy was made. */
  get keptTree(): Snapshot | undefined {
    return this.#keptTree;
  }

  get hasKeptServer(): boolean {
    return existsSync(this.#backup);
  }

  /** While the server is stopped. @returns how many contents were nowhere but in the lost part */
  restoreServer(): number {
    const onDisks = new Set(this.devices.flatMap((device) => [...device.contents()]));
    rmSync(this.#data, { recursive: true, force: true });
    cpSync(this.#backup, this.#data, { recursive: true, preserveTimestamps: true });
    this.#wasRestored = true;
    return this.ledger.requireOnly(onDisks);
  }

  /** All faults are over: everything runs, reaches everything, and has room. */
  async heal(): Promise<void> {
    for (const { disk, proxy } of this.devices) {
      disk?.free();
      proxy.set({ kind: "fair" });
    }
    this.serverDisk?.free();
    this.server.signal("SIGCONT");
    await this.startServer();
    for (const { client } of this.devices) {
      client.signal("SIGCONT");
      client.start();
    }
  }

  /**
   * Until all folders are equal to the server's index and all clients say that they are in sync
   * with its head.
   *
   * @param withinMs since something changed last, because a busy machine is slow, not stuck
   * @returns that tree, or what is wrong
   */
  async settle(
    withinMs: number,
  ): Promise<{ readonly tree: Snapshot } | { readonly wrong: string[] }> {
    const startMs = performance.now();
    let stillSinceMs = startMs;
    let shown = "";
    let liedSinceMs: number | undefined;
    let before: Look | undefined;
    for (;;) {
      const lookedMs = performance.now();
      const look = await this.#look();
      const lines = this.#describe(look);
      if (lines.join("\n") !== shown) stillSinceMs = performance.now();
      shown = lines.join("\n");
      await this.#approveHeld(look);
      const areAllInSync = look.statuses.every((status) => isInSync(status, look.head));
      if (areAllInSync && look.differing.length === 0) {
        if (before?.head === look.head) return { tree: look.tree };
        before = look;
      } else before = undefined;
      const nowMs = performance.now();
      if (!areAllInSync || look.differing.length === 0) liedSinceMs = undefined;
      else liedSinceMs ??= nowMs;
      if (liedSinceMs !== undefined && nowMs - liedSinceMs > UNNOTICED_MS) {
        const what = `all say in_sync with ${look.head}, for ${UNNOTICED_MS / 1_000} s, and differ:`;
        return { wrong: [`false in_sync: ${what}`, ...look.differing] };
      }
      const isStuck = nowMs - stillSinceMs > withinMs || nowMs - startMs > withinMs * SLOWNESS_MAX;
      if (isStuck) return { wrong: [`not settled within ${withinMs / 1_000} s`, ...lines] };
      // Looking costs a process for each device: half of the time is left to those looked at.
      await Bun.sleep(Math.max(LOOK_INTERVAL_MS, nowMs - lookedMs));
    }
  }

  /** @returns those of the contents that wait in a quarantine and are not in the history. */
  async writtenLate(contents: readonly string[]): Promise<readonly string[]> {
    const waiting = contents.filter((one) => this.devices.some((it) => it.isQuarantined(one)));
    const known = await Promise.all(waiting.map((content) => this.#remembers(content)));
    return waiting.filter((_, index) => known[index] === false);
  }

  /** @returns contents of conflict copies that a later loser replaced (R19), with what came. */
  async earlierLosers(): Promise<ReadonlyMap<string, string>> {
    const events: ServedEvent[] = [];
    for (let isLast = false; !isLast; ) {
      const route = `/v1/folders/${FOLDER}/events?after=${events.length}&limit=1000`;
      const page = await this.#get<EventPage>(route);
      for (const event of page?.events ?? []) events.push(event);
      isLast = page === undefined || page.events.length === 0;
    }
    const labels = new Map(this.devices.map((device) => [device.id, device.name]));
    return earlierLosers(events, labels, this.#wasRestored);
  }

  /** @returns what is not at rest although all is in sync. */
  async unrest(): Promise<string[]> {
    const processes = [this.server, ...this.devices.map(({ client }) => client)];
    let restless: string[] = [];
    for (let window = 0; window < REST_WINDOWS; window += 1) {
      const head = await this.#head();
      const before = processes.map((one) => one.processorsMs);
      await Bun.sleep(REST_WINDOW_MS);
      restless = processes.flatMap((one, index) => {
        const share = (one.processorsMs - (before[index] ?? 0)) / REST_WINDOW_MS;
        const percent = (share * 100).toFixed(1);
        return share > REST_SHARE_MAX
          ? [`not at rest: ${one.name} uses ${percent} % of a processor`]
          : [];
      });
      if ((await this.#head()) !== head)
        restless.push(`not at rest: the head moved on from ${head}`);
      if (restless.length === 0) return [];
    }
    return restless;
  }

  /** What processes said or did that none may. */
  scandals(): string[] {
    return [this.server, ...this.devices.map(({ client }) => client)].flatMap((one) => {
      const surprise = one.surprise === undefined ? [] : [one.surprise];
      one.surprise = undefined;
      return [...surprise, ...one.scandals().map((line) => `${one.name} said: ${line}`)];
    });
  }

  /**
   * Stops the server, looks at all it keeps, and starts it again.
   *
   * @param keep what it holds, if a copy is to be made from which it is restored later
   */
  async verify(keep: Snapshot | undefined): Promise<string[]> {
    await this.server.stop("SIGTERM");
    const { exitCode, stdout, stderr } = await runSynced(["verify", "--data", this.#data]);
    if (keep !== undefined) this.#keepServer(keep);
    await this.startServer();
    return exitCode === 0 ? [] : [`verify ended with ${exitCode}: ${stdout}${stderr}`];
  }

  async close(): Promise<void> {
    await Promise.all(this.devices.map((device) => device.close()));
    await this.server.stop("SIGKILL");
    this.serverDisk?.remove();
  }

  async #look(): Promise<Look> {
    const statuses = await Promise.all(this.devices.map((device) => device.status()));
    const head = (await this.#head()) ?? -1;
    const tree = await this.#index();
    const differing = this.devices.flatMap((device) =>
      differences(device.snapshot(), tree).map((line) => `${device.name} | server: ${line}`),
    );
    return { statuses, head, differing, tree };
  }

  /** Somebody who looks after it lets through what waits for a person. */
  async #approveHeld({ statuses }: Look): Promise<void> {
    for (const [index, device] of this.devices.entries()) {
      const held = statuses[index]?.held;
      if (held == null || held.count === 0) continue;
      this.ledger.note(device.name, `approves ${held.count} held changes`);
      await device.approve();
    }
  }

  #describe(look: Look): string[] {
    const lines = this.devices.map(({ name }, index) => {
      const status = look.statuses[index];
      const { state, reason, pending, problems, cursor } = status ?? {};
      return `${name}: ${JSON.stringify({ state, reason, pending, problems, seq: cursor?.seq })}`;
    });
    return [`head ${look.head}`, ...lines, ...look.differing];
  }

  async #head(): Promise<number | undefined> {
    return (await this.#get<{ readonly head: number }>(`/v1/folders/${FOLDER}`))?.head;
  }

  async #isServing(): Promise<boolean> {
    return (await this.#get<{ readonly ok: boolean }>("/healthz"))?.ok === true;
  }

  async #remembers(content: string): Promise<boolean> {
    const route = `/v1/folders/${FOLDER}/contents/${content}`;
    const answer = await fetch(`http://127.0.0.1:${this.#port}${route}`, { method: "HEAD" });
    return answer.ok;
  }

  async #index(): Promise<Snapshot> {
    const tree = new Map<string, string>();
    for (let after: string | undefined = ""; after !== undefined; ) {
      const query: string = after === "" ? "" : `&after=${encodeURIComponent(after)}`;
      const route = `/v1/folders/${FOLDER}/index?limit=5000${query}`;
      const page: IndexPage | undefined = await this.#get<IndexPage>(route);
      for (const entry of page?.entries ?? []) tree.set(entry.path, describeEntry(entry));
      after = page?.next;
    }
    return tree;
  }

  /** @returns undefined where there is no such thing, or nobody answers. */
  async #get<Answer>(route: string): Promise<Answer | undefined> {
    try {
      const answer = await fetch(`http://127.0.0.1:${this.#port}${route}`, {
        signal: AbortSignal.timeout(5_000),
      });
      if (!answer.ok) return undefined;
      const value: Answer = await answer.json();
      return value;
    } catch {
      return undefined;
    }
  }
}

interface IndexPage {
  readonly entries: readonly IndexEntry[];
  readonly next?: string;
}

function isInSync(status: Status | undefined, head: number): boolean {
  if (status === undefined || status.state !== "in_sync" || status.problems.length > 0)
    return false;
  return status.cursor?.seq === head && status.pending.up + status.pending.down === 0;
}

function freePort(): number {
  const listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  listener.stop(true);
  return listener.port;
}
