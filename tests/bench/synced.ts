/** synced as a carrier: a server and two devices, processes of their own on loopback, fsync on. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { BINARY, type JsonLine, RunningSynced, runSynced } from "../scenarios/binary.ts";
import type { Carrier, Session } from "./carrier.ts";
import { isSameShape, shapeOf } from "./identity.ts";
import { type Figures, Meter } from "./usage.ts";

const LOOK_MS = 2;
const CARRIED_WITHIN_MS = 3_600_000;

export class SyncedSession implements Session {
  readonly a: string;
  readonly b: string;
  readonly data: string;
  readonly #command: readonly string[];
  readonly #running = new Map<string, RunningSynced>();
  /** Lines of each device that were looked at. */
  readonly #seen = new Map<string, number>();
  #url = "";
  #meter: Meter | undefined;
  #figures: Figures = {};
  #beganMs = 0;

  private constructor(root: string, command: readonly string[]) {
    this.a = join(root, "a");
    this.b = join(root, "b");
    this.data = join(root, "server");
    this.#command = command;
    for (const path of [this.a, this.b]) mkdirSync(path, { recursive: true });
  }

  /** Its server listens. */
  static async open(
    root: string,
    command: readonly string[] = [BINARY],
    ...serveArguments: string[]
  ): Promise<SyncedSession> {
    const session = new SyncedSession(root, command);
    const args = ["serve", "--data", session.data, "--port", "0", ...serveArguments];
    const server = new RunningSynced(args, { command });
    session.#running.set("server", server);
    session.#url = String((await server.event("listening"))["url"]);
    return session;
  }

  get url(): string {
    return this.#url;
  }

  /** Devices reach the server through this one from now on. */
  set url(url: string) {
    this.#url = url;
  }

  process(name: "a" | "b" | "server"): RunningSynced {
    const running = this.#running.get(name);
    if (running === undefined) throw new Error(`"${name}" is not running`);
    return running;
  }

  start(name: "a" | "b", ...more: string[]): void {
    if (this.#running.has(name)) return;
    const args = ["sync", this[name], "--server", this.#url, "--device", name, ...more];
    this.#running.set(name, new RunningSynced(args, { command: this.#command }));
    this.#seen.set(name, 0);
  }

  async stop(name: "a" | "b"): Promise<void> {
    const running = this.#running.get(name);
    this.#running.delete(name);
    await running?.stop();
  }

  async wait(): Promise<void> {
    this.start("b");
    await this.inSync("b");
  }

  /** Until that device says so, counted from its start. */
  async inSync(name: "a" | "b"): Promise<void> {
    await this.#until(`"${name}" is in sync`, () =>
      this.process(name).lines.some(({ event }) => event === "in_sync"),
    );
  }

  begin(): void {
    this.#beganMs = performance.now();
    this.#meter = new Meter(() => this.pids());
  }

  pids(): ReadonlyMap<string, number> {
    return new Map([...this.#running].map(([name, { pid }]) => [name, pid]));
  }

  async carry({ untilBoth } = { untilBoth: false }): Promise<void> {
    for (const name of ["a", "b"] as const) this.start(name);
    let endMs = this.#beganMs;
    let shape: ReturnType<typeof shapeOf> | undefined;
    const last = { a: -1, b: -2 };
    let lookedAtMs = 0;
    await this.#until("B is as A is", async () => {
      for (const name of ["a", "b"] as const) {
        for (const line of this.#newLines(name)) {
          if (line["event"] === "held") await runSynced(["approve", this[name]]);
          if (line["event"] !== "in_sync") continue;
          last[name] = Number(line["seq"]);
          if (name === "b" || untilBoth) endMs = performance.now();
        }
      }
      if (last.a !== last.b || lookedAtMs === endMs) return false;
      lookedAtMs = endMs;
      const figures = this.#meter?.read(endMs) ?? {};
      shape ??= shapeOf(this.a);
      this.#figures = figures;
      return isSameShape(shape, shapeOf(this.b));
    });
  }

  figures(): Figures {
    return this.#figures;
  }

  async close(): Promise<void> {
    for (const name of ["a", "b", "server"]) await this.#running.get(name)?.stop();
    this.#running.clear();
  }

  *#newLines(name: string): Generator<JsonLine> {
    const lines = this.#running.get(name)?.lines ?? [];
    const seen = this.#seen.get(name) ?? 0;
    this.#seen.set(name, lines.length);
    yield* lines.slice(seen);
  }

  async #until(what: string, isSo: () => boolean | Promise<boolean>): Promise<void> {
    const deadlineMs = performance.now() + CARRIED_WITHIN_MS;
    while (!(await isSo())) {
      const ended = [...this.#running].find(([, { hasEnded }]) => hasEnded);
      if (ended !== undefined) throw new Error(`"${ended[0]}" ended before ${what}`);
      if (performance.now() > deadlineMs) throw new Error(`Not in time: ${what}`);
      await Bun.sleep(LOOK_MS);
    }
  }
}

export function syncedCarrier(name: string, command: readonly string[]): Carrier {
  return { name, kind: "synced", open: ({ root }) => SyncedSession.open(root, command) };
}
