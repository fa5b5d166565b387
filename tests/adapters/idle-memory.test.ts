/** Memory is given back when a process has come to rest. Rules: I42. */
import { afterAll, expect, spyOn, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openClientWorld } from "../../src/commands/client-world.ts";

const COPIES = 10;
/** Rest is noticed after 3 s. */
const RESTED_MS = 6_000;

const scratch = mkdtempSync(join(tmpdir(), "synced-test-idle-memory-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

test("clients of one process collect its garbage once when all are at rest [I42, V7]", async () => {
  const opened = Array.from({ length: COPIES }, (_, n) =>
    openClientWorld({
      folderPath: join(scratch, `${n}`),
      observer: { emit: () => undefined },
      poll: false,
      isDryRun: false,
    }),
  );
  const collect = spyOn(Bun, "gc");
  try {
    for (const { world } of opened) world.observer.emit({ event: "stopped", reason: "test" });
    await Bun.sleep(RESTED_MS);
    expect(collect).toHaveBeenCalledTimes(1);
  } finally {
    collect.mockRestore();
    for (const each of opened) each.close();
  }
});
