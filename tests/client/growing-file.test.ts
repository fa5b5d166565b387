/** A file that somebody writes to all the time: what of it is taken, and how often. */
import { describe, expect, test } from "bun:test";
import { Pace } from "../../src/client/folder/pace.ts";
import { digestGrowing } from "../../src/client/scan/growing-file.ts";
import { Revisits } from "../../src/client/scan/memory.ts";
import { Chunker } from "../../src/core/chunker.ts";
import { sha256 } from "../../src/core/digest.ts";
import { BUSY_FILE_BYTES_MIN, BUSY_FILE_REST_MS_MIN } from "../../src/core/limits.ts";
import { SimRandom } from "../sim/sim-random.ts";
import { PROFILE, ScanWorld } from "./scan-world.ts";

const MIB = 1024 * 1024;
const LARGE = { minBytes: 32 * 1024, averageBytes: 128 * 1024, maxBytes: MIB };

function noise(seed: number, length: number): Uint8Array {
  const random = new SimRandom(seed, "bytes");
  return new Uint8Array(length).map(() => random.fraction() * 256);
}

class GrowingWorld extends ScanWorld {
  /** What the file held, at each moment. */
  readonly states: string[] = [];

  set(bytes: Uint8Array): void {
    if (this.disk.at("f") === undefined) this.make("f");
    const inode = this.inode("f");
    if (inode.kind !== "file") throw new Error("no file");
    this.clock.elapsedMs += 1;
    this.disk.write(inode, bytes, "user", "durable");
    this.states.push(sha256(bytes));
  }

  /** Changes what the file holds before each n-th call that reads it or looks at it. */
  changeAt(calls: (nth: number) => boolean, change: (bytes: Uint8Array) => Uint8Array): void {
    let nth = 0;
    this.onCall = (name) => {
      if (name !== "reader.read" && name !== "reader.stat") return undefined;
      if (calls(nth++)) this.set(change(this.bytes));
      return undefined;
    };
  }

  get bytes(): Uint8Array {
    const inode = this.inode("f");
    if (inode.kind !== "file") throw new Error("no file");
    return inode.bytes;
  }

  async digest(profile = PROFILE) {
    const expected = this.fs.stat("f");
    if (expected === undefined) throw new Error("no file");
    const pace = new Pace(this.clock);
    return await digestGrowing(this.fs, { path: "f", expected }, new Chunker(profile), pace);
  }
}

function append(bytes: Uint8Array): Uint8Array {
  const longer = new Uint8Array(bytes.length + 700);
  longer.set(bytes);
  longer.set(noise(bytes.length, 700), bytes.length);
  return longer;
}

function flip(at: number): (bytes: Uint8Array) => Uint8Array {
  return (bytes) => bytes.with(at, (bytes[at] ?? 0) ^ 1);
}

describe("digestGrowing()", () => {
  test("takes a file that does not change as it is [A5]", async () => {
    const world = new GrowingWorld();
    world.set(noise(1, 5_000));
    const taken = await world.digest();
    expect(taken).toMatchObject({ digest: { sha256: sha256(world.bytes) }, stat: { size: 5_000 } });
  });

  test("takes what a file held at one moment when it grows at any call [A16] [I19]", async () => {
    for (let at = 0; at < 40; at += 1) {
      const world = new GrowingWorld();
      world.set(noise(2, 5_000));
      world.changeAt((nth) => nth === at, append);
      const taken = await world.digest();
      expect(world.states).toContain(taken?.digest.sha256 ?? "nothing was taken");
      expect(taken?.stat.size).toBe(taken?.digest.size ?? -1);
    }
  });

  test("takes a file of some MiB that grows at every third call [A16] [I19]", async () => {
    const world = new GrowingWorld();
    world.set(noise(3, 5 * MIB));
    let changes = 0;
    world.changeAt((nth) => nth % 3 === 0 && changes++ < 12, append);
    const taken = await world.digest(LARGE);
    expect(world.states).toContain(taken?.digest.sha256 ?? "nothing was taken");
  });

  for (const place of ["start", "middle", "end"] as const) {
    test(`never takes a state that was not, when its ${place} changes too [A16] [I19]`, async () => {
      let taken = 0;
      for (let at = 0; at < 24; at += 1) {
        for (const gap of [1, 2, 3, 5]) {
          const world = new GrowingWorld();
          world.set(noise(4, 5_000));
          const offset = { start: 0, middle: 2_500, end: 4_999 }[place];
          // A mark is set, the file grows, the mark is taken back: as databases do.
          const steps = [flip(offset), append, flip(offset)];
          world.changeAt(
            (nth) => nth >= at && (nth - at) % gap === 0 && steps.length > 0,
            (bytes) => (steps.shift() ?? append)(bytes),
          );
          const result = await world.digest();
          if (result === undefined) continue;
          taken += 1;
          // In the middle nothing is read at the very moment.
          if (place === "middle") continue;
          expect(world.states).toContain(result.digest.sha256);
        }
      }
      expect(taken).toBeGreaterThan(0);
    });
  }

  test("gives up what changes and does not grow, shrinks, or is another file [A16]", async () => {
    for (const change of [flip(2_500), (bytes: Uint8Array) => bytes.slice(0, 100)]) {
      const world = new GrowingWorld();
      world.set(noise(5, 5_000));
      world.changeAt((nth) => nth === 2, change);
      expect(await world.digest()).toBeUndefined();
    }
    const world = new GrowingWorld();
    world.set(noise(5, 5_000));
    const expected = world.fs.stat("f");
    world.replace("f", "another");
    if (expected === undefined) throw new Error("no file");
    const file = { path: "f", expected };
    const pace = new Pace(world.clock);
    expect(await digestGrowing(world.fs, file, new Chunker(PROFILE), pace)).toBeUndefined();
  });

  test("gives up what grows faster than it is read [A16]", async () => {
    const world = new GrowingWorld();
    world.set(noise(6, 5_000));
    world.changeAt(() => true, append);
    expect(await world.digest()).toBeUndefined();
  });
});

