/**
 * Upload: reads missing chunks from the user's files and sends them in packs, then the manifests.
 * Rules: O7, C5, D8, H11, H18.
 *
 * Bytes are checked against the digests of the scan. A file that changed meanwhile is given up, and
 * its path is scanned again. A file is also given up if something on the way to the server refuses
 * one of its objects even when the object is sent alone.
 */
import { type Digest, sha256 } from "../../core/digest.ts";
import { assert, SyncedError } from "../../core/error.ts";
import type { NodeId } from "../../core/identifier.ts";
import { OBJECTS_PER_REQUEST_MAX } from "../../core/limits.ts";
import { pathOf } from "../../core/tree.ts";
import { FileSystemError } from "../../ports/filesystem.ts";
import type { PackObject } from "../../protocol/messages.ts";
import {
  PACK_HEADER_BYTES,
  type PackedObject,
  PackWriter,
  packLengthBytes,
} from "../../protocol/pack.ts";
import type { ClientPorts } from "../folder/ports.ts";

/**
 * The size of a pack in bytes: large enough to amortise the round trip, small enough that two fit
 * in memory.
 */
const PACK_BYTES_TARGET = 4 * 1024 * 1024;
/** A pack of chunks, and headers of a few hundred; one of many small files is sent earlier. */
const PACK_BUFFER_BYTES = PACK_BYTES_TARGET + 256 * 1024;
/** Packs on their way at once: one is written by the server while the next one is read here. */
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

/** One pack on its way, one that waits for its turn, and one that is being made. */
const SPARE_BUFFERS_MAX = PACKS_IN_FLIGHT_MAX + 1;

/** A pack, and which part of it is whose object. */
interface FilePack {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly parts: readonly PackPart[];
}

interface PackPart {
  readonly node: NodeId;
  readonly start: number;
  readonly end: number;
}

