/**
 * HeldObjects: the children of a folder's manifests, level by level, in little memory. Rules: U2.
 *
 * It keeps 48 bits of each digest, in 8 bytes: 64 MB for the chunks of a terabyte. Two digests that
 * share these bits keep each other alive, which costs room and nothing else.
 */
import type { Digest } from "../core/digest.ts";
import { parseManifestObject } from "../core/manifest.ts";

const PREFIX_DIGITS = 12;
const FIRST_CAPACITY = 1024;

export class HeldObjects {
  /** By depth of the child. */
  readonly #levels = new Map<number, PrefixSet>();

  /** Adds the children of a manifest object. @param bytes were checked against their digest */
  hold(bytes: Uint8Array): void {
    const { children, depth } = parseManifestObject(bytes);
    const level = this.#levels.get(depth - 1) ?? new PrefixSet();
    this.#levels.set(depth - 1, level);
    for (const { digest } of children) level.add(digest);
  }

  holds(digest: Digest, depth: number): boolean {
    return this.#levels.get(depth)?.has(digest) ?? false;
  }
}

/** A growing sorted array; what was added since the last question is sorted in then. */
class PrefixSet {
  #values = new Float64Array(FIRST_CAPACITY);
  #length = 0;
  #isSorted = true;

  add(digest: Digest): void {
    if (this.#length === this.#values.length) {
      const grown = new Float64Array(2 * this.#length);
      grown.set(this.#values);
      this.#values = grown;
    }
    this.#values[this.#length] = prefixOf(digest);
    this.#length += 1;
    this.#isSorted = false;
  }

  has(digest: Digest): boolean {
    if (!this.#isSorted) this.#values.subarray(0, this.#length).sort();
    this.#isSorted = true;
    const wanted = prefixOf(digest);
    let [low, high] = [0, this.#length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#values[middle] ?? 0) < wanted) low = middle + 1;
      else high = middle;
    }
    return low < this.#length && this.#values[low] === wanted;
  }
}

function prefixOf(digest: Digest): number {
  return Number.parseInt(digest.slice(0, PREFIX_DIGITS), 16);
}
