/** Starts one of the scripts beside this file. */
import { join } from "node:path";

export type Runtime = "bun" | "deno" | "deno without FFI";

const RUNTIMES: Readonly<Record<Runtime, readonly string[]>> = {
  bun: [process.execPath],
  deno: [denoPath(), "run", "--quiet", "--allow-all"],
  "deno without FFI": [
    denoPath(),
    "run",
    "--quiet",
    "--allow-read",
    "--allow-write",
    "--allow-sys",
    "--allow-env",
  ],
};

export interface Script {
  readonly pid: number;
  /** The next line of its standard output; undefined at its end. */
  line(): Promise<string | undefined>;
  kill(signal: NodeJS.Signals): void;
  readonly exited: Promise<unknown>;
}

export function spawnScript(runtime: Runtime, script: string, ...rest: string[]): Script {
  return spawn([...RUNTIMES[runtime], join(import.meta.dir, script), ...rest]);
}

/** In a user namespace of its own, whose limits it may set. */
export function spawnLimitedScript(runtime: Runtime, script: string, ...rest: string[]): Script {
  const command = [...RUNTIMES[runtime], join(import.meta.dir, script), ...rest];
  return spawn(["unshare", "--user", "--map-root-user", ...command]);
}

function spawn(command: string[]): Script {
  const child = Bun.spawn(command, { stdout: "pipe", stderr: "inherit", stdin: "ignore" });
  const lines = linesOf(child.stdout);
  return {
    pid: child.pid,
    line: async () => (await lines.next()).value,
    kill: (signal) => child.kill(signal),
    exited: child.exited,
  };
}

async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<string, undefined> {
  let rest = "";
  const decoder = new TextDecoder();
  for await (const bytes of stream) {
    const parts = (rest + decoder.decode(bytes, { stream: true })).split("\n");
    rest = parts.pop() ?? "";
    yield* parts;
  }
}

/** The executable itself: its launcher in `.bin` would be killed in its stead. */
export function denoPath(): string {
  return join(import.meta.dir, "../../../node_modules/deno/deno");
}
