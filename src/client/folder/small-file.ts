/**
 * Reads the small files that say how a folder is synced: marker, rules, a person's answer. Every
 * turn reads them, so they share one buffer. Rules: A10, G1.
 */
import { type Digest, sha256 } from "../../core/digest.ts";
import { IGNORE_FILE_BYTES_MAX } from "../../core/limits.ts";
import type { FileSystem } from "../../ports/filesystem.ts";

/** Rules files are the longest. One byte more shows that one is too long. */
const BUFFER = new Uint8Array(IGNORE_FILE_BYTES_MAX + 1);
const DECODER = new TextDecoder();

/** @returns the file's text; undefined if it is absent or longer than `bytesMax`. */
export function readSmallFile(fs: FileSystem, path: string, bytesMax: number): string | undefined {
  const bytes = readStart(fs, path, bytesMax + 1);
  return bytes === undefined || bytes.length > bytesMax ? undefined : DECODER.decode(bytes);
}

export interface RulesText {
  readonly text: string;
  /** Of the bytes as they were read. */
  readonly digest: Digest;
}

/** @returns the rules file, cut after one byte more than is allowed; undefined if absent. */
export function readRulesFile(fs: FileSystem, path: string): RulesText | undefined {
  const bytes = readStart(fs, path, BUFFER.length);
  return bytes === undefined ? undefined : { text: DECODER.decode(bytes), digest: sha256(bytes) };
}

/** @returns at most the first `count` bytes, valid until the next call. */
function readStart(fs: FileSystem, path: string, count: number): Uint8Array | undefined {
  const reader = fs.open(path);
  if (reader === undefined) return undefined;
  try {
    const buffer = BUFFER.subarray(0, count);
    let length = 0;
    while (length < buffer.length) {
      const read = reader.read(buffer.subarray(length), length);
      if (read === 0) break;
      length += read;
    }
    return buffer.subarray(0, length);
  } finally {
    reader.close();
  }
}
