/** The sequencer beside commits: reading the log and the tree, paths, files, devices, time. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { type Digest, sha256 } from "../../src/core/digest.ts";
import { parseFolderName } from "../../src/core/identifier.ts";
import type { FileContent, Sequence } from "../../src/core/node.ts";
import { formatTime } from "../../src/core/time.ts";
import { failureOf } from "../failure.ts";
import { noise } from "../generate/contents.ts";
import { fileOf, nodeId } from "../generate/trees.ts";
import {
  batchOf,
  bytesOf,
  collect,
  create,
  DEVICE,
  DIRECTORY,
  FOLDER,
  modify,
  move,
  remove,
  type ServerWorld,
  serverWorld,
} from "./server-world.ts";

const A = nodeId(1);
const B = nodeId(2);

let world: ServerWorld;
beforeEach(async () => {
  world = await serverWorld();
  await world.upload("one", "two");
});
afterEach(() => world.close());

async function* bodyOf(bytes: Uint8Array, pieceBytes = 50_000): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += pieceBytes) yield bytes.subarray(at, at + pieceBytes);
}

function put(path: string, bytes: Uint8Array | string, more: Record<string, unknown> = {}) {
  const body = bodyOf(typeof bytes === "string" ? bytesOf(bytes) : bytes);
  return world.sequencer.putFile(FOLDER, { path, body, device: DEVICE, ...more });
}

async function textAt(path: string, seq?: Sequence): Promise<string | undefined> {
  const node = await world.sequencer.nodeAt(FOLDER, path, seq);
  if (node?.content.kind !== "file") return undefined;
  const pieces = await collect(await world.sequencer.readContent(FOLDER, node.content));
  return Buffer.concat(pieces).toString();
}

describe("the log", () => {
  test("listeners hear of each commit, and of none after they left [O7]", async () => {
    const heard: Sequence[] = [];
    const stop = world.sequencer.subscribe(FOLDER, (head) => heard.push(head));
    await world.post([create(A, "a", fileOf("one"))], [create(B, "b", fileOf("two"))]);
    expect(heard).toEqual([2]);
    stop();
    await world.post([remove(A, 1)]);
    expect(heard).toEqual([2]);
  });

  test("batches that wait together share a transaction and keep their order [L1]", async () => {
    const heads: Sequence[] = [];
    world.sequencer.subscribe(FOLDER, (head) => heads.push(head));
    const cursor = await world.cursor();
    const batches = Array.from({ length: 20 }, (_, n) =>
      batchOf(cursor, [[create(nodeId(n + 1), `f${n}`, fileOf("one"))]]),
    );
    const results = await Promise.all(batches.map((b) => world.sequencer.commit(FOLDER, b)));
    expect(results.map(({ head }) => head)).toEqual(batches.map((_, n) => n + 1));
    expect(heads).toEqual([20]);
  });

  test("events() judges the cursor that the reader claims [I33]", async () => {
    await world.post([create(A, "a", fileOf("one"))]);
    const { epoch, hash } = await world.cursor();
    const read = (request: object) =>
      world.sequencer.events(FOLDER, { after: 1, limit: 10, ...request });
    expect(await read({ epoch, hash })).toMatchObject({ events: [], next: 1, head: 1 });
    expect(await read({})).toMatchObject({ events: [], next: 1 });
    expect(await failureOf(read({ after: 2 }))).toMatchObject({ code: "cursor_ahead" });
    expect(await failureOf(read({ hash: sha256("x") }))).toMatchObject({ code: "log_diverged" });
    expect(await failureOf(read({ epoch: "f".repeat(32) }))).toMatchObject({
      code: "log_diverged",
    });
  });

  test("small files travel beside their events when asked for [L4]", async () => {
    await put("small", "one");
    await put("large", noise(1, 10_000));
    const read = async (inline: boolean) =>
      (await world.sequencer.events(FOLDER, { after: 0, limit: 10, inline })).events;
    expect((await read(true)).map((event) => event.inline)).toEqual(["b25l", undefined]);
    expect((await read(false)).map((event) => event.inline)).toEqual([undefined, undefined]);
  });

  test("an unknown folder is refused everywhere [H1]", async () => {
    const name = parseFolderName("unknown");
    const code = "folder_not_found";
    const { sequencer } = world;
    const cursor = await world.cursor();
    const commit = sequencer.commit(name, batchOf(cursor, []));
    expect(await failureOf(commit)).toMatchObject({ code });
    const calls = [
      () => sequencer.folder(name),
      () => sequencer.events(name, { after: 0, limit: 1 }),
      () => sequencer.missing(name, []),
      () => sequencer.putObjects(name, []),
      () => sequencer.tree(name, { limit: 1 }),
      () => sequencer.index(name, { limit: 1 }),
      () => sequencer.history(name, { of: { path: "a" }, limit: 1 }),
      () => sequencer.nodeAt(name, "a"),
      () => sequencer.deleteFile(name, { path: "a", device: DEVICE }),
      () => sequencer.reportDevice(name, DEVICE, { name: "x", applied: cursor }),
    ];
    for (const call of calls) expect(await failureOf(call())).toMatchObject({ code });
  });

  test("a stopping server finishes what it took and takes no more", async () => {
    const cursor = await world.cursor();
    const batch = batchOf(cursor, [[create(A, "a", fileOf("one"))]]);
    const taken = world.sequencer.commit(FOLDER, batch);
    await Promise.resolve();
    await world.sequencer.close();
    const outcome = await Promise.allSettled([taken]);
    expect(["fulfilled", "rejected"]).toContain(outcome[0].status);
    const late = world.sequencer.commit(FOLDER, batch);
    expect(await failureOf(late)).toMatchObject({ code: "temporarily_unavailable" });
  });
});

describe("the tree and the index", () => {
  test("the tree is paged by node id at the moving head", async () => {
    const group = [1, 2, 3].map((n) => create(nodeId(n), `n${n}`, DIRECTORY));
    await world.post(group);
    const first = await world.sequencer.tree(FOLDER, { limit: 2 });
    expect(first).toMatchObject({ seq: 3, next: nodeId(2) });
    const after = first.next ?? A;
    const second = await world.sequencer.tree(FOLDER, { limit: 2, after });
    expect(second.nodes.map(({ id }) => id)).toEqual([nodeId(3)]);
    expect(second.next).toBeUndefined();
  });

  test("the index lists paths depth first, whatever the page size [H4]", async () => {
    const names = ["b", "b/x", "b/x/1", "b/x/2", "b/y", "b-", "c", "a"];
    for (const path of names) {
      await put(`${path}/file`, path);
    }
    const whole = await world.sequencer.index(FOLDER, { limit: 1000 });
    const expected = whole.entries.map(({ path }) => path);
    const parts = expected.map((path) => path.split("/").join("\0"));
    expect(parts).toEqual(parts.toSorted());
    expect(expected.length).toBe(16);
    for (const limit of [1, 2, 3, 5, 15, 16]) {
      const paged: string[] = [];
      let after: string | undefined;
      do {
        const request = after === undefined ? { limit } : { limit, after };
        const page = await world.sequencer.index(FOLDER, request);
        expect(page.entries.length).toBeLessThanOrEqual(limit);
        paged.push(...page.entries.map(({ path }) => path));
        after = page.next;
      } while (after !== undefined);
      expect(paged).toEqual(expected);
    }
  });

  test("a page goes on where the last one ended, though that path is gone [H4]", async () => {
    for (const path of ["a/1", "a/2", "b"]) await put(path, path);
    const gone = await world.sequencer.index(FOLDER, { limit: 10, after: "a/15/deep" });
    expect(gone.entries.map(({ path }) => path)).toEqual(["a/2", "b"]);
  });

  test("the index and files are read as of any event [L5]", async () => {
    await put("a/x", "one");
    await put("a/x", "two");
    const { versions } = await world.sequencer.history(FOLDER, { of: { path: "a/x" }, limit: 10 });
    expect(versions.map(({ seq, kind }) => [seq, kind])).toEqual([
      [3, "modify"],
      [2, "create"],
    ]);
    await world.sequencer.deleteFile(FOLDER, { path: "a/x", device: DEVICE });
    expect(await textAt("a/x")).toBeUndefined();
    expect(await textAt("a/x", 2)).toBe("one");
    expect(await textAt("a/x", 3)).toBe("two");
    const past = await world.sequencer.index(FOLDER, { limit: 10, seq: 2 });
    expect(past.entries.map(({ path }) => path)).toEqual(["a", "a/x"]);
    const ahead = world.sequencer.nodeAt(FOLDER, "a/x", 99);
    expect(await failureOf(ahead)).toMatchObject({ code: "cursor_ahead" });
    expect(await world.sequencer.nodeAt(FOLDER, "../x")).toBeUndefined();
    expect(await world.sequencer.nodeAt(FOLDER, "")).toBeUndefined();
  });

  test("history follows a node across renames and after its deletion, by pages [H14]", async () => {
    await put("dir/old", "one");
    const node = await world.sequencer.nodeAt(FOLDER, "dir/old");
    await world.post([move(node?.id ?? A, "new", 2)]);
    await world.sequencer.deleteFile(FOLDER, { path: "new", device: DEVICE });
    const shown = async (request: object) => {
      const base = { of: { path: "new" }, limit: 10 };
      const page = await world.sequencer.history(FOLDER, { ...base, ...request });
      return [page.versions.map(({ kind, path }) => `${kind} ${path}`), page.next];
    };
    const all = ["delete new", "move new", "create dir/old"];
    expect(await shown({})).toEqual([all, undefined]);
    expect(await shown({ limit: 2 })).toEqual([all.slice(0, 2), 3]);
    expect(await shown({ limit: 2, before: 3 })).toEqual([all.slice(2), undefined]);
    const left = ["move new", "create dir/old"];
    expect(await shown({ of: { path: "dir/old" } })).toEqual([left, undefined]);
    expect(await shown({ of: { path: "dir/never" } })).toEqual([[], undefined]);
  });

  test("history names all that ever stood at a path, whichever nodes these were [H14]", async () => {
    const { sequencer } = world;
    const remove = (path: string) => sequencer.deleteFile(FOLDER, { path, device: DEVICE });
    const nodeOf = async (path: string) => (await sequencer.nodeAt(FOLDER, path))?.id ?? A;
    const shown = async (path: string, page: { limit?: number; before?: number } = {}) => {
      const { versions } = await sequencer.history(FOLDER, { of: { path }, limit: 100, ...page });
      for (const { kind, path: at, sha256, size } of versions) {
        const isThere = kind !== "delete" && (kind !== "move" || at === path) && path !== "site";
        expect([sha256 !== undefined, size !== undefined]).toEqual([isThere, isThere]);
      }
      return versions.map(({ seq, kind, path }) => `${seq} ${kind} ${path}`);
    };
    // Saved by deleting and making anew, in a directory that is made anew as well, and renamed.
    await put("site/page", "one");
    await remove("site/page");
    await put("site/page", "two");
    const former = await nodeOf("site");
    await world.post([move(former, "site.old", 1)]);
    await put("site.new/page", "three");
    await world.post([move(await nodeOf("site.new"), "site", 6)]);
    await put("site/page", "four");
    const pages = ["9 modify site/page", "7 create site.new/page"];
    const earlier = ["4 create site/page", "3 delete site/page", "2 create site/page"];
    expect(await shown("site/page")).toEqual([...pages, ...earlier]);
    expect(await shown("site.old/page")).toEqual(earlier);
    expect(await shown("site.new/page")).toEqual(["7 create site.new/page"]);
    const directories = ["8 move site", "6 create site.new", "5 move site.old", "1 create site"];
    expect(await shown("site")).toEqual(directories);
    // By pages, however small.
    const paged: string[] = [];
    for (let before = 99; ; ) {
      const [one] = await shown("site/page", { before, limit: 1 });
      if (one === undefined) break;
      paged.push(one);
      before = Number.parseInt(one, 10);
    }
    expect(paged).toEqual([...pages, ...earlier]);
    // Renamed to a backup that goes later, and written anew.
    await world.post([move(await nodeOf("site/page"), "page.bak", 7)]);
    await put("site/page", "five");
    await remove("page.bak");
    const saved = ["11 create site/page", "10 move page.bak"];
    expect(await shown("site/page")).toEqual([...saved, ...pages, ...earlier]);
  });
});

describe("whole files", () => {
  test("a file of any size comes back as it was put, whole and by range [C1]", async () => {
    for (const size of [0, 1, 40_000, 131_072, 3_000_000, 9_500_000]) {
      const bytes = noise(size + 1, size);
      const { content } = await put(`f${size}`, bytes);
      expect(content.sha256).toBe(sha256(bytes));
      expect(content.size).toBe(size);
      const read = async (range?: { start: number; end: number }) =>
        Buffer.concat(await collect(await world.sequencer.readContent(FOLDER, content, range)));
      expect((await read()).equals(bytes)).toBe(true);
      for (const [start, end] of [
        [0, 1],
        [size - 1, size],
        [100, 200_000],
        [70_000, size],
      ]) {
        if (start === undefined || end === undefined || start < 0 || end > size) continue;
        if (start >= end) continue;
        expect((await read({ start, end })).equals(bytes.subarray(start, end))).toBe(true);
      }
    }
  });

  test("a put makes its parents, replaces, and is no event when identical [H7, O9]", async () => {
    expect((await put("a/b/c", "one")).outcome).toBe("created");
    expect((await world.cursor()).seq).toBe(3);
    expect(await put("a/b/c", "one")).toMatchObject({ outcome: "identical", seq: 3 });
    expect(await put("a/b/c", "two")).toMatchObject({ outcome: "replaced", seq: 4 });
    expect((await put("a/b/c", "two", { executable: true })).outcome).toBe("replaced");
    expect((await put("a/b/c", "two")).outcome).toBe("identical");
    expect((await put("a/b/c", "two", { mtimeNs: "5" })).content).toMatchObject({
      mtimeNs: "5",
      executable: true,
    });
    const { events } = await world.sequencer.events(FOLDER, { after: 0, limit: 3 });
    expect(events.map(({ groupEnd }) => groupEnd)).toEqual([false, false, true]);
  });

  test("preconditions decide before and after the body [H7]", async () => {
    const code = "precondition_failed";
    const one = sha256("one");
    expect(await failureOf(put("a", "one", { ifMatch: "*" }))).toMatchObject({ code });
    expect((await put("a", "one", { ifNoneMatch: true })).outcome).toBe("created");
    expect(await failureOf(put("a", "two", { ifNoneMatch: true }))).toMatchObject({ code });
    expect(await failureOf(put("a", "two", { ifMatch: [sha256("x")] }))).toMatchObject({ code });
    expect((await put("a", "two", { ifMatch: [sha256("x"), one] })).outcome).toBe("replaced");
    const stale = { path: "a", device: DEVICE, ifMatch: [one] };
    expect(await failureOf(world.sequencer.deleteFile(FOLDER, stale))).toMatchObject({ code });
    expect(await textAt("a")).toBe("two");
  });

  test("of two conditional puts at once one wins [O8]", async () => {
    await put("a", "base");
    const ifMatch: readonly Digest[] = [sha256("base")];
    const outcomes = await Promise.allSettled([
      put("a", "left", { ifMatch }),
      put("a", "right", { ifMatch }),
    ]);
    expect(outcomes.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
  });

  test("many unconditional puts at once below one new directory all arrive [O8]", async () => {
    const paths = Array.from({ length: 20 }, (_, n) => `new/dir/f${n}`);
    await Promise.all(paths.map((path) => put(path, path)));
    for (const path of paths) expect(await textAt(path)).toBe(path);
  });

  const refusals: readonly [string, string][] = [
    ["", "invalid_path"],
    ["/a", "invalid_path"],
    ["a//b", "invalid_path"],
    ["a/../b", "invalid_path"],
    ["a/.synced/b", "reserved_name"],
    ["x".repeat(256), "path_too_long"],
    ["file/below", "parent_not_directory"],
    ["dir", "kind_change"],
  ];
  for (const [path, code] of refusals) {
    test(`a put to ${JSON.stringify(path.slice(0, 14))} is refused with ${code} [N3]`, async () => {
      await put("file", "one");
      await put("dir/file", "one");
      expect(await failureOf(put(path, "two"))).toMatchObject({ code });
    });
  }

  test("a delete takes files and empty directories, once [H7]", async () => {
    await put("a/b", "one");
    const gone = (path: string) => world.sequencer.deleteFile(FOLDER, { path, device: DEVICE });
    expect(await failureOf(gone("a"))).toMatchObject({ code: "directory_not_empty" });
    expect(await gone("a/b")).toEqual({ seq: 3 });
    expect(await failureOf(gone("a/b"))).toMatchObject({ code: "not_found" });
    expect(await gone("a")).toEqual({ seq: 4 });
  });

  test("contents are found by SHA-256 while the folder has ever had them [H7]", async () => {
    await put("a", "one");
    await put("a", "two");
    const found = await world.sequencer.contentBySha256(FOLDER, sha256("one"));
    expect(found).toMatchObject({ content: { size: 3 }, gone: false });
    expect(await world.sequencer.contentBySha256(FOLDER, sha256("three"))).toBeUndefined();
  });
});

describe("devices and time", () => {
  test("a device reports a place on the log and is listed [I33]", async () => {
    const applied = await world.cursor();
    await world.sequencer.reportDevice(FOLDER, DEVICE, { name: "laptop", applied });
    const devices = await world.sequencer.devices(FOLDER, { limit: 10 });
    expect(devices).toMatchObject([{ device: DEVICE, name: "laptop", applied }]);
    const wrong = { name: "laptop", applied: { ...applied, seq: 7 } };
    const report = world.sequencer.reportDevice(FOLDER, DEVICE, wrong);
    expect(await failureOf(report)).toMatchObject({ code: "cursor_ahead" });
  });

  test("formatTime() writes RFC 3339 as everybody else does [L6]", () => {
    const times = [0, 1, 951_782_400_000, 1_709_164_799_999, 4_107_542_400_000, -1, -86_400_001];
    for (let n = 0; n < 3000; n += 1) times.push(n * 86_399_123_457);
    for (const time of times.filter((ms) => ms < 253_402_300_800_000)) {
      expect(formatTime(time)).toBe(new Date(time).toISOString());
    }
  });

  test("an edit and its node's content stay what was posted [L5]", async () => {
    await world.post([create(A, "a", fileOf("one"))], [modify(A, fileOf("two"), 1)]);
    const node = await world.sequencer.nodeAt(FOLDER, "a");
    expect(node?.content).toEqual(fileOf("two") as FileContent);
  });
});
