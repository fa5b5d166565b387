/** What is sent of files that change meanwhile, share chunks, or are refused on the way. */
import { describe, expect, test } from "bun:test";
import { type SupplyReport, supplyContents } from "../../src/client/post/supply.ts";
import { PackSize } from "../../src/client/post/upload.ts";
import type { Digest } from "../../src/core/digest.ts";
import { SyncedError } from "../../src/core/error.ts";
import type { NodeId } from "../../src/core/identifier.ts";
import { parseManifestObject } from "../../src/core/manifest.ts";
import type { PackObject } from "../../src/protocol/messages.ts";
import { decodePack, PACK_HEADER_BYTES } from "../../src/protocol/pack.ts";
import { ApplyWorld } from "./apply-world.ts";

const { signal } = new AbortController();

/** Not repetitive, so that it is cut into several chunks. */
function textOf(seed: number, length: number): string {
  let text = "";
  for (let x = seed; text.length < length; x = (x * 1_103_515_245 + 12_345) % 2 ** 31) text += x;
  return text.slice(0, length);
}

class SupplyWorld extends ApplyWorld {
  /** What the server has of this folder. */
  readonly known = new Map<Digest, PackObject>();
  /** Bytes of each pack that came, refused ones too. */
  readonly packs: number[] = [];
  /** Bytes of the buffers in which the packs were made. */
  readonly buffers: number[] = [];
  /** Why a pack is refused on its way, if it is. */
  refuses: (objects: readonly PackObject[]) => number | undefined = () => undefined;
  readonly packSize = new PackSize();

  async supply(...paths: string[]): Promise<SupplyReport> {
    const supplies = paths.map((path) => {
      const { id, content } = this.node(path);
      if (content.kind !== "file") throw new Error(`${path} is no file`);
      return { node: id, content };
    });
    const api = {
      missing: async (digests: readonly Digest[]) => digests.filter((one) => !this.known.has(one)),
      putPack: async (pack: Uint8Array) => {
        this.buffers.push(pack.buffer.byteLength);
        this.#take(decodePack(pack.slice()));
      },
    };
    const ports = { ...this.ports, api: { ...this.ports.api, ...api } };
    return await supplyContents(ports, supplies, this.packSize, signal);
  }

  #take(objects: readonly PackObject[]): void {
    this.packs.push(objects.reduce((sum, { bytes }) => sum + bytes.length, 0));
    const status = this.refuses(objects);
    if (status !== undefined) {
      throw new SyncedError("body_refused", "refused", { extensions: { status } });
    }
    const known = new Map([...this.known, ...objects.map((one) => [one.digest, one] as const)]);
    for (const { depth, bytes } of objects) {
      const children = depth === 0 ? [] : parseManifestObject(bytes).children;
      const missing = children.find(({ digest }) => !known.has(digest));
      if (missing !== undefined) throw new SyncedError("chunk_missing", `No ${missing.digest}`);
    }
    for (const object of objects) this.known.set(object.digest, object);
  }

  /** Whether the server could make this file up. */
  has(path: string): boolean {
    const { content } = this.node(path);
    return content.kind === "file" && this.known.has(content.manifest);
  }

  idsOf(...paths: string[]): Set<NodeId> {
    return new Set(paths.map((path) => this.node(path).id));
  }
}

async function worldWith(files: Readonly<Record<string, string>>): Promise<SupplyWorld> {
  const world = new SupplyWorld();
  for (const [path, text] of Object.entries(files)) world.write(path, text);
  world.clock.elapsedMs += 10_000;
  await world.settle();
  return world;
}

