/**
 * Upload: reads missing chunks from the user's files and sends them in packs, then the manifests.
 * Rules: O7, C5, D8, H11, H18.
 *
 * Bytes are checked against the digests of the scan. A file that changed meanwhile is given up, and
 * its path is scanned again. A file is also given up if something on the way to the server refuses
 * one of its objects even when the object is sent alone.
 */
import { type Digest, sha256 } from "../../core/digest.ts";
import { SyncedError } from "../../core/error.ts";
import type { NodeId } from "../../core/identifier.ts";
import { pathOf } from "../../core/tree.ts";
import { FileSystemError } from "../../ports/filesystem.ts";
import type { PackObject } from "../../protocol/messages.ts";
import type { ClientPorts } from "../folder/ports.ts";

/**
 * The size of a pack in bytes: large enough to amortise the round trip, small enough that two fit
 * in memory.
 */
const PACK_BYTES_TARGET = 4 * 1024 * 1024;
/** Packs on their way at once. The server writes one while the next one is read here. */
const PACKS_IN_FLIGHT_MAX = 2;
const TOO_LARGE = 413;

/** A missing chunk as a range of a user's file. */
export interface FilePiece {
  readonly node: NodeId;
  readonly digest: Digest;
  readonly offset: number;
  readonly size: number;
}

/** An object, and a file that needs it. */
export interface FileObject {
  readonly node: NodeId;
  readonly object: PackObject;
}

/** How much one request may hold. It shrinks when a proxy says that a body was too large. */
export class PackSize {
  #bytesMax = PACK_BYTES_TARGET;

  get bytesMax(): number {
    return this.#bytesMax;
  }

  refuse(bytes: number): void {
    this.#bytesMax = Math.min(this.#bytesMax, bytes >> 1);
  }
}

export class Upload {
  readonly unavailable = new Set<NodeId>();
  readonly refused = new Map<NodeId, SyncedError>();
  readonly rescan = new Set<string>();
  readonly #ports: ClientPorts;
  readonly #packSize: PackSize;
  readonly #signal: AbortSignal;
  readonly #inFlight = new Set<Promise<void>>();
  readonly #failures: unknown[] = [];
  #bytesTotal = 0;
  #bytesDone = 0;
  #chunksTotal = 0;
  #chunksDone = 0;

  constructor(ports: ClientPorts, packSize: PackSize, signal: AbortSignal) {
    this.#ports = ports;
    this.#packSize = packSize;
    this.#signal = signal;
  }

  async sendChunks(chunks: readonly FilePiece[]): Promise<void> {
    this.#bytesTotal = this.#bytesDone + chunks.reduce((sum, { size }) => sum + size, 0);
    this.#chunksTotal = this.#chunksDone + chunks.length;
    let pack: FileObject[] = [];
    let packBytes = 0;
    for (const { node, group } of byNode(chunks)) {
      for (const object of this.#readChunks(node, group)) {
        if (pack.length > 0 && packBytes + object.bytes.length > this.#packSize.bytesMax) {
          await this.#sendBehind(pack);
          pack = [];
          packBytes = 0;
        }
        pack.push({ node, object });
        packBytes += object.bytes.length;
      }
    }
    if (pack.length > 0) await this.#sendBehind(pack);
    await this.#drain();
  }

  async sendManifests(manifests: readonly FileObject[]): Promise<void> {
    let pack: FileObject[] = [];
    let packBytes = 0;
    for (const manifest of manifests) {
      const { length } = manifest.object.bytes;
      if (pack.length > 0 && packBytes + length > this.#packSize.bytesMax) {
        await this.#send(pack);
        pack = [];
        packBytes = 0;
      }
      pack.push(manifest);
      packBytes += length;
    }
    if (pack.length > 0) await this.#send(pack);
  }

  /** The file is not what the scan saw. */
  giveUp(node: NodeId): void {
    this.unavailable.add(node);
    const path = pathOf(this.#ports.store.local, node);
    if (path !== undefined) this.rescan.add(path);
  }

  *#readChunks(node: NodeId, chunks: readonly FilePiece[]): Generator<PackObject> {
    if (this.unavailable.has(node)) return;
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
        // It was refused meanwhile.
        if (this.unavailable.has(node)) return;
      }
    } finally {
      reader.close();
    }
  }

  #open(path: string): Reader | undefined {
    try {
      return this.#ports.fs.open(path);
    } catch (cause) {
      // Unreadable now. The scan will report that.
      if (cause instanceof FileSystemError) return undefined;
      throw cause;
    }
  }

  /**
   * Sends without making the caller wait, up to PACKS_IN_FLIGHT_MAX at once. A later call throws
   * the first failure.
   */
  async #sendBehind(pack: readonly FileObject[]): Promise<void> {
    while (this.#inFlight.size >= PACKS_IN_FLIGHT_MAX) await Promise.race(this.#inFlight);
    this.#throwFailure();
    const sent = this.#send(pack).then(
      () => this.#report(),
      (cause: unknown) => {
        this.#failures.push(cause);
      },
    );
    this.#inFlight.add(sent);
    void sent.finally(() => this.#inFlight.delete(sent));
    await this.#ports.clock.yield();
  }

  /**
   * Sends a pack. If it is refused, sends it in halves, and leaves out objects that are refused
   * alone.
   */
  async #send(pack: readonly FileObject[]): Promise<void> {
    try {
      await this.#ports.api.putObjects(
        pack.map(({ object }) => object),
        this.#signal,
      );
    } catch (cause) {
      if (!(cause instanceof SyncedError) || !isAboutObjects(cause)) throw cause;
      const [first] = pack;
      if (pack.length > 1) {
        const middle = pack.length >> 1;
        if (cause.extensions["status"] === TOO_LARGE) this.#packSize.refuse(bytesOf(pack));
        await this.#send(pack.slice(0, middle));
        await this.#send(pack.slice(middle));
      } else if (first !== undefined) {
        this.unavailable.add(first.node);
        if (!this.refused.has(first.node)) this.refused.set(first.node, cause);
      }
      return;
    }
    this.#bytesDone += bytesOf(pack);
    this.#chunksDone += pack.length;
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

  #report(): void {
    this.#ports.observer.emit({
      event: "progress",
      phase: "upload",
      done: this.#chunksDone,
      total: this.#chunksTotal,
      bytesDone: this.#bytesDone,
      bytesTotal: this.#bytesTotal,
    });
  }
}

/**
 * True if the error is about these objects, on their way or at the server. The others go on (D8).
 */
function isAboutObjects({ code }: SyncedError): boolean {
  return code === "body_refused" || code === "chunk_missing" || code === "invalid_manifest";
}

function bytesOf(pack: readonly FileObject[]): number {
  return pack.reduce((sum, { object }) => sum + object.bytes.length, 0);
}

interface Reader {
  read(buffer: Uint8Array, position: number): number;
  close(): void;
}

/** @returns false if the file is too short or cannot be read. The scan will report why. */
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
  chunks: readonly FilePiece[],
): Generator<{ readonly node: NodeId; readonly group: readonly FilePiece[] }> {
  const groups = new Map<NodeId, FilePiece[]>();
  for (const chunk of chunks) {
    const group = groups.get(chunk.node);
    if (group === undefined) groups.set(chunk.node, [chunk]);
    else group.push(chunk);
  }
  for (const [node, group] of groups) yield { node, group };
}
