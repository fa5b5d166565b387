/**
 * Runs test files in Deno, where `suites-in-deno.json` maps `bun:test` to a file beside it. Prints
 * each failure and a line in the end; exits with 1 unless all passed.
 */
import process from "node:process";
import { runFile, type Tally } from "./bun-test.ts";

const tally: Tally = { passed: 0, failures: [] };
for (const path of process.argv.slice(2)) await runFile(path, tally);
for (const failure of tally.failures) console.log(`(fail) ${failure}`);
console.log(`${tally.passed} passed, ${tally.failures.length} failed`);
process.exit(tally.failures.length === 0 && tally.passed > 0 ? 0 : 1);
