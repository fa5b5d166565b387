/**
 * Lives that nobody has lived before, on all cores, other ones at each commit: what no seed of
 * yesterday shows, one of today may, and whoever tests the same commit lives the same ones. What
 * fails is printed with the command that replays it.
 */
import { expect, test } from "bun:test";
import { spawnSync } from "node:child_process";

const SEEDS = 10_000;
/** What a slow machine has not begun by then is left out. */
const SECONDS_MAX = 240;
const RUN = new URL("run.ts", import.meta.url).pathname;
/** What has begun ends, and what failed is shrunk. */
const TIMEOUT_MS = 2 * SECONDS_MAX * 1_000;

test(
  `up to ${SEEDS} fresh lives converge and lose nothing [I1, I2, I5, I6, I9, I11, I45]`,
  async () => {
    const start = startOfCommit();
    const command = [process.execPath, RUN, "--start", String(start), "--seeds", String(SEEDS)];
    const run = Bun.spawn([...command, "--seconds", String(SECONDS_MAX)], { stdout: "pipe" });
    const output = (await new Response(run.stdout).text()).trimEnd();
    const summary = output.split("\n").at(-1);
    console.log(`seeds from ${start}: ${summary}`);
    expect((await run.exited) === 0 ? "" : output).toBe("");
    expect(summary).toMatch(/^[1-9]\d* seeds, 0 failures/);
  },
  TIMEOUT_MS,
);

/** Where nothing tells the commit, the time does for it. */
function startOfCommit(): number {
  const { stdout } = spawnSync("git", ["rev-parse", "HEAD"], { cwd: import.meta.dir });
  const commit = String(stdout ?? "").trim();
  return /^[0-9a-f]{40}$/.test(commit)
    ? Number.parseInt(commit.slice(0, 7), 16)
    : Date.now() % 2 ** 31;
}
