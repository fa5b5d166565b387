/**
 * Takes in the objects of a folder, hands them out, and assembles them to files. Objects of another
 * folder count as missing.
 * Rules: C5, U3, O6, O7, I37, I39.
 */

import type { Digest } from "../core/digest.ts";
import { SyncedError } from "../core/error.ts";
import type { FolderName } from "../core/identifier.ts";
import {
  CHUNK_SIZE_BYTES_MIN,
  OBJECTS_PER_REQUEST_MAX,
  READ_AHEAD_OBJECTS,
} from "../core/limits.ts";
import {
  checkPlausible,
  MANIFEST_OBJECT_BYTES_MAX,
  parseManifestObject,
  sumOfSizes,
} from "../core/manifest.ts";
import { type ByteRange, leafChunks } from "../core/manifest-walk.ts";
import type { FileContent } from "../core/node.ts";
import type { KnownObject, ObjectPlace, ObjectRecording } from "../ports/object-records.ts";
import type { ObjectMemory } from "../ports/object-store.ts";
import type { PackObject } from "../protocol/messages.ts";
import { tooLarge } from "./commit-checks.ts";
import { HurtObjects } from "./hurt-objects.ts";
import { ObjectsMoved, withObjectsVersion } from "./objects-version.ts";
import { requireFolder } from "./path-reads.ts";
import type { SequencerPorts } from "./ports.ts";
import { readAhead } from "./read-ahead.ts";

type Recording = Omit<ObjectRecording, "timeMs">;

export class ObjectSupply {
  readonly #ports: SequencerPorts;
  readonly #hurt: HurtObjects;
  /** The smallest chunk of each folder's profile, which it keeps for life. */
  readonly #chunkBytesMin = new Map<FolderName, number>();

  constructor(ports: SequencerPorts) {
    this.#ports = ports;
    this.#hurt = new HurtObjects(ports);
  }

  /** Damaged and lost objects of the folder, and manifests that hold such; not all, if many. */
  async wanted(folder: FolderName): Promise<readonly Digest[]> {
    await requireFolder(this.#ports.metadata, folder);
    return [...(await this.#hurt.of(folder))].slice(0, OBJECTS_PER_REQUEST_MAX);
  }

  async missing(folder: FolderName, digests: readonly Digest[]): Promise<readonly Digest[]> {
    const objects = await this.#ports.metadata.knownObjects(folder, digests);
    const known = new Set(objects.map(({ digest }) => digest));
    const { metadata, clock } = this.#ports;
    // Whoever asks is about to name them, so no collection should take them first.
    await metadata.objectRecords.touch(folder, [...known], clock.now());
    const hurt = await this.#hurt.of(folder);
    const missing = digests.filter((digest) => !known.has(digest) || hurt.has(digest));
    this.#ports.instruments?.objectsKnown(digests.length - missing.length);
    return missing;
  }

  /** @param objects the pack decoder has checked their bytes against their digests */
  async put(folder: FolderName, objects: readonly PackObject[]): Promise<void> {
    await withObjectsVersion(this.#ports, async (version) => {
      const recording = await this.#records(folder, objects, version);
      if (objects.length > 0) await this.#store(folder, objects, recording);
      return "stored";
    });
  }

  /** Computes each object's record: its depth, and its size in bytes of the file. */
  async #records(
    folder: FolderName,
    objects: readonly PackObject[],
    version: number,
  ): Promise<Recording> {
    // Also refuses an unknown folder before it touches the disk.
    const known = new KnownSizes(await this.#ports.metadata.knownObjects(folder, []));
    const own = new Map(objects.map((object) => [`${object.digest}/${object.depth}`, object]));
    const records: KnownObject[] = [];
    for (const object of objects) {
      const { digest, depth, bytes } = object;
      // One after the other: the first that cannot be right ends the work.
      const size =
        depth === 0 ? bytes.length : await this.#sizeOf(folder, object, { known, version });
      this.#checkSize(digest, size);
      const record = { digest, depth, size };
      known.add(record);
      if (own.delete(`${digest}/${depth}`)) records.push(record);
    }
    const brought = new KnownSizes(records);
    const children = objects
      .filter(({ depth }) => depth > 0)
      .flatMap(childrenOf)
      .filter(({ digest, depth }) => brought.get(digest, depth) === undefined);
    return { version, objects: records, children };
  }

  /** O13: what no file may hold is not taken in. */
  #checkSize(digest: Digest, sizeBytes: number): void {
    const { fileBytesMax } = this.#ports;
    if (fileBytesMax === undefined || sizeBytes <= fileBytesMax) return;
    const why = tooLarge(sizeBytes, fileBytesMax);
    throw new SyncedError("file_too_large", `Cannot store ${digest}: ${why}`);
  }

  /** Their bytes are stored first, then the record that the folder knows them (O7). */
  async #store(
    folder: FolderName,
    objects: readonly PackObject[],
    recording: Recording,
  ): Promise<void> {
    await this.#ports.objects.put(objects);
    await this.#record(folder, recording);
    const bytes = objects.reduce((sum, object) => sum + object.bytes.length, 0);
    this.#ports.instruments?.objectsStored({ count: objects.length, bytes });
  }

