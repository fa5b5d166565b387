/** Garbage of a real data directory: what goes, what stays, and what an interruption leaves. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type DataDirectory, openDataDirectory } from "../../src/adapters/data-directory.ts";
import { systemClock } from "../../src/adapters/runtime/clock.ts";
import { systemRandom } from "../../src/adapters/runtime/random.ts";
import { type Digest, sha256 } from "../../src/core/digest.ts";
import { SyncedError } from "../../src/core/error.ts";
import type { Group } from "../../src/core/op.ts";
import type { ObjectStore } from "../../src/ports/object-store.ts";
import {
  type Collected,
  collectGarbage,
  finishCollection,
} from "../../src/server/collect-garbage.ts";
import { pruneFolders, type Retention } from "../../src/server/retention.ts";
import { createSequencer, type Sequencer } from "../../src/server/sequencer.ts";
import { verifyData } from "../../src/server/verify.ts";
import { failureOf } from "../failure.ts";
import { noise } from "../generate/contents.ts";
import { fileOf, nodeId } from "../generate/trees.ts";
import { override } from "../sim/sim-override.ts";
import { batchOf, chunkOf, create, DEVICE, FOLDER } from "./server-world.ts";

/** So late that all is old. */
const FAR_MS = 10 ** 15;

let path: string;
let data: DataDirectory;
let sequencer: Sequencer;

beforeEach(async () => {
  path = mkdtempSync(join(tmpdir(), "synced-test-garbage-"));
  await open();
  await sequencer.createFolder(FOLDER);
});
afterEach(async () => {
  await data.close();
  rmSync(path, { recursive: true, force: true });
});

