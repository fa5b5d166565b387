/**
 * Segments: files that hold the objects of one upload one after the other, so that these share one
 * barrier. Rules: O7, U4, I41. The caller knows which object is where. A crash may leave a segment
 * that no row names.
 */
import { closeSync, mkdirSync, openSync, readdirSync, readSync, rmSync } from "node:fs";
import { mkdir, open, readdir, rename, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Digest } from "../../core/digest.ts";
import type { ObjectMemory, StoredObject } from "../../ports/object-store.ts";

/** The place of an object's bytes. */
export interface SegmentPlace {
  readonly segment: number;
  readonly offset: number;
  readonly size: number;
}

/** A segment that is durable. */
export interface WrittenSegment {
  readonly segment: number;
  readonly bytes: number;
  readonly places: ReadonlyMap<Digest, SegmentPlace>;
}

export interface ObjectSegmentsOptions {
  /** Made if it does not exist. */
  readonly directory: string;
  /** For segments that are being written. Made if it does not exist, else emptied. */
  readonly temporary: string;
  /** The highest number that the caller knows; 0 if none. */
  readonly last: number;
  /** True if another process writes: then nothing is made or emptied. */
  readonly isReader: boolean;
  /** Runs an fsync, and handles its failure. */
  readonly barrier: (sync: () => Promise<void>) => Promise<void>;
}

/** Directories with millions of names are slow to search. */
const SEGMENTS_PER_DIRECTORY = 1000;
/** Objects up to this size are read at once. */
const SMALL_READ_BYTES_MAX = 64 * 1024;
/** One upload's objects are mostly asked for together. */
const OPEN_SEGMENTS_MAX = 8;
const NUMBER = /^[0-9]{1,15}$/;

export class ObjectSegments {
  readonly #options: ObjectSegmentsOptions;
  /** Directories whose names are durable. */
  readonly #durable = new Set<string>();
  /** The last number of earlier processes. Nobody is writing a segment up to here. */
  readonly #lastBefore: number;
  /** Descriptors of segments that were read lately, the latest last. */
  readonly #open = new Map<number, number>();
  #last: number;

  constructor(options: ObjectSegmentsOptions) {
    this.#options = options;
    this.#lastBefore = options.isReader ? options.last : prepare(options);
    this.#last = this.#lastBefore;
  }

  /** Writes a segment. It is durable when this resolves, and removed when it rejects. */
  async write(objects: readonly StoredObject[]): Promise<WrittenSegment> {
    this.#last += 1;
    const segment = this.#last;
    const temporary = join(this.#options.temporary, String(segment));
    const path = this.#path(segment);
    try {
      const places = await this.#writeBytes(temporary, segment, objects);
      await mkdir(dirname(path), { recursive: true, mode: 0o700 });
      await rename(temporary, path);
      await this.#syncNames(dirname(path));
      return places;
    } catch (error) {
      await rm(temporary, { force: true });
      await this.remove(segment);
      throw error;
    }
  }

  async #writeBytes(
    path: string,
    segment: number,
    objects: readonly StoredObject[],
  ): Promise<WrittenSegment> {
    const places = new Map<Digest, SegmentPlace>();
    let offset = 0;
    const file = await open(path, "wx", 0o600);
    try {
      for (const { digest, bytes } of objects) {
        places.set(digest, { segment, offset, size: bytes.length });
        for (let written = 0; written < bytes.length; ) {
          written += (await file.write(bytes, written)).bytesWritten;
        }
        offset += bytes.length;
      }
      await this.#options.barrier(() => file.sync());
    } finally {
      await file.close();
    }
    return { segment, bytes: offset, places };
  }

