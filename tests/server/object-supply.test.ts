/** Objects of a folder: what is taken in, and who gets what. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { sha256 } from "../../src/core/digest.ts";
import { parseFolderName } from "../../src/core/identifier.ts";
import { encodeManifestObject, ManifestBuilder } from "../../src/core/manifest.ts";
import type { FileContent } from "../../src/core/node.ts";
import type { PackObject } from "../../src/protocol/messages.ts";
import { failureOf } from "../failure.ts";
import { nodeId } from "../generate/trees.ts";
import { chunkOf, collect, create, FOLDER, type ServerWorld, serverWorld } from "./server-world.ts";

const OTHER = parseFolderName("other");

let world: ServerWorld;
beforeEach(async () => {
  world = await serverWorld();
  await world.sequencer.createFolder(OTHER);
});
afterEach(() => world.close());

/** A file of two chunks, with its manifest object last. */
function twoChunks(): { objects: PackObject[]; content: FileContent } {
  const chunks = [chunkOf("first "), chunkOf("second")];
  const builder = new ManifestBuilder();
  for (const { digest, bytes } of chunks) builder.push(digest, bytes.length);
  const { manifest, depth, size, objects } = builder.finish();
  const whole = sha256("first second");
  const metadata = { executable: false, mtimeNs: "0" };
  const content = { kind: "file", manifest, depth, sha256: whole, size, ...metadata } as const;
  return { objects: [...chunks, ...objects], content };
}

describe("putObjects()", () => {
  test("takes chunks and their manifest in one call, and serves the file [C5]", async () => {
    const { objects, content } = twoChunks();
    await world.sequencer.putObjects(FOLDER, objects);
    expect(await world.outcome(create(nodeId(1), "a", content))).toEqual([1]);
    const bytes = await collect(await world.sequencer.readContent(FOLDER, content));
    expect(Buffer.concat(bytes).toString()).toBe("first second");
  });

  test("wants children before their manifest, and stores nothing otherwise [C5]", async () => {
    const { objects } = twoChunks();
    const digests = objects.map(({ digest }) => digest);
    const reversed = world.sequencer.putObjects(FOLDER, objects.toReversed());
    expect(await failureOf(reversed)).toMatchObject({ code: "chunk_missing" });
    expect(await world.sequencer.missing(FOLDER, digests)).toEqual(digests);
  });

  test("refuses a manifest that is malformed or lies about a child [C3, C5]", async () => {
    const chunk = chunkOf("first ");
    await world.sequencer.putObjects(FOLDER, [chunk]);
    const lying = encodeManifestObject({ depth: 1, children: [{ digest: chunk.digest, size: 5 }] });
    const garbage = { ...chunkOf("garbage"), depth: 1 };
    const shallow = {
      ...encodeManifestObject({ depth: 1, children: [{ digest: chunk.digest, size: 6 }] }),
      depth: 2,
    };
    for (const object of [lying, garbage, shallow]) {
      const put = world.sequencer.putObjects(FOLDER, [object]);
      expect(await failureOf(put)).toMatchObject({ code: "invalid_manifest" });
    }
  });

  test("refuses a file of more chunks than its size explains [C9, B87]", async () => {
    const chunk = chunkOf("1");
    const large = chunkOf("1".repeat(32 * 1024));
    await world.sequencer.putObjects(FOLDER, [chunk, large]);
    const listed = (count: number, { digest, bytes }: PackObject) =>
      encodeManifestObject({
        depth: 1,
        children: Array.from({ length: count }, () => ({ digest, size: bytes.length })),
      });
    const put = world.sequencer.putObjects(FOLDER, [listed(4_096, chunk)]);
    expect(await failureOf(put)).toMatchObject({ code: "invalid_manifest" });
    const few = listed(32, chunk);
    await world.sequencer.putObjects(FOLDER, [few, listed(4_096, large)]);
    const children = Array.from({ length: 33 }, () => ({ digest: few.digest, size: 32 }));
    const above = encodeManifestObject({ depth: 2, children });
    const putAbove = world.sequencer.putObjects(FOLDER, [above]);
    expect(await failureOf(putAbove)).toMatchObject({ code: "invalid_manifest" });
  });

  test("does not take another folder's chunks for known [O6, I39]", async () => {
    const { objects, content } = twoChunks();
    await world.sequencer.putObjects(OTHER, objects);
    const manifests = objects.filter(({ depth }) => depth > 0);
    const put = world.sequencer.putObjects(FOLDER, manifests);
    expect(await failureOf(put)).toMatchObject({ code: "chunk_missing" });
    expect(await world.outcome(create(nodeId(1), "a", content))).toBe("chunk_missing");
    const digests = objects.map(({ digest }) => digest);
    expect(await world.sequencer.missing(FOLDER, digests)).toEqual(digests);
    expect(await world.sequencer.missing(OTHER, digests)).toEqual([]);
    const read = collect(world.sequencer.readObjects(FOLDER, digests));
    expect(await failureOf(read)).toMatchObject({ code: "chunk_missing" });
  });

  test("a chunk that is also a manifest, and the reverse, are both known [O6]", async () => {
    const { objects, content } = twoChunks();
    const manifest = objects.at(-1);
    if (manifest === undefined) throw new Error("No manifest");
    // A copy of a server's own files: the manifest's bytes are a file's content.
    const asChunk = { ...content, depth: 0, sha256: manifest.digest, size: manifest.bytes.length };
    await world.sequencer.putObjects(FOLDER, objects);
    expect(await world.outcome(create(nodeId(1), "copy", asChunk))).toEqual([1]);
    const chunksOnly = objects.map((object) => ({ ...object, depth: 0 }));
    await world.sequencer.putObjects(OTHER, chunksOnly);
    const { epoch, head, hash } = await world.sequencer.folder(OTHER);
    const cursor = { epoch, seq: head, hash };
    const { results } = await world.sequencer.commit(OTHER, {
      device: nodeId(1) as never,
      batch: nodeId(2) as never,
      cursor,
      groups: [[create(nodeId(1), "whole", content)]],
    });
    expect(results[0]?.status).toBe("accepted");
  });
});

describe("readObjects()", () => {
  test("gives them in the order asked, with their depth [C6]", async () => {
    const { objects } = twoChunks();
    await world.sequencer.putObjects(FOLDER, objects);
    const asked = [2, 0, 1, 0].flatMap((index) => objects[index]?.digest ?? []);
    const got = await collect(world.sequencer.readObjects(FOLDER, asked));
    expect(got.map(({ digest }) => digest)).toEqual(asked);
    expect(got.map(({ depth }) => depth)).toEqual([1, 0, 0, 0]);
    expect(got.every(({ digest, bytes }) => sha256(bytes) === digest)).toBe(true);
  });
});
