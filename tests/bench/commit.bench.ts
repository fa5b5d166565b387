/**
 * Commits and uploads per second on a real disk: `bun tests/bench/commit.bench.ts`. Aims: over
 * 5,000 single-op batches and over 20,000 ops in full batches a second.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openDataDirectory } from "../../src/adapters/data-directory.ts";
import { systemClock } from "../../src/adapters/runtime/clock.ts";
import { systemRandom } from "../../src/adapters/runtime/random.ts";
import { sha256 } from "../../src/core/digest.ts";
import type { DeviceId, NodeId } from "../../src/core/identifier.ts";
import { createSequencer } from "../../src/server/sequencer.ts";
import { noise } from "../generate/contents.ts";
import { fileOf } from "../generate/trees.ts";
import { batchOf, chunkOf, create, DIRECTORY, FOLDER, move } from "../server/server-world.ts";

const path = mkdtempSync(join(process.env["BENCH_DIR"] ?? tmpdir(), "synced-test-bench-"));
const data = openDataDirectory(path);
const sequencer = createSequencer({ ...data, clock: systemClock, random: systemRandom });
await sequencer.createFolder(FOLDER);
await sequencer.putObjects(FOLDER, [chunkOf("one")]);
const content = fileOf("one");
const device = systemRandom.id<DeviceId>();
const folder = systemRandom.id<NodeId>();

async function cursor() {
  const { epoch, head, hash } = await sequencer.folder(FOLDER);
  return { epoch, seq: head, hash };
}

async function timed(name: string, count: number, work: () => Promise<void>): Promise<void> {
  const start = performance.now();
  await work();
  const seconds = (performance.now() - start) / 1000;
  console.log(`${name}: ${Math.round(count / seconds)}/s (${seconds.toFixed(3)} s)`);
}

function creates(count: number) {
  return Array.from({ length: count }, () => {
    const node = systemRandom.id<NodeId>();
    return [create(node, `file-${node.slice(-12)}.txt`, content, folder)];
  });
}

await sequencer.commit(FOLDER, batchOf(await cursor(), [[create(folder, "dir", DIRECTORY)]]));

await timed("ops in batches of 1,000", 30_000, async () => {
  for (let n = 0; n < 30; n += 1) {
    await sequencer.commit(FOLDER, batchOf(await cursor(), creates(1000), device));
  }
});
await timed("single-op batches, 200 clients", 10_000, async () => {
  const at = await cursor();
  const client = async () => {
    for (let n = 0; n < 50; n += 1) {
      await sequencer.commit(FOLDER, batchOf(at, creates(1), systemRandom.id<DeviceId>()));
    }
  };
  await Promise.all(Array.from({ length: 200 }, client));
});
await timed("single-op batches, one client", 1000, async () => {
  const at = await cursor();
  for (let n = 0; n < 1000; n += 1) {
    await sequencer.commit(FOLDER, batchOf(at, creates(1), device));
  }
});
await timed("events read in pages of 1,000", 41_000, async () => {
  for (let after = 0; after < 41_000; after += 1000) {
    await sequencer.events(FOLDER, { after, limit: 1000 });
  }
});
await timed("rename of a directory of 41,000 files to a longer path", 1, async () => {
  const group = [move(folder, "a longer directory name", 1)];
  await sequencer.commit(FOLDER, batchOf(await cursor(), [group]));
});
const packs = Array.from({ length: 8 }, (_, pack) =>
  Array.from({ length: 256 }, (_, n) => {
    const bytes = noise(pack * 256 + n + 1, 131_072);
    return { depth: 0, digest: sha256(bytes), bytes };
  }),
);
await timed("MiB of 128 KiB chunks in packs of 32 MiB", 256, async () => {
  for (const pack of packs) await sequencer.putObjects(FOLDER, pack);
});
const small = Array.from({ length: 10_000 }, (_, n) => chunkOf(`small file ${n}`.repeat(70)));
await timed("small objects in packs of 1,000", 10_000, async () => {
  for (let at = 0; at < small.length; at += 1000) {
    await sequencer.putObjects(FOLDER, small.slice(at, at + 1000));
  }
});
await sequencer.close();
await data.close();
rmSync(path, { recursive: true, force: true });
