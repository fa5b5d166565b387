/**
 * Digests a file that somebody writes to all the time, as it was at one moment. Rules: A16, I19.
 *
 * Such a file never looks the same before and after reading. So its bytes are read twice: once up
 * to its end, then, after a look at its size, once again. Bytes on which both readings agree were
 * there at the moment of that look, whether the file only grew or not. One case could deceive: a
 * byte that was another one just at the look, and the same at both readings. So the first and the
 * last bytes, where formats have their marks, are also read just before and just after the look.
 */
import type { Chunker } from "../../core/chunker.ts";
import type { FileReader, FileSystem, Stat } from "../../ports/filesystem.ts";
import type { Pace } from "../folder/pace.ts";
import {
  bufferBytesMin,
  type Course,
  digestChunks,
  type FileDigest,
  type FileToDigest,
  hashBytes,
} from "./digest-file.ts";

export interface MomentDigest {
  readonly digest: FileDigest;
  /** The stat of that moment. */
  readonly stat: Stat;
}

/** Bytes at each end. */
const MARK_BYTES = 64 * 1024;
/** A file that grows faster than it can be read is given up after so many rounds. */
const CATCHES_MAX = 16;

/**
 * @returns undefined if it did not only grow, if it is not there, or if the pace says to stop.
 * @throws {FileSystemError} if the file cannot be opened or read.
 */
export async function digestGrowing(
  fs: FileSystem,
  file: FileToDigest,
  chunker: Chunker,
  pace: Pace,
): Promise<MomentDigest | undefined> {
  const reader = fs.open(file.path);
  if (reader === undefined) return undefined;
  try {
    const course = new Growth(reader, file.expected);
    const { size } = file.expected;
    const buffer = new Uint8Array(bufferBytesMin(chunker));
    const digest = await digestChunks(course.reader, { size, course }, chunker, pace, buffer);
    if (digest === undefined) return undefined;
    const { moment } = course;
    if (moment.stamp === file.expected.stamp) return { digest, stat: moment };
    const again = await hashBytes(reader, digest.size, pace, buffer);
    return again === digest.sha256 ? { digest, stat: moment } : undefined;
  } finally {
    reader.close();
  }
}

class Growth implements Course {
  /** Keeps the bytes that it reads at both ends. */
  readonly reader: FileReader;
  readonly #file: FileReader;
  #last: Stat;
  #catches = 0;
  #head = new Uint8Array(0);
  #tail = new Uint8Array(0);

  constructor(file: FileReader, expected: Stat) {
    this.#file = file;
    this.#last = expected;
    this.reader = {
      stat: () => file.stat(),
      close: () => file.close(),
      read: (target, position) => {
        const count = file.read(target, position);
        if (position === 0) this.#head = target.slice(0, Math.min(count, MARK_BYTES));
        this.#tail = target.slice(Math.max(0, count - MARK_BYTES), count);
        return count;
      },
    };
  }

  /** The last look at the file. `digestChunks` has read everything up to its size. */
  get moment(): Stat {
    return this.#last;
  }

  goesOn(): boolean {
    const stat = this.#file.stat();
    const isSame = stat.stamp === this.#last.stamp;
    const hasGrown = stat.size > this.#last.size;
    const isSameFile = stat.identity === this.#last.identity;
    this.#last = stat;
    // A file that changes and does not grow is written in place.
    return isSameFile && (isSame || hasGrown);
  }

  end(size: number): number | undefined {
    const tailPosition = size - this.#tail.length;
    if (!this.#holds(this.#head, 0) || !this.#holds(this.#tail, tailPosition)) return undefined;
    if (!this.goesOn()) return undefined;
    if (this.#last.size > size) {
      this.#catches += 1;
      return this.#catches > CATCHES_MAX ? undefined : this.#last.size;
    }
    const holds = this.#holds(this.#head, 0) && this.#holds(this.#tail, tailPosition);
    return holds && this.#last.size === size ? size : undefined;
  }

  #holds(expected: Uint8Array, position: number): boolean {
    const bytes = new Uint8Array(expected.length);
    const count = this.#file.read(bytes, position);
    return count === bytes.length && bytes.every((byte, at) => byte === expected[at]);
  }
}
