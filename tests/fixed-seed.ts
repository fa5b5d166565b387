/**
 * Loaded before all tests: properties are tried on the same examples in every run, so that what was
 * green stays green. `SYNCED_TEST_SEED` tries others.
 */
import process from "node:process";
import fc from "fast-check";

fc.configureGlobal({ seed: Number(process.env["SYNCED_TEST_SEED"] ?? 20_261_122) });
