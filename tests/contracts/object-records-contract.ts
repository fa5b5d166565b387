/** The contract of every ObjectRecords [U1-U4, I36]. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { genesisHash } from "../../src/core/canonical.ts";
import { type Digest, sha256 } from "../../src/core/digest.ts";
import { type Epoch, type FolderName, parseFolderName } from "../../src/core/identifier.ts";
import { TOUCH_INTERVAL_MS } from "../../src/core/limits.ts";
import type { MetadataStore } from "../../src/ports/metadata-store.ts";
import type { KnownObject, ObjectRecords } from "../../src/ports/object-records.ts";
import { batchTouches } from "../../src/server/batch-touches.ts";
import { decide } from "../../src/server/commit.ts";
import { failureOf } from "../failure.ts";
import { fileOf, nodeId } from "../generate/trees.ts";
import { batchOf, create, FOLDER, hexId, remove } from "../server/server-world.ts";

const OTHER = parseFolderName("other");
const DAY_MS = 86_400_000;

let store: MetadataStore;
let records: ObjectRecords;

function chunk(text: string): KnownObject {
  return { digest: sha256(text), depth: 0, size: text.length };
}

function manifest(text: string, depth = 1): KnownObject {
  return { digest: sha256(text), depth, size: 99 };
}

async function makeFolder(name: FolderName): Promise<void> {
  const epoch = hexId<Epoch>("e", 1);
  const genesis = genesisHash({ server: store.serverId, folder: name, epoch });
  const chunker = { minBytes: 1, averageBytes: 2, maxBytes: 3 };
  await store.createFolder({ name, epoch, genesis, chunker, nameBytesMax: 255 });
}

async function record(objects: readonly KnownObject[], timeMs = 0, folder = FOLDER) {
  const version = await records.version();
  expect(await records.record(folder, { version, objects, children: [], timeMs })).toBe("recorded");
}

async function decided(groups: Parameters<typeof batchOf>[1]) {
  const found = await store.folder(FOLDER);
  if (found === undefined) throw new Error("No folder");
  const objectsVersion = await records.version();
  const batches = [batchOf(found.head, groups)];
  const loaded = await store.load(FOLDER, batchTouches(batches).request);
  const time = "2026-01-02T03:04:05.006Z";
  const steps = decide({ loaded, extents: new Map(), batches, time });
  let step = steps.next();
  while (step.done !== true) step = steps.next();
  const { events, nodes } = step.value;
  return { expectedHead: loaded.head, objectsVersion, events, nodes };
}

async function forget(objects: readonly KnownObject[], untilMs = 1, turn = 0) {
  return await records.forget(FOLDER, { objects, untilMs, turn });
}

async function known(digest: Digest, folder = FOLDER): Promise<number> {
  return (await store.knownObjects(folder, [digest])).length;
}

/** @param make makes an empty store. */
export function objectRecordsContract(
  name: string,
  make: () => MetadataStore | Promise<MetadataStore>,
): void {
  describe(`${name} keeps the contract of object records`, () => {
    beforeEach(async () => {
      store = await make();
      records = store.objectRecords;
      await makeFolder(FOLDER);
      await makeFolder(OTHER);
    });
    afterEach(() => store.close());
    forgetting();
    versions();
    condemning();
  });
}

