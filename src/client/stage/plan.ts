/**
 * Plans the work of staging: which manifests are missing, and from where the bytes of each chunk
 * come. It changes nothing but the store's manifests and the names of partial downloads. Rules: C3,
 * C4, C5.
 */

import type { Digest } from "../../core/digest.ts";
import { type ErrorCode, SyncedError } from "../../core/error.ts";
import type { NodeId } from "../../core/identifier.ts";
import { CHUNK_SIZE_BYTES_MIN } from "../../core/limits.ts";
import { checkPlausible, parseManifestObject, sumOfSizes } from "../../core/manifest.ts";
import { knownChunks, type ManifestPlace } from "../../core/manifest-walk.ts";
import type { FileContent } from "../../core/node.ts";
import { joinPath } from "../../core/path.ts";
import { STAGING_DIRECTORY } from "../../core/state-directory.ts";
import type { FileSystem } from "../../ports/filesystem.ts";
import { KEPT, readKept } from "../folder/kept-values.ts";
import type { ClientPorts } from "../folder/ports.ts";
import { FETCH_BYTES_MAX, FETCH_OBJECTS_MAX, fetchObjects, type Load } from "./fetch-objects.ts";

/**
 * A file on the disk that may still hold this content. Every chunk that is taken from it is
 * verified.
 */
export interface ReuseSource {
  readonly path: string;
  readonly content: FileContent;
}

/** A file to be staged. */
export interface StageWant {
  readonly id: NodeId;
  readonly content: FileContent;
  /** True if it is to be exchanged with the file in its place. */
  readonly replaces: boolean;
  readonly reuse?: readonly ReuseSource[];
}

export interface StageFailure {
  readonly id: NodeId;
  readonly code: ErrorCode;
  readonly message: string;
}

/** A place on this disk from which a chunk can be read. */
export interface ChunkSource {
  readonly path: string;
  readonly offset: number;
}

/** One chunk of one file; without `place`, the file's end. */
export interface StageStep {
  readonly want: StageWant;
  readonly place?: ManifestPlace;
  readonly source?: ChunkSource;
}

/** Sources of a file's chunks on this disk: 128 GiB of average ones. The others are fetched. */
const SOURCES_MAX = 1_000_000;
/** Manifest objects are small, so that many are at most 10 MiB. */
const MANIFESTS_PER_REQUEST_MAX = 256;

/**
 * Fetches the manifest objects that these files need and the store lacks, level by level.
 *
 * @returns the files that can be staged, and the reasons why the others cannot.
 * @throws {SyncedError} as ServerApi does
 */
export async function completeManifests(
  ports: Pick<ClientPorts, "store" | "api">,
  wants: readonly StageWant[],
  signal: AbortSignal,
): Promise<{ readonly ready: readonly StageWant[]; readonly failed: readonly StageFailure[] }> {
  const { store, api } = ports;
  const failed: StageFailure[] = [];
  const unavailable = new Map<Digest, Omit<StageFailure, "id">>();
  const { minBytes } = readKept(store, KEPT.chunker) ?? { minBytes: CHUNK_SIZE_BYTES_MIN };
  let ready = wants;
  for (;;) {
    const missing = new Set<Digest>();
    ready = ready.filter((want) => {
      const trouble = collectMissing(want, { store, minBytes, missing, unavailable });
      if (trouble !== undefined) failed.push({ id: want.id, ...trouble });
      return trouble === undefined;
    });
    if (missing.size === 0) return { ready, failed };
    const digests = [...missing];
    for (let at = 0; at < digests.length; at += MANIFESTS_PER_REQUEST_MAX) {
      const some = digests.slice(at, at + MANIFESTS_PER_REQUEST_MAX);
      const { objects, refused } = await fetchObjects(api, some, signal);
      store.transaction(() => {
        for (const [digest, bytes] of objects) store.putManifest(digest, bytes);
      });
      for (const digest of some) {
        if (objects.has(digest)) continue;
        const { code, message } = refused.get(digest) ?? {
          code: "chunk_missing",
          message: `Cannot fetch manifest object ${digest}`,
        };
        unavailable.set(digest, { code, message });
      }
    }
  }
}

interface Collecting {
  readonly store: ClientPorts["store"];
  /** The smallest chunk that the folder's profile cuts. */
  readonly minBytes: number;
  readonly missing: Set<Digest>;
  readonly unavailable: ReadonlyMap<Digest, Omit<StageFailure, "id">>;
}

/**
 * Looks at each manifest object once, however often it is listed, and at no chunk.
 *
 * @returns why the file cannot be had.
 */
function collectMissing(
  { content }: StageWant,
  { store, minBytes, missing, unavailable }: Collecting,
): Omit<StageFailure, "id"> | undefined {
  const pending = [{ digest: content.manifest, depth: content.depth, size: content.size }];
  const seen = new Set<string>();
  try {
    for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
      const { digest, depth, size } = next;
      const key = `${digest}/${depth}/${size}`;
      if (depth === 0 || seen.has(key)) continue;
      seen.add(key);
      const trouble = unavailable.get(digest);
      if (trouble !== undefined) return trouble;
      const bytes = store.manifest(digest);
      if (bytes === undefined) missing.add(digest);
      else for (const child of childrenOf(bytes, next, minBytes)) pending.push(child);
    }
    return undefined;
  } catch (error) {
    if (!(error instanceof SyncedError)) throw error;
    return { code: error.code, message: error.message };
  }
}