describe("supplyContents()", () => {
  const shared = textOf(1, 70_000);
  const other = textOf(2, 70_000);

  for (const changed of ["a", "b", "c"]) {
    test(`sends shared chunks although "${changed}" of three files changed [D17, O6]`, async () => {
      const files = { a: shared + other, b: `${shared}b${other}`, c: other + shared };
      const world = await worldWith(files);
      world.write(changed, `${"!".repeat(40_000)}`);
      const { unavailable, refused, rescan } = await world.supply("a", "b", "c");
      expect(unavailable).toEqual(world.idsOf(changed));
      expect([...rescan]).toEqual([changed]);
      expect(refused.size).toBe(0);
      for (const path of ["a", "b", "c"]) expect(world.has(path)).toBe(path !== changed);
    });
  }

  test("takes no more memory for packs than there is to send [I42]", async () => {
    const world = await worldWith({ a: "small", b: shared, c: textOf(3, 5_000_000) });
    await world.supply("a");
    expect(world.buffers).toEqual([PACK_HEADER_BYTES + 5]);
    await world.supply("b", "c");
    expect(world.buffers.every((bytes) => bytes < 5_000_000)).toBe(true);
    expect(["a", "b", "c"].every((path) => world.has(path))).toBe(true);
  });

  test("sends a file whose equal twins were cut, deleted and unreadable [D17, O6]", async () => {
    const world = await worldWith({ a: shared, b: shared, c: shared, d: shared });
    world.write("a", "short");
    world.remove("b");
    world.onCall = (name, path) => (name === "open" && path === "c" ? "denied" : undefined);
    const { unavailable } = await world.supply("a", "b", "c", "d");
    expect(unavailable).toEqual(world.idsOf("a", "b", "c"));
    expect(world.has("d")).toBe(true);
  });

  test("gives up each of many equal files that all changed, and sends the rest [D17]", async () => {
    const world = await worldWith({ a: shared, b: shared, c: shared, d: other });
    for (const path of ["a", "b", "c"]) world.write(path, "other");
    const { unavailable } = await world.supply("a", "b", "c", "d");
    expect(unavailable).toEqual(world.idsOf("a", "b", "c"));
    expect(world.has("d")).toBe(true);
  });

  test("sends a manifest after a smaller file that was given up [D17, I42]", async () => {
    const world = await worldWith({ a: "small", b: shared + other });
    await world.supply("b");
    const { content } = world.node("b");
    if (content.kind === "file") world.known.delete(content.manifest);
    expect(world.has("b")).toBe(false);
    world.write("a", "changed");
    const { unavailable } = await world.supply("a", "b");
    expect(unavailable).toEqual(world.idsOf("a"));
    expect(world.has("b")).toBe(true);
  });

  test("sends smaller packs where larger ones are refused, and stays with them [H18]", async () => {
    const big = textOf(3, 400_000);
    const world = await worldWith({ a: big, b: textOf(4, 400_000) });
    const limit = 50_000;
    world.refuses = (objects) => {
      const bytes = objects.reduce((sum, one) => sum + one.bytes.length, 0);
      return bytes > limit ? 413 : undefined;
    };
    expect((await world.supply("a")).unavailable.size).toBe(0);
    expect(world.has("a")).toBe(true);
    expect(Math.max(...world.packs)).toBeGreaterThan(limit);
    world.packs.length = 0;
    await world.supply("b");
    expect(world.has("b")).toBe(true);
    expect(Math.max(...world.packs)).toBeLessThanOrEqual(limit);
  });

  for (const status of [200, 302, 400, 403, 413, 502, 504]) {
    test(`refuses the one file of which no piece gets through (${status}) [D8, H18]`, async () => {
      const world = await worldWith({ a: shared, b: `${shared}<virus>${other}`, c: other });
      const isBad = ({ bytes }: PackObject) => new TextDecoder().decode(bytes).includes("<virus>");
      world.refuses = (objects) => (objects.some(isBad) ? status : undefined);
      const { unavailable, refused, rescan } = await world.supply("a", "b", "c");
      expect(unavailable).toEqual(world.idsOf("b"));
      expect([...refused.values()]).toMatchObject([{ code: "body_refused" }]);
      expect([...rescan]).toEqual([]);
      expect(world.has("a") && world.has("c")).toBe(true);
    });
  }

  test("refuses each file that shares a refused piece [D8, H18]", async () => {
    const world = await worldWith({ a: `<virus>${shared}`, b: `<virus>${shared}`, c: other });
    const isBad = ({ bytes }: PackObject) => new TextDecoder().decode(bytes).includes("<virus>");
    world.refuses = (objects) => (objects.some(isBad) ? 403 : undefined);
    const { unavailable, refused } = await world.supply("a", "b", "c");
    expect(unavailable).toEqual(world.idsOf("a", "b"));
    expect(refused.size).toBe(2);
    expect(world.has("c")).toBe(true);
  });

  test("an object that the server lost is one file's trouble [D8, O6]", async () => {
    const world = await worldWith({ a: shared, b: other });
    await world.supply("a");
    // It says that it has all chunks, and cannot use one of them.
    const lost = [...world.known.values()].find(({ depth }) => depth === 0)?.digest;
    for (const { depth, digest } of world.known.values()) if (depth > 0) world.known.delete(digest);
    world.refuses = (objects) => {
      const uses = objects.some(
        ({ depth, bytes }) =>
          depth > 0 && parseManifestObject(bytes).children.some(({ digest }) => digest === lost),
      );
      if (uses) throw new SyncedError("chunk_missing", "No chunk");
      return undefined;
    };
    const { unavailable, refused } = await world.supply("a", "b");
    expect(unavailable).toEqual(world.idsOf("a"));
    expect([...refused.values()]).toMatchObject([{ code: "chunk_missing" }]);
    expect(world.has("b")).toBe(true);
  });
});
