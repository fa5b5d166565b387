/** The disk under Deno, with and without permission to call natively. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { makeScratchFolder } from "./disk-user.ts";
import { spawnScript } from "./processes/spawn.ts";

let root: string;
let drop: () => void;

beforeEach(() => {
  ({ root, drop } = makeScratchFolder());
  writeFileSync(join(root, "there"), "old");
  writeFileSync(Buffer.from([...Buffer.from(`${root}/`), 0xff]), "");
});
afterEach(() => drop());

test("Deno's native calls do what Bun's do [D2]", async () => {
  const script = spawnScript("deno", "use-folder.ts", root);
  const report: unknown = JSON.parse((await script.line()) ?? "null");
  expect(report).toEqual({
    native: true,
    capabilities: { exchange: true, executable: true, foldsNames: false, mtimeGranularityNs: 1 },
    wasLocked: true,
    isLocked: false,
    executable: true,
    mtimeNs: "1700000001123456789",
    moved: "moved",
    exchanged: "exchanged",
    read: "from another runtime".slice(5, 9),
    names: expect.arrayContaining([".synced", "there", "made"]),
    illegible: 1,
  });
  expect(readFileSync(join(root, "made"), "utf8")).toBe("old");
}, 180_000);

test("without native calls Deno falls back, and says what it cannot do [D6]", async () => {
  const script = spawnScript("deno without FFI", "use-folder.ts", root);
  const report: unknown = JSON.parse((await script.line()) ?? "null");
  expect(report).toMatchObject({
    native: false,
    capabilities: {
      exchange: false,
      executable: true,
      foldsNames: false,
      mtimeGranularityNs: 1_000_000,
    },
    wasLocked: true,
    isLocked: false,
    executable: true,
    moved: "moved",
    exchanged: "unsupported",
    illegible: 1,
  });
  expect(report).toMatchObject({ mtimeNs: expect.stringMatching(/^1700000001123/) });
  expect(readFileSync(join(root, "made"), "utf8")).toBe("from another runtime");
}, 180_000);
