/**
 * Supply: sends the objects that a batch of ops refers to and the server does not have. Rules: Y1,
 * O6, O7, C5, B68.
 *
 * What is missing is found top-down (an object that the folder has, has its children too), so a
 * resumed upload or an edit of a large file sends only new objects. Bytes are read from the user's
 * file again and checked against the digest that the scan took: a file that changed meanwhile is
 * not sent, its path is looked at again.
 */
import { type Digest, sha256 } from "../core/digest.ts";
import { SyncedError } from "../core/error.ts";
import type { NodeId } from "../core/identifier.ts";
import { OBJECTS_PER_REQUEST_MAX } from "../core/limits.ts";
import { parseManifestObject } from "../core/manifest.ts";
import type { FileContent } from "../core/node.ts";
import { pathOf } from "../core/tree.ts";
import { FileSystemError } from "../ports/filesystem.ts";
import type { PackObject } from "../protocol/messages.ts";
import type { ClientPorts } from "./ports.ts";

/**
 * A pack as it is sent: large enough to amortise the round trip, small enough that two fit in
 * memory.
 */
const PACK_BYTES_TARGET = 4 * 1024 * 1024;
/** Packs on their way at once: one is written by the server while the next one is read here. */
const PACKS_IN_FLIGHT_MAX = 2;
/** Up to this much is sent without asking first whether it is there: the question costs more. */
const UNASKED_BYTES_MAX = 64 * 1024;

export interface Supply {
  readonly node: NodeId;
  readonly content: FileContent;
}

export interface SupplyReport {
  /**
   * Nodes whose bytes could not be read as the scan took them; their ops must not be posted now.
   */
  readonly unavailable: ReadonlySet<NodeId>;
  /** Paths to be scanned again. */
  readonly rescan: ReadonlySet<string>;
}

/** A range of a user's file that is a missing chunk. */
interface MissingChunk {
  readonly node: NodeId;
  readonly digest: Digest;
  readonly offset: number;
  readonly size: number;
}

/**
 * Resolves when the server durably has all objects of these contents, but for the unavailable ones.
 *
 * @throws {SyncedError} as `ServerApi` does
 */
export async function supplyContents(
  ports: ClientPorts,
  supplies: readonly Supply[],
  signal: AbortSignal,
): Promise<SupplyReport> {
  const wanted = supplies.filter(({ content }) => content.size > 0);
  const missing = await findMissing(ports, wanted, signal);
  const upload = new Upload(ports, missing.chunks, signal);
  await upload.sendChunks();
  // Children before parents: manifests were found top-down, so they go in the reverse order. A
  // manifest of an unavailable file would be refused for its missing chunks.
  const manifests = missing.manifests.filter(({ node }) => !upload.unavailable.has(node)).reverse();
  await upload.sendManifests(manifests);
  for (const node of missing.forgotten) upload.giveUp(node);
  return { unavailable: upload.unavailable, rescan: upload.rescan };
}

interface Missing {
  readonly chunks: readonly MissingChunk[];
  /** Top-down. */
  readonly manifests: readonly { readonly node: NodeId; readonly object: PackObject }[];
  /** Nodes whose manifest is not in the state any more: they are hashed again. */
  readonly forgotten: readonly NodeId[];
}

interface Candidate {
  readonly node: NodeId;
  readonly digest: Digest;
  readonly depth: number;
  readonly offset: number;
  readonly size: number;
}

async function findMissing(
  ports: ClientPorts,
  supplies: readonly Supply[],
  signal: AbortSignal,
): Promise<Missing> {
  const chunks: MissingChunk[] = [];
  const manifests: { node: NodeId; object: PackObject }[] = [];
  const forgotten: NodeId[] = [];
  const seen = new Set<Digest>();
  let level: Candidate[] = supplies.map(({ node, content }) => ({
    node,
    digest: content.manifest,
    depth: content.depth,
    offset: 0,
    size: content.size,
  }));
  let asks = needsAsking(supplies);
  while (level.length > 0) {
    const fresh = level.filter(({ digest }) => !seen.has(digest) && seen.add(digest));
    const absent = asks
      ? await askMissing(ports, fresh, signal)
      : new Set(fresh.map((c) => c.digest));
    asks = true;
    level = [];
    for (const candidate of fresh) {
      if (!absent.has(candidate.digest)) continue;
      if (candidate.depth === 0) {
        chunks.push(candidate);
        continue;
      }
      const bytes = ports.store.manifest(candidate.digest);
      if (bytes === undefined) {
        forgotten.push(candidate.node);
        continue;
      }
      const { node, digest, depth } = candidate;
      manifests.push({ node, object: { depth, digest, bytes } });
      let { offset } = candidate;
      for (const child of parseManifestObject(bytes).children) {
        level.push({ node, digest: child.digest, depth: depth - 1, offset, size: child.size });
        offset += child.size;
      }
    }
  }
  return { chunks, manifests, forgotten };
}

function needsAsking(supplies: readonly Supply[]): boolean {
  let sizeBytes = 0;
  for (const { content } of supplies) {
    if (content.depth > 0) return true;
    sizeBytes += content.size;
  }
  return sizeBytes > UNASKED_BYTES_MAX;
}

async function askMissing(
  { api }: ClientPorts,
  candidates: readonly Candidate[],
  signal: AbortSignal,
): Promise<ReadonlySet<Digest>> {
  const absent = new Set<Digest>();
  for (let i = 0; i < candidates.length; i += OBJECTS_PER_REQUEST_MAX) {
    const digests = candidates.slice(i, i + OBJECTS_PER_REQUEST_MAX).map(({ digest }) => digest);
    for (const digest of await api.missing(digests, signal)) absent.add(digest);
  }
  return absent;
}

