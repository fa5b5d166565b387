/** Staging on a simulated disk: verified, durable, resumable, and with as few bytes from the server as can be. Rules: D2, C5. */
import { describe, expect, test } from "bun:test";
import { partialPath } from "../../src/client/stage/plan.ts";
import { type StageReport, type StageWant, stageContents } from "../../src/client/stage/stage.ts";
import { type Digest, sha256 } from "../../src/core/digest.ts";
import { SyncedError } from "../../src/core/error.ts";
import { encodeManifestObject } from "../../src/core/manifest.ts";
import type { FileContent } from "../../src/core/node.ts";
import { baseName } from "../../src/core/path.ts";
import { nodeId } from "../generate/trees.ts";
import { ApplyWorld } from "./apply-world.ts";

const SIGNAL = new AbortController().signal;

function newWorld(): ApplyWorld {
  const world = new ApplyWorld();
  world.make(".synced/staging/", ".synced/quarantine/", ".synced/parking/");
  return world;
}

/** Bytes without repetition. */
function bytesOf(seed: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let state = seed;
  for (let index = 0; index < length; index += 1) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff;
    bytes[index] = state >> 16;
  }
  return bytes;
}

function stage(
  world: ApplyWorld,
  wants: readonly StageWant[],
  known?: ReadonlyMap<Digest, Uint8Array>,
): Promise<StageReport> {
  const options = { signal: SIGNAL, ...(known === undefined ? {} : { known }) };
  return stageContents(world.ports, wants, options);
}

function want(number: number, content: FileContent): StageWant {
  return { id: nodeId(number), content, replaces: false };
}

function bytesAt(world: ApplyWorld, path: string): Uint8Array {
  const inode = world.inode(path);
  if (inode.kind !== "file") throw new Error(`no file at ${path}`);
  return inode.bytes;
}

function stagedBytes(world: ApplyWorld, report: StageReport, number: number): Uint8Array {
  return bytesAt(world, report.staged.get(nodeId(number))?.path ?? "nowhere");
}

