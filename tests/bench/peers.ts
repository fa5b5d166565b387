/** Other programs as carriers. Those that run and end go from A to a middle, and on to B. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Carrier, Session, SessionOptions } from "./carrier.ts";
import { syncthing } from "./syncthing.ts";
import type { Figures } from "./usage.ts";

type Command = (from: string, to: string, options: SessionOptions) => readonly string[];

const COMMANDS: Readonly<Record<string, Command>> = {
  rsync: (from, to, options) => ["rsync", ...rsyncFlags(options), `${from}/`, `${to}/`],
  "rsync-fsync": (from, to, options) => {
    return ["rsync", "--fsync", ...rsyncFlags(options), `${from}/`, `${to}/`];
  },
  unison: (from, to) => {
    return ["unison", from, to, "-batch", "-silent", "-times", "-confirmbigdel=false"];
  },
  rclone: (from, to) => ["rclone", "sync", "--metadata", from, to],
};

function rsyncFlags({ sendsParts }: SessionOptions): readonly string[] {
  return ["-a", "--delete", "--stats", ...(sendsParts ? ["--no-whole-file"] : [])];
}

class TwoHops implements Session {
  readonly a: string;
  readonly b: string;
  readonly #options: SessionOptions;
  readonly #command: Command;
  #beganMs = 0;
  #figures: Figures = {};

  constructor(options: SessionOptions, command: Command) {
    this.#options = options;
    this.#command = command;
    this.a = join(options.root, "a");
    this.b = join(options.root, "b");
    for (const path of [this.a, this.b, this.#middle]) mkdirSync(path, { recursive: true });
  }

  get #middle(): string {
    return join(this.#options.root, "middle");
  }

  async wait(): Promise<void> {}

  begin(): void {
    this.#beganMs = performance.now();
  }

  async carry(): Promise<void> {
    let [cpuSeconds, wireMb] = [0, 0];
    for (const [from, to] of [
      [this.a, this.#middle],
      [this.#middle, this.b],
    ] as const) {
      const child = Bun.spawn([...this.#command(from, to, this.#options)], {
        env: {
          PATH: process.env["PATH"] ?? "",
          HOME: this.#options.root,
          UNISON: join(this.#options.root, "unison"),
        },
        stdio: ["ignore", "pipe", "pipe"],
      });
      const [said, complaint] = await Promise.all([
        new Response(child.stdout).text(),
        new Response(child.stderr).text(),
      ]);
      if ((await child.exited) !== 0) throw new Error(complaint);
      cpuSeconds += Number(child.resourceUsage()?.cpuTime.total ?? 0) / 1e6;
      wireMb += rsyncBytes(said) / 1e6;
    }
    const wallSeconds = (performance.now() - this.#beganMs) / 1000;
    const own = { "wall s": wallSeconds, "CPU s": cpuSeconds };
    this.#figures = wireMb > 0 ? { ...own, "wire MB": wireMb } : own;
  }

  figures(): Figures {
    return this.#figures;
  }

  async close(): Promise<void> {}
}

/** Of `--stats`; 0 where another program spoke. */
function rsyncBytes(said: string): number {
  const all = said.matchAll(/^Total bytes (?:sent|received): ([\d,]+)/gm);
  return [...all].reduce((sum, [, count = ""]) => sum + Number(count.replaceAll(",", "")), 0);
}

/** All that are known, whether installed or not. */
export const PEERS: readonly Carrier[] = [
  ...Object.entries(COMMANDS).map(([name, command]): Carrier => {
    const open = async (options: SessionOptions) => new TwoHops(options, command);
    // It rounds to microseconds.
    const grain = name === "unison" ? { timeGrainNs: 1_000_000_000n } : undefined;
    return withWhyNot({ name, kind: "runs", open, ...grain }, name.replace(/-.*/, ""));
  }),
  withWhyNot(syncthing, "syncthing"),
];

/** Debian's packages have the programs' names. */
function withWhyNot(carrier: Carrier, program: string): Carrier {
  if (Bun.which(program) !== null) return carrier;
  return { ...carrier, whyNot: `not installed: apt-get install ${program}` };
}