class Upload {
  readonly unavailable = new Set<NodeId>();
  readonly rescan = new Set<string>();
  readonly #ports: ClientPorts;
  readonly #chunks: readonly MissingChunk[];
  readonly #signal: AbortSignal;
  readonly #bytesTotal: number;
  readonly #inFlight = new Set<Promise<void>>();
  readonly #failures: unknown[] = [];
  #bytesDone = 0;
  #chunksDone = 0;

  constructor(ports: ClientPorts, chunks: readonly MissingChunk[], signal: AbortSignal) {
    this.#ports = ports;
    this.#chunks = chunks;
    this.#signal = signal;
    this.#bytesTotal = chunks.reduce((sum, { size }) => sum + size, 0);
  }

  async sendChunks(): Promise<void> {
    let pack: PackObject[] = [];
    let packBytes = 0;
    for (const { node, group } of byNode(this.#chunks)) {
      for (const object of this.#readChunks(node, group)) {
        pack.push(object);
        packBytes += object.bytes.length;
        if (packBytes < PACK_BYTES_TARGET) continue;
        await this.#send(pack);
        pack = [];
        packBytes = 0;
      }
    }
    if (pack.length > 0) await this.#send(pack);
    await this.#drain();
  }

  async sendManifests(manifests: readonly { readonly object: PackObject }[]): Promise<void> {
    let pack: PackObject[] = [];
    let packBytes = 0;
    for (const { object } of manifests) {
      pack.push(object);
      packBytes += object.bytes.length;
      if (packBytes < PACK_BYTES_TARGET) continue;
      await this.#ports.api.putObjects(pack, this.#signal);
      pack = [];
      packBytes = 0;
    }
    if (pack.length > 0) await this.#ports.api.putObjects(pack, this.#signal);
  }

  giveUp(node: NodeId): void {
    this.unavailable.add(node);
    const path = pathOf(this.#ports.store.local, node);
    if (path !== undefined) this.rescan.add(path);
  }

  *#readChunks(node: NodeId, chunks: readonly MissingChunk[]): Generator<PackObject> {
    const path = pathOf(this.#ports.store.local, node);
    const reader = path === undefined ? undefined : this.#open(path);
    if (reader === undefined) {
      this.giveUp(node);
      return;
    }
    try {
      for (const { digest, offset, size } of chunks) {
        const bytes = new Uint8Array(size);
        if (!readFully(reader, bytes, offset) || sha256(bytes) !== digest) {
          this.giveUp(node);
          return;
        }
        yield { depth: 0, digest, bytes };
      }
    } finally {
      reader.close();
    }
  }

  #open(path: string): Reader | undefined {
    try {
      return this.#ports.fs.open(path);
    } catch (cause) {
      // Unreadable now: the scan will say so.
      if (cause instanceof FileSystemError) return undefined;
      throw cause;
    }
  }

  /**
   * Sends behind the caller's back, up to PACKS_IN_FLIGHT_MAX at once; the first failure is thrown
   * by a later call.
   */
  async #send(pack: readonly PackObject[]): Promise<void> {
    while (this.#inFlight.size >= PACKS_IN_FLIGHT_MAX) await Promise.race(this.#inFlight);
    this.#throwFailure();
    const sent = this.#ports.api.putObjects(pack, this.#signal).then(
      () => this.#report(pack),
      (cause: unknown) => {
        this.#failures.push(cause);
      },
    );
    this.#inFlight.add(sent);
    void sent.finally(() => this.#inFlight.delete(sent));
    await this.#ports.clock.yield();
  }

  async #drain(): Promise<void> {
    await Promise.all(this.#inFlight);
    this.#throwFailure();
  }

  #throwFailure(): void {
    const [failure] = this.#failures;
    if (failure === undefined) return;
    throw failure instanceof Error ? failure : new SyncedError("internal", String(failure));
  }

  #report(pack: readonly PackObject[]): void {
    for (const { bytes } of pack) this.#bytesDone += bytes.length;
    this.#chunksDone += pack.length;
    this.#ports.observer.emit({
      event: "progress",
      phase: "upload",
      done: this.#chunksDone,
      total: this.#chunks.length,
      bytesDone: this.#bytesDone,
      bytesTotal: this.#bytesTotal,
    });
  }
}

interface Reader {
  read(buffer: Uint8Array, position: number): number;
  close(): void;
}

/** @returns false where the file is too short or cannot be read: the scan will say why. */
function readFully(reader: Reader, buffer: Uint8Array, position: number): boolean {
  let length = 0;
  try {
    while (length < buffer.length) {
      const count = reader.read(buffer.subarray(length), position + length);
      if (count === 0) return false;
      length += count;
    }
    return true;
  } catch (cause) {
    if (cause instanceof FileSystemError) return false;
    throw cause;
  }
}

function* byNode(
  chunks: readonly MissingChunk[],
): Generator<{ readonly node: NodeId; readonly group: readonly MissingChunk[] }> {
  const groups = new Map<NodeId, MissingChunk[]>();
  for (const chunk of chunks) {
    const group = groups.get(chunk.node);
    if (group === undefined) groups.set(chunk.node, [chunk]);
    else group.push(chunk);
  }
  for (const [node, group] of groups) yield { node, group };
}
