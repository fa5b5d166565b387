/** digestFile() against the chunker and the builder that it drives. */
import { describe, expect, test } from "bun:test";
import { Pace } from "../../src/client/folder/pace.ts";
import { confirmFile, digestFile } from "../../src/client/scan/digest-file.ts";
import { Chunker, type ChunkerProfile } from "../../src/core/chunker.ts";
import { EMPTY_DIGEST, sha256 } from "../../src/core/digest.ts";
import { ManifestBuilder } from "../../src/core/manifest.ts";
import type { Stat } from "../../src/ports/filesystem.ts";
import { SimRandom } from "../sim/sim-random.ts";
import { PROFILE, ScanWorld } from "./scan-world.ts";

const LARGE = { minBytes: 32 * 1024, averageBytes: 128 * 1024, maxBytes: 1024 * 1024 };

function noise(seed: number, length: number): Uint8Array {
  const random = new SimRandom(seed, "bytes");
  const bytes = new Uint8Array(length);
  for (let index = 0; index < length; index += 4) {
    const word = Math.floor(random.fraction() * 2 ** 32);
    for (let byte = 0; byte < 4 && index + byte < length; byte++)
      bytes[index + byte] = word >>> (8 * byte);
  }
  return bytes;
}

function worldWith(bytes: Uint8Array): { world: ScanWorld; stat: Stat } {
  const world = new ScanWorld();
  world.make("f");
  const inode = world.inode("f");
  if (inode.kind === "file") world.disk.write(inode, bytes, "user", "durable");
  const stat = world.fs.stat("f");
  if (stat === undefined) throw new Error("no file");
  return { world, stat };
}

/** The whole file in one buffer. */
function inMemory(bytes: Uint8Array, profile: ChunkerProfile) {
  const chunker = new Chunker(profile);
  const builder = new ManifestBuilder();
  for (let start = 0; start < bytes.length; ) {
    const cut = chunker.cut(bytes, start, bytes.length, true);
    builder.push(sha256(bytes.subarray(start, cut)), cut - start);
    start = cut;
  }
  return builder.finish();
}