describe("a large file that changes all the time", () => {
  /** Grows whenever it is read, and every second. */
  async function watchFor(seconds: number, change: (bytes: Uint8Array) => Uint8Array) {
    const world = new GrowingWorld();
    world.set(noise(7, BUSY_FILE_BYTES_MIN + 1));
    world.clock.elapsedMs += 10_000;
    let calls = 0;
    world.onCall = (name) => {
      if (name === "reader.read" && ++calls % 4 === 1) world.set(change(world.bytes));
      return undefined;
    };
    const taken: { readonly atMs: number; readonly sha256: string }[] = [];
    let reads = 0;
    const beginMs = world.clock.elapsedMs;
    let report = await world.scan();
    for (let look = 0; look < seconds; look += 1) {
      world.clock.elapsedMs += 1_000;
      world.set(change(world.bytes));
      report = await world.scan("f");
      if (world.calls.some((call) => call.startsWith("open f"))) reads += 1;
      const found = world.nodes()[0]?.content;
      if (found?.kind !== "file" || taken.at(-1)?.sha256 === found.sha256) continue;
      taken.push({ atMs: world.clock.elapsedMs - beginMs, sha256: found.sha256 });
    }
    return { world, taken, reads, report };
  }

  test("is taken within 30 s, then each minute, and read now and then only [A16, A14]", async () => {
    const { world, taken, reads } = await watchFor(120, append);
    expect(taken[0]?.atMs).toBeLessThan(30_000);
    for (const { sha256: digest } of taken) expect(world.states).toContain(digest);
    const times = [...taken.map(({ atMs }) => atMs), 120_000];
    for (const [i, atMs] of times.entries()) {
      if (i > 0) expect(atMs - (times[i - 1] ?? 0)).toBeLessThan(60_000);
    }
    expect(reads).toBeLessThan(15);
    const problems = world.store.problems();
    expect(problems).toEqual([]);
  }, 60_000);

  test("is a listed problem while it is only written in place, and costs little [A14, A17]", async () => {
    const { world, taken, reads } = await watchFor(120, flip(1_000_000));
    expect(taken).toEqual([]);
    expect(world.store.problems()).toMatchObject([{ path: "f", code: "file_changed" }]);
    expect(reads).toBeLessThan(15);
  }, 60_000);

  test("is as it is at last within a rest, once its writer has ended [A16, A14]", async () => {
    const { world, report } = await watchFor(30, append);
    world.onCall = () => undefined;
    const due = Math.max(...report.again.values());
    expect(due - world.clock.elapsedMs).toBeLessThanOrEqual(BUSY_FILE_REST_MS_MIN);
    await world.settle("f");
    expect(world.nodes()[0]?.content).toMatchObject({ sha256: sha256(world.bytes) });
    expect((await world.scan()).pending).toBe(false);
  }, 60_000);
});

describe("Revisits", () => {
  const size = 100 * MIB;

  test("lets a person save a large file twice, and reads it now and then after that [A14]", () => {
    const revisits = new Revisits();
    const readAt: number[] = [];
    for (let now = 0; now < 600_000; now += 2_000) {
      if (revisits.rests("f", size, now, true)) continue;
      revisits.read("f", size, now);
      readAt.push(now);
    }
    expect(readAt.slice(0, 5)).toEqual([0, 2_000, 4_000, 6_000, 8_000]);
    // 12 s each, at 120 ms a MiB.
    expect(readAt.length).toBeLessThan(60);
  });

  test("reads small files whenever they change [A14]", () => {
    const revisits = new Revisits();
    for (let now = 0; now < 60_000; now += 10) {
      revisits.retry("f", now);
      expect(revisits.rests("f", BUSY_FILE_BYTES_MIN - 1, now, true)).toBe(false);
      revisits.read("f", BUSY_FILE_BYTES_MIN - 1, now);
    }
  });
});
