/** SQLite as TokenStore: what it keeps, and what other processes see of it. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openSqliteTokenStore } from "../../src/adapters/tokens/store.ts";
import { sha256 } from "../../src/core/digest.ts";
import { type DeviceId, parseFolderName, parseId } from "../../src/core/identifier.ts";
import { DEVICES_PER_TOKEN_MAX } from "../../src/core/limits.ts";
import type { TokenId, TokenRecord, TokenStore } from "../../src/ports/token-store.ts";
import { Tokens } from "../../src/server/tokens.ts";

const FOLDER = parseFolderName("default");

let directory: string;
let store: TokenStore;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "synced-test-tokens-"));
  store = openSqliteTokenStore(join(directory, "tokens.db"));
});

afterEach(() => {
  store.close();
  rmSync(directory, { recursive: true });
});

function recordOf(name: string, fields: Partial<TokenRecord> = {}): TokenRecord {
  const id = Buffer.from(name).toString("hex").padEnd(16, "0").slice(0, 16) as TokenId;
  const base = { id, digest: sha256(name), label: name, access: "write" } as const;
  return { ...base, folders: "all", createdMs: 1000, ...fields };
}

function deviceOf(number: number): DeviceId {
  return parseId(String(number).padStart(32, "0"));
}

test("keeps each field, oldest first, and no id twice [K2]", async () => {
  const folders = [FOLDER, parseFolderName("photos.2019")];
  const whole = recordOf("whole", { folders, expiresMs: 5, access: "read", createdMs: 2000 });
  expect(store.isEmpty()).toBe(true);
  expect(await store.add(whole)).toBe(true);
  expect(await store.add(recordOf("plain"))).toBe(true);
  expect(await store.add({ ...whole, label: "another" })).toBe(false);
  expect(store.isEmpty()).toBe(false);
  expect(store.list()).toEqual([recordOf("plain"), whole]);
  expect(store.find(whole.id)).toEqual(whole);
  expect(store.find(recordOf("none").id)).toBeUndefined();
});

test("is revoked once, and stays in the list [K4]", async () => {
  const record = recordOf("one");
  await store.add(record);
  store.used(record.id, 7);
  expect(await store.revoke(record.id, 10)).toBe(true);
  expect(await store.revoke(record.id, 20)).toBe(false);
  expect(await store.revoke(recordOf("none").id, 20)).toBe(false);
  expect(store.list()).toEqual([{ ...record, usedMs: 7, revokedMs: 10 }]);
  expect(store.isEmpty()).toBe(false);
});

test("remembers when it last saw a device, of each token up to a bound [K5]", () => {
  const { id } = recordOf("one");
  const other = recordOf("two").id;
  for (let number = 0; number < DEVICES_PER_TOKEN_MAX + 5; number++) {
    store.sawDevice({ token: id, folder: FOLDER, device: deviceOf(number), seenMs: number });
  }
  store.sawDevice({ token: other, folder: FOLDER, device: deviceOf(1), seenMs: 1 });
  store.sawDevice({ token: id, folder: FOLDER, device: deviceOf(1), seenMs: 900 });
  const seen = store.devices();
  expect(seen.filter(({ token }) => token === id)).toHaveLength(DEVICES_PER_TOKEN_MAX);
  expect(seen.filter(({ device }) => device === deviceOf(1))).toEqual([
    { token: id, folder: FOLDER, device: deviceOf(1), seenMs: 900 },
    { token: other, folder: FOLDER, device: deviceOf(1), seenMs: 1 },
  ]);
});

test("what one process does, another sees at once [K4]", async () => {
  const beside = openSqliteTokenStore(join(directory, "tokens.db"));
  const record = recordOf("one");
  expect(store.find(record.id)).toBeUndefined();
  await beside.add(record);
  return Promise.resolve()
    .then(() => new Promise((resolve) => setTimeout(resolve, 0)))
    .then(() => {
      expect(store.find(record.id)).toEqual(record);
      beside.close();
    });
});

test("a token's text is nowhere in the file, and says which token it is [K2]", async () => {
  const secret = () => "5ec2e7".repeat(10).padEnd(64, "0");
  const { record, text } = await new Tokens({ store, clock: { now: () => 1 }, secret }).make({
    label: "LAPTOP",
    access: "read",
    folders: "all",
  });
  expect(text).toBe(`sy-${record.id}-${secret()}`);
  for (const name of ["tokens.db", "tokens.db-wal"]) {
    expect(readFileSync(join(directory, name)).includes(secret())).toBe(false);
  }
});
