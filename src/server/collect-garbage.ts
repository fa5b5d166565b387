/**
 * collectGarbage(): forgets the objects that no event names, folder by folder, then deletes the
 * bytes that no folder knows. Rules: U1-U4, I36. Runs beside uploads and commits; an interrupted
 * run leaves nothing that a later one does not find.
 *
 * From the top of manifests down: a manifest object that stays holds its children, so those of a
 * level are known before the level below is judged. If a manifest cannot be read, its children are
 * not known, and nothing more of that folder is forgotten.
 */
import type { Digest } from "../core/digest.ts";
import { SyncedError } from "../core/error.ts";
import type { FolderName } from "../core/identifier.ts";
import { COLLECT_BATCH_MAX, MANIFEST_DEPTH_MAX } from "../core/limits.ts";
import type { MetadataStore } from "../ports/metadata-store.ts";
import type { KnownObject, RecordedManifest } from "../ports/object-records.ts";
import { HeldObjects } from "./held-objects.ts";
import type { SequencerPorts } from "./ports.ts";

export interface CollectOptions {
  /** Objects that were recorded or asked about later than so long ago are left alone. */
  readonly ageMsMin: number;
  /** True to find out what a run would do, and do nothing. */
  readonly isDryRun?: boolean;
  /** Ends the run between two steps. */
  readonly signal?: AbortSignal;
}

export interface Collected {
  /** Objects whose bytes were deleted. */
  readonly objects: number;
  readonly bytes: number;
  /** Why some folders were left as they are: one message each. */
  readonly skipped: readonly string[];
}

type Ports = Pick<SequencerPorts, "metadata" | "objects" | "clock">;

export async function collectGarbage(ports: Ports, options: CollectOptions): Promise<Collected> {
  const collection = new Collection(ports, options);
  return await collection.run();
}

/**
 * Deletes the bytes that an interrupted run had condemned, and damaged ones that no folder knows.
 * Until then nobody could upload them. A server calls it before it answers.
 */
export async function finishCollection({
  metadata,
  objects,
}: Pick<Ports, "metadata" | "objects">): Promise<Omit<Collected, "skipped">> {
  let [count, bytes] = [0, 0];
  // Damage that hurts nobody ends here.
  await metadata.objectRecords.condemn(await objects.damaged());
  for (;;) {
    const condemned = await metadata.objectRecords.condemned(COLLECT_BATCH_MAX);
    if (condemned.length === 0) return { objects: count, bytes };
    bytes += await objects.delete(condemned);
    count += condemned.length;
    await metadata.objectRecords.absolve(condemned);
  }
}

class Collection {
  readonly #ports: Ports;
  readonly #options: CollectOptions;
  readonly #untilMs: number;
  /** In a dry run: how many records of a digest would have been forgotten. */
  readonly #forgotten = new Map<Digest, number>();
  readonly #names: FolderName[] = [];
  readonly #skipped: string[] = [];

  constructor(ports: Ports, options: CollectOptions) {
    this.#ports = ports;
    this.#options = options;
    this.#untilMs = ports.clock.now() - options.ageMsMin;
  }

  async run(): Promise<Collected> {
    for await (const name of folderNames(this.#ports.metadata)) {
      this.#names.push(name);
      try {
        await this.#collectFolder(name);
      } catch (error) {
        if (!isUnreadable(error)) throw error;
        this.#skipped.push(`Cannot collect garbage of folder "${name}": ${error.message}`);
      }
    }
    const skipped = this.#skipped;
    if (this.#options.isDryRun === true) return { ...(await this.#measure()), skipped };
    const collected = await this.#deleteUnknown();
    if (this.#isGoingOn()) await this.#ports.objects.tidy();
    return { ...collected, skipped };
  }

  #isGoingOn(): boolean {
    return this.#options.signal?.aborted !== true;
  }

  async #collectFolder(folder: FolderName): Promise<void> {
    const level = new FolderLevels(this.#ports, folder);
    for (let depth = MANIFEST_DEPTH_MAX; depth > 0 && this.#isGoingOn(); depth -= 1) {
      await this.#collectManifests(level, depth);
    }
    let after: KnownObject | undefined;
    while (this.#isGoingOn()) {
      const page = { limit: COLLECT_BATCH_MAX, ...(after === undefined ? {} : { after }) };
      const found = await this.#ports.metadata.objects(folder, page);
      await this.#forget(
        level,
        0,
        found.filter(({ depth }) => depth === 0),
      );
      after = found.at(-1);
      if (after === undefined) return;
      await this.#ports.clock.yield();
    }
  }

  async #collectManifests(level: FolderLevels, depth: number): Promise<void> {
    while (this.#isGoingOn()) {
      const page = await level.nextManifests(depth);
      if (page.length === 0) return;
      const forgotten = await this.#forget(level, depth, page);
      await level.hold(page.filter(({ digest }) => !forgotten.has(digest)));
      await this.#ports.clock.yield();
    }
  }