/** How much one request may hold: less, once a proxy has said that something was too large. */
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
  readonly #spare: Uint8Array<ArrayBuffer>[] = [];
  /** The pack that is being made; whose objects are in it; how many bytes these have. */
  #pack: PackWriter | undefined;
  #parts: PackPart[] = [];
  #packBytes = 0;
  /** How much is still to be packed, with headers: a small upload needs no large buffer. */
  #bytesAhead = 0;
  #inFlightMax = PACKS_IN_FLIGHT_MAX;
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
    this.#bytesAhead = chunks.reduce((sum, { size }) => sum + size + PACK_HEADER_BYTES, 0);
    for (const { node, group } of byNode(chunks)) await this.#packChunks(node, group);
    await this.#sendBehind();
    await this.#drain();
  }

  async sendManifests(manifests: readonly FileObject[]): Promise<void> {
    // Each pack holds what the next one lists.
    this.#inFlightMax = 1;
    this.#bytesAhead = packLengthBytes(manifests.map(({ object }) => object));
    for (const { node, object } of manifests) {
      const { depth, digest, bytes } = object;
      const room = await this.#room(bytes.length);
      room.set(bytes);
      this.#add(node, { depth, digest, lengthBytes: bytes.length });
    }
    await this.#sendBehind();
    await this.#drain();
  }

  /** The file is not what the scan saw. */
  giveUp(node: NodeId): void {
    this.unavailable.add(node);
    const path = pathOf(this.#ports.store.local, node);
    if (path !== undefined) this.rescan.add(path);
  }

  async #packChunks(node: NodeId, chunks: readonly FilePiece[]): Promise<void> {
    if (this.unavailable.has(node)) return;
    const path = pathOf(this.#ports.store.local, node);
    const reader = path === undefined ? undefined : this.#open(path);
    if (reader === undefined) {
      this.giveUp(node);
      return;
    }
    try {
      for (const { digest, offset, size } of chunks) {
        const room = await this.#room(size);
        // Refused meanwhile.
        if (this.unavailable.has(node)) return;
        if (!readFully(reader, room, offset) || sha256(room) !== digest) {
          this.giveUp(node);
          return;
        }
        this.#add(node, { depth: 0, digest, lengthBytes: size });
      }
    } finally {
      reader.close();
    }
  }

  /** Where the next object's bytes belong; a pack in which they have no room is sent first. */
  async #room(lengthBytes: number): Promise<Uint8Array> {
    const bytesMax = this.#packSize.bytesMax;
    const isFull = this.#packBytes + lengthBytes > bytesMax;
    if (this.#parts.length > 0 && (isFull || this.#parts.length >= OBJECTS_PER_REQUEST_MAX)) {
      await this.#sendBehind();
    }
    this.#pack ??= new PackWriter(this.#takeBuffer(lengthBytes + PACK_HEADER_BYTES));
    const room = this.#pack.room(lengthBytes);
    if (room !== undefined) return room;
    // One that is empty was made for a smaller object, of a file that was given up then.
    if (this.#parts.length === 0) this.#pack = undefined;
    else await this.#sendBehind();
    return await this.#room(lengthBytes);
  }

  #add(node: NodeId, object: PackedObject): void {
    assert(this.#pack !== undefined, "an object is added where its bytes stand");
    this.#parts.push({ node, ...this.#pack.add(object) });
    this.#packBytes += object.lengthBytes;
    this.#bytesAhead -= object.lengthBytes + PACK_HEADER_BYTES;
  }

  #takeBuffer(lengthBytes: number): Uint8Array<ArrayBuffer> {
    const wantedBytes = Math.max(lengthBytes, Math.min(this.#bytesAhead, PACK_BUFFER_BYTES));
    const spare = this.#spare.pop();
    return spare !== undefined && spare.length >= wantedBytes ? spare : new Uint8Array(wantedBytes);
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
   * Sends the pack that is being made behind the caller's back, up to PACKS_IN_FLIGHT_MAX at once;
   * a later call throws the first failure.
   */
  async #sendBehind(): Promise<void> {
    const writer = this.#pack;
    if (writer === undefined || this.#parts.length === 0) return;
    const pack = { bytes: writer.bytes, parts: this.#parts };
    this.#pack = undefined;
    this.#parts = [];
    this.#packBytes = 0;
    while (this.#inFlight.size >= this.#inFlightMax) await Promise.race(this.#inFlight);
    this.#throwFailure();
    const sent = this.#send(pack).then(
      () => {
        // Whoever failed may still send from it.
        if (this.#spare.length < SPARE_BUFFERS_MAX) {
          this.#spare.push(new Uint8Array(pack.bytes.buffer));
        }
        this.#report();
      },
      (cause: unknown) => {
        this.#failures.push(cause);
      },
    );
    this.#inFlight.add(sent);
    void sent.finally(() => this.#inFlight.delete(sent));
    await this.#ports.clock.yield();
  }

  /** Sends a pack, or what of it can be sent: what is refused is tried again in halves. */
  async #send({ bytes, parts }: FilePack): Promise<void> {
    const [first, last] = [parts[0], parts.at(-1)];
    if (first === undefined || last === undefined) return;
    try {
      await this.#ports.api.putPack(bytes.subarray(first.start, last.end), this.#signal);
    } catch (cause) {
      if (!(cause instanceof SyncedError) || !isAboutObjects(cause)) throw cause;
      if (parts.length > 1) {
        const middle = parts.length >> 1;
        if (cause.extensions["status"] === TOO_LARGE) this.#packSize.refuse(bytesOf(parts));
        await this.#send({ bytes, parts: parts.slice(0, middle) });
        await this.#send({ bytes, parts: parts.slice(middle) });
      } else {
        this.unavailable.add(first.node);
        if (!this.refused.has(first.node)) this.refused.set(first.node, cause);
      }
      return;
    }
    this.#bytesDone += bytesOf(parts);
    this.#chunksDone += parts.length;
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

function bytesOf(parts: readonly PackPart[]): number {
  return parts.reduce((sum, { start, end }) => sum + end - start - PACK_HEADER_BYTES, 0);
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
