/**
 * Packs: many objects in one body. Each object is 1 byte of depth, 32 bytes of digest, 4 bytes of
 * big-endian length, then the bytes.
 * Rules: C5, C6. Every bound is checked before memory is allocated for an object's claims. Every
 * object's bytes are checked against its digest before it is handed out.
 */
import { digestFromBytes, digestToBytes, sha256 } from "../core/digest.ts";
import { assert, SyncedError } from "../core/error.ts";
import {
  MANIFEST_DEPTH_MAX,
  OBJECT_SIZE_BYTES_MAX,
  OBJECTS_PER_REQUEST_MAX,
  PACK_BYTES_MAX,
} from "../core/limits.ts";
import type { ObjectMemory } from "../ports/object-store.ts";
import type { PackObject } from "./messages.ts";

export const PACK_MEDIA_TYPE = "application/vnd.synced.pack";

/** An object adds this much to a pack beside its bytes. */
export const PACK_HEADER_BYTES = 37;

const LENGTH_OFFSET = 33;

export interface PackLimits {
  /** @default PACK_BYTES_MAX */
  readonly packBytesMax?: number;
  /** @default OBJECTS_PER_REQUEST_MAX */
  readonly objectsMax?: number;
  /** Gives memory for an object's bytes. @default fresh memory, or the pieces themselves */
  readonly memory?: ObjectMemory;
}

/** @returns the pack's length in bytes; compare it with PACK_BYTES_MAX before encoding. */
export function packLengthBytes(objects: readonly PackObject[]): number {
  let lengthBytes = 0;
  for (const object of objects) lengthBytes += PACK_HEADER_BYTES + object.bytes.length;
  return lengthBytes;
}

/** The pack in pieces, for streams: headers and the objects' own bytes in turn, without a copy. */
export function* packPieces(objects: Iterable<PackObject>): Generator<Uint8Array, void, undefined> {
  for (const object of objects) {
    yield packHeader(object);
    yield object.bytes;
  }
}

/** The pack in one piece. */
export function encodePack(objects: readonly PackObject[]): Uint8Array<ArrayBuffer> {
  const pack = new Uint8Array(packLengthBytes(objects));
  let offset = 0;
  for (const piece of packPieces(objects)) {
    pack.set(piece, offset);
    offset += piece.length;
  }
  return pack;
}

function packHeader({ depth, digest, bytes }: PackObject): Uint8Array {
  const header = new Uint8Array(PACK_HEADER_BYTES);
  writeHeader(header, { depth, digest, lengthBytes: bytes.length });
  return header;
}

function writeHeader(target: Uint8Array, { depth, digest, lengthBytes }: PackedObject): void {
  assert(depth >= 0 && depth <= MANIFEST_DEPTH_MAX, "a packed object has a legal depth");
  assert(lengthBytes > 0 && lengthBytes <= OBJECT_SIZE_BYTES_MAX, "a packed object is bounded");
  target[0] = depth;
  target.set(digestToBytes(digest), 1);
  new DataView(target.buffer, target.byteOffset).setUint32(LENGTH_OFFSET, lengthBytes);
}

/**
 * Makes a pack in a buffer of the caller's, which may be used again: fresh memory costs more than
 * all else that is done with a byte. The caller reads an object's bytes right into their place.
 */
export class PackWriter {
  readonly #buffer: Uint8Array<ArrayBuffer>;
  #length = 0;

  constructor(buffer: Uint8Array<ArrayBuffer>) {
    this.#buffer = buffer;
  }

  /** The pack so far, in the buffer. */
  get bytes(): Uint8Array<ArrayBuffer> {
    return this.#buffer.subarray(0, this.#length);
  }

