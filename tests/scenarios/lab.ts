/**
 * Lab: one real server and some real clients, each a process of its own on scratch folders. Every
 * wait has a bound, and `close` leaves nothing behind.
 */

import { expect } from "bun:test";
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import {
  type Ended,
  type JsonLine,
  RunningSynced,
  type RunOptions,
  runSynced,
  Scratch,
} from "./binary.ts";
import { type CountingProxy, openCountingProxy } from "./proxy.ts";
import { differences, type Snapshot, snapshotOf } from "./snapshot.ts";

const SETTLES_WITHIN_MS = 60_000;
const LOOK_INTERVAL_MS = 20;

/** An element of GET events. */
export interface LoggedEvent {
  readonly seq: number;
  readonly opId: string;
  readonly kind: string;
  readonly path: string;
  readonly from?: string;
}

export interface FolderStatus {
  readonly state: string;
  readonly cursor: { readonly seq: number } | null;
  readonly problems: readonly { readonly path: string; readonly code: string }[];
  readonly conflicts: readonly { readonly path: string; readonly of: string }[];
  readonly held: { readonly id: string; readonly reason: string; readonly count: number } | null;
  readonly guard: string;
  readonly direction: string;
  readonly reason: string | null;
}

/** @throws {Error} naming `what` when it does not become true in time. */
export async function waitFor(
  what: string,
  look: () => boolean | Promise<boolean>,
  withinMs = SETTLES_WITHIN_MS,
): Promise<void> {
  const deadlineMs = performance.now() + withinMs;
  while (!(await look())) {
    if (performance.now() > deadlineMs) throw new Error(`Not within ${withinMs} ms: ${what}`);
    await Bun.sleep(LOOK_INTERVAL_MS);
  }
}

export class Device {
  readonly name: string;
  readonly path: string;
  readonly #url: () => string;
  readonly #arguments: readonly string[];
  readonly proxy: CountingProxy | undefined;
  #running: RunningSynced | undefined;

  constructor(
    name: string,
    place: {
      readonly path: string;
      readonly url: () => string;
      readonly proxy?: CountingProxy;
      readonly arguments?: readonly string[];
    },
  ) {
    this.name = name;
    this.path = place.path;
    this.#url = place.url;
    this.proxy = place.proxy;
    this.#arguments = place.arguments ?? [];
  }

  join(...names: string[]): string {
    return join(this.path, ...names);
  }

  /**
   * Puts a whole file there at once, over the one that was there; makes the directories above. A
   * file that is written in place may be scanned, and sent, before its bytes are in it, so tests
   * that count events would depend on luck.
   */
  write(path: string, bytes: string | Uint8Array): void {
    const [place, aside] = [this.join(path), `${this.path}.aside`];
    mkdirSync(dirname(place), { recursive: true });
    writeFileSync(aside, bytes);
    renameSync(aside, place);
  }

  read(path: string): string {
    return readFileSync(this.join(path), "utf8");
  }

  snapshot(): Snapshot {
    return snapshotOf(this.path);
  }