function forgetting(): void {
  test("forgets what no event names; a deleted file's event still names it [U1]", async () => {
    const [one, two] = [chunk("one"), chunk("two")];
    await record([one, two]);
    const group = [create(nodeId(1), "a", fileOf("one"))];
    expect(await store.append(FOLDER, await decided([group]))).toBe("appended");
    await store.append(FOLDER, await decided([[remove(nodeId(1), 1)]]));
    expect(await records.unnamed(FOLDER, { objects: [one, two], untilMs: 1, turn: 0 })).toEqual([
      two,
    ]);
    expect(await known(two.digest)).toBe(1);
    expect(await forget([one, two])).toEqual([two]);
    expect([await known(one.digest), await known(two.digest)]).toEqual([1, 0]);
  });

  test("leaves alone what is young, and what was asked about lately [U1]", async () => {
    const [old, young, asked] = [chunk("old"), chunk("young"), chunk("asked")];
    await record([old, asked]);
    await record([young], 2 * DAY_MS);
    await records.touch(FOLDER, [asked.digest, sha256("none")], 2 * DAY_MS);
    expect(await forget([old, young, asked], DAY_MS)).toEqual([old]);
    await records.touch(FOLDER, [young.digest], 2 * DAY_MS + TOUCH_INTERVAL_MS / 2);
    expect(await forget([young], 2 * DAY_MS + 1)).toEqual([young]);
  });

  test("a second record makes an object young, and never old [U1]", async () => {
    await record([chunk("one")], 5);
    await record([chunk("one")], 3);
    expect(await forget([chunk("one")], 5)).toEqual([]);
    expect(await forget([chunk("one")], 6)).toEqual([chunk("one")]);
  });

  test("forgets one depth of an object, in one folder [U1]", async () => {
    const both = sha256("both");
    await record([chunk("both"), { digest: both, depth: 1, size: 99 }]);
    await record([chunk("both")], 0, OTHER);
    expect(await forget([manifest("both")])).toEqual([manifest("both")]);
    expect([await known(both), await known(both, OTHER)]).toEqual([1, 1]);
  });

  test("manifests are listed by turn, those of one depth, by page [U2]", async () => {
    await record([manifest("b"), manifest("a")]);
    await record([manifest("c", 2), chunk("d")]);
    await record([manifest("e")]);
    const first = await records.manifests(FOLDER, { depth: 1, limit: 2 });
    const [, after] = first;
    if (after === undefined) throw new Error("No manifests");
    const rest = await records.manifests(FOLDER, { depth: 1, after, limit: 2 });
    const digests = [...first, ...rest].map(({ digest }) => digest);
    const together = [sha256("a"), sha256("b")].sort();
    expect(digests).toEqual([...together, sha256("e")]);
  });

  test("forgets nothing while a manifest above may hold it unseen [U2]", async () => {
    await record([manifest("a")]);
    const [read] = await records.manifests(FOLDER, { depth: 1, limit: 9 });
    await record([chunk("one"), chunk("two")]);
    const turn = read?.turn ?? 0;
    await record([manifest("later", 2)]);
    expect(await forget([chunk("one")], 1, turn)).toEqual([chunk("one")]);
    await record([manifest("later")]);
    expect(await forget([chunk("two")], 1, turn)).toBe("manifests_added");
    expect(await known(sha256("two"))).toBe(1);
  });
}

function versions(): void {
  test("what relies on forgotten objects is written by nobody, all else is [U3]", async () => {
    await record([chunk("one"), chunk("two"), chunk("three")]);
    const work = await decided([[create(nodeId(1), "a", fileOf("one"))]]);
    const other = await decided([[create(nodeId(2), "b", fileOf("three"))]]);
    const version = await records.version();
    expect(await forget([chunk("one"), chunk("two")])).toHaveLength(2);
    expect(await store.append(FOLDER, work)).toBe("objects_moved");
    const objects = [manifest("m")];
    const recording = { version, objects, children: [chunk("two")], timeMs: 0 };
    expect(await records.record(FOLDER, recording)).toBe("objects_moved");
    expect(await known(sha256("m"))).toBe(0);
    expect((await store.folder(FOLDER))?.head.seq).toBe(0);
    const children = [chunk("three")];
    expect(await records.record(FOLDER, { ...recording, children })).toBe("recorded");
    expect(await store.append(FOLDER, other)).toBe("appended");
  });

  test("nothing forgotten changes nothing [U3]", async () => {
    const version = await records.version();
    await record([chunk("one")], 5);
    expect(await forget([chunk("one")])).toEqual([]);
    await records.absolve([]);
    expect(await records.version()).toBe(version);
  });
}

function condemning(): void {
  test("what no folder knows is condemned; until it is absolved nobody records it [U3]", async () => {
    const [one, gone] = [chunk("one"), chunk("gone")];
    await record([one], 0, OTHER);
    const digests = [one.digest, gone.digest].sort();
    expect(await records.unknown(digests)).toEqual([gone.digest]);
    expect(await records.condemn(digests)).toEqual([gone.digest]);
    expect(await records.condemned(10)).toEqual([gone.digest]);
    const version = await records.version();
    const recording = { version, objects: [gone], children: [], timeMs: 0 };
    expect(await records.record(FOLDER, recording)).toBe("objects_moved");
    await records.absolve([gone.digest]);
    expect(await records.condemned(10)).toEqual([]);
    // Whoever put the bytes before they were deleted does not record them after it.
    expect(await records.record(FOLDER, recording)).toBe("objects_moved");
    await record([gone]);
    expect(await records.unknown(digests)).toEqual([]);
  });

  test("records of unknown folders are refused [O6]", async () => {
    const nowhere = parseFolderName("nowhere");
    const version = await records.version();
    const recording = { version, objects: [chunk("one")], children: [], timeMs: 0 };
    expect(await failureOf(records.record(nowhere, recording))).toMatchObject({
      code: "folder_not_found",
    });
  });
}