  /** @returns the digests of those that it forgot, or would have forgotten */
  async #forget(
    level: FolderLevels,
    depth: number,
    candidates: readonly KnownObject[],
  ): Promise<ReadonlySet<Digest>> {
    const { objectRecords } = this.#ports.metadata;
    for (;;) {
      const objects = candidates.filter(({ digest }) => !level.held.holds(digest, depth));
      const request = { objects, untilMs: this.#untilMs, turn: level.turnOf(depth + 1) };
      const forgotten =
        this.#options.isDryRun === true
          ? await objectRecords.unnamed(level.folder, request)
          : await objectRecords.forget(level.folder, request);
      if (forgotten === "manifests_added") {
        await level.holdLater(depth + 1);
        continue;
      }
      for (const { digest } of this.#options.isDryRun === true ? forgotten : []) {
        this.#forgotten.set(digest, (this.#forgotten.get(digest) ?? 0) + 1);
      }
      return new Set(forgotten.map(({ digest }) => digest));
    }
  }

  async #deleteUnknown(): Promise<Omit<Collected, "skipped">> {
    const { metadata, objects, clock } = this.#ports;
    const rest = await finishCollection(this.#ports);
    let [count, bytes] = [rest.objects, rest.bytes];
    let after: Digest | undefined;
    while (this.#isGoingOn()) {
      const page = { limit: COLLECT_BATCH_MAX, ...(after === undefined ? {} : { after }) };
      const digests = await objects.list(page);
      const condemned = await metadata.objectRecords.condemn(digests);
      if (condemned.length > 0) {
        bytes += await objects.delete(condemned);
        count += condemned.length;
        await metadata.objectRecords.absolve(condemned);
      }
      after = digests.at(-1);
      if (after === undefined) break;
      await clock.yield();
    }
    return { objects: count, bytes };
  }

  /** Counts what `#deleteUnknown` would delete. */
  async #measure(): Promise<Omit<Collected, "skipped">> {
    const { metadata, objects } = this.#ports;
    let [count, bytes] = [0, 0];
    let after: Digest | undefined;
    while (this.#isGoingOn()) {
      const page = { limit: COLLECT_BATCH_MAX, ...(after === undefined ? {} : { after }) };
      const digests = await objects.list(page);
      const unknown = new Set(await metadata.objectRecords.unknown(digests));
      for (const digest of digests) {
        if (!unknown.has(digest) && !(await this.#isForgotten(digest))) continue;
        bytes += await objects.sizeOf(digest);
        count += 1;
      }
      after = digests.at(-1);
      if (after === undefined) break;
    }
    return { objects: count, bytes };
  }

  async #isForgotten(digest: Digest): Promise<boolean> {
    const forgotten = this.#forgotten.get(digest);
    if (forgotten === undefined) return false;
    let known = 0;
    for (const name of this.#names) {
      known += (await this.#ports.metadata.knownObjects(name, [digest])).length;
    }
    return known === forgotten;
  }
}

/** How far the manifests of each level were read, and what those that stay hold. */
class FolderLevels {
  readonly held = new HeldObjects();
  readonly folder: FolderName;
  readonly #ports: Ports;
  readonly #last = new Map<number, RecordedManifest>();

  constructor(ports: Ports, folder: FolderName) {
    this.#ports = ports;
    this.folder = folder;
  }

  turnOf(depth: number): number {
    return this.#last.get(depth)?.turn ?? 0;
  }

  /** @returns manifests that were not read yet, in the order of their turns */
  async nextManifests(depth: number): Promise<readonly RecordedManifest[]> {
    const after = this.#last.get(depth);
    const page = { depth, limit: COLLECT_BATCH_MAX, ...(after === undefined ? {} : { after }) };
    const found = await this.#ports.metadata.objectRecords.manifests(this.folder, page);
    const last = found.at(-1);
    if (last !== undefined) this.#last.set(depth, last);
    return found;
  }

  async hold(manifests: readonly KnownObject[]): Promise<void> {
    for (const { digest } of manifests) {
      const bytes = await this.#ports.objects.get(digest);
      if (bytes === undefined) {
        throw new SyncedError("chunk_missing", `Cannot read object ${digest}: it is missing`);
      }
      this.held.hold(bytes);
    }
  }

  /** Holds the children of manifests that were recorded since the level was read. */
  async holdLater(depth: number): Promise<void> {
    for (;;) {
      const later = await this.nextManifests(depth);
      if (later.length === 0) return;
      await this.hold(later);
    }
  }
}

function isUnreadable(error: unknown): error is SyncedError {
  if (!(error instanceof SyncedError)) return false;
  return ["chunk_corrupt", "chunk_missing", "invalid_manifest"].includes(error.code);
}

/** All folders by ascending name. */
export async function* folderNames(
  metadata: Pick<MetadataStore, "folders">,
): AsyncGenerator<FolderName, void> {
  let after: FolderName | undefined;
  for (;;) {
    const page = { limit: 100, ...(after === undefined ? {} : { after }) };
    const folders = await metadata.folders(page);
    for (const { folder } of folders) yield folder.name;
    after = folders.at(-1)?.folder.name;
    if (after === undefined) return;
  }
}