  /** @returns where the next object's bytes belong; undefined if the buffer has no room for them. */
  room(lengthBytes: number): Uint8Array | undefined {
    const start = this.#length + PACK_HEADER_BYTES;
    if (start + lengthBytes > this.#buffer.length) return undefined;
    return this.#buffer.subarray(start, start + lengthBytes);
  }

  /** Adds the object whose bytes stand in `room`. @returns its part of the pack, with its header. */
  add(object: PackedObject): { readonly start: number; readonly end: number } {
    const start = this.#length;
    writeHeader(this.#buffer.subarray(start), object);
    this.#length += PACK_HEADER_BYTES + object.lengthBytes;
    return { start, end: this.#length };
  }
}

/**
 * Decodes a whole pack. The objects' bytes are views of `pack`.
 *
 * @throws {SyncedError} `invalid_chunk`, `hash_mismatch`, `body_too_large`
 */
export function decodePack(pack: Uint8Array, limits: PackLimits = {}): PackObject[] {
  const decoder = new PackDecoder(limits);
  const objects = [...decoder.push(pack)];
  decoder.finish();
  return objects;
}

/** The header of an object in a pack; its bytes follow. */
export interface PackedObject {
  readonly depth: number;
  readonly digest: PackObject["digest"];
  readonly lengthBytes: number;
}

/** Accepts a pack in pieces of any size. Holds at most one object. */
export class PackDecoder {
  readonly #packBytesMax: number;
  readonly #objectsMax: number;
  readonly #memory: ObjectMemory | undefined;
  readonly #headerBytes = new Uint8Array(PACK_HEADER_BYTES);
  #header: PackedObject | undefined;
  /** The object's bytes so far, if it came in more than one piece. */
  #body: Uint8Array | undefined;
  /** The number of bytes of the header, or of the body, that have arrived. */
  #filled = 0;
  #packBytes = 0;
  #objectCount = 0;

  constructor(limits: PackLimits = {}) {
    this.#packBytesMax = limits.packBytesMax ?? PACK_BYTES_MAX;
    this.#objectsMax = limits.objectsMax ?? OBJECTS_PER_REQUEST_MAX;
    this.#memory = limits.memory;
  }

  /**
   * Accepts the next piece. The caller must read its objects to the end before it pushes another
   * one.
   *
   * @throws {SyncedError} `invalid_chunk`, `hash_mismatch`, `body_too_large`; after that the
   * decoder cannot be used.
   */
  *push(piece: Uint8Array): Generator<PackObject, void, undefined> {
    this.#packBytes += piece.length;
    if (this.#packBytes > this.#packBytesMax) {
      throw new SyncedError(
        "body_too_large",
        `Cannot take a pack over ${this.#packBytesMax} bytes`,
      );
    }
    let offset = 0;
    while (offset < piece.length) {
      if (this.#header === undefined) {
        offset += this.#takeHeader(piece, offset);
        continue;
      }
      const wanted = this.#header.lengthBytes - this.#filled;
      const part = piece.subarray(offset, offset + wanted);
      offset += part.length;
      const bytes = this.#takeBody(part, this.#header);
      if (bytes !== undefined) yield this.#complete(this.#header, bytes);
    }
  }

  /** @throws {SyncedError} `invalid_chunk` if the pack ends within an object. */
  finish(): void {
    if (this.#header !== undefined || this.#filled > 0) {
      throw new SyncedError("invalid_chunk", "Cannot take the pack: it ends within an object");
    }
  }

  /** @returns the number of bytes that it took. */
  #takeHeader(piece: Uint8Array, offset: number): number {
    const part = piece.subarray(offset, offset + PACK_HEADER_BYTES - this.#filled);
    this.#headerBytes.set(part, this.#filled);
    this.#filled += part.length;
    if (this.#filled === PACK_HEADER_BYTES) {
      this.#header = this.#parseHeader();
      this.#filled = 0;
    }
    return part.length;
  }

  #parseHeader(): PackedObject {
    const bytes = this.#headerBytes;
    const depth = bytes[0] ?? 0;
    const digest = digestFromBytes(bytes.subarray(1, LENGTH_OFFSET));
    const lengthBytes = new DataView(bytes.buffer).getUint32(LENGTH_OFFSET);
    if (depth > MANIFEST_DEPTH_MAX || lengthBytes === 0) {
      const finding = lengthBytes === 0 ? "it is empty" : `its depth is ${depth}`;
      throw new SyncedError("invalid_chunk", `Cannot take object ${digest}: ${finding}`);
    }
    if (lengthBytes > OBJECT_SIZE_BYTES_MAX) {
      throw new SyncedError("body_too_large", `Cannot take object ${digest}: ${lengthBytes} bytes`);
    }
    if (++this.#objectCount > this.#objectsMax) {
      throw new SyncedError(
        "body_too_large",
        `Cannot take over ${this.#objectsMax} objects a pack`,
      );
    }
    return { depth, digest, lengthBytes };
  }

  /** @returns the object's bytes once all have arrived. */
  #takeBody(part: Uint8Array, header: PackedObject): Uint8Array | undefined {
    if (this.#filled === 0) this.#body = this.#memory?.(header.lengthBytes);
    if (this.#body === undefined && part.length === header.lengthBytes) return part;
    this.#body ??= new Uint8Array(header.lengthBytes);
    this.#body.set(part, this.#filled);
    this.#filled += part.length;
    return this.#filled === header.lengthBytes ? this.#body : undefined;
  }

  #complete(header: PackedObject, bytes: Uint8Array): PackObject {
    this.#header = undefined;
    this.#body = undefined;
    this.#filled = 0;
    const { depth, digest } = header;
    if (sha256(bytes) !== digest) {
      throw new SyncedError("hash_mismatch", `Cannot take object ${digest}: its bytes differ`);
    }
    return { depth, digest, bytes };
  }
}
