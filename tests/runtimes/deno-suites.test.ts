/**
 * The suites of abuse again, in Deno: the router with Deno's requests and the listener under
 * `node:http`, and a budget of memory. `SYNCED_TEST_SUITES=all` adds those that take longer.
 */
import { expect, test } from "bun:test";
import { join } from "node:path";
import { denoPath } from "../adapters/processes/spawn.ts";

const HTTP = join(import.meta.dir, "..", "http");
const SUITES = ["abuse", "abuse-ops", "abuse-routes", "access", "refusals", "raw-socket"];
const LONG_SUITES = ["tokens", "token-routes", "links", "memory"];
const isLong = process.env["SYNCED_TEST_SUITES"] === "all";

test("what strangers send is answered in Deno as elsewhere [H1, H8]", async () => {
  const files = [...SUITES, ...(isLong ? LONG_SUITES : [])].map((name) => {
    return join(HTTP, `${name}.test.ts`);
  });
  const map = join(import.meta.dir, "suites-in-deno.json");
  const program = join(import.meta.dir, "suites-in-deno.ts");
  const child = Bun.spawn(
    [
      denoPath(),
      "run",
      "--quiet",
      "--allow-all",
      "--no-check",
      "--import-map",
      map,
      program,
      ...files,
    ],
    { stdout: "pipe", stderr: "pipe" },
  );
  const [stdout, stderr, exitCode] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  expect({ stdout: stdout.slice(-5_000), stderr, exitCode }).toMatchObject({ exitCode: 0 });
  // If a file were not run, nobody would notice otherwise.
  expect(Number(/^(\d+) passed, 0 failed$/m.exec(stdout)?.[1])).toBeGreaterThan(900);
}, 300_000);