async function open(objects?: (store: ObjectStore) => ObjectStore): Promise<void> {
  data = openDataDirectory(path);
  if (objects !== undefined) data = { ...data, objects: objects(data.objects) };
  sequencer = createSequencer({ ...data, clock: systemClock, random: systemRandom });
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

async function put(name: string, bytes: Uint8Array) {
  return await sequencer.putFile(FOLDER, { path: name, body: once(bytes), device: DEVICE });
}

/** An upload that has no age to spare it may be collected before its commit. */
async function putUntilTaken(name: string, bytes: Uint8Array): Promise<void> {
  for (;;) {
    try {
      await put(name, bytes);
      return;
    } catch (error) {
      if (!(error instanceof SyncedError) || error.code !== "chunk_missing") throw error;
    }
  }
}

async function post(...groups: readonly Group[]) {
  const { epoch, head, hash } = await sequencer.folder(FOLDER);
  const batch = batchOf({ epoch, seq: head, hash }, groups);
  return (await sequencer.commit(FOLDER, batch)).results;
}

async function collect(options = {}): Promise<Collected> {
  const clock = { ...systemClock, now: () => FAR_MS };
  return await collectGarbage({ ...data, clock }, { ageMsMin: 0, ...options });
}

async function stored(): Promise<readonly Digest[]> {
  return await data.objects.list({ limit: 10_000 });
}

async function findings(): Promise<readonly string[]> {
  const found: string[] = [];
  for await (const { where, message } of verifyData(data)) found.push(`${where}: ${message}`);
  return found;
}

describe("collectGarbage()", () => {
  test("takes uploads that were never committed, and leaves every version [U1, U2]", async () => {
    await put("large", noise(1, 900_000));
    await put("large", noise(2, 900_000));
    await put("small", noise(3, 300));
    await sequencer.deleteFile(FOLDER, { path: "small", device: DEVICE });
    const kept = await stored();
    await sequencer.putObjects(FOLDER, [chunkOf("one"), chunkOf("two".repeat(40_000))]);
    expect(await collect({ isDryRun: true })).toEqual({ objects: 2, bytes: 120_003, skipped: [] });
    expect(await collect()).toEqual({ objects: 2, bytes: 120_003, skipped: [] });
    expect(await stored()).toEqual(kept);
    expect(await findings()).toEqual([]);
    expect(await collect()).toEqual({ objects: 0, bytes: 0, skipped: [] });
  });

  test("takes a manifest with all that it alone holds, in one run [U2]", async () => {
    const other = await sequencer.createFolder("other" as typeof FOLDER);
    const bytes = noise(7, 900_000);
    const body = { path: "f", body: once(bytes), device: DEVICE };
    await sequencer.putFile(other.name, body);
    const kept = await stored();
    const objects = [];
    for await (const object of sequencer.readObjects(other.name, kept)) objects.push(object);
    const shared = noise(8, 400_000);
    await put("shared", shared);
    const all = await stored();
    await sequencer.putObjects(
      FOLDER,
      objects.toSorted((a, b) => a.depth - b.depth),
    );
    expect(await data.metadata.knownObjects(FOLDER, kept)).toHaveLength(kept.length);
    expect((await collect({ isDryRun: true })).objects).toBe(0);
    expect((await collect()).objects).toBe(0);
    expect(await data.metadata.knownObjects(FOLDER, kept)).toEqual([]);
    expect(await stored()).toEqual(all);
    expect(await findings()).toEqual([]);
  });

  test("leaves young uploads alone, with what they hold [U1]", async () => {
    await sequencer.putObjects(FOLDER, [chunkOf("one")]);
    const clock = systemClock;
    const options = { ageMsMin: 86_400_000 };
    expect((await collectGarbage({ ...data, clock }, options)).objects).toBe(0);
    expect((await collect()).objects).toBe(1);
  });

  test("an upload whose objects went begins again, and ends well [U3]", async () => {
    await sequencer.putObjects(FOLDER, [chunkOf("one")]);
    expect(await sequencer.missing(FOLDER, [sha256("one")])).toEqual([]);
    await collect();
    const group = [create(nodeId(1), "a", fileOf("one"))];
    const [refused] = await post(group);
    expect(refused).toMatchObject({ status: "refused", code: "chunk_missing" });
    expect(await sequencer.missing(FOLDER, [sha256("one")])).toEqual([sha256("one")]);
    await sequencer.putObjects(FOLDER, [chunkOf("one")]);
    expect(await post(group)).toMatchObject([{ status: "accepted" }]);
    expect(await findings()).toEqual([]);
  });

  test("no upload or commit beside a collection ever loses an object [U3, I36]", async () => {
    let isOver = false;
    const collecting = (async () => {
      let count = 0;
      while (!isOver) {
        count += (await collect()).objects;
        await Bun.sleep(10);
      }
      return count;
    })();
    for (let n = 1; n <= 24; n += 1) {
      const texts = [`${n}`, `${n}`.repeat(70_000), "always the same"];
      await sequencer.putObjects(FOLDER, texts.map(chunkOf));
      if (n % 3 === 0) await putUntilTaken(`large-${n % 9}`, noise(n, 600_000));
      for (let attempt = 0; ; attempt += 1) {
        const groups = texts.map((text, at) => [
          create(nodeId(n * 10 + at), `${n}-${at}`, fileOf(text)),
        ]);
        const results = await post(...(n % 2 === 0 ? groups : []));
        const isThere = ({ status, code }: { status: string; code?: string }) =>
          status === "accepted" || code === "node_exists";
        if (results.every(isThere)) break;
        if (attempt > 50) throw new Error(JSON.stringify(results));
        await sequencer.putObjects(FOLDER, texts.map(chunkOf));
      }
    }
    isOver = true;
    expect(await collecting).toBeGreaterThan(8);
    expect(await findings()).toEqual([]);
  }, 60_000);

  test("leaves a folder with an unreadable manifest as it is, and says so [U2]", async () => {
    const { content } = await put("large", noise(1, 900_000));
    await sequencer.putObjects(FOLDER, [chunkOf("one")]);
    const all = await stored();
    const get = data.objects.get.bind(data.objects);
    data = {
      ...data,
      objects: override(data.objects, {
        get: async (digest) => (digest === content.manifest ? undefined : await get(digest)),
      }),
    };
    const { objects, skipped } = await collect();
    expect([objects, skipped.length]).toEqual([0, 1]);
    expect(await stored()).toEqual(all);
  });
});

describe("retention", () => {
  const FOREVER = { keepMs: undefined, byFolder: new Map() };

  async function prune(retention: Retention, aheadMs: number): Promise<number> {
    const clock = { ...systemClock, now: () => Date.now() + aheadMs };
    return await pruneFolders({ ...data, clock }, retention);
  }

  async function read(path: string, seq?: number): Promise<string> {
    const node = await sequencer.nodeAt(FOLDER, path, seq);
    if (node?.content.kind !== "file") throw new Error(`No file at ${path}`);
    const pieces = await sequencer.readContent(FOLDER, node.content);
    let text = "";
    for await (const piece of pieces) text += new TextDecoder().decode(piece);
    return text;
  }

  test("old versions go with their bytes, and are told apart from what never was [U7, U8]", async () => {
    const old = noise(1, 700_000);
    await put("f", old);
    await put("f", new TextEncoder().encode("newer"));
    await put("copy", new TextEncoder().encode("kept by another file"));
    await put("f", new TextEncoder().encode("kept by another file"));
    await put("f", new TextEncoder().encode("newest"));
    await put("gone", new TextEncoder().encode("deleted"));
    await sequencer.deleteFile(FOLDER, { path: "gone", device: DEVICE });
    const before = await sequencer.index(FOLDER, { limit: 100, seq: 2 });
    expect(await prune({ ...FOREVER, keepMs: 60_000 }, 30_000)).toBe(0);
    expect(await prune(FOREVER, 90_000)).toBe(0);
    const byFolder = new Map([[FOLDER, 60_000]]);
    expect(await prune({ keepMs: undefined, byFolder }, 90_000)).toBe(4);
    expect(await failureOf(read("f", 1))).toMatchObject({ code: "version_gone" });
    expect(await failureOf(read("f", 2))).toMatchObject({ code: "version_gone" });
    expect(await failureOf(read("gone", 6))).toMatchObject({ code: "version_gone" });
    expect((await collect()).bytes).toBeGreaterThan(700_000);
    expect(await failureOf(read("f", 1))).toMatchObject({ code: "version_gone" });
    expect(await read("f", 4)).toBe("kept by another file");
    expect(await read("f")).toBe("newest");
    expect(await findings()).toEqual([]);
    expect(await sequencer.index(FOLDER, { limit: 100, seq: 2 })).toEqual(before);
    const { versions } = await sequencer.history(FOLDER, { of: { path: "f" }, limit: 10 });
    expect(versions.map(({ gone }) => gone === true)).toEqual([false, true, true, true]);
    expect(await put("f", old)).toMatchObject({ outcome: "replaced" });
    expect(await read("f", 1)).toHaveLength(new TextDecoder().decode(old).length);
    expect(await findings()).toEqual([]);
  });

  test("a server keeps its size, however much is written, once versions go [U7, U1]", async () => {
    const sizes: number[] = [];
    for (let day = 0; day < 12; day += 1) {
      for (let n = 0; n < 6; n += 1) await put(`f${n}`, noise(day * 10 + n + 1, 90_000 * n + 500));
      await prune({ ...FOREVER, keepMs: 60_000 }, 90_000);
      await collect();
      sizes.push((await data.objects.usage()).bytes);
    }
    expect(Math.max(...sizes.slice(2))).toBeLessThan(1.25 * (sizes[1] ?? 0));
    expect(await findings()).toEqual([]);
  }, 60_000);
});

test("an upload beside the deletion of the same bytes waits for it [U3]", async () => {
  await sequencer.putObjects(FOLDER, [chunkOf("one")]);
  const { digest } = chunkOf("one");
  let uploading: Promise<void> = Promise.resolve();
  const inner = data.objects;
  data = {
    ...data,
    objects: override(inner, {
      delete: async (digests) => {
        // It finds the bytes there, and so does not write them.
        uploading = sequencer.putObjects(FOLDER, [chunkOf("one")]);
        await Bun.sleep(20);
        return await inner.delete(digests);
      },
    }),
  };
  expect((await collect()).objects).toBe(1);
  await uploading;
  expect(await data.metadata.knownObjects(FOLDER, [digest])).toHaveLength(1);
  expect(await inner.get(digest)).toBeDefined();
});

/** The calls that a collection makes to its stores, by name, in order. */
const STEPS = ["forget", "condemn", "delete", "absolve", "tidy"];

test("a run that dies before or after any of its steps is ended by the next [U4, I36]", async () => {
  for (const isBefore of [true, false]) {
    for (let dies = 0; dies < STEPS.length + 4; dies += 1) {
      await put("large", noise(dies + 1, 600_000));
      const kept = await stored();
      await sequencer.putObjects(FOLDER, [chunkOf(`${dies}`), chunkOf(`${dies}`.repeat(90_000))]);
      let calls = 0;
      const mortal = <Store extends object>(store: Store): Store =>
        new Proxy(store, {
          get(target, name) {
            const value: unknown = Reflect.get(target, name, target);
            if (typeof value !== "function") return value;
            return async (...args: readonly unknown[]) => {
              const isStep = STEPS.includes(String(name));
              const isLast = isStep && calls++ === dies;
              if (isLast && isBefore) throw new Error("killed");
              const result: unknown = await Reflect.apply(value, target, args);
              if (isLast) throw new Error("killed");
              return result;
            };
          },
        });
      const metadata = override(data.metadata, {
        objectRecords: mortal(data.metadata.objectRecords),
      });
      const ports = { metadata, objects: mortal(data.objects) };
      const clock = { ...systemClock, now: () => FAR_MS };
      await collectGarbage({ ...ports, clock }, { ageMsMin: 0 }).catch(() => undefined);
      await data.close();
      await open();
      await finishCollection(data);
      expect(await data.metadata.objectRecords.condemned(10)).toEqual([]);
      // Whoever needs what was about to go can send it at once.
      await sequencer.putObjects(FOLDER, [chunkOf(`${dies}`)]);
      await collect();
      expect({ dies, isBefore, stored: await stored() }).toEqual({ dies, isBefore, stored: kept });
      expect(await findings()).toEqual([]);
    }
  }
});
