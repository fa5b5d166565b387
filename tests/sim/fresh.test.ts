/**
 * Lives that nobody has lived before, on all cores, other ones each time: what no seed of yesterday
 * shows, one of today may. What fails is printed with the command that replays it.
 */
import { expect, test } from "bun:test";

const SEEDS = 10_000;
/** What a slow machine has not begun by then is left out. */
const SECONDS_MAX = 240;
const RUN = new URL("run.ts", import.meta.url).pathname;
/** What has begun ends, and what failed is shrunk. */
const TIMEOUT_MS = 2 * SECONDS_MAX * 1_000;

test(
  `up to ${SEEDS} fresh lives converge and lose nothing [I1, I2, I5, I6, I9, I11, I45]`,
  async () => {
    const start = Date.now() % 2 ** 31;
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
