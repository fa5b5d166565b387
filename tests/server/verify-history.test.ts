/** verifyData() on history.db: it is silent on a fold of the log, and has anything else made anew. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { type DataDirectory, openDataDirectory } from "../../src/adapters/data-directory.ts";
import { createSequencer } from "../../src/server/sequencer.ts";
import { verifyData } from "../../src/server/verify.ts";
import { collect, countingRandom, DEVICE, FOLDER, tickingClock } from "./server-world.ts";

let parent: string;

beforeEach(async () => {
  parent = mkdtempSync(join(tmpdir(), "synced-test-verify-"));
  await withData(async (data) => {
    const sequencer = createSequencer({ ...data, clock: tickingClock(), random: countingRandom() });
    await sequencer.createFolder(FOLDER);
    const put = (path: string, text: string) =>
      sequencer.putFile(FOLDER, { path, body: once(text), device: DEVICE });
    await put("dir/file", "one");
    await put("dir/file", "two, and more");
    await put("gone", "three");
    await sequencer.deleteFile(FOLDER, { path: "gone", device: DEVICE });
    await put("last", "four");
    await sequencer.close();
  });
});
afterEach(() => rmSync(parent, { recursive: true, force: true }));

async function* once(text: string): AsyncGenerator<Uint8Array> {
  yield new TextEncoder().encode(text);
}

async function withData<Result>(work: (data: DataDirectory) => Promise<Result>): Promise<Result> {
  const data = openDataDirectory(join(parent, "data"));
  try {
    return await work(data);
  } finally {
    await data.close();
  }
}

/** Folds the log up to an event. */
async function fold(upTo: number): Promise<void> {
  await withData(async ({ metadata, history }) => {
    const [found] = await metadata.folders({ limit: 1 });
    const { events } = await metadata.events(FOLDER, { after: 0, limit: upTo, splitsGroups: true });
    const last = events.at(-1);
    if (found === undefined || last === undefined) throw new Error("There is no log");
    const { seq, hash } = last;
    await history.fold(FOLDER, events, { epoch: found.folder.epoch, seq, hash });
  });
}

async function findings(): Promise<readonly string[]> {
  const found = await withData((data) => collect(verifyData(data)));
  return found.map(({ code, message }) => `${code}: ${message}`);
}

function change(sql: string): void {
  const database = new DatabaseSync(join(parent, "data", "history.db"));
  database.exec(sql);
  database.close();
}

test("a history that follows its log, as far as it does, is sound [E1, U12]", async () => {
  expect(await findings()).toEqual([]);
  for (const upTo of [1, 3, 4, 6]) {
    await fold(upTo);
    expect(await findings()).toEqual([]);
    await withData(({ history }) => history.forget(FOLDER));
  }
});

test.each([
  "UPDATE spans SET parent = zeroblob(16) WHERE name = 'file' AND from_seq = 2",
  "UPDATE spans SET name = 'other' WHERE name = 'last'",
  "UPDATE spans SET from_seq = 1 WHERE name = 'last'",
  "UPDATE spans SET from_seq = 99 WHERE name = 'last'",
  "UPDATE spans SET to_seq = 4 WHERE name = 'file' AND from_seq = 2",
  "UPDATE spans SET to_seq = 99 WHERE name = 'last'",
  `UPDATE spans SET to_seq = ${Number.MAX_SAFE_INTEGER} WHERE name = 'gone'`,
  "UPDATE spans SET is_deleted = 0 WHERE name = 'gone'",
  "UPDATE spans SET is_deleted = 1 WHERE name = 'last'",
  "UPDATE spans SET node = zeroblob(16) WHERE name = 'last'",
  "UPDATE spans SET kind = 1 WHERE name = 'last'",
  "UPDATE spans SET size = 5 WHERE name = 'last'",
  "UPDATE spans SET mtime_ms = mtime_ms + 1 WHERE name = 'last'",
  "UPDATE spans SET fingerprint = fingerprint + 1 WHERE name = 'last'",
  "DELETE FROM spans WHERE name = 'gone'",
  "DELETE FROM spans WHERE name = 'last'",
  "UPDATE activity SET count = count + 1",
  "UPDATE activity SET bytes = bytes + 1",
  "UPDATE activity SET last_seq = 5",
  "UPDATE activity SET minute = minute + 1",
  "DELETE FROM activity",
])("%s: is told as no damage, and made anew [E1, U12]", async (sql) => {
  await fold(6);
  change(sql);
  expect(await findings()).toEqual([
    expect.stringMatching(/^history_dropped: Its history .*; the server makes it anew$/),
  ]);
  expect(await withData(({ history }) => history.followed(FOLDER))).toBeUndefined();
  await fold(6);
  expect(await findings()).toEqual([]);
});
