/** ChaosDevice: one folder with its users, its client as a process, its network and its disk. */
import {
  copyFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
} from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { BINARY } from "../scenarios/binary.ts";
import { type Snapshot, snapshotOf } from "../scenarios/snapshot.ts";
import { SimRandom } from "../sim/sim-random.ts";
import type { ChaosDisk } from "./chaos-disk.ts";
import { ChaosHand } from "./chaos-hand.ts";
import type { ChaosLedger } from "./chaos-ledger.ts";
import { ChaosProcess } from "./chaos-process.ts";
import { ChaosProxy } from "./chaos-proxy.ts";
import { contentsIn } from "./chaos-snapshot.ts";
import { ChaosUser } from "./chaos-user.ts";

/** What `synced status --json` says. */
export interface Status {
  readonly state: string;
  readonly cursor: { readonly seq: number } | null;
  readonly head: number | null;
  readonly reason: string | null;
  readonly pending: { readonly up: number; readonly down: number };
  readonly problems: readonly { readonly path: string; readonly code: string }[];
  readonly held: { readonly id: string; readonly count: number } | null;
}

const USERS = 2;
/** state.db with what SQLite keeps beside it. */
const STATE_FILES = ["state.db", "state.db-wal", "state.db-shm"];
/** Longer than it waits for late writers. */
const QUARANTINE_MS_MAX = 100_000;
const SCANS_MIN = 2;

export interface DeviceParts {
  readonly name: string;
  readonly scratch: string;
  readonly seed: number;
  readonly ledger: ChaosLedger;
  readonly serverPort: () => number;
  readonly disk: ChaosDisk | undefined;
}

export class ChaosDevice {
  readonly name: string;
  readonly path: string;
  readonly disk: ChaosDisk | undefined;
  readonly proxy: ChaosProxy;
  readonly client: ChaosProcess;
  readonly users: readonly ChaosUser[];
  readonly #kept: string;

  private constructor(parts: DeviceParts, proxy: ChaosProxy) {
    this.name = parts.name;
    this.disk = parts.disk;
    this.proxy = proxy;
    this.path = join(parts.disk?.at ?? parts.scratch, `folder-${parts.name}`);
    this.#kept = join(parts.scratch, `state-of-${parts.name}`);
    mkdirSync(this.path, { recursive: true });
    const url = `http://127.0.0.1:${proxy.port}`;
    const args = ["sync", this.path, "--server", url, "--device", parts.name, "--json"];
    this.client = new ChaosProcess(parts.name, args, join(parts.scratch, `${parts.name}.log`));
    const hand = new ChaosHand(parts.name, this.path, parts.ledger);
    this.users = Array.from({ length: USERS }, (_, index) => {
      const label = `${parts.name}${index + 1}`;
      return new ChaosUser(hand, new SimRandom(parts.seed, `user ${label}`), label);
    });
  }

  static async open(parts: DeviceParts): Promise<ChaosDevice> {
    const proxy = new ChaosProxy(parts.serverPort);
    await proxy.open();
    return new ChaosDevice(parts, proxy);
  }

  snapshot(): Snapshot {
    return snapshotOf(this.path);
  }

  /** Contents on this disk, also those that wait in the client's own directory. */
  contents(): ReadonlySet<string> {
    const hidden = ["staging", "quarantine", "parking"].map((name) => this.#state(name));
    const found = contentsIn(this.snapshot());
    for (const directory of hidden) {
      if (existsSync(directory))
        for (const one of contentsIn(snapshotOf(directory))) found.add(one);
    }
    return found;
  }

  /** Its id in the log. */
  get id(): string | undefined {
    const marker = this.#state("marker.json");
    return existsSync(marker) ? JSON.parse(readFileSync(marker, "utf8")).device : undefined;
  }

  async status(): Promise<Status | undefined> {
    const child = Bun.spawn([BINARY, "status", this.path, "--json"], {
      stdin: "ignore",
      stdout: "pipe",
      stderr: "ignore",
      env: { PATH: process.env["PATH"] ?? "" },
    });
    const text = await new Response(child.stdout).text();
    await child.exited;
    return text === "" ? undefined : JSON.parse(text);
  }

  async approve(): Promise<void> {
    await Bun.spawn([BINARY, "approve", this.path], { stdio: ["ignore", "ignore", "ignore"] })
      .exited;
  }

  /** While the client is stopped. */
  keepState(): void {
    mkdirSync(this.#kept, { recursive: true });
    for (const name of STATE_FILES) {
      rmSync(join(this.#kept, name), { force: true });
      if (existsSync(this.#state(name))) copyFileSync(this.#state(name), join(this.#kept, name));
    }
  }

  get hasKeptState(): boolean {
    return existsSync(join(this.#kept, STATE_FILES[0] ?? ""));
  }

  /** While the client is stopped. */
  loseState(): void {
    for (const name of STATE_FILES) rmSync(this.#state(name), { force: true });
  }

  /** While the client is stopped. */
  rollStateBack(): void {
    this.loseState();
    for (const name of STATE_FILES) {
      const kept = join(this.#kept, name);
      if (existsSync(kept)) copyFileSync(kept, this.#state(name));
    }
  }

  /** What must not be left behind once all is in sync. */
  litter(): string[] {
    const left = ["staging", "parking"].flatMap((name) =>
      this.#entries(name).map((entry) => `${this.name}: .synced/${name}/${entry}`),
    );
    const waiting = this.#waitingSince();
    const old = this.#entries("quarantine").filter((entry) => {
      const stat = lstatSync(this.#state("quarantine", entry), { throwIfNoEntry: false });
      const sinceMs = waiting.get(entry) ?? stat?.ctimeMs;
      return sinceMs !== undefined && Date.now() - sinceMs > QUARANTINE_MS_MAX;
    });
    return [...left, ...old.map((entry) => `${this.name}: old .synced/quarantine/${entry}`)];
  }

  /**
   * Since when files wait in quarantine, by the client's own account, as it begins anew where its
   * state was lost. One that no two scans came after waits for the next full one.
   */
  #waitingSince(): ReadonlyMap<string, number> {
    const database = new DatabaseSync(this.#state("state.db"), { readOnly: true });
    try {
      const rows = database.prepare("SELECT id, since_ms, scans FROM quarantine").all();
      return new Map(
        rows.map(({ id, since_ms, scans }) => {
          return [
            String(id),
            Number(scans) < SCANS_MIN ? Number.POSITIVE_INFINITY : Number(since_ms),
          ];
        }),
      );
    } finally {
      database.close();
    }
  }

  /** What may still turn out to have been written to late. */
  quarantined(): readonly string[] {
    return this.#entries("quarantine");
  }

  isQuarantined(content: string): boolean {
    const directory = this.#state("quarantine");
    return existsSync(directory) && contentsIn(snapshotOf(directory)).has(content);
  }

  async close(): Promise<void> {
    await this.client.stop("SIGKILL");
    this.proxy.close();
    this.disk?.remove();
  }

  #entries(name: string): string[] {
    const directory = this.#state(name);
    return existsSync(directory) ? readdirSync(directory) : [];
  }

  #state(...names: string[]): string {
    return join(this.path, ".synced", ...names);
  }
}