describe("digestFile()", () => {
  for (const length of [0, 1, 63, 64, 65, 1_000, 1_024, 100_000]) {
    test(`digests ${length} bytes as the chunker cuts them in memory [C1] [C2]`, async () => {
      const bytes = noise(length, length);
      const { world, stat } = worldWith(bytes);
      const pace = new Pace(world.clock);
      const file = { path: "f", expected: stat };
      const result = await digestFile(world.fs, file, new Chunker(PROFILE), pace);
      const { manifest, depth, size, objects } = inMemory(bytes, PROFILE);
      const digest = { manifest, depth, size, objects, sha256: sha256(bytes) };
      expect(result).toEqual({ kind: "digested", digest });
    });
  }

  test("digests the same however the blocks fall, with the folder's profile [C1]", async () => {
    for (const length of [LARGE.minBytes, LARGE.maxBytes, 3 * LARGE.maxBytes, 10_000_019]) {
      const bytes = noise(length, length);
      if (length === 3 * LARGE.maxBytes) bytes.fill(0);
      const { world, stat } = worldWith(bytes);
      const pace = new Pace(world.clock);
      const file = { path: "f", expected: stat };
      const result = await digestFile(world.fs, file, new Chunker(LARGE), pace);
      const { manifest, depth } = inMemory(bytes, LARGE);
      expect(result).toMatchObject({ kind: "digested", digest: { manifest, depth, size: length } });
    }
  });

  test("names no object for an empty file [C2]", async () => {
    const { world, stat } = worldWith(new Uint8Array(0));
    const pace = new Pace(world.clock);
    const file = { path: "f", expected: stat };
    const result = await digestFile(world.fs, file, new Chunker(PROFILE), pace);
    const content = {
      manifest: EMPTY_DIGEST,
      sha256: EMPTY_DIGEST,
      depth: 0,
      size: 0,
      objects: [],
    };
    expect(result).toEqual({ kind: "digested", digest: content });
  });

  test("rests while it reads a long file [Y1]", async () => {
    const { world, stat } = worldWith(noise(1, 20 * 1024 * 1024));
    const file = { path: "f", expected: stat };
    await digestFile(world.fs, file, new Chunker(LARGE), new Pace(world.clock));
    expect(world.clock.yields).toBeGreaterThanOrEqual(2);
  });

  test("is unstable when the file changes at any call [A5] [I19]", async () => {
    for (let nth = 0; ; nth++) {
      const bytes = noise(2, 5_000);
      const { world, stat } = worldWith(bytes);
      let calls = 0;
      world.onCall = () => {
        const inode = world.inode("f");
        if (calls++ === nth && inode.kind === "file") {
          world.disk.write(inode, noise(3, 5_000), "user", "durable");
        }
        return undefined;
      };
      const file = { path: "f", expected: stat };
      const result = await digestFile(world.fs, file, new Chunker(PROFILE), new Pace(world.clock));
      if (calls <= nth) {
        expect(result.kind).toBe("digested");
        expect(nth).toBeGreaterThan(2);
        break;
      }
      expect(result.kind).toBe("unstable");
    }
  });

  test("does not read a long file to its end while somebody writes to it [A5]", async () => {
    const bytes = noise(8, 24 * 1024 * 1024);
    const { world, stat } = worldWith(bytes);
    let reads = 0;
    world.onCall = (name) => {
      const inode = world.inode("f");
      // In the fifth block: by then the blocks do not lie on multiples of anything any more.
      if (name === "reader.read" && ++reads === 5 && inode.kind === "file") {
        world.disk.write(inode, bytes, "user", "durable");
      }
      return undefined;
    };
    const file = { path: "f", expected: stat };
    const result = await digestFile(world.fs, file, new Chunker(LARGE), new Pace(world.clock));
    expect(result).toEqual({ kind: "unstable" });
    expect(reads).toBeLessThan(22);
  });

  test("is unstable when the file shrinks, grows, or is another one [A5]", async () => {
    const { world, stat } = worldWith(noise(4, 5_000));
    const chunker = new Chunker(PROFILE);
    const pace = new Pace(world.clock);
    const file = { path: "f", expected: stat };
    world.write("f", "short");
    expect((await digestFile(world.fs, file, chunker, pace)).kind).toBe("unstable");
    world.replace("f", "another");
    expect((await digestFile(world.fs, file, chunker, pace)).kind).toBe("unstable");
  });

  test("is absent when there is no regular file [A5]", async () => {
    const { world, stat } = worldWith(noise(5, 10));
    const file = { path: "f", expected: stat };
    world.remove("f");
    const pace = new Pace(world.clock);
    const absent = await digestFile(world.fs, file, new Chunker(PROFILE), pace);
    expect(absent).toEqual({ kind: "absent" });
    world.make("f/");
    const directory = await digestFile(world.fs, file, new Chunker(PROFILE), pace);
    expect(directory).toEqual({ kind: "absent" });
  });

  test("closes the file and stops when nobody waits any more [A5]", async () => {
    const { world, stat } = worldWith(noise(6, 50_000));
    const pace = new Pace(world.clock, { signal: AbortSignal.abort() });
    const file = { path: "f", expected: stat };
    const result = await digestFile(world.fs, file, new Chunker(PROFILE), pace);
    expect(result).toEqual({ kind: "unstable" });
  });
});

describe("confirmFile()", () => {
  const bytes = noise(7, 100_000);
  const { manifest, depth } = inMemory(bytes, PROFILE);
  const known = { manifest, depth, sha256: sha256(bytes), size: bytes.length };

  test("confirms bytes that are what is known of them [A2]", async () => {
    const { world, stat } = worldWith(bytes);
    const pace = new Pace(world.clock);
    const result = await confirmFile(world.fs, { path: "f", expected: stat }, known, pace);
    expect(result).toEqual({ kind: "digested", digest: { ...known, objects: [] } });
  });

  test("confirms no other bytes, however alike they look [A2] [I20]", async () => {
    const other = bytes.slice();
    other[99_999] = (other[99_999] ?? 0) ^ 1;
    const { world, stat } = worldWith(other);
    const pace = new Pace(world.clock);
    const file = { path: "f", expected: stat };
    expect(await confirmFile(world.fs, file, known, pace)).toBeUndefined();
  });

  test("says nothing about a file that is not what was looked at [A5]", async () => {
    const { world, stat } = worldWith(bytes);
    const pace = new Pace(world.clock);
    const file = { path: "f", expected: { ...stat, stamp: "another" } };
    expect(await confirmFile(world.fs, file, known, pace)).toEqual({ kind: "unstable" });
    const none = { path: "none", expected: stat };
    expect(await confirmFile(world.fs, none, known, pace)).toEqual({ kind: "absent" });
  });
});