  /**
   * An object known at one depth may be named at another: as a chunk here, as a manifest there. A
   * device that was told that the folder has its bytes will not send them again. So this reads them
   * and records the object at the wanted depth too.
   *
   * @param known the folder's records of the contents' roots
   * @returns `known` and the new records
   * @throws {ObjectsMoved} if objects were forgotten since `version`
   */
  async promote(
    folder: FolderName,
    contents: readonly FileContent[],
    { known, version }: { readonly known: readonly KnownObject[]; readonly version: number },
  ): Promise<readonly KnownObject[]> {
    const wanted = contents.map(({ manifest, depth }) => ({ digest: manifest, depth }));
    return [...known, ...(await this.#promote(folder, wanted, { known, version }))];
  }

  /**
   * @param memory where an object's bytes may be put; with it they are read one by one, each after
   * the caller has taken the one before.
   */
  async *read(
    folder: FolderName,
    digests: readonly Digest[],
    memory?: ObjectMemory,
  ): AsyncGenerator<PackObject> {
    const depths = new Map<Digest, number>();
    for (const object of await this.#ports.metadata.knownObjects(folder, digests)) {
      depths.set(object.digest, Math.min(object.depth, depths.get(object.digest) ?? object.depth));
    }
    for (const digest of digests) {
      if (!depths.has(digest)) throw unknownObject(digest);
    }
    const load = async (digest: Digest) => {
      const bytes = await this.#get(digest, memory);
      this.#ports.instruments?.bytesSent(bytes.length);
      return { digest, depth: depths.get(digest) ?? 0, bytes };
    };
    yield* readAhead(digests, load, memory === undefined ? READ_AHEAD_OBJECTS : 1);
  }

  /** @param content comes from an event of this folder, so the folder knows its objects. */
  async readContent(
    content: FileContent,
    range: ByteRange = { start: 0, end: content.size },
  ): Promise<AsyncIterable<Uint8Array>> {
    const places = leafChunks(content, (digest) => this.#get(digest), range);
    const load = async (place: { digest: Digest; size: number; offset: number }) => {
      const bytes = await this.#get(place.digest);
      const start = Math.max(0, range.start - place.offset);
      const wanted = bytes.subarray(start, Math.min(place.size, range.end - place.offset));
      this.#ports.instruments?.bytesSent(wanted.length);
      return wanted;
    };
    const chunks = readAhead(places, load, READ_AHEAD_OBJECTS);
    const first = await chunks.next();
    return continueWith(first, chunks);
  }

  /** @param known what the folder has by now; the manifest's children are added */
  async #sizeOf(
    folder: FolderName,
    manifest: PackObject,
    { known, version }: { readonly known: KnownSizes; readonly version: number },
  ): Promise<number> {
    const places = childrenOf(manifest);
    const unknown = places.filter((place) => known.get(place.digest, place.depth) === undefined);
    for (const object of await this.#known(folder, unknown, version)) known.add(object);
    return sizeOfManifest(manifest.bytes, known, await this.#minBytes(folder));
  }

  async #minBytes(folder: FolderName): Promise<number> {
    const known = this.#chunkBytesMin.get(folder);
    if (known !== undefined) return known;
    const head = await this.#ports.metadata.folder(folder);
    const minBytes = head?.folder.chunker.minBytes ?? CHUNK_SIZE_BYTES_MIN;
    this.#chunkBytesMin.set(folder, minBytes);
    return minBytes;
  }

  async #get(digest: Digest, memory?: ObjectMemory): Promise<Uint8Array> {
    const bytes = await this.#ports.objects.get(digest, memory);
    if (bytes !== undefined) return bytes;
    await this.#ports.objects.miss(digest);
    throw unknownObject(digest);
  }

  /** The folder's records of these objects, after promoting those that need it. */
  async #known(
    folder: FolderName,
    wanted: readonly ObjectPlace[],
    version: number,
  ): Promise<readonly KnownObject[]> {
    const digests = [...new Set(wanted.map(({ digest }) => digest))];
    if (digests.length === 0) return [];
    const known = await this.#ports.metadata.knownObjects(folder, digests);
    return [...known, ...(await this.#promote(folder, wanted, { known, version }))];
  }

  async #promote(
    folder: FolderName,
    wanted: readonly ObjectPlace[],
    { known, version }: { readonly known: readonly KnownObject[]; readonly version: number },
  ): Promise<readonly KnownObject[]> {
    const sizes = new KnownSizes(known);
    const digests = new Set(known.map(({ digest }) => digest));
    const promoted: KnownObject[] = [];
    const children: ObjectPlace[] = [];
    const tried = new Set<string>();
    for (const { digest, depth } of wanted) {
      if (!digests.has(digest) || sizes.get(digest, depth) !== undefined) continue;
      const key = `${digest}/${depth}`;
      // A chunk that is too large for a manifest object need not be read to know that it is none.
      const isChunk = depth > 0 && (sizes.get(digest, 0) ?? 0) > MANIFEST_OBJECT_BYTES_MAX;
      if (isChunk || tried.has(key)) continue;
      tried.add(key);
      const meaning = await this.#meaning(folder, { digest, depth }, version);
      if (meaning === undefined) continue;
      sizes.add(meaning.record);
      promoted.push(meaning.record);
      for (const child of meaning.children) children.push(child);
    }
    if (promoted.length > 0) {
      await this.#record(folder, { version, objects: promoted, children });
    }
    return promoted;
  }

  /** @throws {ObjectsMoved} */
  async #record(folder: FolderName, recording: Recording): Promise<void> {
    const { metadata, clock } = this.#ports;
    const timed = { ...recording, timeMs: clock.now() };
    const outcome = await metadata.objectRecords.record(folder, timed);
    if (outcome === "objects_moved") throw new ObjectsMoved();
  }

  /**
   * @returns the record of a stored object at that depth, and what it lists; undefined if its bytes
   * have no meaning there.
   */
  async #meaning(
    folder: FolderName,
    { digest, depth }: ObjectPlace,
    version: number,
  ): Promise<{ record: KnownObject; children: readonly ObjectPlace[] } | undefined> {
    const bytes = await this.#get(digest);
    if (depth === 0) return { record: { digest, depth, size: bytes.length }, children: [] };
    try {
      const children = childrenOf({ digest, depth, bytes });
      const minBytes = await this.#minBytes(folder);
      const known = new KnownSizes(await this.#known(folder, children, version));
      return { record: { digest, depth, size: sizeOfManifest(bytes, known, minBytes) }, children };
    } catch (error) {
      const { code } = error instanceof SyncedError ? error : { code: undefined };
      if (code === "invalid_manifest" || code === "chunk_missing") return undefined;
      throw error;
    }
  }
}

class KnownSizes {
  readonly #sizes = new Map<string, number>();

