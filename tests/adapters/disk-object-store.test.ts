/** The disk as ObjectStore: the contract, and what is its own. */
import { afterAll, expect, test } from "bun:test";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { openDiskObjectStore } from "../../src/adapters/objects/store.ts";
import { sha256 } from "../../src/core/digest.ts";
import type { StoredObject } from "../../src/ports/object-store.ts";
import { objectOf, objectStoreContract } from "../contracts/object-store-contract.ts";
import { failureOf } from "../failure.ts";

const ZERO = sha256(new Uint8Array());

const directories: string[] = [];
afterAll(() => {
  for (const directory of directories) rmSync(directory, { recursive: true, force: true });
});

function scratch(): string {
  const directory = mkdtempSync(join(tmpdir(), "synced-test-objects-"));
  directories.push(directory);
  return directory;
}

objectStoreContract("The disk", () => {
  const directory = scratch();
  const store = openDiskObjectStore({ directory });
  return {
    store,
    close: () => store.close(),
    damage({ digest, bytes }) {
      const other = new Uint8Array(bytes);
      other[0] = (other[0] ?? 0) ^ 1;
      if (bytes.length > 64 * 1024) {
        const { path, offset } = placeOf(directory, digest);
        const segment = readFileSync(path);
        segment.set(other, offset);
        writeFileSync(path, segment);
        return;
      }
      const database = new DatabaseSync(join(directory, "objects.db"));
      const statement = database.prepare("UPDATE objects SET bytes = ? WHERE hex(digest) = ?");
      expect(statement.run(other, digest.toUpperCase()).changes).toBe(1);
      database.close();
    },
  };
});

test("objects outlive the store, and half-written files do not [O7]", async () => {
  const directory = scratch();
  const first = openDiskObjectStore({ directory });
  const objects = [objectOf(1, 100), objectOf(2, 100_000)];
  await first.put(objects);
  await first.close();
  writeFileSync(join(directory, "objects", "tmp", "half"), "half");
  const second = openDiskObjectStore({ directory });
  expect(readdirSync(join(directory, "objects", "tmp"))).toEqual([]);
  for (const { digest, bytes } of objects) expect(await second.get(digest)).toEqual(bytes);
  await second.close();
});

test("the large objects of one upload are one file, each at its place [O6]", async () => {
  const directory = scratch();
  const store = openDiskObjectStore({ directory });
  const objects = [objectOf(7, 100_000), objectOf(8, 90_000), objectOf(9, 80_000)];
  await store.put(objects);
  const places = objects.map(({ digest }) => placeOf(directory, digest));
  expect(new Set(places.map(({ path }) => path)).size).toBe(1);
  for (const [index, { bytes }] of objects.entries()) {
    const { path, offset } = places[index] ?? { path: "", offset: 0 };
    expect(
      readFileSync(path)
        .subarray(offset, offset + bytes.length)
        .equals(bytes),
    ).toBe(true);
  }
  await store.put(objects);
  const { path } = placeOf(directory, objectOf(7, 100_000).digest);
  expect(statSync(path).size).toBe(270_000);
  expect(readdirSync(join(directory, "objects", "segments", "0"))).toEqual(["1"]);
  await store.close();
});

test("the small objects of a large upload are one file too, and go with it [O6, U4]", async () => {
  const directory = scratch();
  const store = openDiskObjectStore({ directory });
  const objects = Array.from({ length: 60 }, (_, index) => objectOf(index, 5_000 + index));
  await store.put(objects);
  const [segment = ""] = readdirSync(join(directory, "objects/segments/0"));
  const path = join(directory, "objects/segments/0", segment);
  expect(statSync(path).size).toBe(objects.reduce((sum, { bytes }) => sum + bytes.length, 0));
  for (const { digest, bytes } of objects) expect(await store.get(digest)).toEqual(bytes);
  await store.put(objects.slice(0, 3));
  await store.put(objects);
  expect(readdirSync(join(directory, "objects/segments/0"))).toEqual([segment]);
  await store.delete(objects.map(({ digest }) => digest));
  expect(readdirSync(join(directory, "objects/segments/0"))).toEqual([]);
  expect(await store.get(objects[0]?.digest ?? ZERO)).toBeUndefined();
  await store.close();
});

