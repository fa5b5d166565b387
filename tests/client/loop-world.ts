/**
 * LoopWorld: the whole client over a simulated disk, network and time, and a real router. Rules:
 * Y1-Y5. Counts what the client does while nothing happens to it.
 */

import { KEPT, type StatusValue } from "../../src/client/folder/kept-values.ts";
import type { RunOutcome } from "../../src/client/folder/options.ts";
import { runClient } from "../../src/client/run.ts";
import { sha256 } from "../../src/core/digest.ts";
import { type FolderName, ROOT_ID } from "../../src/core/identifier.ts";
import type { ClientEvent } from "../../src/ports/observer.ts";
import type { Barrier, StateStore } from "../../src/ports/state-store.ts";
import type { Transport } from "../../src/ports/transport.ts";
import { NO_BUG } from "../sim/sim-bugs.ts";
import { Scheduler, SimClock } from "../sim/sim-clock.ts";
import { SimConnection } from "../sim/sim-network.ts";
import { override } from "../sim/sim-override.ts";
import { SimRandom } from "../sim/sim-random.ts";
import { SimServer } from "../sim/sim-server.ts";
import { SimStateFile, SimStateHome } from "../sim/sim-state-home.ts";
import { SimTrace } from "../sim/sim-trace.ts";
import { SimWatcher } from "../sim/sim-watcher.ts";
import { ScanWorld } from "./scan-world.ts";

const FOLDER = "default" as FolderName;
export const FOLDER_URL = "http://server.test/v1/folders/default";

/** What the client did in some time. */
export interface Work {
  /** Turns of the loop: each looks at the root. */
  readonly turns: number;
  /** Calls to the disk. */
  readonly calls: number;
  /** Reads of all rows of a kind that the state keeps, however many there are. */
  readonly lists: number;
  /** Plans, each of which costs something for each node that waits. */
  readonly plans: number;
  /** The most nodes that were planned at once. */
  readonly planned: number;
  readonly requests: number;
  readonly streams: number;
}

export class LoopWorld {
  readonly scheduler = new Scheduler();
  /** The folder, its user, and hooks at each call to its disk. */
  readonly folder = new ScanWorld();
  readonly events: ClientEvent[] = [];
  readonly server: SimServer;
  isServerFull = false;
  /** Answers in the server's place where it gives something. */
  answer: (request: Request) => Promise<Response | undefined> | Response | undefined = () =>
    undefined;
  hintFate: "deliver" | "overflow" | "lose" = "deliver";
  /** As the server answers. */
  pure: Transport = () => Promise.reject(new Error("not started"));
  breakStreams: () => void = () => {};
  readonly #state = new SimStateFile(false);
  readonly #trace = new SimTrace(false);
  #stop = new AbortController();
  serverUrl = "http://server.test";
  #ended: Promise<RunOutcome> | undefined;
  #starts = 0;
  #turns = 0;
  #calls = 0;
  #lists = 0;
  /** Transactions that are durable when they return, and single values, which are. */
  barriers = 0;
  #isInTransaction = false;
  #plans = 0;
  #planned = 0;
  #requests = 0;
  #streams = 0;

  constructor() {
    const { scheduler, folder } = this;
    Object.defineProperty(folder.clock, "elapsedMs", { get: () => scheduler.now });
    folder.make(".synced/staging/", ".synced/quarantine/", ".synced/parking/");
    this.server = new SimServer({
      scheduler,
      random: new SimRandom(1, "server"),
      wrap: NO_BUG.sequencer,
      wrapMetadata: NO_BUG.metadata,
      trace: this.#trace,
      folder: FOLDER,
      killed: () => false,
      onDelete: () => {},
      full: () => this.isServerFull,
      onError: () => {},
    });
    this.server.start();
  }

  get store(): StateStore {
    return this.#state.open();
  }

  get status(): Partial<StatusValue> {
    return (this.store.value(KEPT.status.key) ?? {}) as Partial<StatusValue>;
  }