  /** The numbers of all segments that earlier processes wrote, ascending in each directory. */
  async left(): Promise<readonly number[]> {
    const { directory } = this.#options;
    const found: number[] = [];
    for (const group of await readdir(directory)) {
      const names = NUMBER.test(group) ? await readdir(join(directory, group)) : [];
      for (const name of names) {
        if (NUMBER.test(name) && Number(name) <= this.#lastBefore) found.push(Number(name));
      }
    }
    return found;
  }

  /** Removes a segment that no row names. */
  async remove(segment: number): Promise<void> {
    this.#close(segment);
    await rm(this.#path(segment), { force: true });
  }

  /** @returns fewer bytes than the place has if the file is too short. */
  async read(place: SegmentPlace, memory?: ObjectMemory): Promise<Uint8Array> {
    const { segment, offset, size } = place;
    if (size <= SMALL_READ_BYTES_MAX) return this.#readSmall(place);
    const file = await open(this.#path(segment), "r");
    try {
      const bytes = memory?.(size) ?? new Uint8Array(size);
      let done = 0;
      while (done < size) {
        const { bytesRead } = await file.read(bytes, done, size - done, offset + done);
        if (bytesRead === 0) break;
        done += bytesRead;
      }
      return bytes.subarray(0, done);
    } finally {
      await file.close();
    }
  }

  /** Opening the file, and waiting for another thread, would take longer than the read itself. */
  #readSmall({ segment, offset, size }: SegmentPlace): Uint8Array {
    const bytes = new Uint8Array(size);
    const file = this.#openToRead(segment);
    let done = 0;
    while (done < size) {
      const count = readSync(file, bytes, done, size - done, offset + done);
      if (count === 0) break;
      done += count;
    }
    return bytes.subarray(0, done);
  }

  #openToRead(segment: number): number {
    const file = this.#open.get(segment) ?? openSync(this.#path(segment), "r");
    this.#open.delete(segment);
    this.#open.set(segment, file);
    const [oldest] = this.#open.keys();
    if (this.#open.size > OPEN_SEGMENTS_MAX && oldest !== undefined) this.#close(oldest);
    return file;
  }

  #close(segment: number): void {
    const file = this.#open.get(segment);
    this.#open.delete(segment);
    if (file !== undefined) closeSync(file);
  }

  close(): void {
    for (const segment of [...this.#open.keys()]) this.#close(segment);
  }

  /** @returns false if the file is lost or too short. */
  async reaches({ segment, offset, size }: SegmentPlace): Promise<boolean> {
    try {
      return (await stat(this.#path(segment))).size >= offset + size;
    } catch {
      return false;
    }
  }

  #path(segment: number): string {
    return join(this.#options.directory, String(groupOf(segment)), String(segment));
  }

  async #syncNames(directory: string): Promise<void> {
    await this.#syncDirectory(directory);
    if (this.#durable.has(directory)) return;
    await this.#syncDirectory(this.#options.directory);
    await this.#syncDirectory(dirname(this.#options.directory));
    this.#durable.add(directory);
  }

  async #syncDirectory(path: string): Promise<void> {
    const directory = await open(path, "r");
    try {
      await this.#options.barrier(() => directory.sync());
    } finally {
      await directory.close();
    }
  }
}

function groupOf(segment: number): number {
  return Math.floor(segment / SEGMENTS_PER_DIRECTORY);
}

/** @returns the last number that was ever used */
function prepare(options: ObjectSegmentsOptions): number {
  for (const directory of [options.directory, options.temporary]) {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
  }
  // A crash left these half-written, so nobody was told that they exist.
  for (const name of readdirSync(options.temporary)) rmSync(join(options.temporary, name));
  return lastNumber(options);
}

/** Numbers are never used again, even if the caller's rows are older than the disk. */
function lastNumber({ directory, last }: ObjectSegmentsOptions): number {
  let found = last;
  for (const group of readdirSync(directory)) {
    if (!NUMBER.test(group) || Number(group) < groupOf(last)) continue;
    for (const name of readdirSync(join(directory, group))) {
      if (NUMBER.test(name)) found = Math.max(found, Number(name));
    }
  }
  return found;
}
