/** verifyData(): it is silent on sound data and names each damage. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { type DataDirectory, openDataDirectory } from "../../src/adapters/data-directory.ts";
import { sha256 } from "../../src/core/digest.ts";
import type { FileContent } from "../../src/core/node.ts";
import { createSequencer } from "../../src/server/sequencer.ts";
import { verifyData } from "../../src/server/verify.ts";
import { mendDataDirectory } from "../../src/storage.ts";
import { noise } from "../generate/contents.ts";
import { collect, countingRandom, DEVICE, FOLDER, tickingClock } from "./server-world.ts";

let parent: string;
let path: string;
let large: FileContent;

beforeEach(async () => {
  parent = mkdtempSync(join(tmpdir(), "synced-test-verify-"));
  path = join(parent, "data");
  await withData(async (data) => {
    const sequencer = createSequencer({
      ...data,
      clock: tickingClock(),
      random: countingRandom(),
    });
    await sequencer.createFolder(FOLDER);
    const put = (name: string, bytes: Uint8Array) =>
      sequencer.putFile(FOLDER, { path: name, body: once(bytes), device: DEVICE });
    await put("dir/small", noise(1, 100));
    await put("dir/small", noise(2, 200));
    ({ content: large } = await put("large", noise(3, 700_000)));
    await put("gone", noise(4, 50));
    await sequencer.deleteFile(FOLDER, { path: "gone", device: DEVICE });
    await sequencer.close();
  });
});
afterEach(() => rmSync(parent, { recursive: true, force: true }));

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

async function withData<Result>(work: (data: DataDirectory) => Promise<Result>): Promise<Result> {
  const data = openDataDirectory(path);
  try {
    return await work(data);
  } finally {
    await data.close();
  }
}

async function findings(): Promise<readonly string[]> {
  const found = await withData((data) => collect(verifyData(data)));
  return found.map(({ code, where }) => `${code}: ${where}`);
}

function change(file: string, sql: string): void {
  const database = new DatabaseSync(join(path, file));
  database.exec(sql);
  database.close();
}

describe("verifyData()", () => {
  test("finds nothing in sound data [L2, L5]", async () => {
    expect(await findings()).toEqual([]);
  });

  test("finds a changed event, though it is the oldest [L2]", async () => {
    change("metadata.db", "UPDATE events SET time = 'x' WHERE seq = 1");
    expect(await findings()).toEqual([`chain_broken: folder ${FOLDER} event 1`]);
  });

  test("finds a lost event [L1]", async () => {
    change("metadata.db", "DELETE FROM events WHERE seq = 3");
    expect((await findings()).some((one) => one.startsWith("chain_broken"))).toBe(true);
  });

  test("finds a node's row that is not the fold [L5]", async () => {
    change("metadata.db", "UPDATE nodes SET content_version = 9 WHERE name = 'small'");
    const [only, ...rest] = await findings();
    expect(only).toStartWith(`node_differs: folder ${FOLDER} node `);
    expect(rest).toEqual([]);
    change("metadata.db", "DELETE FROM nodes WHERE name = 'large'");
    const found = await withData((data) => collect(verifyData(data)));
    expect(found.map((one) => one.path).sort()).toEqual(["dir/small", "large"]);
  });

  test("finds damaged and lost objects, small and large, and the versions they hurt [I37, U11]", async () => {
    const small = "(SELECT digest FROM objects WHERE length(bytes) = 100)";
    change("objects.db", `UPDATE objects SET bytes = zeroblob(100) WHERE digest = ${small}`);
    const [chunk] = await withData((data) =>
      collect(
        createSequencer({ ...data, clock: tickingClock(), random: countingRandom() }).readObjects(
          FOLDER,
          [large.manifest],
        ),
      ),
    );
    expect(chunk?.depth).toBe(1);
    const first = chunk?.bytes.subarray(2, 34).toHex() ?? "";
    change("objects.db", `UPDATE places SET offset = offset + 1 WHERE digest = x'${first}'`);
    const damaged = await findings();
    expect(damaged).toContain(`object_damaged: object ${first}`);
    expect(damaged).toContain(`object_missing: folder ${FOLDER} object ${first}`);
    const versions = damaged.filter((one) => one.startsWith("version_hurt"));
    const hurt = [2, 4].map((seq) => `version_hurt: folder ${FOLDER} event ${seq}`);
    expect(versions).toEqual(hurt);
    expect(damaged).toContain(`repair_hope: folder ${FOLDER}`);
    expect(damaged.length - versions.length).toBe(5);
    change("objects.db", `DELETE FROM places WHERE digest = x'${first}'`);
    const lost = await findings();
    expect(lost).toContain(`object_missing: folder ${FOLDER} object ${first}`);
    expect(lost).not.toContain(`object_damaged: object ${first}`);
  });

  test("finds a content that the folder does not know [O6]", async () => {
    change("metadata.db", "DELETE FROM folder_objects WHERE size = 200");
    expect(await findings()).toEqual([`object_missing: folder ${FOLDER} event 3`]);
  });

  test("finds a wrong bit in each column, and puts it right where the log proves it [U12, L2]", async () => {
    const before = rowsOf("events");
    for (const table of ["events", "nodes", "folder_objects"]) {
      const [first = {}] = rowsOf(table);
      for (const column of Object.keys(first).filter((name) => name !== "touched")) {
        const story = `${table}.${column}`;
        if (!flip(table, column)) continue;
        expect([story, await findings()]).not.toEqual([story, []]);
        expect([story, await mended()]).not.toEqual([story, 0]);
      }
      expect([table, await findings()]).toEqual([table, []]);
    }
    expect(rowsOf("events")).toEqual(before);
    expect(await mended()).toBe(0);
  }, 120_000);

  test("leaves an event alone of which nothing proves how it was [U12]", async () => {
    change("metadata.db", "UPDATE events SET time = 'x' WHERE seq = 2");
    expect(await mended()).toBe(0);
    expect(await findings()).toEqual([`chain_broken: folder ${FOLDER} event 2`]);
  });

  test("a version that was hurt and is whole again is called so [U12]", async () => {
    const small = "(SELECT digest FROM objects WHERE length(bytes) = 200)";
    change("objects.db", `UPDATE objects SET bytes = zeroblob(200) WHERE digest = ${small}`);
    expect(await findings()).toContain(`version_hurt: folder ${FOLDER} event 3`);
    expect(await findings()).toContain(`repair_hope: folder ${FOLDER}`);
    const bytes = noise(2, 200);
    await withData((data) => data.objects.put([{ digest: sha256(bytes), bytes }]));
    expect(await findings()).toEqual([`version_healed: folder ${FOLDER} event 3`]);
  });
});

function rowsOf(table: string): readonly Record<string, unknown>[] {
  const database = new DatabaseSync(join(path, "metadata.db"));
  const rows = database.prepare(`SELECT * FROM ${table}`).all();
  database.close();
  return rows;
}

/** @returns false if SQLite does not take it */
function flip(table: string, column: string): boolean {
  const database = new DatabaseSync(join(path, "metadata.db"));
  database.exec("PRAGMA foreign_keys = OFF");
  try {
    const keys = { events: "seq", nodes: "id", folder_objects: "digest" }[table] ?? "";
    const sql = `SELECT ${keys}, CAST(${column} AS BLOB) AS raw, ${column} AS value FROM ${table}
      WHERE ${column} IS NOT NULL AND (typeof(${column}) = 'integer' OR length(${column}) > 0)`;
    const row = database.prepare(sql).all().at(-1);
    const { raw, value } = row ?? {};
    if (row === undefined || !(raw instanceof Uint8Array)) return false;
    const bytes = Uint8Array.from(raw);
    bytes[0] = (bytes[0] ?? 0) ^ 1;
    const number = typeof value === "number" ? Number(BigInt(value) ^ (1n << 9n)) : undefined;
    const key = row[keys] ?? null;
    const changed = typeof value === "string" ? "CAST(? AS TEXT)" : "?";
    const update = `UPDATE ${table} SET ${column} = ${changed} WHERE ${keys} = ?`;
    database.prepare(update).run(number ?? bytes, key);
    return true;
  } catch (error) {
    if (error instanceof Error && /constraint/i.test(error.message)) return false;
    throw error;
  } finally {
    database.close();
  }
}

async function mended(): Promise<number> {
  return (await collect(mendDataDirectory(path))).length;
}