test("a truncated segment is damage, a lost one is a lost object, and a put heals both [I37]", async () => {
  const directory = scratch();
  const store = openDiskObjectStore({ directory });
  const object = objectOf(8, 100_000);
  await store.put([object]);
  const { path } = placeOf(directory, object.digest);
  writeFileSync(path, object.bytes.subarray(0, 5000));
  expect(await failureOf(store.get(object.digest))).toMatchObject({ code: "chunk_corrupt" });
  await store.put([object]);
  expect(await store.get(object.digest)).toEqual(object.bytes);
  rmSync(placeOf(directory, object.digest).path);
  expect(await store.get(object.digest)).toBeUndefined();
  await store.put([object]);
  expect(await store.get(object.digest)).toEqual(object.bytes);
  await store.close();
});

test("a row that says too much of a segment's last object is found, and put right [I37]", async () => {
  const directory = scratch();
  const store = openDiskObjectStore({ directory });
  const objects = [objectOf(8, 100_000), objectOf(9, 300_000)];
  await store.put(objects);
  const database = new DatabaseSync(join(directory, "objects.db"));
  database.exec("UPDATE places SET size = size | 4194304 WHERE offset > 0");
  database.close();
  const last = objects.find(({ digest }) => placeOf(directory, digest).offset > 0);
  expect(await store.check()).toEqual([expect.stringContaining(last?.digest ?? "")]);
  for (const { digest, bytes } of objects) expect(await store.get(digest)).toEqual(bytes);
  expect(await store.check()).toEqual([]);
  await store.close();
});

test("a segment that a crash left without places is not written over [O7]", async () => {
  const directory = scratch();
  const first = openDiskObjectStore({ directory });
  const object = objectOf(3, 100_000);
  await first.put([object]);
  await first.close();
  for (const number of ["2", "1000", "1001"]) {
    const group = join(directory, "objects", "segments", number.length > 3 ? "1" : "0");
    mkdirSync(group, { recursive: true });
    writeFileSync(join(group, number), "left over");
  }
  const second = openDiskObjectStore({ directory });
  const next = objectOf(4, 100_000);
  await second.put([next]);
  expect(placeOf(directory, next.digest).path).toEndWith("/1/1002");
  for (const { digest, bytes } of [object, next]) expect(await second.get(digest)).toEqual(bytes);
  expect(await second.check()).toEqual([]);
  await second.close();
});

test("what an earlier version kept in a file of its own is read, listed and counted [I44]", async () => {
  const directory = scratch();
  const { digest, bytes } = objectOf(6, 100_000);
  const folder = join(directory, "objects", digest.slice(0, 2));
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, digest), bytes);
  const store = openDiskObjectStore({ directory });
  expect(await store.get(digest)).toEqual(bytes);
  expect(await store.list({ limit: 10 })).toEqual([digest]);
  expect((await store.usage()).bytes).toBeGreaterThanOrEqual(100_000);
  expect(await store.check()).toEqual([]);
  writeFileSync(join(folder, digest), "damaged");
  expect(await failureOf(store.get(digest))).toMatchObject({ code: "chunk_corrupt" });
  await store.put([{ digest, bytes }]);
  expect(await store.get(digest)).toEqual(bytes);
  expect(await store.list({ limit: 10 })).toEqual([digest]);
  await store.close();
});

function placeOf(
  directory: string,
  digest: StoredObject["digest"],
): { readonly path: string; readonly offset: number } {
  const database = new DatabaseSync(join(directory, "objects.db"));
  const row = database
    .prepare("SELECT segment, offset FROM places WHERE hex(digest) = ?")
    .get(digest.toUpperCase());
  database.close();
  const segment = Number(row?.["segment"]);
  const group = String(Math.floor(segment / 1000));
  const path = join(directory, "objects", "segments", group, String(segment));
  return { path, offset: Number(row?.["offset"]) };
}
