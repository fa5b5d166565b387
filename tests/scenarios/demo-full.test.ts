/** `bun run demo -- --full`: all parts of compose.yaml run together, without containers. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import postgres from "postgres";
import { ensureBinary, Scratch } from "./binary.ts";

const ROOT = join(import.meta.dir, "..", "..");
const WITHIN_MS = 150_000;

const scratch = new Scratch();
const directory = scratch.join("demo");
const temporary = scratch.join("tmp");

beforeAll(async () => {
  await ensureBinary();
  // Run by root, PostgreSQL is another user who must come in here.
  chmodSync(scratch.path, 0o711);
  mkdirSync(temporary, { mode: 0o711 });
}, WITHIN_MS);
afterAll(() => scratch.remove());

/** Follows what it prints. */
class RunningDemo {
  readonly #child;
  readonly #errors: Promise<string>;
  #printed = "";

  constructor(args: readonly string[]) {
    this.#child = Bun.spawn([process.execPath, ".ci/demo.ts", "--full", directory, ...args], {
      cwd: ROOT,
      env: { ...process.env, TMPDIR: temporary },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    this.#errors = new Response(this.#child.stderr).text();
  }

  /** @returns all that it printed until it printed that, or ended. */
  async prints(text: string | undefined): Promise<string> {
    const decoder = new TextDecoder();
    const reader = this.#child.stdout.getReader();
    while (text === undefined || !this.#printed.includes(text)) {
      const { done, value } = await reader.read();
      if (done) break;
      this.#printed += decoder.decode(value, { stream: true });
    }
    reader.releaseLock();
    if (text !== undefined && !this.#printed.includes(text)) throw new Error(await this.#errors);
    return this.#printed;
  }

  interrupt(): void {
    this.#child.kill("SIGINT");
  }

  async ended(): Promise<{ readonly exitCode: number; readonly stderr: string }> {
    await this.prints(undefined);
    return { exitCode: await this.#child.exited, stderr: await this.#errors };
  }
}

/** Every part has a path below the scratch folder on its command line. */
function expectNothingLeft(): void {
  const running = readdirSync("/proc").filter((name) => /^[0-9]+$/.test(name));
  const left = running.filter((pid) => commandLineOf(pid).includes(scratch.path));
  expect(left.map(commandLineOf)).toEqual([]);
  expect(readdirSync(temporary)).toEqual([]);
}

function commandLineOf(pid: string): string {
  try {
    return readFileSync(join("/proc", pid, "cmdline"), "utf8").replaceAll("\0", " ");
  } catch {
    // It has ended meanwhile.
    return "";
  }
}

function reads(...names: string[]): string | undefined {
  const path = join(directory, ...names);
  return existsSync(path) ? readFileSync(path, "utf8") : undefined;
}

async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  const deadlineMs = performance.now() + WITHIN_MS;
  while (!(await holds())) {
    if (performance.now() > deadlineMs) throw new Error("Not in time");
    await Bun.sleep(50);
  }
}

describe("bun run demo -- --full", () => {
  test(
    "carries a first file everywhere, shows its row, and with --once leaves nothing running",
    async () => {
      const demo = new RunningDemo(["--once"]);
      const printed = await demo.prints("in sync");
      expect(await demo.ended()).toEqual({ exitCode: 0, stderr: "" });
      expectNothingLeft();
      const text = reads("synced1", "hello.txt");
      expect(text).toStartWith("The demo was started");
      expect(reads("synced2", "hello.txt")).toBe(text);
      expect(reads("storage", "default", "hello.txt")).toBe(text);
      expect(printed).toMatch(/│ upload │ hello\.txt │ client1 │/);
      expect(printed).toContain('synced_events_total{action="upload"} 1\n');
    },
    WITHIN_MS,
  );

  test(
    "runs again on the same folders, with all parts where it says, until Ctrl-C",
    async () => {
      const demo = new RunningDemo([]);
      const printed = await demo.prints("Ctrl-C ends");
      const where = (part: string) =>
        new RegExp(`^ *${part} +(\\S+)$`, "m").exec(printed)?.[1] ?? "";
      expect(printed).toMatch(/│ update │ hello\.txt │ client1 │/);
      // Whole at once: an empty file that is seen before its bytes would be an event of its own.
      writeFileSync(scratch.join("mine.txt"), "mine");
      renameSync(scratch.join("mine.txt"), join(directory, "storage", "default", "mine.txt"));
      await until(() => ["synced1", "synced2"].every((name) => reads(name, "mine.txt") === "mine"));
      const sql = postgres(where("PostgreSQL"), { max: 1 });
      await until(async () => {
        const rows = await sql`SELECT action, path FROM files_log ORDER BY id`;
        return rows.map(({ action, path }) => `${action} ${path}`).at(-1) === "upload mine.txt";
      });
      // The database is a new one; the server wrote it the events of the first run too.
      expect(await sql`SELECT FROM files_log`).toHaveLength(3);
      await sql.end();
      const metrics = await (await fetch(where("its metrics"))).text();
      expect(metrics).toContain('synced_events_total{action="upload"} 1\n');
      if (Bun.which("prometheus") !== null) {
        const query = `${where("Prometheus")}/api/v1/query?query=up==1`;
        await until(async () => {
          const answer = (await (await fetch(query)).json()) as { data: { result: unknown[] } };
          return answer.data.result.length === 4;
        });
      }
      demo.interrupt();
      expect(await demo.ended()).toEqual({ exitCode: 130, stderr: "" });
      expectNothingLeft();
    },
    WITHIN_MS,
  );
});
