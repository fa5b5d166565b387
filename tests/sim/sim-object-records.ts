/**
 * SimObjectRecords: the ObjectRecords port over a simulated server's disk, held to the same
 * contract suite as the SQLite one. Rules: U1-U4, I36.
 */
import type { Digest } from "../../src/core/digest.ts";
import type { FolderName } from "../../src/core/identifier.ts";
import { TOUCH_INTERVAL_MS } from "../../src/core/limits.ts";
import type {
  Forgetting,
  KnownObject,
  ManifestPageRequest,
  ObjectRecording,
  ObjectRecords,
  RecordedManifest,
} from "../../src/ports/object-records.ts";
import { objectKey, type SimLog, type SimServerDisk } from "./sim-server-disk.ts";

export class SimObjectRecords implements ObjectRecords {
  readonly #disk: SimServerDisk;
  readonly #latency: (kind: "read" | "write") => Promise<void>;
  readonly #logOf: (folder: FolderName) => SimLog;

  constructor(parts: {
    readonly disk: SimServerDisk;
    readonly latency: (kind: "read" | "write") => Promise<void>;
    readonly logOf: (folder: FolderName) => SimLog;
  }) {
    this.#disk = parts.disk;
    this.#latency = parts.latency;
    this.#logOf = parts.logOf;
  }

  async version(): Promise<number> {
    await this.#latency("read");
    return this.#disk.objectsVersion;
  }

  async record(
    folder: FolderName,
    { version, objects, children, timeMs }: ObjectRecording,
  ): Promise<"recorded" | "objects_moved"> {
    const log = this.#logOf(folder);
    await this.#latency("read");
    const isDeleted = objects.some(
      ({ digest }) =>
        this.#disk.condemned.has(digest) || (this.#disk.deletedAt.get(digest) ?? 0) > version,
    );
    const isLost = children.some((child) => !log.objects.has(objectKey(child)));
    if (isDeleted || isLost) return "objects_moved";
    const keys: string[] = [];
    log.volatileObjects.push(keys);
    this.#disk.turn += 1;
    for (const object of objects) {
      const key = objectKey(object);
      log.touched.set(key, Math.max(timeMs, log.touched.get(key) ?? 0));
      if (log.objects.has(key)) continue;
      log.objects.set(key, object);
      log.turns.set(key, this.#disk.turn);
      keys.push(key);
      log.recordedAt.set(key, log.head.seq);
    }
    return "recorded";
  }

  async touch(folder: FolderName, digests: readonly Digest[], timeMs: number): Promise<void> {
    await this.#latency("read");
    const log = this.#logOf(folder);
    const wanted = new Set(digests);
    for (const [key, object] of log.objects) {
      const isOld = (log.touched.get(key) ?? 0) < timeMs - TOUCH_INTERVAL_MS;
      if (wanted.has(object.digest) && isOld) log.touched.set(key, timeMs);
    }
  }

  async manifests(
    folder: FolderName,
    { depth, after, limit }: ManifestPageRequest,
  ): Promise<readonly RecordedManifest[]> {
    await this.#latency("read");
    const log = this.#logOf(folder);
    return [...log.objects]
      .filter(([, object]) => object.depth === depth)
      .map(([key, object]) => ({ ...object, turn: log.turns.get(key) ?? 0 }))
      .filter((one) => after === undefined || compareTurns(one, after) > 0)
      .sort(compareTurns)
      .slice(0, limit);
  }

  async unnamed(folder: FolderName, forgetting: Forgetting): Promise<readonly KnownObject[]> {
    await this.#latency("read");
    return this.#unnamed(this.#logOf(folder), forgetting);
  }

  async forget(
    folder: FolderName,
    forgetting: Forgetting,
  ): Promise<readonly KnownObject[] | "manifests_added"> {
    await this.#latency("write");
    const log = this.#logOf(folder);
    const depth = forgetting.objects[0]?.depth ?? 0;
    const later = [...log.objects].some(
      ([key, object]) => object.depth === depth + 1 && (log.turns.get(key) ?? 0) > forgetting.turn,
    );
    if (later && forgetting.objects.length > 0) return "manifests_added";
    const found = this.#unnamed(log, forgetting);
    for (const object of found) {
      const key = objectKey(object);
      for (const map of [log.objects, log.turns, log.touched, log.recordedAt]) map.delete(key);
    }
    if (found.length > 0) this.#disk.objectsVersion += 1;
    return found;
  }

  async unknown(digests: readonly Digest[]): Promise<readonly Digest[]> {
    await this.#latency("read");
    return this.#unknown(digests);
  }

  async condemn(digests: readonly Digest[]): Promise<readonly Digest[]> {
    await this.#latency("write");
    const found = this.#unknown(digests);
    for (const digest of found) this.#disk.condemned.add(digest);
    return found;
  }

  async condemned(limit: number): Promise<readonly Digest[]> {
    await this.#latency("read");
    return [...this.#disk.condemned].sort().slice(0, limit);
  }

  async absolve(digests: readonly Digest[]): Promise<void> {
    await this.#latency("write");
    if (digests.length === 0) return;
    this.#disk.objectsVersion += 1;
    for (const digest of digests) {
      this.#disk.condemned.delete(digest);
      this.#disk.deletedAt.set(digest, this.#disk.objectsVersion);
    }
  }

  #unnamed(log: SimLog, { objects, untilMs }: Forgetting): readonly KnownObject[] {
    const named = new Set<string>();
    for (const { event } of log.events) {
      if (event.content.kind !== "file" || log.gone.has(event.seq)) continue;
      named.add(event.content.manifest).add(event.content.sha256);
    }
    return objects.filter((object) => {
      const touched = log.touched.get(objectKey(object)) ?? 0;
      return !named.has(object.digest) && touched < untilMs;
    });
  }

  #unknown(digests: readonly Digest[]): readonly Digest[] {
    const known = new Set<Digest>();
    for (const log of this.#disk.folders.values()) {
      for (const { digest } of log.objects.values()) known.add(digest);
    }
    return digests.filter((digest) => !known.has(digest)).sort();
  }
}

function compareTurns(a: RecordedManifest, b: RecordedManifest): number {
  return a.turn - b.turn || (a.digest < b.digest ? -1 : a.digest > b.digest ? 1 : 0);
}
