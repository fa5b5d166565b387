/** verifyData(): it is silent on sound data and names each damage. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { type DataDirectory, openDataDirectory } from "../../src/adapters/data-directory.ts";
import type { FileContent } from "../../src/core/node.ts";
import { createSequencer } from "../../src/server/sequencer.ts";
import { verifyData } from "../../src/server/verify.ts";
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
    expect(await findings()).toContain(`node_differs: folder ${FOLDER}`);
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
    expect(damaged.length - versions.length).toBe(4);
    change("objects.db", `DELETE FROM places WHERE digest = x'${first}'`);
    const lost = await findings();
    expect(lost).toContain(`object_missing: folder ${FOLDER} object ${first}`);
    expect(lost).not.toContain(`object_damaged: object ${first}`);
  });

  test("finds a content that the folder does not know [O6]", async () => {
    change("metadata.db", "DELETE FROM folder_objects WHERE size = 200");
    expect(await findings()).toEqual([`object_missing: folder ${FOLDER} event 3`]);
  });
});
