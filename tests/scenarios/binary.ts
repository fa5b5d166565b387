/**
 * Runs the compiled binary as a person or a script would: own environment, no terminal, scratch
 * folders.
 */
import { existsSync, mkdtempSync, readFileSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const ROOT = join(import.meta.dir, "..", "..");
export const BINARY = process.env["SYNCED_TEST_BINARY"] ?? join(ROOT, "dist", "synced");

/** Nothing that a test does on loopback takes as long, whatever else the machine does. */
const EVENT_WITHIN_MS = 60_000;
const ENDS_WITHIN_MS = 60_000;

export interface Ended {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  /** @default the compiled binary */
  readonly command?: readonly string[];
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
}

/** One line of `--json`. */
export type JsonLine = Readonly<Record<string, unknown>>;

/** Builds the binary where there is none; `bun run test` always builds it anew before. */
export async function ensureBinary(): Promise<void> {
  if (existsSync(BINARY)) return;
  const build = Bun.spawn([process.execPath, ".ci/build.ts"], {
    cwd: ROOT,
    stdio: ["ignore", "ignore", "inherit"],
  });
  if ((await build.exited) !== 0) throw new Error("Cannot build the binary");
}

function spawn(args: readonly string[], options: RunOptions) {
  return Bun.spawn([...(options.command ?? [BINARY]), ...args], {
    cwd: options.cwd ?? tmpdir(),
    env: { PATH: process.env["PATH"] ?? "", HOME: tmpdir(), ...options.env },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
}

/** Runs to the end. */
export async function runSynced(args: readonly string[], options: RunOptions = {}): Promise<Ended> {
  const child = spawn(args, options);
  const [stdout, stderr, exitCode] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { exitCode, stdout, stderr };
}

/** A command that goes on, followed by its `--json` events. */
export class RunningSynced {
  readonly #child: ReturnType<typeof spawn>;
  readonly #lines: JsonLine[] = [];
  readonly #stderr: Promise<string>;
  readonly #reading: Promise<void>;
  #hasReadAll = false;
  #taken = 0;
  #wake: () => void = () => undefined;

  constructor(args: readonly string[], options: RunOptions = {}) {
    this.#child = spawn([...args, "--json"], options);
    this.#stderr = new Response(this.#child.stderr).text();
    this.#reading = this.#read();
  }

  /**
   * @returns the next event of that name that was not returned before; those in between are
   * skipped.
   */
  async event(name: string): Promise<JsonLine> {
    const deadlineMs = performance.now() + EVENT_WITHIN_MS;
    for (;;) {
      while (this.#taken < this.#lines.length) {
        const line = this.#lines[this.#taken];
        this.#taken += 1;
        if (line?.["event"] === name) return line;
      }
      const leftMs = deadlineMs - performance.now();
      // What a process printed may be read only after it has ended.
      if (leftMs <= 0 || this.#hasReadAll) {
        const seen = this.#lines.map((line) => JSON.stringify(line)).join("\n");
        throw new Error(`No event "${name}" came (exit code ${this.#child.exitCode}):\n${seen}`);
      }
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        setTimeout(resolve, Math.min(leftMs, 100));
      });
    }
  }

  /** All events up to now. */
  get lines(): readonly JsonLine[] {
    return this.#lines;
  }

  get hasEnded(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  get pid(): number {
    return this.#child.pid;
  }

  /** Of the process that was started, whatever it runs by now; Linux only. */
  get environment(): readonly string[] {
    return readFileSync(`/proc/${this.#child.pid}/environ`, "utf8").split("\0");
  }

  /** Of its memory, what is in use now; Linux only. */
  get residentMb(): number {
    const status = readFileSync(`/proc/${this.#child.pid}/status`, "utf8");
    return Math.round(Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024);
  }

  /** User and system time up to now, from the kernel's clock ticks of 10 ms. */
  get processorsMs(): number {
    const stat = readFileSync(`/proc/${this.#child.pid}/stat`, "utf8");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return (Number(fields[11]) + Number(fields[12])) * 10;
  }

  /** Sends it and waits for nothing. */
  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<Ended> {
    this.signal(signal);
    return this.ended();
  }

  /** One that does not end in time is killed, so that the tests after it are not held up. */
  async ended(): Promise<Ended> {
    const patience = setTimeout(() => this.#child.kill("SIGKILL"), ENDS_WITHIN_MS);
    const exitCode = await this.#child.exited;
    clearTimeout(patience);
    await this.#reading;
    const stdout = this.#lines.map((line) => `${JSON.stringify(line)}\n`).join("");
    return { exitCode, stdout, stderr: await this.#stderr };
  }

  async #read(): Promise<void> {
    const decoder = new TextDecoder();
    let rest = "";
    for await (const bytes of this.#child.stdout) {
      const parts = (rest + decoder.decode(bytes, { stream: true })).split("\n");
      rest = parts.pop() ?? "";
      for (const line of parts) this.#lines.push(JSON.parse(line));
      this.#wake();
    }
    this.#hasReadAll = true;
    this.#wake();
  }
}

/** A server on any free port, with its own data. */
export async function startServer(
  data: string,
  options: RunOptions & { readonly args?: readonly string[] } = {},
): Promise<{ readonly url: string; readonly server: RunningSynced }> {
  const { args = [], ...rest } = options;
  const server = new RunningSynced(["serve", "--data", data, "--port", "0", ...args], rest);
  const { url } = await server.event("listening");
  return { url: String(url), server };
}

/** Folders that a test makes, and removes with all that is in them. */
export class Scratch {
  readonly path = realpathSync(mkdtempSync(join(tmpdir(), "synced-test-")));

  join(...names: string[]): string {
    return join(this.path, ...names);
  }

  remove(): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}
