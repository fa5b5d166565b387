/**
 * What the client's state keeps of large files: the manifests of the versions that there are.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openStateStoreReadOnly } from "../../src/adapters/state/store.ts";
import { ensureBinary, runSynced } from "./binary.ts";
import { Lab } from "./lab.ts";

let lab: Lab | undefined;

beforeAll(ensureBinary, 180_000);
afterAll(async () => {
  await lab?.close();
});

test("manifests of earlier versions do not stay in the state [C8, S1]", async () => {
  lab = await Lab.open();
  const path = lab.scratch.join("folder");
  mkdirSync(path);
  for (const version of [1, 2, 3]) {
    writeFileSync(join(path, "large"), randomBytes(3_000_000 + version));
    const { exitCode } = await runSynced(["sync", path, "--server", lab.url, "--once"]);
    expect(exitCode).toBe(0);
  }
  const store = openStateStoreReadOnly(join(path, ".synced/state.db"));
  try {
    expect(store.manifestDigests()).toHaveLength(1);
  } finally {
    store.close();
  }
}, 180_000);