  constructor(objects: readonly KnownObject[]) {
    for (const object of objects) this.add(object);
  }

  add({ digest, depth, size }: KnownObject): void {
    this.#sizes.set(`${digest}/${depth}`, size);
  }

  get(digest: Digest, depth: number): number | undefined {
    return this.#sizes.get(`${digest}/${depth}`);
  }
}

function childrenOf(manifest: PackObject): readonly ObjectPlace[] {
  const { children, depth } = parseDepth(manifest);
  return children.map(({ digest }) => ({ digest, depth: depth - 1 }));
}

function parseDepth(object: PackObject): ReturnType<typeof parseManifestObject> {
  const parsed = parseManifestObject(object.bytes);
  if (parsed.depth === object.depth) return parsed;
  const claim = `its depth is ${parsed.depth}, not ${object.depth}`;
  throw new SyncedError("invalid_manifest", `Cannot store ${object.digest}: ${claim}`);
}

/**
 * @returns a manifest's size in bytes of the file. Every child must be known with the size that the
 * manifest gives it (C5).
 */
function sizeOfManifest(bytes: Uint8Array, known: KnownSizes, chunkBytesMin: number): number {
  const { children, depth } = parseManifestObject(bytes);
  checkPlausible({ children, depth }, chunkBytesMin);
  for (const { digest, size } of children) {
    const stored = known.get(digest, depth - 1);
    if (stored === undefined) throw unknownObject(digest);
    if (stored === size) continue;
    const claim = `${digest} has ${stored} bytes, not ${size}`;
    throw new SyncedError("invalid_manifest", `Cannot use the manifest object: ${claim}`);
  }
  return sumOfSizes(children);
}

function unknownObject(digest: Digest): SyncedError {
  const message = `Cannot use object ${digest}: the folder does not have it`;
  return new SyncedError("chunk_missing", message);
}

async function* continueWith<Value>(
  first: IteratorResult<Value, void>,
  rest: AsyncGenerator<Value, void>,
): AsyncGenerator<Value, void> {
  try {
    if (first.done === true) return;
    yield first.value;
    yield* rest;
  } finally {
    await rest.return();
  }
}