  get running(): RunningSynced {
    if (this.#running === undefined) throw new Error(`Device ${this.name} is not running`);
    return this.#running;
  }

  get isRunning(): boolean {
    return this.#running !== undefined;
  }

  /** Events of the run that is under way. */
  events(name: string): readonly JsonLine[] {
    return this.running.lines.filter((line) => line["event"] === name);
  }

  /** Goes on until `stop`. */
  start(): void {
    this.#running = new RunningSynced(this.#syncArguments());
  }

  /** The client sees all of it at once, however long it takes: what it logs is not luck. */
  atOnce(act: () => void): void {
    this.running.signal("SIGSTOP");
    try {
      act();
    } finally {
      this.running.signal("SIGCONT");
    }
  }

  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<Ended | undefined> {
    const running = this.#running;
    this.#running = undefined;
    return await running?.stop(signal);
  }

  async once(...more: string[]): Promise<Ended & { readonly events: readonly JsonLine[] }> {
    const ended = await runSynced([...this.#syncArguments(), "--once", "--json", ...more]);
    const lines = ended.stdout.split("\n").filter((line) => line !== "");
    return { ...ended, events: lines.map((line): JsonLine => JSON.parse(line)) };
  }

  async status(): Promise<FolderStatus> {
    return JSON.parse((await runSynced(["status", this.path, "--json"])).stdout);
  }

  #syncArguments(): string[] {
    const { path, name } = this;
    return ["sync", path, "--server", this.#url(), "--device", name, ...this.#arguments];
  }
}

export class Lab {
  readonly scratch = new Scratch();
  data = this.scratch.join("storage");
  readonly #devices: Device[] = [];
  readonly #serverOptions: RunOptions;
  #server: RunningSynced | undefined;
  #port = 0;

  /** @param serverOptions of each start of the server */
  constructor(serverOptions: RunOptions = {}) {
    this.#serverOptions = serverOptions;
  }

  static async open(): Promise<Lab> {
    const lab = new Lab();
    await lab.startServer();
    return lab;
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  get folderUrl(): string {
    return `${this.url}/v1/folders/default`;
  }

  /** On any free port at first, on the same one from then on. */
  async startServer(): Promise<void> {
    const args = ["serve", "--data", this.data, "--port", String(this.#port)];
    this.#server = new RunningSynced(args, this.#serverOptions);
    const { url } = await this.#server.event("listening");
    this.#port = Number(new URL(String(url)).port);
  }

  signalServer(signal: NodeJS.Signals): void {
    this.#server?.signal(signal);
  }

  /** It answers nobody, and goes on to live. */
  pauseServer(): void {
    this.signalServer("SIGSTOP");
  }

  async stopServer(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    await server?.stop(signal);
  }

  /** Its folder is made, and stays empty until somebody fills or starts it. */
  device(name: string, ...args: string[]): Device {
    return this.#add(new Device(name, { ...this.#place(name), arguments: args }));
  }

  /** One whose bytes on the network are counted. */
  async countedDevice(name: string): Promise<Device> {
    const proxy = await openCountingProxy(() => this.#port);
    return this.#add(new Device(name, { ...this.#place(name), url: () => proxy.url, proxy }));
  }

  /** Two that are running and in sync. */
  async pair(): Promise<readonly [Device, Device]> {
    const pair = [this.device("alpha"), this.device("beta")] as const;
    for (const device of pair) device.start();
    await this.settled(pair);
    return pair;
  }

  async get<T>(route: string): Promise<T> {
    const answer = await fetch(`${this.folderUrl}/${route}`);
    if (!answer.ok) throw new Error(`GET ${route} answered ${answer.status}`);
    const value: T = await answer.json();
    return value;
  }

  async head(): Promise<number> {
    const answer = await fetch(this.folderUrl);
    return answer.ok ? Number((await answer.json()).head) : 0;
  }

  async eventsAfter(seq: number): Promise<readonly LoggedEvent[]> {
    const page = await this.get<{ events: LoggedEvent[] }>(`events?after=${seq}&limit=1000`);
    return page.events;
  }

  /** True where the folder ever had a file of these bytes. */
  async remembers(digest: string): Promise<boolean> {
    const answer = await fetch(`${this.folderUrl}/contents/${digest}`, { method: "HEAD" });
    return answer.ok;
  }

  /** Until the running devices say that they are in sync with the head, and look the same. */
  async settled(devices: readonly Device[], withinMs = SETTLES_WITHIN_MS): Promise<void> {
    const deadlineMs = performance.now() + withinMs;
    for (;;) {
      const head = await this.head();
      const states = devices.map(({ running }) => lastState(running.lines));
      const areInSync = states.every((state) => state === `in sync with ${head}`);
      const differing = areInSync ? differencesAmong(devices) : ["not in sync"];
      if (differing.length === 0 && (await this.head()) === head) return;
      if (performance.now() > deadlineMs) {
        const said = devices.map(({ name, running }, index) => {
          const lines = running.lines.slice(-15).map((line) => JSON.stringify(line));
          return `${name}: ${states[index]}, ended: ${running.hasEnded}\n${lines.join("\n")}`;
        });
        throw new Error(`Not settled at ${head}:\n${[...differing, ...said].join("\n")}`);
      }
      await Bun.sleep(LOOK_INTERVAL_MS);
    }
  }

  /** Ends the server and reads all that it keeps. */
  async verify(): Promise<void> {
    await this.stopServer();
    const { exitCode, stdout } = await runSynced(["verify", "--data", this.data, "--json"]);
    expect({ exitCode, stdout }).toEqual({
      exitCode: 0,
      stdout: expect.stringContaining('"findings":0'),
    });
  }

  async close(): Promise<void> {
    await Promise.all(this.#devices.map((device) => device.stop("SIGKILL")));
    await this.stopServer("SIGKILL");
    for (const { proxy } of this.#devices) proxy?.close();
    this.scratch.remove();
  }

  #place(name: string) {
    const path = this.scratch.join(name);
    mkdirSync(path, { recursive: true });
    return { path, url: () => this.url };
  }

  #add(device: Device): Device {
    this.#devices.push(device);
    return device;
  }
}

function differencesAmong(devices: readonly Device[]): string[] {
  const [first, ...others] = devices.map((device) => momentOf(device));
  if (first === undefined) return [];
  return others.flatMap((other) => {
    if (other === undefined || typeof first === "string" || typeof other === "string") {
      return ["changed while it was looked at"];
    }
    return differences(first, other);
  });
}

/** A file may go while the folder is looked at. */
function momentOf(device: Device): Snapshot | string {
  try {
    return device.snapshot();
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return error.message;
    throw error;
  }
}

function lastState(lines: readonly JsonLine[]): string {
  const last = lines.findLast(({ event }) =>
    ["in_sync", "held", "released", "offline", "error", "stopped"].includes(String(event)),
  );
  if (last?.["event"] === "in_sync") return `in sync with ${last["seq"]}`;
  return String(last?.["event"] ?? "silent");
}
