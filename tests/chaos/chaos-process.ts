/** ChaosProcess: the built binary, running, with all that it says in a file. */
import { closeSync, openSync, readdirSync, readFileSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { BINARY } from "../scenarios/binary.ts";

/** Even a stopped machine of two cores needs no longer to end a process. */
const ENDS_WITHIN_MS = 30_000;
const TAIL_BYTES = 1_200;
/** What no program of ours may ever say. */
const SCANDAL = /bug in synced|TypeError|ReferenceError|RangeError|panic|^\s+at .+:\d+:\d+/;

export class ChaosProcess {
  readonly name: string;
  readonly #args: readonly string[];
  readonly #log: string;
  #child: Bun.Subprocess | undefined;
  #judgedBytes = 0;
  /** Exit code or signal that nobody asked for. */
  surprise: string | undefined;

  constructor(name: string, args: readonly string[], log: string) {
    this.name = name;
    this.#args = args;
    this.#log = log;
  }

  get isRunning(): boolean {
    return this.#child !== undefined;
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  start(): void {
    if (this.#child !== undefined) return;
    const log = openSync(this.#log, "a");
    const child = Bun.spawn([BINARY, ...this.#args], {
      cwd: tmpdir(),
      env: { PATH: process.env["PATH"] ?? "", HOME: tmpdir() },
      stdin: "ignore",
      stdout: log,
      stderr: log,
    });
    closeSync(log);
    this.#child = child;
    const watch = child.exited.then(() => {
      if (this.#child !== child) return;
      this.#child = undefined;
      this.surprise = `${this.name} ended by itself: ${child.signalCode ?? child.exitCode}`;
    });
    watch.catch(() => undefined);
  }

  signal(signal: NodeJS.Signals): void {
    this.#child?.kill(signal);
  }

  /** One that does not end in time is a surprise, and is killed. */
  async stop(signal: "SIGTERM" | "SIGKILL"): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined) return;
    child.kill(signal);
    child.kill("SIGCONT");
    const patience = setTimeout(() => {
      this.surprise = `${this.name} did not end within ${ENDS_WITHIN_MS} ms of ${signal}`;
      child.kill("SIGKILL");
    }, ENDS_WITHIN_MS);
    await child.exited;
    clearTimeout(patience);
  }

  get tail(): string {
    return this.#text().slice(-TAIL_BYTES);
  }

  /** @returns lines that no program of ours may say, since the last look. */
  scandals(): string[] {
    const text = this.#text();
    const fresh = text.slice(this.#judgedBytes);
    this.#judgedBytes = text.length;
    return fresh.split("\n").filter((line) => SCANDAL.test(line));
  }

  /** Of all lines of `--json`, the last one of that event. */
  lastEvent(name: string): Readonly<Record<string, unknown>> | undefined {
    const line = this.#text()
      .split("\n")
      .findLast((text) => text.startsWith(`{"event":"${name}"`));
    return line === undefined ? undefined : JSON.parse(line);
  }

  /** Time on a processor since it was started, in milliseconds, all threads. */
  get processorsMs(): number {
    let nanoseconds = 0;
    for (const thread of readdirSync(`/proc/${this.pid}/task`)) {
      const text = readFileSync(`/proc/${this.pid}/task/${thread}/schedstat`, "utf8");
      nanoseconds += Number(text.split(" ")[0]);
    }
    return nanoseconds / 1e6;
  }

  #text(): string {
    return statSync(this.#log, { throwIfNoEntry: false }) === undefined
      ? ""
      : readFileSync(this.#log, "utf8");
  }
}
