/** The disk as ObjectStore: the contract, and what is its own. */
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { openDiskObjectStore } from "../../src/adapters/disk-object-store.ts";
import { objectOf, objectStoreContract } from "../contracts/object-store-contract.ts";

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
      const path = join(directory, "objects", digest.slice(0, 2), digest);
      const other = new Uint8Array(bytes);
      other[0] = (other[0] ?? 0) ^ 1;
      if (bytes.length > 64 * 1024) {
        writeFileSync(path, other);
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

test("a large object is a file of its bytes under its digest [O6]", async () => {
  const directory = scratch();
  const store = openDiskObjectStore({ directory });
  const { digest, bytes } = objectOf(7, 100_000);
  await store.put([{ digest, bytes }]);
  const path = join(directory, "objects", digest.slice(0, 2), digest);
  expect(readFileSync(path).equals(bytes)).toBe(true);
  await store.close();
});

test("a truncated file is damage and not a short object [I37]", async () => {
  const directory = scratch();
  const store = openDiskObjectStore({ directory });
  const object = objectOf(8, 100_000);
  await store.put([object]);
  const path = join(directory, "objects", object.digest.slice(0, 2), object.digest);
  writeFileSync(path, object.bytes.subarray(0, 5000));
  await expect(store.get(object.digest)).rejects.toMatchObject({ code: "chunk_corrupt" });
  await store.close();
});
