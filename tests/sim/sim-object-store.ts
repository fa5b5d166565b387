/**
 * SimObjectStore: the ObjectStore port of one incarnation of a simulated server. Rules: O7, I27,
 * I37.
 */
import type { Digest } from "../../src/core/digest.ts";
import type { Damage, ObjectStore, StoredObject } from "../../src/ports/object-store.ts";
import type { SimServerDisk } from "./sim-server-disk.ts";

export interface SimObjectStoreOptions {
  readonly disk: SimServerDisk;
  readonly latency: (kind: "read" | "write") => Promise<void>;
}

export class SimObjectStore implements ObjectStore {
  readonly failure = new Promise<unknown>(() => {});
  readonly #disk: SimServerDisk;
  readonly #latency: (kind: "read" | "write") => Promise<void>;

  constructor(options: SimObjectStoreOptions) {
    this.#disk = options.disk;
    this.#latency = options.latency;
  }

  async put(objects: readonly StoredObject[]): Promise<void> {
    const copies = objects.map(({ digest, bytes }) => ({ digest, bytes: bytes.slice() }));
    for (const { digest, bytes } of copies) {
      await this.#latency("write");
      this.#disk.objects.set(digest, bytes);
    }
  }

  async get(digest: Digest): Promise<Uint8Array | undefined> {
    await this.#latency("read");
    return this.#disk.objects.get(digest);
  }

  async list(page: { after?: Digest; limit: number }): Promise<readonly Digest[]> {
    await this.#latency("read");
    const { after } = page;
    const digests = [...this.#disk.objects.keys()].filter(
      (digest) => after === undefined || digest > after,
    );
    return digests.sort().slice(0, page.limit);
  }

  async miss(): Promise<void> {}

  async damaged(): Promise<readonly Digest[]> {
    return [];
  }

  async damage(): Promise<readonly Damage[]> {
    return [];
  }

  async sizeOf(digest: Digest): Promise<number> {
    await this.#latency("read");
    return this.#disk.objects.get(digest)?.length ?? 0;
  }

  async delete(digests: readonly Digest[]): Promise<number> {
    let bytes = 0;
    for (const digest of digests) {
      await this.#latency("write");
      bytes += this.#disk.objects.get(digest)?.length ?? 0;
      this.#disk.objects.delete(digest);
    }
    return bytes;
  }

  async tidy(): Promise<void> {}

  async usage(): Promise<{ readonly bytes: number }> {
    await this.#latency("read");
    return { bytes: [...this.#disk.objects.values()].reduce((sum, { length }) => sum + length, 0) };
  }

  async check(): Promise<readonly string[]> {
    return [];
  }

  async close(): Promise<void> {}
}