  start(once = false): void {
    const { scheduler, folder } = this;
    const clock = new SimClock(scheduler);
    folder.onCall = (name, path) => {
      scheduler.called();
      this.#calls++;
      if (name === "stat" && path === "") this.#turns++;
      return undefined;
    };
    const connection = new SimConnection({
      scheduler,
      random: new SimRandom(2, "network"),
      trace: this.#trace,
      listener: this.server,
      label: "laptop",
    });
    this.pure = connection.transport;
    this.breakStreams = () => connection.breakStreams("broken");
    const transport = async (request: Request): Promise<Response> => {
      this.#requests++;
      if (request.headers.get("accept")?.includes("event-stream") === true) this.#streams++;
      await clock.sleep(1, request.signal);
      const answer = await this.answer(request);
      return answer ?? (await connection.transport(request));
    };
    const { disk } = folder;
    const watcher = new SimWatcher({
      scheduler,
      disk,
      delayMs: () => 1,
      fate: () => this.hintFate,
      lost: () => {},
    });
    const counted = (store: StateStore): StateStore =>
      override(store, {
        quarantine: () => {
          this.#lists++;
          return store.quarantine();
        },
        problems: () => {
          this.#lists++;
          return store.problems();
        },
        dirty: () => {
          this.#lists++;
          const dirty = store.dirty();
          this.#planned = Math.max(this.#planned, dirty.length);
          return dirty;
        },
        transaction: <Result>(work: () => Result, barrier?: Barrier): Result => {
          if (barrier !== "normal") this.barriers++;
          this.#isInTransaction = true;
          try {
            return store.transaction(work, barrier);
          } finally {
            this.#isInTransaction = false;
          }
        },
        setValue: (key: string, value: unknown) => {
          if (!this.#isInTransaction) this.barriers++;
          store.setValue(key, value);
        },
        // A plan is judged by how many files there are.
        baseFileCount: () => {
          this.#plans++;
          return store.baseFileCount();
        },
      });
    const stores = new SimStateHome(this.#state, () => {}, counted);
    const observer = { emit: (event: ClientEvent) => void this.events.push(event) };
    // No id of an earlier run comes again.
    const random = new SimRandom(this.#starts++, "ids");
    const world = { fs: folder.fs, watcher, clock, random, observer, stores, transport };
    const options = {
      serverUrl: this.serverUrl,
      folder: FOLDER,
      deviceName: "laptop",
      once,
      fullScanIntervalMs: 600_000,
    };
    this.#stop = new AbortController();
    this.#ended = runClient(world, options, this.#stop.signal);
    this.#ended.catch(() => {});
  }

  /** Time passes. @returns what the client did in it */
  async pass(ms: number): Promise<Work> {
    const [turns, plans] = [this.#turns, this.#plans];
    const [calls, lists] = [this.#calls, this.#lists];
    const [requests, streams] = [this.#requests, this.#streams];
    this.#planned = 0;
    const untilMs = this.scheduler.now + ms;
    // Bodies of requests and answers come by the event loop.
    do await new Promise((resolve) => setImmediate(resolve));
    while (this.scheduler.step(untilMs));
    this.scheduler.now = untilMs;
    return {
      turns: this.#turns - turns,
      calls: this.#calls - calls,
      lists: this.#lists - lists,
      plans: this.#plans - plans,
      planned: this.#planned,
      requests: this.#requests - requests,
      streams: this.#streams - streams,
    };
  }

  async stop(): Promise<RunOutcome | undefined> {
    this.#stop.abort();
    await this.pass(1_000);
    return await this.#ended;
  }

  /** The user makes files and directories; the watcher hears of it. */
  make(...paths: string[]): void {
    this.folder.make(...paths);
    for (const path of paths) this.folder.disk.touched(path.replace(/\/$/, ""));
  }

  move(from: string, to: string): void {
    this.folder.move(from, to);
    for (const path of [from, to]) this.folder.disk.touched(path);
  }

  remove(path: string): void {
    this.folder.remove(path);
    this.folder.disk.touched(path);
  }

  /** Somebody else writes a file, or deletes it. */
  async remote(path: string, text?: string): Promise<void> {
    const method = text === undefined ? "DELETE" : "PUT";
    const url = `${FOLDER_URL}/files?path=${encodeURIComponent(path)}`;
    await this.call(url, text === undefined ? { method } : { method, body: text });
  }

  /** Somebody else renames what stands in the root. */
  async remoteRename(from: string, name: string): Promise<void> {
    const node = this.store.remote.child(ROOT_ID, from);
    const { epoch, head, hash } = JSON.parse(await this.call(FOLDER_URL));
    const opId = sha256(`${from} ${name}`).slice(0, 32);
    const op = { kind: "move", opId, node: node?.id, parent: ROOT_ID, name };
    await this.call(`${FOLDER_URL}/ops`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({
        device: "f".repeat(32),
        batch: opId,
        cursor: { epoch, seq: head, hash },
        groups: [[{ ...op, basePlace: node?.placeVersion }]],
      }),
    });
  }

  /** What the server has. */
  async read(path: string): Promise<string> {
    return await this.call(`${FOLDER_URL}/files?path=${encodeURIComponent(path)}`);
  }

  /** Somebody else asks the server. */
  async call(url: string, init: RequestInit = {}): Promise<string> {
    const request = new Request(url, init);
    const answer = this.server.handler?.(request).then(async (response) => {
      const text = await response.text();
      if (!response.ok) throw new Error(`${request.method} ${url}: ${response.status} ${text}`);
      return text;
    });
    let isOver = false;
    const over = (): void => {
      isOver = true;
    };
    answer?.then(over, over);
    while (!isOver) await this.pass(10);
    return (await answer) ?? "";
  }

  said(event: ClientEvent["event"]): readonly ClientEvent[] {
    return this.events.filter((one) => one.event === event);
  }
}