/** @throws {SyncedError} `invalid_manifest` */
function childrenOf(
  bytes: Uint8Array,
  { digest, depth, size }: ManifestNode,
  minBytes: number,
): readonly ManifestNode[] {
  const object = parseManifestObject(bytes);
  if (object.depth !== depth || sumOfSizes(object.children) !== size) {
    const claim = "its parent says another depth or size";
    throw new SyncedError("invalid_manifest", `Cannot use the manifest object ${digest}: ${claim}`);
  }
  checkPlausible(object, minBytes);
  return depth === 1 ? [] : object.children.map((child) => ({ ...child, depth: depth - 1 }));
}

type ManifestNode = Omit<ManifestPlace, "offset">;

/**
 * A file of one chunk that has not been exchanged with anything, so that a crash drops it, whole or
 * not.
 */
export function unfinishedPath(id: string): string {
  return joinPath(STAGING_DIRECTORY, `${UNFINISHED_PREFIX}${id}`);
}

const UNFINISHED_PREFIX = "u-";

/** The id in the name of an entry of staging; the name itself if there is none. */
export function idOfStaged(name: string): string {
  return name.startsWith(UNFINISHED_PREFIX) ? name.slice(UNFINISHED_PREFIX.length) : name;
}

/** The partial download of a file of several chunks. It is kept over a crash and continued. */
export function partialPath(content: FileContent): string {
  return joinPath(STAGING_DIRECTORY, `p-${content.sha256}`);
}

/** The partial download of an earlier run, which is only read from. */
export function formerPartialPath(content: FileContent): string {
  return joinPath(STAGING_DIRECTORY, `o-${content.sha256}`);
}

/** @returns the digest of the content, if this staging entry is a partial download of it. */
export function digestOfPartial(name: string): string | undefined {
  return /^[po]-([0-9a-f]{64})$/.exec(name)?.[1];
}

/** Cuts the work into loads. A load has as many chunks as one request may fetch, of any files. */
export function* planLoads(
  ports: Pick<ClientPorts, "fs" | "store">,
  wants: readonly StageWant[],
  known: ReadonlyMap<Digest, Uint8Array>,
): Generator<Load<StageStep>> {
  let steps: StageStep[] = [];
  let digests = new Set<Digest>();
  let bytes = 0;
  let previous: Digest | undefined;
  for (const step of planSteps(ports, wants)) {
    const { place, source } = step;
    const isFull =
      bytes + (place?.size ?? 0) > FETCH_BYTES_MAX || steps.length >= FETCH_OBJECTS_MAX;
    if (isFull && steps.length > 0) {
      yield { steps, digests: [...digests], bytes };
      steps = [];
      digests = new Set();
      bytes = 0;
      previous = undefined;
    }
    steps.push(step);
    if (place === undefined) continue;
    if (source !== undefined || known.has(place.digest)) {
      previous = undefined;
      continue;
    }
    // A run of equal chunks (a hole of zeros) is fetched once, because the bytes are still in
    // memory.
    const isFetched = place.digest === previous || digests.has(place.digest);
    previous = place.digest;
    if (isFetched) continue;
    digests.add(place.digest);
    bytes += place.size;
  }
  if (steps.length > 0) yield { steps, digests: [...digests], bytes };
}

function* planSteps(
  { fs, store }: Pick<ClientPorts, "fs" | "store">,
  wants: readonly StageWant[],
): Generator<StageStep> {
  for (const want of wants) {
    const { content } = want;
    if (content.depth > 0) setPartialAside(fs, content);
    const sources = content.depth > 0 ? chunkSources({ fs, store }, want) : undefined;
    for (const place of knownChunks(content, (digest) => store.manifest(digest))) {
      const source = sources?.get(place.digest);
      yield source === undefined ? { want, place } : { want, place, source };
    }
    yield { want };
  }
}

/** Of two earlier attempts, the longer one is kept to read from. */
function setPartialAside(fs: FileSystem, content: FileContent): void {
  const partial = fs.stat(partialPath(content));
  if (partial === undefined) return;
  const former = fs.stat(formerPartialPath(content));
  if (former !== undefined && former.size >= partial.size) {
    fs.removeFile(partialPath(content));
    return;
  }
  if (former !== undefined) fs.removeFile(formerPartialPath(content));
  fs.moveNoReplace(partialPath(content), formerPartialPath(content));
}

/**
 * Chunks, by digest, that this disk may have: from the file's own former bytes and from a partial
 * download.
 */
function chunkSources(
  { fs, store }: Pick<ClientPorts, "fs" | "store">,
  want: StageWant,
): ReadonlyMap<Digest, ChunkSource> {
  const sources = new Map<Digest, ChunkSource>();
  const candidates = [...(want.reuse ?? [])];
  const former = formerPartialPath(want.content);
  const formerSize = fs.stat(former)?.size;
  if (formerSize !== undefined) candidates.push({ path: former, content: want.content });
  for (const { path, content } of candidates) {
    if (sources.size > SOURCES_MAX) break;
    const end = path === former ? (formerSize ?? 0) : content.size;
    for (const place of knownChunks(content, (digest) => store.manifest(digest))) {
      if (place.depth > 0 || place.offset + place.size > end) continue;
      if (sources.size > SOURCES_MAX) break;
      sources.set(place.digest, { path, offset: place.offset });
    }
  }
  return sources;
}
