/** How many calls may wait for the disk at once. Rules: D2. */
import { afterAll, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const scratch = mkdtempSync(join(tmpdir(), "synced-test-threads-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

test.skipIf(process.platform !== "linux")(
  "two dozen calls that wait leave threads for others, however few processors [D2]",
  () => {
    const fifos = Array.from({ length: 24 }, (_, n) => join(scratch, `${n}`));
    expect(spawnSync("mkfifo", fifos).status).toBe(0);
    // Compiled like the program: to run a source file Bun starts its threads before its first line.
    const probe = join(scratch, "probe");
    const source = join(import.meta.dir, "thread-pool-probe.ts");
    const flags = ["--compile", "--bytecode", "--format=esm", "--outfile", probe];
    expect(spawnSync(process.execPath, ["build", source, ...flags]).status).toBe(0);
    const { UV_THREADPOOL_SIZE: _, ...env } = process.env;
    const { stdout } = spawnSync(probe, fifos, { env, encoding: "utf8" });
    expect(stdout).toBe("free");
  },
  180_000,
);