describe("stageContents()", () => {
  test("stages small files, many in one request, with their metadata [D2]", async () => {
    const world = newWorld();
    const texts = Array.from({ length: 300 }, (_, index) => `text ${index}`);
    const wants = texts.map((text, index) => want(index, world.content(text)));
    const report = await stage(world, [...wants, want(999, world.content(""))]);
    expect(report).toMatchObject({ failed: [], stop: undefined });
    expect(world.requests).toBe(1);
    const decoder = new TextDecoder();
    const staged = texts.map((_, index) => decoder.decode(stagedBytes(world, report, index)));
    expect(staged).toEqual(texts);
    expect(report.staged.get(nodeId(999))?.stat.size).toBe(0);
    expect(report.staged.get(nodeId(5))?.stat.mtimeNs).toBe("1600000000000000007");
    expect(world.entries("staging").length).toBe(301);
    // Their names become durable with the batch, their bytes are already.
    await world.fs.syncDirectories([".synced/staging"]);
    world.disk.powerCut();
    expect(decoder.decode(stagedBytes(world, report, 7))).toBe("text 7");
  });

  test("a download is called like an entry only once it is durable, so half of one is no find [D14, I5]", async () => {
    const world = newWorld();
    const large = world.content(bytesOf(3, 20_000));
    const wants = [want(1, world.content("small")), want(2, large), want(3, world.content("too"))];
    world.onCall = (name) => (name === "sync" ? "io" : undefined);
    const remove = world.fs.removeFile.bind(world.fs);
    // A power cut comes first.
    world.fs.removeFile = () => "absent";
    const report = await stage(world, wants);
    expect(report.failed.length).toBe(3);
    world.fs.removeFile = remove;
    expect(world.entries("staging").length).toBe(3);
    world.crash();
    world.loseState();
    await world.recover(true);
    expect(world.files()).toEqual({});
    expect(world.entries("staging")).toEqual([]);
  });

  test("assembles a file of many chunks by its manifest [C3, C5]", async () => {
    const world = newWorld();
    const bytes = bytesOf(1, 300_000);
    const content = world.content(bytes);
    expect(content.depth).toBeGreaterThan(1);
    const report = await stage(world, [want(1, content)]);
    expect(report).toMatchObject({ failed: [], stop: undefined });
    expect(stagedBytes(world, report, 1)).toEqual(bytes);
    expect(world.entries("staging")).toEqual([report.staged.get(nodeId(1))?.id ?? ""]);
    expect(world.store.manifest(content.manifest)).toBeDefined();
  });

  test("fetches only the chunks that the former file does not have [C4]", async () => {
    const world = newWorld();
    const bytes = bytesOf(2, 200_000);
    const former = world.content(bytes);
    const file = world.disk.newFile("user");
    world.put("f", file);
    world.disk.write(file, bytes, "user", "durable");
    await stage(world, [want(9, former)]);
    const edited = bytes.slice();
    edited[100_000] = (edited[100_000] ?? 0) ^ 255;
    const content = world.content(edited);
    world.fetched.length = 0;
    const reuse = [{ path: "f", content: former }];
    const report = await stage(world, [{ ...want(1, content), reuse }]);
    expect(stagedBytes(world, report, 1)).toEqual(edited);
    expect(world.fetched.length).toBeLessThan(10);
  });

  test("does not believe a former file that has changed since [C5]", async () => {
    const world = newWorld();
    const bytes = bytesOf(3, 50_000);
    const content = world.content(bytes);
    const file = world.disk.newFile("user");
    world.put("f", file);
    world.disk.write(file, bytesOf(4, 50_000), "user", "durable");
    const report = await stage(world, [{ ...want(1, content), reuse: [{ path: "f", content }] }]);
    expect(stagedBytes(world, report, 1)).toEqual(bytes);
  });

  test("takes a content that came beside its event, but only if it is that content [C5]", async () => {
    const world = newWorld();
    const content = world.content("inlined");
    const known = new Map([[content.sha256, new TextEncoder().encode("inlined")]]);
    const first = await stage(world, [want(1, content)], known);
    expect(world.requests).toBe(0);
    expect(stagedBytes(world, first, 1)).toEqual(new TextEncoder().encode("inlined"));
    const lie = new Map([[content.sha256, new TextEncoder().encode("INLINED")]]);
    const second = await stage(world, [want(2, content)], lie);
    expect(stagedBytes(world, second, 2)).toEqual(new TextEncoder().encode("inlined"));
  });

  test("fetches a run of equal chunks once, and files of equal content once [C5]", async () => {
    const world = newWorld();
    const zeros = world.content(new Uint8Array(100_000));
    const report = await stage(world, [want(1, zeros), want(2, zeros), want(3, zeros)]);
    expect(report.failed).toEqual([]);
    for (const number of [1, 2, 3]) {
      expect(stagedBytes(world, report, number)).toEqual(new Uint8Array(100_000));
    }
    const fetched = new Set(world.fetched);
    expect(world.fetched.length).toBe(fetched.size);
  });

  test("does not begin a file of more chunks than its size explains [C9, B87]", async () => {
    const world = newWorld();
    const { manifest, size } = world.content("1");
    let root = { digest: manifest, size };
    for (const depth of [1, 2, 3]) {
      const children = Array.from({ length: 4_096 }, () => root);
      const object = encodeManifestObject({ depth, children });
      world.objects.set(object.digest, object);
      root = { digest: object.digest, size: 4_096 * root.size };
    }
    const whole = { sha256: sha256("anything"), size: root.size };
    const bomb: FileContent = {
      ...world.content("1"),
      ...whole,
      manifest: root.digest,
      depth: 3,
    };
    const good = world.content("good");
    const report = await stage(world, [want(1, bomb), want(2, good)]);
    expect(report.failed).toMatchObject([{ id: nodeId(1), code: "invalid_manifest" }]);
    expect(report.staged.has(nodeId(2))).toBe(true);
  });

  test("looks at each manifest object once, however often it is listed [C9, B87]", async () => {
    const world = newWorld();
    const chunk = new Uint8Array(1024);
    const digest = sha256(chunk);
    world.objects.set(digest, { depth: 0, digest, bytes: chunk });
    let root = { digest, size: chunk.length };
    for (const depth of [1, 2, 3]) {
      const children = Array.from({ length: 4_096 }, () => root);
      const object = encodeManifestObject({ depth, children });
      world.objects.set(object.digest, object);
      root = { digest: object.digest, size: 4_096 * root.size };
    }
    world.fs.roomBytes = () => 1_000_000;
    const named = { manifest: root.digest, depth: 3, sha256: sha256("?"), size: root.size };
    const claim: FileContent = { ...world.content("good"), ...named };
    // The first is not begun; of the second all objects are fetched, since its size is a lie.
    const report = await stage(world, [want(1, claim), want(2, { ...claim, size: 999_999 })]);
    expect(report.failed).toMatchObject([
      { id: nodeId(1), code: "storage_full" },
      { id: nodeId(2), code: "invalid_manifest" },
    ]);
    expect(world.entries("staging")).toEqual([]);
  });

  test("does not begin a file that this disk has no room for, and takes the others [D21, B88]", async () => {
    const world = newWorld();
    const [first, second, third] = ["first", "a second one", "third"].map((text) =>
      world.content(text),
    );
    if (first === undefined || second === undefined || third === undefined) throw new Error("no");
    world.fs.roomBytes = () => first.size + third.size;
    const report = await stage(world, [want(1, first), want(2, second), want(3, third)]);
    expect(report.failed).toMatchObject([{ id: nodeId(2), code: "storage_full" }]);
    expect([...report.staged.keys()]).toEqual([nodeId(1), nodeId(3)]);
  });

  test("takes up a broken download where it ended, also after a second break [D2]", async () => {
    const world = newWorld();
    const bytes = bytesOf(5, 400_000);
    const content = world.content(bytes);
    const total = world.objects.size;
    // Loads are fetched whole, so it is the disk that breaks here.
    let writes = 0;
    const breakAfter = (count: number): void => {
      writes = 0;
      world.onCall = (name) => {
        writes += name === "writer.write" ? 1 : 0;
        if (writes > count) throw new Error("killed");
        return undefined;
      };
    };
    breakAfter(600);
    const first = await stage(world, [want(1, content)]);
    expect(first.stop).toBeInstanceOf(Error);
    world.crash();
    expect(world.entries("staging")).toEqual([baseName(partialPath(content))]);
    breakAfter(300);
    await stage(world, [want(1, content)]);
    world.crash();
    world.fetched.length = 0;
    const last = await stage(world, [want(1, content)]);
    expect(stagedBytes(world, last, 1)).toEqual(bytes);
    expect(world.fetched.length).toBeLessThan(total - 500);
    expect(world.entries("staging").length).toBe(1);
  });

  test("a missing chunk fails its own file alone, after three tries [C5, D8]", async () => {
    const world = newWorld();
    const bad = world.content(bytesOf(6, 20_000));
    const good = world.content("good");
    const [chunk] = [...world.objects.values()].filter(({ depth }) => depth === 0);
    if (chunk === undefined) throw new Error("a chunk");
    world.objects.delete(chunk.digest);
    const report = await stage(world, [want(1, bad), want(2, good)]);
    expect(report.failed).toMatchObject([{ id: nodeId(1), code: "chunk_missing" }]);
    expect(stagedBytes(world, report, 2)).toEqual(new TextEncoder().encode("good"));
    expect(world.entries("staging").length).toBe(1);
  });

  test("a chunk that is damaged on the server fails its own file alone [C5, D8, I37]", async () => {
    const world = newWorld();
    const texts = ["before", "damaged", "after"];
    const wants = texts.map((text, index) => want(index + 1, world.content(text)));
    const bad = wants[1]?.content.manifest;
    let lastRequest = 0;
    world.onFetch = (digest) => {
      const isFirst = world.requests !== lastRequest;
      lastRequest = world.requests;
      // An answer that has begun can only break.
      const code = isFirst ? "chunk_corrupt" : "server_unreachable";
      if (digest === bad) throw new SyncedError(code, "its bytes differ");
    };
    const report = await stage(world, wants);
    expect(report.stop).toBeUndefined();
    expect(report.failed).toMatchObject([{ id: nodeId(2), code: "chunk_missing" }]);
    expect([...report.staged.keys()].sort()).toEqual([nodeId(1), nodeId(3)]);
  });

  test("a damaged answer is asked for again [C5, F33]", async () => {
    const world = newWorld();
    const content = world.content("hello");
    let failures = 2;
    world.onFetch = (digest) => {
      if (failures-- > 0) throw new SyncedError("hash_mismatch", `${digest} came damaged`);
    };
    const report = await stage(world, [want(1, content)]);
    expect(report.failed).toEqual([]);
    expect(world.requests).toBe(3);
  });

  test("a whole-file digest that its chunks do not give is refused [C5]", async () => {
    const world = newWorld();
    const content = { ...world.content("hello"), sha256: world.content("other").sha256 };
    const report = await stage(world, [want(1, content)]);
    expect(report.failed).toMatchObject([{ code: "hash_mismatch" }]);
    expect(world.entries("staging")).toEqual([]);
  });

  test("a malformed manifest is refused before anything is written [C3, B27]", async () => {
    const world = newWorld();
    const content = world.content(bytesOf(7, 20_000));
    const lie = { ...content, size: content.size + 1 };
    const report = await stage(world, [want(1, lie)]);
    expect(report.failed).toMatchObject([{ code: "invalid_manifest" }]);
    expect(world.entries("staging")).toEqual([]);
  });

  test("a failed fsync fails its own file, which is not reported as staged [I41, F25]", async () => {
    const world = newWorld();
    let syncs = 0;
    world.onCall = (name) => (name === "sync" && ++syncs === 2 ? "io" : undefined);
    const wants = [1, 2, 3].map((number) => want(number, world.content(`text ${number}`)));
    const report = await stage(world, wants);
    expect(report.failed).toMatchObject([{ id: nodeId(2), code: "file_unwritable" }]);
    expect([...report.staged.keys()]).toEqual([nodeId(1), nodeId(3)]);
    expect(world.entries("staging").length).toBe(2);
  });

  test("only a file that replaces another is called by its id [D14]", async () => {
    const world = newWorld();
    const [made, replacing] = [want(1, world.content("new")), want(2, world.content("other"))];
    const report = await stage(world, [made, { ...replacing, replaces: true }]);
    const [first, second] = [1, 2].map((number) => report.staged.get(nodeId(number)));
    expect(baseName(first?.path ?? "")).toBe(`u-${first?.id}`);
    expect(baseName(second?.path ?? "")).toBe(second?.id ?? "");
    expect(world.entries("staging").length).toBe(2);
  });

  test("an aborted signal ends the work and keeps what is complete [Y3]", async () => {
    const world = newWorld();
    const controller = new AbortController();
    let files = 0;
    world.onCall = (name) => {
      if (name === "createFile" && ++files === 2) controller.abort();
      return undefined;
    };
    const wants = [1, 2].map((number) => want(number, world.content(`text ${number}`)));
    const options = { signal: controller.signal };
    const report = await stageContents(world.ports, wants, options);
    expect(report.stop).toBeDefined();
    expect(report.staged.size).toBe(1);
  });
});
